//! Promises that outlive the process. A log whose data end with it is not asked for them.

use turnwire_proto::{NewEvent, Selector, Seq};

use super::{
    Subjects,
    check::{all, append, bounds, fill},
    event::{at, kind, name, note, notes},
    trim::trim,
};
use crate::{Limit, Retention};

/// Events, their bytes, their places and the bounds; time and again.
pub async fn everything_is_there_after_a_restart(subjects: &Subjects) {
    let subject = subjects.subject().await;
    if !subject.outlives_its_log() {
        return;
    }
    let what = Selector {
        raw: true,
        ..Selector::all()
    };
    let mut log = subject.open().await;
    for round in 0..4 {
        let mut batch = notes(round * 50..round * 50 + 50);
        batch[7].raw = Some(turnwire_proto::Json::parse("[1 , 2]").expect("this is JSON"));
        append(&*log, &batch).await;
        let (events, found) = (all(&*log, &what).await, bounds(&*log).await);
        log = subject.reopen(log).await;
        assert_eq!(all(&*log, &what).await, events);
        assert_eq!(bounds(&*log).await, found);
        assert_eq!(
            *log.tail(&what).await.expect("the store can be read").borrow(),
            found.head
        );
        let page = log
            .read_back(&Selector::session(name("s1")), Seq::MAX, Limit::RUN)
            .await
            .expect("it can be read");
        assert!(
            page.is_empty(),
            "what a store keeps beside the events is of the same moment"
        );
    }
}

/// A producer that did not hear the answer tries again, however long that took.
pub async fn an_id_is_known_after_a_restart(subjects: &Subjects) {
    let subject = subjects.subject().await;
    if !subject.outlives_its_log() {
        return;
    }
    let log = subject.open().await;
    let known = fill(&*log, 20).await;
    let batch: Vec<_> = known.iter().map(|(_, event)| event.clone()).collect();
    let log = subject.reopen(log).await;
    let again = append(&*log, &batch).await;
    assert_eq!((again.written, again.duplicates), (0, 20));
    assert_eq!((again.first, again.last), (known[0].0, known[19].0), "the first places");
    let mixed = append(
        &*log,
        &[
            NewEvent {
                id: batch[5].id,
                ..note(90)
            },
            note(91),
        ],
    )
    .await;
    assert_eq!((mixed.written, mixed.duplicates, mixed.first), (1, 1, known[5].0));
    assert_eq!(all(&*log, &Selector::all()).await.len(), 21);
}

/// Not even when the newest events went before it.
pub async fn a_place_is_not_given_again_after_a_restart(subjects: &Subjects) {
    let subject = subjects.subject().await;
    if !subject.outlives_its_log() {
        return;
    }
    let mut log = subject.open().await;
    let policies = [
        Retention {
            session: Some(name("s1")),
            ..Retention::default()
        },
        Retention {
            events_before: Some(at(1000)),
            ..Retention::default()
        },
        Retention::default(),
    ];
    let mut head = Seq::ZERO;
    for policy in policies {
        let batch: Vec<_> = (0..5).map(|n| note(n).in_session(name("s1"))).collect();
        let done = append(&*log, &batch).await;
        assert!(done.first > head, "{done:?} after {head}");
        head = done.last;
        trim(&*log, &policy).await;
        log = subject.reopen(log).await;
        assert_eq!(bounds(&*log).await.head, head, "the head does not go back");
    }
    assert!(append(&*log, &[note(9)]).await.first > head);
}

/// A reader that comes back is told of what went before the restart.
pub async fn the_horizons_stay_after_a_restart(subjects: &Subjects) {
    let subject = subjects.subject().await;
    if !subject.outlives_its_log() {
        return;
    }
    let log = subject.open().await;
    let mut batch = notes(0..30);
    for event in &mut batch[15..20] {
        event.kind = kind("text_delta");
    }
    append(&*log, &batch).await;
    let policy = Retention {
        events_before: Some(at(10)),
        ..Retention::default()
    };
    assert_eq!(trim(&*log, &policy).await.events, 10);
    let policy = Retention {
        deltas_before: Some(at(18)),
        ..Retention::default()
    };
    assert_eq!(trim(&*log, &policy).await.events, 3);
    let (found, events) = (bounds(&*log).await, all(&*log, &Selector::all()).await);
    let log = subject.reopen(log).await;
    assert_eq!(bounds(&*log).await, found);
    assert_eq!(all(&*log, &Selector::all()).await, events);
    let page = log
        .read(&Selector::all(), Seq::ZERO, Limit::RUN)
        .await
        .expect("the store can be read");
    assert_eq!(page.first, found.first);
}

/// Other data are another log.
pub async fn the_identity_stays_as_long_as_the_data(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let mut log = subject.open().await;
    let epoch = bounds(&*log).await.epoch;
    append(&*log, &[note(0)]).await;
    trim(
        &*log,
        &Retention {
            max_bytes: Some(0),
            ..Retention::default()
        },
    )
    .await;
    assert_eq!(bounds(&*log).await.epoch, epoch, "it does not change with what is kept");
    let other = subjects.subject().await;
    assert_ne!(
        bounds(&*other.open().await).await.epoch,
        epoch,
        "other data are another log"
    );
    if subject.outlives_its_log() {
        for _ in 0..2 {
            log = subject.reopen(log).await;
            assert_eq!(bounds(&*log).await.epoch, epoch, "it stays over a restart");
        }
    }
}
