//! Requests that do not arrive: bodies that break off, heads and bodies that stand still, too many connections.

use std::time::Duration;

use serde_json::json;

use crate::world::{World, lines, note, notes, texts, within};

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

async fn impatient() -> World {
    World::with(|config| {
        config.limits.head_time = Duration::from_millis(300);
        config.limits.idle_time = Duration::from_millis(600);
        config.limits.body_time = Duration::from_millis(300);
    })
    .await
}

#[tokio::test]
async fn a_body_that_breaks_off_writes_nothing_of_a_batch() {
    let world = World::start().await;
    let body = notes("a", 200).to_string();
    let whole = world.request("POST", "/api/events", JSON, &body);
    let head = world.head("POST", "/api/events");
    let in_chunks = format!(
        "{head}Content-Type: {JSON}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let large: serde_json::Value = (0..400).map(|_| note("a", &"x".repeat(1000))).collect();
    let large = world.request("POST", "/api/events", JSON, large.to_string());
    for request in [whole.as_slice(), in_chunks.as_bytes(), &large] {
        let start = request.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        for cut in [
            2,
            start,
            start + 4,
            start + 7,
            start + 100,
            request.len() - 6,
            request.len() - 1,
        ] {
            let mut wire = world.wire().await;
            wire.send(&request[..cut]).await;
            wire.end().await;
            let answer = wire.rest().await;
            assert!(
                answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "),
                "{}",
                String::from_utf8_lossy(&answer)
            );
            assert_eq!(world.head_seq().await, 0, "cut at {cut}");
        }
    }
    world.ask(whole).await.ok();
    assert_eq!(world.head_seq().await, 200);
}

#[tokio::test]
async fn a_body_of_lines_that_breaks_off_writes_whole_lines_alone() {
    let world = World::start().await;
    let body = lines(&notes("a", 3));
    let head = world.head("POST", "/api/events");
    let with_length = String::from_utf8(world.request("POST", "/api/events", NDJSON, &body)).unwrap();
    let in_chunks = format!(
        "{head}Content-Type: {NDJSON}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    for request in [with_length, in_chunks] {
        let start = request.find("\r\n\r\n").unwrap() + 4;
        for cut in (start..request.len()).step_by(17) {
            let before = world.head_seq().await;
            let mut wire = world.wire().await;
            wire.send(&request[..cut]).await;
            wire.end().await;
            let answer = wire.rest().await;
            assert!(
                answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "),
                "cut at {cut}"
            );
            let page = world.history(&format!("after={before}")).await;
            let texts = texts(page["events"].as_array().unwrap());
            assert!(["0", "1", "2"].starts_with(&texts), "cut at {cut}: {texts:?}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_gone_within_a_body_harms_nobody() {
    let world = World::start().await;
    for request in [
        world.request("POST", "/api/events", JSON, notes("a", 500).to_string()),
        b"GET /api/ev".to_vec(),
        Vec::new(),
    ] {
        let mut wire = world.wire().await;
        wire.send(&request[..request.len() / 2]).await;
        drop(wire);
    }
    world.metric("turnwire_connections_open 1").await;
    assert_eq!(world.head_seq().await, 0);
    world.publish(&note("a", "fine")).await;
}

#[tokio::test]
async fn a_head_that_does_not_come_is_answered_408_and_closed() {
    let world = impatient().await;
    for start in ["G", "GET /api/ev", "POST /api/events HTTP/1.1\r\nHost: x\r\n"] {
        let mut wire = world.wire().await;
        wire.send(start).await;
        let reply = wire.reply().await;
        assert_eq!(reply.refused(408, "timeout")["limit_ms"], 300);
        assert_eq!(reply.headers["connection"], "close");
        assert!(wire.rest().await.is_empty());
    }
}

#[tokio::test]
async fn a_head_that_trickles_has_one_deadline() {
    let world = impatient().await;
    let mut wire = world.wire().await;
    let mut beat = tokio::time::interval(Duration::from_millis(20));
    // The attack itself is slow: a byte now and then, and more of them than the deadline has time for.
    within("the server to have enough", async {
        wire.send("GET /api/events HTTP/1.1\r\nX: ").await;
        while wire.send("x").await {
            beat.tick().await;
        }
    })
    .await;
    let answer = wire.rest().await;
    // A client that writes on may find the connection reset instead of the answer.
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408 "));
    world.metric("turnwire_connections_slow_total 1").await;
}

#[tokio::test]
async fn a_second_head_that_does_not_come_closes_the_connection() {
    let world = impatient().await;
    for first in [
        format!("{}\r\n", world.head("GET", "/healthz")).into_bytes(),
        world.request("POST", "/api/events", JSON, note("a", "x").to_string()),
    ] {
        let mut wire = world.wire().await;
        wire.send(first).await;
        wire.reply().await.ok();
        wire.send("GET /api/ev").await;
        wire.rest().await;
    }
}

#[tokio::test]
async fn a_later_head_has_as_much_time_as_the_first_and_what_is_no_head_has_more() {
    let world = World::with(|config| {
        config.limits.head_time = Duration::from_millis(300);
        config.limits.idle_time = Duration::from_secs(3600);
        config.limits.body_time = Duration::from_secs(3600);
        config.limits.heartbeat = Duration::from_secs(3600);
    })
    .await;
    let get = format!("{}\r\n", world.head("GET", "/healthz"));
    let mut idle = world.wire().await;
    idle.send(&get).await;
    idle.reply().await.ok();
    let mut stream = world.stream_of_hyper("/api/events").await;
    stream.control("hello").await;
    let mut body = world.wire().await;
    let (head, line) = (world.head("POST", "/api/events"), format!("{}\n", note("a", "x")));
    let chunk = format!("{:x}\r\n{line}\r\n", line.len());
    body.send(format!(
        "{head}Content-Type: {NDJSON}\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}"
    ))
    .await;
    assert_eq!(stream.event().await["seq"], 1);

    // These are the clock: when they are closed, the others have waited longer than a head may.
    for start in ["G", "GET /api/ev"] {
        let mut late = world.wire().await;
        late.send(&get).await;
        late.reply().await.ok();
        late.send(start).await;
        assert!(late.rest().await.is_empty());
    }
    let mut trickling = world.wire().await;
    trickling.send(&get).await;
    trickling.reply().await.ok();
    let mut beat = tokio::time::interval(Duration::from_millis(20));
    within("the server to have enough", async {
        trickling.send("GET /api/events HTTP/1.1\r\nX: ").await;
        while trickling.send("x").await {
            beat.tick().await;
        }
    })
    .await;
    world.metric("turnwire_connections_slow_total 3").await;

    body.send(format!("{chunk}0\r\n\r\n")).await;
    assert_eq!(body.reply().await.ok()["written"], 2);
    assert_eq!(stream.event().await["seq"], 2);
    idle.send(&get).await;
    idle.reply().await.ok();
}

#[tokio::test]
async fn a_body_that_stands_still_is_answered_408_and_writes_nothing() {
    let world = impatient().await;
    let head = world.head("POST", "/api/events");
    for (request, media_type) in [
        ("Content-Length: 100\r\n\r\n{\"type\"", JSON),
        ("Content-Length: 100\r\n\r\n{\"type\"", NDJSON),
        ("Content-Length: 1000000\r\n\r\n{\"type\"", JSON),
        ("Transfer-Encoding: chunked\r\n\r\n20\r\n{\"type\"", JSON),
        ("Transfer-Encoding: chunked\r\n\r\n7\r\n{\"type\"\r\n", NDJSON),
    ] {
        let mut wire = world.wire().await;
        wire.send(format!("{head}Content-Type: {media_type}\r\n{request}"))
            .await;
        wire.reply().await.refused_field(408, "timeout", "body");
        assert!(wire.rest().await.is_empty(), "{request}: the connection ends");
    }
    assert_eq!(world.head_seq().await, 0);
    world.publish(&note("a", "fine")).await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_served_when_there_is_room() {
    let world = World::with(|config| config.limits.connections = 3).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut wire = world.wire().await;
        wire.send(format!("{}\r\n", world.head("GET", "/healthz"))).await;
        wire.reply().await.ok();
        held.push(wire);
    }
    let mut refused = world.wire().await;
    let reply = refused.reply().await;
    assert_eq!(
        reply.refused(503, "overloaded"),
        json!({"field": "connections", "limit": 3})
    );
    assert_eq!(reply.headers["retry-after"], "1");
    assert!(refused.rest().await.is_empty());
    // Who is in stays in.
    for wire in &mut held {
        wire.send(format!("{}\r\n", world.head("GET", "/healthz"))).await;
        wire.reply().await.ok();
    }
    held.pop();
    within("room", async { while world.get("/healthz").await.status != 200 {} }).await;
}

#[tokio::test]
async fn a_stream_is_a_connection_and_gives_its_place_back() {
    let world = World::with(|config| config.limits.connections = 2).await;
    let mut streams = [world.stream("/api/events").await, world.stream("/api/events").await];
    for stream in &mut streams {
        stream.control("hello").await;
    }
    world.get("/healthz").await.refused(503, "overloaded");
    drop(streams);
    within("room", async { while world.get("/healthz").await.status != 200 {} }).await;
}
