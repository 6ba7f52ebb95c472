//! Who gets in, over real connections: pairing, tokens, tickets, and the guard against foreign pages.

#![expect(clippy::unwrap_used, reason = "a promise that is not kept ends its test")]

mod server;

use std::time::Duration;

use serde_json::json;
use turnwire_proto::{Epoch, Scope, Scopes, Timestamp, path};
use turnwire_server::auth::{Auth, FIRST_USE, LOCKED_OUT, RECONNECT, TRIES, local};

use server::{Client, Server};

#[tokio::test]
async fn a_browser_pairs_by_a_code_and_only_its_cookie_has_the_token() {
    let server = Server::start().await;
    let body = json!({ "code": server.code(&["admin"]).await });
    let reply = server
        .post(path::PAIR)
        .header("Origin", &server.origin())
        .header(
            "User-Agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        )
        .json(&body)
        .await;
    let paired = reply.ok();
    assert_eq!(paired["name"], "Firefox on Linux");
    assert_eq!(paired["scopes"], json!(["admin"]));
    assert!(!reply.text.contains("tw_"), "{}", reply.text);
    let set = &reply.headers["set-cookie"];
    let flags: Vec<_> = set.split("; ").skip(1).collect();
    assert_eq!(flags, ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=34560000"]);
    assert_eq!(reply.headers["cache-control"], "no-store");

    let me = server.get(path::ME).header("Cookie", reply.cookie()).send().await.ok();
    assert_eq!((&me["name"], &me["id"]), (&paired["name"], &paired["id"]));

    let signed_out = server
        .post(path::SIGN_OUT)
        .header("Origin", &server.origin())
        .header("Cookie", reply.cookie())
        .send()
        .await;
    signed_out.ok();
    assert!(signed_out.headers["set-cookie"].starts_with("turnwire_session=;"));
    assert!(signed_out.headers["set-cookie"].contains("Max-Age=0"));
    let again = server.get(path::ME).header("Cookie", reply.cookie()).send().await;
    assert_eq!(again.refused(410, "gone")["reason"], "token_revoked");
}

#[tokio::test]
async fn a_cookie_is_for_https_alone_when_the_page_came_by_https() {
    let server = Server::start().await;
    for (name, value) in [
        ("Origin", format!("https://{}", server.at)),
        ("X-Forwarded-Proto", "https".to_owned()),
    ] {
        let body = json!({ "code": server.code(&["read"]).await });
        let reply = server.post(path::PAIR).header(name, &value).json(&body).await;
        reply.ok();
        assert!(reply.headers["set-cookie"].ends_with("; Secure"));
    }
}

#[tokio::test]
async fn a_code_serves_once() {
    let server = Server::start().await;
    let body = json!({ "code": server.code(&["read"]).await, "want": "token", "name": "laptop" });
    let first = server.post(path::PAIR).json(&body).await;
    assert!(
        !first.headers.contains_key("set-cookie"),
        "a program has no use for one"
    );
    assert_eq!(first.ok()["name"], "laptop");
    assert!(first.ok()["token"].as_str().unwrap().starts_with("tw_"));
    let details = server.post(path::PAIR).json(&body).await.refused(401, "unauthorized");
    assert_eq!(details, json!({ "field": "code", "tries_left": 4 }));
}

#[tokio::test]
async fn a_code_that_is_too_old_serves_nobody() {
    let server = Server::start().await;
    let scopes = Scopes(vec![Scope::Admin]);
    let code = server
        .auth
        .new_pairing_code(None, scopes, Duration::ZERO)
        .await
        .unwrap();
    let reply = server.post(path::PAIR).json(&json!({ "code": code.code() })).await;
    reply.refused(401, "unauthorized");
}

#[tokio::test]
async fn five_wrong_codes_close_pairing_for_five_minutes_and_then_it_opens_again() {
    let server = Server::start().await;
    let right = json!({ "code": server.code(&["read"]).await });
    let wrong = json!({ "code": "0000-0000" });
    tokio::time::pause();
    for left in (0..TRIES).rev() {
        let details = server.post(path::PAIR).json(&wrong).await.refused(401, "unauthorized");
        assert_eq!(details["tries_left"], left);
    }
    let closed = server.post(path::PAIR).json(&right).await;
    closed.refused(429, "locked_out");
    assert_eq!(closed.headers["retry-after"], "300");
    tokio::time::advance(LOCKED_OUT - Duration::from_secs(1)).await;
    let closed = server.post(path::PAIR).json(&right).await;
    closed.refused(429, "locked_out");
    assert_eq!(closed.headers["retry-after"], "1");
    tokio::time::advance(Duration::from_secs(1)).await;
    server.post(path::PAIR).json(&right).await.ok();
    assert_eq!(server.auth.stats().locked_out, 2);
}

#[tokio::test]
async fn an_administrator_makes_a_code_for_another_device() {
    let server = Server::start().await;
    let admin = server.token(&["admin"]).await;
    let body = json!({ "name": "phone", "scopes": ["read"], "ttl_secs": 60 });
    let made = admin.post(path::PAIRING_CODES).json(&body).await.ok();
    let code = made["code"].as_str().unwrap();
    assert_eq!(made["url"], format!("http://{}/#pair={code}", server.at));
    assert!(made["expires"].as_str().unwrap().parse::<Timestamp>().unwrap() > Timestamp::now());
    let paired = server.post(path::PAIR).json(&json!({ "code": code })).await.ok();
    assert_eq!(
        (&paired["name"], &paired["scopes"]),
        (&json!("phone"), &json!(["read"]))
    );

    let same = admin.post(path::PAIRING_CODES).send().await.ok();
    let paired = server
        .post(path::PAIR)
        .json(&json!({ "code": same["code"] }))
        .await
        .ok();
    assert_eq!(paired["scopes"], json!(["admin"]), "without a body: the same once more");

    for (body, field) in [
        (json!({ "ttl_secs": 0 }), "ttl_secs"),
        (json!({ "ttl_secs": 1_000_000 }), "ttl_secs"),
        (json!({ "scopes": [] }), "scopes"),
        (json!({ "scopes": ["all"] }), "scopes[0]"),
        (json!({ "name": "" }), "name"),
        (json!({ "nmae": "x" }), "nmae"),
    ] {
        let details = admin
            .post(path::PAIRING_CODES)
            .json(&body)
            .await
            .refused(400, "bad_request");
        assert_eq!(details["field"], field);
    }
    let reader = server.token(&["read"]).await;
    let details = reader.post(path::PAIRING_CODES).send().await.refused(403, "forbidden");
    assert_eq!(details["needs"], "admin");
}

#[tokio::test]
async fn a_token_is_made_listed_used_and_revoked() {
    let server = Server::start().await;
    let admin = server.token(&["admin"]).await;
    let expires = Timestamp::from_millis(Timestamp::now().millis() + 3_600_000).unwrap();
    let body = json!({ "name": "ci", "scopes": ["publish", "read:session:s"], "expires": expires });
    let made = admin.post(path::TOKENS).json(&body).await.ok();
    let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    assert_eq!((&made["scopes"], &made["expires"]), (&body["scopes"], &body["expires"]));
    let bearer = format!("Bearer {token}");
    let used = || server.post(path::EVENTS).header("Authorization", &bearer).send();
    assert_eq!(used().await.who(), id);

    let reply = admin.get(path::TOKENS).send().await;
    assert!(
        !reply.text.contains("tw_") && !reply.text.contains(&token[3..]),
        "{}",
        reply.text
    );
    let list = reply.ok();
    let listed = |id: &str| {
        let tokens = list["tokens"].as_array().unwrap();
        tokens.iter().find(|token| token["id"] == id).unwrap()
    };
    assert_eq!(list["tokens"].as_array().unwrap().len(), 2);
    assert_eq!(listed(&admin.id)["current"], true);
    for (field, want) in [
        ("name", json!("ci")),
        ("current", json!(false)),
        ("kind", json!("token")),
        ("scopes", body["scopes"].clone()),
        ("expires", body["expires"].clone()),
        ("created", made["created"].clone()),
    ] {
        assert_eq!(listed(id)[field], want);
    }
    assert!(listed(id)["last_used"].is_string());

    let revoke = || admin.request("DELETE", &format!("/api/tokens/{id}")).send();
    revoke().await.ok();
    let details = used().await.refused(410, "gone");
    assert_eq!(details["reason"], "token_revoked", "at once");
    revoke().await.refused(410, "gone");
    admin
        .request("DELETE", "/api/tokens/none")
        .send()
        .await
        .refused(404, "not_found");
    assert_eq!(
        admin.get(path::TOKENS).send().await.ok()["tokens"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn only_an_administrator_says_who_may_do_what_but_everybody_ends_their_own_token() {
    let server = Server::start().await;
    let admin = server.token(&["admin"]).await;
    let reader = server.token(&["read", "publish", "control"]).await;
    let body = json!({ "name": "x", "scopes": ["read"] });
    reader.post(path::TOKENS).json(&body).await.refused(403, "forbidden");
    reader.get(path::TOKENS).send().await.refused(403, "forbidden");
    let url = format!("/api/tokens/{}", admin.id);
    reader.request("DELETE", &url).send().await.refused(403, "forbidden");
    let own = format!("/api/tokens/{}", reader.id);
    reader.request("DELETE", &own).send().await.ok();
    reader.get(path::ME).send().await.refused(410, "gone");
    server.get(path::TOKENS).send().await.refused(401, "unauthorized");
}

#[tokio::test]
async fn a_token_that_ends_gives_none_that_outlives_it() {
    let server = Server::start().await;
    let admin = server.token(&["admin"]).await;
    let at = |ms| Timestamp::from_millis(Timestamp::now().millis() + ms).unwrap();
    let end = at(3_600_000);
    let body = json!({ "name": "short", "scopes": ["admin"], "expires": end });
    let short = Client {
        server: &server,
        id: String::new(),
        token: admin.post(path::TOKENS).json(&body).await.ok()["token"]
            .as_str()
            .unwrap()
            .to_owned(),
    };
    let later = json!({ "name": "long", "scopes": ["read"], "expires": at(7_200_000) });
    let details = short.post(path::TOKENS).json(&later).await.refused(403, "forbidden");
    assert_eq!(details["field"], "expires");
    let silent = json!({ "name": "same", "scopes": ["read"] });
    assert_eq!(short.post(path::TOKENS).json(&silent).await.ok()["expires"], json!(end));
    let code = short.post(path::PAIRING_CODES).send().await.ok()["code"].clone();
    assert_eq!(
        server.post(path::PAIR).json(&json!({ "code": code })).await.ok()["expires"],
        json!(end)
    );
    let past = json!({ "name": "past", "scopes": ["read"], "expires": at(-1) });
    let details = admin.post(path::TOKENS).json(&past).await.refused(400, "bad_request");
    assert_eq!(details["field"], "expires");
}

#[tokio::test]
async fn everybody_is_told_who_they_are() {
    let server = Server::start().await;
    let reader = server.token(&["read:session:s"]).await;
    let me = reader.get(path::ME).send().await.ok();
    assert_eq!(me["scopes"], json!(["read:session:s"]));
    assert_eq!(me["version"], env!("CARGO_PKG_VERSION"));
    assert!(me["epoch"].as_str().unwrap().parse::<Epoch>().is_ok());
    let details = server.get(path::ME).send().await.refused(401, "unauthorized");
    assert_eq!(details["reason"], "missing");
    for bearer in ["Bearer tw_0", "Bearer ", "Basic eDp5", "tw_0"] {
        let reply = server.get(path::ME).header("Authorization", bearer).send().await;
        reply.refused(401, "unauthorized");
    }
}

#[tokio::test]
async fn a_streams_ticket_serves_its_own_resource_again_and_again() {
    let server = Server::start().await;
    let reader = server.token(&["read"]).await;
    let ticket = reader.ticket("/api/events?session_id=a%20b&after=5", "stream").await;
    let open = |query: &str| server.get(&format!("/api/events?{query}&ticket={ticket}")).send();
    tokio::time::pause();
    assert_eq!(open("session_id=a+b&after=5").await.who(), reader.id);
    tokio::time::advance(RECONNECT - Duration::from_secs(1)).await;
    open("session_id=a+b&after=5").await.ok();
    for elsewhere in [
        "session_id=a+b&after=6",
        "session_id=c&after=5",
        "after=5",
        "session_id=a+b&after=5&tail=1",
    ] {
        let details = open(elsewhere).await.refused(401, "unauthorized");
        assert_eq!(details["reason"], "ticket_elsewhere");
    }
    tokio::time::advance(RECONNECT).await;
    let details = open("session_id=a+b&after=5").await.refused(401, "unauthorized");
    assert_eq!(details["reason"], "ticket_unknown");
}

#[tokio::test]
async fn a_ticket_for_once_serves_once_within_half_a_minute() {
    let server = Server::start().await;
    let reader = server.token(&["read", "publish"]).await;
    let open = |ticket: String| server.get(&format!("/api/events?ticket={ticket}")).send();
    tokio::time::pause();
    let ticket = reader.ticket("/api/events", "once").await;
    open(ticket.clone()).await.ok();
    open(ticket).await.refused(401, "unauthorized");
    let late = reader.ticket("/api/events", "once").await;
    tokio::time::advance(FIRST_USE).await;
    open(late).await.refused(401, "unauthorized");
    let ticket = reader.ticket("/api/events", "once").await;
    let posted = server.post(&format!("/api/events?ticket={ticket}")).send().await;
    posted.refused(403, "forbidden");
    let url = format!("/api/me?ticket={}", reader.ticket("/api/me", "once").await);
    server.get(&url).send().await.refused(403, "forbidden");
}

#[tokio::test]
async fn a_ticket_ends_with_the_token_that_made_it() {
    let server = Server::start().await;
    let reader = server.token(&["read"]).await;
    let url = format!("/api/events?ticket={}", reader.ticket("/api/events", "stream").await);
    server.get(&url).send().await.ok();
    server.auth.revoke(&reader.id).await.unwrap();
    server.get(&url).send().await.refused(410, "gone");
}

#[tokio::test]
async fn a_ticket_is_made_for_a_path_and_nothing_else() {
    let server = Server::start().await;
    let reader = server.token(&["read"]).await;
    for (body, field) in [
        (json!({ "path": "api/events", "kind": "stream" }), "path"),
        (json!({ "path": "https://evil.example/", "kind": "stream" }), "path"),
        (json!({ "path": "/api/../secret", "kind": "stream" }), "path"),
        (
            json!({ "path": format!("/{}", "x".repeat(5000)), "kind": "stream" }),
            "path",
        ),
        (json!({ "path": "/api/events", "kind": "often" }), "kind"),
        (json!({ "path": "/api/events" }), "kind"),
        (json!({ "path": 5, "kind": "once" }), "path"),
    ] {
        let details = reader.post(path::TICKETS).json(&body).await.refused(400, "bad_request");
        assert_eq!(details["field"], field, "{body}");
    }
    let body = json!({ "path": "/api/events", "kind": "once" });
    server
        .post(path::TICKETS)
        .json(&body)
        .await
        .refused(401, "unauthorized");
}

#[tokio::test]
async fn a_token_in_a_url_is_refused_and_it_is_said_why() {
    let server = Server::start().await;
    let reader = server.token(&["read"]).await;
    for name in ["token", "access_token", "ticket"] {
        let url = format!("/api/events?{name}={}", reader.token);
        for reply in [server.get(&url).send().await, reader.get(&url).send().await] {
            let details = reply.refused(400, "bad_request");
            assert_eq!(
                (&details["field"], &details["reason"]),
                (&json!(name), &json!("token_in_url"))
            );
            assert!(!reply.text.contains(&reader.token[3..]), "it is not said again");
        }
    }
}

#[tokio::test]
async fn a_host_that_is_not_this_server_is_refused() {
    let server = Server::start().await;
    let reader = server.token(&["read"]).await;
    let port = server.at.port();
    for host in [
        format!("evil.example:{port}"),
        "evil.example".to_owned(),
        format!("127.0.0.1.evil.example:{port}"),
        format!("192.168.1.5:{port}"),
    ] {
        let details = reader
            .get(path::ME)
            .host(Some(&host))
            .send()
            .await
            .refused(403, "forbidden");
        assert_eq!(details["field"], "host");
    }
    // By a forwarded port, the name is the same.
    for host in [
        format!("localhost:{port}"),
        format!("[::1]:{port}"),
        format!("127.0.0.1:{}", port ^ 1),
        "localhost".to_owned(),
    ] {
        reader.get(path::ME).host(Some(&host)).send().await.ok();
    }
}

#[tokio::test]
async fn a_page_of_another_origin_gets_nowhere() {
    let server = Server::start().await;
    let body = json!({ "code": server.code(&["admin"]).await });
    let paired = server
        .post(path::PAIR)
        .header("Origin", &server.origin())
        .json(&body)
        .await;
    let cookie = paired.cookie();
    let ticket = json!({ "path": "/api/events", "kind": "once" });
    for origin in ["https://evil.example", "http://localhost:3000", "null"] {
        let posted = server
            .post(path::TICKETS)
            .header("Origin", origin)
            .header("Cookie", cookie);
        let details = posted.json(&ticket).await.refused(403, "forbidden");
        assert_eq!(details["field"], "origin");
        let socket = server
            .get(path::EVENTS)
            .header("Origin", origin)
            .header("Cookie", cookie)
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
        socket.send().await.refused(403, "forbidden");
        let stream = server
            .get(path::EVENTS)
            .header("Origin", origin)
            .header("Cookie", cookie);
        stream.send().await.refused(403, "forbidden");
    }
    let posted = server.post(path::TICKETS).header("Cookie", cookie);
    let details = posted
        .header("Sec-Fetch-Site", "cross-site")
        .json(&ticket)
        .await
        .refused(403, "forbidden");
    assert_eq!(details["field"], "sec-fetch-site");
    let bare = server.post(path::TICKETS).header("Cookie", cookie).json(&ticket).await;
    bare.refused(403, "forbidden");
    let own = server
        .post(path::TICKETS)
        .header("Cookie", cookie)
        .header("Origin", &server.origin());
    own.json(&ticket).await.ok();
    let own = server
        .post(path::TICKETS)
        .header("Cookie", cookie)
        .header("Sec-Fetch-Site", "same-origin");
    own.json(&ticket).await.ok();
}

#[tokio::test]
async fn a_bad_body_is_refused_with_its_field_and_limit() {
    let server = Server::start().await;
    let pair = || server.post(path::PAIR).header("Content-Type", "application/json");
    for (body, field) in [
        (&b""[..], "code"),
        (b"{", "body"),
        (b"[]", "body"),
        (b"{\"code\":1}", "code"),
        (b"{\"code\":\"x\",\"x\":1}", "x"),
        (b"{\"code\":\"x\",\"want\":\"all\"}", "want"),
        (b"{\"code\":\"x\",\"name\":\"a\\u0000b\"}", "name"),
        (b"{\"code\":\"\xff\"}", "body"),
        (b"{\"code\":\"x\"}{}", "body"),
    ] {
        let details = pair().body(body).send().await.refused(400, "bad_request");
        assert_eq!(details["field"], field, "{}", String::from_utf8_lossy(body));
    }
    let form = server
        .post(path::PAIR)
        .header("Content-Type", "application/x-www-form-urlencoded");
    form.body("code=x").send().await.refused(415, "bad_media_type");
    let large = format!("{{\"code\":\"{}\"}}", "x".repeat(70_000));
    let details = pair().body(large).send().await.refused(413, "too_large");
    assert_eq!((&details["field"], &details["limit"]), (&json!("body"), &json!(65_536)));
    let code = json!({ "code": server.code(&["read"]).await });
    server.post(path::PAIR).json(&code).await.ok();
}

#[tokio::test]
async fn the_local_token_lets_the_command_line_in() {
    let server = Server::start().await;
    let dir = tempfile::tempdir().unwrap();
    local::ensure(&server.auth, dir.path()).await.unwrap();
    let token = local::read(dir.path()).unwrap().unwrap();
    let bearer = format!("Bearer {}", token.expose());
    let me = server.get(path::ME).header("Authorization", &bearer).send().await.ok();
    assert_eq!((&me["name"], &me["scopes"]), (&json!("local"), &json!(["admin"])));
}

#[tokio::test]
async fn without_authentication_the_guard_still_stands() {
    let server = Server::with(Auth::disabled()).await;
    assert_eq!(server.get(path::ME).send().await.ok()["name"], "anonymous");
    server.post(path::EVENTS).send().await.ok();
    let body = json!({ "name": "x", "scopes": ["read"] });
    server.post(path::TOKENS).json(&body).await.refused(409, "conflict");
    let foreign = server.post(path::EVENTS).header("Origin", "https://evil.example");
    foreign.send().await.refused(403, "forbidden");
    let rebound = server.get(path::ME).host(Some("evil.example"));
    rebound.send().await.refused(403, "forbidden");
}
