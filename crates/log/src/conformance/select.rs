//! Promises of what a [`Selector`] reads, and of what it does not.

use std::collections::BTreeSet;

use proptest::test_runner::TestRunner;
use turnwire_proto::{Json, NewEvent, PUBLIC_SOURCE, Selector, Seq, Visibility};

use super::{
    Subjects,
    check::{all, append, backward, forward, ids, parse, places, select},
    event::{any_event, any_selector, draw, kind, name, note},
};
use crate::Limit;

/// Twelve logs, two dozen selectors each, both ways, from random places, by random limits.
pub async fn a_selector_gives_what_filtering_everything_gives(subjects: &Subjects) {
    let mut runner = TestRunner::deterministic();
    for size in (10..=120).step_by(10) {
        let subject = subjects.subject().await;
        let log = subject.open().await;
        let events: Vec<_> = (0..size).map(|_| draw(&mut runner, &any_event())).collect();
        for batch in events.chunks(size / 3) {
            append(&*log, batch).await;
        }
        let events = places(&*log, &events).await;
        let head = events[size - 1].0.get();
        for _ in 0..24 {
            let (what, at, limit) = draw(&mut runner, &(any_selector(), 0..=head + 1, 1..20_usize));
            let (at, limit) = (Seq::new(at).expect("near the head"), Limit::events(limit));
            let expected = select(events.iter().map(|(seq, event)| (seq, event)), &what);
            let (ahead, behind): (Vec<_>, Vec<_>) = expected.iter().cloned().partition(|(seq, _)| *seq < at);
            assert_eq!(
                forward(&*log, &what, at.prev(), limit).await,
                behind,
                "after {} of {what:?}",
                at.prev()
            );
            assert_eq!(
                backward(&*log, &what, at, limit).await,
                ahead,
                "before {at} of {what:?}"
            );
            assert_eq!(all(&*log, &what).await, expected, "{what:?}");
        }
    }
}

/// Deny by default, also when just that session is asked for.
pub async fn a_private_session_is_read_only_by_whom_it_was_granted(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let observed = |n, session| NewEvent {
        source: name(PUBLIC_SOURCE),
        ..note(n).in_session(name(session))
    };
    let mine = [note(0).in_session(name("mine")), observed(1, "mine")];
    let other = [note(2).in_session(name("other")), observed(3, "other")];
    let open = note(4);
    let events = [
        mine[0].clone(),
        other[0].clone(),
        open.clone(),
        other[1].clone(),
        mine[1].clone(),
    ];
    append(&*log, &events).await;

    let granted = |sessions: &[&str]| Visibility::Sessions(sessions.iter().map(|s| name(s)).collect::<BTreeSet<_>>());
    let only = Visibility::Only(name("mine"));
    let of = |visible: &Visibility, session: Option<&str>| Selector {
        session: session.map(name),
        ..Selector::within(visible.clone())
    };
    let cases = [
        (
            of(&Visibility::All, None),
            vec![&mine[0], &other[0], &open, &other[1], &mine[1]],
        ),
        (
            of(&granted(&["mine"]), None),
            vec![&mine[0], &open, &other[1], &mine[1]],
        ),
        (of(&granted(&[]), None), vec![&open, &other[1], &mine[1]]),
        (of(&only, None), vec![&mine[0], &mine[1]]),
        (of(&Visibility::All, Some("other")), vec![&other[0], &other[1]]),
        (of(&granted(&["mine"]), Some("mine")), vec![&mine[0], &mine[1]]),
        (of(&granted(&["mine"]), Some("other")), vec![&other[1]]),
        (of(&only, Some("mine")), vec![&mine[0], &mine[1]]),
        (of(&only, Some("other")), vec![]),
    ];
    for (what, expected) in cases {
        let expected: Vec<_> = expected.iter().map(|event| event.id).collect();
        assert_eq!(ids(&all(&*log, &what).await), expected, "{what:?}");
        assert_eq!(
            ids(&backward(&*log, &what, Seq::MAX, Limit::RUN).await),
            expected,
            "{what:?} backwards"
        );
    }
}

/// The bytes of the vendor, on the events that have some.
pub async fn vendors_lines_come_verbatim_and_only_when_asked_for(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let lines = [
        r#"{ "type":"x",  "n":1.50, "big":12345678901234567890.10 }"#,
        "null",
        "\"é\\u0000\"",
        "[1 , 2]",
    ];
    let raw = |line| Json::parse(line).expect("this is JSON");
    let mut events: Vec<_> = lines
        .iter()
        .map(|line| NewEvent {
            raw: Some(raw(line)),
            ..note(0)
        })
        .collect();
    events.insert(1, note(1));
    append(&*log, &events).await;
    for what in [
        Selector::all(),
        Selector {
            agents: vec![],
            kinds: vec![kind("note")],
            ..Selector::all()
        },
    ] {
        for frame in all(&*log, &what).await {
            assert_eq!(parse(&frame).raw, None, "nobody asked for it");
        }
        let what = Selector { raw: true, ..what };
        for frames in [
            all(&*log, &what).await,
            backward(&*log, &what, Seq::MAX, Limit::events(2)).await,
        ] {
            for (frame, event) in frames.iter().zip(&events) {
                // A raw `null` reads back as none, so the frame itself is looked at.
                let tail = event
                    .raw
                    .as_ref()
                    .map_or_else(|| "}}\n".to_owned(), |raw| format!("}},\"raw\":{}}}\n", raw.get()));
                assert!(frame.1.contains(&tail), "{} ends with {tail}", frame.1);
            }
        }
    }
}

/// And everything else comes.
pub async fn deltas_can_be_left_out(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let kinds = [
        "text_delta",
        "message",
        "reasoning_delta",
        "tool_progress",
        "reasoning",
        "made_up_delta",
    ];
    let events: Vec<_> = kinds
        .iter()
        .map(|text| NewEvent {
            kind: kind(text),
            ..note(0)
        })
        .collect();
    append(&*log, &events).await;
    let what = Selector {
        deltas: false,
        ..Selector::all()
    };
    let read: Vec<_> = all(&*log, &what)
        .await
        .iter()
        .map(|frame| parse(frame).kind.as_str().to_owned())
        .collect();
    assert_eq!(read, ["message", "reasoning", "made_up_delta"]);
    let what = Selector {
        kinds: vec![kind("text_delta")],
        ..what
    };
    assert!(
        all(&*log, &what).await.is_empty(),
        "asking for their kind does not bring them back"
    );
    assert_eq!(all(&*log, &Selector::all()).await.len(), kinds.len());
}
