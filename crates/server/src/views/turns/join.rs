//! Which rows of different sources are one turn.
//!
//! Where sources have the same id for it, that says it. Where they have not (an adapter that makes ids because its vendor has none, an
//! agent that uses its order's id), a turn is the other source's oldest one that
//! - this source has not told of yet: each source tells its turns in their order, and each once;
//! - has the same prompt, or one of the two has none;
//! - was not over when this one began, and had not begun long after it.
//!
//! Two rows of which different sources say that one tool call is in them are one turn, too.

use rusqlite::{Connection, Transaction, params};
use turnwire_proto::{Event, Seq, Timestamp};

use super::{COLUMNS, Turn, at, turn};
use crate::views::{
    approvals, from_seq,
    told::{fuller, is_fuller, least},
    tools,
};

/// Turns of a session that are looked at: the newest.
const NEWEST: u32 = 32;
/// By how much what a source tells may be behind what has happened, where the prompts are the same. Milliseconds.
const BEHIND: i64 = 2_000;
/// How long before another source's start one may say that a turn began: programs are slow to start.
const AHEAD: i64 = 60_000;

pub(super) fn newest(db: &Connection, session: i64) -> rusqlite::Result<Vec<Turn>> {
    let sql = format!("SELECT {COLUMNS} FROM turns WHERE session = ?1 ORDER BY seq DESC LIMIT {NEWEST}");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([session], turn)?;
    rows.collect()
}

/// The row of another source's that this one's turn is, too.
pub(in crate::views) fn partner(db: &Connection, session: i64, mine: &Turn) -> rusqlite::Result<Option<Seq>> {
    let found = newest(db, session)?.into_iter().filter(|row| row.is_also(mine));
    // A source that comes late has newer rows of older turns.
    let oldest = found.min_by_key(|row| (row.started, row.first_seq));
    Ok(oldest.map(|row| row.first_seq))
}

impl Turn {
    fn is_also(&self, mine: &Self) -> bool {
        if self.first_seq == mine.first_seq || self.shares.meets(&mine.shares) || self.shares.is_empty() {
            return false;
        }
        let same = match (self.asked_text(), mine.asked_text()) {
            (Some((a, long_a)), Some((b, long_b))) => {
                if a.trim() != b.trim() || long_a != long_b {
                    return false;
                }
                true
            }
            _ => false,
        };
        let slack = if same { BEHIND } else { 0 };
        let millis = |at: Option<Timestamp>| at.map(Timestamp::millis);
        let before =
            |end: Option<i64>, start: Option<i64>| end.zip(start).is_some_and(|(end, start)| end + slack < start);
        let (a, b) = (
            (millis(self.started), millis(self.ended)),
            (millis(mine.started), millis(mine.ended)),
        );
        let far = a.0.zip(b.0).is_some_and(|(a, b)| (a - b).abs() > AHEAD && !same);
        let later = a.0.zip(b.0).is_some_and(|(a, b)| a > b + AHEAD);
        !before(a.1, b.0) && !before(b.1, a.0) && !far && !later
    }

    /// The prompt, where a start has told it.
    fn asked_text(&self) -> Option<(&str, Option<u32>)> {
        self.prompt.as_deref().map(|prompt| (prompt, self.prompt_bytes))
    }

    /// Two rows that are one turn.
    fn absorb(&mut self, other: Self) {
        self.changed = true;
        let (mine, theirs) = (self.has_end(), other.has_end());
        match (mine, theirs) {
            (true, true) => {
                self.ended = least(self.ended, other.ended);
                self.ok = self.ok.zip(other.ok).map(|(a, b)| a && b);
                self.note = fuller(self.note.take(), other.note);
            }
            (false, true) => (self.ended, self.ok, self.note) = (other.ended, other.ok, other.note),
            (true, false) => {}
            (false, false) => {
                if self.ended.is_none() {
                    (self.ended, self.ok, self.note) = (other.ended, other.ok, other.note);
                }
            }
        }
        self.end_seq = least(self.end_seq, other.end_seq);
        self.start_seq = least(self.start_seq, other.start_seq);
        self.started = least(self.started, other.started);
        self.told_ms = least(self.told_ms, other.told_ms);
        self.last_seq = self.last_seq.max(other.last_seq);
        self.agent = self.agent.take().or(other.agent);
        self.from = fuller(self.from.take(), other.from);
        if let Some(prompt) = other.prompt {
            let old = self.prompt.as_deref().filter(|_| self.asked || !other.asked);
            if old.is_none_or(|old| other.asked && is_fuller((old, self.prompt_bytes), (&prompt, other.prompt_bytes))) {
                (self.prompt, self.prompt_bytes) = (Some(prompt), other.prompt_bytes);
            }
            self.asked |= other.asked;
        }
        if other.said > self.said {
            (self.result, self.result_bytes, self.said) = (other.result, other.result_bytes, other.said);
        }
        self.shares.absorb(other.shares);
        self.used = self.shares.most();
        self.measure();
    }
}

/// What came of two rows that are one turn.
#[derive(Debug)]
pub(in crate::views) struct Merged {
    pub(in crate::views) turn: Turn,
    /// The two as they were.
    pub(in crate::views) were: [Turn; 2],
}

/// Makes one row of two, if there are both and no source tells of both: the older one stays.
pub(in crate::views) fn merge(
    db: &Transaction<'_>,
    session: i64,
    one: Seq,
    other: Seq,
) -> rusqlite::Result<Option<Merged>> {
    let (stays, goes) = (one.min(other), one.max(other));
    let (Some(mut stays), Some(goes)) = (at(db, stays)?, at(db, goes)?) else {
        return Ok(None);
    };
    if stays.first_seq == goes.first_seq || stays.shares.meets(&goes.shares) {
        return Ok(None);
    }
    let were = [stays.clone(), goes.clone()];
    let (from, to) = (goes.first_seq, stays.first_seq);
    stays.absorb(goes);
    stays.turn_id = best_id(db, &stays)?;
    for id in stays.shares.ids() {
        db.prepare_cached("INSERT OR IGNORE INTO turn_ids VALUES (?1, ?2, ?3)")?
            .execute(params![session, id, from_seq(to)])?;
    }
    tools::move_turn(db, from, to)?;
    approvals::move_turn(db, session, from, to)?;
    for sql in [
        "DELETE FROM turn_ids WHERE turn = ?1",
        "DELETE FROM turns WHERE seq = ?1",
    ] {
        db.prepare_cached(sql)?.execute([from_seq(from)])?;
    }
    stays.store(db)?;
    Ok(Some(Merged { turn: stays, were }))
}

/// The id that it is shown under: its order's, else the vendor's, else one that an adapter has made; of several such the first.
fn best_id(db: &Connection, turn: &Turn) -> rusqlite::Result<Option<String>> {
    let mut best: Option<(bool, bool, &str)> = None;
    for id in turn.shares.ids().chain(turn.turn_id.as_deref()) {
        let is_orders = db
            .prepare_cached("SELECT 1 FROM commands WHERE id = ?1")?
            .exists([id])?;
        best = least(best, Some((!is_orders, id.starts_with("t-"), id)));
    }
    Ok(best.map(|(_, _, id)| id.to_owned()))
}

/// The newest turn of several sources that this one has begun and not ended.
pub(in crate::views) fn mine(db: &Connection, session: i64, source: &str) -> rusqlite::Result<Option<Turn>> {
    let is_mine = |row: &Turn| {
        let share = row.shares.of(source);
        row.shares.others(source) && share.is_some_and(|share| share.started && !share.ended)
    };
    Ok(newest(db, session)?.into_iter().find(is_mine))
}

/// The turn of another source in whose time an event happened.
pub(in crate::views) fn told_by_time(db: &Connection, session: i64, event: &Event) -> rusqlite::Result<Option<Turn>> {
    let is_in = |row: &Turn| {
        let began = row.started.is_some_and(|started| started <= event.timestamp);
        let goes_on = row.ended.is_none_or(|ended| ended >= event.timestamp);
        began && goes_on && row.shares.others(event.source.as_str())
    };
    Ok(newest(db, session)?.into_iter().find(is_in))
}
