//! How a stream ends: its reader does not read, its token ends, the server ends.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};
use turnwire_proto::Timestamp;

use crate::world::{Stream, World, note, seqs, within};

/// Larger than what the kernel holds for a reader that does not read.
const EVENTS: usize = 48;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_reading_is_cut_and_loses_nothing_and_costs_nobody_else() {
    let world = World::with(|config| config.limits.write_deadline = Duration::from_secs(3)).await;
    let mut slow = Vec::new();
    for hyper in [false, true] {
        let mut wire = world.narrow_wire().await;
        if hyper {
            wire.send(format!("{}\r\n", world.head("GET", "/healthz"))).await;
            wire.reply().await.ok();
        }
        wire.send(format!("{}\r\n", world.head("GET", "/api/events?after=0")))
            .await;
        let mut stream = Stream::open(wire).await;
        stream.control("hello").await;
        slow.push(stream);
    }
    let mut other = world.stream("/api/events?after=0").await;
    let text = "x".repeat(500 * 1024);
    let publish = async {
        for _ in 0..EVENTS {
            world.publish(&said("a", &text)).await;
        }
    };
    let ((), theirs) = tokio::join!(publish, other.until(EVENTS as u64));
    assert_eq!(theirs.len(), EVENTS);
    world
        .metric("turnwire_streams_ended_total{reason=\"slow_reader\"} 2")
        .await;

    for mut slow in slow {
        let mut got = seqs(&slow.remains().await);
        assert!(got.len() < EVENTS, "it was cut");
        let cursor = got.last().copied().unwrap_or(0);
        let mut again = world.stream(&format!("/api/events?after={cursor}")).await;
        got.extend(seqs(&again.until(EVENTS as u64).await));
        assert_eq!(got, (1..=EVENTS as u64).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_client_that_takes_no_answer_is_cut() {
    let world = World::with(|config| config.limits.write_deadline = Duration::from_millis(300)).await;
    let text = "x".repeat(1000 * 1024);
    for _ in 0..8 {
        world.publish(&said("a", &text)).await;
    }
    let mut wire = world.narrow_wire().await;
    let page = format!("{}\r\n", world.head("GET", "/api/events/history?after=0"));
    wire.send(page.repeat(8)).await;
    world.metric("turnwire_connections_slow_total 1").await;
    world.metric("turnwire_connections_open 1").await;
}

/// What is said stays whole in its event as long as there is room for it.
fn said(session: &str, text: &str) -> serde_json::Value {
    serde_json::json!({"type": "message", "session_id": session, "data": {"content": text}})
}

/// No heartbeat wakes these streams: whatever they notice, they were told.
async fn quiet() -> World {
    World::with(|config| config.limits.heartbeat = Duration::from_secs(3600)).await
}

#[tokio::test]
async fn a_stream_ends_at_once_when_its_token_is_revoked_and_no_other_does() {
    let world = quiet().await;
    let (id, token) = world.token_until(&["read"], None).await;
    let mut ending = [
        world.stream_by(&token, "/api/events").await,
        world.stream_by(&token, "/api/sessions/a/events").await,
        world.stream_of_hyper_by(&token, "/api/events").await,
    ];
    let mut staying = world.stream("/api/events").await;
    for stream in &mut ending {
        stream.control("hello").await;
    }
    let request = world.request("DELETE", &format!("/api/tokens/{id}"), "application/json", "");
    world.ask(request).await.ok();
    for stream in &mut ending {
        assert_eq!(stream.bye().await, json!({"reason": "token_revoked"}));
    }
    world.publish(&note("a", "still here")).await;
    assert_eq!(staying.event().await["data"]["text"], "still here");
    world.get_by(&token, "/api/events").await.refused(410, "gone");
}

#[tokio::test]
async fn a_stream_ends_when_its_token_expires() {
    let world = quiet().await;
    let soon = Timestamp::from_millis(Timestamp::now().millis() + 3000);
    let (_, token) = world.token_until(&["read"], soon).await;
    let mut streams = [
        world.stream_by(&token, "/api/events").await,
        world.stream_of_hyper_by(&token, "/api/events").await,
    ];
    for stream in &mut streams {
        assert_eq!(stream.bye().await, json!({"reason": "token_expired"}));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_shutdown_streams_end_one_by_one_within_the_grace_and_lose_nothing() {
    let mut world = World::with(|config| config.limits.shutdown_grace = Duration::from_secs(6)).await;
    let mut streams = Vec::new();
    for n in 0..30 {
        let mut stream = if n % 3 == 0 {
            world.stream_of_hyper("/api/events?after=0").await
        } else {
            world.stream("/api/events?after=0").await
        };
        stream.control("hello").await;
        streams.push(stream);
    }
    let server = world.server.take().unwrap();
    let log = server.log().clone();
    let (first, mut ended) = tokio::sync::watch::channel(false);
    let reading = join_all(streams.into_iter().map(|mut stream| {
        let first = &first;
        async move {
            let mut events = Vec::new();
            loop {
                match stream.frame().await {
                    Some(crate::world::Frame::Event(event)) => events.push(event),
                    Some(crate::world::Frame::Control(name, bye)) if name == "bye" => {
                        first.send_replace(true);
                        assert_eq!(stream.frame().await, None, "after bye comes nothing");
                        return (bye, events);
                    }
                    Some(_) => {}
                    None => panic!("a stream ended without a word"),
                }
            }
        }
    }));
    let appending = async {
        // After the first has left, the others still get what comes.
        ended.wait_for(|ended| *ended).await.unwrap();
        let source = turnwire_proto::Name::new("test").unwrap();
        let body = turnwire_proto::Object::of(&json!({"text": "late"}));
        let event = turnwire_proto::NewEvent::new(turnwire_proto::Kind::NOTE, source, Timestamp::now(), body);
        log.append(&[event]).await.unwrap();
    };
    let (in_time, ends, ()) = within("the end", async { tokio::join!(server.stop(), reading, appending) }).await;
    assert!(in_time, "all ended within the grace");
    let mut waits = BTreeSet::new();
    for (bye, _) in &ends {
        assert_eq!(bye["reason"], "shutdown");
        let wait = bye["retry_ms"].as_u64().unwrap();
        assert!((1000..3000).contains(&wait));
        waits.insert(wait);
    }
    assert!(waits.len() > 1, "they come back at different times");
    let late = |(_, events): &&(Value, Vec<Value>)| !events.is_empty();
    assert!(ends.iter().filter(late).count() > 0, "they do not leave all at once");
}

#[tokio::test]
async fn a_server_that_stops_takes_nobody_in_any_more() {
    let mut world = World::start().await;
    let mut used = world.wire().await;
    used.send(format!("{}\r\n", world.head("GET", "/healthz"))).await;
    used.reply().await.ok();
    assert!(within("the server to stop", world.server.take().unwrap().stop()).await);
    assert!(tokio::net::TcpStream::connect(world.at).await.is_err());
    assert!(used.rest().await.is_empty(), "an idle connection ends");
}
