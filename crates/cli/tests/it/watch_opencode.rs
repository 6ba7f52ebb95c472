//! `watch --opencode`: a database that opencode writes, in a real gateway, once, whoever is killed.

use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};

use crate::{
    api::get,
    opencode_db::{Written, rows},
    watch::{begun, count, events, until, watching},
    world::{World, serve, stderr},
};

const DATABASE: &str = "home/.local/share/opencode/opencode.db";

/// Its first session.
fn session() -> String {
    let row: Value = serde_json::from_str(&rows("basic-tools")[0]).unwrap();
    row["root"].as_str().unwrap().to_owned()
}

/// Ids and kinds of what a gateway has of it, but for its end: an import takes what was recorded long ago as finished.
fn facts(world: &World) -> BTreeSet<(String, String)> {
    let text = |event: &Value, key: &str| event[key].as_str().unwrap().to_owned();
    let events = events(world, &session());
    let facts: BTreeSet<_> = events
        .iter()
        .map(|event| (text(event, "id"), text(event, "type")))
        .collect();
    assert_eq!(facts.len(), events.len());
    facts.into_iter().filter(|(_, kind)| kind != "session_end").collect()
}

#[test]
fn a_session_is_seen_while_it_is_written_also_by_one_that_is_killed_and_nothing_of_it_twice() {
    let imported = World::new();
    let _import_served = serve(&imported, &[]);
    let whole = Written::new(&imported.path(DATABASE));
    rows("basic-tools").iter().for_each(|row| whole.add(row));
    let output = imported
        .turnwire(&["watch", "--opencode", "--import", "--once"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));

    let world = World::new();
    let _served = serve(&world, &[]);
    let mut following = watching(&world, &["--opencode"]);
    until("the watch begins", || begun(&world) == 1);
    let db = Written::new(&world.path(DATABASE));
    for (number, row) in rows("basic-tools").iter().enumerate() {
        db.add(row);
        if number % 7 == 3 {
            // In the midst of a turn, of a call, of what is sent.
            drop(following);
            following = watching(&world, &["--opencode"]);
        }
        if number % 5 == 0 {
            // A row has an event at the least.
            until("a row comes", || count(&world, &session()) > number as u64);
        }
    }
    let turns = || get(&world, &format!("/api/sessions/{}/turns", session()))["turns"].clone();
    until("both turns end", || {
        turns()
            .as_array()
            .unwrap()
            .iter()
            .filter(|turn| turn["ok"] == true)
            .count()
            == 2
    });
    drop(following);
    let end = world
        .turnwire(&["watch", "--opencode", "--once", "--wait"])
        .output()
        .unwrap();
    assert!(end.status.success(), "{}", stderr(&end));
    assert!(
        world
            .turnwire(&["publish", "--drain"])
            .output()
            .unwrap()
            .status
            .success()
    );
    assert_eq!(facts(&world), facts(&imported));
    let calls = get(&world, &format!("/api/sessions/{}/tool-calls", session()));
    let calls: Vec<_> = calls["tool_calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| &call["outcome"])
        .collect();
    assert_eq!(json!(calls), json!(["failed", "failed", "ok"]));
}

#[test]
fn a_gateway_follows_opencode_where_its_configuration_says() {
    let world = World::new();
    let dir = world.path("elsewhere");
    fs::create_dir_all(world.data_dir()).unwrap();
    let config = format!("[[watch]]\nknown = \"opencode\"\ndir = {dir:?}\nagent = \"helper\"\n");
    fs::write(world.data_dir().join("turnwire.toml"), config).unwrap();
    let _served = serve(&world, &[]);
    until("the watch begins", || begun(&world) == 1);
    let db = Written::new(&dir.join("opencode.db"));
    let all = rows("basic-tools");
    all.iter().for_each(|row| db.add(row));
    until("all rows come", || count(&world, &session()) >= all.len() as u64);
    assert!(
        events(&world, &session())
            .iter()
            .all(|event| event["agent"] == "helper")
    );
}

#[test]
fn a_database_that_is_not_known_is_named_and_the_others_are_followed() {
    let world = World::new();
    let _served = serve(&world, &[]);
    let path = world.path(DATABASE);
    let other = Written::new(&path.with_file_name("opencode-dev.db"));
    rows("basic-tools").iter().for_each(|row| other.add(row));
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE message (id text PRIMARY KEY, data text)")
        .unwrap();
    let output = world
        .turnwire(&["watch", "--opencode", "--import", "--once"])
        .output()
        .unwrap();
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains(path.to_str().unwrap()) && said.contains("event_sequence"),
        "{said}"
    );
    assert!(count(&world, &session()) > 0);
    // One that an older opencode has left has sessions, and no events of them.
    old.execute_batch(
        "CREATE TABLE session (id text PRIMARY KEY, parent_id text, time_updated integer);
         CREATE TABLE event_sequence (aggregate_id text PRIMARY KEY, seq integer);
         CREATE TABLE event (id text PRIMARY KEY, aggregate_id text, seq integer, type text, data text);
         INSERT INTO session VALUES ('ses_old', NULL, 0)",
    )
    .unwrap();
    let said = stderr(&world.turnwire(&["watch", "--opencode", "--once"]).output().unwrap());
    assert!(
        said.contains(path.to_str().unwrap()) && said.contains("1 sessions have no events"),
        "{said}"
    );
}
