//! History and live are one read: whoever joins at any time by any way gets everything once and in order.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::world::{Stream, World, lines, note, notes, seqs, within};

/// Requests of one publisher.
const REQUESTS: usize = 60;
/// Publishers at once.
const PUBLISHERS: usize = 4;

/// One publisher: single events, arrays and lines in turn, each on the same connection.
async fn publisher(world: &World, number: usize, done: &AtomicUsize, progress: &watch::Sender<usize>) {
    let mut wire = world.wire().await;
    for round in 0..REQUESTS {
        let session = format!("s{}", (number + round) % 3);
        let (media_type, body) = match round % 3 {
            0 => ("application/json", note(&session, "one").to_string()),
            1 => ("application/json", notes(&session, 7).to_string()),
            _ => ("application/x-ndjson", lines(&notes(&session, 20))),
        };
        wire.send(world.request("POST", "/api/events", media_type, body)).await;
        wire.reply().await.ok();
        progress.send_replace(done.fetch_add(1, Ordering::Relaxed) + 1);
    }
}

/// One reader that joins when so many requests are done, at a cursor of its own.
async fn reader(world: &World, number: usize, mut progress: watch::Receiver<usize>) -> (u64, Vec<u64>) {
    let all = REQUESTS * PUBLISHERS;
    let _ = progress.wait_for(|done| *done >= number * all / 20).await;
    let head = world.head_seq().await;
    // Anywhere in what is there; the first ones at its end, so that they are live at once.
    let after = head.saturating_sub(number as u64 * 7919 % (head + 1));
    let url = format!("/api/events?after={after}");
    let mut stream = match number % 3 {
        0 => world.stream(&url).await,
        1 => world.stream_of_hyper(&url).await,
        _ => {
            let mut wire = world.wire().await;
            let post = world.request(
                "POST",
                "/api/events",
                "application/json",
                note("s0", "reader").to_string(),
            );
            wire.send([post, format!("{}\r\n", world.head("GET", &url)).into_bytes()].concat())
                .await;
            wire.reply().await.ok();
            Stream::open(wire).await
        }
    };
    let mut got = Vec::new();
    loop {
        let event = stream.event().await;
        got.push(event["seq"].as_u64().unwrap());
        if event["type"] == "run_complete" {
            return (after, got);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replay_joins_live_under_load_without_loss_or_repeat() {
    let world = World::start().await;
    let (progress, followed) = watch::channel(0);
    let (done, world) = (AtomicUsize::new(0), &world);
    let publish = async {
        join_all((0..PUBLISHERS).map(|number| publisher(world, number, &done, &progress))).await;
        world.publish(&json!({"type": "run_complete"})).await;
    };
    let readers = join_all((0..15).map(|number| reader(world, number, followed.clone())));
    let of_session = async {
        let mut stream = world.stream("/api/sessions/s1/events?after=0").await;
        let mut got = Vec::new();
        let mut ended = followed.clone();
        let _ = ended.wait_for(|done| *done == REQUESTS * PUBLISHERS).await;
        world.publish(&note("s1", "last")).await;
        while got.last().is_none_or(|event: &Value| event["data"]["text"] != "last") {
            got.push(stream.event().await);
        }
        seqs(&got)
    };
    let ((), readers, of_session) = within("all readers", async { tokio::join!(publish, readers, of_session) }).await;

    let all = world.all().await;
    let end = all.iter().find(|event| event["type"] == "run_complete").unwrap()["seq"]
        .as_u64()
        .unwrap();
    for (number, (after, got)) in readers.into_iter().enumerate() {
        let expected: Vec<_> = seqs(&all)
            .into_iter()
            .filter(|seq| (after + 1..=end).contains(seq))
            .collect();
        assert!(
            got == expected,
            "reader {number} from {after} got {} of {}",
            got.len(),
            expected.len()
        );
    }
    let of_s1 = |event: &&Value| event["session_id"] == "s1";
    assert_eq!(of_session, seqs(&all.iter().filter(of_s1).cloned().collect::<Vec<_>>()));
    let per_three = 1 + 7 + 20;
    let published = all.iter().filter(|event| {
        event["data"]["text"]
            .as_str()
            .is_some_and(|t| t != "reader" && t != "last")
    });
    assert_eq!(published.count(), PUBLISHERS * REQUESTS / 3 * per_three);
}

/// Writes all requests at once; the answers.
async fn pipelined(world: &World, requests: &[Vec<u8>]) -> Vec<crate::world::Reply> {
    let mut wire = world.wire().await;
    let mut replies = Vec::new();
    wire.send(requests.concat()).await;
    for _ in requests {
        replies.push(wire.reply().await);
    }
    replies
}

fn post(world: &World, body: &Value) -> Vec<u8> {
    world.request("POST", "/api/events", "application/json", body.to_string())
}

#[tokio::test]
async fn pipelined_publishes_are_logged_and_answered_in_their_order() {
    let world = World::start().await;
    let mut live = world.stream("/api/events").await;
    let requests: Vec<_> = (0..64).map(|n| post(&world, &note("a", &n.to_string()))).collect();
    for (n, reply) in pipelined(&world, &requests).await.iter().enumerate() {
        let seq = n + 1;
        assert_eq!(
            reply.ok(),
            json!({"first_seq": seq, "last_seq": seq, "written": 1, "duplicates": 0})
        );
    }
    for n in 0..64 {
        assert_eq!(live.event().await["data"]["text"], n.to_string());
    }
}

#[tokio::test]
async fn pipelined_publishes_of_every_size_and_shape_keep_their_order() {
    let world = World::start().await;
    let large = "x".repeat(300 * 1024);
    let (mut requests, mut expected) = (Vec::new(), Vec::new());
    for n in 0..48 {
        let text = |part: usize| format!("{n}.{part}");
        let batch = |count: usize| -> Value { (0..count).map(|part| note("a", &text(part))).collect() };
        let (request, count) = match n % 6 {
            0 | 3 => (post(&world, &note("a", &text(0))), 1),
            1 => (post(&world, &batch(50)), 50),
            // More lines than are appended together.
            2 => (
                world.request("POST", "/api/events", "application/x-ndjson", lines(&batch(1100))),
                1100,
            ),
            4 => (
                world.request("POST", "/api/events", "application/x-ndjson", lines(&batch(3))),
                3,
            ),
            // Too large for the lane from the middle on: the rest of the connection is served another way.
            _ if n > 24 => {
                let mut event = note("a", &text(0));
                event["data"]["large"] = json!(large);
                (post(&world, &event), 1)
            }
            _ => (post(&world, &batch(2)), 2),
        };
        requests.push(request);
        expected.extend((0..count).map(text));
    }
    let replies = pipelined(&world, &requests).await;
    let mut next = 1;
    for reply in &replies {
        let reply = reply.ok();
        assert_eq!(reply["first_seq"], next);
        next += reply["written"].as_u64().unwrap();
        assert_eq!(reply["last_seq"], next - 1);
    }
    let all = world.all().await;
    assert!(
        crate::world::texts(&all) == expected,
        "{} of {}",
        all.len(),
        expected.len()
    );
}

#[tokio::test]
async fn a_bad_publish_in_a_pipeline_is_answered_in_its_place_and_harms_no_other() {
    let world = World::start().await;
    let requests: Vec<_> = (0..64)
        .map(|n| match n {
            20 => post(&world, &json!({"type": "note", "colour": "red"})),
            21 => world.request("POST", "/api/events", "text/plain", "hello"),
            _ => post(&world, &note("a", &n.to_string())),
        })
        .collect();
    let replies = pipelined(&world, &requests).await;
    for (n, reply) in replies.iter().enumerate() {
        match n {
            20 => drop(reply.refused_field(400, "bad_request", "colour")),
            21 => drop(reply.refused_field(415, "bad_media_type", "content-type")),
            n => assert_eq!(reply.ok()["first_seq"], n + 1 - if n > 21 { 2 } else { 0 }),
        }
    }
    assert_eq!(world.head_seq().await, 62);
}

#[tokio::test]
async fn pipelined_publishes_and_other_requests_are_answered_in_their_order() {
    let world = World::start().await;
    let get = format!("{}\r\n", world.head("GET", "/api/events/history?limit=1")).into_bytes();
    let requests: Vec<_> = (0..20)
        .map(|n| {
            if n % 4 == 3 {
                get.clone()
            } else {
                post(&world, &note("a", "x"))
            }
        })
        .collect();
    let mut written = 0;
    for (n, reply) in pipelined(&world, &requests).await.iter().enumerate() {
        if n % 4 == 3 {
            assert_eq!(reply.ok()["head"], written);
        } else {
            written += 1;
            assert_eq!(reply.ok()["last_seq"], written);
        }
    }
}
