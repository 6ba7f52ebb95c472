//! Who may see what: the same on every way out.

use serde_json::{Value, json};

use crate::world::{World, note, seqs, texts};

/// Events of two sessions and public ones, and a token for the first session.
async fn world() -> (World, String) {
    let world = World::start().await;
    let mut observed = note("b", "needle observed");
    observed["source"] = json!("observability");
    let public = json!({"type": "note", "data": {"text": "needle public"}});
    world
        .publish(&json!([
            note("a", "needle a"),
            note("b", "needle b"),
            public,
            observed,
            note("b", "needle b2")
        ]))
        .await;
    let token = world.token(&["read:session:a"]).await;
    (world, token)
}

const SEEN: [&str; 3] = ["needle a", "needle public", "needle observed"];

#[tokio::test]
async fn a_reader_of_one_session_streams_that_and_what_is_public() {
    let (world, token) = world().await;
    for url in ["/api/events?after=0", "/api/events?tail=5"] {
        for mut stream in [
            world.stream_by(&token, url).await,
            world.stream_of_hyper_by(&token, url).await,
        ] {
            assert_eq!(texts(&stream.events(3).await), SEEN, "{url}");
        }
    }
    let mut live = world.stream_by(&token, "/api/events").await;
    live.control("hello").await;
    world.publish(&json!([note("b", "hidden"), note("a", "shown")])).await;
    assert_eq!(live.event().await["data"]["text"], "shown");
}

#[tokio::test]
async fn a_reader_of_one_session_finds_that_and_what_is_public_in_history_and_search() {
    let (world, token) = world().await;
    for query in [
        "after=0",
        "before=100",
        "limit=1000",
        "after=0&q=needle",
        "q=needle",
        "q=need*",
    ] {
        let page = world.get_by(&token, &format!("/api/events/history?{query}")).await.ok();
        assert_eq!(texts(page["events"].as_array().unwrap()), SEEN, "{query}");
    }
    let page = world.get_by(&token, "/api/events/history?q=b2").await.ok();
    assert_eq!(page["events"], json!([]));
}

#[tokio::test]
async fn a_reader_of_one_session_sees_no_other_in_the_list() {
    let (world, token) = world().await;
    let ids = |page: &Value| -> Vec<String> {
        page["sessions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(&world.get_by(&token, "/api/sessions").await.ok()), ["a"]);
    assert_eq!(ids(&world.get("/api/sessions").await.ok()), ["b", "a"]);
    assert_eq!(world.get_by(&token, "/api/sessions/a").await.ok()["id"], "a");
}

#[tokio::test]
async fn a_reader_of_one_session_sees_no_other_in_turns_calls_and_state() {
    let (world, token) = world().await;
    let of = |session: &str, kind: &str, source: &str, data: Value| json!({"type": kind, "session_id": session, "turn_id": "t", "source": source, "data": data});
    let call = json!({"tool": "Bash", "tool_call_id": "c", "arguments": {"secret": 1}});
    for session in ["a", "b"] {
        for source in ["cli", "observability"] {
            world
                .publish(&json!([
                    of(
                        session,
                        "turn_start",
                        source,
                        json!({"body": format!("prompt of {session}")})
                    ),
                    of(session, "tool_call_start", source, call.clone()),
                    of(
                        session,
                        "approval_request",
                        source,
                        json!({"approval_id": format!("{session} {source}"), "tool": "Bash", "title": format!("prompt of {session}")})
                    ),
                ]))
                .await;
        }
    }
    for what in ["turns", "tool-calls"] {
        let page = world.get_by(&token, &format!("/api/sessions/a/{what}")).await;
        assert!(!page.text().contains("\"b\""), "{}", page.text());
        assert_eq!(page.ok()[what.replace('-', "_")].as_array().unwrap().len(), 1);
    }
    let state = world.get_by(&token, "/api/state").await;
    assert!(!state.text().contains("prompt of b"), "{}", state.text());
    let state = state.ok();
    let field = |what: &str, field: &str| -> Vec<Value> {
        let rows = state[what].as_array().unwrap();
        rows.iter().map(|row| row[field].clone()).collect()
    };
    assert_eq!(
        (field("sessions", "id"), field("turns", "session_id")),
        (vec![json!("a")], vec![json!("a")])
    );
    assert_eq!(
        field("approvals", "id"),
        [json!("a observability"), json!("a cli")],
        "the inbox"
    );
    assert_eq!(state["seq"], world.head_seq().await, "the place is of the whole log");
    // What is beyond the bound is of those that may be seen, too.
    let bounded = world.get_by(&token, "/api/state?limit=1").await.ok();
    let more = json!({"sessions": false, "turns": false, "approvals": true, "agents": false});
    assert_eq!(bounded["more"], more);
    let all = world.get("/api/state").await.ok();
    assert_eq!(all["turns"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn another_session_is_refused_whether_it_is_there_or_not() {
    let (world, token) = world().await;
    for session in ["b", "nowhere"] {
        for url in [
            format!("/api/sessions/{session}"),
            format!("/api/sessions/{session}/events"),
            format!("/api/sessions/{session}/events?tail=3"),
            format!("/api/sessions/{session}/turns"),
            format!("/api/sessions/{session}/tool-calls"),
            format!("/api/events?session_id={session}"),
            format!("/api/events/history?session_id={session}"),
            format!("/api/events/history?session_id={session}&q=needle"),
        ] {
            world.get_by(&token, &url).await.refused(403, "forbidden");
        }
    }
    let mut own = world.stream_by(&token, "/api/sessions/a/events?after=0").await;
    assert_eq!(seqs(&own.events(1).await), [1]);
}

#[tokio::test]
async fn who_was_granted_nothing_to_read_reads_nothing() {
    let (world, _) = world().await;
    for scopes in [
        &["publish"][..],
        &["agent:a"],
        &["control:session:a"],
        &["publish:session:a"],
    ] {
        let token = world.token(scopes).await;
        for url in [
            "/api/events",
            "/api/events/history",
            "/api/events/history?q=needle",
            "/api/sessions",
            "/api/sessions/a",
            "/api/sessions/a/events",
            "/api/sessions/a/turns",
            "/api/sessions/a/tool-calls",
            "/api/state",
        ] {
            world.get_by(&token, url).await.refused(403, "forbidden");
        }
    }
}

#[tokio::test]
async fn a_publisher_of_one_session_publishes_to_no_other() {
    let (world, reader) = world().await;
    let (publisher, head) = (world.token(&["publish:session:a"]).await, world.head_seq().await);
    let post = async |token: &str, media_type: &str, body: String| {
        world
            .ask(world.request_by(token, "POST", "/api/events", media_type, body))
            .await
    };
    let mixed = json!([note("a", "fine"), note("b", "not mine")]);
    for body in [note("b", "x"), json!({"type": "note"}), mixed] {
        post(&publisher, "application/json", body.to_string())
            .await
            .refused_field(403, "forbidden", "session_id");
    }
    post(&reader, "application/json", note("a", "x").to_string())
        .await
        .refused(403, "forbidden");
    assert_eq!(world.head_seq().await, head, "nothing was written");
    post(&publisher, "application/json", note("a", "x").to_string())
        .await
        .ok();
}
