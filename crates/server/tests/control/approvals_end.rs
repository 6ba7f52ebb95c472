//! How approvals end without anybody's deciding: time, calls, turns and sessions that end, rules.

use std::time::Duration;

use serde_json::{Value, json};
use turnwire_proto::Timestamp;

use crate::{approvals::request, world::World};

fn in_ms(ms: i64) -> String {
    let now = Timestamp::now().millis();
    Timestamp::from_millis(now + ms).unwrap().to_string()
}

/// A request that says until when it waits.
fn until(id: &str, expires: &str) -> Value {
    let mut one = request("s", id, "Bash");
    one["data"]["expires_at"] = json!(expires);
    one
}

#[tokio::test]
async fn a_request_expires_when_it_says_and_who_waits_is_told() {
    let world = World::start().await;
    let soon = in_ms(300);
    world
        .publish(&json!([until("soon", &soon), until("later", &in_ms(3_600_000))]))
        .await;
    let expired = world.decided("soon").await;
    assert_eq!(
        (&expired["state"], &expired["expires_at"], &expired["by"]),
        (&json!("expired"), &json!(soon), &Value::Null)
    );
    assert!(
        expired["decided"].as_str().unwrap() >= soon.as_str(),
        "not before: {expired}"
    );
    let late = world.decide("soon", &json!({"decision": "approve"})).await;
    assert_eq!(late.refused(409, "conflict")["approval"], expired);
    assert_eq!(world.pending().await, ["later"]);
    assert_eq!(
        world.decisions("soon").await,
        [json!({"approval_id": "soon", "decision": "expired"})]
    );
}

#[tokio::test]
async fn a_request_that_says_nothing_expires_after_the_servers_limit() {
    let world = World::with(|config| config.limits.approval_wait = Duration::from_millis(200)).await;
    world.publish(&request("s", "r", "Bash")).await;
    let expired = world.decided("r").await;
    assert_eq!(expired["state"], "expired");
    let moment = |field: &str| -> Timestamp { expired[field].as_str().unwrap().parse().unwrap() };
    assert_eq!(moment("expires_at").millis() - moment("requested").millis(), 200);
}

#[tokio::test]
async fn what_is_due_is_over_also_for_who_decides_at_that_moment() {
    let world = World::start().await;
    // Dated into the past: due when it comes.
    world.publish(&until("r", &in_ms(-1))).await;
    let late = world.decide("r", &json!({"decision": "approve"})).await;
    assert_eq!(late.refused(409, "conflict")["approval"]["state"], "expired");
    assert_eq!(world.decisions("r").await.first().unwrap()["decision"], "expired");
}

#[tokio::test]
async fn what_was_due_while_the_server_was_down_expires_at_its_start() {
    let mut world = World::start().await;
    let expires = in_ms(1500);
    world.publish(&until("r", &expires)).await;
    let expires: Timestamp = expires.parse().unwrap();
    world
        .restart_after(|_| {
            // Not to give something time, but for the moment to pass while no server runs.
            while Timestamp::now() <= expires {
                std::thread::sleep(Duration::from_millis(20));
            }
        })
        .await;
    assert_eq!(world.decided("r").await["state"], "expired");
    assert_eq!(world.decisions("r").await.len(), 1);
}

#[tokio::test]
async fn an_agent_that_does_not_wait_any_more_withdraws_its_question() {
    let world = World::start().await;
    let of = |kind: &str, turn: Option<&str>, data: Value| {
        let mut event = json!({"type": kind, "session_id": "s", "data": data});
        if let Some(turn) = turn {
            event["turn_id"] = json!(turn);
        }
        event
    };
    let asks = |id: &str, turn: Option<&str>| {
        let mut one = request("s", id, "Bash");
        if let Some(turn) = turn {
            one["turn_id"] = json!(turn);
        }
        one
    };
    world
        .publish(&json!([
            of("turn_start", Some("t1"), json!({"body": "x"})),
            asks("call", None),
            asks("open turn", None),
            asks("named turn", Some("t1")),
        ]))
        .await;
    let ended = of(
        "tool_call",
        Some("t1"),
        json!({"tool": "Bash", "tool_call_id": "call-call", "success": false}),
    );
    world.publish(&ended).await;
    let call = world.decided("call").await;
    assert_eq!(
        (&call["state"], &call["message"], &call["by"]),
        (&json!("withdrawn"), &json!("its call has ended"), &Value::Null)
    );
    assert_eq!(world.pending().await, ["named turn", "open turn"]);
    world.publish(&of("turn_end", Some("t1"), json!({"ok": true}))).await;
    for id in ["open turn", "named turn"] {
        let turn = world.decided(id).await;
        assert_eq!(
            (&turn["state"], &turn["message"]),
            (&json!("withdrawn"), &json!("its turn has ended"))
        );
    }
    // The next turn ends the one before, and the session's end what is of no turn.
    world
        .publish(&json!([
            asks("of no turn", None),
            of("turn_start", Some("t2"), json!({})),
            asks("t2", None)
        ]))
        .await;
    world.publish(&of("turn_start", Some("t3"), json!({}))).await;
    assert_eq!(world.decided("t2").await["message"], "its turn has ended");
    assert_eq!(world.pending().await, ["of no turn"]);
    world.publish(&of("session_end", None, json!({"exit_code": 0}))).await;
    let session = world.decided("of no turn").await;
    assert_eq!(
        (&session["state"], &session["message"]),
        (&json!("withdrawn"), &json!("its session has ended"))
    );
    for id in ["call", "open turn", "named turn", "t2", "of no turn"] {
        let late = world.decide(id, &json!({"decision": "approve"})).await;
        assert_eq!(late.refused(409, "conflict")["approval"]["state"], "withdrawn");
        assert_eq!(world.decisions(id).await.len(), 1);
    }
    assert_eq!(world.get("/api/sessions/s").await.ok()["state"], "done");
}

#[tokio::test]
async fn what_was_decided_before_its_call_ended_stays_decided() {
    let world = World::start().await;
    let data = json!({"approval_id": "r", "decision": "approved", "by": "terminal"});
    world
        .publish(&json!([
            request("s", "r", "Bash"),
            {"type": "approval_decision", "session_id": "s", "data": data},
            {"type": "tool_call", "session_id": "s", "data": {"tool": "Bash", "tool_call_id": "call-r", "success": true}},
            {"type": "session_end", "session_id": "s", "data": {}},
            request("t", "next", "Bash"),
        ]))
        .await;
    let approval = world.approval("r").await;
    assert_eq!(
        (&approval["state"], &approval["by"]),
        (&json!("approved"), &json!("terminal"))
    );
    world.decide("next", &json!({"decision": "deny"})).await.ok();
    assert_eq!(world.decisions("r").await.len(), 1, "nothing was written behind it");
}

#[tokio::test]
async fn a_rule_approves_later_requests_of_its_tool_in_its_session_and_no_others() {
    let mut world = World::start().await;
    world
        .publish(&json!([
            request("s", "first", "Bash"),
            request("s", "waits", "Bash"),
            request("s", "odd", "")
        ]))
        .await;
    let always = json!({"decision": "approve", "always": true});
    let first = world.decide("first", &always).await.ok();
    assert_eq!(first["always"], true);
    assert_eq!(world.decide("odd", &always).await.ok()["state"], "approved");
    let rule = async |world: &World, id: &str| {
        world.publish(&request("s", id, "Bash")).await;
        let approval = world.decided(id).await;
        assert_eq!(
            (&approval["state"], &approval["by"], &approval["always"]),
            (&json!("approved"), &json!("rule"), &Value::Null)
        );
    };
    rule(&world, "second").await;
    let long = "x".repeat(300);
    world
        .publish(&json!([
            request("s", "other tool", "Write"),
            request("t", "other session", "Bash"),
            request("s", "no tool", ""),
            request("s", "long tool", &long),
        ]))
        .await;
    let pending = ["long tool", "no tool", "other session", "other tool", "waits"];
    assert_eq!(
        world.pending().await,
        pending,
        "what was asked before is left to people"
    );
    let denied = world.decide("long tool", &always).await.ok();
    assert_eq!(denied["state"], "approved");
    world.publish(&request("s", "longer tool", &format!("{long}y"))).await;
    world.restart_without_views().await;
    rule(&world, "third").await;
    assert_eq!(
        world.pending().await,
        ["longer tool", "no tool", "other session", "other tool", "waits"]
    );
    let data = json!({"decision": "approved", "approval_id": "third", "by": "rule"});
    assert_eq!(world.decisions("third").await, [data]);
}
