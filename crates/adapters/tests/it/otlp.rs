//! OTLP: what real agents sent, byte for byte, in `fixtures/*-otlp`; `genai-otlp` is written by hand, of what the conventions say
//! and older programs do. `UPDATE=1` writes the `.events` files: read the difference.

use std::{collections::HashSet, fs, path::PathBuf};

use proptest::prelude::*;
use turnwire_adapters::otlp::{Encoding, NO_SESSION, Signal, Told, read, to_protobuf};
use turnwire_proto::{EventId, Kind, NewEvent, Timestamp, ToolCall, Usage};

use crate::every_adapter::publishable;

/// One request.
struct Body {
    path: PathBuf,
    signal: Signal,
    encoding: Encoding,
    bytes: Vec<u8>,
}

fn all() -> Vec<Body> {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let entries = |folder: &PathBuf| -> Vec<PathBuf> {
        let mut paths: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        paths
    };
    let mut bodies = Vec::new();
    for folder in ["claude-otlp", "codex-otlp", "gemini-otlp", "genai-otlp"] {
        for run in entries(&fixtures.join(folder)).iter().filter(|path| path.is_dir()) {
            for path in entries(run) {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                let encoding = match path.extension().and_then(|ending| ending.to_str()) {
                    Some("pb") => Encoding::Protobuf,
                    Some("json") if !name.ends_with(".meta.json") => Encoding::Json,
                    _ => continue,
                };
                let signal = match name {
                    name if name.contains("-logs") => Signal::Logs,
                    name if name.contains("-traces") => Signal::Traces,
                    _ => Signal::Metrics,
                };
                let bytes = fs::read(&path).unwrap();
                bodies.push(Body {
                    path,
                    signal,
                    encoding,
                    bytes,
                });
            }
        }
    }
    assert!(bodies.len() >= 14, "the recordings are there");
    bodies
}

fn body(ending: &str) -> Body {
    all().into_iter().find(|body| body.path.ends_with(ending)).unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_795_165_200_000).unwrap()
}

fn told(body: &Body) -> Told {
    read(body.signal, body.encoding, &body.bytes, now()).unwrap()
}

/// All that is owed of any request that can be decoded.
fn check(told: &Told) {
    for event in &told.events {
        publishable("otlp", event);
        assert!(event.session_id.is_some(), "an event without a session is public");
    }
    assert_eq!(told.records_of.len(), told.events.len());
    assert_eq!(
        told.records_of.iter().sum::<u64>(),
        told.records,
        "each record is in one event"
    );
}

fn show(event: &NewEvent) -> String {
    let mut text = Vec::new();
    event.encode_body(&mut text);
    let text = String::from_utf8(text).unwrap();
    // `,"id":"…",` is always the first field, of 45 bytes.
    let raw = event.raw.as_ref().map_or("", |_| "  +raw");
    format!("{{{}{raw}\n", &text[45..])
}

#[test]
fn every_request_gives_the_events_that_a_person_has_checked() {
    let mut wrong = Vec::new();
    for body in all() {
        let now: String = told(&body).events.iter().map(show).collect();
        let path = body.path.with_extension("events");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &now).unwrap();
        }
        if fs::read_to_string(&path).unwrap_or_default() != now {
            wrong.push(path);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn a_request_gives_the_same_events_in_either_encoding_and_as_often_as_it_comes() {
    for body in all() {
        let first = told(&body);
        check(&first);
        let ids: HashSet<EventId> = first.events.iter().map(|event| event.id).collect();
        // Both of two records that tell one fact make the event of it.
        let facts = first.events.iter().filter(|event| event.raw.is_some()).count();
        assert!(ids.len() >= facts, "{}", body.path.display());
        let later = Timestamp::from_millis(now().millis() + 60_000).unwrap();
        let again = read(body.signal, body.encoding, &body.bytes, later).unwrap();
        let same = |told: &Told| told.events.iter().map(|event| event.id).collect::<Vec<_>>();
        assert_eq!(same(&first), same(&again), "{}", body.path.display());
        if body.encoding == Encoding::Json {
            let protobuf = to_protobuf(body.signal, &body.bytes).unwrap();
            let other = read(body.signal, Encoding::Protobuf, &protobuf, now()).unwrap();
            assert_eq!(first.events, other.events, "{}", body.path.display());
        }
    }
}

#[test]
fn every_record_is_the_raw_of_one_event_and_none_of_a_recording_is_unknown() {
    for body in all() {
        let told = told(&body);
        let records = told.events.iter().filter(|event| event.raw.is_some()).count() as u64;
        if body.signal != Signal::Metrics {
            assert_eq!(records, told.records, "{}", body.path.display());
        }
        assert!(records > 0);
        if !body.path.to_str().unwrap().contains("documented") {
            assert_eq!(told.unknown, 0, "{}", body.path.display());
        }
    }
}

fn bodies_of<T: serde::de::DeserializeOwned>(told: &Told, kind: &Kind) -> Vec<T> {
    let of_kind = told.events.iter().filter(|event| event.kind == *kind);
    of_kind.map(|event| event.data.read().unwrap()).collect()
}

#[test]
fn what_an_agent_used_is_counted_once_and_as_it_counts_it() {
    for (run, input, output, cached, cost) in [
        (
            "claude-otlp/http-json/001-logs.json",
            1515,
            253,
            8848,
            Some(0.014_369_4),
        ),
        (
            "claude-otlp/http-protobuf/001-logs.pb",
            1515,
            253,
            8848,
            Some(0.014_369_4),
        ),
        ("codex-otlp/http-json/004-logs.json", 2323, 253, 4992, None),
        ("codex-otlp/http-binary/004-logs.pb", 2323, 253, 4992, None),
        ("gemini-otlp/http/002-logs.json", 5260, 288, 1024, None),
    ] {
        let used: Vec<Usage> = bodies_of(&told(&body(run)), &Kind::USAGE);
        assert_eq!(used.len(), 5, "{run}");
        let sum = |of: fn(&Usage) -> Option<u64>| used.iter().filter_map(of).sum::<u64>();
        assert_eq!(
            (
                sum(|u| u.input_tokens),
                sum(|u| u.output_tokens),
                sum(|u| u.cache_read_input_tokens)
            ),
            (input, output, cached),
            "{run}"
        );
        let dollars = cost.map(|_| used.iter().filter_map(|used| used.cost_usd).sum::<f64>());
        assert!((dollars.unwrap_or(0.0) - cost.unwrap_or(0.0)).abs() < 1e-9, "{run}");
    }
    for metrics in all().iter().filter(|body| body.signal == Signal::Metrics) {
        assert!(told(metrics).events.iter().all(|event| event.kind == Kind::RAW));
    }
    let spans = told(&body("claude-otlp/http-json-details/001-traces.json"));
    assert!(spans.events.iter().all(|event| event.kind == Kind::RAW));
}

#[test]
fn a_tool_call_of_an_agent_has_the_vendors_id_its_outcome_and_its_time() {
    let calls: Vec<ToolCall> = bodies_of(
        &told(&body("claude-otlp/http-json-details/002-logs.json")),
        &Kind::TOOL_CALL,
    );
    let shown: Vec<_> = calls
        .iter()
        .map(|call| (call.tool.as_str(), call.success, call.duration_ms))
        .collect();
    assert_eq!(
        shown,
        [
            ("Bash", true, Some(30)),
            ("Read", true, Some(9)),
            ("Write", true, Some(5)),
            ("Bash", false, Some(11))
        ]
    );
    assert_eq!(calls[0].tool_call_id, "toolu_mock0000000002");
    let calls: Vec<ToolCall> = bodies_of(&told(&body("codex-otlp/http-json/004-logs.json")), &Kind::TOOL_CALL);
    assert_eq!(calls.len(), 5);
    assert_eq!(calls[0].tool_call_id, "call_mock00000005");
    assert!(calls[0].output.as_ref().unwrap().get().contains("hello"));
    let calls: Vec<ToolCall> = bodies_of(&told(&body("gemini-otlp/http/002-logs.json")), &Kind::TOOL_CALL);
    // It does not tell the ids, and none is made up: another source may know them.
    assert!(calls.len() == 4 && calls.iter().all(|call| call.tool_call_id.is_empty()));
}

#[test]
fn what_a_span_and_an_event_in_it_both_tell_is_one_event() {
    let (spans, logs) = (
        body("genai-otlp/documented/001-traces.json"),
        body("genai-otlp/documented/002-logs.json"),
    );
    let (spans, logs) = (told(&spans), told(&logs));
    let ids = |told: &Told, kind: Kind| -> HashSet<EventId> {
        let of_kind = told.events.iter().filter(|event| event.kind == kind);
        of_kind.map(|event| event.id).collect()
    };
    for (kind, both) in [
        (Kind::USAGE, 1),
        (Kind::REASONING, 1),
        (Kind::MESSAGE, 1),
        (Kind::LLM_REQUEST, 0),
    ] {
        let common = ids(&spans, kind.clone())
            .intersection(&ids(&logs, kind.clone()))
            .count();
        assert_eq!(common, both, "{kind}");
    }
}

#[test]
fn spans_of_one_trace_share_the_conversation_that_one_of_them_names_else_the_trace() {
    let told = told(&body("genai-otlp/documented/001-traces.json"));
    let sessions: HashSet<&str> = told
        .events
        .iter()
        .map(|event| event.session_id.as_ref().unwrap().as_str())
        .collect();
    assert_eq!(
        sessions,
        HashSet::from(["conv_5j66", "0af7651916cd43dd8448eb211c80319c"])
    );
    let empty = read(
        Signal::Logs,
        Encoding::Json,
        br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}"#,
        now(),
    );
    assert_eq!(
        empty.unwrap().events[0].session_id.as_ref().unwrap().as_str(),
        NO_SESSION
    );
}

#[test]
fn two_records_that_are_alike_are_two_and_a_batch_that_comes_again_is_none() {
    let record = r#"{"timeUnixNano":"5","body":{"stringValue":"tick"}}"#;
    let body = format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record},{record}]}}]}}]}}"#);
    let told = read(Signal::Logs, Encoding::Json, body.as_bytes(), now()).unwrap();
    assert_eq!(told.events.len(), 2);
    assert_ne!(told.events[0].id, told.events[1].id);
}

#[test]
fn what_cannot_be_decoded_is_refused_and_says_why() {
    for (signal, encoding, body) in [
        (Signal::Logs, Encoding::Json, &b"{"[..]),
        (Signal::Logs, Encoding::Json, b"[]"),
        (
            Signal::Logs,
            Encoding::Json,
            br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"x"}]}]}]}"#,
        ),
        (
            Signal::Traces,
            Encoding::Json,
            br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"not hex!"}]}]}]}"#,
        ),
        (Signal::Metrics, Encoding::Json, br#"{"resourceMetrics":7}"#),
        (Signal::Logs, Encoding::Protobuf, b"\x0a\xff"),
        (Signal::Traces, Encoding::Protobuf, br#"{"resourceSpans":[]}"#),
        (
            Signal::Logs,
            Encoding::Json,
            &[b"{\"resourceLogs\":".as_slice(), &b"[".repeat(10_000)].concat(),
        ),
    ] {
        let error = read(signal, encoding, body, now()).unwrap_err();
        assert!(!error.to_string().is_empty());
    }
    for empty in [&b"{}"[..], br#"{"resourceLogs":null}"#, br#"{"new":1}"#] {
        assert!(
            read(Signal::Logs, Encoding::Json, empty, now())
                .unwrap()
                .events
                .is_empty()
        );
    }
    assert!(
        read(Signal::Metrics, Encoding::Protobuf, b"", now())
            .unwrap()
            .events
            .is_empty()
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_spoilt_request_is_refused_or_read_and_never_lost(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let bodies = all();
        let body = &bodies[which.index(bodies.len())];
        let mut bytes = body.bytes.clone();
        for (at, to) in changes {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        for signal in [Signal::Logs, Signal::Traces, Signal::Metrics] {
            if let Ok(told) = read(signal, body.encoding, &bytes, now()) {
                check(&told);
                if signal != Signal::Metrics {
                    prop_assert!(told.events.len() as u64 >= told.records);
                }
            }
        }
    }
}
