//! Turns and tool calls of a session: what is told of them, in whatever order it came.

use serde_json::{Value, json};

use crate::world::{World, note};

/// An event of session `s`.
fn event(kind: &str, turn: Option<&str>, data: Value) -> Value {
    let mut event = json!({"type": kind, "session_id": "s"});
    event["data"] = data;
    if let Some(turn) = turn {
        event["turn_id"] = json!(turn);
    }
    event
}

fn start(turn: &str) -> Value {
    event(
        "turn_start",
        Some(turn),
        json!({"from": "user", "body": format!("do {turn}"), "unread": 2}),
    )
}

fn end(turn: &str) -> Value {
    event(
        "turn_end",
        Some(turn),
        json!({"ok": true, "duration_ms": 7, "usage": {"input_tokens": 10}, "cost_usd": 0.5}),
    )
}

fn call(turn: Option<&str>, id: &str) -> Value {
    event(
        "tool_call_start",
        turn,
        json!({"tool": "Bash", "tool_call_id": id, "arguments": {"command": id}}),
    )
}

fn called(turn: Option<&str>, id: &str) -> Value {
    event(
        "tool_call",
        turn,
        json!({"tool": "Bash", "tool_call_id": id, "success": true, "duration_ms": 5, "output": "out"}),
    )
}

fn at(mut event: Value, second: u32) -> Value {
    event["timestamp"] = json!(format!("2026-11-20T09:00:{second:02}.000Z"));
    event
}

/// A session's rows, oldest first.
async fn rows(world: &World, session: &str, what: &str) -> Vec<Value> {
    let key = what.replace('-', "_");
    let page = world
        .get(&format!("/api/sessions/{session}/{what}?limit=1000"))
        .await
        .ok();
    assert_eq!(page["head"], world.head_seq().await);
    let mut rows = page[key].as_array().unwrap().clone();
    rows.reverse();
    rows
}

async fn turns(world: &World) -> Vec<Value> {
    rows(world, "s", "turns").await
}

async fn calls(world: &World) -> Vec<Value> {
    rows(world, "s", "tool-calls").await
}

/// A world with these events, published as one.
async fn world(events: Value) -> World {
    let world = World::start().await;
    world.publish(&events).await;
    world
}

fn ids<'a>(rows: &'a [Value], field: &str) -> Vec<&'a str> {
    rows.iter().map(|row| row[field].as_str().unwrap_or("-")).collect()
}

#[tokio::test]
async fn a_turn_and_its_calls_are_told_whole() {
    let mut begun = at(start("t1"), 1);
    begun["agent"] = json!("builder");
    let world = world(json!([
        begun,
        at(call(Some("t1"), "c1"), 2),
        at(
            event(
                "tool_call_start",
                Some("t1"),
                json!({"tool": "Read", "tool_call_id": "c2", "parent_tool_call_id": "c1", "arguments": {"file": "x"}})
            ),
            3
        ),
        at(
            event(
                "tool_call",
                Some("t1"),
                json!({"tool": "Read", "tool_call_id": "c2", "success": false, "error": "denied", "output": [1, {"a": null}]})
            ),
            5
        ),
        at(called(Some("t1"), "c1"), 6),
        at(event("message", Some("t1"), json!({"role": "assistant", "content": "a subagent", "parent_tool_call_id": "c1"})), 6),
        at(event("message", Some("t1"), json!({"role": "assistant", "content": "half"})), 7),
        at(event("message", Some("t1"), json!({"role": "assistant", "content": "all done"})), 8),
        at(end("t1"), 9),
    ]))
    .await;
    let turns = turns(&world).await;
    assert_eq!(
        turns,
        [json!({
            "turn_id": "t1", "session_id": "s", "agent": "builder", "from": "user", "prompt": "do t1", "result": "all done",
            "started": "2026-11-20T09:00:01.000Z", "ended": "2026-11-20T09:00:09.000Z", "ok": true, "duration_ms": 7,
            "usage": {"input_tokens": 10, "output_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0},
            "cost_usd": 0.5,
            "tools": {"Bash": {"calls": 1, "failed": 0, "duration_ms": 5}, "Read": {"calls": 1, "failed": 1, "duration_ms": 2000}},
            "first_seq": 1, "last_seq": 9, "start_seq": 1, "end_seq": 9, "sources": ["test"],
        })]
    );
    let calls = calls(&world).await;
    assert_eq!(
        calls[1],
        json!({
            "tool_call_id": "c2", "session_id": "s", "turn_id": "t1", "tool": "Read", "parent_tool_call_id": "c1", "outcome": "failed",
            "arguments": {"file": "x"}, "output": [1, {"a": null}], "error": "denied",
            "started": "2026-11-20T09:00:03.000Z", "ended": "2026-11-20T09:00:05.000Z", "duration_ms": 2000,
            "first_seq": 3, "last_seq": 4, "start_seq": 3, "end_seq": 4, "sources": ["test"],
        })
    );
    assert_eq!(
        (&calls[0]["outcome"], &calls[0]["duration_ms"]),
        (&json!("ok"), &json!(5))
    );
}

#[tokio::test]
async fn what_was_just_published_is_told() {
    let world = World::start().await;
    for n in 0..20 {
        let turn = format!("t{n}");
        world.publish(&json!([start(&turn), call(Some(&turn), &turn)])).await;
        assert_eq!(turns(&world).await[n].get("ended"), None);
        assert_eq!(calls(&world).await[n]["outcome"], "running");
        world.publish(&json!([called(Some(&turn), &turn), end(&turn)])).await;
        assert_eq!(turns(&world).await[n]["ok"], true);
        assert_eq!(calls(&world).await[n]["outcome"], "ok");
    }
}

#[tokio::test]
async fn a_turn_that_the_next_one_cuts_short_is_closed_and_says_so() {
    let world = world(json!([
        at(start("t1"), 1),
        at(call(Some("t1"), "c1"), 2),
        at(start("t2"), 4)
    ]))
    .await;
    let rows = turns(&world).await;
    assert_eq!(rows[0]["note"], "the next turn began before this one ended");
    assert_eq!((&rows[0]["ok"], &rows[0]["duration_ms"]), (&json!(false), &json!(3000)));
    assert_eq!((rows[0].get("end_seq"), rows[1].get("ended")), (None, None));
    let rows = calls(&world).await;
    assert_eq!(
        (&rows[0]["outcome"], &rows[0]["duration_ms"]),
        (&json!("unfinished"), &json!(2000))
    );

    // Their own ends, late as they are, are what counts.
    world
        .publish(&json!([at(called(Some("t1"), "c1"), 5), at(end("t1"), 6)]))
        .await;
    let rows = turns(&world).await;
    assert_eq!(
        (&rows[0]["ok"], rows[0].get("note"), &rows[0]["end_seq"]),
        (&json!(true), None, &json!(5))
    );
    assert_eq!(calls(&world).await[0]["outcome"], "ok");
    assert_eq!(rows[1].get("ended"), None, "the turn that is open stays open");
    assert_eq!(world.get("/api/sessions/s").await.ok()["state"], "thinking");
}

#[tokio::test]
async fn the_end_of_a_session_closes_what_is_open_in_it() {
    let world = world(json!([
        start("t1"),
        call(Some("t1"), "c1"),
        call(None, "c2"),
        event("session_end", None, json!({"exit_code": 0}))
    ]))
    .await;
    let rows = turns(&world).await;
    assert_eq!(rows[0]["note"], "the session ended before this turn did");
    assert_eq!(ids(&calls(&world).await, "outcome"), ["unfinished", "unfinished"]);
    assert_eq!(world.get("/api/state").await.ok()["turns"], json!([]));
}

#[tokio::test]
async fn an_end_without_a_start_has_a_row_and_a_start_that_comes_late_joins_it() {
    let world = world(json!([at(called(Some("t1"), "c1"), 3), at(end("t1"), 4)])).await;
    let (turn, one) = (&turns(&world).await[0], &calls(&world).await[0]);
    assert_eq!((turn.get("started"), &turn["ok"]), (None, &json!(true)));
    assert_eq!((one.get("started"), &one["outcome"]), (None, &json!("ok")));
    assert_eq!(turn["tools"]["Bash"]["calls"], 1);
    world
        .publish(&json!([at(start("t1"), 1), at(call(Some("t1"), "c1"), 2)]))
        .await;
    let (turns, calls) = (turns(&world).await, calls(&world).await);
    assert_eq!((turns.len(), calls.len()), (1, 1));
    assert_eq!(
        (&turns[0]["prompt"], &turns[0]["started"]),
        (&json!("do t1"), &json!("2026-11-20T09:00:01.000Z"))
    );
    assert_eq!(turns[0]["ended"], "2026-11-20T09:00:04.000Z", "it is not open again");
    assert_eq!(calls[0]["arguments"], json!({"command": "c1"}));
    assert_eq!(calls[0]["outcome"], "ok");
}

#[tokio::test]
async fn what_is_told_twice_has_one_row() {
    let world = world(json!([
        start("t1"),
        start("t1"),
        call(Some("t1"), "c1"),
        call(Some("t1"), "c1"),
        called(Some("t1"), "c1"),
        called(Some("t1"), "c1"),
        end("t1"),
        end("t1"),
    ]))
    .await;
    assert_eq!(ids(&turns(&world).await, "turn_id"), ["t1"]);
    assert_eq!(ids(&calls(&world).await, "tool_call_id"), ["c1"]);
    let session = world.get("/api/sessions/s").await.ok();
    assert_eq!(
        (&session["usage"]["input_tokens"], &session["cost_usd"]),
        (&json!(10), &json!(0.5))
    );
}

#[tokio::test]
async fn an_id_that_is_used_again_is_another_turn_and_another_call() {
    let world = world(json!([
        start("t"),
        call(Some("t"), "c"),
        called(Some("t"), "c"),
        end("t"),
        start("t"),
        call(Some("t"), "c"),
        called(Some("t"), "c"),
        end("t"),
    ]))
    .await;
    for rows in [turns(&world).await, calls(&world).await] {
        assert_eq!(rows.len(), 2);
        assert!(
            rows.iter()
                .all(|row| row["start_seq"].is_u64() && row["end_seq"].is_u64()),
            "{rows:?}"
        );
    }
    assert_eq!(turns(&world).await[1]["tools"]["Bash"]["calls"], 1);
}

#[tokio::test]
async fn the_same_call_id_in_two_sessions_is_two_calls() {
    let mut other = call(Some("t1"), "c1");
    other["session_id"] = json!("other");
    let world = world(json!([call(Some("t1"), "c1"), other, called(Some("t1"), "c1")])).await;
    assert_eq!(ids(&rows(&world, "other", "tool-calls").await, "outcome"), ["running"]);
    assert_eq!(ids(&calls(&world).await, "outcome"), ["ok"]);
    assert_eq!(rows(&world, "other", "turns").await.len(), 1);
}

#[tokio::test]
async fn a_source_without_ids_is_paired_all_the_same() {
    let bare = |kind: &str, data: Value| event(kind, None, data);
    let world = world(json!([
        bare("turn_start", json!({"body": "one"})),
        bare("tool_call_start", json!({"tool": "shell"})),
        bare("tool_call_start", json!({"tool": "fetch"})),
        bare("tool_call", json!({"tool": "shell", "duration_ms": 4, "success": true})),
        bare("turn_end", json!({"ok": true})),
        bare("tool_call", json!({"tool": "shell", "success": false})),
        bare("turn_start", json!({"body": "two"})),
    ]))
    .await;
    let turns = turns(&world).await;
    assert_eq!(ids(&turns, "prompt"), ["one", "two"]);
    assert_eq!((&turns[0]["ok"], turns[1].get("ok")), (&json!(true), None));
    let calls = calls(&world).await;
    assert_eq!(ids(&calls, "tool"), ["shell", "fetch", "shell"]);
    assert_eq!(ids(&calls, "outcome"), ["ok", "unfinished", "failed"]);
    assert_eq!(
        turns[0]["tools"]["shell"],
        json!({"calls": 1, "failed": 0, "duration_ms": 4})
    );
}

#[tokio::test]
async fn an_event_without_a_turn_is_of_the_newest_open_one_wherever_a_page_begins() {
    let events = [
        start("old"),
        call(Some("new"), "c1"),
        called(Some("old"), "c2"),
        call(None, "c3"),
        event("turn_end", None, json!({"ok": true})),
    ]
    .map(|event| at(event, 1));
    let told = async |world: &World| -> Vec<Value> {
        let (turns, calls) = (turns(world).await, calls(world).await);
        assert_eq!(ids(&turns, "turn_id"), ["old", "new"]);
        assert_eq!((turns[0].get("ended"), &turns[1]["ok"]), (None, &json!(true)));
        turns
            .iter()
            .map(|turn| turn["tools"].clone())
            .chain(calls.iter().map(|call| call["outcome"].clone()))
            .collect()
    };
    let (at_once, one_by_one) = (World::start().await, World::start().await);
    at_once.publish(&json!(events)).await;
    for event in &events {
        one_by_one.publish(event).await;
        turns(&one_by_one).await;
    }
    let expected = told(&one_by_one).await;
    assert_eq!(expected[1]["Bash"]["calls"], 2);
    assert_eq!(told(&at_once).await, expected);
}

#[tokio::test]
async fn bodies_of_other_shapes_have_rows_too() {
    let world = world(json!([
        event(
            "turn_start",
            Some("t"),
            json!({"body": ["x"], "unread": "many", "from": 7})
        ),
        event(
            "tool_call_start",
            Some("t"),
            json!({"tool": "Bash", "tool_call_id": 7, "arguments": "ls"})
        ),
        event(
            "tool_call",
            Some("t"),
            json!({"tool": "Bash", "tool_call_id": null, "success": true, "duration_ms": -3.5, "output": null})
        ),
        event(
            "usage",
            Some("t"),
            json!({"input_tokens": 3, "output_tokens": "many", "cost_usd": 1e300})
        ),
        event("turn_end", Some("t"), json!({"ok": "yes", "duration_ms": 1.5})),
        event("tool_call_start", None, json!({})),
        event("turn_end", None, json!({})),
        event("message", None, json!({"role": 1})),
    ]))
    .await;
    let (turns, calls) = (turns(&world).await, calls(&world).await);
    assert_eq!(turns.len(), 2);
    assert_eq!(
        (&turns[0]["usage"]["input_tokens"], &turns[0]["ok"]),
        (&json!(3), &json!(false))
    );
    assert_eq!(
        (&calls[0]["tool"], &calls[0]["arguments"], &calls[0]["outcome"]),
        (&json!("Bash"), &json!("ls"), &json!("ok"))
    );
    assert_eq!((calls.len(), &calls[1]["tool"]), (2, &json!("")));
}

#[tokio::test]
async fn large_texts_are_told_in_part_with_the_size_of_the_whole() {
    let long = "0123456789".repeat(5000);
    let world = world(json!([
        event("turn_start", Some("t"), json!({"body": long})),
        event(
            "tool_call_start",
            Some("t"),
            json!({"tool": "Write", "tool_call_id": "c", "arguments": {"path": "/a", "content": long}})
        ),
        event(
            "tool_call",
            Some("t"),
            json!({"tool": "Write", "tool_call_id": "c", "success": true, "output": long})
        ),
        event("message", Some("t"), json!({"role": "assistant", "content": long})),
    ]))
    .await;
    let (turn, one) = (&turns(&world).await[0], &calls(&world).await[0]);
    for (row, field) in [(turn, "prompt"), (turn, "result"), (one, "output")] {
        assert!(row[field].as_str().unwrap().len() < 5000, "{field}");
        assert!(row[format!("{field}_bytes")].as_u64().unwrap() >= 50_000, "{field}");
    }
    assert_eq!(one["arguments"]["path"], "/a", "arguments stay an object");
    assert!(one["arguments_bytes"].as_u64().unwrap() > 50_000);
    let whole = world
        .history(&format!("after={}&limit=1", one["end_seq"].as_u64().unwrap() - 1))
        .await;
    assert_eq!(whole["events"][0]["data"]["output"], long, "the whole is in the log");
}

#[tokio::test]
async fn usage_is_counted_once_however_it_is_told() {
    let usage = |turn: Option<&str>, tokens: u64| {
        event(
            "usage",
            turn,
            json!({"input_tokens": tokens, "cost_usd": 0.25, "model": "m"}),
        )
    };
    let world = World::start().await;
    let session = async || {
        let session = world.get("/api/sessions/s").await.ok();
        (
            session["usage"]["input_tokens"].as_u64().unwrap(),
            session["cost_usd"].as_f64().unwrap(),
        )
    };
    world
        .publish(&json!([start("t1"), usage(Some("t1"), 4), usage(Some("t1"), 6)]))
        .await;
    assert_eq!(
        turns(&world).await[0]["usage"]["input_tokens"],
        10,
        "a turn in flight says what it has used so far"
    );
    assert_eq!(session().await, (0, 0.0), "its end will say it");
    world.publish(&json!([end("t1"), usage(Some("t1"), 10)])).await;
    assert_eq!(session().await, (10, 0.5));
    // An end that says nothing of it, a turn without an end, and no turn at all.
    world
        .publish(&json!([
            start("t2"),
            usage(Some("t2"), 1),
            event("turn_end", Some("t2"), json!({"ok": true}))
        ]))
        .await;
    assert_eq!(session().await, (11, 0.75));
    world
        .publish(&json!([
            start("t3"),
            usage(Some("t3"), 1),
            start("t4"),
            end("t4"),
            usage(None, 1)
        ]))
        .await;
    assert_eq!(session().await, (23, 1.75));
    world.publish(&end("t3")).await;
    assert_eq!(
        session().await,
        (32, 2.0),
        "its own end corrects what was counted for it"
    );
}

#[tokio::test]
async fn paging_covers_every_row_once() {
    let world = World::start().await;
    let events: Value = (0..60)
        .flat_map(|n| {
            let turn = format!("t{n}");
            [
                start(&turn),
                call(Some(&turn), &turn),
                called(Some(&turn), &turn),
                end(&turn),
            ]
        })
        .collect();
    world.publish(&events).await;
    let expected: Vec<String> = (0..60).rev().map(|n| format!("t{n}")).collect();
    for (what, key) in [("turns", "turns"), ("tool-calls", "tool_calls")] {
        for limit in [1, 7, 59, 60, 61] {
            let (mut all, mut place) = (Vec::new(), String::new());
            loop {
                let page = world
                    .get(&format!("/api/sessions/s/{what}?limit={limit}{place}"))
                    .await
                    .ok();
                all.extend(
                    ids(page[key].as_array().unwrap(), "turn_id")
                        .into_iter()
                        .map(str::to_owned),
                );
                if page["next"].is_null() {
                    break;
                }
                // What comes meanwhile is newer.
                world.publish(&call(None, "c")).await;
                place = format!("&before={}", page["next"]);
            }
            all.retain(|turn| turn != "-");
            assert_eq!(all, expected, "{what} by {limit}");
        }
    }
}

#[tokio::test]
async fn a_page_of_large_rows_is_bounded_and_the_next_goes_on() {
    let (world, mut many) = (World::start().await, Vec::new());
    let long = "x".repeat(4080);
    for n in 0..1020 {
        let id = n.to_string();
        let begun = json!({"tool": "Bash", "tool_call_id": id, "arguments": long});
        let ended = json!({"tool": "Bash", "tool_call_id": id, "output": long});
        many.push(event("tool_call_start", None, begun));
        many.push(event("tool_call", None, ended));
    }
    world.publish(&Value::Array(many)).await;
    // It is more than the views fold on a busy machine while one request waits for them.
    while world.get("/api/sessions").await.ok()["head"] != world.head_seq().await {}
    let (mut seen, mut place) = (Vec::new(), String::new());
    loop {
        let reply = world
            .get(&format!("/api/sessions/s/tool-calls?limit=1000{place}"))
            .await;
        assert!(reply.body.len() < 9 * 1024 * 1024, "{}", reply.body.len());
        let page = reply.ok();
        seen.push(page["tool_calls"].as_array().unwrap().len());
        if page["next"].is_null() {
            break;
        }
        place = format!("&before={}", page["next"]);
    }
    assert_eq!(seen.iter().sum::<usize>(), 1020);
    assert!(seen[0] < 1000, "its bytes end the first page: {seen:?}");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told() {
    let world = world(note("s", "x")).await;
    for what in ["turns", "tool-calls"] {
        let url = |rest: &str| format!("/api/sessions/s/{what}{rest}");
        for (query, field) in [
            ("?limit=0", "limit"),
            ("?limit=1001", "limit"),
            ("?before=x", "before"),
            ("?after=1", "after"),
            ("?limit=1&limit=1", "limit"),
        ] {
            world.get(&url(query)).await.refused_field(400, "bad_request", field);
        }
        assert_eq!(
            world.get(&url("")).await.ok()[what.replace('-', "_")],
            json!([]),
            "a session without any"
        );
        world
            .get(&format!("/api/sessions/none/{what}"))
            .await
            .refused_field(404, "not_found", "id");
        world
            .get(&format!("/api/sessions/%00/{what}"))
            .await
            .refused_field(400, "bad_request", "id");
    }
    world
        .get("/api/state?before=1")
        .await
        .refused_field(400, "bad_request", "before");
    world
        .get("/api/state?limit=1001")
        .await
        .refused_field(400, "bad_request", "limit");
}
