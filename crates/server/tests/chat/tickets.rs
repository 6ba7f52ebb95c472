//! How a page's socket proves who it is.

use serde_json::{Value, json};

use crate::{tab::Tab, world::World};

async fn ticket(world: &World, token: &str, body: &Value) -> Value {
    world.send_by(token, "POST", "/api/chat/ticket", body).await.ok()
}

async fn refused(world: &World, url: &str, headers: &[(&'static str, &str)]) -> (u16, Value) {
    let (status, body) = Tab::try_open(world, url, headers).await.err().expect("it opened");
    (status.as_u16(), body["error"].clone())
}

#[tokio::test]
async fn a_ticket_opens_one_socket_and_only_one_also_of_many_at_once() {
    let world = World::start().await;
    let made = ticket(&world, &world.admin, &json!({"session_id": "a session & more"})).await;
    let url = made["url"].as_str().unwrap();
    assert!(
        url.starts_with("/api/chat/stream?session_id=a+session") && url.contains(made["ticket"].as_str().unwrap()),
        "{url}"
    );
    let tries = futures_util::future::join_all((0..8).map(|_| Tab::try_open(&world, url, &[]))).await;
    let (opened, refused): (Vec<_>, Vec<_>) = tries.into_iter().partition(Result::is_ok);
    assert_eq!((opened.len(), refused.len()), (1, 7));
    for why in refused {
        let (status, body) = why.err().unwrap();
        assert_eq!((status.as_u16(), &body["error"]["code"]), (401, &json!("unauthorized")));
    }
    let mut tab = opened.into_iter().next().unwrap().ok().unwrap();
    assert_eq!(tab.frame().await["session_id"], "a session & more");
}

#[tokio::test]
async fn a_ticket_is_of_one_session_one_place_and_one_address() {
    let world = World::start().await;
    let made = ticket(&world, &world.admin, &json!({"session_id": "s", "after": 0})).await;
    let secret = made["ticket"].as_str().unwrap();
    for url in [
        format!("/api/chat/stream?ticket={secret}"),
        format!("/api/chat/stream?session_id=other&after=0&ticket={secret}"),
        format!("/api/chat/stream?session_id=s&after=7&ticket={secret}"),
    ] {
        let (status, error) = refused(&world, &url, &[]).await;
        assert_eq!(
            (status, &error["code"]),
            (401, &json!("unauthorized")),
            "{url}: {error}"
        );
    }
    let elsewhere = world
        .ask(format!(
            "GET /api/sessions?ticket={secret} HTTP/1.1\r\nHost: {}\r\n\r\n",
            world.at
        ))
        .await;
    assert_eq!(elsewhere.status, 401);
    assert!(
        Tab::try_open(&world, made["url"].as_str().unwrap(), &[]).await.is_ok(),
        "the tries have not used it up"
    );
}

#[tokio::test]
async fn a_ticket_is_for_whom_it_was_made_and_ends_with_their_token() {
    let world = World::start().await;
    let (id, token) = world.token_until(&["read:session:s", "control:session:s"], None).await;
    let own = json!({"session_id": "s"});
    world
        .send_by(&token, "POST", "/api/chat/ticket", &json!({"session_id": "other"}))
        .await
        .refused_field(403, "forbidden", "session_id");
    let reader = world.token(&["read"]).await;
    world
        .send_by(&reader, "POST", "/api/chat/ticket", &own)
        .await
        .refused(403, "forbidden");
    let [first, second] = [ticket(&world, &token, &own).await, ticket(&world, &token, &own).await];
    let mut tab = Tab::try_open(&world, first["url"].as_str().unwrap(), &[])
        .await
        .ok()
        .unwrap();
    tab.one("hello").await;
    // What it does is done as whom it was made for.
    tab.send(&json!({"type": "message", "content": "x", "session_id": "other"}))
        .await;
    assert_eq!(tab.one("error").await["details"]["field"], "session_id");
    world.server().auth().revoke(&id).await.unwrap();
    assert_eq!(tab.end().await, Some((4401, "token_revoked".to_owned())));
    let (status, _) = refused(&world, second["url"].as_str().unwrap(), &[]).await;
    assert_eq!(status, 410);
}

#[tokio::test]
async fn a_foreign_page_and_a_token_in_the_url_are_refused() {
    let world = World::start().await;
    let bearer = format!("Bearer {}", world.admin);
    let own = format!("http://{}", world.at);
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        let (status, error) = refused(
            &world,
            "/api/chat/stream",
            &[("authorization", &bearer), ("origin", origin)],
        )
        .await;
        assert_eq!(
            (status, &error["details"]["field"]),
            (403, &json!("origin")),
            "{origin}"
        );
    }
    assert!(
        Tab::try_open(
            &world,
            "/api/chat/stream",
            &[("authorization", &bearer), ("origin", &own)]
        )
        .await
        .is_ok()
    );
    for name in ["token", "access_token", "ticket", "session_id"] {
        let (status, error) = refused(&world, &format!("/api/chat/stream?{name}={}", world.admin), &[]).await;
        assert_eq!((status, &error["code"]), (400, &json!("bad_request")), "{name}");
    }
    let (status, _) = refused(&world, "/api/chat/stream", &[]).await;
    assert_eq!(status, 401);
    let plain = world.get("/api/chat/stream").await;
    plain.refused_field(400, "bad_request", "upgrade");
    let without = world.get("/api/chat/stream?after=1").await;
    without.refused_field(400, "bad_request", "upgrade");
}

#[tokio::test]
async fn a_cookie_opens_a_socket_for_this_servers_own_page_alone() {
    let world = World::start().await;
    let code = world
        .send_by(&world.admin, "POST", "/api/pairing-codes", &json!({}))
        .await
        .ok();
    let pair = json!({"code": code["code"]}).to_string();
    let head = format!(
        "POST /api/pair HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n",
        world.at
    );
    let reply = world
        .ask(format!("{head}Content-Length: {}\r\n\r\n{pair}", pair.len()))
        .await;
    let cookie = reply.headers["set-cookie"].split(';').next().unwrap().to_owned();
    let own = format!("http://{}", world.at);
    assert!(
        Tab::try_open(&world, "/api/chat/stream", &[("cookie", &cookie), ("origin", &own)])
            .await
            .is_ok()
    );
    for origin in [None, Some("http://evil.example")] {
        let mut headers = vec![("cookie", cookie.as_str())];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let (status, error) = refused(&world, "/api/chat/stream", &headers).await;
        assert_eq!(
            (status, &error["details"]["field"]),
            (403, &json!("origin")),
            "{origin:?}"
        );
    }
}
