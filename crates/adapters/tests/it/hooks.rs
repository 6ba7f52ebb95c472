//! Hooks: what real ones told, one payload a line, in `fixtures/*-hooks`; `documented.hooks.jsonl` is written by hand, of
//! what the vendor's manual names and no recording has. `UPDATE=1` writes the `.events` files: read the difference.

use std::{collections::HashSet, fs, path::PathBuf};

use proptest::prelude::*;
use turnwire_adapters::hooks::{Delivery, How, NO_SESSION, Told, Vendor, claude, codex, gemini};
use turnwire_proto::{Defaults, EventId, Json, Kind, NewEvent, Timestamp, ToolCall, limits};

use crate::every_adapter::{Spoil, apply, publishable, spoil};

/// Recordings of every vendor.
fn files() -> Vec<(Vendor, PathBuf, Vec<Vec<u8>>)> {
    let mut files = Vec::new();
    for (vendor, folder) in [
        (Vendor::Claude, "claude-hooks"),
        (Vendor::Codex, "codex-hooks"),
        (Vendor::Gemini, "gemini-hooks"),
    ] {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(folder);
        let mut paths: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.retain(|path| path.to_str().unwrap().ends_with(".hooks.jsonl"));
        paths.sort();
        for path in paths {
            let bytes = fs::read(&path).unwrap();
            let bytes = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
            let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            let lines = lines.map(<[u8]>::to_vec).collect();
            files.push((vendor, path, lines));
        }
    }
    assert!(files.len() >= 10, "the recordings are there");
    files
}

fn payload(file: &str, event: &str) -> Vec<u8> {
    let (_, _, lines) = files().into_iter().find(|(_, path, _)| path.ends_with(file)).unwrap();
    let name = format!("\"hook_event_name\":\"{event}\"");
    let is = |line: &Vec<u8>| String::from_utf8_lossy(line).contains(&name);
    lines.into_iter().find(is).unwrap()
}

fn delivery() -> Delivery {
    Delivery::new(Timestamp::from_millis(1_795_165_200_000).unwrap())
}

/// All that is owed of any payload.
fn check(vendor: Vendor, payload: &[u8], gate: bool) -> Told {
    let delivery = Delivery { gate, ..delivery() };
    let told = vendor.read(payload, &delivery);
    assert!(!told.events.is_empty());
    for event in &told.events {
        publishable("claude-hooks", event);
        assert!(event.session_id.is_some(), "an event without a session is public");
    }
    let ids: HashSet<EventId> = told.events.iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), told.events.len(), "each event has an id of its own");
    let text = String::from_utf8_lossy(payload);
    let text = text.trim_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    let raws: Vec<&Json> = told.events.iter().filter_map(|event| event.raw.as_ref()).collect();
    if text.len() < limits::EVENT / 4 {
        let whole = |raw: &&Json| raw.get() == text || raw.read::<String>().is_ok_and(|raw| raw == text);
        assert!(
            raws.len() == 1 && (raws.iter().any(whole) || text.contains("\\u")),
            "lost: {text}"
        );
    }
    let questions = told.events.iter().filter(|event| event.kind == Kind::APPROVAL_REQUEST);
    assert_eq!(questions.count(), usize::from(told.asks.is_some()));
    assert_eq!(
        vendor.read(payload, &delivery).events,
        told.events,
        "a second try is the same"
    );
    told
}

fn show(event: &NewEvent) -> String {
    let mut text = Vec::new();
    event.encode_body(&mut text);
    let text = String::from_utf8(text).unwrap();
    // `,"id":"…",` is always the first field, of 45 bytes.
    let raw = if event.raw.is_some() { ",\"raw\":true}" } else { "}" };
    format!("  {{{}{raw}", &text[45..text.len() - 1])
}

/// A line for each payload's name, its events under it; those that were told before are marked.
fn golden(vendor: Vendor, lines: &[Vec<u8>]) -> String {
    let mut text = String::new();
    let mut known = HashSet::new();
    for (n, line) in lines.iter().enumerate() {
        let mut delivery = delivery();
        // The same ids in every run.
        delivery.id = EventId::from_bytes([u8::try_from(n).unwrap(); 16]);
        let told = vendor.read(line, &delivery);
        let hook: serde_json::Value = serde_json::from_slice(line).unwrap();
        let unknown = if told.unknown { " (unknown)" } else { "" };
        let name = hook["hook_event_name"].as_str().unwrap_or_default();
        text.push_str(&format!("{name}{unknown}\n"));
        for event in &told.events {
            let again = if known.insert(event.id) { "" } else { "  (again)" };
            let shown = show(event).replace(&event.id.to_string(), "<id>");
            text.push_str(&format!("{shown}{again}\n"));
        }
    }
    text
}

#[test]
fn every_recorded_hook_gives_the_events_that_a_person_has_checked() {
    let mut wrong = Vec::new();
    for (vendor, path, lines) in files() {
        for line in &lines {
            check(vendor, line, false);
            check(vendor, line, true);
        }
        let now = golden(vendor, &lines);
        let golden = path.with_extension("events");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&golden, &now).unwrap();
        }
        let checked = fs::read_to_string(&golden).unwrap_or_default();
        if checked != now {
            let first = checked.lines().zip(now.lines()).find(|(a, b)| a != b);
            wrong.push(format!("{}: first difference {first:#?}", golden.display()));
        }
        let real = !path.to_str().unwrap().contains("documented");
        assert!(
            !real || !now.contains("(unknown)"),
            "{}: all is understood",
            path.display()
        );
    }
    assert!(wrong.is_empty(), "{}\nUPDATE=1 writes them anew", wrong.join("\n"));
}

#[test]
fn what_has_a_key_of_its_own_is_the_same_event_however_often_it_is_delivered() {
    for (event, kinds) in [
        ("UserPromptSubmit", &["session_start", "turn_start", "message"][..]),
        ("PreToolUse", &["tool_call_start"]),
        ("PostToolUse", &["tool_call"]),
        ("PostToolUseFailure", &["tool_call"]),
        ("MessageDisplay", &["message"]),
        ("Stop", &["message", "turn_end"]),
    ] {
        let payload = payload("tools.hooks.jsonl", event);
        let (one, two) = (claude(&payload, &delivery()), claude(&payload, &delivery()));
        let ids = |told: &Told| told.events.iter().map(|event| event.id).collect::<Vec<_>>();
        assert_eq!(ids(&one), ids(&two), "{event}");
        let told: Vec<_> = one.events.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(told, kinds, "{event}");
    }
    // Compacting happens as often as it is told.
    let payload = payload("documented.hooks.jsonl", "PreCompact");
    let (one, two) = (claude(&payload, &delivery()), claude(&payload, &delivery()));
    assert_ne!(one.events[0].id, two.events[0].id);
}

#[test]
fn a_call_that_was_refused_ends_with_its_batch_and_one_that_ended_is_not_ended_again() {
    let mut known = HashSet::new();
    let mut ends = Vec::new();
    for file in ["permission-denied.hooks.jsonl", "tools.hooks.jsonl"] {
        let (_, _, lines) = files().into_iter().find(|(_, path, _)| path.ends_with(file)).unwrap();
        for line in lines {
            let told = claude(&line, &delivery()).events;
            ends.extend(
                told.into_iter()
                    .filter(|event| event.kind == Kind::TOOL_CALL && known.insert(event.id)),
            );
        }
    }
    let ends: Vec<ToolCall> = ends.iter().map(|event| event.data.read().unwrap()).collect();
    let outcome: Vec<_> = ends
        .iter()
        .map(|call| (call.tool.as_str(), call.error.as_deref(), call.duration_ms.is_some()))
        .collect();
    assert_eq!(
        outcome,
        [
            ("Write", Some("denied"), false),
            ("Read", None, true),
            ("Bash", None, true),
            ("Bash", Some("exit 2"), true),
            ("Write", None, true),
            ("Bash", None, true)
        ]
    );
}

#[test]
fn a_permission_is_asked_about_and_a_gate_asks_about_every_call() {
    let permission = payload("permission-denied.hooks.jsonl", "PermissionRequest");
    let told = check(Vendor::Claude, &permission, false);
    let asks = told.asks.unwrap();
    assert_eq!(asks.how, How::Permission);
    assert_eq!(asks.approval_id.as_str(), told.events[0].id.to_string());
    let again = claude(&permission, &delivery()).asks.unwrap();
    assert_ne!(again.approval_id, asks.approval_id, "each time is another question");

    let call = payload("tools.hooks.jsonl", "PreToolUse");
    assert_eq!(check(Vendor::Claude, &call, false).asks, None);
    let (one, two) = (
        check(Vendor::Claude, &call, true).asks.unwrap(),
        check(Vendor::Claude, &call, true).asks.unwrap(),
    );
    assert_eq!((one.how, &one), (How::Gate, &two));
}

#[test]
fn payloads_of_any_shape_are_kept_and_none_is_public() {
    let deep = format!(
        "{{\"session_id\":\"s\",\"hook_event_name\":\"PreToolUse\",\"tool_use_id\":\"a\",\"tool_input\":{}1{}}}",
        "[".repeat(5000),
        "]".repeat(5000)
    );
    for odd in [
        "plain text",
        "{}",
        "[]",
        "7",
        "\"Stop\"",
        "{\"hook_event_name\":7}",
        "{\"hook_event_name\":\"\"}",
        "{\"session_id\":7,\"hook_event_name\":\"Stop\"}",
        "{\"session_id\":\"\\u0000\",\"hook_event_name\":\"PreToolUse\"}",
        "{\"session_id\":\"s\",\"hook_event_name\":\"PostToolBatch\",\"tool_calls\":[7,{},{\"tool_use_id\":\"a\"}]}",
        "{\"session_id\":\"s\",\"hook_event_name\":\"PermissionRequest\"}",
        "{\"session_id\":\"s\",\"hook_event_name\":\"UserPromptSubmit\"}",
        &deep,
    ] {
        for vendor in [Vendor::Claude, Vendor::Codex, Vendor::Gemini] {
            check(vendor, odd.as_bytes(), true);
        }
    }
    let told = claude(b"{\"hook_event_name\":\"Stop\",\"prompt_id\":\"p\"}", &delivery());
    assert_eq!(told.events[0].session_id.as_ref().unwrap().as_str(), NO_SESSION);
    let big = format!(
        "{{\"session_id\":\"s\",\"hook_event_name\":\"PostToolUse\",\"tool_use_id\":\"a\",\"tool_response\":[{}1]}}",
        "1,".repeat(limits::EVENT)
    );
    assert!(
        check(Vendor::Claude, big.as_bytes(), false).events[0]
            .data
            .get()
            .contains("\"truncated\":true")
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn no_spoilt_payload_is_lost(
        which in 0..1000_usize,
        spoils in proptest::collection::vec(spoil(), 1..6),
        gate in any::<bool>(),
    ) {
        let files = files();
        let (vendor, _, mut lines) = files[which % files.len()].clone();
        for spoil in &spoils {
            if !matches!(spoil, Spoil::Drop(_)) {
                apply(spoil, &mut lines);
            }
        }
        for line in &lines {
            check(vendor, line, gate);
        }
    }
}

#[test]
fn an_event_says_that_hooks_told_it() {
    let told = claude(&payload("tools.hooks.jsonl", "Stop"), &delivery());
    let source = Defaults::new("claude-hooks", Timestamp::UNIX_EPOCH).source;
    assert!(
        told.events
            .iter()
            .all(|event| event.source == source && event.turn_id.is_some())
    );
}

fn of_vendor(vendor: Vendor, event: &str) -> Vec<Vec<u8>> {
    let name = format!("\"hook_event_name\":\"{event}\"");
    let lines = files()
        .into_iter()
        .filter(|(of, _, _)| *of == vendor)
        .flat_map(|(_, _, lines)| lines);
    let is = |line: &Vec<u8>| String::from_utf8_lossy(line).replace("\": ", "\":").contains(&name);
    lines.filter(is).collect()
}

#[test]
fn what_codex_notifies_of_is_what_its_hooks_tell() {
    let notice = br#"{"type":"agent-turn-complete","thread-id":"s","turn-id":"t","cwd":"/p","input-messages":["Do it."],"last-assistant-message":"Done."}"#;
    let prompt =
        br#"{"session_id":"s","turn_id":"t","cwd":"/p","hook_event_name":"UserPromptSubmit","prompt":"Do it."}"#;
    let stop = br#"{"session_id":"s","turn_id":"t","hook_event_name":"Stop","last_assistant_message":"Done."}"#;
    let ids = |payload: &[u8]| codex(payload, &delivery()).events.into_iter().map(|event| event.id);
    let hooks: HashSet<EventId> = ids(prompt).chain(ids(stop)).collect();
    assert_eq!(ids(notice).collect::<HashSet<_>>(), hooks);
}

#[test]
fn a_gate_of_codex_and_of_gemini_asks_and_says_what_became_of_a_denied_call() {
    for (vendor, event, how) in [
        (Vendor::Codex, "PreToolUse", How::CodexGate),
        (Vendor::Gemini, "BeforeTool", How::GeminiGate),
    ] {
        for payload in of_vendor(vendor, event) {
            assert!(check(vendor, &payload, false).asks.is_none());
            let told = check(vendor, &payload, true);
            let (start, asks) = (&told.events[0], told.asks.unwrap());
            assert_eq!((asks.how, asks.how.is_gate()), (how, true));
            let denied = asks.denied.unwrap();
            let (start, end): (serde_json::Value, serde_json::Value) =
                (start.data.read().unwrap(), denied.data.read().unwrap());
            assert_eq!(
                (&end["tool"], &end["tool_call_id"]),
                (&start["tool"], &start["tool_call_id"])
            );
            assert_eq!((&end["success"], &end["error"]), (&false.into(), &"denied".into()));
            if vendor == Vendor::Gemini {
                assert_eq!(end["arguments"], start["arguments"], "it has no id");
            }
        }
    }
}

#[test]
fn a_command_of_gemini_that_failed_has_failed_and_calls_are_known_by_their_time() {
    let calls: Vec<ToolCall> = of_vendor(Vendor::Gemini, "AfterTool")
        .iter()
        .map(|line| gemini(line, &delivery()).events[0].data.read().unwrap())
        .collect();
    let outcomes: Vec<_> = calls
        .iter()
        .map(|call| (call.tool.as_str(), call.error.as_deref()))
        .collect();
    assert_eq!(
        outcomes,
        [
            ("run_shell_command", None),
            ("read_file", None),
            ("write_file", None),
            ("run_shell_command", Some("exit 2"))
        ]
    );
    let line = &of_vendor(Vendor::Gemini, "BeforeTool")[0];
    let later = String::from_utf8_lossy(line).replace("2026-11-20T09:03:03", "2026-11-20T09:03:13");
    let id = |payload: &[u8]| gemini(payload, &delivery()).events[0].id;
    assert_eq!(id(line), id(line));
    assert_ne!(id(line), id(later.as_bytes()), "the same command again is another call");
}
