//! What is over, and what is within what: the same whichever source tells it first.

use serde_json::{Value, json};

use crate::world::{World, lines};

/// What a source tells at a second of the run.
fn tell(source: &str, second: u32, kind: &str, turn: Option<&str>, data: &Value) -> Value {
    let mut event = json!({
        "source": source, "type": kind, "data": data, "timestamp": format!("2026-11-20T09:00:{second:02}Z"),
    });
    if let Some(turn) = turn {
        event["turn_id"] = json!(turn);
    }
    event
}

/// Every order in which both can come, each in its own.
fn orders(a: &[Value], b: &[Value]) -> Vec<Vec<Value>> {
    let (Some((first, rest)), Some((other, others))) = (a.split_first(), b.split_first()) else {
        return vec![[a, b].concat()];
    };
    let begun = |one: &Value, then: Vec<Vec<Value>>| -> Vec<Vec<Value>> {
        then.into_iter()
            .map(|then| [vec![one.clone()], then].concat())
            .collect()
    };
    [begun(first, orders(rest, b)), begun(other, orders(a, others))].concat()
}

/// The session, its turns and its calls, for each order.
async fn told(world: &World, a: &[Value], b: &[Value]) -> Vec<(Value, Vec<Value>, Vec<Value>)> {
    let mut all = Vec::new();
    for (n, mut events) in orders(a, b).into_iter().enumerate() {
        let session = format!("s-{}-{n}", a.len());
        events.iter_mut().for_each(|event| event["session_id"] = json!(session));
        world
            .post("application/x-ndjson", lines(&Value::Array(events)))
            .await
            .ok();
        let rows = async |what: &str, key: &str| {
            let page = world.get(&format!("/api/sessions/{session}/{what}")).await.ok();
            page[key].as_array().unwrap().clone()
        };
        let (turns, calls) = (rows("turns", "turns").await, rows("tool-calls", "tool_calls").await);
        let one = world.get(&format!("/api/sessions/{session}")).await.ok();
        all.push((one, turns, calls));
    }
    all
}

#[tokio::test]
async fn how_a_session_has_ended_does_not_depend_on_who_tells_it_first() {
    for (ok, exit, state) in [
        (false, Some(1), "failed"),
        (false, None, "failed"),
        (false, Some(0), "done"),
        (true, Some(1), "failed"),
        (true, Some(0), "done"),
        (true, None, "done"),
    ] {
        let world = World::start().await;
        let knows = exit.map_or_else(|| json!({}), |code| json!({"exit_code": code}));
        let note = (!ok).then_some("it failed");
        let run = |source: &str, at: u32, end: Value| {
            vec![
                tell(source, at, "turn_start", Some("p1"), &json!({"body": "go"})),
                tell(
                    source,
                    at + 10,
                    "turn_end",
                    Some("p1"),
                    &json!({"ok": ok, "note": note}),
                ),
                tell(source, at + 20, "session_end", None, &end),
            ]
        };
        for (session, turns, _) in told(&world, &run("a", 1, knows), &run("b", 2, json!({}))).await {
            assert_eq!(session["state"], state, "{ok} {exit:?} {session}");
            assert_eq!((turns.len(), &turns[0]["ok"]), (1, &json!(ok)), "{turns:?}");
        }
    }
}

#[tokio::test]
async fn a_session_that_goes_on_after_its_end_is_judged_anew() {
    let world = World::start().await;
    let failed = [
        tell("a", 1, "turn_start", Some("p1"), &json!({"body": "go"})),
        tell("a", 2, "turn_end", Some("p1"), &json!({"ok": false})),
        tell("a", 3, "session_end", None, &json!({"exit_code": 1})),
    ];
    let again = [
        tell("b", 4, "turn_start", Some("p2"), &json!({"body": "again"})),
        tell("b", 5, "turn_end", Some("p2"), &json!({"ok": true})),
        tell("b", 6, "session_end", None, &json!({})),
    ];
    let all = [failed, again].concat();
    let (session, ..) = &told(&world, &all, &[]).await[0];
    assert_eq!(session["state"], "done", "{session}");
}

#[tokio::test]
async fn a_turn_that_is_told_late_is_closed_by_what_came_after_it() {
    let world = World::start().await;
    // One source knows of the start alone of a turn that the other has not heard of.
    let whole = [
        tell("a", 10, "turn_start", Some("p2"), &json!({"body": "two"})),
        tell("a", 11, "turn_end", Some("p2"), &json!({"ok": true})),
        tell("a", 20, "session_end", None, &json!({})),
    ];
    let late = [
        tell("b", 1, "turn_start", Some("p1"), &json!({"body": "one"})),
        tell("b", 10, "turn_start", Some("p2"), &json!({"body": "two"})),
    ];
    for (session, turns, _) in told(&world, &whole, &late).await {
        assert_eq!((turns.len(), &session["state"]), (2, &json!("done")), "{session}");
        for turn in &turns {
            let ok = turn["prompt"] == "two";
            assert_eq!((&turn["ok"], turn["ended"].is_null()), (&json!(ok), false), "{turn}");
        }
        assert_eq!(session["turns"], 2);
    }
}

#[tokio::test]
async fn a_calls_parent_is_the_call_and_not_the_subagents_id() {
    let world = World::start().await;
    let run = |source: &str, parent: &str| {
        vec![
            tell(
                source,
                1,
                "tool_call_start",
                Some("p1"),
                &json!({"tool": "Agent", "tool_call_id": "c1"}),
            ),
            tell(
                source,
                2,
                "tool_call_start",
                Some("p1"),
                &json!({"tool": "Bash", "tool_call_id": "c2", "parent_tool_call_id": parent}),
            ),
        ]
    };
    for (_, _, calls) in told(&world, &run("a", "c1"), &run("b", "an-agents-long-id")).await {
        let inner = calls.iter().find(|call| call["tool_call_id"] == "c2").unwrap();
        assert_eq!(inner["parent_tool_call_id"], "c1", "{calls:?}");
    }
}

#[tokio::test]
async fn what_is_said_of_an_error_is_no_result() {
    let world = World::start().await;
    let start = tell("a", 1, "turn_start", Some("p1"), &json!({"body": "go"}));
    let said = tell(
        "a",
        2,
        "message",
        Some("p1"),
        &json!({"role": "assistant", "content": "the API\n failed"}),
    );
    let end = tell(
        "b",
        3,
        "turn_end",
        Some("p1"),
        &json!({"ok": false, "note": "the API failed"}),
    );
    for (_, turns, _) in told(&world, &[start, said], &[end]).await {
        assert_eq!(turns[0]["note"], "the API failed");
        assert!(turns[0]["result"].is_null(), "{turns:?}");
    }
}
