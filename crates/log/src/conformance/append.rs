//! Promises of [`Log::append`](crate::Log::append).

use std::{collections::HashMap, sync::Arc, task::Poll};

use futures_util::future::{join_all, poll_immediate};
use proptest::test_runner::TestRunner;
use turnwire_proto::{EventId, Json, NewEvent, Selector, Seq, limits};

use super::{
    Subjects,
    check::{all, append, bounds, fill, forward, ids, parse, places, select},
    event::{any_event, big, draw, note, notes},
};
use crate::{AppendError, Appended, Limit};

/// Order, bytes, and what the answer says.
pub async fn what_is_appended_is_read_in_order_and_byte_for_byte(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let mut runner = TestRunner::deterministic();
    let (mut events, mut head) = (Vec::new(), Seq::ZERO);
    for size in [1, 2, 1, 64, 7, 130] {
        let batch: Vec<_> = (0..size).map(|_| draw(&mut runner, &any_event())).collect();
        let done = append(&*log, &batch).await;
        assert_eq!((done.written, done.duplicates), (size, 0));
        assert!(done.first > head, "places rise: {done:?} after {head}");
        assert!(
            done.last.get() - done.first.get() >= size as u64 - 1,
            "each event has a place: {done:?}"
        );
        head = bounds(&*log).await.head;
        assert_eq!(head, done.last, "the newest place is the last event's");
        events.extend(batch);
    }
    let expected = places(&*log, &events).await;
    for raw in [false, true] {
        let what = Selector { raw, ..Selector::all() };
        let expected = select(expected.iter().map(|(seq, event)| (seq, event)), &what);
        assert_eq!(all(&*log, &what).await, expected);
    }
}

/// No place is used up that a reader would wait for, and the answer is zero.
pub async fn an_empty_batch_writes_nothing(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    assert_eq!(append(&*log, &[]).await, Appended::default());
    fill(&*log, 3).await;
    let before = bounds(&*log).await;
    assert_eq!(append(&*log, &[]).await, Appended::default());
    assert_eq!(bounds(&*log).await, before);
}

/// The first of them counts, its content included.
pub async fn an_id_that_stands_twice_in_a_batch_is_written_once(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let (a, b) = (note(1), note(2));
    let impostor = NewEvent { id: a.id, ..note(3) };
    let done = append(&*log, &[a.clone(), b.clone(), impostor, b.clone(), a.clone()]).await;
    assert_eq!((done.written, done.duplicates), (2, 3));
    let expected = places(&*log, &[a, b]).await;
    assert_eq!((done.first, done.last), (expected[0].0, expected[1].0));
    let expected = select(expected.iter().map(|(seq, event)| (seq, event)), &Selector::all());
    assert_eq!(all(&*log, &Selector::all()).await, expected, "the first content stays");
}

/// Whole batches and parts of them; the answer points at the first places.
pub async fn an_id_of_an_earlier_batch_is_not_written_again(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let known = fill(&*log, 10).await;
    let old: Vec<_> = known.iter().map(|(_, event)| event.clone()).collect();
    let head = bounds(&*log).await.head;

    let again = append(&*log, &old[3..7]).await;
    assert_eq!((again.written, again.duplicates), (0, 4));
    assert_eq!((again.first, again.last), (known[3].0, known[6].0));
    let backwards: Vec<_> = old.iter().rev().cloned().collect();
    let again = append(&*log, &backwards).await;
    assert_eq!(
        (again.first, again.last),
        (known[0].0, known[9].0),
        "smallest and largest, in whatever order"
    );
    assert_eq!(bounds(&*log).await.head, head, "duplicates take no place");

    let (fresh, impostor) = (
        note(20),
        NewEvent {
            id: old[5].id,
            ..note(21)
        },
    );
    let mixed = append(&*log, &[fresh.clone(), impostor, old[4].clone()]).await;
    assert_eq!((mixed.written, mixed.duplicates), (1, 2));
    assert_eq!(mixed.first, known[4].0, "the first place of what had been there counts");
    assert!(mixed.last > head, "and that of what is new");
    let mut expected = old;
    expected.push(fresh);
    let expected = places(&*log, &expected).await;
    let expected = select(expected.iter().map(|(seq, event)| (seq, event)), &Selector::all());
    assert_eq!(all(&*log, &Selector::all()).await, expected, "the first content stays");
}

/// Producers that try again while their first try is still under way.
pub async fn copies_of_a_batch_that_arrive_together_are_written_once(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    for round in 0..10 {
        let batch = Arc::new(notes(round * 10..round * 10 + 10));
        let tries = (0..8).map(|_| {
            let (log, batch) = (log.clone(), batch.clone());
            task(async move { append(&*log, &batch).await })
        });
        let done: Vec<_> = join_all(tries).await;
        assert_eq!(done.iter().map(|done| done.written).sum::<usize>(), 10, "{done:?}");
        assert!(
            done.iter()
                .all(|each| (each.first, each.last) == (done[0].first, done[0].last)),
            "{done:?}"
        );
        assert!(done.iter().all(|each| each.written + each.duplicates == 10), "{done:?}");
    }
    assert_eq!(all(&*log, &Selector::all()).await.len(), 100);
}

/// Batches do not mix, and each stands where its answer says.
pub async fn batches_of_concurrent_writers_stand_in_one_piece(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let writers = (0..8_usize).map(|writer| {
        let log = log.clone();
        task(async move {
            let mut done = Vec::new();
            for round in 0..25 {
                let batch = notes(0..1 + (writer * 7 + round * 13) % 40);
                done.push((append(&*log, &batch).await, batch));
            }
            assert!(
                done.is_sorted_by(|(a, _), (b, _)| a.last < b.first),
                "one writer's batches keep their order"
            );
            done
        })
    });
    let mut done: Vec<_> = join_all(writers).await.into_iter().flatten().collect();
    done.sort_by_key(|(done, _)| done.first);
    let frames = all(&*log, &Selector::all()).await;
    let mut rest = &frames[..];
    for (done, batch) in &done {
        let (piece, behind) = rest.split_at(batch.len());
        assert_eq!(
            ids(piece),
            batch.iter().map(|event| event.id).collect::<Vec<_>>(),
            "in one piece, in order"
        );
        assert_eq!(
            (piece[0].0, piece[piece.len() - 1].0),
            (done.first, done.last),
            "where the answer says"
        );
        rest = behind;
    }
    assert!(rest.is_empty(), "nothing else was written");
}

/// One task that sends without waiting for each answer relies on it.
pub async fn calls_are_appended_in_the_order_of_their_first_poll(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    for round in 0..5 {
        let batches: Vec<_> = (0..100).map(|n| notes(n..n + 1 + (n + round) % 3)).collect();
        // `join_all` polls its futures in order, at first.
        let calls = batches.iter().map(|batch| append(&*log, batch)).collect::<Vec<_>>();
        let done = in_order(calls).await;
        assert!(
            done.is_sorted_by(|a, b| a.last < b.first),
            "in the order of the calls: {done:?}"
        );
    }
}

/// A caller that went away may find all of its batch, or none, when a later call of its task was answered.
pub async fn a_dropped_append_has_written_all_of_its_batch_or_none(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let mut dropped: HashMap<EventId, usize> = HashMap::new();
    for round in 0..60_usize {
        let batch = notes(round * 100..round * 100 + 50);
        dropped.extend(batch.iter().map(|event| (event.id, round)));
        let mut call = Box::pin(log.append(&batch));
        for _ in 0..=round % 4 {
            if poll_immediate(&mut call).await.is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(call);
        if round % 3 == 0 {
            append(&*log, &notes(0..1)).await;
        }
    }
    // This call was first polled after all of them, so what they have written stands before it.
    let last = append(&*log, &notes(0..1)).await;
    let mut found = vec![0; 60];
    let mut order = Vec::new();
    for frame in all(&*log, &Selector::all()).await {
        if let Some(round) = dropped.get(&parse(&frame).id) {
            assert!(
                frame.0 < last.first,
                "what was dropped is not appended behind a later call"
            );
            found[*round] += 1;
            order.push(*round);
        }
    }
    assert!(
        found.iter().all(|events| matches!(events, 0 | 50)),
        "all or none: {found:?}"
    );
    assert!(order.is_sorted(), "in one piece and in order");
}

/// More at once than a bounded queue takes: whatever was refused is not there, and what was not is there once.
pub async fn a_refused_append_has_written_nothing(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let batches: Vec<_> = (0..6000).map(|n| notes(n..n + 2)).collect();
    let answers = in_order(batches.iter().map(|batch| log.append(batch)).collect()).await;
    let mut times: HashMap<EventId, usize> = HashMap::new();
    for id in ids(&all(&*log, &Selector::all()).await) {
        *times.entry(id).or_default() += 1;
    }
    for (batch, answer) in batches.iter().zip(&answers) {
        let found: Vec<_> = batch
            .iter()
            .map(|event| times.get(&event.id).copied().unwrap_or(0))
            .collect();
        match answer {
            Ok(done) => assert_eq!((done.written, &found[..]), (2, &[1, 1][..])),
            Err(AppendError::Busy { .. } | AppendError::Store(_)) => assert_eq!(found, [0, 0], "{answer:?}"),
            Err(AppendError::Unknown) => assert!(found == [0, 0] || found == [1, 1], "all or none: {found:?}"),
        }
    }
    assert!(answers[0].is_ok(), "an idle store takes a batch");
}

/// The bounds of [`limits`] are the wire's; a store takes what they let through.
pub async fn the_largest_batch_and_the_largest_event_are_taken(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let done = append(&*log, &notes(0..limits::BATCH_EVENTS)).await;
    assert_eq!(done.written, limits::BATCH_EVENTS);
    let raw = Some(Json::of(&"r".repeat(limits::EVENT / 2 - 2)));
    let largest = NewEvent {
        raw,
        ..big(1, limits::EVENT / 2)
    };
    let done = append(&*log, &[note(0), largest.clone(), note(1)]).await;
    let what = Selector {
        raw: true,
        ..Selector::all()
    };
    let frames = forward(&*log, &what, done.first, Limit::RUN).await;
    assert_eq!(frames[0], super::check::frame(frames[0].0, &largest, &what));
    assert_eq!(all(&*log, &Selector::all()).await.len(), limits::BATCH_EVENTS + 3);
}

/// Runs on the runtime's threads, so that calls are really concurrent; a panic in it is the promise's.
pub(super) async fn task<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let mut set = tokio::task::JoinSet::new();
    set.spawn(future);
    match set.join_next().await.expect("it was spawned") {
        Ok(value) => value,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

/// Polls all once in their order, and then as they wake. `join_all` would do so, too, but does not promise it.
async fn in_order<F: Future>(calls: Vec<F>) -> Vec<F::Output> {
    let mut calls: Vec<_> = calls.into_iter().map(Box::pin).collect();
    let mut answers: Vec<Option<F::Output>> = calls.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (call, answer) in calls.iter_mut().zip(&mut answers) {
            if answer.is_none()
                && let Poll::Ready(value) = call.as_mut().poll(cx)
            {
                *answer = Some(value);
            }
        }
        if answers.iter().all(Option::is_some) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    answers.into_iter().flatten().collect()
}
