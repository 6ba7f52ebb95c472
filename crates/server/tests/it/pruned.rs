//! Sessions that are too old or too many are deleted, with all that was in them, and that is told.

use std::time::Duration;

use serde_json::{Value, json};
use turnwire_proto::Timestamp;

use crate::world::{World, note, within};

fn of_then(session: &str, days: i64) -> Value {
    let then = Timestamp::now().millis() - days * 24 * 3600 * 1000;
    let mut event = note(session, "words that are looked for");
    event["timestamp"] = Timestamp::from_millis(then).unwrap().to_string().into();
    event
}

/// Waits until this session's end is told behind a place.
async fn told(world: &World, session: &str) -> Value {
    let url = format!("/api/sessions/{session}/events?after=0&type=history_trimmed");
    let mut stream = world.stream(&url).await;
    within("the session to go", stream.event()).await
}

async fn listed(world: &World) -> Vec<String> {
    let list = world.get("/api/sessions").await.ok();
    let ids = list["sessions"].as_array().unwrap().iter();
    let mut ids: Vec<_> = ids.map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn a_session_that_is_too_old_goes_from_every_path_and_others_stay() {
    let mut world = World::with(|config| {
        config.retention.session_age = Some(Duration::from_hours(24));
        config.retention.every = Duration::from_millis(20);
    })
    .await;
    let call = json!({"type": "tool_call_start", "session_id": "old", "timestamp": of_then("old", 2)["timestamp"],
        "data": {"tool": "Bash", "tool_call_id": "c"}});
    world
        .publish(&json!([of_then("old", 3), of_then("new", 0), call]))
        .await;
    let event = told(&world, "old").await;
    assert_eq!(
        (&event["session_id"], &event["source"]),
        (&json!("old"), &json!("turnwire"))
    );
    assert_eq!(event["data"], json!({"what": "session", "before": 4, "count": 2}));
    for again in [false, true] {
        if again {
            world.restart_without_views().await;
        }
        assert_eq!(listed(&world).await, ["new"]);
        for path in ["", "/turns", "/tool-calls"] {
            world
                .get(&format!("/api/sessions/old{path}"))
                .await
                .refused(404, "not_found");
        }
        let found = world.history("q=looked").await;
        let sessions: Vec<_> = found["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| &event["session_id"])
            .collect();
        assert_eq!(sessions, ["new"]);
        let kinds: Vec<_> = world.all().await.iter().map(|event| event["type"].clone()).collect();
        assert_eq!(kinds, ["note", "history_trimmed"]);
    }
    // Nobody else is told that there was one.
    let other = world.token(&["read:session:new"]).await;
    let seen = world.get_by(&other, "/api/events/history?limit=1000").await.ok();
    assert_eq!(seen["events"].as_array().unwrap().len(), 1, "{seen}");
    // It may begin again.
    world.publish(&of_then("old", 0)).await;
    assert_eq!(listed(&world).await, ["new", "old"]);
}

#[tokio::test]
async fn the_latest_sessions_are_kept_and_those_that_have_something_open() {
    let world = World::with(|config| {
        config.retention.sessions = Some(2);
        config.retention.every = Duration::from_millis(20);
    })
    .await;
    let turn = |kind: &str| json!({"type": kind, "session_id": "works", "turn_id": "t", "data": {"ok": true}});
    let asks = json!({"type": "approval_request", "session_id": "asks", "data": {"approval_id": "q", "tool": "Bash"}});
    world
        .publish(&json!([
            turn("turn_start"),
            asks,
            note("a", "x"),
            note("b", "x"),
            note("c", "x")
        ]))
        .await;
    told(&world, "a").await;
    assert_eq!(listed(&world).await, ["asks", "b", "c", "works"]);
    // Now it is the latest.
    world.publish(&turn("turn_end")).await;
    told(&world, "b").await;
    assert_eq!(listed(&world).await, ["asks", "c", "works"]);
    world
        .metric("turnwire_retention_deleted_total{what=\"sessions\"} 2")
        .await;
}
