//! The stream: order, resume, at least once, and how it ends.

use serde_json::{Value, json};

use crate::{
    line::{Frame, Line},
    world::World,
};

#[tokio::test]
async fn a_downlink_opens_at_once_with_all_that_a_client_needs() {
    let world = World::start().await;
    let key = world.key("a").await;
    for url in ["/api/agent/events", "/api/internal/agent/events"] {
        let mut line = Line::open(&world, &key, url, None).await;
        for (header, value) in [
            ("content-type", "text/event-stream"),
            ("cache-control", "no-cache, no-transform"),
            ("x-accel-buffering", "no"),
        ] {
            assert_eq!(line.head.headers[header], value);
        }
        assert_eq!(line.frame().await, Some(Frame::Retry));
        assert_eq!(line.frame().await, Some(Frame::Comment("connected".into())));
        assert!(matches!(line.frame().await, Some(Frame::Control(name, _)) if name == "hello"));
        let sync = Frame::Named("sync".into(), json!({"reason": "connected"}), 0);
        assert_eq!(line.frame().await, Some(sync));
    }
}

#[tokio::test]
async fn a_silent_downlink_says_that_it_lives() {
    let world = World::with(|config| config.limits.heartbeat = std::time::Duration::from_millis(10)).await;
    let key = world.key("a").await;
    for of_hyper in [false, true] {
        let mut line = if of_hyper {
            Line::open_of_hyper(&world, &key).await
        } else {
            world.line(&key).await
        };
        line.sync().await;
        for _ in 0..2 {
            assert_eq!(line.frame().await, Some(Frame::Comment("hb".into())));
        }
    }
}

#[tokio::test]
async fn commands_come_in_order_whether_they_waited_or_are_new_and_each_connection_writes_them_alike() {
    let world = World::start().await;
    let key = world.key("a").await;
    for of_hyper in [false, true] {
        let mut wanted = vec![world.say("a", "1").await, world.say("a", "2").await];
        world.say("other", "not mine").await;
        let mut line = if of_hyper {
            Line::open_of_hyper(&world, &key).await
        } else {
            world.line(&key).await
        };
        let mut got = vec![line.command().await, line.command().await];
        wanted.extend([world.say("a", "3").await, world.say("a", "4").await]);
        got.extend([line.command().await, line.command().await]);
        let ids = |list: &[Value]| -> Vec<Value> { list.iter().map(|command| command["id"].clone()).collect() };
        assert_eq!(ids(&got), ids(&wanted));
        for command in &got {
            assert_eq!(world.states(&command["id"]).await, ["delivered"]);
            world.ack(&key, &command["id"], &json!({"state": "done"})).await.ok();
        }
    }
}

#[tokio::test]
async fn a_downlink_resumes_behind_its_cursor_and_one_that_lost_it_gets_all_that_is_open() {
    let world = World::start().await;
    let key = world.key("a").await;
    let (one, two) = (world.say("a", "1").await, world.say("a", "2").await);
    let mut line = world.line(&key).await;
    assert_eq!(line.command().await["id"], one["id"]);
    let cursor = line.cursor;
    // The second one was handed over, but the client was cut before it had it.
    assert_eq!(line.command().await["id"], two["id"]);
    drop(line);
    let three = world.say("a", "3").await;
    let mut again = world.line_from(&key, cursor).await;
    assert_eq!(again.command().await["id"], two["id"]);
    assert_eq!(again.command().await["id"], three["id"]);
    world.ack(&key, &one["id"], &json!({"state": "acked"})).await.ok();
    let mut anew = world.line(&key).await;
    for command in [&two, &three] {
        assert_eq!(
            anew.command().await["id"],
            command["id"],
            "what was taken on does not come again"
        );
    }
    assert_eq!(
        world.states(&two["id"]).await,
        ["delivered"],
        "twice delivered is one step"
    );
}

#[tokio::test]
async fn a_cursor_that_means_nothing_here_is_told_and_misses_nothing() {
    let world = World::start().await;
    let key = world.key("a").await;
    let command = world.say("a", "1").await;
    let mut line = world.line_from(&key, 1_000_000).await;
    assert_eq!(line.sync().await, "cursor_unknown");
    assert_eq!(line.command().await["id"], command["id"]);
    let url = "/api/agent/events?after=1000&epoch=0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10";
    let mut line = Line::open(&world, &key, url, None).await;
    assert_eq!(line.sync().await, "cursor_unknown");
    assert_eq!(line.command().await["id"], command["id"]);
}

#[tokio::test]
async fn the_newest_downlink_of_an_agent_takes_the_place_of_the_older_one() {
    let world = World::start().await;
    let key = world.key("a").await;
    let mut old = world.line(&key).await;
    old.sync().await;
    let mut new = world.line(&key).await;
    assert_eq!(old.bye().await, json!({"reason": "replaced"}));
    let command = world.say("a", "1").await;
    assert_eq!(new.command().await["id"], command["id"]);
    // It was the same agent all along.
    assert_eq!(world.told("agent_online,agent_offline").await.len(), 1);
}

#[tokio::test]
async fn a_downlink_ends_when_the_server_stops_and_goes_on_where_it_was() {
    let mut world = World::with(|config| config.limits.shutdown_grace = std::time::Duration::from_secs(1)).await;
    let key = world.key("a").await;
    let one = world.say("a", "1").await;
    let mut line = world.line(&key).await;
    assert_eq!(line.command().await["id"], one["id"]);
    world.restart().await;
    let bye = line.bye().await;
    assert_eq!(bye["reason"], "shutdown");
    assert!((1000..3000).contains(&bye["retry_ms"].as_u64().unwrap()), "{bye}");
    let two = world.say("a", "2").await;
    let mut again = world.line_from(&key, line.cursor).await;
    assert_eq!(again.command().await["id"], two["id"]);
}

#[tokio::test]
async fn commands_larger_than_one_piece_together_all_come() {
    let world = World::start().await;
    let key = world.key("a").await;
    let text = "x".repeat(60 * 1024);
    let mut wanted = Vec::new();
    for _ in 0..40 {
        wanted.push(world.say("a", &text).await["id"].clone());
    }
    let mut line = world.line(&key).await;
    for id in wanted {
        assert_eq!(line.command().await["id"], id);
    }
}
