//! What there is at one moment: sessions, the turns that are in flight, what waits for a person, and agents.

use std::time::Duration;

use rusqlite::Connection;
use serde::Serialize;
use turnwire_proto::{
    Seq, Visibility,
    approval::{Approval, State},
};

use super::{
    approvals::{self, Filter},
    commands::{self, Agent},
    sessions::{self, Session},
    turns::{self, Turn},
};

/// The newest of everything. Whoever adds a part adds its list here, and to [`More`] when it is bounded.
#[derive(Debug, Serialize)]
pub(crate) struct Snapshot {
    sessions: Vec<Session>,
    turns: Vec<Turn>,
    /// The inbox.
    approvals: Vec<Approval>,
    agents: Vec<Agent>,
    more: More,
}

/// Of what there is more than a snapshot holds.
#[derive(Debug, Serialize)]
struct More {
    sessions: bool,
    turns: bool,
    approvals: bool,
    agents: bool,
}

/// At most `limit` of each. It is one moment when `db` is in a transaction. An approval waits as long as `wait` unless its request
/// says otherwise.
pub(crate) fn snapshot(
    db: &Connection,
    visible: &Visibility,
    wait: Duration,
    limit: usize,
) -> rusqlite::Result<Snapshot> {
    // One more than are shown tells whether there are more.
    let mut sessions = sessions::list(db, visible, Seq::MAX, limit + 1)?;
    let turns = turns::in_flight(db, visible, limit)?;
    let pending = Filter {
        states: vec![State::Pending],
        ..Filter::default()
    };
    let approvals = approvals::list(db, &pending, wait, |session| visible.allows_session(session), limit)?;
    let mut agents = match visible.allows_public() {
        true => commands::agents(db, limit + 1)?,
        false => Vec::new(),
    };
    let more = More {
        sessions: sessions.len() > limit,
        turns: turns.next.is_some(),
        approvals: approvals.next.is_some(),
        agents: agents.len() > limit,
    };
    sessions.truncate(limit);
    agents.truncate(limit);
    Ok(Snapshot {
        sessions,
        turns: turns.rows,
        approvals: approvals.rows,
        agents,
        more,
    })
}
