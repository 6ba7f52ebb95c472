//! Secrets do not reach the disk, whichever way they came.

use std::path::Path;

use serde_json::{Value, json};
use turnwire_server::{Config, Server, config::OwnPattern};

use crate::world::{World, within};

/// A secret for each way in, so that a failure says which one it was.
fn secret(way: usize) -> String {
    format!("ghp_{way:02}a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7")
}

/// Whether a file under `dir` has these bytes, and which.
fn files_with(dir: &Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, bytes));
        } else {
            // What a database makes for a moment may be gone by now.
            let held = match std::fs::read(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                held => held.unwrap(),
            };
            if memchr::memmem::find(&held, bytes).is_some() {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

async fn send(world: &World, method: &str, path: &str, body: &Value) {
    let reply = world
        .ask(world.request(method, path, "application/json", body.to_string()))
        .await;
    assert!((200..300).contains(&reply.status), "{path}: {}", reply.text());
}

#[tokio::test]
async fn no_secret_reaches_the_disk_by_any_way_in() {
    let mut world = World::start().await;
    let s = secret;
    // Bodies, as one object, as an array, as lines; names; keys; the vendor's line; behind escapes; JSON within JSON.
    world
        .publish(&json!({"type": "note", "session_id": "s", "data": {"text": s(0)}}))
        .await;
    world
        .publish(&json!([{"type": "note", "data": {"deep": [{"text": format!("x {} y", s(1))}]}}]))
        .await;
    let lines = format!(
        "{}\n",
        json!({"type": "note", "data": {"text": s(2)}, "raw": {"line": s(3)}})
    );
    world.post("application/x-ndjson", lines).await.ok();
    world
        .publish(&json!({"type": "note", "source": s(4), "agent": s(5), "session_id": s(6), "turn_id": s(7), "data": {s(8): 1}}))
        .await;
    let escaped: String = s(9).chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    world
        .post(
            "application/json",
            format!("{{\"type\":\"note\",\"data\":{{\"text\":\"{escaped}\"}}}}"),
        )
        .await
        .ok();
    let within_json = json!({"env": json!({"token": s(10)}).to_string()}).to_string();
    world
        .publish(&json!({"type": "tool_call", "data": {"tool": "x", "output": within_json}}))
        .await;
    // A hook, an order with its end, a decision, a title.
    let hook = json!({"session_id": "s", "hook_event_name": "UserPromptSubmit", "prompt": s(11)});
    send(&world, "POST", "/api/hooks/claude", &hook).await;
    let order = json!({"agent": "a", "session_id": "s", "action": "message", "args": {"content": s(12)}, "id": "0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10"});
    send(&world, "POST", "/api/commands", &order).await;
    let (key, id) = (world.key("a").await, json!("0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10"));
    world.sync(&key, &json!({})).await;
    world
        .ack(&key, &id, &json!({"state": "done", "result": {"text": s(13)}}))
        .await
        .ok();
    assert!(
        !world.command(&id).await.to_string().contains("ghp_"),
        "an order is what the log has of it"
    );
    world
        .publish(&json!({"type": "approval_request", "session_id": "s", "data": {"approval_id": "p", "tool": "Bash", "arguments": {"command": s(14)}}}))
        .await;
    let decision = json!({"decision": "deny", "message": s(15)});
    send(&world, "POST", "/api/approvals/p/decision", &decision).await;
    send(&world, "PATCH", "/api/sessions/s", &json!({"title": s(16)})).await;
    // An order said again is the one that there is, also after a restart.
    send(&world, "POST", "/api/commands", &order).await;
    world.restart().await;
    send(&world, "POST", "/api/commands", &order).await;
    let all = json!(world.all().await).to_string();
    let data = world.server().ready().data_dir.clone();
    within("the end", world.server.take().unwrap().stop()).await;
    for way in 0..17 {
        assert!(!all.contains(&secret(way)), "way {way} is read back");
        assert_eq!(
            files_with(Path::new(&data), secret(way).as_bytes()),
            Vec::<String>::new(),
            "way {way}"
        );
    }
    assert!(!all.contains("ghp_"), "a part of a secret is read back");
    assert!(all.matches("[redacted:github-token:").count() >= 17, "{all}");
}

#[tokio::test]
async fn a_marker_is_stable_counted_and_another_one_in_another_directory() {
    let mut world = World::start().await;
    let marked = async |world: &World| {
        world
            .publish(&json!({"type": "note", "data": {"text": secret(0)}}))
            .await;
        world.all().await.last().unwrap()["data"]["text"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let first = marked(&world).await;
    assert_eq!(first.len(), "[redacted:github-token:1a2b3c4d]".len());
    world.metric("turnwire_redacted_total{kind=\"github-token\"} 1").await;
    world.restart().await;
    assert_eq!(marked(&world).await, first);
    assert_ne!(marked(&World::start().await).await, first);
}

#[tokio::test]
async fn what_has_no_secret_comes_back_byte_for_byte_and_an_id_stays_the_producers() {
    let world = World::start().await;
    let body = r#"{"type":"note","id":"0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10","data":{"n":1.50,"text":"\u0041 sk-learn \/ input_tokens: 5"}}"#;
    for expected in [(1, 0), (0, 1)] {
        let done = world.post("application/json", body).await.ok();
        assert_eq!(
            (&done["written"], &done["duplicates"]),
            (&json!(expected.0), &json!(expected.1))
        );
    }
    let page = world.get("/api/events/history?after=0").await.text();
    assert!(
        page.contains(r#""data":{"n":1.50,"text":"\u0041 sk-learn \/ input_tokens: 5"}"#),
        "{page}"
    );
    // An event with a secret has the id of its producer, too.
    let with = json!({"type": "note", "id": "0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a11", "data": {"text": secret(0)}});
    world.publish(&with).await;
    assert_eq!(world.publish(&with).await["duplicates"], 1);
}

#[tokio::test]
async fn own_patterns_are_replaced_and_a_bad_one_ends_the_start_with_its_name() {
    let own = |name: &str, pattern: &str| OwnPattern {
        name: name.to_owned(),
        pattern: pattern.to_owned(),
    };
    let world = World::with(|config| config.redact = vec![own("badge", r"badge (\d{4})")]).await;
    world
        .publish(&json!({"type": "note", "data": {"text": "my badge 1234"}}))
        .await;
    let text = world.all().await[0]["data"]["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("my badge [redacted:badge:"), "{text}");
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::new(dir.path().to_owned());
    config.listen.set_port(0);
    config.redact = vec![own("open", "(")];
    let error = Server::start(config).await.unwrap_err().to_string();
    assert!(error.contains("`open`"), "{error}");
}
