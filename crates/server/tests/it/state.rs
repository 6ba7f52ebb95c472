//! What there is at one moment, and following from there.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::world::World;

fn event(session: &str, kind: &str, turn: &str, data: Value) -> Value {
    let mut event = json!({"type": kind, "session_id": session, "turn_id": turn});
    event["data"] = data;
    event
}

fn turn_start(session: &str, turn: &str) -> Value {
    event(
        session,
        "turn_start",
        turn,
        json!({"from": "user", "body": "go", "unread": 1}),
    )
}

fn turn_end(session: &str, turn: &str) -> Value {
    event(
        session,
        "turn_end",
        turn,
        json!({"ok": true, "usage": {"input_tokens": 3}, "cost_usd": 0.5}),
    )
}

/// What a client keeps of a state, and how it follows.
#[derive(Clone, Debug, Default, PartialEq)]
struct Followed {
    /// Events, turns, calls and state by session.
    sessions: BTreeMap<String, (u64, u64, u64, String)>,
    /// Sessions of turns in flight, by their id.
    turns: BTreeMap<String, String>,
}

impl Followed {
    fn read(state: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let number = |value: &Value| value.as_u64().unwrap();
        let session = |s: &Value| {
            (
                text(&s["id"]),
                (
                    number(&s["events"]),
                    number(&s["turns"]),
                    number(&s["tool_calls"]),
                    text(&s["state"]),
                ),
            )
        };
        let turn = |turn: &Value| (text(&turn["turn_id"]), text(&turn["session_id"]));
        Self {
            sessions: state["sessions"].as_array().unwrap().iter().map(session).collect(),
            turns: state["turns"].as_array().unwrap().iter().map(turn).collect(),
        }
    }

    fn follow(&mut self, event: &Value) {
        let Some(id) = event["session_id"].as_str() else { return };
        let session = self.sessions.entry(id.to_owned()).or_default();
        session.0 += 1;
        let turn = event["turn_id"].as_str().unwrap_or_default().to_owned();
        match event["type"].as_str().unwrap() {
            "turn_start" => {
                (session.1, session.3) = (session.1 + 1, "thinking".to_owned());
                self.turns.insert(turn, id.to_owned());
            }
            "tool_call_start" => session.3 = "running_tool".to_owned(),
            "tool_call" => (session.2, session.3) = (session.2 + 1, "thinking".to_owned()),
            "turn_end" => {
                session.3 = "idle".to_owned();
                self.turns.remove(&turn);
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_state_that_is_followed_from_its_place_is_what_everything_folds_to() {
    let world = World::start().await;
    let publish = async {
        for n in 0..150 {
            let (session, turn, call) = (format!("s{}", n % 4), format!("t{n}"), format!("c{n}"));
            let tool = json!({"tool": "Bash", "tool_call_id": call, "success": true});
            for events in [
                json!([
                    turn_start(&session, &turn),
                    event(&session, "text_delta", &turn, json!({"content": "x"}))
                ]),
                json!([event(&session, "tool_call_start", &turn, tool.clone())]),
                json!([event(&session, "tool_call", &turn, tool), {"type": "note", "data": {"text": "public"}}]),
                json!([turn_end(&session, &turn)]),
            ] {
                // Every seventh turn does not end.
                if n % 7 == 0 && events[0]["type"] == "turn_end" {
                    continue;
                }
                world.publish(&events).await;
            }
        }
    };
    let read = async {
        let mut states = Vec::new();
        while world.head_seq().await < 800 {
            states.push(world.get("/api/state").await.ok());
        }
        states
    };
    let ((), states) = tokio::join!(publish, read);
    let head = world.head_seq().await;
    let last = world.get("/api/state").await.ok();
    let none = json!({"sessions": false, "turns": false, "approvals": false, "agents": false});
    assert_eq!((&last["seq"], &last["more"]), (&json!(head), &none));
    let expected = Followed::read(&last);
    let mut folded = Followed::default();
    world.all().await.iter().for_each(|event| folded.follow(event));
    // Turns of one session that did not end were closed by the next one of it.
    folded.turns.retain(|turn, _| expected.turns.contains_key(turn));
    assert_eq!(folded, expected, "a fold of everything");
    assert!(
        states.len() > 10,
        "states were read while events came: {}",
        states.len()
    );
    for state in states {
        let mut followed = Followed::read(&state);
        let mut stream = world.stream(&format!("/api/events?after={}", state["seq"])).await;
        for event in stream.until(head).await {
            followed.follow(&event);
        }
        followed.turns.retain(|turn, _| expected.turns.contains_key(turn));
        assert_eq!(followed, expected, "from {}", state["seq"]);
    }
}

#[tokio::test]
async fn a_state_is_of_the_newest_sessions_and_says_when_there_are_more() {
    let world = World::start().await;
    let events: Value = (0..30)
        .map(|n| turn_start(&format!("s{n}"), &format!("t{n}")))
        .collect();
    world.publish(&events).await;
    let epoch = world.server().ready().epoch.to_string();
    for (limit, more) in [(1, true), (29, true), (30, false), (31, false)] {
        let state = world.get(&format!("/api/state?limit={limit}")).await.ok();
        let ids = |what: &str, field: &str| -> Vec<String> {
            let rows = state[what].as_array().unwrap();
            rows.iter().map(|row| row[field].as_str().unwrap().to_owned()).collect()
        };
        let expected: Vec<_> = (0..30).rev().take(limit).map(|n| format!("s{n}")).collect();
        assert_eq!(ids("sessions", "id"), expected);
        assert_eq!(ids("turns", "session_id"), expected);
        let all = json!({"sessions": more, "turns": more, "approvals": false, "agents": false});
        assert_eq!(state["more"], all);
        assert_eq!((&state["seq"], &state["epoch"]), (&json!(30), &json!(epoch)));
    }
    let keys: Vec<_> = world
        .get("/api/state")
        .await
        .ok()
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(
        keys,
        ["agents", "approvals", "epoch", "more", "seq", "sessions", "turns"]
    );
}

#[tokio::test]
async fn an_empty_log_has_a_state() {
    let world = World::start().await;
    let state = world.get("/api/state").await.ok();
    assert_eq!(
        (&state["seq"], &state["sessions"], &state["turns"]),
        (&json!(0), &json!([]), &json!([]))
    );
}

#[tokio::test]
async fn a_sessions_state_follows_what_is_said_of_it() {
    let world = World::start().await;
    let turn = |kind: &str, data: Value| event("s", kind, "t", data);
    let bare = |kind: &str, data: Value| json!({"type": kind, "session_id": "s", "data": data});
    let call = json!({"tool": "Bash", "tool_call_id": "c", "success": true});
    let other = json!({"tool": "Bash", "tool_call_id": "d", "success": true});
    for (event, expected) in [
        (bare("session_start", json!({"model": "m"})), "idle"),
        (turn("turn_start", json!({"body": "x", "unread": 3})), "thinking"),
        (turn("tool_call_start", call.clone()), "running_tool"),
        (turn("tool_call_start", other.clone()), "running_tool"),
        (
            turn("approval_request", json!({"approval_id": "a", "tool": "Bash"})),
            "needs_approval",
        ),
        (turn("tool_call", other), "needs_approval"),
        (
            turn("approval_decision", json!({"approval_id": "a", "decision": "approved"})),
            "thinking",
        ),
        (turn("tool_call", call.clone()), "thinking"),
        (
            turn("approval_decision", json!({"approval_id": "a", "decision": "approved"})),
            "thinking",
        ),
        (
            turn("turn_state_changed", json!({"state": "needs_answer"})),
            "needs_answer",
        ),
        (turn("turn_state_changed", json!({"state": "compacting"})), "compacting"),
        (
            turn("turn_state_changed", json!({"state": "no word at all"})),
            "compacting",
        ),
        (turn("turn_state_changed", json!({"state": "stalled"})), "stalled"),
        (
            bare("status_changed", json!({"status": "rate_limited"})),
            "rate_limited",
        ),
        (bare("status_changed", json!({"status": "online"})), "thinking"),
        (turn("turn_state_changed", json!({"state": "offline"})), "offline"),
        (turn("turn_state_changed", json!({"state": "thinking"})), "thinking"),
        (turn("turn_end", json!({"ok": true})), "idle"),
        (turn("tool_call", call), "idle"),
        (turn("turn_end", json!({"ok": false})), "idle"),
        (event("s", "turn_start", "u", json!({})), "thinking"),
        (event("s", "turn_end", "u", json!({"ok": false})), "failed"),
        (bare("note", json!({"text": "x"})), "failed"),
        (bare("session_end", json!({"exit_code": 0})), "done"),
        (bare("session_start", json!({})), "idle"),
        (bare("session_end", json!({"exit_code": 1})), "failed"),
        (bare("run_complete", json!({})), "done"),
    ] {
        world.publish(&event).await;
        assert_eq!(
            world.get("/api/sessions/s").await.ok()["state"],
            expected,
            "after {event}"
        );
    }
}

#[tokio::test]
async fn a_session_says_since_when_and_what_waits_and_how_full_its_context_is() {
    let world = World::start().await;
    let at = |second: u32, mut event: Value| {
        event["timestamp"] = json!(format!("2026-11-20T09:00:{second:02}.000Z"));
        event
    };
    let usage = json!({"input_tokens": 5, "model": "m-2", "context_tokens": 50_000, "context_window": 200_000});
    let call = json!({"tool": "Bash", "tool_call_id": "c", "success": false});
    world
        .publish(&json!([
            at(1, turn_start("s", "t")),
            at(
                2,
                event("s", "message", "t", json!({"role": "assistant", "content": "x"}))
            ),
            at(3, event("s", "tool_call", "t", call)),
            at(4, event("s", "usage", "t", usage)),
        ]))
        .await;
    let session = world.get("/api/sessions/s").await.ok();
    assert_eq!(
        (&session["state"], &session["since"]),
        (&json!("thinking"), &json!("2026-11-20T09:00:01.000Z"))
    );
    assert_eq!((&session["unread"], &session["model"]), (&json!(1), &json!("m-2")));
    assert_eq!(
        (&session["context_tokens"], &session["context_window"]),
        (&json!(50_000), &json!(200_000))
    );
    assert_eq!(
        (&session["tool_calls"], &session["tool_failures"]),
        (&json!(1), &json!(1))
    );
    let told = json!({"state": "rate_limited", "since": "2026-11-20T09:00:02.500Z"});
    world.publish(&at(9, event("s", "turn_state_changed", "t", told))).await;
    let session = world.get("/api/sessions/s").await.ok();
    assert_eq!(session["since"], "2026-11-20T09:00:02.500Z");
}

/// Everything that the views answer about these sessions.
pub(crate) async fn answers(world: &World, sessions: &[&str]) -> Vec<Value> {
    let mut all = vec![
        world.get("/api/state").await.ok(),
        world.get("/api/sessions").await.ok(),
    ];
    for session in sessions {
        for rest in ["", "/turns", "/tool-calls"] {
            all.push(world.get(&format!("/api/sessions/{session}{rest}")).await.ok());
        }
    }
    all
}

#[tokio::test]
async fn views_that_are_deleted_are_built_anew_and_answer_the_same() {
    let mut world = World::start().await;
    for n in 0..40 {
        let (session, turn) = (format!("s{}", n % 3), format!("t{n}"));
        let tool = json!({"tool": "Bash", "tool_call_id": turn, "success": n % 2 == 0, "output": {"n": n}});
        let events = json!([
            turn_start(&session, &turn),
            event(&session, "tool_call_start", &turn, tool.clone()),
            event(&session, "usage", &turn, json!({"input_tokens": n, "cost_usd": 0.1})),
            event(&session, "tool_call", &turn, tool),
            turn_end(&session, &turn),
        ]);
        let keep = if n % 5 == 0 { 3 } else { 5 };
        // One by one, as pages of all sizes.
        for event in events.as_array().unwrap().iter().take(keep) {
            world.publish(event).await;
        }
    }
    let sessions = ["s0", "s1", "s2"];
    let before = answers(&world, &sessions).await;
    world.restart_without_views().await;
    assert_eq!(before, answers(&world, &sessions).await);
}
