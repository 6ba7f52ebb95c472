//! How a stream begins: its head, its first bytes, its frames.

use serde_json::json;

use crate::world::{Frame, World, note};

#[tokio::test]
async fn a_stream_says_hello_at_once_before_any_event() {
    let world = World::start().await;
    let epoch = world.server().ready().epoch.to_string();
    for mut stream in [
        world.stream("/api/events").await,
        world.stream_of_hyper("/api/events").await,
    ] {
        assert!(matches!(stream.frame().await, Some(Frame::Retry(1000..=3000))));
        assert_eq!(stream.frame().await, Some(Frame::Comment("connected".into())));
        let hello = json!({"epoch": epoch, "first": 1, "head": 0});
        assert_eq!(stream.frame().await, Some(Frame::Control("hello".into(), hello)));
        assert_eq!(stream.frame().await, Some(Frame::Place(0)));
    }
}

#[tokio::test]
async fn a_stream_is_never_buffered_cached_measured_or_compressed() {
    let world = World::start().await;
    world.publish(&note("a", "one")).await;
    let head = |url: &str| format!("{}Accept-Encoding: gzip, br\r\n\r\n", world.head("GET", url));
    for url in ["/api/events?after=0", "/api/sessions/a/events?after=0"] {
        for used_before in [false, true] {
            let mut wire = world.wire().await;
            if used_before {
                wire.send(head("/healthz")).await;
                wire.reply().await.ok();
            }
            wire.send(head(url)).await;
            let mut stream = crate::world::Stream::open(wire).await;
            let headers = &stream.head.headers;
            assert_eq!(headers["content-type"], "text/event-stream");
            assert_eq!(headers["cache-control"], "no-cache, no-transform");
            assert_eq!(headers["x-accel-buffering"], "no");
            assert!(!headers.contains_key("content-length"));
            assert!(!headers.contains_key("content-encoding"));
            assert_eq!(stream.event().await["data"]["text"], "one");
        }
    }
}

#[tokio::test]
async fn an_event_is_one_line_of_data_and_then_its_id_without_a_name() {
    let world = World::start().await;
    let text = "two\nlines\r\nand \u{2028} a separator, \u{0} and \"quotes\"";
    let event = json!({"type": "note", "data": {"text": text}, "timestamp": "2026-01-02T03:04:05.678Z", "source": "test",
        "agent": "builder", "session_id": "s", "turn_id": "t", "id": "0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10"});
    world.publish(&event).await;
    let mut stream = world.stream("/api/events?after=0").await;
    // The frame's form is checked where frames are read.
    let mut got = stream.event().await;
    assert_eq!(got["seq"], 1);
    got.as_object_mut().unwrap().remove("seq");
    assert_eq!(got, event);
}

#[tokio::test]
async fn a_stream_without_a_cursor_begins_with_what_comes() {
    let world = World::start().await;
    world.publish(&note("a", "before")).await;
    for mut stream in [
        world.stream("/api/events").await,
        world.stream_of_hyper("/api/events").await,
    ] {
        let hello = stream.control("hello").await;
        world.publish(&note("a", "after")).await;
        let event = stream.event().await;
        assert_eq!(event["data"]["text"], "after");
        assert_eq!(event["seq"].as_u64(), hello["head"].as_u64().map(|head| head + 1));
    }
}

#[tokio::test]
async fn a_publish_and_then_a_stream_may_share_a_connection() {
    let world = World::start().await;
    let mut wire = world.wire().await;
    wire.send(world.request("POST", "/api/events", "application/json", note("a", "one").to_string()))
        .await;
    wire.send(format!("{}\r\n", world.head("GET", "/api/events?after=0")))
        .await;
    wire.reply().await.ok();
    let mut stream = crate::world::Stream::open(wire).await;
    assert_eq!(stream.event().await["data"]["text"], "one");
    world.publish(&note("a", "two")).await;
    assert_eq!(stream.event().await["data"]["text"], "two");
}
