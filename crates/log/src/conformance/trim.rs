//! Promises of [`Log::trim`] and of the horizons that it moves.

use std::collections::BTreeSet;

use futures_util::future::join;
use turnwire_proto::{Json, NewEvent, PUBLIC_SOURCE, Selector, Seq, Timestamp, Visibility};

use super::{
    Subjects,
    append::task,
    check::{Frame, all, append, backward, bounds, fill, page_frames, parse, places, read, read_back, select},
    event::{at, kind, name, note, notes},
};
use crate::{Bounds, Limit, Log, Retention, Trimmed};

pub(super) async fn trim(log: &dyn Log, policy: &Retention) -> Trimmed {
    let before = bounds(log).await;
    let trimmed = log.trim(policy).await.expect("the store can delete");
    let after = bounds(log).await;
    assert!(
        after.first >= before.first && after.first_delta >= before.first_delta,
        "no horizon goes back: {after:?}"
    );
    assert_eq!(
        (after.head, after.epoch),
        (before.head, before.epoch),
        "the head and the identity stay"
    );
    assert_eq!(
        log.trim(policy).await.expect("the store can delete"),
        Trimmed::default(),
        "nothing is left to do"
    );
    trimmed
}

/// What is to be left, looked at from every side.
async fn left(log: &dyn Log, events: &[(Seq, NewEvent)]) {
    for raw in [false, true] {
        let what = Selector { raw, ..Selector::all() };
        let expected = select(events.iter().map(|(seq, event)| (seq, event)), &what);
        assert_eq!(all(log, &what).await, expected);
        assert_eq!(backward(log, &what, Seq::MAX, Limit::events(3)).await, expected);
    }
}

/// The horizon stands behind what went from the start and not behind what is kept.
fn horizon(bounds: Bounds, events: &[(Seq, NewEvent)], gone: usize) {
    assert!(
        bounds.first > events[gone - 1].0,
        "what is gone is before the horizon: {bounds:?}"
    );
    let next = events.get(gone).map_or_else(|| bounds.head.next(), |(seq, _)| *seq);
    assert!(bounds.first <= next, "what is kept is not: {bounds:?}, {next} is kept");
}

/// Nothing is asked to go.
pub async fn the_default_keeps_everything(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    assert_eq!(
        trim(&*log, &Retention::default()).await,
        Trimmed::default(),
        "of an empty log"
    );
    let events = fill(&*log, 20).await;
    let before = bounds(&*log).await;
    let kept = Retention {
        events_before: Some(at(0)),
        deltas_before: Some(at(1000)),
        raw_before: Some(at(1000)),
        max_bytes: Some(u64::MAX),
        session: Some(name("nobody")),
    };
    for policy in [Retention::default(), kept] {
        assert_eq!(trim(&*log, &policy).await, Trimmed::default());
    }
    let after = bounds(&*log).await;
    // Where no delta was kept, the horizon of deltas may stand anywhere.
    assert_eq!((after.first, after.head), (before.first, before.head));
    left(&*log, &events).await;
}

/// A horizon can tell of a range, not of holes; a page tells it.
pub async fn events_go_from_the_start_up_to_the_first_newer_one(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let mut batch = notes(0..30);
    batch[12].timestamp = at(500);
    append(&*log, &batch).await;
    let events = places(&*log, &batch).await;

    let until = |secs| Retention {
        events_before: Some(at(secs)),
        ..Retention::default()
    };
    assert_eq!(
        trim(&*log, &until(10)).await,
        Trimmed { events: 10, raw: 0 },
        "what happened at the moment stays"
    );
    horizon(bounds(&*log).await, &events, 10);
    left(&*log, &events[10..]).await;
    for after in [Seq::ZERO, events[3].0, events[9].0, events[20].0] {
        let page = read(&*log, &Selector::all(), after, Limit::events(2)).await;
        assert_eq!(page.first, bounds(&*log).await.first, "a page tells the horizon");
    }
    let page = read_back(&*log, &Selector::all(), events[10].0, Limit::RUN).await;
    assert!(
        page.is_empty() && page.cursor <= page.first,
        "before the horizon there is no more"
    );

    assert_eq!(
        trim(&*log, &until(400)).await.events,
        2,
        "a newer one holds those behind it"
    );
    horizon(bounds(&*log).await, &events, 12);
    left(&*log, &events[12..]).await;
    assert_eq!(trim(&*log, &until(501)).await.events, 18);
    horizon(bounds(&*log).await, &events, 30);
    left(&*log, &[]).await;
}

/// One whose clock is ahead would else hold back all behind it for as long as it is.
pub async fn an_event_dated_in_the_future_is_as_old_as_its_arrival(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let ahead = Timestamp::from_millis(4_102_444_800_000).expect("a moment of the year 2100");
    let mut batch = notes(0..6);
    for (n, event) in batch.iter_mut().enumerate() {
        event.kind = kind(["note", "text_delta"][n % 2]);
        event.raw = Some(Json::parse("1").expect("this is JSON"));
        if n < 2 {
            event.timestamp = ahead;
        }
    }
    append(&*log, &batch).await;
    let events = places(&*log, &batch).await;
    assert_eq!(
        events[0].1.timestamp, ahead,
        "what is read is what was said, not what was made of it"
    );
    let an_hour_on = Timestamp::from_millis(Timestamp::now().millis() + 3_600_000).expect("a moment of this century");
    let none = Retention::default();
    for (policy, expected) in [
        (
            Retention {
                deltas_before: Some(an_hour_on),
                ..none.clone()
            },
            Trimmed { events: 3, raw: 3 },
        ),
        (
            Retention {
                raw_before: Some(an_hour_on),
                ..none.clone()
            },
            Trimmed { events: 0, raw: 3 },
        ),
        (
            Retention {
                events_before: Some(an_hour_on),
                ..none.clone()
            },
            Trimmed { events: 3, raw: 0 },
        ),
    ] {
        assert_eq!(trim(&*log, &policy).await, expected, "{policy:?}");
    }
    left(&*log, &[]).await;
}

/// However it is trimmed beside it: a producer that tries again is heard once.
pub async fn an_id_is_known_as_long_as_its_event_is_kept(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let events = with_deltas(&*log, &[1, 2, 90, 91]).await;
    for policy in [
        Retention {
            deltas_before: Some(at(50)),
            ..Retention::default()
        },
        Retention {
            raw_before: Some(at(1000)),
            ..Retention::default()
        },
        Retention {
            events_before: Some(at(1)),
            ..Retention::default()
        },
    ] {
        trim(&*log, &policy).await;
        let kept = all(&*log, &Selector::all()).await;
        assert!(kept.len() < events.len());
        for (seq, event) in &events {
            if kept.iter().any(|(place, _)| place == seq) {
                let again = append(&*log, std::slice::from_ref(event)).await;
                assert_eq!((again.written, again.duplicates, again.first), (0, 1, *seq));
            }
        }
    }
}

async fn with_deltas(log: &dyn Log, seconds: &[i64]) -> Vec<(Seq, NewEvent)> {
    let kinds = ["text_delta", "reasoning_delta", "tool_progress"];
    let deltas = seconds.iter().enumerate().map(|(n, secs)| NewEvent {
        kind: kind(kinds[n % kinds.len()]),
        timestamp: at(*secs),
        ..note(n)
    });
    let batch: Vec<_> = deltas.flat_map(|delta| [note(0), delta]).chain([note(0)]).collect();
    append(log, &batch).await;
    places(log, &batch).await
}

fn without_deltas(events: &[(Seq, NewEvent)], deltas: usize) -> Vec<(Seq, NewEvent)> {
    let mut left = deltas;
    let kept = events.iter().filter(|(_, event)| {
        let goes = event.kind.is_delta() && left > 0;
        left -= usize::from(goes);
        !goes
    });
    kept.cloned().collect()
}

/// The horizon of deltas moves, and every other event stays.
pub async fn deltas_go_and_leave_the_rest(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let events = with_deltas(&*log, &[10, 20, 30, 40, 50, 60]).await;
    let until = |secs| Retention {
        deltas_before: Some(at(secs)),
        ..Retention::default()
    };
    for (secs, gone) in [(40, 3), (1000, 6)] {
        trim(&*log, &until(secs)).await;
        left(&*log, &without_deltas(&events, gone)).await;
        let found = bounds(&*log).await;
        assert!(
            found.first_delta > events[gone * 2 - 1].0,
            "what is gone is before the horizon: {found:?}"
        );
        let next = events
            .get(gone * 2 + 1)
            .map_or_else(|| found.head.next(), |(seq, _)| *seq);
        assert!(found.first_delta <= next, "what is kept is not: {found:?}");
        assert!(found.first <= events[0].0, "other events have not gone: {found:?}");
        let limit = Limit::events(1);
        for page in [
            read(&*log, &Selector::all(), Seq::ZERO, limit).await,
            read_back(&*log, &Selector::all(), Seq::MAX, limit).await,
        ] {
            assert!(
                page.first_delta > events[gone * 2 - 1].0 && page.first_delta <= next,
                "a page that could have had them tells that they are gone: {page:?}"
            );
        }
    }
}

/// What stands behind a newer event may stay; what is told to be gone is gone, what is not is there, and nothing newer goes.
pub async fn deltas_go_at_least_up_to_the_first_newer_event(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let events = with_deltas(&*log, &[1, 2, 90, 3, 80]).await;
    let policy = Retention {
        deltas_before: Some(at(50)),
        ..Retention::default()
    };
    let trimmed = trim(&*log, &policy).await;
    left(&*log, &without_deltas(&events, 2)).await;
    assert_eq!(
        trimmed.events, 2,
        "behind a newer one that is kept, no horizon could tell of it"
    );
    let found = bounds(&*log).await;
    assert!(
        events[3].0 < found.first_delta && found.first_delta <= events[5].0,
        "{found:?}"
    );
}

/// Those that stand behind a newer event may stay.
pub async fn vendors_lines_go_and_leave_their_events(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let line = |n: usize| Json::parse(&format!("[{n}]")).expect("this is JSON");
    let mut batch: Vec<_> = notes(0..20);
    for (n, event) in batch.iter_mut().enumerate().filter(|(n, _)| n % 3 == 0) {
        event.raw = Some(line(n));
    }
    batch[9].timestamp = at(100);
    append(&*log, &batch).await;
    let mut events = places(&*log, &batch).await;
    let policy = Retention {
        raw_before: Some(at(14)),
        ..Retention::default()
    };
    let trimmed = trim(&*log, &policy).await;
    let what = Selector {
        raw: true,
        ..Selector::all()
    };
    let lines: Vec<_> = all(&*log, &what).await.iter().map(|frame| parse(frame).raw).collect();
    assert!(
        lines[..9].iter().all(Option::is_none),
        "what is older is gone: {lines:?}"
    );
    for n in [9, 15, 18] {
        assert_eq!(lines[n], Some(line(n)), "what is newer stays");
    }
    for ((_, event), line) in events.iter_mut().zip(lines) {
        event.raw = line;
    }
    left(&*log, &events).await;
    let gone = 7 - events.iter().filter(|(_, event)| event.raw.is_some()).count();
    assert_eq!((trimmed.events, trimmed.raw), (0, gone as u64));
    assert_eq!(bounds(&*log).await.first, Seq::ZERO.next(), "no event has gone");
}

/// Bodies as [`NewEvent::encode_body`] makes them; no more goes than has to.
pub async fn the_start_goes_until_the_bodies_fit(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let events = fill(&*log, 50).await;
    let size = |(_, event): &(Seq, NewEvent)| {
        let mut body = Vec::new();
        event.encode_body(&mut body);
        body.len() as u64
    };
    for gone in [10, 11, 35, 50] {
        let fits: u64 = events[gone..].iter().map(size).sum();
        let policy = Retention {
            max_bytes: Some(fits),
            ..Retention::default()
        };
        trim(&*log, &policy).await;
        left(&*log, &events[gone..]).await;
        horizon(bounds(&*log).await, &events, gone);
    }
}

/// Forwards, backwards, by every selector; and nothing else goes.
pub async fn a_session_goes_on_every_path(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let mut batch = notes(0..40);
    for (n, event) in batch.iter_mut().enumerate() {
        event.session_id = [None, Some(name("erased")), Some(name("kept"))][n % 3].clone();
        event.raw = Some(Json::parse("1").expect("this is JSON"));
    }
    batch[4].source = name(PUBLIC_SOURCE);
    append(&*log, &batch).await;
    let mut events = places(&*log, &batch).await;
    let last = NewEvent {
        source: name(PUBLIC_SOURCE),
        ..note(40).in_session(name("erased"))
    };
    append(&*log, &[last]).await;
    let policy = Retention {
        session: Some(name("erased")),
        ..Retention::default()
    };
    assert_eq!(
        trim(&*log, &policy).await,
        Trimmed { events: 14, raw: 13 },
        "the newest event of all among them"
    );
    events.retain(|(_, event)| event.session_id != Some(name("erased")));
    left(&*log, &events).await;
    for what in [
        Selector::session(name("erased")),
        Selector::within(Visibility::Only(name("erased"))),
        Selector {
            sources: vec![name(PUBLIC_SOURCE)],
            raw: true,
            ..Selector::all()
        },
    ] {
        assert!(all(&*log, &what).await.is_empty(), "{what:?}");
        assert!(
            backward(&*log, &what, Seq::MAX, Limit::RUN).await.is_empty(),
            "{what:?}"
        );
    }
    let kept = append(&*log, &[events[1].1.clone()]).await;
    assert_eq!(
        (kept.duplicates, kept.first),
        (1, events[1].0),
        "what is kept is still known"
    );
    assert!(
        bounds(&*log).await.first <= events[0].0,
        "what is kept is not before the horizon"
    );
}

/// Its first kept place is the next one, and a reader at the head has missed nothing.
pub async fn a_log_that_was_emptied_remembers_its_head(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let head = fill(&*log, 10).await[9].0;
    let everything = Retention {
        max_bytes: Some(0),
        ..Retention::default()
    };
    assert_eq!(trim(&*log, &everything).await.events, 10);
    let found = bounds(&*log).await;
    assert_eq!((found.head, found.first), (head, head.next()));
    for what in [Selector::all(), Selector::session(name("s1"))] {
        // To the head, and back to the horizon: nothing more is looked for in what is gone.
        assert!(all(&*log, &what).await.is_empty() && backward(&*log, &what, Seq::MAX, Limit::RUN).await.is_empty());
        let page = read(&*log, &what, Seq::ZERO, Limit::RUN).await;
        assert_eq!(
            (page.len(), page.first),
            (0, head.next()),
            "a reader of what is gone is told"
        );
        assert!(*log.tail(&what).await.expect("the store can be read").borrow() <= head);
    }
    let next = append(&*log, &[note(10)]).await;
    assert!(next.first > head);
    assert_eq!(
        read(&*log, &Selector::all(), head, Limit::RUN).await.marks[0].seq,
        next.first
    );
}

/// Not that of the newest event either, however it went; nor that of an event that comes again.
pub async fn a_place_is_never_given_again(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let mut head = Seq::ZERO;
    for round in 0..6_usize {
        let batch: Vec<_> = (0..5).map(|n| note(n).in_session(name("s1"))).collect();
        let done = append(&*log, &batch).await;
        assert!(done.first > head, "{done:?} after {head}");
        head = done.last;
        let policy = match round % 3 {
            0 => Retention {
                session: Some(name("s1")),
                ..Retention::default()
            },
            1 => Retention {
                events_before: Some(at(1000)),
                ..Retention::default()
            },
            _ => Retention {
                max_bytes: Some(0),
                ..Retention::default()
            },
        };
        assert_eq!(trim(&*log, &policy).await.events, 5);
        // Whether the id of an event that went is still known is the store's to say; a place for it is a new one.
        let again = append(&*log, &batch[..1]).await;
        assert!(again.written == 0 || again.first > head, "{again:?} after {head}");
        head = head.max(again.last);
        trim(&*log, &policy).await;
    }
}

/// A reader below the horizon is told where it stands now; above it, trimming takes nothing away.
pub async fn what_is_kept_is_read_while_the_start_goes(subjects: &Subjects) {
    const KEPT: usize = 100;
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let events = notes(0..600);
    let last = events[events.len() - 1].id;
    let writer = task({
        let log = log.clone();
        async move {
            let mut places = BTreeSet::new();
            for (n, event) in events.iter().enumerate() {
                places.insert(append(&*log, std::slice::from_ref(event)).await.first);
                if n >= KEPT && n % 10 == 9 {
                    let policy = Retention {
                        events_before: Some(events[n - KEPT].timestamp),
                        ..Retention::default()
                    };
                    log.trim(&policy).await.expect("the store can delete");
                }
            }
            places
        }
    });
    let reader = task({
        let log = log.clone();
        async move {
            let (mut after, mut pages) = (Seq::ZERO, Vec::new());
            let mut tail = log.tail(&Selector::all()).await.expect("the store can be read");
            loop {
                tail.mark_unchanged();
                let page = read(&*log, &Selector::all(), after, Limit::events(7)).await;
                let frames = page_frames(&page);
                let done = frames.iter().any(|frame| parse(frame).id == last);
                let (first, cursor) = (page.first, page.cursor);
                pages.push(Passed {
                    after,
                    first,
                    cursor,
                    frames,
                });
                if done {
                    return pages;
                }
                if cursor == after {
                    tail.changed().await.expect("the log is there");
                }
                after = cursor;
            }
        }
    });
    let (places, pages) = join(writer, reader).await;
    for page in &pages {
        page.has_what_it_does_not_tell_of(&places);
    }
    let seen: BTreeSet<_> = pages.into_iter().flat_map(|page| page.frames).collect();
    let kept = all(&*log, &Selector::all()).await;
    assert_eq!(kept.len(), KEPT + 1);
    assert!(
        kept.iter().all(|frame| seen.contains(frame)),
        "what is kept to the end was read"
    );
}

/// A page that was read while events came and went.
struct Passed {
    after: Seq,
    first: Seq,
    cursor: Seq,
    frames: Vec<Frame>,
}

impl Passed {
    fn has_what_it_does_not_tell_of(&self, places: &BTreeSet<Seq>) {
        let given: BTreeSet<_> = self.frames.iter().map(|(seq, _)| *seq).collect();
        for place in places
            .iter()
            .filter(|place| **place > self.after && **place <= self.cursor)
        {
            let (after, first, cursor) = (self.after, self.first, self.cursor);
            assert!(
                *place < first || given.contains(place),
                "{place} is missing from the page after {after} up to {cursor}, which says that {first} is the first kept"
            );
        }
    }
}
