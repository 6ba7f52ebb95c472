//! Which rows are one call, where its sources do not share its id.
//!
//! - One that has no id for it (a vendor's hooks) joins by tool and arguments.
//! - One that made an id of its own, of its turn's (`TURN.ITEM`), joins by what is done ([`work`]), within its turn alone.
//!
//! A source tells a call once, so one that it has told is never another one's: two calls that do the same stay two, each source's first the others'
//! first. What a call does may be known only by its end, and which turn it is of later still; then two rows become one.

use rusqlite::{Connection, Transaction, params};
use serde_json::Value;
use turnwire_proto::Seq;

use super::{COLUMNS, Change, Known, NEWEST, known, named, put, telling};
use crate::views::{
    from_seq, to_seq,
    told::{fuller, least},
    tools::work,
};

/// By how much what a source tells may be behind what has happened, and how far apart two sources may say that a call of a turn that they do
/// not share began: as of turns. Milliseconds.
const BEHIND: i64 = 2_000;
const AHEAD: i64 = 60_000;

/// JSON, whatever the order of its fields.
pub(super) fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// The oldest row that is the same call as `mine` and that none of its sources has told of.
pub(super) fn partner(db: &Connection, session: i64, mine: &Known) -> rusqlite::Result<Option<Known>> {
    let sql = match mine.call_id {
        Some(_) => format!(
            "SELECT {COLUMNS} FROM tool_calls INDEXED BY tool_calls_unnamed WHERE session = ?1 AND call_id IS NULL ORDER BY seq DESC
             LIMIT {NEWEST}"
        ),
        None => format!("SELECT {COLUMNS} FROM tool_calls WHERE session = ?1 ORDER BY seq DESC LIMIT {NEWEST}"),
    };
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query([session])?;
    let (mut found, wanted) = (None, mine.arguments.as_deref().map(value));
    while let Some(row) = rows.next()? {
        let row = known(row)?;
        if row.seq != mine.seq && !row.told.meets(&mine.told) && mine.is_also(&row, wanted.as_ref()) {
            found = Some(row);
        }
    }
    Ok(found)
}

impl Known {
    /// Whether the two do the same, where an id does not say it. `arguments` are this one's.
    fn is_also(&self, other: &Self, arguments: Option<&Value>) -> bool {
        match (self.own_id.is_some(), other.own_id.is_some()) {
            (true, true) => false,
            (false, false) => {
                let one_has_none = self.call_id.is_none() || other.call_id.is_none();
                one_has_none
                    && arguments.is_some()
                    && self.tool == other.tool
                    && self.may_be(other)
                    && other.arguments.as_deref().map(value).as_ref() == arguments
            }
            _ => {
                let one_made = self.call_id.is_none() || other.call_id.is_none();
                let works = self.work.as_deref().zip(other.work.as_deref());
                one_made
                    && self.turn.is_some()
                    && self.turn == other.turn
                    && works.is_some_and(|(a, b)| work::same(a, b))
            }
        }
    }

    /// Whether they happened at one time: none was over before the other began, and where they are not known to be of one turn they began at
    /// about the same time.
    fn may_be(&self, other: &Self) -> bool {
        let began = |row: &Self| {
            row.started
                .or_else(|| row.ended.zip(row.told_ms).map(|(ended, took)| ended - took))
        };
        let (a, b) = (began(self), began(other));
        let is_over = |row: &Self, began: Option<i64>| {
            row.has_end()
                && row
                    .ended
                    .zip(began)
                    .is_some_and(|(ended, began)| ended + BEHIND < began)
        };
        let is_one_turn = self.turn.is_some() && self.turn == other.turn;
        let is_far = a.zip(b).is_some_and(|(a, b)| (a - b).abs() > AHEAD);
        !is_over(self, b) && !is_over(other, a) && (is_one_turn || !is_far)
    }

    /// Two rows that are one call.
    fn absorb(&mut self, other: Self) {
        self.ended = match (self.has_end(), other.has_end()) {
            (true, false) => self.ended,
            (false, true) => other.ended,
            // A turn's end has closed the one, and the other is of a source that still runs it: it is over.
            _ => least(self.ended, other.ended),
        };
        self.success = match (self.success, other.success) {
            (Some(a), Some(b)) => Some(a && b),
            (a, b) => a.or(b),
        };
        if put(
            &mut self.arguments,
            &mut self.arguments_bytes,
            other.arguments.map(|text| (text, other.arguments_bytes)),
        ) || self.start_seq.is_none()
        {
            self.start_seq = other.start_seq.or(self.start_seq);
        }
        if put(
            &mut self.output,
            &mut self.output_bytes,
            other.output.map(|text| (text, other.output_bytes)),
        ) || self.end_seq.is_none()
        {
            self.end_seq = other.end_seq.or(self.end_seq);
        }
        self.tool = named(&self.tool, &other.tool);
        self.error = telling(self.error.take(), other.error);
        self.parent = fuller(self.parent.take(), other.parent);
        self.started = least(self.started, other.started);
        self.told_ms = least(self.told_ms, other.told_ms);
        self.work = least(self.work.take(), other.work);
        self.call_id = self.call_id.take().or(other.call_id);
        self.own_id = self.own_id.take().or(other.own_id);
        self.turn = self.turn.or(other.turn);
        self.turn_id = self.turn_id.take().or(other.turn_id);
        self.model = self.model.take().or(other.model);
        self.last_seq = self.last_seq.max(other.last_seq);
        self.told.absorb(other.told);
        self.measure();
    }
}

/// Makes one row of this and of the one that is the same call, if there is one: the older stays. What the other was counted as.
pub(super) fn unite(db: &Transaction<'_>, session: i64, row: &mut Known) -> rusqlite::Result<Change> {
    let mut change = Change::default();
    let Some(mut stays) = partner(db, session, row)? else {
        return Ok(change);
    };
    change.also = stays.counted();
    change.turn = stays.turn.map(to_seq);
    let mut goes = std::mem::take(row);
    if goes.seq < stays.seq {
        std::mem::swap(&mut goes, &mut stays);
    }
    db.prepare_cached("DELETE FROM tool_calls WHERE seq = ?1")?
        .execute([goes.seq])?;
    stays.absorb(goes);
    *row = stays;
    Ok(change)
}

/// Two turns have become this one: what was one call in both is one row.
pub(in crate::views) fn reunite(db: &Transaction<'_>, session: i64, turn: Seq) -> rusqlite::Result<Vec<Change>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM tool_calls INDEXED BY tool_calls_own WHERE session = ?1 AND own_id IS NOT NULL AND call_id IS NULL
         AND turn = ?2 ORDER BY seq LIMIT {NEWEST}"
    );
    let rows: Vec<Known> = {
        let mut statement = db.prepare_cached(&sql)?;
        let rows = statement.query_map(params![session, from_seq(turn)], known)?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    let mut changes = Vec::new();
    for mut row in rows {
        let before = row.counted();
        let mut change = unite(db, session, &mut row)?;
        if row.call_id.is_some() {
            row.store(db)?;
            (change.before, change.after) = (before, row.counted());
            changes.push(change);
        }
    }
    Ok(changes)
}
