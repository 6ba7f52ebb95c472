//! What a socket takes, how it answers what it does not, and when it ends.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::SinkExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    played::Played,
    tab::Tab,
    world::{World, within},
};

#[tokio::test]
async fn a_frame_that_is_wrong_is_told_and_the_socket_stays() {
    let world = World::start().await;
    let mut tab = Tab::of(&world, "s").await;
    for (text, code, field) in [
        ("", "bad_request", "body"),
        ("{", "bad_request", "body"),
        ("[]", "bad_request", "type"),
        ("{}", "bad_request", "type"),
        (r#"{"type":7}"#, "bad_request", "type"),
        (r#"{"type":"dance"}"#, "bad_request", "type"),
        (r#"{"type":"message"}"#, "bad_request", "content"),
        (r#"{"type":"message","content":""}"#, "bad_request", "content"),
        (r#"{"type":"message","content":"a","more":1}"#, "bad_request", "more"),
        (
            r#"{"type":"message","content":"a","session_id":"other"}"#,
            "bad_request",
            "session_id",
        ),
        (
            r#"{"type":"message","content":"a","agent":"nobody"}"#,
            "not_found",
            "agent",
        ),
        (r#"{"type":"command","action":"dance"}"#, "bad_request", "action"),
        (r#"{"type":"resume"}"#, "bad_request", "after"),
        (r#"{"type":"resume","after":-1}"#, "bad_request", "after"),
        (
            r#"{"type":"approval_response","approval_id":"x","decision":"perhaps"}"#,
            "bad_request",
            "decision",
        ),
    ] {
        tab.send_text(text).await;
        let error = tab.frame().await;
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!("error"), &json!(code)),
            "{text}: {error}"
        );
        assert_eq!(error["details"]["field"], field, "{text}: {error}");
        assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()));
    }
    within("room", tab.ws.send(Message::binary(vec![0, 255])))
        .await
        .unwrap();
    assert_eq!(tab.frame().await["details"]["field"], "body");
    let id = "0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10";
    tab.send(&json!({"type": "message", "content": "", "id": id})).await;
    let error = tab.frame().await;
    assert_eq!((&error["of"], &error["id"]), (&json!("message"), &json!(id)));
    tab.send(&json!({"type": "ping"})).await;
    assert_eq!(tab.frame().await["type"], "pong");
    assert_eq!(world.told("command").await.len(), 0);
}

#[tokio::test]
async fn a_text_has_its_limit_on_both_ways() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let mut tab = Tab::of(&world, "s").await;
    let most = "\"".repeat(64 * 1024);
    tab.send(&json!({"type": "message", "content": most})).await;
    tab.one("accepted").await;
    assert_eq!(agent.take(&world).await["args"]["content"], most);
    // One byte more, and one that as JSON is more than a line of the downlink takes.
    for (text, limit) in [
        ("x".repeat(64 * 1024 + 1), 64 * 1024),
        ("\u{1}".repeat(64 * 1024), 192 * 1024 - 2048),
    ] {
        let details = world
            .chat(&json!({"content": text}))
            .await
            .refused_field(413, "too_large", "content");
        assert_eq!(details["limit"], limit);
        tab.send(&json!({"type": "message", "content": text})).await;
        let error = tab.one("error").await;
        assert_eq!(
            (&error["code"], &error["details"]["limit"]),
            (&json!("too_large"), &json!(limit))
        );
    }
    // A text of any characters escaped in any way still fits a frame; more is no chat.
    let escaped = format!(r#"{{"type":"message","content":"{}"}}"#, "\\u0061".repeat(64 * 1024));
    tab.send_text(escaped).await;
    tab.one("accepted").await;
    tab.send_text(format!(r#"{{"type":"ping","x":"{}"}}"#, "x".repeat(450 * 1024)))
        .await;
    assert_eq!(tab.end().await, Some((1009, "too_large".to_owned())));
    let mut tab = Tab::of(&world, "s").await;
    let huge = Message::text("x".repeat(2 * 1024 * 1024));
    let _ = within("room", tab.ws.send(huge)).await;
    assert!(matches!(tab.end().await, None | Some((1009, _))));
}

#[tokio::test]
async fn a_silent_peer_is_pinged_and_then_cut() {
    let world = World::with(|config| {
        config.limits.socket_ping = Duration::from_millis(20);
        config.limits.socket_silence = Duration::from_millis(200);
    })
    .await;
    // A client that reads, and never answers.
    let mut wire = world.wire().await;
    let head = world.head("GET", "/api/chat/stream?session_id=s");
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    wire.send(format!(
        "{head}{upgrade}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ))
    .await;
    assert_eq!(wire.reply_head().await.unwrap().status, 101);
    let bytes = wire.rest().await;
    assert!(memchr::memmem::find(&bytes, b"\x89\x00").is_some(), "it was pinged");
    assert!(
        bytes.ends_with(b"\x88\x08\x11\x38silent"),
        "and closed with 4408: {bytes:?}"
    );
    world.metric("turnwire_chat_sockets_open 0").await;
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_cut_and_loses_nothing() {
    let world = World::with(|config| config.limits.write_deadline = Duration::from_millis(100)).await;
    let mut tab = Tab::of(&world, "s").await;
    let big = "x".repeat(63 * 1024);
    // Its socket and the server's take some megabytes; then the server waits, and cuts.
    let notes: Vec<_> = (0..64)
        .map(|n| crate::world::note("s", &format!("{n} {big}")))
        .collect();
    for _ in 0..8 {
        world.publish(&json!(notes)).await;
    }
    world
        .metric("turnwire_streams_ended_total{reason=\"slow_reader\"} 1")
        .await;
    let mut had = 0;
    while let Ok(frame) = tab.next().await {
        had += usize::from(frame["type"] == "note");
    }
    let mut again = Tab::open(&world, &format!("?session_id=s&after={}", tab.cursor)).await;
    for _ in had..64 * 8 {
        again.one("note").await;
    }
}

#[tokio::test]
async fn a_socket_ends_with_its_token() {
    let world = World::start().await;
    let (id, token) = world.token_until(&["read", "control"], None).await;
    let mut tab = Tab::open_by(&world, &token, "?session_id=s").await;
    tab.one("hello").await;
    world.server().auth().revoke(&id).await.unwrap();
    assert_eq!(tab.end().await, Some((4401, "token_revoked".to_owned())));
}

#[tokio::test]
async fn a_session_is_chatted_in_by_who_may_read_and_control_it() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    for scopes in [
        &["read"][..],
        &["control"],
        &["read:session:s"],
        &["publish"],
        &["agent:a"],
    ] {
        let token = world.token(scopes).await;
        let url = "/api/chat/stream?session_id=s";
        let bearer = format!("Bearer {token}");
        let Err((status, body)) = Tab::try_open(&world, url, &[("authorization", &bearer)]).await else {
            panic!("{scopes:?} opened it");
        };
        assert_eq!(
            (status.as_u16(), &body["error"]["details"]["needs"]),
            (403, &json!("read and control"))
        );
    }
    let one = world.token(&["read:session:s", "control:session:s"]).await;
    let half = world.token(&["read", "control:session:s"]).await;
    for token in [&one, &half] {
        let bearer = format!("Bearer {token}");
        let refused = Tab::try_open(
            &world,
            "/api/chat/stream?session_id=other",
            &[("authorization", &bearer)],
        )
        .await;
        let (status, body) = refused.err().unwrap();
        assert_eq!(
            (status.as_u16(), &body["error"]["details"]["field"]),
            (403, &json!("session_id"))
        );
        let mut tab = Tab::open_by(&world, token, "").await;
        for frame in [
            json!({"type": "message", "content": "x", "session_id": "other"}),
            json!({"type": "message", "content": "x"}),
            json!({"type": "resume", "after": 0, "session_id": "other"}),
            json!({"type": "command", "action": "cancel", "session_id": "other"}),
        ] {
            tab.send(&frame).await;
            let error = tab.frame().await;
            assert_eq!(
                (&error["code"], &error["details"]["field"]),
                (&json!("forbidden"), &json!("session_id")),
                "{error}"
            );
        }
        tab.send(&json!({"type": "message", "content": "x", "session_id": "s"}))
            .await;
        agent.turn(&world, "yes").await;
        assert_eq!(tab.one("done").await["reply"], "yes");
    }
}

/// What the process logs.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_text_is_ever_logged() {
    let logged = Logged::default();
    let writer = logged.clone();
    let log = tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::TRACE);
    log.with_writer(move || writer.clone()).try_init().unwrap();
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let mut tab = Tab::of(&world, "s").await;
    tab.send(&json!({"type": "message", "content": "my password is hunter2"}))
        .await;
    agent.turn(&world, "hunter2 is no good").await;
    tab.one("done").await;
    let body = json!({"content": "hunter2 once more", "session_id": "s"});
    tokio::join!(world.chat(&body), agent.turn(&world, "hunter2, I know"))
        .0
        .ok();
    tab.send_text(r#"{"type":"message","content":"hunter2","hunter2":1}"#)
        .await;
    tab.one("error").await;
    let own = |text: &str| {
        text.lines()
            .filter(|line| line.contains("turnwire"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let text = String::from_utf8_lossy(&logged.0.lock().unwrap()).into_owned();
    let told: Vec<_> = own(&text).into_iter().filter(|line| line.contains("hunter2")).collect();
    assert!(told.is_empty(), "{told:#?}");
    // Nor at the level that people run it with by whatever it is made of.
    let loud = |line: &&str| ["INFO", "WARN", "ERROR"].iter().any(|level| line.contains(level));
    assert!(
        !text.lines().filter(loud).any(|line| line.contains("hunter2")),
        "{text}"
    );
}
