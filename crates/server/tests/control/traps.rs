//! What went wrong in systems that did this before.

use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn a_command_has_an_identity_two_moments_and_an_end_that_everybody_sees() {
    let world = World::start().await;
    let key = world.key("a").await;
    let command = world.say("a", "1").await;
    for field in ["id", "issued", "expires", "actor", "state"] {
        assert!(command[field].is_string(), "{field}");
    }
    world.wake(&key, "").await;
    let failed = json!({"state": "failed", "reason": "the disk is full"});
    world.ack(&key, &command["id"], &failed).await.ok();
    // A reader who was not there sees why, in the log and in the ledger.
    let reader = world.token(&["read"]).await;
    let page = world
        .get_by(&reader, "/api/events/history?type=command_state&after=0")
        .await
        .ok();
    let last = page["events"].as_array().unwrap().last().unwrap()["data"].clone();
    assert_eq!(
        (&last["state"], &last["reason"]),
        (&json!("failed"), &json!("the disk is full"))
    );
    assert_eq!(world.command(&command["id"]).await["reason"], "the disk is full");
}

#[tokio::test]
async fn an_order_is_not_said_again_on_an_open_downlink_however_long_it_is_open() {
    let world = World::with(|config| config.limits.heartbeat = std::time::Duration::from_millis(5)).await;
    let key = world.key("a").await;
    let hold = world.order(&json!({"agent": "a", "action": "hold"})).await.ok();
    let mut line = world.line(&key).await;
    assert_eq!(line.command().await["id"], hold["id"]);
    for _ in 0..10 {
        assert_eq!(line.frame().await, Some(crate::line::Frame::Comment("hb".into())));
    }
}

#[tokio::test]
async fn a_late_pause_does_not_undo_a_newer_resume_on_any_path() {
    let world = World::start().await;
    let key = world.key("a").await;
    let mut line = world.line(&key).await;
    let hold = world.order(&json!({"agent": "a", "action": "hold"})).await.ok();
    assert_eq!(line.command().await["id"], hold["id"]);
    // The agent is slow to begin; meanwhile it is released.
    let release = world.order(&json!({"agent": "a", "action": "release"})).await.ok();
    let late = world.ack(&key, &hold["id"], &json!({"state": "acked"})).await;
    assert_eq!(late.refused(409, "conflict")["state"], "withdrawn");
    assert_eq!(line.command().await["id"], release["id"]);
    for commands in [world.sync(&key, &json!({})).await, world.wake(&key, "").await] {
        let ids: Vec<_> = commands["commands"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["id"].clone())
            .collect();
        assert_eq!(ids, [release["id"].clone()], "no path brings the pause again");
    }
}

#[tokio::test]
async fn what_was_ordered_while_an_agent_was_away_is_there_when_it_comes_back() {
    let world = World::start().await;
    let key = world.key("a").await;
    let mut line = world.line(&key).await;
    line.sync().await;
    let cursor = line.cursor;
    drop(line);
    let mut wanted = Vec::new();
    for n in 0..3 {
        wanted.push(world.say("a", &n.to_string()).await["id"].clone());
    }
    let mut again = world.line_from(&key, cursor).await;
    for id in wanted {
        assert_eq!(again.command().await["id"], id);
    }
}

#[tokio::test]
async fn cancelled_work_is_not_brought_back_by_a_restart() {
    let mut world = World::start().await;
    let key = world.key("a").await;
    let work = world.say("a", "download everything").await;
    world.withdraw(&work["id"]).await.ok();
    world.restart().await;
    assert_eq!(world.wake(&key, "wait_ms=0").await["commands"], json!([]));
    assert_eq!(world.sync(&key, &json!({})).await["commands"], json!([]));
}

#[tokio::test]
async fn two_transports_bring_the_same_commands_in_the_same_order() {
    let world = World::start().await;
    let key = world.key("a").await;
    for n in 0..5 {
        world.say("a", &n.to_string()).await;
    }
    let ids = |commands: &serde_json::Value| -> Vec<_> {
        commands["commands"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["id"].clone())
            .collect()
    };
    let (mut line, mut by_stream) = (world.line(&key).await, Vec::new());
    for _ in 0..5 {
        by_stream.push(line.command().await["id"].clone());
    }
    assert_eq!(ids(&world.wake(&key, "wait_ms=0").await), by_stream);
    assert_eq!(ids(&world.sync(&key, &json!({})).await), by_stream);
}
