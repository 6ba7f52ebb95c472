//! Vendors' lines as they are, and requests that are sent again.

use std::path::Path;

use serde_json::{Value, json};

use crate::world::{Reply, World, note, notes};

const CLAUDE: &str = "claude/basic-tools.jsonl";
const CODEX: &str = "codex/basic-tools.jsonl";

fn recorded(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../adapters/fixtures")
        .join(name);
    std::fs::read_to_string(file).unwrap()
}

impl World {
    async fn ingest(&self, url: &str, body: &str) -> Reply {
        let url = format!("/api/ingest/{url}");
        self.ask(self.request("POST", &url, "application/x-ndjson", body)).await
    }

    async fn keyed(&self, token: &str, key: &str, body: &Value) -> Reply {
        let (head, body) = (self.head_by(token, "POST", "/api/events"), body.to_string());
        let length = body.len();
        self.ask(format!(
            "{head}X-Idempotency-Key: {key}\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await
    }
}

#[tokio::test]
async fn a_vendors_lines_become_its_session_and_the_same_body_again_writes_nothing() {
    let world = World::start().await;
    for (adapter, file) in [("claude", CLAUDE), ("codex", CODEX)] {
        let body = recorded(file);
        let first = world.ingest(&format!("{adapter}?agent=ada"), &body).await.ok();
        let written = first["written"].as_u64().unwrap();
        assert!(written > 5 && first["duplicates"] == 0, "{first}");
        let again = world.ingest(&format!("{adapter}?agent=ada"), &body).await.ok();
        assert_eq!(
            (&again["written"], again["duplicates"].as_u64().unwrap()),
            (&json!(0), written)
        );
        assert_eq!(again["last_seq"], first["last_seq"]);
        // In pieces it is the same body.
        let head = world.head("POST", &format!("/api/ingest/{adapter}?agent=ada"));
        let mut wire = world.wire().await;
        wire.send(format!("{head}Content-Length: {}\r\n\r\n", body.len())).await;
        for piece in body.as_bytes().chunks(1000) {
            wire.send(piece).await;
        }
        assert_eq!(wire.reply().await.ok()["written"], 0);
        // Under another name it is another session's.
        let other = world
            .ingest(&format!("{adapter}?session_id=mine-{adapter}"), &body)
            .await
            .ok();
        assert_eq!(other["written"], written);
    }
    let all = world.all().await;
    assert!(
        all.iter().all(|event| event["session_id"].is_string()),
        "nothing of a vendor's is for every reader"
    );
    assert!(
        all.iter()
            .any(|event| event["type"] == "tool_call" && event["agent"] == "ada")
    );
    let turns = world.get("/api/sessions/mine-claude/turns").await.ok();
    assert_eq!(turns["turns"][0]["ok"], true, "{turns}");
}

#[tokio::test]
async fn lines_that_name_no_session_get_one_and_a_body_that_has_grown_writes_what_is_new() {
    let world = World::start().await;
    let first = world.ingest("lines", "one\ntwo\n").await.ok();
    let grown = world.ingest("lines", "one\ntwo\nthree\n").await.ok();
    assert!(grown["written"].as_u64().unwrap() >= 1);
    assert!(grown["duplicates"].as_u64().unwrap() >= 2, "{first} {grown}");
    let all = world.all().await;
    assert!(
        all.iter().all(|event| event["session_id"] == all[0]["session_id"]),
        "{all:?}"
    );
    // Turnwire's own events may be without one, and without an id.
    let own = "{\"type\":\"note\"}\n{\"type\":\"note\"}\n";
    assert_eq!(world.ingest("native", own).await.ok()["written"], 2);
    assert_eq!(world.ingest("native", own).await.ok()["duplicates"], 2);
}

#[tokio::test]
async fn what_cannot_be_ingested_is_told() {
    let world = World::start().await;
    assert_eq!(
        world.ingest("nobody", "x\n").await.refused(404, "not_found")["field"],
        "adapter"
    );
    for (query, field) in [
        ("x=1", "x"),
        ("agent=", "agent"),
        ("session_id=a&session_id=b", "session_id"),
    ] {
        world
            .ingest(&format!("lines?{query}"), "x\n")
            .await
            .refused_field(400, "bad_request", field);
    }
    world
        .ingest("lines", "")
        .await
        .refused_field(400, "bad_request", "body");
    let token = world.token(&["publish:session:mine"]).await;
    let post = |url: &str| world.request_by(&token, "POST", url, "application/x-ndjson", "x\n");
    world.ask(post("/api/ingest/lines")).await.refused(403, "forbidden");
    world.ask(post("/api/ingest/lines?session_id=mine")).await.ok();
}

#[tokio::test]
async fn a_key_that_comes_again_is_answered_as_before_and_writes_nothing() {
    let mut world = World::start().await;
    let first = world.keyed(&world.admin, "k", &notes("a", 3)).await.ok();
    assert_eq!(first["written"], 3);
    assert_eq!(world.keyed(&world.admin, "k", &notes("a", 3)).await.ok(), first);
    world.restart().await;
    assert_eq!(world.keyed(&world.admin, "k", &notes("a", 3)).await.ok(), first);
    // Another key, and another's key of the same name, are other requests.
    let other = world.token(&["publish"]).await;
    assert_eq!(world.keyed(&other, "k", &note("a", "x")).await.ok()["written"], 1);
    assert_eq!(world.keyed(&world.admin, "l", &note("a", "x")).await.ok()["written"], 1);
    // A refusal is not kept.
    world
        .keyed(&world.admin, "m", &json!({"type": "Bad"}))
        .await
        .refused(400, "bad_request");
    assert_eq!(world.keyed(&world.admin, "m", &note("a", "x")).await.ok()["written"], 1);
    world
        .keyed(&world.admin, &"k".repeat(257), &note("a", "x"))
        .await
        .refused_field(400, "bad_request", "x-idempotency-key");
}

#[tokio::test]
async fn one_key_at_once_is_one_request() {
    let world = World::start().await;
    let body = notes("a", 5);
    let asked = (0..16).map(|_| world.keyed(&world.admin, "k", &body));
    let replies: Vec<Value> = futures_util::future::join_all(asked)
        .await
        .iter()
        .map(Reply::ok)
        .collect();
    assert!(
        replies
            .iter()
            .all(|reply| *reply == replies[0] && reply["written"] == 5),
        "{replies:?}"
    );
    assert_eq!(world.head_seq().await, 5);
}

#[tokio::test]
async fn a_key_whose_answer_was_lost_writes_nothing_twice() {
    let mut world = World::start().await;
    world.keyed(&world.admin, "k", &notes("a", 3)).await.ok();
    // As after a kill between writing the events and keeping the answer.
    world
        .restart_after(|data| {
            let db = rusqlite::Connection::open(data.join("state.db")).unwrap();
            assert_eq!(
                db.execute("DELETE FROM entries WHERE bucket = 'idempotency'", [])
                    .unwrap(),
                1
            );
        })
        .await;
    let again = world.keyed(&world.admin, "k", &notes("a", 3)).await.ok();
    assert_eq!((&again["written"], &again["duplicates"]), (&json!(0), &json!(3)));
}
