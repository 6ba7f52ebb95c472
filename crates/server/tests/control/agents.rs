//! Presence, reports, and acknowledgements.

use std::time::Duration;

use serde_json::{Value, json};

use crate::world::World;

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_agent_is_online_with_its_downlink_and_offline_after_its_silence() {
    let world = World::with(|config| config.limits.agent_silence = Duration::from_millis(1)).await;
    let key = world.key("a").await;
    let mut line = world.line(&key).await;
    line.sync().await;
    let online = world.event("agent_online", 0).await;
    assert_eq!((&online["agent"], &online["source"]), (&json!("a"), &json!("turnwire")));
    assert_eq!(world.get("/api/agents/a").await.ok()["online"], true);
    drop(line);
    let offline = world.event("agent_offline", online["seq"].as_u64().unwrap()).await;
    assert_eq!(offline["agent"], "a");
    let agent = world.get("/api/agents/a").await.ok();
    assert_eq!(
        (&agent["online"], &agent["since"]),
        (&json!(false), &offline["timestamp"])
    );
}

#[tokio::test]
async fn an_open_downlink_keeps_an_agent_online_however_silent_it_is() {
    let world = World::with(|config| {
        config.limits.agent_silence = Duration::from_millis(1);
        config.limits.heartbeat = Duration::from_millis(20);
    })
    .await;
    let key = world.key("a").await;
    let mut line = world.line(&key).await;
    line.sync().await;
    // Each heartbeat is many silences later than the one before.
    for _ in 0..5 {
        line.frame().await.unwrap();
    }
    assert_eq!(kinds(&world.told("agent_online,agent_offline").await), ["agent_online"]);
}

#[tokio::test]
async fn coming_back_within_the_silence_is_no_event_by_whatever_way() {
    let world = World::with(|config| config.limits.agent_silence = Duration::from_hours(1)).await;
    let key = world.key("a").await;
    for _ in 0..3 {
        world.line(&key).await.sync().await;
        world.wake(&key, "wait_ms=0").await;
        world.sync(&key, &json!({})).await;
    }
    assert_eq!(kinds(&world.told("agent_online,agent_offline").await), ["agent_online"]);
}

#[tokio::test]
async fn an_agent_that_was_online_before_a_restart_has_its_silence_to_come_back() {
    let mut world = World::with(|config| config.limits.agent_silence = Duration::from_hours(1)).await;
    let key = world.key("a").await;
    world.wake(&key, "wait_ms=0").await;
    world.restart().await;
    assert_eq!(world.get("/api/agents/a").await.ok()["online"], true);
    world.line(&key).await.sync().await;
    assert_eq!(kinds(&world.told("agent_online,agent_offline").await), ["agent_online"]);
}

#[tokio::test]
async fn an_agent_that_does_not_come_back_after_a_restart_is_offline() {
    let mut world = World::with(|config| config.limits.agent_silence = Duration::from_secs(1)).await;
    let key = world.key("a").await;
    let line = world.line(&key).await;
    let head = world.head_seq().await;
    world.restart().await;
    drop(line);
    assert_eq!(world.event("agent_offline", head).await["agent"], "a");
}

#[tokio::test]
async fn a_report_is_shown_whole_and_is_an_event_when_something_is_new() {
    let world = World::start().await;
    let key = world.key("a").await;
    let report = json!({"version": "1.2", "capabilities": ["message", "set_model"], "model": "large", "state": "idle",
        "login": "ok", "sessions": [{"id": "s1", "state": "thinking"}, {"id": "s2"}]});
    for _ in 0..3 {
        world.sync(&key, &report).await;
    }
    let agent = world.get("/api/agents/a").await.ok();
    for field in ["version", "capabilities", "model", "state", "login", "sessions"] {
        assert_eq!(agent[field], report[field], "{field}");
    }
    let events = world.told("agent_state").await;
    assert_eq!(events.len(), 1, "what is not new is no event");
    assert_eq!(events[0]["data"]["model"], "large");
    assert!(
        events[0]["data"].get("sessions").is_none(),
        "an event without a session is for every reader"
    );
    // What is left out is not known any more: nothing stale is kept.
    world.sync(&key, &json!({"model": "small"})).await;
    let agent = world.get("/api/agents/a").await.ok();
    assert_eq!((&agent["model"], &agent["capabilities"]), (&json!("small"), &json!([])));
    assert!(agent.get("login").is_none() && agent["sessions"] == json!([]));
    assert_eq!(world.told("agent_state").await.len(), 2);
    let refused = world
        .send_by(&key, "POST", "/api/agent/sync", &json!({"mood": "good"}))
        .await;
    refused.refused_field(400, "bad_request", "mood");
    let many: Vec<_> = (0..257).map(|n| n.to_string()).collect();
    let refused = world
        .send_by(&key, "POST", "/api/agent/sync", &json!({"capabilities": many}))
        .await;
    assert_eq!(refused.refused_field(413, "too_large", "capabilities")["limit"], 256);
}

#[tokio::test]
async fn what_an_agent_reported_is_known_after_a_restart_but_for_its_sessions() {
    let mut world = World::start().await;
    let key = world.key("a").await;
    world
        .sync(&key, &json!({"model": "large", "sessions": [{"id": "s"}]}))
        .await;
    world.restart().await;
    let agent = world.get("/api/agents/a").await.ok();
    assert_eq!((&agent["model"], &agent["sessions"]), (&json!("large"), &json!([])));
    world.sync(&key, &json!({"model": "large"})).await;
    assert_eq!(
        world.told("agent_state").await.len(),
        1,
        "the same report is still the same"
    );
}

#[tokio::test]
async fn a_report_is_answered_with_all_that_the_agent_has_not_said_the_end_of() {
    let world = World::start().await;
    let key = world.key("a").await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(world.say("a", &n.to_string()).await["id"].clone());
    }
    world.wake(&key, "").await;
    world.ack(&key, &ids[0], &json!({"state": "done"})).await.ok();
    world.ack(&key, &ids[1], &json!({"state": "acked"})).await.ok();
    world.withdraw(&ids[2]).await.ok();
    let last = world.say("a", "last").await;
    let answer = world.sync(&key, &json!({})).await;
    let shown: Vec<_> = answer["commands"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (&c["id"], c["state"].as_str().unwrap()))
        .collect();
    assert_eq!(
        shown,
        [(&ids[1], "acked"), (&ids[3], "delivered"), (&last["id"], "delivered")]
    );
    assert_eq!(answer["cursor"], last["seq"]);
}

#[tokio::test]
async fn agents_are_listed_with_what_waits_for_them_and_sessions_as_far_as_they_may_be_seen() {
    let world = World::start().await;
    let key = world.key("b").await;
    world
        .sync(&key, &json!({"sessions": [{"id": "s1"}, {"id": "s2"}]}))
        .await;
    world.say("a", "1").await;
    let list = world.get("/api/agents").await.ok();
    let agents = list["agents"].as_array().unwrap();
    let names: Vec<_> = agents.iter().map(|agent| (&agent["name"], &agent["online"])).collect();
    assert_eq!(names, [(&json!("a"), &json!(false)), (&json!("b"), &json!(true))]);
    assert_eq!(
        agents[0]["queue"],
        json!({"queued": 1, "delivered": 0, "acked": 0, "limit": 256})
    );
    let reader = world.token(&["read:session:s2"]).await;
    let seen = world.get_by(&reader, "/api/agents/b").await.ok();
    assert_eq!(seen["sessions"], json!([{"id": "s2"}]));
    world
        .get("/api/agents/nobody")
        .await
        .refused_field(404, "not_found", "name");
}

#[tokio::test]
async fn an_acknowledgement_is_a_step_with_its_result_and_said_twice_it_is_one() {
    let world = World::start().await;
    let key = world.key("a").await;
    let command = world.say("a", "1").await;
    let early = world.ack(&key, &command["id"], &json!({"state": "acked"})).await;
    assert_eq!(
        early.refused(409, "conflict")["state"],
        "queued",
        "it was not delivered yet"
    );
    world.wake(&key, "").await;
    let done = json!({"state": "done", "result": {"turn_id": "t-1"}});
    for (said, state) in [
        (json!({"state": "acked"}), "acked"),
        (json!({"state": "acked"}), "acked"),
        (done.clone(), "done"),
        (done.clone(), "done"),
        // A second try whose first answer came late.
        (json!({"state": "acked"}), "done"),
    ] {
        let answer = world.ack(&key, &command["id"], &said).await.ok();
        assert_eq!(answer["state"], state);
    }
    assert_eq!(world.command(&command["id"]).await["result"], json!({"turn_id": "t-1"}));
    let failed = world
        .ack(&key, &command["id"], &json!({"state": "failed", "reason": "no"}))
        .await;
    assert_eq!(
        failed.refused(409, "conflict")["state"],
        "done",
        "the first word counts"
    );
    assert_eq!(world.states(&command["id"]).await, ["delivered", "acked", "done"]);
}

#[tokio::test]
async fn an_acknowledgement_says_what_it_can_say_and_no_more() {
    let world = World::start().await;
    let key = world.key("a").await;
    let command = world.say("a", "1").await;
    world.wake(&key, "").await;
    for (said, status, code, field) in [
        (json!({"state": "queued"}), 400, "bad_request", "state"),
        (json!({"state": "withdrawn"}), 400, "bad_request", "state"),
        (json!({"state": "done", "reason": "x"}), 400, "bad_request", "reason"),
        (json!({"state": "acked", "result": {}}), 400, "bad_request", "result"),
        (json!({"state": "done", "result": 7}), 400, "bad_request", "result"),
        (json!({"state": "done", "at": 7}), 400, "bad_request", "at"),
        (
            json!({"state": "failed", "reason": "x".repeat(1025)}),
            413,
            "too_large",
            "reason",
        ),
        (
            json!({"state": "done", "result": {"x": "y".repeat(64 * 1024)}}),
            413,
            "too_large",
            "result",
        ),
    ] {
        world
            .ack(&key, &command["id"], &said)
            .await
            .refused_field(status, code, field);
    }
    assert_eq!(world.states(&command["id"]).await, ["delivered"]);
}
