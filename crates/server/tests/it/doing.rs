//! What a session does just now (L10): the call it is in, its activity by the minute, what it has cost today.

use serde_json::{Value, json};
use turnwire_proto::Timestamp;

use crate::world::{World, note};

fn ago(ms: i64) -> String {
    Timestamp::from_millis(Timestamp::now().millis() - ms)
        .unwrap()
        .to_string()
}

fn call(id: &str, tool: &str, arguments: Value) -> Value {
    let mut data = json!({"tool": tool, "tool_call_id": id});
    data["arguments"] = arguments;
    let mut event = json!({"type": "tool_call_start", "session_id": "s"});
    event["data"] = data;
    event
}

fn called(id: &str) -> Value {
    json!({"type": "tool_call", "session_id": "s", "data": {"tool": "Bash", "tool_call_id": id, "success": true}})
}

async fn session(world: &World) -> Value {
    let one = world.get("/api/sessions/s").await.ok();
    let list = world.get("/api/sessions").await.ok();
    let state = world.get("/api/state").await.ok();
    for of in [&list, &state] {
        let mut all = of["sessions"].as_array().unwrap().iter();
        let other = all.find(|session| session["id"] == "s").unwrap();
        assert_eq!(
            (&other["doing"], &other["cost_today_usd"]),
            (&one["doing"], &one["cost_today_usd"])
        );
        assert_eq!(sum(other), sum(&one));
    }
    one
}

fn sum(session: &Value) -> i64 {
    let minutes = session["activity"].as_array().unwrap();
    assert_eq!(minutes.len(), 30, "{session}");
    minutes.iter().map(|minute| minute.as_i64().unwrap()).sum()
}

#[tokio::test]
async fn a_session_does_the_open_call_that_began_last() {
    let mut world = World::start().await;
    world.publish(&json!([note("s", "x")])).await;
    assert_eq!(session(&world).await["doing"], Value::Null);
    let mut task = call("c1", "Task", json!({"description": "look around"}));
    task["timestamp"] = json!("2026-11-20T09:00:00.000Z");
    let bash = call(
        "c2",
        "Bash",
        json!({"command": format!("cargo test\n{}", "x".repeat(5000))}),
    );
    world.publish(&json!([task, bash])).await;
    let doing = session(&world).await["doing"].clone();
    assert_eq!(doing["tool"], "Bash");
    let target = doing["target"].as_str().unwrap();
    assert!(
        target.starts_with("cargo test xxx") && target.chars().count() <= 161,
        "{target}"
    );
    world.publish(&called("c2")).await;
    let doing = json!({"tool": "Task", "target": "look around", "since": "2026-11-20T09:00:00.000Z"});
    assert_eq!(session(&world).await["doing"], doing);
    world.restart_without_views().await;
    assert_eq!(session(&world).await["doing"], doing);
    world.publish(&called("c1")).await;
    assert_eq!(session(&world).await["doing"], Value::Null);
}

#[tokio::test]
async fn activity_is_the_events_of_the_last_thirty_minutes() {
    let mut world = World::start().await;
    let dated = |ms: i64| {
        let mut event = note("s", "x");
        event["timestamp"] = json!(ago(ms));
        event
    };
    let minute = 60_000;
    // In no order; what is an hour old or of tomorrow is in none.
    world
        .publish(&json!([
            dated(10 * minute),
            dated(0),
            dated(60 * minute),
            dated(-24 * 60 * minute),
            dated(10 * minute),
            note("other", "x")
        ]))
        .await;
    for again in [false, true] {
        if again {
            world.restart_without_views().await;
        }
        let one = session(&world).await;
        assert_eq!(sum(&one), 3);
        let minutes = one["activity"].as_array().unwrap();
        // The minute may have changed since.
        assert!([18, 19].iter().any(|at| minutes[*at] == 2), "{minutes:?}");
        assert!([28, 29].iter().any(|at| minutes[*at] == 1), "{minutes:?}");
    }
}

#[tokio::test]
async fn what_a_session_has_used_and_cost_today_is_not_all_that_it_has() {
    let mut world = World::start().await;
    let usage = |at: String, cost: f64| json!({"type": "usage", "session_id": "s", "timestamp": at, "data": {"input_tokens": 1, "cost_usd": cost}});
    let day = 24 * 3_600_000;
    world
        .publish(&json!([
            usage(ago(0), 0.25),
            usage(ago(day), 4.0),
            usage(ago(0), 0.5),
            usage(ago(-day), 8.0)
        ]))
        .await;
    for again in [false, true] {
        if again {
            world.restart_without_views().await;
        }
        let one = session(&world).await;
        assert_eq!(
            (&one["cost_today_usd"], &one["cost_usd"]),
            (&json!(0.75), &json!(12.75))
        );
        let tokens = |field: &str| one[field]["input_tokens"].clone();
        assert_eq!((tokens("usage_today"), tokens("usage")), (json!(2), json!(4)));
    }
}
