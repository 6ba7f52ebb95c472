//! What readers of the list and of the search see of events that retention has deleted.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use turnwire_log::Retention;
use turnwire_proto::Timestamp;

use crate::world::{World, note};

const LONG_AGO: &str = "2020-01-01T00:00:00Z";

fn old(session: &str, text: &str) -> Value {
    let mut event = note(session, text);
    event["timestamp"] = json!(LONG_AGO);
    event
}

async fn ids(world: &World) -> Vec<String> {
    let list = world.get("/api/sessions").await.ok();
    let sessions = list["sessions"].as_array().unwrap();
    sessions
        .iter()
        .map(|session| session["id"].as_str().unwrap().to_owned())
        .collect()
}

/// What the search index has rows of.
fn indexed(world: &World) -> Vec<i64> {
    let path = Path::new(&world.server().ready().data_dir).join("views.db");
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut rows = db.prepare("SELECT rowid FROM search ORDER BY rowid").unwrap();
    rows.query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

async fn trim(world: &World) {
    let policy = Retention {
        events_before: Timestamp::from_millis(1_700_000_000_000),
        ..Retention::default()
    };
    assert!(world.server().log().trim(&policy).await.unwrap().events > 0);
}

#[tokio::test]
async fn views_keep_nothing_of_what_was_trimmed_and_all_of_what_is_kept() {
    let mut world = World::start().await;
    let events = json!([old("gone", "one"), old("goes-on", "two"), note("goes-on", "three")]);
    world.publish(&events).await;
    assert_eq!(ids(&world).await, ["goes-on", "gone"]);
    assert_eq!(indexed(&world), [1, 2, 3]);
    trim(&world).await;
    // The server's own word that it has trimmed comes now; any event does.
    world.publish(&note("new", "four")).await;
    assert_eq!(ids(&world).await, ["new", "goes-on"]);
    assert_eq!(indexed(&world), [3, 4]);
    let session = world.get("/api/sessions/goes-on").await.ok();
    assert_eq!(session["events"], 2, "what it has counted stays: {session}");
    world.get("/api/sessions/gone").await.refused(404, "not_found");

    world.publish(&old("gone", "five")).await;
    world.restart().await;
    assert_eq!(ids(&world).await, ["gone", "new", "goes-on"], "it begins anew");
}

#[tokio::test]
async fn turns_and_calls_of_which_nothing_is_kept_are_no_more() {
    let mut world = World::start().await;
    let of =
        |kind: &str, turn: &str, data: Value| json!({"type": kind, "session_id": "s", "turn_id": turn, "data": data});
    let long_ago = |mut event: Value| {
        event["timestamp"] = json!(LONG_AGO);
        event
    };
    let call = |id: &str| json!({"tool": "Bash", "tool_call_id": id, "success": true});
    world
        .publish(&json!([
            long_ago(of("turn_start", "gone", json!({}))),
            long_ago(of("tool_call_start", "gone", call("gone"))),
            long_ago(of("tool_call", "gone", call("gone"))),
            long_ago(of("turn_end", "gone", json!({"ok": true}))),
            long_ago(of("tool_call_start", "open", call("open"))),
            long_ago(of("turn_start", "spans", json!({"body": "long ago"}))),
            long_ago(of("tool_call_start", "spans", call("spans"))),
            of("tool_call", "spans", call("spans")),
        ]))
        .await;
    assert_eq!(ids(&world).await, ["s"], "all of it is folded");
    trim(&world).await;
    world.publish(&note("new", "x")).await;
    for again in [false, true] {
        if again {
            world.restart().await;
        }
        for (what, key, id) in [
            ("turns", "turns", "turn_id"),
            ("tool-calls", "tool_calls", "tool_call_id"),
        ] {
            let page = world.get(&format!("/api/sessions/s/{what}")).await.ok();
            let ids: Vec<_> = page[key]
                .as_array()
                .unwrap()
                .iter()
                .map(|row| row[id].clone())
                .collect();
            assert_eq!(ids, ["spans"], "{what}");
        }
        let turn = &world.get("/api/sessions/s/turns").await.ok()["turns"][0];
        assert_eq!(turn["prompt"], "long ago", "what is kept in part is told as it was");
    }
}

#[tokio::test]
async fn what_was_trimmed_before_a_start_goes_with_the_start() {
    let mut world = World::start().await;
    world.publish(&json!([old("gone", "one"), note("kept", "two")])).await;
    assert_eq!(ids(&world).await, ["kept", "gone"]);
    trim(&world).await;
    world.restart().await;
    world.publish(&note("kept", "three")).await;
    assert_eq!(ids(&world).await, ["kept"]);
    assert_eq!(indexed(&world), [2, 3]);
}

#[tokio::test]
async fn runs_and_sums_of_which_nothing_is_kept_are_no_more() {
    let world = World::start().await;
    let of = |session: &str, kind: &str, old: bool, data: Value| {
        let mut event = json!({"type": kind, "session_id": session});
        event["data"] = data;
        if old {
            event["timestamp"] = json!(LONG_AGO);
        }
        event
    };
    let start = |task: &str| json!({"task": task, "total": 2});
    let passed = |task: &str| json!({"task": task, "outcome": "passed"});
    let graded = json!({"grader": "g", "passed": true});
    world
        .publish(&json!([
            of("gone", "task_start", true, start("a")),
            of("goes-on", "task_start", true, start("a")),
            of("goes-on", "grader_result", true, graded),
            of("goes-on", "task_complete", true, passed("a")),
            of("gone", "usage", true, json!({"input_tokens": 1})),
            of("goes-on", "task_start", false, start("b")),
            of("goes-on", "usage", false, json!({"input_tokens": 2})),
        ]))
        .await;
    assert_eq!(world.get("/api/runs").await.ok()["runs"].as_array().unwrap().len(), 2);
    trim(&world).await;
    world.publish(&note("new", "any event")).await;
    let runs = world.get("/api/runs").await.ok();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 1, "{runs}");
    world.get("/api/runs/gone").await.refused(404, "not_found");
    let run = world.get("/api/runs/goes-on").await.ok();
    assert_eq!(
        (&run["completed"], &run["passed"]),
        (&json!(1), &json!(1)),
        "what it has counted stays: {run}"
    );
    assert_eq!(run["tasks"].as_array().unwrap().len(), 1);
    assert_eq!((&run["tasks"][0]["task"], &run["current"]), (&json!("b"), &json!("b")));
    let used = world.get("/api/usage?by=session").await.ok();
    assert_eq!(
        (&used["totals"]["input_tokens"], &used["rows"][0]["key"]),
        (&json!(2), &json!("goes-on"))
    );
    // Also what is of today, once no event of its session is kept.
    let policy = Retention {
        events_before: Some(Timestamp::now()),
        ..Retention::default()
    };
    world.server().log().trim(&policy).await.unwrap();
    world.publish(&note("new", "any event")).await;
    let used = world.get("/api/usage").await.ok();
    assert_eq!(
        (&used["totals"]["input_tokens"], &used["rows"]),
        (&json!(0), &json!([]))
    );
}
