//! What people do to a session (L11–L13): a title, its end, a copy.

use serde_json::{Value, json};

use crate::world::{Reply, World, note, notes};

async fn change(world: &World, by: &str, method: &str, session: &str, body: Value) -> Reply {
    let url = format!("/api/sessions/{session}");
    world
        .ask(world.request_by(by, method, &url, "application/json", body.to_string()))
        .await
}

async fn rename(world: &World, session: &str, title: &str) -> Reply {
    change(world, &world.admin, "PATCH", session, json!({"title": title})).await
}

async fn erase(world: &World, session: &str) -> Reply {
    change(world, &world.admin, "DELETE", session, json!({})).await
}

fn of(kind: &str, data: Value) -> Value {
    let mut event = json!({"type": kind, "session_id": "s", "turn_id": "t"});
    event["data"] = data;
    event
}

#[tokio::test]
async fn a_title_is_an_event_and_stays() {
    let mut world = World::start().await;
    world
        .publish(&of("turn_start", json!({"from": "user", "body": "the prompt"})))
        .await;
    let mut stream = world.stream("/api/sessions/s/events").await;
    stream.control("hello").await;
    let renamed = rename(&world, "s", "  The title ").await.ok();
    assert_eq!((&renamed["title"], &renamed["id"]), (&json!("The title"), &json!("s")));
    let event = stream.event().await;
    assert_eq!(
        (&event["type"], &event["source"]),
        (&json!("session_renamed"), &json!("turnwire"))
    );
    assert_eq!(event["data"], json!({"title": "The title", "by": "test"}));
    world
        .publish(&of("message", json!({"role": "user", "content": "another prompt"})))
        .await;
    for again in [false, true] {
        if again {
            world.restart_without_views().await;
        }
        assert_eq!(world.get("/api/sessions/s").await.ok()["title"], "The title");
        let found = world.history("q=title").await;
        assert_eq!(found["events"].as_array().unwrap().len(), 1);
    }
    let second = rename(&world, "s", "Another").await.ok();
    assert_eq!(second["title"], "Another");
}

#[tokio::test]
async fn a_title_is_no_sign_of_life() {
    let world = World::start().await;
    let stalls = json!({"type": "turn_state_changed", "session_id": "s", "data": {"state": "stalled"}});
    world
        .publish(&json!([of("turn_start", json!({"from": "user", "body": "x"})), stalls]))
        .await;
    assert_eq!(rename(&world, "s", "Still").await.ok()["state"], "stalled");
}

#[tokio::test]
async fn a_title_is_given_by_those_who_may_read_and_control_the_session() {
    let world = World::start().await;
    world.publish(&json!([note("s", "x"), note("other", "x")])).await;
    let token = world.token(&["read:session:s", "control:session:s"]).await;
    let title = json!({"title": "T"});
    change(&world, &token, "PATCH", "s", title.clone()).await.ok();
    change(&world, &token, "PATCH", "other", title.clone())
        .await
        .refused(403, "forbidden");
    change(&world, &token, "PATCH", "nothing", title.clone())
        .await
        .refused(403, "forbidden");
    let token = world.token(&["read", "publish"]).await;
    change(&world, &token, "PATCH", "s", title.clone())
        .await
        .refused(403, "forbidden");
    change(&world, &world.admin, "PATCH", "nothing", title)
        .await
        .refused_field(404, "not_found", "id");
    let long = "x".repeat(161);
    for wrong in ["", "  ", "a\u{1b}[31m", &long] {
        let details = rename(&world, "s", wrong)
            .await
            .refused_field(400, "bad_request", "title");
        assert_eq!(details["limit"], 160);
    }
    change(&world, &world.admin, "PATCH", "s", json!({"name": "T"}))
        .await
        .refused(400, "bad_request");
    // The kind is the server's.
    let forged = json!({"type": "session_renamed", "session_id": "s", "data": {"title": "forged"}});
    let reply = world.post("application/json", forged.to_string()).await;
    reply.refused_field(400, "bad_request", "type");
}

#[tokio::test]
async fn a_session_that_is_erased_is_gone_from_every_path_and_its_links_with_it() {
    let mut world = World::start().await;
    let graded = json!({"type": "grader_result", "session_id": "s", "data": {"grader": "g", "passed": true}});
    let used = json!({"type": "usage", "session_id": "s", "data": {"input_tokens": 1}});
    world
        .publish(&json!([note("s", "secret words"), graded, note("other", "x"), used]))
        .await;
    let link = world.request("POST", "/api/sessions/s/share", "application/json", "{}");
    let link = world.ask(link).await.ok();
    let secret = link["url"]
        .as_str()
        .unwrap()
        .split_once("#share=")
        .unwrap()
        .1
        .to_owned();
    let mut watching = world
        .stream("/api/sessions/s/events?after=0&type=history_trimmed")
        .await;
    assert_eq!(erase(&world, "s").await.ok(), json!({"id": "s", "events": 3}));
    let tombstone = watching.event().await;
    assert_eq!(tombstone["data"], json!({"what": "session", "before": 5, "count": 3}));
    world.get_by(&secret, "/api/sessions/s").await.refused(410, "gone");
    for again in [false, true] {
        if again {
            world.restart_without_views().await;
        }
        for path in [
            "sessions/s",
            "sessions/s/turns",
            "sessions/s/tool-calls",
            "sessions/s/export",
            "runs/s",
        ] {
            world.get(&format!("/api/{path}")).await.refused(404, "not_found");
        }
        assert_eq!(world.get("/api/usage").await.ok()["totals"]["input_tokens"], 0);
        assert_eq!(world.history("q=secret").await["events"], json!([]));
        let kinds: Vec<_> = world.all().await.iter().map(|event| event["type"].clone()).collect();
        assert_eq!(kinds, ["note", "history_trimmed"]);
    }
    erase(&world, "s").await.refused_field(404, "not_found", "id");
}

#[tokio::test]
async fn a_session_with_something_open_is_not_erased_and_nobody_but_an_administrator_erases() {
    let world = World::start().await;
    world
        .publish(&of("turn_start", json!({"from": "user", "body": "x"})))
        .await;
    erase(&world, "s").await.refused_field(409, "conflict", "id");
    world.publish(&of("turn_end", json!({"ok": true}))).await;
    for scopes in [
        &["read", "control", "publish"][..],
        &["read:session:s", "control:session:s"],
    ] {
        let token = world.token(scopes).await;
        change(&world, &token, "DELETE", "s", json!({}))
            .await
            .refused(403, "forbidden");
    }
    assert_eq!(erase(&world, "s").await.ok()["events"], 2);
}

#[tokio::test]
async fn an_export_has_every_event_of_its_session_as_it_is_read() {
    let world = World::start().await;
    let mut events: Vec<Value> = Vec::new();
    for _ in 0..3 {
        events.extend(notes("s", 1000).as_array().unwrap().clone());
        // More than one page.
        events.push(note("s", &"long ".repeat(60_000)));
        events.push(note("other", "not this"));
        events.push(json!({"type": "text_delta", "session_id": "s", "data": {"content": "d"}, "raw": {"line": 1}}));
    }
    for piece in events.chunks(900) {
        world.publish(&json!(piece)).await;
    }
    let lines = async |query: &str| {
        let reply = world.get(&format!("/api/sessions/s/export?{query}")).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.headers["content-type"], "application/x-ndjson");
        assert_eq!(
            reply.headers["content-disposition"],
            "attachment; filename=\"session-s.ndjson\""
        );
        let text = reply.text();
        assert!(text.ends_with('\n'));
        text.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .collect::<Vec<_>>()
    };
    let mut own = world.all().await;
    own.retain(|event| event["session_id"] == "s");
    assert_eq!(own.len(), 3006);
    assert_eq!(lines("").await, own);
    let raw = lines("raw=true").await;
    assert_eq!(raw.iter().filter(|event| event["raw"]["line"] == 1).count(), 3);
    assert_eq!(lines("deltas=false").await.len(), 3003);
    let token = world.token(&["read:session:other"]).await;
    world
        .get_by(&token, "/api/sessions/s/export")
        .await
        .refused(403, "forbidden");
    world
        .get("/api/sessions/nothing/export")
        .await
        .refused_field(404, "not_found", "id");
    world
        .get("/api/sessions/s/export?after=1")
        .await
        .refused_field(400, "bad_request", "after");
}
