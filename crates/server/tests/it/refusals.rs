//! Bad input: each gets the one shape of an error, nothing is written, and the server goes on.

use serde_json::{Value, json};
use turnwire_proto::{Json, Kind, Name, NewEvent, Object, Timestamp, limits};

use crate::world::{World, chunked, lines, note, notes};

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

/// Nothing was written and the server serves.
async fn unharmed(world: &World) {
    assert_eq!(world.head_seq().await, 0, "nothing was written");
    world.get("/readyz").await.ok();
    assert_eq!(world.publish(&note("a", "fine")).await["first_seq"], 1);
}

#[tokio::test]
async fn an_event_that_is_none_is_refused_by_its_field() {
    let world = World::start().await;
    let cases: &[(&str, &str)] = &[
        (r#"{"type":"note""#, "body"),
        (r#"{"type":"note"}}"#, "body"),
        ("nonsense", "body"),
        ("5", "body"),
        ("null", "body"),
        ("\"text\"", "body"),
        ("[5]", "body"),
        ("[[]]", "body"),
        ("[{\"type\":\"note\"},", "body"),
        ("{}", "type"),
        (r#"{"type":5}"#, "type"),
        (r#"{"type":null}"#, "type"),
        (r#"{"type":"Not A Kind"}"#, "type"),
        (
            r#"{"type":"history_trimmed","session_id":"a","data":{"what":"session"}}"#,
            "type",
        ),
        (r#"{"type":"note","type":"note"}"#, "type"),
        (r#"{"type":"note","id":"7"}"#, "id"),
        (r#"{"type":"note","id":null}"#, "id"),
        (r#"{"type":"note","timestamp":"yesterday"}"#, "timestamp"),
        (r#"{"type":"note","timestamp":1}"#, "timestamp"),
        (r#"{"type":"note","session_id":null}"#, "session_id"),
        (r#"{"type":"note","session_id":""}"#, "session_id"),
        (r#"{"type":"note","session_id":["a"]}"#, "session_id"),
        (r#"{"type":"note","session_id":"a\u0000b"}"#, "session_id"),
        (r#"{"type":"note","agent":"a\u0007"}"#, "agent"),
        (r#"{"type":"note","source":"a\nb"}"#, "source"),
        (r#"{"type":"note","turn_id":"\u001b[31m"}"#, "turn_id"),
        (r#"{"type":"note","data":[]}"#, "data"),
        (r#"{"type":"note","data":null}"#, "data"),
        (r#"{"type":"note","data":"x"}"#, "data"),
        (r#"{"type":"note","seq":1}"#, "seq"),
        (r#"{"type":"note","colour":"red"}"#, "colour"),
    ];
    for (body, field) in cases {
        world.post(JSON, body).await.refused_field(400, "bad_request", field);
        let by_line = world.post(NDJSON, body).await;
        // An array is no line.
        let field = if body.starts_with('[') { "body" } else { field };
        assert_eq!(by_line.refused_field(400, "bad_request", field)["line"], 1);
    }
    let long = "x".repeat(limits::NAME + 1);
    for field in ["session_id", "agent", "source", "turn_id"] {
        world
            .post(JSON, json!({"type": "note", field: long}).to_string())
            .await
            .refused_field(400, "bad_request", field);
    }
    world
        .post(JSON, json!({"type": "x".repeat(limits::KIND + 1)}).to_string())
        .await
        .refused_field(400, "bad_request", "type");
    unharmed(&world).await;
}

#[tokio::test]
async fn what_is_no_text_is_refused() {
    let world = World::start().await;
    for body in [
        &b"{\"type\":\"note\",\"data\":{\"text\":\"\xff\xfe\"}}"[..],
        b"[{\"type\":\"note\",\"data\":{\"text\":\"\xc3\x28\"}}]",
        b"\x00\x01\x02",
        b"{\"type\":\"note\",\"data\":{\"text\":\"a\x00b\"}}",
        b"{\"type\":\"note\",\"data\":{\"text\":\"\\ud800\"",
    ] {
        for media_type in [JSON, NDJSON] {
            world.post(media_type, body).await.refused(400, "bad_request");
        }
    }
    unharmed(&world).await;
}

#[tokio::test]
async fn what_is_nested_deeper_than_readers_read_is_refused_and_what_is_not_is_read() {
    let world = World::start().await;
    let nested = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
    for field in ["data", "raw"] {
        for levels in [limits::LEVELS + 1, 100_000] {
            let deep = format!("{{\"type\":\"note\",\"{field}\":{}}}", nested(levels));
            for (media_type, body) in [(JSON, deep.clone()), (JSON, format!("[{deep}]")), (NDJSON, deep)] {
                let details = world
                    .post(media_type, body)
                    .await
                    .refused_field(400, "bad_request", field);
                assert_eq!(details["limit"], limits::LEVELS);
            }
        }
        let deepest = format!("{{\"type\":\"note\",\"{field}\":{}}}", nested(limits::LEVELS));
        world.post(JSON, deepest).await.ok();
    }
    assert_eq!(world.history("raw=true").await["events"].as_array().unwrap().len(), 2);
    assert!(world.stream("/api/events?after=0").await.event().await["data"]["a"].is_object());
    // What a log has from elsewhere harms nobody either.
    let body = Object::new(Json::parse(&nested(100_000)).unwrap()).unwrap();
    let event = NewEvent::new(Kind::NOTE, Name::new("test").unwrap(), Timestamp::now(), body);
    world.server().log().append(&[event]).await.unwrap();
    world.publish(&note("a", "findable")).await;
    let found = world.history("q=findable").await;
    assert_eq!(found["events"][0]["seq"], 4, "what looks into bodies goes on behind it");
    let page = world.get("/api/events/history?after=2&limit=1").await;
    assert!(page.text().contains(&"{\"a\":".repeat(100_000)));
    // A list as deep as the body is no event at all.
    world
        .post(JSON, "[".repeat(100_000))
        .await
        .refused_field(400, "bad_request", "body");
}

#[tokio::test]
async fn an_empty_body_is_refused() {
    let world = World::start().await;
    for media_type in [JSON, NDJSON] {
        for body in ["", " \r\n"] {
            if media_type == NDJSON && !body.is_empty() {
                continue;
            }
            world
                .post(media_type, body)
                .await
                .refused_field(400, "bad_request", "body");
        }
        let head = world.head("POST", "/api/events");
        let request = format!("{head}Content-Type: {media_type}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
        world.ask(request).await.refused_field(400, "bad_request", "body");
    }
    unharmed(&world).await;
}

#[tokio::test]
async fn a_media_type_that_is_not_taken_is_refused() {
    let world = World::start().await;
    for media_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/cbor",
        "\u{e4}",
    ] {
        let reply = world.post(media_type, note("a", "x").to_string()).await;
        reply.refused_field(415, "bad_media_type", "content-type");
    }
    unharmed(&world).await;
}

#[tokio::test]
async fn what_is_too_large_is_refused_with_the_limit() {
    let world = World::with(|config| {
        config.limits.batch_events = 10;
        config.limits.batch_bytes = 2 * 1024 * 1024;
    })
    .await;
    // Of small strings: a long one would leave the event.
    let small: Vec<_> = (0..limits::EVENT / 1000).map(|_| "x".repeat(1000)).collect();
    let large = json!({"type": "note", "session_id": "a", "data": {"list": small}}).to_string();
    for media_type in [JSON, NDJSON] {
        let details = world
            .post(media_type, &large)
            .await
            .refused_field(413, "too_large", "data");
        assert_eq!(details["limit"], limits::EVENT);
    }
    let details = world
        .post(JSON, notes("a", 11).to_string())
        .await
        .refused_field(413, "too_large", "body");
    assert_eq!(details["limit"], 10);

    let batch: Value = (0..5).map(|_| note("a", &"x".repeat(500_000))).collect();
    let batch = batch.to_string();
    let details = world.post(JSON, &batch).await.refused_field(413, "too_large", "body");
    assert_eq!(details["limit"], 2 * 1024 * 1024);
    let head = world.head("POST", "/api/events");
    let mut undeclared = format!("{head}Content-Type: {JSON}\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    undeclared.extend(chunked(batch.as_bytes().chunks(100_000)));
    world.ask(undeclared).await.refused_field(413, "too_large", "body");

    let line = format!("{{\"type\":\"note\"{}}}", " ".repeat(2 * limits::EVENT + 20_000));
    let details = world.post(NDJSON, line).await.refused_field(413, "too_large", "body");
    assert_eq!((&details["line"], &details["written"]), (&json!(1), &json!(0)));
    assert!(
        details["limit"]
            .as_u64()
            .is_some_and(|limit| limit > limits::EVENT as u64)
    );
    let endless = "x".repeat(2 * limits::EVENT + 20_000);
    world
        .post(NDJSON, endless)
        .await
        .refused_field(413, "too_large", "body");
    unharmed(&world).await;
    // Lines have no bound on their number.
    assert_eq!(world.post(NDJSON, lines(&notes("a", 11))).await.ok()["written"], 11);
}

#[tokio::test]
async fn a_bad_query_names_its_parameter() {
    let world = World::start().await;
    let many = format!("agent={}", vec!["x"; limits::FILTER_VALUES + 1].join(","));
    let long = format!("agent={}", "x".repeat(limits::NAME + 1));
    let both: &[(&str, &str)] = &[
        ("after=-1", "after"),
        ("after=abc", "after"),
        ("after=", "after"),
        ("after=1.5", "after"),
        ("after=9007199254740992", "after"),
        ("after=99999999999999999999999", "after"),
        ("after=1%00", "after"),
        ("after=1&after=2", "after"),
        ("deltas=true&deltas=true", "deltas"),
        ("raw=1&raw=0", "raw"),
        ("type=Not-A-Kind", "type"),
        ("type=", "type"),
        ("agent=", "agent"),
        ("agent=a%00b", "agent"),
        ("source=%07", "source"),
        ("session_id=", "session_id"),
        ("session_id=a%0Ab", "session_id"),
        ("session_id=a&session_id=b", "session_id"),
        ("session_id=%ff", "session_id"),
        ("deltas=maybe", "deltas"),
        ("raw=2", "raw"),
        ("colour=red", "colour"),
        (&many, "agent"),
        (&long, "agent"),
    ];
    let stream: &[(&str, &str)] = &[
        ("since=x", "since"),
        ("after=1&since=2", "since"),
        ("tail=0", "tail"),
        ("tail=-1", "tail"),
        ("tail=100001", "tail"),
        ("epoch=1", "epoch"),
        ("format=xml", "format"),
        ("format=native&format=native", "format"),
        ("limit=5", "limit"),
        ("before=5", "before"),
    ];
    let history: &[(&str, &str)] = &[
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("before=x", "before"),
        ("after=1&before=2", "before"),
        ("tail=5", "tail"),
        ("q=a&q=b", "q"),
    ];
    for (query, field) in both.iter().chain(stream) {
        world
            .get(&format!("/api/events?{query}"))
            .await
            .refused_field(400, "bad_request", field);
    }
    for (query, field) in both.iter().chain(history) {
        world
            .get(&format!("/api/events/history?{query}"))
            .await
            .refused_field(400, "bad_request", field);
    }
    world
        .get("/api/sessions/a?colour=red")
        .await
        .refused_field(400, "bad_request", "colour");
    let publish = world.request("POST", "/api/events?session_id=a", JSON, note("b", "x").to_string());
    world.ask(publish).await.refused_field(400, "bad_request", "session_id");
    for (query, field) in [("limit=0", "limit"), ("before=x", "before"), ("after=1", "after")] {
        world
            .get(&format!("/api/sessions?{query}"))
            .await
            .refused_field(400, "bad_request", field);
    }
    unharmed(&world).await;
}

#[tokio::test]
async fn a_last_event_id_that_is_no_cursor_is_refused() {
    let world = World::start().await;
    for value in [
        &b"abc"[..],
        b"-1",
        b"1 2",
        b"9007199254740992",
        b"\xff\xfe",
        b"0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10",
    ] {
        let mut request = format!("{}Last-Event-ID: ", world.head("GET", "/api/events")).into_bytes();
        request.extend_from_slice(value);
        request.extend(b"\r\n\r\n");
        world
            .ask(request)
            .await
            .refused_field(400, "bad_request", "last-event-id");
    }
    // These are no header at all.
    for value in [&b"1\x002"[..], b"\x01", b"1\x7f"] {
        let mut request = format!("{}Last-Event-ID: ", world.head("GET", "/api/events")).into_bytes();
        request.extend_from_slice(value);
        request.extend(b"\r\n\r\n");
        world.ask(request).await.refused(400, "bad_request");
    }
    unharmed(&world).await;
}

#[tokio::test]
async fn a_session_that_no_name_can_be_is_refused() {
    let world = World::start().await;
    let long = "x".repeat(limits::NAME + 1);
    for id in ["a%00b", "%07", "%0d%0aX:%20y", "%ff", "%c3%28", &long] {
        for url in [format!("/api/sessions/{id}"), format!("/api/sessions/{id}/events")] {
            world.get(&url).await.refused_field(400, "bad_request", "id");
        }
    }
    world
        .get("/api/sessions/nowhere")
        .await
        .refused_field(404, "not_found", "id");
    unharmed(&world).await;
}

#[tokio::test]
async fn a_token_with_bad_scopes_is_not_made() {
    let world = World::start().await;
    let many = vec!["read"; 65];
    for (body, field) in [
        (json!({"name": "x", "scopes": ["write"]}), "scopes"),
        (json!({"name": "x", "scopes": ["read:session:"]}), "scopes"),
        (json!({"name": "x", "scopes": ["admin:session:a"]}), "scopes"),
        (json!({"name": "x", "scopes": ["read", 5]}), "scopes"),
        (json!({"name": "x", "scopes": []}), "scopes"),
        (json!({"name": "x", "scopes": "read"}), "scopes"),
        (json!({"name": "x", "scopes": null}), "scopes"),
        (json!({"name": "x", "scopes": many}), "scopes"),
        (json!({"name": "x"}), "scopes"),
        (json!({"scopes": ["read"]}), "name"),
        (json!({"name": "", "scopes": ["read"]}), "name"),
        (json!({"name": "a\u{0}b", "scopes": ["read"]}), "name"),
        (json!({"name": "x", "scopes": ["read"], "colour": 1}), "colour"),
        (
            json!({"name": "x", "scopes": ["read"], "expires": "2020-01-01T00:00:00.000Z"}),
            "expires",
        ),
        (json!({"name": "x", "scopes": ["read"], "expires": "soon"}), "expires"),
    ] {
        let reply = world
            .ask(world.request("POST", "/api/tokens", JSON, body.to_string()))
            .await;
        let details = reply.refused(400, "bad_request");
        let named = details["field"].as_str().unwrap();
        assert!(
            named == field || named.starts_with(&format!("{field}[")),
            "{body}: {named}"
        );
    }
    let tokens = world.get("/api/tokens").await.ok();
    assert_eq!(
        tokens["tokens"].as_array().unwrap().len(),
        2,
        "the command line's and the test's"
    );
}
