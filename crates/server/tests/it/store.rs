//! A store that fails: the caller is told, nothing is lost, and readers come back for the rest.

use std::{path::Path, sync::Arc};

use serde_json::{Value, json};
use turnwire_log::{
    Log, Retention,
    faulty::{Call, Faults, Faulty, Gate},
    memory::MemoryLog,
    sqlite::{Options, SqliteLog},
};
use turnwire_proto::{Kind, Name, NewEvent, Object, Timestamp};

use crate::world::{World, lines, note, notes, seqs, texts};

/// A server on a log that fails on demand.
async fn faulty() -> (World, Faults) {
    faulty_with(0).await
}

/// The same with so many events that were there before the server: they are in the store alone, not in the server's memory.
async fn faulty_with(count: usize) -> (World, Faults) {
    let (log, faults) = filled(count).await;
    let world = World::over(|_| {}, |_| Some(Arc::new(log))).await;
    (world, faults)
}

/// A log that fails on demand, with so many events.
async fn filled(count: usize) -> (Faulty<MemoryLog>, Faults) {
    let (log, faults) = Faulty::new(MemoryLog::new());
    for n in 0..count {
        let source = Name::new("test").unwrap();
        let body = Object::of(&json!({"text": n.to_string()}));
        let event = NewEvent::new(Kind::NOTE, source, Timestamp::now(), body);
        log.append(&[event]).await.unwrap();
    }
    (log, faults)
}

#[tokio::test]
async fn an_append_that_fails_is_503_to_be_tried_again_and_nothing_is_lost() {
    let (world, faults) = faulty().await;
    let mut stream = world.stream("/api/events").await;
    stream.control("hello").await;
    world.publish(&note("a", "before")).await;
    faults.fail(Call::Append, 2, true);
    for (media_type, body) in [
        ("application/json", note("a", "x").to_string()),
        ("application/x-ndjson", lines(&notes("a", 3))),
    ] {
        let reply = world.post(media_type, body).await;
        reply.refused(503, "store_unavailable");
    }
    assert_eq!(world.head_seq().await, 1, "nothing was written");
    world.publish(&note("a", "after")).await;
    assert_eq!(texts(&stream.events(2).await), ["before", "after"]);
    world.metric("turnwire_log_append_errors_total 2").await;
}

#[tokio::test]
async fn lines_say_how_many_were_written_before_the_store_failed() {
    let (world, faults) = faulty().await;
    let head = world.head("POST", "/api/events");
    let mut wire = world.wire().await;
    let line = format!("{}\n", note("a", "x"));
    wire.send(format!(
        "{head}Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{line}\r\n",
        line.len()
    ))
    .await;
    let mut stream = world.stream("/api/events?after=0").await;
    stream.event().await;
    faults.fail_always(Call::Append, true);
    wire.send(format!("{:x}\r\n{line}\r\n0\r\n\r\n", line.len())).await;
    let details = wire.reply().await.refused(503, "store_unavailable");
    assert_eq!(details, json!({"written": 1, "duplicates": 0, "last_seq": 1}));
}

#[tokio::test]
async fn a_log_that_has_too_much_to_do_says_so() {
    let (world, faults) = faulty().await;
    faults.busy(1);
    world
        .post("application/json", note("a", "x").to_string())
        .await
        .refused(503, "overloaded");
    world.publish(&note("a", "x")).await;
}

#[tokio::test]
async fn a_lost_acknowledgement_is_tried_again_without_writing_twice() {
    let (world, faults) = faulty().await;
    let mut event = note("a", "once");
    event["id"] = json!("0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10");
    faults.tear(1);
    world
        .post("application/json", event.to_string())
        .await
        .refused(503, "store_unavailable");
    assert_eq!(world.publish(&event).await["duplicates"], 1);
    assert_eq!(texts(&world.all().await), ["once"]);
}

#[tokio::test]
async fn a_read_that_fails_ends_the_stream_with_a_reason_and_its_reader_resumes() {
    let (world, faults) = faulty_with(10).await;
    for hyper in [false, true] {
        let open = async |after: u64| {
            let url = format!("/api/events?after={after}");
            if hyper {
                world.stream_of_hyper(&url).await
            } else {
                world.stream(&url).await
            }
        };
        faults.short_pages(Some(3));
        let mut stream = open(0).await;
        let mut got = seqs(&stream.events(3).await);
        faults.fail_always(Call::Read, true);
        let bye = loop {
            match stream.frame().await {
                Some(crate::world::Frame::Event(event)) => got.push(event["seq"].as_u64().unwrap()),
                Some(crate::world::Frame::Control(name, bye)) if name == "bye" => break Some(bye),
                Some(_) => {}
                None => panic!("a stream ended without a word"),
            }
            // It may have read all before the fault: then the next event makes it read again.
            if got.len() == 10 {
                break None;
            }
        };
        if let Some(bye) = bye {
            assert_eq!(bye["reason"], "store_unavailable");
            assert!(bye["retry_ms"].is_u64());
            assert_eq!(stream.frame().await, None);
        }
        faults.heal();
        if got.len() < 10 {
            let mut again = open(got.len() as u64).await;
            got.extend(seqs(&again.until(10).await));
        }
        assert_eq!(got, (1..=10).collect::<Vec<_>>());

        faults.fail_always(Call::Read, true);
        assert_eq!(open(0).await.bye().await["reason"], "store_unavailable");
        faults.heal();
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_read_is_503_and_not_ready_and_then_ready_again() {
    let (world, faults) = faulty_with(3).await;
    for (call, url) in [
        (Call::Read, "/api/events/history?after=0"),
        (Call::ReadBack, "/api/events/history"),
        (Call::ReadBack, "/api/events?tail=2"),
        (Call::Bounds, "/api/events?after=0"),
        (Call::Bounds, "/api/sessions"),
        (Call::Bounds, "/readyz"),
    ] {
        faults.fail_always(call, true);
        world.get(url).await.refused(503, "store_unavailable");
        world.get("/healthz").await.ok();
        faults.heal();
    }
    world.get("/readyz").await.ok();
    assert_eq!(seqs(&world.all().await), [1, 2, 3]);
}

#[tokio::test]
async fn pages_that_are_short_or_empty_and_wake_ups_for_nothing_change_no_stream() {
    let (world, faults) = faulty_with(30).await;
    faults.short_pages(Some(2));
    faults.hollow_pages(true);
    faults.nudge_always(true);
    let mut streams = Vec::new();
    for (url, first) in [("/api/events?after=0", 1), ("/api/sessions/a/events?after=0", 31)] {
        streams.push((world.stream(url).await, first));
        streams.push((world.stream_of_hyper(url).await, first));
    }
    for _ in 0..10 {
        world.publish(&notes("a", 7)).await;
    }
    for (stream, first) in &mut streams {
        assert_eq!(seqs(&stream.until(100).await), (*first..=100).collect::<Vec<_>>());
    }
    assert_eq!(seqs(&world.all().await), (1..=100).collect::<Vec<_>>());
    for (count, first) in [(5, 96), (85, 16), (1000, 1)] {
        let tail = world
            .stream(&format!("/api/events?tail={count}"))
            .await
            .until(100)
            .await;
        assert_eq!(seqs(&tail), (first..=100).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_full_disk_is_503_and_all_that_was_acknowledged_stays() {
    let small = Options {
        max_pages: Some(200),
        ..Options::default()
    };
    let world = World::over(|_| {}, |dir| Some(Arc::new(SqliteLog::open(dir, small).unwrap()))).await;
    let batch: Value = (0..10).map(|_| note("a", &"x".repeat(2000))).collect();
    let mut acknowledged = 0;
    let refused = loop {
        let reply = world.post("application/json", batch.to_string()).await;
        if reply.status != 200 {
            break reply;
        }
        acknowledged = reply.ok()["last_seq"].as_u64().unwrap();
        assert!(acknowledged < 10_000, "the disk is never full");
    };
    refused.refused(503, "store_unavailable");
    assert_eq!(world.head_seq().await, acknowledged, "a batch that fails is not there");
    assert_eq!(seqs(&world.all().await), (1..=acknowledged).collect::<Vec<_>>());
    let mut stream = world.stream("/api/events?after=0").await;
    stream.until(acknowledged).await;
    let ready = world.get("/readyz").await;
    assert_eq!(
        ready.refused(503, "store_unavailable"),
        json!({"part": "log"}),
        "the last commit failed, and there is no room yet"
    );
    let everything = Retention {
        max_bytes: Some(0),
        ..Retention::default()
    };
    world.server().log().trim(&everything).await.unwrap();
    world.get("/readyz").await.ok();
    world.publish(&batch).await;
}

#[tokio::test]
async fn what_is_not_ready_is_named_and_a_store_that_hangs_is_not_waited_for() {
    let (world, faults) = faulty_with(3).await;
    faults.fail(Call::Check, 1, true);
    let details = world.get("/readyz").await.refused(503, "store_unavailable");
    assert_eq!(details["part"], "log");
    world.get("/readyz").await.ok();
    faults.hold(Call::Check, Gate::Call);
    let details = world.get("/readyz").await.refused(503, "store_unavailable");
    assert_eq!(details["part"], "log");
    faults.heal();
    world.get("/readyz").await.ok();

    // A table that is gone is a database that cannot be used.
    let views = Path::new(&world.server().ready().data_dir).join("views.db");
    let db = rusqlite::Connection::open(views).unwrap();
    db.execute_batch("DROP TABLE state").unwrap();
    let details = world.get("/readyz").await.refused(503, "store_unavailable");
    assert_eq!(details["part"], "views");
}

#[tokio::test]
async fn views_that_are_behind_are_told_and_neither_deny_a_session_nor_keep_the_server_from_being_ready() {
    let (log, faults) = filled(5).await;
    faults.hold(Call::Read, Gate::Call);
    let world = World::over(|_| {}, |_| Some(Arc::new(log))).await;
    let ready = world.get("/readyz").await.ok();
    assert_eq!(
        (&ready["ready"], &ready["views"]),
        (&json!(true), &json!({"head": 0, "lag": 5}))
    );
    world.metric("turnwire_views_lag 5").await;
    for path in ["", "/turns", "/tool-calls"] {
        let reply = world.get(&format!("/api/sessions/s{path}")).await;
        assert_eq!(reply.refused(503, "store_unavailable")["part"], "views", "{path}");
    }
    faults.heal();
    world.get("/api/sessions/s/turns").await.refused(404, "not_found");
    world.get("/api/sessions").await.ok();
    let ready = world.get("/readyz").await.ok();
    assert_eq!(ready["views"], json!({"head": 5, "lag": 0}));
    world.metric("turnwire_views_lag 0").await;
}

#[tokio::test]
async fn a_reader_that_is_behind_is_told_of_deltas_that_are_deleted_before_it_reads_them() {
    let (world, faults) = faulty().await;
    let urls = [
        "/api/events",
        "/api/sessions/a/events",
        "/api/events?type=note,text_delta",
    ];
    let mut readers = Vec::new();
    for url in urls {
        readers.push(world.stream(url).await);
        readers.push(world.stream_of_hyper(url).await);
    }
    let mut whole = world.stream("/api/events?deltas=false").await;
    world.publish(&note("a", "first")).await;
    for reader in readers.iter_mut().chain([&mut whole]) {
        assert_eq!(reader.event().await["seq"], 1);
    }
    // Nobody reads: what is written now is deleted before anybody has it.
    faults.hold(Call::Read, Gate::Call);
    let old = |kind: &str| json!({"type": kind, "session_id": "a", "timestamp": "2020-01-01T00:00:00.000Z"});
    world
        .publish(&json!([
            old("text_delta"),
            old("note"),
            old("text_delta"),
            old("note"),
            note("a", "new")
        ]))
        .await;
    faults.held(Call::Read, Gate::Call, 1).await;
    let policy = Retention {
        deltas_before: Timestamp::from_millis(1_600_000_000_000),
        ..Retention::default()
    };
    assert_eq!(world.server().log().trim(&policy).await.unwrap().events, 2);
    let next = world.server().log().bounds().await.unwrap().first_delta;
    faults.heal();
    for reader in &mut readers {
        let gap = reader.control("gap").await;
        assert_eq!(gap, json!({"after": 1, "next": next, "reason": "deltas_trimmed"}));
        assert_eq!(seqs(&reader.until(6).await), [3, 5, 6]);
    }
    assert_eq!(seqs(&whole.until(6).await), [3, 5, 6]);
    // What was told is not told again.
    world.publish(&note("a", "after")).await;
    for reader in readers.iter_mut().chain([&mut whole]) {
        assert_eq!(reader.event().await["seq"], 7);
    }
}
