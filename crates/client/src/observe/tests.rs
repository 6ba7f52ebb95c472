//! The promises of observers, each against an observer that a test looks into.

mod guards;
mod several;

use std::{
    collections::BTreeMap,
    io::Write,
    sync::{Arc, Mutex},
};

use serde_json::json;
use turnwire_proto::{Incoming, Name, is_deeper, limits};

use super::*;

/// Keeps what it is told.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<Mutex<Vec<ObserverEvent>>>);

impl Observer for Heard {
    fn record_event(&self, event: &ObserverEvent) {
        self.0.lock().unwrap().push(event.clone());
    }

    fn record_metric(&self, _metric: &Metric) {}

    fn flush(&self) {}

    fn name(&self) -> &'static str {
        "heard"
    }
}

impl Heard {
    fn events(&self) -> Vec<ObserverEvent> {
        self.0.lock().unwrap().clone()
    }

    /// Kinds and bodies.
    fn bodies(&self) -> Vec<(String, serde_json::Value)> {
        let body = |event: &ObserverEvent| (event.kind().as_str().to_owned(), event.data().read().unwrap());
        self.events().iter().map(body).collect()
    }

    /// What a note that is told for a test says.
    fn notes(&self) -> Vec<String> {
        let text = |(_, body): (String, serde_json::Value)| body["text"].as_str().map(str::to_owned);
        self.bodies().into_iter().filter_map(text).collect()
    }

    fn shared(&self) -> Arc<dyn Observer> {
        Arc::new(self.clone())
    }
}

/// Fails whenever it is called.
struct Panics;

impl Observer for Panics {
    fn record_event(&self, _event: &ObserverEvent) {
        panic!("an observer's fault");
    }

    fn record_metric(&self, _metric: &Metric) {
        panic!("an observer's fault");
    }

    fn flush(&self) {
        panic!("an observer's fault");
    }

    fn name(&self) -> &'static str {
        "panics"
    }
}

fn about() -> About {
    About::session("s-1").turn("t-1").agent("builder")
}

fn note(text: &str) -> ObserverEvent {
    ObserverEvent::new(about(), What::Other(Kind::NOTE, Object::of(&json!({ "text": text }))))
}

/// Each event, and the kind and body that it must become.
fn each() -> Vec<(What, &'static str, serde_json::Value)> {
    let usage = Usage {
        input_tokens: Some(9),
        model: Some("m".into()),
        ..Usage::default()
    };
    let response = LlmResponse {
        model_provider: Some("acme".into()),
        duration_ms: Some(12),
        usage: usage.clone(),
        error: None,
    };
    let failed = LlmResponse {
        error: Some("overloaded".into()),
        ..response.clone()
    };
    let request = LlmRequest {
        model: Some("m".into()),
        messages_count: Some(3),
        ..LlmRequest::default()
    };
    let agent = AgentStart {
        model: Some("m".into()),
        model_provider: None,
    };
    let agent_end = AgentEnd {
        duration_ms: Some(5),
        usage: Some(usage),
        ..AgentEnd::default()
    };
    let turn = TurnStart {
        from: "user".into(),
        body: "go".into(),
        unread: 1,
    };
    let turn_end = TurnEnd {
        ok: true,
        duration_ms: Some(7),
        ..TurnEnd::default()
    };
    let start = ToolCallStart {
        tool: "Bash".into(),
        tool_call_id: "c".into(),
        arguments: Some(Json::of(&json!({"type": "x", "seq": 1}))),
        parent_tool_call_id: None,
    };
    let call = ToolCall {
        tool: "Bash".into(),
        tool_call_id: "c".into(),
        success: true,
        duration_ms: Some(42),
        output: Some(Json::of("ok")),
        ..ToolCall::default()
    };
    let error = ErrorBody {
        component: "tools".into(),
        message: "no".into(),
        retry: Some(true),
    };
    vec![
        (What::AgentStart(agent), "agent_start", json!({"model": "m"})),
        (
            What::TurnStart(turn),
            "turn_start",
            json!({"from": "user", "body": "go", "unread": 1}),
        ),
        (
            What::LlmRequest(request),
            "llm_request",
            json!({"model": "m", "messages_count": 3}),
        ),
        (
            What::LlmResponse(response),
            "usage",
            json!({"input_tokens": 9, "model": "m", "model_provider": "acme", "duration_ms": 12}),
        ),
        (
            What::LlmResponse(failed),
            "error",
            json!({"component": "llm", "message": "overloaded", "model": "m", "model_provider": "acme", "duration_ms": 12}),
        ),
        (
            What::ToolCallStart(start),
            "tool_call_start",
            json!({"tool": "Bash", "tool_call_id": "c", "arguments": {"type": "x", "seq": 1}}),
        ),
        (
            What::ToolCall(call),
            "tool_call",
            json!({"tool": "Bash", "tool_call_id": "c", "success": true, "duration_ms": 42, "output": "ok"}),
        ),
        (
            What::Error(error),
            "error",
            json!({"component": "tools", "message": "no", "retry": true}),
        ),
        (
            What::TurnEnd(turn_end),
            "turn_end",
            json!({"ok": true, "duration_ms": 7}),
        ),
        (
            What::AgentEnd(agent_end),
            "agent_end",
            json!({"duration_ms": 5, "usage": {"input_tokens": 9, "model": "m"}}),
        ),
        (
            What::Message(Message::default()),
            "message",
            json!({"role": "", "content": ""}),
        ),
        (What::SessionStart(SessionStart::default()), "session_start", json!({})),
        (What::SessionEnd(SessionEnd::default()), "session_end", json!({})),
        (
            What::Other(Kind::NOTE, Object::of(&json!({"text": "x"}))),
            "note",
            json!({"text": "x"}),
        ),
    ]
}

#[test]
fn every_event_becomes_its_kind_with_its_body_nested_as_a_gateway_takes_it() {
    let (source, agent) = (Name::new("harness").unwrap(), Name::new("default").unwrap());
    for (what, kind, body) in each() {
        let event = ObserverEvent::new(About::session("s-1").turn("t-1"), what);
        let mut line = Vec::new();
        event.to_event(&source, Some(&agent)).encode_line(&mut line);
        let taken = Incoming::parse(&line).unwrap();
        assert_eq!(
            (taken.kind.as_str(), taken.data.read::<serde_json::Value>().unwrap()),
            (kind, body)
        );
        assert_eq!((taken.id, taken.timestamp), (Some(event.id), Some(event.at)));
        let names = [taken.source, taken.agent, taken.session_id, taken.turn_id].map(|name| name.unwrap().to_string());
        assert_eq!(names, ["harness", "default", "s-1", "t-1"]);
    }
}

#[test]
fn a_value_nested_deeper_than_a_gateway_takes_is_told_as_text() {
    let deep = format!("{}{}", "[".repeat(limits::LEVELS), "]".repeat(limits::LEVELS));
    let value = Json::parse(&deep).unwrap();
    let body = Object::new(Json::parse(&format!("{{\"a\":{deep}}}")).unwrap()).unwrap();
    let output = Some(value.clone());
    for what in [
        What::ToolCallStart(ToolCallStart {
            arguments: Some(value),
            ..ToolCallStart::default()
        }),
        What::ToolCall(ToolCall {
            output,
            ..ToolCall::default()
        }),
        What::Other(Kind::NOTE, body),
    ] {
        let data = ObserverEvent::new(about(), what).data();
        assert!(
            !is_deeper(data.get(), limits::LEVELS) && data.get().contains("[[["),
            "{data:?}"
        );
    }
}

#[test]
fn a_configuration_that_cannot_be_is_refused_by_the_name_of_its_setting() {
    let config = |vars: &[(&str, &str)]| {
        let vars: BTreeMap<_, _> = vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::from_vars(|name| vars.get(name).cloned())
    };
    assert_eq!(config(&[]).unwrap().observers, [Backend::Turnwire]);
    assert_eq!(
        config(&[("TURNWIRE_OBSERVER", "log, noop")]).unwrap().observers,
        [Backend::Log, Backend::Noop]
    );
    let why = |vars: &[(&str, &str)]| match config(vars).and_then(Config::build) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("{vars:?} was taken"),
    };
    assert!(why(&[("TURNWIRE_OBSERVER", "logs")]).starts_with("TURNWIRE_OBSERVER has `logs`: it is a list of noop"));
    assert!(why(&[("OTEL_EXPORTER_OTLP_HEADERS", "x")]).starts_with("OTEL_EXPORTER_OTLP_HEADERS is a list"));
    assert!(
        why(&[("TURNWIRE_SOURCE", "observability")]).starts_with("source must not be `observability`: every reader")
    );
    assert!(why(&[("TURNWIRE_SOURCE", "a\nb")]).starts_with("source has a control character"));
    assert!(why(&[("TURNWIRE_URL", "ftp://x")]).contains("does not begin with http"));
    if cfg!(not(feature = "otel")) {
        let why = why(&[("TURNWIRE_OBSERVER", "otel")]);
        assert_eq!(why, "the observer `otel` needs the feature `otel` of turnwire-client");
    }
    let unknown = serde_json::from_str::<Config>(r#"{"observer": []}"#)
        .unwrap_err()
        .to_string();
    assert!(unknown.contains("unknown field `observer`"), "{unknown}");
    let secret = config(&[("TURNWIRE_TOKEN", "s3cret"), ("OTEL_EXPORTER_OTLP_HEADERS", "k=s3cret")]).unwrap();
    assert!(!format!("{secret:?}").contains("s3cret"));
}

/// Where a subscriber writes.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What [`Log`] writes of all events at this level.
fn logged(level: tracing::Level) -> String {
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        for (what, _, _) in each() {
            Log.record_event(&ObserverEvent::new(about(), what));
        }
        Log.record_metric(&Metric::add("retries", 2));
    });
    let bytes = written.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_log_has_a_line_for_each_event_and_what_was_said_only_at_trace() {
    let text = logged(tracing::Level::INFO);
    assert_eq!(text.lines().count(), each().len());
    for part in [
        r#"INFO turnwire::observe: kind="tool_call" agent="builder" session="s-1" turn="t-1" name="Bash" ms=42"#,
        r#"ERROR turnwire::observe: kind="error" agent="builder" session="s-1" turn="t-1" name="tools" error="no""#,
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("\"go\""), "the prompt is not for everybody's log");
    let all = logged(tracing::Level::TRACE);
    assert!(
        all.contains("DEBUG turnwire::observe: metric=\"retries\" add=2"),
        "{all}"
    );
    assert!(all.contains(r#"\"body\":\"go\""#), "{all}");
}
