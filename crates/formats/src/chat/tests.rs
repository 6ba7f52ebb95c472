//! The wire against recorded runs of real agents, whose events are those that the adapters' tests keep; and what no recording has.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::{Value, json};
use turnwire_proto::Event;

use super::{Chat, Mapped, streamed::MESSAGES, summary};

fn event(seq: usize, mut event: Value) -> Event {
    event["seq"] = json!(seq);
    event["id"] = json!("0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10");
    event.as_object_mut().unwrap().remove("raw");
    for (field, value) in [("timestamp", "2026-11-20T08:25:00.123Z"), ("source", "test")] {
        event.as_object_mut().unwrap().entry(field).or_insert(json!(value));
    }
    Event::parse(event.to_string().as_bytes()).unwrap()
}

/// Every recorded run, by name.
fn runs() -> BTreeMap<String, Vec<Event>> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../adapters/fixtures"));
    let mut runs = BTreeMap::new();
    for vendor in ["claude", "codex", "gemini", "opencode"] {
        for file in fs::read_dir(root.join(vendor)).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "events") {
                continue;
            }
            let name = format!("{vendor}-{}", path.file_stem().unwrap().to_str().unwrap());
            let text = fs::read_to_string(&path).unwrap();
            let events = text.lines().map(|line| serde_json::from_str(line).unwrap()).enumerate();
            runs.insert(name, events.map(|(at, line)| event(at + 1, line)).collect());
        }
    }
    assert!(runs.len() > 10);
    runs
}

/// The frame of an event; of an end the one that stands for it here.
fn frame(mapped: Mapped) -> Option<Value> {
    match mapped {
        Mapped::Nothing => None,
        Mapped::Frame(frame) | Mapped::TurnEnd(frame) | Mapped::CommandEnd(frame) => {
            Some(serde_json::from_str(&frame.finish()).unwrap())
        }
    }
}

fn frames<'a>(chat: &mut Chat, events: impl IntoIterator<Item = &'a Event>) -> Vec<Value> {
    events
        .into_iter()
        .filter_map(|event| frame(chat.event(event)))
        .collect()
}

fn said(kind: &str, content: &str, message_id: Option<&str>) -> Event {
    let mut data = json!({"content": content});
    if kind == "message" {
        data["role"] = json!("assistant");
    }
    if let Some(id) = message_id {
        data["message_id"] = json!(id);
    }
    event(1, json!({"type": kind, "data": data}))
}

#[test]
fn recorded_runs_give_the_frames_that_a_person_has_checked() {
    let golden = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/chat"));
    let runs = runs();
    for name in [
        "claude-partial-messages",
        "claude-control-permission",
        "codex-basic-tools",
    ] {
        let mut chat = Chat::default();
        let now: String = frames(&mut chat, &runs[name])
            .iter()
            .map(|frame| format!("{frame}\n"))
            .collect();
        let path = golden.join(format!("{name}.frames"));
        if std::env::var_os("UPDATE").is_some() {
            fs::create_dir_all(&golden).unwrap();
            fs::write(&path, &now).unwrap();
        }
        let checked = fs::read_to_string(&path).unwrap_or_default();
        let first = checked.lines().zip(now.lines()).find(|(a, b)| a != b);
        assert!(
            checked == now,
            "{name}: first difference {first:#?}; UPDATE=1 writes it anew"
        );
    }
}

#[test]
fn what_is_streamed_and_what_comes_whole_is_said_once() {
    for (name, events) in runs() {
        let voices = [("message", "token"), ("reasoning", "reasoning")];
        let frames = frames(&mut Chat::default(), &events);
        for (kind, shown) in voices {
            let is_own = |event: &&Event| {
                let data: Value = event.data.read().unwrap();
                event.kind.as_str() == kind && (kind == "reasoning" || data["role"] == "assistant")
            };
            let whole: String = events
                .iter()
                .filter(is_own)
                .map(|event| {
                    event.data.read::<Value>().unwrap()["content"]
                        .as_str()
                        .unwrap()
                        .to_owned()
                })
                .collect();
            let mut told = String::new();
            for frame in frames.iter().filter(|frame| frame["type"] == shown) {
                assert_eq!(frame.get("whole"), None, "{name}: {frame}");
                told += frame["content"].as_str().unwrap();
            }
            assert_eq!(told, whole, "{name}");
        }
    }
}

#[test]
fn a_reader_who_resumes_behind_any_event_has_the_same_frames_as_one_who_stayed() {
    for (name, events) in runs() {
        let stayed = frames(&mut Chat::default(), &events);
        for cut in 0..events.len() {
            let mut chat = Chat::default();
            let (had, rest) = events.split_at(cut);
            had.iter().for_each(|event| chat.had(event));
            let resumed = frames(&mut chat, rest);
            assert_eq!(resumed, stayed[stayed.len() - resumed.len()..], "{name}, behind {cut}");
            let first = stayed
                .iter()
                .filter(|frame| frame["seq"].as_u64() <= u64::try_from(cut).ok())
                .count();
            assert_eq!(first + resumed.len(), stayed.len(), "{name}, behind {cut}");
        }
    }
}

#[test]
fn of_a_message_that_was_streamed_in_part_comes_the_rest_or_all_of_it_in_its_place() {
    for (pieces, whole, content, instead) in [
        (&[][..], "abc", Some("abc"), None),
        (&["a", "bc"], "abc", None, None),
        (&["a"], "abc", Some("bc"), None),
        (&["bc"], "abc", Some("abc"), Some(true)),
        (&["abcd"], "abc", None, None),
        (&[], "", None, None),
    ] {
        for id in [Some("m"), None] {
            let mut chat = Chat::default();
            frames(
                &mut chat,
                &pieces
                    .iter()
                    .map(|piece| said("text_delta", piece, id))
                    .collect::<Vec<_>>(),
            );
            let told = frame(chat.event(&said("message", whole, id)));
            let told = told.as_ref();
            assert_eq!(told.and_then(|told| told["content"].as_str()), content, "{pieces:?}");
            assert_eq!(told.and_then(|told| told["whole"].as_bool()), instead, "{pieces:?}");
        }
    }
    // Pieces without an id, of a message that has one; and several parts under one id.
    let mut chat = Chat::default();
    frames(&mut chat, &[said("text_delta", "ab", None)]);
    assert_eq!(chat.event(&said("message", "ab", Some("m"))), Mapped::Nothing);
    frames(&mut chat, &[said("text_delta", "ab", Some("m"))]);
    assert_eq!(chat.event(&said("message", "a", Some("m"))), Mapped::Nothing);
    assert_eq!(chat.event(&said("message", "b", Some("m"))), Mapped::Nothing);
    // What agent and subagent say at once are two messages.
    let sub = |kind: &str, content: &str| {
        let data = json!({"role": "assistant", "content": content, "parent_tool_call_id": "t"});
        event(1, json!({"type": kind, "data": data}))
    };
    frames(
        &mut chat,
        &[said("text_delta", "mine", None), sub("text_delta", "theirs")],
    );
    assert_eq!(chat.event(&sub("message", "theirs")), Mapped::Nothing);
    assert_eq!(chat.event(&said("message", "mine", None)), Mapped::Nothing);
}

#[test]
fn what_is_remembered_of_streams_is_bounded_and_what_is_forgotten_comes_whole() {
    let mut chat = Chat::default();
    for n in 0..=MESSAGES {
        chat.event(&said("text_delta", "x", Some(&n.to_string())));
    }
    let told = frame(chat.event(&said("message", "x", Some("0")))).unwrap();
    assert_eq!(told["content"], "x", "the oldest was forgotten");
    assert_eq!(chat.event(&said("message", "x", Some("1"))), Mapped::Nothing);
    let mut chat = Chat::default();
    let (piece, mut whole) = ("y".repeat(300 * 1024), String::new());
    for _ in 0..4 {
        chat.event(&said("text_delta", &piece, Some("m")));
        whole += &piece;
    }
    let told = frame(chat.event(&said("message", &whole, Some("m")))).unwrap();
    assert_eq!(
        (&told["whole"], told["content"].as_str().map(str::len)),
        (&json!(true), Some(whole.len()))
    );
}

#[test]
fn kinds_that_are_not_known_and_bodies_of_other_shapes_pass_as_they_are() {
    let mut chat = Chat::default();
    for (kind, data) in [
        ("made_tomorrow", json!({"n": 1})),
        ("tool_call", json!({"tool": 7})),
        ("message", json!({"role": ["user"]})),
        ("turn_end", json!({"ok": "yes"})),
        ("command_state", json!({"command_id": 1})),
        ("llm_request", json!({})),
    ] {
        let told = frame(chat.event(&event(7, json!({"type": kind, "turn_id": "t", "data": data})))).unwrap();
        assert_eq!(
            (&told["type"], &told["seq"], &told["turn_id"]),
            (&json!("event"), &json!(7), &json!("t"))
        );
        assert_eq!((&told["event"]["type"], &told["event"]["data"]), (&json!(kind), &data));
    }
    assert_eq!(
        chat.event(&event(1, json!({"type": "raw", "data": {}}))),
        Mapped::Nothing
    );
}

#[test]
fn a_body_whose_last_field_is_an_object_keeps_its_braces() {
    let data = json!({"approval_id": "a", "decision": "approved", "arguments": {"x": {"y": {}}}});
    let told = frame(Chat::default().event(&event(1, json!({"type": "approval_decision", "data": data})))).unwrap();
    assert_eq!(
        (&told["type"], &told["arguments"]),
        (&json!("approval_resolved"), &json!({"x": {"y": {}}}))
    );
}

#[test]
fn a_summary_is_the_beginning_of_a_text_or_a_value() {
    let json = |text: &str| turnwire_proto::Json::parse(text).unwrap();
    assert_eq!(summary(None, None), None);
    assert_eq!(summary(None, Some("denied")).as_deref(), Some("denied"));
    assert_eq!(summary(Some(&json(r#""a\nb""#)), Some("x")).as_deref(), Some("a\nb"));
    assert_eq!(
        summary(Some(&json(r#"{"a":[1]}"#)), None).as_deref(),
        Some(r#"{"a":[1]}"#)
    );
    let long = summary(Some(&json(&format!("{:?}", "é".repeat(501)))), None).unwrap();
    assert_eq!((long.chars().count(), long.chars().last()), (501, Some('…')));
}
