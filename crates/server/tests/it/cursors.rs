//! Where a stream begins, and what it is told when it cannot begin there.

use serde_json::{Value, json};
use turnwire_log::Retention;
use turnwire_proto::Timestamp;

use crate::world::{Stream, World, note, notes, seqs};

async fn resumed(world: &World, url: &str, last_event_id: &str) -> Stream {
    let mut wire = world.wire().await;
    let head = world.head("GET", url);
    wire.send(format!("{head}Last-Event-ID: {last_event_id}\r\n\r\n")).await;
    Stream::open(wire).await
}

#[tokio::test]
async fn a_reader_resumes_by_header_and_by_query_and_the_larger_cursor_wins() {
    let world = World::start().await;
    world.publish(&notes("a", 10)).await;
    for (query, header, next) in [
        ("", "4", 5),
        ("?after=0", "", 1),
        ("?after=4", "", 5),
        ("?since=4", "", 5),
        ("?after=3", "7", 8),
        ("?after=7", "3", 8),
        ("?since=0&tail=1", "", 1),
        ("?tail=3", "", 8),
        ("?tail=3", "1", 2),
        ("?tail=100", "", 1),
    ] {
        let mut stream = resumed(&world, &format!("/api/events{query}"), header).await;
        assert_eq!(stream.event().await["seq"], next, "{query} {header}");
        let expected: Vec<_> = (next + 1..=10).collect();
        assert_eq!(seqs(&stream.until(10).await), expected, "{query} {header}");
    }
}

#[tokio::test]
async fn an_empty_last_event_id_is_none() {
    let world = World::start().await;
    world.publish(&notes("a", 3)).await;
    let mut stream = resumed(&world, "/api/events", "").await;
    assert_eq!(stream.control("hello").await["head"], 3);
    world.publish(&note("a", "new")).await;
    assert_eq!(stream.event().await["seq"], 4);
}

#[tokio::test]
async fn the_tail_counts_what_the_filters_leave() {
    let world = World::start().await;
    for _ in 0..5 {
        world
            .publish(&json!([note("a", "a"), note("b", "b"), note("b", "b")]))
            .await;
    }
    for url in ["/api/events?tail=2&session_id=a", "/api/sessions/a/events?tail=2"] {
        let mut stream = world.stream(url).await;
        assert_eq!(seqs(&stream.events(2).await), [10, 13], "{url}");
    }
}

#[tokio::test]
async fn a_reader_resumes_after_a_restart_and_misses_and_repeats_nothing() {
    let mut world = World::start().await;
    world.publish(&notes("a", 20)).await;
    let mut stream = world.stream("/api/events?after=0").await;
    let before = stream.events(7).await;
    let (cursor, epoch) = (stream.last, world.server().ready().epoch);
    drop(stream);
    world.restart().await;
    assert_eq!(world.server().ready().epoch, epoch);
    world.publish(&notes("a", 5)).await;
    let url = format!("/api/events?epoch={epoch}");
    let mut stream = resumed(&world, &url, &cursor.to_string()).await;
    let after = stream.until(25).await;
    let all: Vec<Value> = before.into_iter().chain(after).collect();
    assert_eq!(all, world.all().await);
    assert_eq!(all.len(), 25);
}

/// Five old events and five of now; only those of now are kept.
async fn trimmed() -> World {
    let world = World::start().await;
    let old: Value = (0..5)
        .map(|n| json!({"type": "note", "session_id": "a", "timestamp": "2020-01-01T00:00:00.000Z", "data": {"text": n.to_string()}}))
        .collect();
    world.publish(&old).await;
    world.publish(&notes("a", 5)).await;
    let policy = Retention {
        events_before: Timestamp::from_millis(1_600_000_000_000),
        ..Retention::default()
    };
    world.server().log().trim(&policy).await.unwrap();
    world
}

#[tokio::test]
async fn a_cursor_below_what_is_kept_is_told_of_the_gap_and_goes_on() {
    let world = trimmed().await;
    for url in ["/api/events", "/api/sessions/a/events"] {
        for mut stream in [
            world.stream(&format!("{url}?after=2")).await,
            world.stream_of_hyper(&format!("{url}?after=2")).await,
        ] {
            let hello = stream.control("hello").await;
            assert_eq!((&hello["first"], &hello["head"]), (&json!(6), &json!(10)));
            let gap = stream.control("gap").await;
            assert_eq!(gap, json!({"after": 2, "next": 6, "reason": "trimmed"}));
            assert_eq!(seqs(&stream.until(10).await), [6, 7, 8, 9, 10]);
        }
    }
}

#[tokio::test]
async fn a_cursor_right_before_what_is_kept_has_no_gap() {
    let world = trimmed().await;
    let mut stream = world.stream("/api/events?after=5").await;
    assert_eq!(seqs(&stream.until(10).await), [6, 7, 8, 9, 10]);
    let mut stream = world.stream("/api/events?tail=100").await;
    assert_eq!(seqs(&stream.until(10).await), [6, 7, 8, 9, 10]);
}

#[tokio::test]
async fn a_reader_of_deltas_is_told_that_old_ones_are_gone() {
    let world = World::start().await;
    let old = "2020-01-01T00:00:00.000Z";
    let delta = |text: &str| json!({"type": "text_delta", "session_id": "a", "timestamp": old, "data": {"text": text}});
    let mut whole = note("a", "whole");
    whole["timestamp"] = json!(old);
    world
        .publish(&json!([delta("who"), delta("le"), whole, note("a", "now")]))
        .await;
    let policy = Retention {
        deltas_before: Timestamp::from_millis(1_600_000_000_000),
        ..Retention::default()
    };
    world.server().log().trim(&policy).await.unwrap();
    let next = world.server().log().bounds().await.unwrap().first_delta;
    assert!(next.get() >= 3);

    let mut stream = world.stream("/api/events?after=0").await;
    let gap = stream.control("gap").await;
    assert_eq!(gap, json!({"after": 0, "next": next, "reason": "deltas_trimmed"}));
    assert_eq!(seqs(&stream.until(4).await), [3, 4]);
    // Whoever wants no deltas misses nothing.
    for query in ["deltas=false", "type=note"] {
        let mut stream = world.stream(&format!("/api/events?after=0&{query}")).await;
        assert_eq!(seqs(&stream.until(4).await), [3, 4]);
    }
}

#[tokio::test]
async fn a_cursor_of_another_log_is_told_and_gets_all_of_this_one() {
    let world = World::start().await;
    world.publish(&notes("a", 4)).await;
    let other = "0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10";
    let mut stream = world.stream(&format!("/api/events?after=3&epoch={other}")).await;
    let gap = stream.control("gap").await;
    assert_eq!(gap, json!({"after": 0, "next": 1, "reason": "other_epoch"}));
    assert_eq!(seqs(&stream.until(4).await), [1, 2, 3, 4]);
    let own = world.server().ready().epoch;
    let mut stream = world.stream(&format!("/api/events?after=3&epoch={own}")).await;
    assert_eq!(seqs(&stream.until(4).await), [4]);
}

#[tokio::test]
async fn a_cursor_beyond_the_head_is_told_and_follows_from_the_head() {
    let world = World::start().await;
    world.publish(&notes("a", 4)).await;
    let mut stream = world.stream("/api/events?after=1000").await;
    let gap = stream.control("gap").await;
    assert_eq!(gap, json!({"after": 1000, "next": 5, "reason": "beyond_head"}));
    world.publish(&note("a", "new")).await;
    assert_eq!(stream.event().await["seq"], 5);
}
