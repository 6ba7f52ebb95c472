//! Sources that give calls and turns no ids, and one of which tells ends of calls alone: each call is there once, and those that are alike are as many
//! as they are, in whatever order the sources come.

use serde_json::{Value, json};

use crate::world::{World, lines};

const NAMED: &str = "printed";
const STARTS: &str = "hooks";
const ENDS: &str = "telemetry";

fn event(session: &str, source: &str, at: i64, kind: &str, data: &Value) -> Value {
    let from = turnwire_proto::Timestamp::now().millis() - 3_600_000;
    let at = turnwire_proto::Timestamp::from_millis(from / 10_000_000 * 10_000_000 + at).unwrap();
    json!({"type": kind, "session_id": session, "source": source, "timestamp": at.to_string(), "data": data})
}

/// What one source tells of two turns with one prompt; in each the same call twice, at once in the first.
fn told(session: &str, source: &str) -> Vec<Value> {
    let mut events = Vec::new();
    let mut tell = |at, turn: &str, kind: &str, data: &Value| {
        let mut event = event(session, source, at, kind, data);
        if source == NAMED {
            event["turn_id"] = json!(turn);
        }
        events.push(event);
    };
    for (n, turn) in ["one", "two"].into_iter().enumerate() {
        let at = i64::try_from(n).unwrap() * 100_000;
        tell(
            at,
            turn,
            "turn_start",
            &json!({"from": "user", "body": "again", "unread": 0}),
        );
        for call in 0..2 {
            let at = at + 100 + if n == 0 { 0 } else { call * 5_000 };
            let id = if source == NAMED {
                format!("{turn}-{call}")
            } else {
                String::new()
            };
            let arguments = json!({"command": "ls"});
            if source != ENDS {
                let start = json!({"tool": "sh", "tool_call_id": id, "arguments": arguments});
                tell(at, turn, "tool_call_start", &start);
            }
            if source == STARTS && n == 0 {
                continue;
            }
            let end =
                json!({"tool": "sh", "tool_call_id": id, "success": true, "duration_ms": 50, "arguments": arguments});
            tell(at + 50, turn, "tool_call", &end);
        }
        if source == STARTS && n == 0 {
            for _ in 0..2 {
                let end = json!({"tool": "sh", "tool_call_id": "", "success": true, "arguments": {"command": "ls"}});
                tell(at + 160, turn, "tool_call", &end);
            }
        }
        match source {
            NAMED => {
                tell(
                    at + 200,
                    turn,
                    "message",
                    &json!({"role": "assistant", "content": "First."}),
                );
                tell(
                    at + 9_000,
                    turn,
                    "message",
                    &json!({"role": "assistant", "content": "Last."}),
                );
                tell(at + 9_001, turn, "turn_end", &json!({"ok": true}));
            }
            STARTS => {
                let all = json!({"role": "assistant", "content": "First.\nLast.", "whole_turn": true});
                tell(at + 9_002, turn, "message", &all);
                tell(at + 9_002, turn, "turn_end", &json!({"ok": true}));
            }
            _ => {}
        }
    }
    events
}

/// All orders of the sources, one after the other; and each turn of each in turn.
fn orders(session: &str, sources: &[&str]) -> Vec<Vec<Value>> {
    let all: Vec<_> = sources.iter().map(|source| told(session, source)).collect();
    let mut reversed = all.clone();
    reversed.reverse();
    let longest = all.iter().map(Vec::len).max().unwrap();
    let braided = (0..longest).flat_map(|at| all.iter().filter_map(move |events| events.get(at).cloned()));
    let braided: Vec<_> = braided.collect();
    vec![all.concat(), reversed.concat(), braided]
}

#[tokio::test]
async fn calls_that_are_alike_are_as_many_as_they_are_whichever_sources_without_ids_tell_of_them() {
    let world = World::start().await;
    let sets: [&[&str]; 4] = [
        &[NAMED, ENDS],
        &[NAMED, STARTS],
        &[STARTS, ENDS],
        &[NAMED, STARTS, ENDS],
    ];
    for (set, sources) in sets.iter().enumerate() {
        for order in 0..3 {
            let session = format!("s{set}-{order}");
            let events = orders(&session, sources).swap_remove(order);
            let ingested = world.post("application/x-ndjson", lines(&Value::Array(events))).await;
            ingested.ok();
            let part = async |part: &str| world.get(&format!("/api/sessions/{session}/{part}")).await.ok();
            let (turns, calls) = (part("turns").await, part("tool-calls").await);
            let context = format!("{sources:?}, order {order}: {turns:#} {calls:#}");
            let (turns, calls) = (
                turns["turns"].as_array().unwrap(),
                calls["tool_calls"].as_array().unwrap(),
            );
            assert_eq!((turns.len(), calls.len()), (2, 4), "{context}");
            for call in calls {
                assert_eq!(call["sources"].as_array().unwrap().len(), sources.len(), "{context}");
                assert_eq!(call["outcome"], "ok", "{context}");
            }
            let result = if sources.contains(&NAMED) {
                "Last."
            } else {
                "First.\nLast."
            };
            for turn in turns {
                assert_eq!(turn["result"], result, "{context}");
                assert_eq!(turn["tools"]["sh"]["calls"], 2, "{context}");
            }
        }
    }
}

#[tokio::test]
async fn a_call_of_an_earlier_turn_is_not_the_one_that_a_source_tells_of_now() {
    let world = World::start().await;
    let sh = |id: &str| json!({"tool": "sh", "tool_call_id": id, "success": true, "arguments": {"command": "ls"}});
    let events = json!([
        event("s", NAMED, 0, "tool_call_start", &sh("a")),
        event("s", NAMED, 50, "tool_call", &sh("a")),
        event("s", NAMED, 90_000, "tool_call_start", &sh("b")),
        event("s", STARTS, 90_001, "tool_call_start", &sh("")),
        event("s", STARTS, 90_050, "tool_call", &sh("")),
        event("s", NAMED, 90_050, "tool_call", &sh("b")),
    ]);
    world.post("application/x-ndjson", lines(&events)).await.ok();
    let calls = world.get("/api/sessions/s/tool-calls").await.ok();
    let told: Vec<_> = calls["tool_calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| (&call["tool_call_id"], &call["sources"]))
        .collect();
    let both = json!([STARTS, NAMED]);
    assert_eq!(
        told,
        [(&json!("b"), &both), (&json!("a"), &json!([NAMED]))],
        "{calls:#}"
    );
}
