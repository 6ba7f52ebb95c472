//! What a stream is about: filters, sessions, raw lines; and signs of life.

use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{Frame, World, note, notes, seqs};

/// One event of each agent, kind, source and session.
async fn mixed() -> World {
    let world = World::start().await;
    let event = |kind: &str, agent: &str, source: &str, session: &str| json!({"type": kind, "agent": agent, "source": source, "session_id": session});
    let events = json!([
        event("note", "x", "cli", "a"),
        event("message", "x", "ci", "b"),
        event("text_delta", "y", "cli", "a"),
        event("note", "z", "ci", "b"),
        {"type": "made_up", "source": "ci"},
        event("error", "y", "web", "a"),
    ]);
    world.publish(&events).await;
    world
}

#[tokio::test]
async fn filters_leave_what_was_asked_for_in_replay_and_live() {
    let world = mixed().await;
    for (query, expected) in [
        ("session_id=a", &[1, 3, 6][..]),
        ("agent=x", &[1, 2]),
        ("agent=x,z", &[1, 2, 4]),
        ("agent=x&agent=z", &[1, 2, 4]),
        ("type=note,error", &[1, 4, 6]),
        ("type=made_up", &[5]),
        ("source=ci", &[2, 4, 5]),
        ("source=ci&type=note", &[4]),
        ("deltas=false", &[1, 2, 4, 5, 6]),
        ("session_id=a&deltas=false", &[1, 6]),
        ("session_id=a&agent=y&deltas=0", &[6]),
        ("type=text_delta", &[3]),
    ] {
        let mut stream = world.stream(&format!("/api/events?after=0&{query}")).await;
        assert_eq!(
            seqs(&stream.until(expected[expected.len() - 1]).await),
            expected,
            "{query}"
        );
    }
    let mut live = world.stream("/api/events?type=note&agent=y").await;
    live.control("hello").await;
    world
        .publish(&json!([{"type": "note"}, {"type": "error", "agent": "y"}, {"type": "note", "agent": "y"}]))
        .await;
    assert_eq!(live.event().await["seq"], 9);
}

#[tokio::test]
async fn a_sessions_route_streams_that_session_alone() {
    let world = mixed().await;
    for mut stream in [
        world.stream("/api/sessions/a/events?after=0").await,
        world.stream_of_hyper("/api/sessions/a/events?after=0").await,
    ] {
        assert_eq!(seqs(&stream.until(6).await), [1, 3, 6]);
        world.publish(&json!([note("b", "other"), note("a", "own")])).await;
        assert_eq!(stream.event().await["data"]["text"], "own");
    }
    let mut odd = world.stream("/api/sessions/odd%20%2F%3A%25/events").await;
    odd.control("hello").await;
    world.publish(&note("odd /:%", "found")).await;
    assert_eq!(odd.event().await["data"]["text"], "found");
}

#[tokio::test]
async fn a_vendors_line_is_sent_only_on_request() {
    let world = World::start().await;
    world
        .publish(&json!({"type": "note", "session_id": "a", "raw": {"vendor": [1, "two"]}}))
        .await;
    for (query, raw) in [
        ("after=0", Value::Null),
        ("after=0&raw=false", Value::Null),
        ("after=0&raw=true", json!({"vendor": [1, "two"]})),
    ] {
        for url in ["/api/events", "/api/sessions/a/events"] {
            let event = world.stream(&format!("{url}?{query}")).await.event().await;
            assert_eq!(event["raw"], raw, "{url} {query}");
        }
        let page = world.history(query).await;
        assert_eq!(page["events"][0]["raw"], raw, "{query}");
    }
}

#[tokio::test]
async fn a_silent_stream_says_that_it_lives() {
    let world = World::with(|config| config.limits.heartbeat = Duration::from_millis(50)).await;
    for mut stream in [
        world.stream("/api/events").await,
        world.stream_of_hyper("/api/events").await,
        world.stream("/api/sessions/silent/events").await,
    ] {
        stream.control("hello").await;
        assert_eq!(stream.frame().await, Some(Frame::Place(0)));
        for _ in 0..3 {
            assert_eq!(stream.frame().await, Some(Frame::Comment("hb".into())));
            assert_eq!(stream.frame().await, Some(Frame::Place(0)));
        }
    }
}

#[tokio::test]
async fn an_event_of_the_largest_size_arrives_whole() {
    let world = World::start().await;
    // What is said stays whole as long as there is room for it.
    let text = "x".repeat(turnwire_proto::limits::EVENT - 14);
    let said = serde_json::json!({"type": "message", "session_id": "a", "data": {"content": text}});
    world.publish(&said).await;
    world.publish(&notes("a", 1)).await;
    for mut stream in [
        world.stream("/api/events?after=0").await,
        world.stream_of_hyper("/api/events?after=0").await,
    ] {
        assert_eq!(stream.event().await["data"]["content"], text);
        assert_eq!(stream.event().await["seq"], 2);
    }
}
