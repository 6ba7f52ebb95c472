//! What was used within a window (U): sums that are right, of what may be read, and the same when they are folded anew.

use serde_json::{Value, json};
use turnwire_proto::Timestamp;

use crate::world::World;

const HOUR: i64 = 3_600_000;

fn event(session: &str, agent: &str, hours: i64, kind: &str, data: Value) -> Value {
    let then = Timestamp::from_millis(Timestamp::now().millis() - hours * HOUR).unwrap();
    let mut event = json!({"type": kind, "session_id": session, "agent": agent, "timestamp": then.to_string()});
    event["data"] = data;
    event
}

fn call(session: &str, agent: &str, hours: i64, (tool, id): (&str, usize), ms: u64, success: bool) -> Value {
    let id = format!("{session}-{tool}-{id}");
    event(
        session,
        agent,
        hours,
        "tool_call",
        json!({"tool": tool, "tool_call_id": id, "success": success, "duration_ms": ms}),
    )
}

fn turn(session: &str, agent: &str, hours: i64, id: &str, cost: f64) -> [Value; 3] {
    let mut events = [
        event(
            session,
            agent,
            hours,
            "turn_start",
            json!({"from": "user", "body": "do it"}),
        ),
        // Its end says the same once more.
        event(
            session,
            agent,
            hours,
            "usage",
            json!({"input_tokens": 10, "output_tokens": 1}),
        ),
        event(
            session,
            agent,
            hours,
            "turn_end",
            json!({"ok": true, "usage": {"input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": 5}, "cost_usd": cost}),
        ),
    ];
    for event in &mut events {
        event["turn_id"] = json!(id);
    }
    events
}

/// Two agents, three sessions, two models; something of a minute ago, of three days ago, of two weeks ago and of forty days ago.
fn events() -> Vec<Value> {
    let model =
        |session: &str, agent: &str, model: &str| event(session, agent, 0, "session_start", json!({"model": model}));
    let mut events = vec![
        model("a", "one", "big"),
        model("b", "one", "small"),
        model("c", "two", "big"),
    ];
    events.extend(turn("a", "one", 0, "t1", 1.0));
    events.extend(turn("b", "one", 72, "t2", 0.5));
    events.extend(turn("c", "two", 14 * 24, "t3", 0.25));
    events.extend(turn("c", "two", 40 * 24, "t4", 100.0));
    for n in 0..100 {
        events.push(call("a", "one", 0, ("Bash", n), n as u64 * 10 + 10, n % 10 != 0));
    }
    events.push(call("b", "one", 72, ("Read", 0), 5, true));
    events.push(call("c", "two", 0, ("Bash", 0), 60_000, true));
    events.push(event("c", "two", 0, "error", json!({"component": "x", "message": "y"})));
    events
}

/// What is told, without when it was asked: the hour may change meanwhile.
fn timeless(mut told: Value) -> Value {
    let fields = told.as_object_mut().unwrap();
    fields.retain(|field, _| !["from", "to"].contains(&field.as_str()));
    let buckets = fields["buckets"].as_array_mut().unwrap();
    buckets.retain(|bucket| COUNTS.iter().any(|field| bucket[*field].as_f64() != Some(0.0)));
    told
}

async fn usage(world: &World, query: &str) -> Value {
    timeless(world.get(&format!("/api/usage?{query}")).await.ok())
}

fn row<'a>(told: &'a Value, key: &str) -> &'a Value {
    let mut rows = told["rows"].as_array().unwrap().iter();
    rows.find(|row| row["key"] == key).unwrap_or(&Value::Null)
}

fn keys(told: &Value) -> Vec<&str> {
    let rows = told["rows"].as_array().unwrap();
    rows.iter().map(|row| row["key"].as_str().unwrap()).collect()
}

const COUNTS: [&str; 8] = [
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cost_usd",
    "turns",
    "tool_calls",
    "errors",
];

fn sum(list: &Value, field: &str) -> f64 {
    list.as_array()
        .unwrap()
        .iter()
        .map(|one| one[field].as_f64().unwrap())
        .sum()
}

#[tokio::test]
async fn totals_are_the_sums_of_the_buckets_and_of_the_rows() {
    let world = World::start().await;
    world.publish(&json!(events())).await;
    for (window, buckets, cost) in [("24h", 24, 1.0), ("7d", 28, 1.5), ("30d", 30, 1.75)] {
        for by in ["agent", "model", "session"] {
            let told = world.get(&format!("/api/usage?window={window}&by={by}")).await.ok();
            assert_eq!(told["totals"]["cost_usd"], cost, "{window}");
            assert_eq!(told["buckets"].as_array().unwrap().len(), buckets);
            assert_eq!(
                (&told["more"], &told["head"]),
                (&json!(false), &json!(world.head_seq().await))
            );
            for field in COUNTS {
                let total = told["totals"][field].as_f64().unwrap();
                assert_eq!(sum(&told["buckets"], field), total, "{window} {by} {field}");
                assert_eq!(sum(&told["rows"], field), total, "{window} {by} {field}");
            }
            assert_eq!(
                sum(&told["tools"], "calls"),
                told["totals"]["tool_calls"].as_f64().unwrap()
            );
        }
    }
    let told = usage(&world, "window=30d&by=model").await;
    assert_eq!(keys(&told), ["big", "small"], "the dearest first");
    let told = usage(&world, "window=30d&by=agent").await;
    let one = row(&told, "one");
    assert_eq!(
        (&one["turns"], &one["input_tokens"]),
        (&json!(2), &json!(20)),
        "usage that a turn's end repeats counts once"
    );
    assert_eq!((&one["tool_calls"], &one["errors"]), (&json!(101), &json!(0)));
    assert_eq!(row(&told, "two")["errors"], 1);
    assert_eq!(
        row(&usage(&world, "window=30d&by=session").await, "a")["title"],
        "do it"
    );
}

#[tokio::test]
async fn a_filter_leaves_what_it_names() {
    let world = World::start().await;
    world.publish(&json!(events())).await;
    let told = usage(&world, "window=30d&by=session&agent=one").await;
    assert_eq!(keys(&told), ["a", "b"]);
    let told = usage(&world, "window=30d&session_id=b").await;
    assert_eq!((keys(&told), &told["totals"]["cost_usd"]), (vec!["one"], &json!(0.5)));
    assert_eq!(
        told["tools"],
        json!([{"tool": "Read", "calls": 1, "failures": 0, "p50_ms": 5, "p95_ms": 5}])
    );
    for (query, field) in [
        ("window=1h", "window"),
        ("by=tool", "by"),
        ("agent=a,b", "agent"),
        ("x=1", "x"),
    ] {
        world
            .get(&format!("/api/usage?{query}"))
            .await
            .refused_field(400, "bad_request", field);
    }
}

#[tokio::test]
async fn latencies_are_percentiles_to_five_percent() {
    let world = World::start().await;
    world.publish(&json!(events())).await;
    let told = usage(&world, "by=session&session_id=a").await;
    let bash = &told["tools"][0];
    assert_eq!((&bash["calls"], &bash["failures"]), (&json!(100), &json!(10)));
    for (field, exact) in [("50", 500.0), ("95", 950.0)] {
        let told = [
            &bash[format!("p{field}_ms")],
            &told["rows"][0][format!("tool_p{field}_ms")],
        ];
        for ms in told.map(|ms| ms.as_f64().unwrap()) {
            assert!((ms - exact).abs() <= 0.05 * exact + 1.0, "p{field}: {ms}");
        }
    }
}

#[tokio::test]
async fn a_call_whose_duration_is_not_known_is_counted_and_in_no_percentile() {
    let world = World::start().await;
    let mut ended = call("a", "one", 0, ("Bash", 1), 0, true);
    ended["data"].as_object_mut().unwrap().remove("duration_ms");
    world.publish(&ended).await;
    let told = usage(&world, "").await;
    assert_eq!(told["tools"], json!([{"tool": "Bash", "calls": 1, "failures": 0}]));
    assert_eq!(told["rows"][0].get("tool_p50_ms"), None);
}

#[tokio::test]
async fn a_reader_of_one_session_gets_nothing_of_others_in_any_sum() {
    let world = World::start().await;
    world.publish(&json!(events())).await;
    let token = world.token(&["read:session:b"]).await;
    let own = usage(&world, "window=30d&by=session&session_id=b").await;
    let told = timeless(world.get_by(&token, "/api/usage?window=30d&by=session").await.ok());
    assert_eq!(told, own);
    assert_eq!(keys(&told), ["b"]);
    world
        .get_by(&token, "/api/usage?session_id=a")
        .await
        .refused_field(403, "forbidden", "session_id");
    // Of an agent that works in other sessions as well, only what is of its own.
    let told = world.get_by(&token, "/api/usage?window=30d&agent=one").await.ok();
    assert_eq!(told["totals"]["cost_usd"], 0.5);
    let told = world.get_by(&token, "/api/usage?window=30d&agent=two").await.ok();
    assert_eq!((&told["rows"], &told["tools"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn sums_are_the_same_when_they_are_folded_anew_and_in_whatever_pieces_events_came() {
    let mut world = World::start().await;
    let split = World::start().await;
    let events = events();
    world.publish(&json!(events)).await;
    for piece in events.chunks(3) {
        split.publish(&json!(piece)).await;
        // So that it is folded by itself.
        split.get("/api/sessions").await.ok();
    }
    for query in ["window=30d&by=session", "window=7d&by=model", "window=24h&by=agent"] {
        let before = usage(&world, query).await;
        assert_eq!(usage(&split, query).await, before);
        world.restart_without_views().await;
        assert_eq!(usage(&world, query).await, before);
    }
}

#[tokio::test]
async fn a_session_that_is_deleted_leaves_every_sum() {
    let world = World::with(|config| {
        config.retention.sessions = Some(1);
        config.retention.every = std::time::Duration::from_millis(20);
    })
    .await;
    world.publish(&json!(turn("old", "one", 0, "t", 1.0))).await;
    world.publish(&json!(turn("new", "one", 0, "t", 0.5))).await;
    let mut gone = world
        .stream("/api/sessions/old/events?after=0&type=history_trimmed")
        .await;
    gone.event().await;
    let told = usage(&world, "by=session").await;
    assert_eq!((keys(&told), &told["totals"]["cost_usd"]), (vec!["new"], &json!(0.5)));
}
