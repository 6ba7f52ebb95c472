//! Promises of [`Log::tail`]: whoever marks, reads and then waits never misses an event.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use proptest::{prelude::*, test_runner::TestRunner};
use tokio::sync::watch;
use turnwire_proto::{NewEvent, Selector, Seq};

use super::{
    Subjects,
    append::task,
    check::{Frame, all, append, bounds, page_frames, read},
    event::{SESSIONS, any_event, any_selector, draw, kind, name, note},
};
use crate::{Limit, Log};

/// How long a reader waits for one wake-up before it says that it was missed. Only a broken log lets it run out.
const WAKE: Duration = Duration::from_secs(60);

fn selectors() -> [Selector; 6] {
    [
        Selector::all(),
        // Vendors' lines are often kept elsewhere.
        Selector {
            raw: true,
            ..Selector::all()
        },
        Selector::session(name("s1")),
        Selector {
            agents: vec![name("builder")],
            ..Selector::all()
        },
        Selector {
            kinds: vec![kind("message")],
            deltas: false,
            ..Selector::session(name("s1"))
        },
        Selector {
            sources: vec![name("codex")],
            ..Selector::within(turnwire_proto::Visibility::Only(name("s1")))
        },
    ]
}

/// An event that all of [`selectors`] select.
fn wanted(n: usize) -> NewEvent {
    NewEvent {
        kind: kind("message"),
        source: name("codex"),
        agent: Some(name("builder")),
        ..note(n).in_session(name("s1"))
    }
}

async fn tail(log: &dyn Log, what: &Selector) -> watch::Receiver<Seq> {
    log.tail(what).await.expect("the store can be read")
}

async fn changed(tail: &mut watch::Receiver<Seq>, what: &Selector) -> Seq {
    let woken = tokio::time::timeout(WAKE, tail.changed()).await;
    woken
        .unwrap_or_else(|_| panic!("a wake-up was missed: {what:?}"))
        .expect("the log is there");
    *tail.borrow_and_update()
}

/// A reader that opens late need not wait for the next event to learn of the last one.
pub async fn a_tail_comes_to_know_what_was_there_before_it(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    for n in 0..3 {
        let done = append(&*log, &[wanted(n), note(n)]).await;
        for what in selectors() {
            let mut tail = tail(&*log, &what).await;
            // A decorator may be a little behind the log that it decorates.
            while *tail.borrow_and_update() < done.first {
                changed(&mut tail, &what).await;
            }
            let known = *tail.borrow();
            assert!(known <= bounds(&*log).await.head, "{known} is not there yet");
        }
    }
}

/// Each of many tails, each time, also those that share a selector.
pub async fn a_tail_wakes_for_what_it_selects(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let mut tails = Vec::new();
    for what in selectors().into_iter().chain(selectors()) {
        tails.push((tail(&*log, &what).await, what));
    }
    for n in 0..20 {
        for (tail, _) in &mut tails {
            tail.mark_unchanged();
        }
        append(&*log, &[note(n)]).await;
        let place = append(&*log, &[wanted(n), note(n)]).await.first;
        for (tail, what) in &mut tails {
            // A wake-up for something else may come first.
            while changed(tail, what).await < place {}
            let newest = all(&*log, what).await.pop().expect("it selects something");
            assert!(newest.0 >= place, "whoever was woken finds it: {what:?}");
        }
        // A tail that is opened and dropped beside them takes nothing away from them.
        drop(tail(&*log, &tails[n % tails.len()].1).await);
    }
}

/// What a tail tells is durable and read at once.
pub async fn a_tail_is_never_ahead_of_what_can_be_read(subjects: &Subjects) {
    const EVENTS: usize = 300;
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let readers = selectors().map(|what| {
        let log = log.clone();
        task(async move {
            let mut tail = tail(&*log, &what).await;
            let mut known = Seq::ZERO;
            let mut seen = 0;
            let mut after = Seq::ZERO;
            while seen < EVENTS {
                let told = *tail.borrow_and_update();
                assert!(told >= known, "a tail does not go back");
                known = told;
                assert!(
                    bounds(&*log).await.head >= told,
                    "what a tail tells is within the bounds"
                );
                while after < told {
                    let page = read(&*log, &what, after, Limit::RUN).await;
                    assert!(
                        page.cursor > after,
                        "what a tail tells is read without waiting: {told} after {after}"
                    );
                    seen += page.len();
                    after = page.cursor;
                }
                if seen < EVENTS {
                    changed(&mut tail, &what).await;
                }
            }
        })
    });
    let writer = task({
        let log = log.clone();
        async move {
            for n in 0..EVENTS {
                // Sometimes alone, sometimes behind one that only some select.
                append(&*log, &[note(n), wanted(n)][n % 2..]).await;
            }
        }
    });
    futures_util::future::join(join_all(readers), writer).await;
}

/// A reader as the server has them: its whole state is a cursor, and its future may be dropped at every await.
struct Reader {
    log: Arc<dyn Log>,
    what: Selector,
    after: Seq,
    tail: watch::Receiver<Seq>,
}

impl Reader {
    async fn open(log: Arc<dyn Log>, what: Selector) -> Self {
        let tail = tail(&*log, &what).await;
        Self {
            log,
            what,
            after: Seq::ZERO,
            tail,
        }
    }

    /// Mark, read, wait.
    async fn next(&mut self, limit: Limit) -> Vec<Frame> {
        loop {
            self.tail.borrow_and_update();
            let page = read(&*self.log, &self.what, self.after, limit).await;
            // No await from here to the return: what was read is either counted and given, or neither.
            let moved = page.cursor > self.after;
            self.after = page.cursor;
            if !page.is_empty() {
                return page_frames(&page);
            }
            if !moved {
                changed(&mut self.tail, &self.what).await;
            }
        }
    }
}

/// Ready after some polls of its task.
async fn soon(polls: usize) {
    for _ in 0..polls {
        tokio::task::yield_now().await;
    }
}

/// Reads `count` events and drops every second call half-way.
async fn follow(log: Arc<dyn Log>, what: Selector, count: usize, mut random: TestRunner) -> Vec<Frame> {
    let mut reader = Reader::open(log, what).await;
    let mut seen: Vec<Frame> = Vec::new();
    while seen.len() < count {
        let (polls, events, reopen) = draw(&mut random, &(0..6_usize, 1..40_usize, 0..20_u8));
        let next = reader.next(Limit::events(events));
        let frames = if polls % 2 == 0 {
            next.await
        } else {
            tokio::select! {
                biased;
                () = soon(polls) => Vec::new(),
                frames = next => frames,
            }
        };
        seen.extend(frames);
        if reopen == 0 {
            // A new connection with the old cursor.
            reader.tail = tail(&*reader.log, &reader.what).await;
        }
    }
    seen
}

/// 32 readers of what they like, 4 writers, futures dropped half-way: nothing is lost, and nothing comes twice.
pub async fn no_reader_misses_an_event_or_gets_it_twice(subjects: &Subjects) {
    const READERS: usize = 32;
    const WRITERS: usize = 4;
    const BATCHES: usize = 120;
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let mut random = TestRunner::deterministic();
    let batches: Vec<Vec<Vec<NewEvent>>> = (0..WRITERS)
        .map(|_| {
            (0..BATCHES)
                .map(|_| draw(&mut random, &proptest::collection::vec(any_event(), 1..6)))
                .collect()
        })
        .collect();
    let readers: Vec<_> = (0..READERS)
        .map(|reader| {
            let what = match reader {
                0..8 => Selector::all(),
                8..16 => Selector::session(name(SESSIONS[reader % SESSIONS.len()])),
                _ => draw(&mut random, &any_selector()),
            };
            let events = batches.iter().flatten().flatten();
            let count = events.filter(|event| what.selects(&event.subject())).count();
            let random = TestRunner::new_with_rng(ProptestConfig::default(), random.new_rng());
            let log = log.clone();
            task(async move { (what.clone(), follow(log, what, count, random).await) })
        })
        .collect();
    let writers = batches.into_iter().map(|batches| {
        let log = log.clone();
        task(async move {
            for batch in batches {
                append(&*log, &batch).await;
            }
        })
    });
    let (seen, _) = futures_util::future::join(join_all(readers), join_all(writers)).await;
    for (what, seen) in seen {
        assert!(seen.is_sorted_by(|a, b| a.0 < b.0), "in order and once: {what:?}");
        assert!(
            seen == all(&*log, &what).await,
            "what was read live is what is there: {what:?}"
        );
    }
}
