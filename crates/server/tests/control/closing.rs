//! What the server ends in the place of agents that are gone, and what it says of those from which nothing comes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::world::World;

fn start(agent: &str, session: &str, turn: &str) -> Value {
    json!({"type": "turn_start", "agent": agent, "session_id": session, "turn_id": turn, "data": {"from": "user", "body": "go"}})
}

impl World {
    async fn turn(&self, session: &str) -> Value {
        let turns = self.get(&format!("/api/sessions/{session}/turns")).await.ok();
        assert_eq!(turns["turns"].as_array().unwrap().len(), 1, "{turns}");
        turns["turns"][0].clone()
    }

    async fn state_of(&self, session: &str) -> Value {
        self.get(&format!("/api/sessions/{session}")).await.ok()["state"].clone()
    }

    /// The turns that the server has ended.
    async fn closed(&self) -> Vec<Value> {
        let ends = self.told("turn_end").await;
        let own = ends.iter().filter(|event| event["data"]["by"] == "server");
        own.map(|event| event["turn_id"].clone()).collect()
    }
}

#[tokio::test]
async fn a_turn_whose_agent_is_gone_is_closed_and_its_own_end_counts_when_it_comes() {
    let world = World::with(|config| config.limits.agent_silence = Duration::from_millis(1)).await;
    let key = world.key("a").await;
    let mut line = world.line(&key).await;
    line.sync().await;
    world.publish(&start("a", "s", "t")).await;
    world
        .publish(
            &json!({"type": "tool_call_start", "agent": "a", "session_id": "s", "turn_id": "t",
            "data": {"tool": "Bash", "tool_call_id": "c"}}),
        )
        .await;
    drop(line);
    let end = world.event("turn_end", 0).await;
    for (field, value) in [
        ("source", json!("turnwire")),
        ("agent", json!("a")),
        ("session_id", json!("s")),
        ("turn_id", json!("t")),
        (
            "data",
            json!({"ok": false, "note": "its agent went offline", "by": "server"}),
        ),
    ] {
        assert_eq!(end[field], value, "{end}");
    }
    let turn = world.turn("s").await;
    assert_eq!(
        (&turn["ok"], &turn["note"]),
        (&json!(false), &json!("its agent went offline"))
    );
    let calls = world.get("/api/sessions/s/tool-calls").await.ok();
    assert_eq!(calls["tool_calls"][0]["outcome"], "unfinished");
    assert_eq!(world.state_of("s").await, "offline");

    // What was in its spool.
    world
        .publish(
            &json!({"type": "turn_end", "agent": "a", "session_id": "s", "turn_id": "t",
            "data": {"ok": true, "usage": {"input_tokens": 7}}}),
        )
        .await;
    let turn = world.turn("s").await;
    assert_eq!((&turn["ok"], &turn["note"]), (&json!(true), &Value::Null), "{turn}");
    let session = world.get("/api/sessions/s").await.ok();
    assert_eq!(session["usage"]["input_tokens"], 7, "{session}");
}

#[tokio::test]
async fn sessions_of_an_agent_are_offline_with_it_and_come_back_with_it_but_for_those_that_are_over() {
    let world = World::with(|config| config.limits.agent_silence = Duration::from_millis(1)).await;
    let key = world.key("a").await;
    let mut line = world.line(&key).await;
    line.sync().await;
    let note = |agent: &str, session: &str| json!({"type": "note", "agent": agent, "session_id": session, "data": {"text": "x"}});
    let end = json!({"type": "session_end", "agent": "a", "session_id": "over", "data": {}});
    // In one batch, so that they are folded with one another.
    world
        .publish(&json!([note("a", "s"), note("b", "other"), note("a", "over"), end]))
        .await;
    drop(line);
    let offline = world.event("agent_offline", 0).await;
    let states = async || {
        let mut states = Vec::new();
        for session in ["s", "other", "over"] {
            states.push(world.state_of(session).await);
        }
        states
    };
    assert_eq!(states().await, ["offline", "idle", "done"]);
    let _line = world.line(&key).await;
    world.event("agent_online", offline["seq"].as_u64().unwrap()).await;
    assert_eq!(states().await, ["idle", "idle", "done"]);
}

#[tokio::test]
async fn only_turns_that_a_gone_agent_had_are_closed() {
    let world = World::with(|config| config.limits.agent_silence = Duration::from_millis(1)).await;
    world.publish(&start("no-downlink", "s1", "t1")).await;
    let leave = async |agent: &str, session: &str, turn: &str, after: u64| {
        let key = world.key(agent).await;
        let mut line = world.line(&key).await;
        line.sync().await;
        world.publish(&start(agent, session, turn)).await;
        drop(line);
        world.event("turn_end", after).await
    };
    let first = leave("a", "s2", "t2", 0).await;
    // Somebody works under its name without a downlink.
    world.publish(&start("a", "s3", "t3")).await;
    leave("c", "s4", "t4", first["seq"].as_u64().unwrap()).await;
    assert_eq!(world.closed().await, ["t2", "t4"]);
}

#[tokio::test]
async fn a_turn_whose_agent_does_not_come_back_after_a_restart_is_closed() {
    let mut world = World::with(|config| config.limits.agent_silence = Duration::from_secs(1)).await;
    let key = world.key("a").await;
    let line = world.line(&key).await;
    world.publish(&start("a", "s", "t")).await;
    world.restart().await;
    drop(line);
    assert_eq!(world.event("turn_end", 0).await["turn_id"], "t");
    world.restart_without_views().await;
    assert_eq!(world.turn("s").await["note"], "its agent went offline");
    assert_eq!(world.closed().await, ["t"], "once");
}

#[tokio::test]
async fn a_session_that_works_and_is_silent_is_stalled_once_until_its_next_event() {
    let world = World::with(|config| config.limits.stalled_after = Duration::from_millis(60)).await;
    // One that waits for a person is not stalled, however long it waits.
    world.publish(&start("a", "waits", "w")).await;
    let ask = json!({"type": "approval_request", "session_id": "waits", "turn_id": "w",
        "data": {"approval_id": "q", "tool": "Bash"}});
    world.publish(&ask).await;
    world.publish(&start("a", "s", "t")).await;
    let stalled = world.event("turn_state_changed", 0).await;
    assert_eq!(
        (
            &stalled["source"],
            &stalled["session_id"],
            &stalled["turn_id"],
            &stalled["data"]["state"]
        ),
        (&json!("turnwire"), &json!("s"), &json!("t"), &json!("stalled"))
    );
    assert_eq!(world.state_of("s").await, "stalled");
    let spoke = world
        .publish(&json!({"type": "note", "session_id": "s", "turn_id": "t", "data": {"text": "still here"}}))
        .await;
    world
        .event("turn_state_changed", spoke["last_seq"].as_u64().unwrap())
        .await;
    let all = world.told("turn_state_changed").await;
    let sessions: Vec<_> = all.iter().map(|event| &event["session_id"]).collect();
    assert_eq!(sessions, ["s", "s"]);
    assert_eq!(world.turn("s").await["ended"], Value::Null, "it is still open");
}

#[tokio::test]
async fn whatever_is_heard_of_a_stalled_session_takes_it_back_to_its_work() {
    let world = World::start().await;
    let event = |kind: &str, data: Value| json!({"type": kind, "session_id": "s", "turn_id": "t", "data": data});
    let stalled = event("turn_state_changed", json!({"state": "stalled"}));
    world.publish(&start("a", "s", "t")).await;
    for (before, after, state) in [
        (json!([]), event("note", json!({"text": "x"})), "thinking"),
        (
            json!([event("tool_call_start", json!({"tool": "Bash", "tool_call_id": "c"}))]),
            event("usage", json!({"input_tokens": 1})),
            "running_tool",
        ),
        (json!([]), event("turn_end", json!({"ok": true})), "idle"),
    ] {
        world.publish(&before).await;
        world.publish(&stalled).await;
        assert_eq!(world.state_of("s").await, "stalled");
        world.publish(&after).await;
        assert_eq!(world.state_of("s").await, state);
    }
}

#[tokio::test]
async fn a_turn_of_which_nothing_is_heard_for_long_is_closed_whoever_had_it() {
    let world = World::with(|config| config.limits.lost_after = Duration::from_millis(60)).await;
    world.publish(&start("killed", "s", "t")).await;
    let end = world.event("turn_end", 0).await;
    assert_eq!(
        end["data"],
        json!({"ok": false, "note": "nothing was heard of it for 60 ms", "by": "server"})
    );
    let turn = world.turn("s").await;
    assert_eq!((&turn["ok"], &turn["note"]), (&json!(false), &end["data"]["note"]));
    assert_eq!(world.state_of("s").await, "failed");
    world.metric("turnwire_turns_closed_total 1").await;
}
