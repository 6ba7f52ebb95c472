//! Promises of a single [`Page`](crate::Page) and of reading on from its cursor.

use std::sync::Arc;

use proptest::test_runner::TestRunner;
use turnwire_proto::{NewEvent, Selector, Seq};

use super::{
    Subjects,
    append::task,
    check::{Frame, append, backward, bounds, fill, forward, page_frames, places, read, read_back, select},
    event::{any_event, big, draw, name, note, notes},
};
use crate::{Limit, Log};

/// Bounds, pages and a tail of a log that nothing was ever written to.
pub async fn a_fresh_log_is_empty(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    log.check().await.expect("it works, if it is empty");
    let what = Selector::all();
    let found = bounds(&*log).await;
    let one = Seq::ZERO.next();
    assert_eq!((found.first, found.first_delta, found.head), (one, one, Seq::ZERO));
    let page = read(&*log, &what, Seq::ZERO, Limit::RUN).await;
    assert_eq!((page.len(), page.cursor, page.first), (0, Seq::ZERO, one));
    let page = read_back(&*log, &what, Seq::MAX, Limit::RUN).await;
    assert!(page.is_empty() && page.first == one);
    assert_eq!(
        *log.tail(&what).await.expect("the store can be read").borrow(),
        Seq::ZERO
    );
}

/// Forty events of all kinds, read by all selectors that matter for paging.
async fn mixed(log: &dyn Log) -> (Vec<(Seq, NewEvent)>, Vec<Selector>) {
    let mut runner = TestRunner::deterministic();
    let events: Vec<_> = (0..40).map(|_| draw(&mut runner, &any_event())).collect();
    for batch in events.chunks(7) {
        append(log, batch).await;
    }
    let selectors = vec![
        Selector::all(),
        Selector {
            raw: true,
            deltas: false,
            ..Selector::all()
        },
        Selector::session(name("s1")),
        Selector::session(name("nobody")),
    ];
    (places(log, &events).await, selectors)
}

const LIMITS: [Limit; 9] = [
    Limit { events: 0, bytes: 0 },
    Limit::events(1),
    Limit::events(2),
    Limit::events(3),
    Limit::events(7),
    Limit::events(39),
    Limit {
        events: usize::MAX,
        bytes: 1,
    },
    Limit { events: 5, bytes: 700 },
    Limit {
        events: usize::MAX,
        bytes: 2000,
    },
];

/// From every place.
pub async fn every_small_limit_covers_exactly_the_set_forwards(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let (events, selectors) = mixed(&*log).await;
    for what in &selectors {
        let expected = expected(&events, what);
        for limit in LIMITS {
            for after in (0..=events[39].0.get()).filter_map(Seq::new) {
                let behind: Vec<_> = expected.iter().filter(|(seq, _)| *seq > after).cloned().collect();
                assert_eq!(
                    forward(&*log, what, after, limit).await,
                    behind,
                    "after {after} by {limit:?} of {what:?}"
                );
            }
        }
    }
}

/// From every place.
pub async fn every_small_limit_covers_exactly_the_set_backwards(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let (events, selectors) = mixed(&*log).await;
    let ends = (0..=events[39].0.get() + 2)
        .chain([Seq::MAX.get()])
        .filter_map(Seq::new);
    for what in &selectors {
        let expected = expected(&events, what);
        for limit in LIMITS {
            for before in ends.clone() {
                let ahead: Vec<_> = expected.iter().filter(|(seq, _)| *seq < before).cloned().collect();
                assert_eq!(
                    backward(&*log, what, before, limit).await,
                    ahead,
                    "before {before} by {limit:?} of {what:?}"
                );
            }
        }
    }
}

/// Both ways, between small ones.
pub async fn an_event_larger_than_the_byte_bound_comes_alone(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let events = [
        note(0),
        big(1, 300_000),
        note(2),
        big(3, 400_000),
        big(4, 300_000),
        note(5),
    ];
    append(&*log, &events).await;
    let events = places(&*log, &events).await;
    let what = Selector::all();
    let expected = expected(&events, &what);
    for bytes in [1, 1000, Limit::RUN.bytes] {
        let limit = Limit { bytes, ..Limit::RUN };
        assert_eq!(forward(&*log, &what, Seq::ZERO, limit).await, expected);
        assert_eq!(backward(&*log, &what, Seq::MAX, limit).await, expected);
    }
    let page = read(
        &*log,
        &what,
        events[2].0,
        Limit {
            bytes: 1000,
            ..Limit::RUN
        },
    )
    .await;
    assert_eq!(page_frames(&page), expected[3..4], "a page has one event at least");
}

/// Both ways, through many events that were not asked for.
pub async fn an_empty_page_has_looked_as_far_as_its_cursor(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let mut events = notes(0..3000);
    for n in [1000, 1001, 2500] {
        events[n].session_id = Some(name("rare"));
    }
    for batch in events.chunks(500) {
        append(&*log, batch).await;
    }
    let events = places(&*log, &events).await;
    for what in [
        Selector::session(name("rare")),
        Selector {
            kinds: vec![super::event::kind("made_up_2")],
            ..Selector::all()
        },
        Selector {
            agents: vec![name("nobody")],
            ..Selector::session(name("rare"))
        },
    ] {
        for limit in [Limit::events(1), Limit::events(2), Limit::RUN] {
            assert_eq!(forward(&*log, &what, Seq::ZERO, limit).await, expected(&events, &what));
            assert_eq!(backward(&*log, &what, Seq::MAX, limit).await, expected(&events, &what));
        }
    }
}

/// A reader's cursor stays where it is, so that what comes next is not passed over.
pub async fn at_the_head_and_beyond_it_there_is_nothing_yet(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let head = fill(&*log, 10).await[9].0;
    let beyond = Seq::new(head.get() + 1000).expect("far from the end");
    for what in [Selector::all(), Selector::session(name("s1"))] {
        for after in [head, beyond, Seq::MAX] {
            let page = read(&*log, &what, after, Limit::RUN).await;
            assert_eq!((page.len(), page.cursor), (0, after));
        }
    }
    append(&*log, &[note(10)]).await;
    assert_eq!(
        forward(&*log, &Selector::all(), head, Limit::RUN).await.len(),
        1,
        "the next event follows the head"
    );
}

/// Zero, the largest one, and those between events.
pub async fn a_cursor_may_be_any_place(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let events = fill(&*log, 5).await;
    let what = Selector::all();
    let page = read_back(&*log, &what, Seq::ZERO, Limit::RUN).await;
    assert_eq!(
        (page.len(), page.cursor),
        (0, Seq::ZERO),
        "nothing is before everything"
    );
    assert!(
        read_back(&*log, &what, events[0].0, Limit::RUN).await.is_empty(),
        "nothing is before the first"
    );
    assert_eq!(
        backward(&*log, &what, Seq::MAX, Limit::events(2)).await,
        expected(&events, &what)
    );
    assert_eq!(
        Seq::MAX.get(),
        (1 << 53) - 1,
        "every place is exact as a JavaScript number"
    );
}

/// Paging through a log that grows.
pub async fn reading_on_while_others_write_misses_nothing(subjects: &Subjects) {
    const EVENTS: usize = 2000;
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let readers = (1..=8_usize).map(|reader| {
        let log = log.clone();
        task(async move {
            let (mut after, mut seen) = (Seq::ZERO, Vec::<Frame>::new());
            let mut tail = log.tail(&Selector::all()).await.expect("the store can be read");
            while seen.len() < EVENTS {
                tail.mark_unchanged();
                let page = read(&*log, &Selector::all(), after, Limit::events(reader * 3)).await;
                seen.extend(page_frames(&page));
                if page.cursor == after {
                    tail.changed().await.expect("the log is there");
                }
                after = page.cursor;
            }
            seen
        })
    });
    let readers = futures_util::future::join_all(readers);
    let writer = {
        let log: Arc<dyn Log> = log.clone();
        task(async move {
            for batch in notes(0..EVENTS).chunks(5) {
                append(&*log, batch).await;
            }
        })
    };
    let (seen, ()) = futures_util::future::join(readers, writer).await;
    let all = forward(&*log, &Selector::all(), Seq::ZERO, Limit::RUN).await;
    assert_eq!(all.len(), EVENTS);
    for (reader, seen) in seen.iter().enumerate() {
        assert!(
            *seen == all,
            "reader {reader} saw {} events, not just the {EVENTS}",
            seen.len()
        );
    }
}

fn expected(events: &[(Seq, NewEvent)], what: &Selector) -> Vec<Frame> {
    select(events.iter().map(|(seq, event)| (seq, event)), what)
}
