//! Turns that are open and of which nothing comes any more: what the server has to say in their agents' place.

use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};
use turnwire_proto::{Name, Seq, Timestamp};

use super::{
    moment,
    sessions::{RUNNING, THINKING},
    to_seq,
};

/// Who ends a turn in its agent's place.
pub(crate) const SERVER: &str = "server";

/// The body of a `turn_end` that the server writes in the agent's place.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Closed {
    pub(crate) ok: bool,
    /// Why.
    pub(crate) note: String,
    /// [`SERVER`].
    pub(crate) by: String,
}

/// An open turn.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) session: Name,
    pub(crate) turn: Option<Name>,
    pub(crate) agent: Option<Name>,
    /// When and where its session last gave a sign of life.
    pub(crate) alive: Timestamp,
    pub(crate) alive_seq: Seq,
    /// It is at work, as far as is known: it waits for nobody, and is not said to be stalled already.
    pub(crate) works: bool,
}

fn open(row: &Row<'_>) -> rusqlite::Result<Option<Open>> {
    let name = |at| -> rusqlite::Result<Option<Name>> {
        Ok(row.get::<_, Option<String>>(at)?.and_then(|name| Name::new(&name).ok()))
    };
    let Some(session) = name(0)? else { return Ok(None) };
    let state: String = row.get(5)?;
    Ok(Some(Open {
        session,
        turn: name(1)?,
        agent: name(2)?,
        alive: moment(row, 3)?,
        alive_seq: row.get(4).map(to_seq)?,
        works: [THINKING, RUNNING, "compacting"].contains(&&*state),
    }))
}

const SELECT: &str = "SELECT s.id, t.turn_id, coalesce(t.agent, s.agent), s.alive, s.alive_seq, s.state
    FROM turns AS t INDEXED BY turns_open JOIN sessions AS s ON s.n = t.session";

/// Turns whose agent had a downlink and is gone since, without a sign of life after that.
pub(crate) fn orphaned(db: &Connection, limit: usize) -> rusqlite::Result<Vec<Open>> {
    let sql = format!(
        "{SELECT} JOIN agents AS a ON a.name = coalesce(t.agent, s.agent)
         WHERE t.ended IS NULL AND a.online = 0 AND s.alive_seq < a.last_seq ORDER BY t.seq LIMIT ?1"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = db
        .prepare_cached(&sql)?
        .query_map([limit], open)?
        .collect::<rusqlite::Result<Vec<_>>>();
    Ok(rows?.into_iter().flatten().collect())
}

/// Turns of sessions that gave no sign of life behind `since`, the longest silent first.
pub(crate) fn quiet(db: &Connection, since: Timestamp, limit: usize) -> rusqlite::Result<Vec<Open>> {
    let sql = format!("{SELECT} WHERE t.ended IS NULL AND s.alive <= ?1 ORDER BY s.alive LIMIT ?2");
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement
        .query_map(params![since.millis(), limit], open)?
        .collect::<rusqlite::Result<Vec<_>>>();
    Ok(rows?.into_iter().flatten().collect())
}
