//! How far a reader is told that it is, so that it comes back there: an `id:` alone.

use std::time::Duration;

use serde_json::{Value, json};
use turnwire_log::Retention;
use turnwire_proto::Timestamp;

use crate::world::{Frame, Stream, World, note, notes, seqs, texts};

/// Comes back as an `EventSource` does: the same URL, and the newest id as a header.
async fn back(world: &World, url: &str, stream: Stream) -> Stream {
    let mut wire = world.wire().await;
    let id = stream.last_event_id.unwrap();
    drop(stream);
    let head = world.head("GET", url);
    wire.send(format!("{head}Last-Event-ID: {id}\r\n\r\n")).await;
    Stream::open(wire).await
}

/// Reads until the stream has told this place.
async fn told(stream: &mut Stream, place: u64) {
    while stream.last_event_id != Some(place) {
        let frame = stream.frame().await.unwrap();
        assert!(!matches!(frame, Frame::Event(_)), "{frame:?}");
    }
}

#[tokio::test]
async fn a_reader_that_is_cut_before_its_first_event_comes_back_and_has_missed_nothing() {
    let world = World::start().await;
    world.publish(&notes("a", 3)).await;
    for (url, begins, texts_then) in [
        ("/api/events", 3, vec!["missed"]),
        ("/api/sessions/a/events", 4, vec!["missed"]),
        ("/api/events?tail=2", 3, vec!["missed", "missed", "missed"]),
        ("/api/events?tail=2&type=error", 0, vec![]),
        ("/api/events?after=6", 6, vec!["missed", "missed"]),
    ] {
        let mut streams = [world.stream(url).await, world.stream_of_hyper(url).await];
        for stream in &mut streams {
            told(stream, begins).await;
        }
        world.publish(&json!([note("a", "missed")])).await;
        let head = world.head_seq().await;
        for stream in streams {
            let mut stream = back(&world, url, stream).await;
            if !texts_then.is_empty() {
                assert_eq!(texts(&stream.until(head).await), texts_then, "{url}");
            }
        }
    }
}

#[tokio::test]
async fn a_reader_for_whom_there_was_nothing_is_not_told_of_a_gap_it_has_read_past() {
    let world = World::with(|config| config.limits.heartbeat = Duration::from_millis(50)).await;
    let old: Value = (0..5)
        .map(|n| json!({"type": "note", "session_id": "a", "timestamp": "2020-01-01T00:00:00.000Z", "data": {"text": n.to_string()}}))
        .collect();
    let mut streams = Vec::new();
    for url in [
        "/api/events?type=error",
        "/api/sessions/b/events",
        "/api/events?agent=x&raw=true",
        "/api/sessions/b/events?after=0&raw=true",
    ] {
        streams.push((url, world.stream(url).await));
        streams.push((url, world.stream_of_hyper(url).await));
    }
    for (_, stream) in &mut streams {
        told(stream, 0).await;
    }
    world.publish(&old).await;
    for (_, stream) in &mut streams {
        told(stream, 5).await;
    }
    let policy = Retention {
        events_before: Timestamp::from_millis(1_600_000_000_000),
        ..Retention::default()
    };
    assert_eq!(world.server().log().trim(&policy).await.unwrap().events, 5);
    let mut returned = Vec::new();
    for (url, stream) in streams {
        returned.push(back(&world, url, stream).await);
    }
    let theirs = json!({"type": "error", "session_id": "b", "agent": "x", "data": {"text": "theirs"}});
    world.publish(&theirs).await;
    for mut stream in returned {
        // A gap would be found here in its place.
        assert_eq!(seqs(&stream.until(6).await), [6]);
    }
}
