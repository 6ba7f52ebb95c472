//! The other vendors, and what holds for all.

use serde_json::{Value, json};
use turnwire_adapters::Context;
use turnwire_proto::Name;

use super::{events, kinds, story};

#[test]
fn a_session_that_the_caller_names_stands_and_the_vendors_is_kept() {
    let context = Context {
        agent: Name::new("builder").ok(),
        session: Name::new("mine").ok(),
        ..Context::default()
    };
    let (events, _) = events(
        "claude",
        context,
        &[json!({"type": "system", "subtype": "init", "session_id": "s"})],
        Some(0),
    );
    assert!(
        events
            .iter()
            .all(|event| event.session_id.as_ref().unwrap().as_str() == "mine")
    );
    assert!(
        events
            .iter()
            .all(|event| event.agent.as_ref().unwrap().as_str() == "builder")
    );
    let start: Value = events[0].data.read().unwrap();
    assert_eq!(start["vendor_session_id"], "s");
}

#[test]
fn a_stream_that_never_names_its_session_gets_a_name_and_is_not_public() {
    let (events, _) = events(
        "codex",
        Context::default(),
        &[json!({"type": "error", "message": "no login"})],
        Some(1),
    );
    assert_eq!(events.len(), 1);
    assert!(events[0].session_id.as_ref().unwrap().as_str().starts_with("codex-"));
}

fn item(stage: &str, item: &Value) -> Value {
    json!({"type": format!("item.{stage}"), "item": item})
}

#[test]
fn codex_failures_retries_and_items_that_never_complete() {
    let story = story(
        "codex",
        &[
            json!({"type": "thread.started", "thread_id": "t"}),
            json!({"type": "turn.started"}),
            json!({"type": "error", "message": "Reconnecting... 1/5 (unexpected status 500)"}),
            item(
                "started",
                &json!({"id": "item_0", "type": "command_execution", "command": "x", "aggregated_output": "", "status": "in_progress"}),
            ),
            item(
                "updated",
                &json!({"id": "item_0", "type": "command_execution", "command": "x", "aggregated_output": "a", "status": "in_progress"}),
            ),
            item(
                "updated",
                &json!({"id": "item_0", "type": "command_execution", "command": "x", "aggregated_output": "ab", "status": "in_progress"}),
            ),
            item(
                "completed",
                &json!({"id": "item_1", "type": "command_execution", "command": "y", "aggregated_output": "", "exit_code": null, "status": "declined"}),
            ),
            item(
                "completed",
                &json!({"id": "item_2", "type": "mcp_tool_call", "server": "s", "tool": "t", "arguments": {"q": 1}, "result": null, "error": {"message": "boom"}, "status": "failed"}),
            ),
            item(
                "started",
                &json!({"id": "item_3", "type": "todo_list", "items": [{"text": "one", "completed": true}, {"text": "two", "completed": false}]}),
            ),
            json!({"type": "error", "message": "stream disconnected"}),
            json!({"type": "turn.failed", "error": {"message": "stream disconnected"}}),
        ],
        1,
    );
    assert_eq!(
        kinds(&story),
        [
            "session_start",
            "turn_start",
            "error",
            "tool_call_start",
            "tool_progress",
            "tool_progress",
            "tool_call_start",
            "tool_call",
            "tool_call_start",
            "tool_call",
            "note",
            "error",
            "tool_call",
            "turn_end",
            "session_end"
        ]
    );
    assert_eq!(story[2].1["retry"], true);
    assert_eq!(
        (&story[4].1["content"], &story[5].1["content"]),
        (&json!("a"), &json!("b"))
    );
    assert_eq!(story[7].1["error"], "denied");
    assert!(story[7].1.get("duration_ms").is_none(), "its start was not seen");
    assert_eq!(
        (&story[8].1["tool"], &story[8].1["arguments"]),
        (&json!("s.t"), &json!({"q": 1}))
    );
    assert_eq!(
        (&story[9].1["error"], &story[9].1["output"]),
        (&json!("boom"), &json!("boom"))
    );
    assert_eq!(story[10].1["text"], "[x] one\n[ ] two");
    assert_eq!(
        (&story[13].1["ok"], &story[13].1["note"]),
        (&json!(false), &json!("stream disconnected"))
    );
}

#[test]
fn codex_of_a_resumed_thread_does_not_count_the_earlier_turns_again() {
    let context = Context {
        resumed: true,
        ..Context::default()
    };
    let used = |input: u64| json!({"type": "turn.completed", "usage": {"input_tokens": input, "output_tokens": 1}});
    let started = || json!({"type": "turn.started"});
    let (events, _) = events(
        "codex",
        context,
        &[started(), used(5000), started(), used(5100)],
        Some(0),
    );
    let ends: Vec<Value> = events
        .iter()
        .filter(|e| e.kind.as_str() == "turn_end")
        .map(|e| e.data.read().unwrap())
        .collect();
    assert!(ends[0].get("usage").is_none());
    assert_eq!(ends[1]["usage"]["input_tokens"], 100);
}

#[test]
fn gemini_failures_and_a_message_that_is_cut_off() {
    let gemini = |mut line: Value| {
        line["timestamp"] = json!("2026-11-20T09:00:00.000Z");
        line
    };
    let piece = |text: &str| gemini(json!({"type": "message", "role": "assistant", "content": text, "delta": true}));
    let begin = || gemini(json!({"type": "init", "session_id": "g", "model": "m"}));
    let cut = story("gemini", &[begin(), piece("half a "), piece("mess")], 130);
    assert_eq!(
        kinds(&cut),
        [
            "session_start",
            "turn_start",
            "text_delta",
            "text_delta",
            "message",
            "turn_end",
            "session_end"
        ]
    );
    assert_eq!(cut[4].1["content"], "half a mess");
    let failed = story(
        "gemini",
        &[
            begin(),
            gemini(json!({"type": "message", "role": "user", "content": "hi"})),
            gemini(json!({"type": "error", "severity": "warning", "message": "loop detected"})),
            gemini(json!({"type": "error", "severity": "error", "message": "max turns"})),
            gemini(
                json!({"type": "result", "status": "error", "error": {"type": "FatalTurnLimitedError", "message": "max turns"}, "stats": {"input_tokens": 10, "output_tokens": 2, "cached": 4, "duration_ms": 5}}),
            ),
        ],
        53,
    );
    assert_eq!(
        kinds(&failed),
        [
            "session_start",
            "turn_start",
            "message",
            "note",
            "error",
            "usage",
            "turn_end",
            "session_end"
        ]
    );
    assert_eq!(
        failed[5].1,
        json!({"input_tokens": 6, "output_tokens": 2, "cache_read_input_tokens": 4})
    );
    assert_eq!(
        (&failed[6].1["note"], &failed[6].1["duration_ms"]),
        (&json!("max turns"), &json!(5))
    );
}

#[test]
fn opencode_failures_and_denials() {
    let part = |kind: &str, part: Value| json!({"type": kind, "timestamp": 1_795_165_200_000_u64, "sessionID": "o", "part": part});
    let story = story(
        "opencode",
        &[
            part("step_start", json!({"type": "step-start"})),
            part(
                "reasoning",
                json!({"type": "reasoning", "text": "hm", "messageID": "m"}),
            ),
            part(
                "tool_use",
                json!({"tool": "bash", "callID": "c", "state": {"status": "error", "input": {"command": "x"}, "error": "The user rejected permission to use this specific tool call.", "time": {"start": 10, "end": 25}}}),
            ),
            part(
                "step_finish",
                json!({"reason": "tool-calls", "tokens": {"input": 1, "output": 2, "reasoning": 3, "cache": {"read": 4, "write": 5}}, "cost": 0.5}),
            ),
            json!({"type": "error", "timestamp": 1_795_165_200_000_u64, "sessionID": "o", "error": {"name": "APIError", "data": {"message": "Too many requests", "statusCode": 429}}}),
        ],
        1,
    );
    assert_eq!(
        kinds(&story),
        [
            "session_start",
            "turn_start",
            "llm_request",
            "reasoning",
            "tool_call_start",
            "tool_call",
            "usage",
            "error",
            "turn_end",
            "session_end"
        ]
    );
    assert_eq!(
        (&story[5].1["error"], &story[5].1["duration_ms"]),
        (&json!("denied"), &json!(15))
    );
    assert_eq!(
        story[7].1,
        json!({"component": "api", "message": "Too many requests (429)"})
    );
    assert_eq!(
        story[8].1["note"],
        "exited with code 1 before the turn had ended; last error: Too many requests (429)"
    );
    assert_eq!(story[8].1["cost_usd"], 0.5);
}
