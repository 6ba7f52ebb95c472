//! A database as opencode writes it, made of the rows that were recorded of one.

use std::{fs, path::Path};

use rusqlite::{Connection, params};
use serde_json::Value;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../adapters/fixtures/opencode-session");

/// The tables that are read, as opencode 1.18.33 makes them; of `session` those columns.
const SCHEMA: &str = "
    CREATE TABLE session (id text PRIMARY KEY, parent_id text, time_created integer NOT NULL, time_updated integer NOT NULL);
    CREATE TABLE event_sequence (aggregate_id text PRIMARY KEY, seq integer NOT NULL, owner_id text);
    CREATE TABLE event (
        id text PRIMARY KEY, aggregate_id text NOT NULL, seq integer NOT NULL, type text NOT NULL, data text NOT NULL,
        CONSTRAINT fk FOREIGN KEY (aggregate_id) REFERENCES event_sequence(aggregate_id) ON DELETE CASCADE
    );
    CREATE UNIQUE INDEX event_aggregate_seq_idx ON event (aggregate_id, seq);
";

/// The recorded rows of this name, one a line.
pub(crate) fn rows(name: &str) -> Vec<String> {
    let path = Path::new(FIXTURES).join(name).with_extension("jsonl");
    fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

#[derive(Debug)]
pub(crate) struct Written(pub(crate) Connection);

impl Written {
    pub(crate) fn new(path: &Path) -> Self {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let db = Connection::open(path).unwrap();
        db.pragma_update(None, "journal_mode", "wal").unwrap();
        db.pragma_update(None, "foreign_keys", true).unwrap();
        db.execute_batch(SCHEMA).unwrap();
        Self(db)
    }

    /// Adds a row as opencode does: with its number, and with what it says of its session, at once.
    pub(crate) fn add(&self, line: &str) {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| row[key].as_str().unwrap();
        let all = self.0.unchecked_transaction().unwrap();
        let info = &row["data"]["info"];
        if text("type").starts_with("session.") && info.is_object() {
            let sql = "INSERT INTO session VALUES (?1, ?2, ?3, ?3) ON CONFLICT (id) DO UPDATE SET time_updated = ?3";
            let times = info["time"]["updated"].as_i64().unwrap_or(0);
            let parent = info["parentID"].as_str();
            all.execute(sql, params![text("session"), parent, times]).unwrap();
        }
        let seq = row["seq"].as_i64().unwrap();
        let sql = "INSERT INTO event_sequence VALUES (?1, ?2, NULL) ON CONFLICT (aggregate_id) DO UPDATE SET seq = ?2";
        all.execute(sql, params![text("session"), seq]).unwrap();
        // Text that is no JSON stands for itself.
        let data = row["data"]
            .as_str()
            .map_or_else(|| row["data"].to_string(), str::to_owned);
        let sql = "INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5)";
        all.execute(sql, params![text("id"), text("session"), seq, text("type"), data])
            .unwrap();
        all.commit().unwrap();
    }
}
