//! What there is at one moment: sessions, and the turns that are in flight.

use rusqlite::Connection;
use serde::Serialize;
use turnwire_proto::{Seq, Visibility};

use super::{
    sessions::{self, Session},
    turns::{self, Turn},
};

/// The newest of everything. Whoever adds a part adds its list here, and to [`More`] when it is bounded.
#[derive(Debug, Serialize)]
pub(crate) struct Snapshot {
    sessions: Vec<Session>,
    turns: Vec<Turn>,
    more: More,
}

/// Of what there is more than a snapshot holds.
#[derive(Debug, Serialize)]
struct More {
    sessions: bool,
    turns: bool,
}

/// At most `limit` of each. It is one moment when `db` is in a transaction.
pub(crate) fn snapshot(db: &Connection, visible: &Visibility, limit: usize) -> rusqlite::Result<Snapshot> {
    // One more than are shown tells whether there are more.
    let mut sessions = sessions::list(db, visible, Seq::MAX, limit + 1)?;
    let turns = turns::in_flight(db, visible, limit)?;
    let more = More {
        sessions: sessions.len() > limit,
        turns: turns.next.is_some(),
    };
    sessions.truncate(limit);
    Ok(Snapshot {
        sessions,
        turns: turns.rows,
        more,
    })
}
