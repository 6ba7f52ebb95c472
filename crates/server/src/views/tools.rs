//! Tool calls: what was called with what, what came of it, how long it took. Folded by [`super::activity`].
//!
//! A call is known by its session and id, and has one row with one start and one end of each source at the most. [`fold`] finds the row.
//! Calls of sources that give them no id are paired by their tool, the oldest open one first.

mod fold;
mod work;

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, Transaction, params};
use serde::Serialize;
use turnwire_proto::{Event, Json, Seq, Timestamp};

pub(super) use self::fold::{Change, Counted, begin, end, reunite};
use super::{FORGET, Paged, from_seq, moment_if_any, preview, to_seq, told::Told};

/// Tools that a turn's breakdown names: those used most.
const TOOLS: u32 = 100;

pub(super) const TABLES: &str = "
    CREATE TABLE tool_calls(
        seq INTEGER PRIMARY KEY, session INTEGER NOT NULL, call_id TEXT, turn INTEGER, turn_id TEXT, agent TEXT, tool TEXT NOT NULL,
        parent TEXT, arguments TEXT, arguments_bytes INTEGER, output TEXT, output_bytes INTEGER, error TEXT,
        started INTEGER, ended INTEGER, duration_ms INTEGER, success INTEGER,
        start_seq INTEGER, end_seq INTEGER, last_seq INTEGER NOT NULL, told TEXT NOT NULL, told_ms INTEGER, model TEXT,
        own_id TEXT, work TEXT
    ) STRICT;
    CREATE INDEX tool_calls_session ON tool_calls(session);
    CREATE INDEX tool_calls_id ON tool_calls(session, call_id);
    CREATE INDEX tool_calls_own ON tool_calls(session, own_id) WHERE own_id IS NOT NULL;
    CREATE INDEX tool_calls_turnless ON tool_calls(session) WHERE turn IS NULL;
    CREATE INDEX tool_calls_turn ON tool_calls(turn);
    CREATE INDEX tool_calls_open ON tool_calls(session) WHERE ended IS NULL;
    CREATE INDEX tool_calls_unnamed ON tool_calls(session) WHERE call_id IS NULL;
";

/// One call, as the end of its turn tells it.
#[derive(Clone, Debug)]
pub(crate) struct Brief {
    pub(crate) tool_call_id: Option<String>,
    pub(crate) tool: String,
    pub(crate) parent: Option<String>,
    pub(crate) duration_ms: Option<i64>,
    /// Absent while it is not known how it ended.
    pub(crate) success: Option<bool>,
    pub(crate) output: Option<Json>,
    pub(crate) error: Option<String>,
}

/// One call, as it is answered.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Call {
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<String>,
    session_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    turn_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    tool: String,
    /// The call of the subagent that made this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_tool_call_id: Option<String>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments_bytes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_bytes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<i64>,
    first_seq: Seq,
    last_seq: Seq,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_seq: Option<Seq>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_seq: Option<Seq>,
    /// Who tells of it.
    sources: Vec<String>,
}

const COLUMNS: &str =
    "coalesce(call_id, own_id) AS call_id, coalesce((SELECT t.turn_id FROM turns AS t WHERE t.seq = turn), turn_id) AS turn_id, agent, tool, parent, arguments, arguments_bytes, output, output_bytes, error, started, ended,
    duration_ms, success, seq, last_seq, start_seq, end_seq, told";

fn call(row: &Row<'_>, session_id: &str) -> rusqlite::Result<Call> {
    let place = |at| row.get::<_, Option<i64>>(at).map(|seq| seq.map(to_seq));
    let json = |at| -> rusqlite::Result<Option<Json>> {
        let text = row.get_ref(at)?.as_str_or_null()?;
        Ok(text.and_then(|text| Json::parse(text).ok()))
    };
    let ended = moment_if_any(row, 11)?;
    let outcome = match (ended, row.get(13)?) {
        (None, _) => "running",
        (_, None) => "unfinished",
        (_, Some(true)) => "ok",
        (_, Some(false)) => "failed",
    };
    Ok(Call {
        tool_call_id: row.get(0)?,
        session_id: session_id.to_owned(),
        turn_id: row.get(1)?,
        agent: row.get(2)?,
        tool: row.get(3)?,
        parent_tool_call_id: row.get(4)?,
        outcome,
        arguments: json(5)?,
        arguments_bytes: row.get(6)?,
        output: json(7)?,
        output_bytes: row.get(8)?,
        error: row.get(9)?,
        started: moment_if_any(row, 10)?,
        ended,
        duration_ms: row.get(12)?,
        first_seq: row.get(14).map(to_seq)?,
        last_seq: row.get(15).map(to_seq)?,
        start_seq: place(16)?,
        end_seq: place(17)?,
        sources: Told::read(row.get_ref(18)?.as_str()?).sources(),
    })
}

/// Where a call happens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) session: i64,
    /// The turn's first place.
    pub(super) turn: Option<Seq>,
    /// The turn has ended.
    pub(super) over: bool,
}

fn word(text: &str) -> Option<&str> {
    Some(preview::head(text, preview::WORD)).filter(|word| !word.is_empty())
}

/// Closes the calls of a turn that are open: it has ended, and they have not said how they did.
pub(super) fn close_turn(db: &Transaction<'_>, session: i64, turn: Seq, event: &Event) -> rusqlite::Result<()> {
    let mut update = db.prepare_cached(
        "UPDATE tool_calls INDEXED BY tool_calls_open SET ended = ?3, last_seq = ?4, duration_ms = max(?3 - started, 0)
         WHERE session = ?1 AND turn = ?2 AND ended IS NULL",
    )?;
    let (at, seq) = (event.timestamp.millis(), from_seq(event.seq));
    update.execute(params![session, from_seq(turn), at, seq])?;
    Ok(())
}

/// The same for all of a session.
pub(super) fn close_session(db: &Transaction<'_>, session: i64, event: &Event) -> rusqlite::Result<()> {
    let mut update = db.prepare_cached(
        "UPDATE tool_calls SET ended = ?2, last_seq = ?3, duration_ms = max(?2 - started, 0) WHERE session = ?1 AND ended IS NULL",
    )?;
    update.execute(params![session, event.timestamp.millis(), from_seq(event.seq)])?;
    Ok(())
}

/// Two turns are one: what was of `from` is of `to`.
pub(super) fn move_turn(db: &Transaction<'_>, from: Seq, to: Seq) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE tool_calls SET turn = ?2 WHERE turn = ?1")?
        .execute(params![from_seq(from), from_seq(to)])?;
    Ok(())
}

/// Calls that began between these two moments and of which nobody has said in which turn are of the one that lasted from the one to the other.
pub(super) fn claim(
    db: &Transaction<'_>,
    session: i64,
    turn: Seq,
    (from, to): (Timestamp, Timestamp),
) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE tool_calls INDEXED BY tool_calls_turnless SET turn = ?2
         WHERE session = ?1 AND turn IS NULL AND coalesce(started, ended) BETWEEN ?3 AND ?4",
    )?
    .execute(params![session, from_seq(turn), from.millis(), to.millis()])?;
    Ok(())
}

/// Whether a call of the session is open.
pub(super) fn any_open(db: &Connection, session: i64) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM tool_calls WHERE session = ?1 AND ended IS NULL LIMIT 1")?
        .exists([session])
}

/// How a turn has used one tool.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Uses {
    calls: i64,
    failed: i64,
    duration_ms: i64,
}

/// How the turn that begins at this place has used its tools, and the last place of its calls.
pub(super) fn uses(db: &Connection, turn: Seq) -> rusqlite::Result<(BTreeMap<String, Uses>, Option<Seq>)> {
    // `total` cannot overflow, `sum` would be an error.
    let mut statement = db.prepare_cached(
        "SELECT tool, count(*), count(*) FILTER (WHERE NOT success), total(duration_ms), max(last_seq) FROM tool_calls
         WHERE turn = ?1 GROUP BY tool ORDER BY 2 DESC, tool LIMIT ?2",
    )?;
    let mut rows = statement.query(params![from_seq(turn), TOOLS])?;
    let (mut tools, mut last) = (BTreeMap::new(), None);
    while let Some(row) = rows.next()? {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a cast of a float keeps within the integer's range"
        )]
        let duration_ms = row.get::<_, f64>(3)? as i64;
        let (calls, failed) = (row.get(1)?, row.get(2)?);
        let uses = Uses {
            calls,
            failed,
            duration_ms,
        };
        tools.insert(row.get(0)?, uses);
        last = last.max(Some(to_seq(row.get(4)?)));
    }
    Ok((tools, last))
}

/// The calls of the turn that begins at this place, oldest first, at most `limit`.
pub(crate) fn of_turn(db: &Connection, turn: Seq, limit: usize) -> rusqlite::Result<Vec<Brief>> {
    let mut calls = db.prepare_cached(
        "SELECT coalesce(call_id, own_id), tool, parent, duration_ms, success, output, error FROM tool_calls WHERE turn = ?1 ORDER BY seq LIMIT ?2",
    )?;
    let brief = |row: &Row<'_>| {
        let output: Option<String> = row.get(5)?;
        Ok(Brief {
            tool_call_id: row.get(0)?,
            tool: row.get(1)?,
            parent: row.get(2)?,
            duration_ms: row.get(3)?,
            success: row.get(4)?,
            output: output.and_then(|text| Json::parse(&text).ok()),
            error: row.get(6)?,
        })
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    calls.query_map(params![from_seq(turn), limit], brief)?.collect()
}

/// A session's calls that began before `before`, newest first.
pub(crate) fn list(db: &Connection, (n, id): (i64, &str), before: Seq, limit: usize) -> rusqlite::Result<Paged<Call>> {
    let sql = format!("SELECT {COLUMNS} FROM tool_calls WHERE session = ?1 AND seq < ?2 ORDER BY seq DESC");
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(params![n, from_seq(before)])?;
    let mut page = Paged::new(limit);
    while let Some(row) = rows.next()? {
        let whole = || call(row, id).map(|call| (call.first_seq, call));
        if !page.take(whole, Call::size)? {
            break;
        }
    }
    Ok(page)
}

impl Call {
    /// Bytes of its texts, about.
    fn size(&self) -> usize {
        let part = |json: &Option<Json>| json.as_ref().map_or(0, |json| json.get().len());
        512 + part(&self.arguments) + part(&self.output)
    }
}

/// A call of which nothing is kept is none.
pub(super) fn forget(db: &Transaction<'_>, first: Seq) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM tool_calls WHERE seq IN (SELECT seq FROM tool_calls WHERE seq < ?1 AND last_seq < ?1 ORDER BY seq LIMIT ?2)";
    db.prepare_cached(sql)?.execute(params![from_seq(first), FORGET])
}
