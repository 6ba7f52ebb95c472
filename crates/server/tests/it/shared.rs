//! Share links (A26–A28): one session is read by them and nothing else, for a while.

use serde_json::{Value, json};
use turnwire_proto::Timestamp;

use crate::world::{Reply, World, note, texts};

const DAY: i64 = 24 * 3_600_000;

/// Two sessions, what is of none, what is public of another, an agent's word; the sessions have something open and something used.
async fn world() -> World {
    let world = World::start().await;
    let mut observed = note("b", "observed needle");
    observed["source"] = json!("observability");
    let of = |kind: &str, session: &str, data: Value| {
        let mut event = json!({"type": kind, "session_id": session, "agent": "builder"});
        event["data"] = data;
        event
    };
    let mut events = vec![
        note("a", "own needle"),
        json!({"type": "note", "data": {"text": "public needle"}}),
        observed,
    ];
    for session in ["a", "b"] {
        events.push(of("usage", session, json!({"input_tokens": 1, "cost_usd": 1.0})));
        events.push(of("task_start", session, json!({"task": "t", "total": 1})));
        events.push(of("turn_start", session, json!({"from": "user", "body": "needle"})));
        let asks = json!({"approval_id": format!("{session}-q"), "tool": "Bash"});
        events.push(of("approval_request", session, asks));
    }
    world.publish(&json!(events)).await;
    let agent = world.token(&["agent:builder"]).await;
    let report = json!({"capabilities": ["interrupt"], "sessions": []});
    let sync = world.request_by(
        &agent,
        "POST",
        "/api/agent/sync",
        "application/json",
        report.to_string(),
    );
    world.ask(sync).await.ok();
    world
}

async fn share(world: &World, by: &str, session: &str, body: Value) -> Reply {
    let url = format!("/api/sessions/{session}/share");
    world
        .ask(world.request_by(by, "POST", &url, "application/json", body.to_string()))
        .await
}

/// The secret of a link to session `a`.
async fn secret(world: &World) -> String {
    let made = share(world, &world.admin, "a", json!({})).await.ok();
    made["url"]
        .as_str()
        .unwrap()
        .split_once("#share=")
        .unwrap()
        .1
        .to_owned()
}

#[tokio::test]
async fn a_share_link_shows_its_session_and_nothing_else() {
    let world = world().await;
    let made = share(&world, &world.admin, "a", json!({})).await.ok();
    let (page, secret) = made["url"].as_str().unwrap().split_once("#share=").unwrap();
    assert_eq!(page, format!("http://{}/", world.at));
    let get = async |url: &str| world.get_by(secret, url).await;
    let me = get("/api/me").await.ok();
    assert_eq!(
        (&me["kind"], &me["scopes"]),
        (&json!("share"), &json!(["read:session:a"]))
    );

    let history = get("/api/events/history?limit=1000").await.ok();
    let events = history["events"].as_array().unwrap();
    assert!(events.iter().all(|event| event["session_id"] == "a"), "{history}");
    assert_eq!(events.len(), 5);
    let found = get("/api/events/history?q=needle&type=note").await.ok();
    assert_eq!(texts(found["events"].as_array().unwrap()), ["own needle"]);
    let list = get("/api/sessions").await.ok();
    assert_eq!(list["sessions"].as_array().unwrap().len(), 1);
    let state = get("/api/state").await.ok();
    for (list, count) in [("sessions", 1), ("turns", 1), ("approvals", 1), ("agents", 0)] {
        assert_eq!(state[list].as_array().unwrap().len(), count, "{list} {state}");
    }
    assert_eq!(
        world.get("/api/state").await.ok()["agents"].as_array().unwrap().len(),
        1
    );
    assert_eq!(get("/api/agents").await.ok()["agents"], json!([]));
    get("/api/agents/builder").await.refused(404, "not_found");
    assert_eq!(get("/api/usage").await.ok()["totals"]["cost_usd"], 1.0);
    assert_eq!(get("/api/runs").await.ok()["runs"].as_array().unwrap().len(), 1);
    for path in ["", "/turns", "/tool-calls", "/events?tail=1", "/export"] {
        get(&format!("/api/sessions/b{path}")).await.refused(403, "forbidden");
    }
    get("/api/runs/b").await.refused(403, "forbidden");

    // What is live is held to the same.
    let mut stream = world.stream_by(secret, "/api/events").await;
    stream.control("hello").await;
    world
        .publish(&json!([note("b", "theirs"), {"type": "note", "data": {"text": "public"}}, note("a", "shown")]))
        .await;
    assert_eq!(stream.event().await["data"]["text"], "shown");
}

#[tokio::test]
async fn a_share_link_changes_nothing() {
    let world = world().await;
    let secret = secret(&world).await;
    let id = world.get_by(&secret, "/api/me").await.ok()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    for (method, url, body) in [
        ("POST", "/api/events".to_owned(), note("a", "x")),
        ("PATCH", "/api/sessions/a".to_owned(), json!({"title": "x"})),
        ("DELETE", "/api/sessions/a".to_owned(), json!({})),
        ("POST", "/api/sessions/a/share".to_owned(), json!({})),
        (
            "POST",
            "/api/approvals/a-q/decision".to_owned(),
            json!({"decision": "approve"}),
        ),
        (
            "POST",
            "/api/commands".to_owned(),
            json!({"agent": "builder", "action": "hold"}),
        ),
        ("GET", "/api/tokens".to_owned(), json!({})),
        ("DELETE", format!("/api/tokens/{id}"), json!({})),
    ] {
        let request = world.request_by(&secret, method, &url, "application/json", body.to_string());
        world.ask(request).await.refused(403, "forbidden");
    }
    world.get_by(&secret, "/api/sessions/a").await.ok();
}

#[tokio::test]
async fn a_share_link_is_listed_with_the_tokens_and_ends_when_it_is_revoked() {
    let mut world = world().await;
    let made = share(&world, &world.admin, "a", json!({"label": "for Ada"})).await.ok();
    let secret = made["url"]
        .as_str()
        .unwrap()
        .split_once("#share=")
        .unwrap()
        .1
        .to_owned();
    world.restart().await;
    let tokens = world.get("/api/tokens").await.ok();
    let mut tokens = tokens["tokens"].as_array().unwrap().iter();
    let token = tokens.find(|token| token["id"] == made["token_id"]).unwrap();
    assert_eq!((&token["kind"], &token["name"]), (&json!("share"), &json!("for Ada")));
    assert_eq!(token["expires"], made["expires"]);
    // It is kept as what it is: after a restart it shows no more than before.
    let seen = world.get_by(&secret, "/api/events/history?limit=1000").await.ok();
    assert_eq!(seen["events"].as_array().unwrap().len(), 5);
    let url = format!("/api/tokens/{}", made["token_id"].as_str().unwrap());
    world
        .ask(world.request("DELETE", &url, "application/json", ""))
        .await
        .ok();
    world.get_by(&secret, "/api/sessions/a").await.refused(410, "gone");
}

#[tokio::test]
async fn a_share_link_expires_in_a_week_or_as_is_said_and_never_outlives_who_made_it() {
    let world = world().await;
    let now = Timestamp::now().millis();
    let lasts = |reply: Reply| {
        let expires: Timestamp = reply.ok()["expires"].as_str().unwrap().parse().unwrap();
        // To the hour, however long the test takes.
        (expires.millis() - now + DAY / 48) / (DAY / 24)
    };
    assert_eq!(lasts(share(&world, &world.admin, "a", json!({})).await), 7 * 24);
    assert_eq!(
        lasts(share(&world, &world.admin, "a", json!({"expires_in_ms": 30 * DAY})).await),
        30 * 24
    );
    for wrong in [0, -1, 30 * DAY + 1] {
        share(&world, &world.admin, "a", json!({"expires_in_ms": wrong}))
            .await
            .refused_field(400, "bad_request", "expires_in_ms");
    }
    let until = Timestamp::from_millis(now + DAY).unwrap();
    let (_, brief) = world.token_until(&["admin"], Some(until)).await;
    assert_eq!(lasts(share(&world, &brief, "a", json!({})).await), 24);
    share(&world, &brief, "a", json!({"expires_in_ms": 2 * DAY}))
        .await
        .refused(403, "forbidden");
    share(&world, &world.admin, "nothing", json!({}))
        .await
        .refused_field(404, "not_found", "id");
    for scopes in [&["read", "control"][..], &["read:session:a"]] {
        let token = world.token(scopes).await;
        let details = share(&world, &token, "a", json!({})).await.refused(403, "forbidden");
        assert_eq!(details["needs"], "admin");
    }
}
