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
