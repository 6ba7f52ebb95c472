//! What the coalescer promises.

use proptest::prelude::*;
use serde_json::json;
use turnwire_proto::{Json, Object, Timestamp};

use super::*;

fn event(kind: &Kind, session: &str, data: &serde_json::Value) -> NewEvent {
    let source = Name::new("x").unwrap();
    NewEvent::new(kind.clone(), source, Timestamp::UNIX_EPOCH, Object::of(data)).in_session(Name::new(session).unwrap())
}

fn text(n: usize) -> NewEvent {
    event(
        &Kind::TEXT_DELTA,
        "s",
        &json!({"content": format!("{n}, "), "message_id": "m"}),
    )
}

fn content(event: &NewEvent) -> String {
    event.data.read::<turnwire_proto::TextDelta>().unwrap().content
}

/// Drives it as a runner does: polls at the deadline.
fn run(events: Vec<(u64, NewEvent)>) -> Vec<(u64, NewEvent)> {
    let start = Instant::now();
    let (mut coalescer, mut sent, mut out) = (Coalescer::new(), Vec::new(), Vec::new());
    for (at, event) in events {
        let now = start + Duration::from_millis(at);
        while let Some(due) = coalescer.deadline().filter(|due| *due <= now) {
            coalescer.poll(due, &mut out);
            let at = u64::try_from((due - start).as_millis()).unwrap();
            sent.extend(out.drain(..).map(|event| (at, event)));
        }
        coalescer.push(event, now, &mut out);
        sent.extend(out.drain(..).map(|event| (at, event)));
    }
    coalescer.finish(&mut out);
    sent.extend(out.drain(..).map(|event| (u64::MAX, event)));
    sent
}

#[test]
fn a_fast_text_becomes_at_most_twenty_pieces_a_second_and_stays_whole() {
    let sent = run((0..3000).map(|n| (n, text(usize::try_from(n).unwrap()))).collect());
    let during = sent.iter().filter(|(at, _)| *at < 1000).count();
    assert_eq!(during, 20);
    let whole: String = sent.iter().map(|(_, event)| content(event)).collect();
    assert_eq!(whole, (0..3000).map(|n| format!("{n}, ")).collect::<String>());
    assert_eq!(sent[0].0, 0, "the first piece does not wait");
}

#[test]
fn a_slow_text_is_not_held_back() {
    let sent = run((0..5).map(|n| (n * 100, text(0))).collect());
    assert_eq!(
        sent.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
        [0, 100, 200, 300, 400]
    );
}

#[test]
fn the_whole_message_drops_the_pieces_that_wait_and_no_others() {
    let other = event(&Kind::TEXT_DELTA, "s", &json!({"content": "b ", "message_id": "other"}));
    let whole = event(
        &Kind::MESSAGE,
        "s",
        &json!({"role": "assistant", "content": "0, 1, 2, ", "message_id": "m"}),
    );
    let sent = run(vec![
        (0, text(0)),
        (1, text(1)),
        (2, other.clone()),
        (3, text(2)),
        (4, whole.clone()),
    ]);
    let sent: Vec<_> = sent.into_iter().map(|(_, event)| event).collect();
    assert_eq!(sent, [text_like(&sent[0]), other, whole]);
}

fn text_like(event: &NewEvent) -> NewEvent {
    assert_eq!(content(event), "0, ");
    event.clone()
}

#[test]
fn the_start_of_a_call_drops_its_arguments_pieces_and_its_end_the_rest() {
    let piece = |key: &str| event(&Kind::TOOL_PROGRESS, "s", &json!({"tool_call_id": "c", key: "x "}));
    let start = event(&Kind::TOOL_CALL_START, "s", &json!({"tool": "t", "tool_call_id": "c"}));
    let end = event(
        &Kind::TOOL_CALL,
        "s",
        &json!({"tool": "t", "tool_call_id": "c", "success": true}),
    );
    let kinds = |events| {
        run(events)
            .iter()
            .map(|(_, event)| event.kind.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    let args = || piece("arguments_delta");
    assert_eq!(
        kinds(vec![(0, args()), (1, args()), (2, start)]),
        ["tool_progress", "tool_call_start"]
    );
    let out = || piece("content");
    assert_eq!(
        kinds(vec![(0, out()), (1, out()), (2, end)]),
        ["tool_progress", "tool_call"]
    );
}

#[test]
fn a_merged_piece_has_the_texts_joined_the_last_ones_other_fields_and_no_raw() {
    let piece = |text: &str, ms: u64| {
        event(
            &Kind::TOOL_PROGRESS,
            "s",
            &json!({"tool_call_id": "c", "content": text, "elapsed_ms": ms}),
        )
    };
    let mut pieces = vec![(0, piece("a ", 1)), (1, piece("b ", 2)), (2, piece("c ", 3))];
    for (at, piece) in &mut pieces {
        piece.raw = Some(Json::of(at));
    }
    let sent = run(pieces);
    let body: serde_json::Value = sent[1].1.data.read().unwrap();
    assert_eq!(body, json!({"tool_call_id": "c", "content": "b c ", "elapsed_ms": 3}));
    assert_eq!(sent[0].1.raw, Some(Json::of(&0)), "one piece as it came keeps its line");
    assert_eq!(sent[1].1.raw, None, "the first one's line has a part of what it holds");
}

#[test]
fn what_cannot_be_merged_is_sent_as_it_is() {
    let odd = |n: u64| event(&Kind::TEXT_DELTA, "s", &json!({"content": n, "message_id": "m"}));
    let sent = run(vec![(0, odd(0)), (1, odd(1)), (2, odd(2)), (3, text(3)), (4, text(4))]);
    assert_eq!(sent.len(), 4, "{sent:?}");
    let big = || {
        event(
            &Kind::TEXT_DELTA,
            "s",
            &json!({"content": "x".repeat(MERGED), "message_id": "m"}),
        )
    };
    let sent = run((0..4).map(|n| (n, big())).collect());
    assert!(sent.len() == 4 && sent.iter().all(|(_, event)| event.size() < 2 * MERGED));
}

const SECRET: &str = "sk-ant-api03-R2D2c3po4567_89abcdefGHIJKLMNOPqrstuvwxyz-0123456789abAA";

fn piece(field: &str, text: &str) -> NewEvent {
    let kind = if field == "content" {
        Kind::TEXT_DELTA
    } else {
        Kind::TOOL_PROGRESS
    };
    let mut piece = event(
        &kind,
        "s",
        &json!({"message_id": "m", "tool_call_id": "c", field: text}),
    );
    piece.raw = Some(Json::of(text));
    piece
}

/// What the deltas of a field say, put together, as they would be written.
fn written(field: &str, sent: &[(u64, NewEvent)]) -> (String, String) {
    let redactor = turnwire_redact::Redactor::new([7; 32], &[]).unwrap();
    let (mut plain, mut clean) = (String::new(), String::new());
    for (_, event) in sent.iter().filter(|(_, event)| event.kind.is_delta()) {
        let text = |event: &NewEvent| {
            let body: serde_json::Value = event.data.read().unwrap();
            body[field].as_str().unwrap().to_owned()
        };
        plain.push_str(&text(event));
        let event = redactor.event(event).map_or_else(|| event.clone(), |(event, _)| event);
        clean.push_str(&text(&event));
        clean.push_str(event.raw.as_ref().map_or("", Json::get));
    }
    (plain, clean)
}

/// Whether nine characters of the secret stand together.
fn shows(text: &str) -> bool {
    SECRET
        .as_bytes()
        .windows(9)
        .any(|part| memchr::memmem::find(text.as_bytes(), part).is_some())
}

#[test]
fn a_secret_that_comes_letter_by_letter_is_never_in_two_pieces() {
    let quoted = json!({"path": "a", "key": SECRET, "then": "more"}).to_string();
    for (field, text) in [
        ("content", format!("The key is {SECRET}, as you see.")),
        ("content", format!("export API_KEY='{SECRET}'\n")),
        ("arguments_delta", quoted),
    ] {
        for gap in [0, 1, 30, 200] {
            let mut script = Vec::new();
            for (n, letter) in text.char_indices() {
                let at = u64::try_from(n).unwrap() * gap;
                script.push((at, piece(field, &letter.to_string())));
                // What the vendor says in between ends no text.
                if n % 7 == 3 {
                    script.push((at, event(&Kind::RAW, "s", &json!({"what": "ping"}))));
                }
            }
            let sent = run(script);
            let (plain, clean) = written(field, &sent);
            assert_eq!(plain, text, "the pieces are the text");
            assert!(!shows(&clean) && clean.contains("[redacted:"), "{clean}");
            let mut ids: Vec<_> = sent.iter().map(|(_, event)| event.id).collect();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), sent.len(), "each has an id of its own");
        }
    }
}

#[test]
fn the_last_word_of_a_text_goes_with_its_end_or_is_dropped_by_its_whole() {
    let last = |end: NewEvent| {
        let sent = run(vec![
            (0, piece("content", "all but the las")),
            (100, piece("content", "t")),
            (200, end),
        ]);
        let told: Vec<_> = sent.iter().filter(|(_, event)| event.kind.is_delta()).collect();
        let texts: Vec<String> = told.iter().map(|(_, event)| content(event)).collect();
        (texts, sent.last().unwrap().1.kind.clone())
    };
    let end = event(&Kind::TURN_END, "s", &json!({"ok": true}));
    assert_eq!(
        last(end),
        (vec!["all but the ".to_owned(), "last".to_owned()], Kind::TURN_END)
    );
    let other = event(
        &Kind::MESSAGE,
        "s",
        &json!({"role": "assistant", "content": "", "message_id": "n"}),
    );
    assert_eq!(last(other).0, ["all but the ", "last"]);
    let whole = event(
        &Kind::MESSAGE,
        "s",
        &json!({"role": "assistant", "content": "", "message_id": "m"}),
    );
    assert_eq!(last(whole), (vec!["all but the ".to_owned()], Kind::MESSAGE));
    // What does not end it leaves it waiting.
    let said = event(
        &Kind::MESSAGE,
        "s",
        &json!({"role": "user", "content": "", "message_id": "n"}),
    );
    assert_eq!(
        last(said),
        (vec!["all but the ".to_owned(), "last".to_owned()], Kind::TEXT_DELTA)
    );
}

#[test]
fn nothing_is_due_while_there_is_but_the_beginning_of_a_word() {
    let (mut coalescer, mut out, now) = (Coalescer::new(), Vec::new(), Instant::now());
    coalescer.push(piece("content", "wor"), now, &mut out);
    coalescer.push(piece("content", "d"), now + SPACING, &mut out);
    assert!(out.is_empty() && coalescer.deadline().is_none());
    coalescer.push(piece("content", " a"), now + SPACING, &mut out);
    assert_eq!(content(&out[0]), "word ");
}

#[test]
fn a_word_without_end_goes_in_large_pieces() {
    let letters = "x".repeat(100);
    let sent = run((0..2000).map(|n| (n, piece("content", &letters))).collect());
    let sizes: Vec<usize> = sent.iter().map(|(_, event)| content(event).len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 200_000);
    assert!(sizes.len() < 6, "{sizes:?}");
}

proptest! {
    #[test]
    fn nothing_is_lost_or_reordered_but_superseded_pieces(
        script in proptest::collection::vec((0..40_u64, 0..3_usize, 0..3_usize, 0..5_usize), 0..120)
    ) {
        let (mut at, mut events) = (0, Vec::new());
        for (n, (gap, session, message, what)) in script.into_iter().enumerate() {
            at += gap;
            let (session, message) = (["a", "b", "c"][session], ["x", "y", "z"][message]);
            let event = match what {
                0 => event(&Kind::NOTE, session, &json!({"text": n})),
                1 => event(&Kind::MESSAGE, session, &json!({"content": "", "role": "assistant", "message_id": message})),
                _ => event(&Kind::TEXT_DELTA, session, &json!({"content": format!("{n}, "), "message_id": message})),
            };
            events.push((at, event));
        }
        let sent = run(events.clone());
        let solid = |events: &[(u64, NewEvent)]| -> Vec<NewEvent> {
            events.iter().filter(|(_, e)| !e.kind.is_delta()).map(|(_, e)| e.clone()).collect()
        };
        prop_assert_eq!(solid(&sent), solid(&events), "only deltas are touched");
        for (_, event) in sent.iter().filter(|(_, event)| !event.kind.is_delta()) {
            let given = events.iter().find(|(_, given)| given.id == event.id).unwrap().0;
            prop_assert!(sent.iter().any(|(at, e)| e.id == event.id && *at == given), "none is held back");
        }
        // Between two events that are no deltas, a text's pieces are the same text, or are dropped by its whole.
        for session in ["a", "b", "c"] {
            let of = |events: &[(u64, NewEvent)]| -> Vec<NewEvent> {
                events.iter().map(|(_, e)| e).filter(|e| e.session_id.as_ref().unwrap().as_str() == session).cloned().collect()
            };
            let (given, sent) = (of(&events), of(&sent));
            let runs = |events: &[NewEvent], message: &str| -> Vec<String> {
                events.split(|e| !e.kind.is_delta()).map(|run| {
                    run.iter().filter(|e| Key::of(e).id.as_deref() == Some(message)).map(content).collect()
                }).collect()
            };
            let ends: Vec<_> = given.iter().filter(|e| !e.kind.is_delta()).cloned().collect();
            for message in ["x", "y", "z"] {
                let pairs = runs(&given, message).into_iter().zip(runs(&sent, message));
                for (n, (given, sent)) in pairs.enumerate() {
                    let whole = ends.get(n).is_some_and(|e| e.kind == Kind::MESSAGE && Key::of(e).id.as_deref() == Some(message));
                    prop_assert!(given == sent || (whole && given.starts_with(&sent)), "{given:?} {sent:?}");
                }
            }
        }
    }
}
