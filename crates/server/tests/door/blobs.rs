//! What leaves events for files: who gets it, how it is sent, and when it is gone.

use std::{path::PathBuf, time::Duration};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use turnwire_proto::{limits, room};

use crate::world::{Reply, World, note, within};

/// The smallest PNG there is, in base64, and its bytes' count.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

fn long(seed: &str) -> String {
    seed.repeat(100 * 1024 / seed.len())
}

fn hash(bytes: impl AsRef<[u8]>) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn files(world: &World) -> Vec<PathBuf> {
    let dir = PathBuf::from(&world.server().ready().data_dir).join("blobs");
    let folders = std::fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap());
    let folders = folders.filter(|entry| entry.file_name().len() == 2);
    let files = folders.flat_map(|entry| std::fs::read_dir(entry.path()).unwrap());
    files.map(|entry| entry.unwrap().path()).collect()
}

impl World {
    async fn blob_by(&self, token: &str, hash: &str, more: &str) -> Reply {
        let head = self.head_by(token, "GET", &format!("/api/blobs/{hash}"));
        self.ask(format!("{head}{more}\r\n")).await
    }

    async fn blob(&self, hash: &str) -> Reply {
        self.blob_by(&self.admin, hash, "").await
    }

    async fn newest(&self) -> Value {
        self.history("limit=1").await["events"][0].clone()
    }
}

#[tokio::test]
async fn a_long_text_leaves_its_event_and_comes_back_whole() {
    let world = World::start().await;
    let text = long("ä\"\\\n line\u{1F600}");
    world
        .publish(&json!({"type": "tool_call", "session_id": "s", "data": {"n": 1, "output": [{"a/b": text}], "tool": "x"}, "raw": {"r": text}}))
        .await;
    let event = world.history("limit=1&raw=true").await["events"][0].clone();
    let preview = event["data"]["output"][0]["a/b"].as_str().unwrap();
    assert!(text.starts_with(preview) && preview.len() > 8000, "{}", preview.len());
    assert_eq!(event["raw"]["r"], preview);
    let hash = hash(&text);
    let named = json!({"hash": hash, "bytes": text.len(), "media_type": "text/plain", "preview": preview.len()});
    let mut expected = [named.clone(), named];
    expected[0]["at"] = json!("/data/output/0/a~1b");
    expected[1]["at"] = json!("/raw/r");
    assert_eq!(event["data"]["turnwire_blobs"], json!(expected));
    assert_eq!((&event["data"]["n"], &event["data"]["tool"]), (&json!(1), &json!("x")));
    let reply = world.blob(&hash).await;
    assert_eq!((reply.status, reply.text()), (200, text));
    assert_eq!(files(&world).len(), 1, "the same contents are kept once");
    for (name, value) in [
        ("content-type", "text/plain; charset=utf-8"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("cache-control", "private, max-age=31536000, immutable"),
    ] {
        assert_eq!(reply.headers[name], value);
    }
    assert_eq!(reply.headers["etag"], format!("\"{hash}\""));
    // Again, and in part.
    let again = world
        .blob_by(
            &world.admin,
            &hash,
            &format!("Connection: close\r\nIf-None-Match: \"{hash}\"\r\n"),
        )
        .await;
    assert_eq!((again.status, again.text().as_str()), (304, ""));
    let part = world.blob_by(&world.admin, &hash, "Range: bytes=2-3\r\n").await;
    assert_eq!((part.status, part.text().as_str()), (206, "\"\\"));
    assert_eq!(
        part.headers["content-range"],
        format!("bytes 2-3/{}", reply.text().len())
    );
    assert_eq!(
        world
            .blob_by(&world.admin, &hash, "Range: bytes=999999-\r\n")
            .await
            .status,
        416
    );
}

#[tokio::test]
async fn images_leave_in_the_forms_that_vendors_write_and_what_is_none_stays() {
    let world = World::start().await;
    let body = json!({
        "claude": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        "openai": {"image_url": {"url": format!("data:image/png;base64,{PNG}")}},
        "mcp": {"type": "image", "data": PNG, "mimeType": "image/webp"},
        "script": {"type": "base64", "media_type": "image/png", "data": "PHNjcmlwdD4="},
        "hook": {"type": "image", "file": {"base64": PNG, "type": "image/png"}},
        "text": {"media_type": "text/plain", "data": PNG},
    });
    world
        .publish(&json!({"type": "message", "session_id": "s", "data": body}))
        .await;
    let data = world.newest().await["data"].clone();
    let bytes = hash_of_png();
    assert_eq!(
        data["claude"]["source"],
        json!({"type": "base64", "media_type": "image/png", "data": ""})
    );
    assert_eq!(data["openai"]["image_url"]["url"], format!("/api/blobs/{bytes}"));
    assert_eq!((&data["script"], &data["text"]), (&body["script"], &body["text"]));
    let refs = data["turnwire_blobs"].as_array().unwrap();
    // What it is says the image, not its neighbour.
    assert!(
        refs.iter()
            .all(|one| one["media_type"] == "image/png" && one["hash"] == json!(bytes)),
        "{refs:?}"
    );
    assert_eq!(refs.len(), 4);
    let reply = world.blob(&bytes).await;
    assert_eq!(reply.headers["content-type"], "image/png");
    assert_eq!(hash(&reply.body), bytes);
}

fn hash_of_png() -> String {
    use base64::Engine;
    hash(base64::engine::general_purpose::STANDARD.decode(PNG).unwrap())
}

#[tokio::test]
async fn a_reader_of_another_session_gets_nothing_whatever_it_publishes() {
    let world = World::start().await;
    let (text, other) = (long("secret plans "), long("public plans "));
    world.publish(&note("s", &text)).await;
    let hash = hash(&text);
    let reader = world.token(&["read:session:s"]).await;
    let stranger = world.token(&["read:session:t", "publish"]).await;
    assert_eq!(world.blob_by(&reader, &hash, "").await.status, 200);
    assert_eq!(world.blob_by(&stranger, &hash, "").await.status, 404);
    // A reference of its own making names nothing: at the end, nested, escaped, in the vendor's line.
    let fake =
        json!([{"at": "/data/x", "hash": hash, "bytes": 1, "media_type": "text/plain", "preview": 0}]).to_string();
    for body in [
        format!("{{\"turnwire_blobs\":{fake}}}"),
        format!("{{\"x\":{{\"turnwire_blobs\":{fake}}}}}"),
        format!("{{\"turnwire_blob\\u0073\":{fake}}}"),
        format!("{{\"a\":1,\"turnwire_blobs\":{fake},\"b\":\"{}\"}}", long("y")),
        format!("{{\"turnwire_blobs\":{fake},\"turnwire_blobs\":{fake}}}"),
    ] {
        let event = format!("{{\"type\":\"note\",\"session_id\":\"t\",\"data\":{body},\"raw\":{body}}}");
        let request = world.request_by(&stranger, "POST", "/api/events", "application/json", event);
        world.ask(request).await.ok();
    }
    assert_eq!(world.blob_by(&stranger, &hash, "").await.status, 404);
    // What it said is still there to be read, under another name.
    let first = world.history("limit=10&after=0&session_id=t").await["events"][0].clone();
    assert_eq!(first["data"]["turnwire_blobs_"][0]["hash"], json!(hash));
    // What is of no session is for every reader; nobody at all gets nothing.
    world.publish(&json!({"type": "note", "data": {"text": other}})).await;
    assert_eq!(world.blob_by(&stranger, &self::hash(&other), "").await.status, 200);
    assert_eq!(world.blob_by("tw_00", &hash, "").await.status, 401);
    for wrong in ["0", &"g".repeat(64), "..%2f..%2fstate.db", &"0".repeat(64)] {
        assert_eq!(world.blob(wrong).await.status, 404, "{wrong}");
    }
}

#[tokio::test]
async fn an_event_larger_than_one_may_be_is_taken_when_its_blobs_make_it_small_enough() {
    let world = World::start().await;
    let text = "z".repeat(3 * 1024 * 1024);
    world.publish(&note("s", &text)).await;
    let lines = format!("{}\n{}\n", note("s", &text), note("s", "short"));
    let done = world.post("application/x-ndjson", lines).await.ok();
    assert_eq!(done["written"], 2);
    assert_eq!(world.blob(&hash(&text)).await.text().len(), text.len());
    // Many small ones stay too large.
    let many = json!({"type": "note", "data": {"list": vec!["x".repeat(1000); 2000]}});
    let told = world
        .post("application/json", many.to_string())
        .await
        .refused(413, "too_large");
    assert_eq!(told["limit"], 1024 * 1024);
    let lines = format!("{}\n{many}\n{}\n", note("s", "before"), note("s", "behind"));
    let told = world
        .post("application/x-ndjson", lines)
        .await
        .refused(413, "too_large");
    assert_eq!((&told["line"], &told["written"]), (&json!(2), &json!(1)));
}

/// What adapters and spools go by when they cut an event.
#[tokio::test]
async fn what_fits_by_its_sizes_alone_is_taken() {
    let world = World::start().await;
    for (letter, bound) in [("x", 140), ("\u{1}", 30)] {
        let text = letter.repeat(limits::BLOB / letter.len() + 1);
        let list = |many: usize| json!({"a/~list": vec![&*text; many]});
        let fits = |many: usize| room::fits(&list(many).to_string(), Some(&list(1).to_string()));
        let counts: Vec<usize> = (1..bound).collect();
        let most = counts.partition_point(|many| fits(*many));
        assert!(most > 10 && most < counts.len(), "{most}");
        let event = json!({"type": "tool_call", "session_id": "s", "data": list(most), "raw": list(1)});
        world.publish(&event).await;
        let newest = world.newest().await;
        assert_eq!(newest["data"]["turnwire_blobs"].as_array().unwrap().len(), most + 1);
    }
}

#[tokio::test]
async fn a_message_is_whole_beside_its_line_whose_texts_leave_first() {
    let world = World::start().await;
    let text = "z".repeat(600 * 1024);
    let message = json!({"role": "user", "content": text});
    world
        .publish(&json!({"type": "message", "session_id": "s", "data": message, "raw": {"line": message}}))
        .await;
    let data = world.newest().await["data"].clone();
    assert_eq!(data["content"], text);
    assert_eq!(data["turnwire_blobs"][0]["at"], "/raw/line/content");
}

#[tokio::test]
async fn a_blob_has_no_secret() {
    let world = World::start().await;
    let secret = "ghp_0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R";
    world.publish(&note("s", &format!("{} {secret}", long("words ")))).await;
    let named = world.newest().await["data"]["turnwire_blobs"][0].clone();
    let text = world.blob(named["hash"].as_str().unwrap()).await.text();
    assert!(!text.contains("ghp_") && text.contains("[redacted:github-token:"));
}

#[tokio::test]
async fn what_no_event_names_is_collected_and_what_one_names_is_not() {
    let mut world = World::with(|config| {
        config.retention.every = Duration::from_millis(50);
        config.retention.blobs = Duration::ZERO;
    })
    .await;
    let (gone, shared, kept) = (long("gone "), long("shared "), long("kept "));
    for (session, text) in [("a", &gone), ("a", &shared), ("b", &shared), ("b", &kept)] {
        world.publish(&note(session, text)).await;
    }
    assert_eq!(files(&world).len(), 3);
    let erased = world
        .ask(format!("{}\r\n", world.head("DELETE", "/api/sessions/a")))
        .await;
    assert_eq!(erased.status, 200, "{}", erased.text());
    world.metric("turnwire_blobs_collected_total 1").await;
    for (text, status) in [(&gone, 404), (&shared, 200), (&kept, 200)] {
        assert_eq!(world.blob(&hash(text)).await.status, status);
    }
    assert_eq!(files(&world).len(), 2);
    // As after a kill between a blob and its event: a file that nothing names, and a draft.
    let orphan = within("the stop", async {
        world
            .restart_after(|data| {
                let folder = data.join("blobs/00");
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::create_dir_all(data.join("blobs/new")).unwrap();
                std::fs::write(folder.join("0".repeat(62)), "orphan").unwrap();
                std::fs::write(data.join("blobs/new/7"), "half").unwrap();
            })
            .await;
        PathBuf::from(&world.server().ready().data_dir)
            .join("blobs/00")
            .join("0".repeat(62))
    })
    .await;
    world.metric("turnwire_blobs_collected_total 1").await;
    assert!(!orphan.exists());
    assert_eq!(files(&world).len(), 2);
    // Views that are folded anew name the same.
    world.restart_without_views().await;
    assert_eq!(world.blob(&hash(&kept)).await.text(), kept);
}

#[tokio::test]
async fn what_an_agent_is_told_from_the_log_stays_whole_in_it() {
    let world = World::start().await;
    let arguments = json!({"content": "x".repeat(65_536)});
    let order = json!({"agent": "a", "session_id": "s", "action": "message", "args": arguments});
    world.order(&order).await.ok();
    let event = world.told("command").await[0].clone();
    assert_eq!(event["data"]["arguments"]["content"].as_str().unwrap().len(), 65_536);
}
