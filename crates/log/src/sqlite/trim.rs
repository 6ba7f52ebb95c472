//! Deleting what is no longer kept, in steps that are small enough to go between two commits.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};
use turnwire_proto::{Kind, Seq, Timestamp};

use super::schema::{from_seq, to_seq};
use crate::{Bounds, Retention, Trimmed};

/// Events that one step looks at.
pub(super) const STEP: usize = 2000;

/// What is to go.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// What this no longer keeps, but for its session.
    Policy(Retention),
    /// These events.
    Places(Vec<Seq>),
}

/// What one step did.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Step {
    pub(super) trimmed: Trimmed,
    pub(super) first: Seq,
    pub(super) first_delta: Seq,
    /// Whether events were deleted that have kept ones before them.
    pub(super) in_the_middle: bool,
    /// Whether there is more to do.
    pub(super) more: bool,
}

/// What is known between steps.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Bytes of bodies; counted once, when a bound on them is first asked for, and only ever too large by what was appended
    /// and trimmed since: it is counted anew after each pass.
    bytes: Option<u64>,
    /// Before this place all deltas that were to go have gone. Found again from the horizon after a start.
    deltas_from: Seq,
}

/// A run of events from the start of a range.
struct Prefix {
    /// The last place of it.
    last: Seq,
    bytes: u64,
    /// Whether it may go on behind what this step looked at.
    more: bool,
}

impl State {
    pub(super) fn step(&mut self, db: &Connection, what: &What, bounds: Bounds) -> rusqlite::Result<Step> {
        let tx = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
        let mut step = Step {
            first: bounds.first,
            first_delta: bounds.first_delta,
            ..Step::default()
        };
        match what {
            What::Policy(policy) => self.policy(&tx, policy, &mut step)?,
            What::Places(seqs) => erase(&tx, seqs, &mut step)?,
        }
        for (key, value) in [("first", step.first), ("first_delta", step.first_delta.max(step.first))] {
            tx.execute(
                "UPDATE meta SET value = ?2 WHERE key = ?1 AND value < ?2",
                params![key, from_seq(value)],
            )?;
        }
        tx.commit()?;
        if !step.more {
            self.bytes = None;
        }
        Ok(step)
    }

    fn policy(&mut self, tx: &Connection, policy: &Retention, step: &mut Step) -> rusqlite::Result<()> {
        if let Some(before) = policy.events_before
            && let Some(prefix) = older(tx, step.first, before)?
        {
            cut(tx, &prefix, step)?;
        }
        if let Some(limit) = policy.max_bytes {
            self.over(tx, limit, step)?;
        }
        if let Some(before) = policy.deltas_before {
            let from = self.deltas_from.max(step.first_delta).max(step.first);
            if let Some(prefix) = older(tx, from, before)? {
                deltas(tx, from, &prefix, step)?;
                self.deltas_from = prefix.last.next();
            }
        }
        if let Some(before) = policy.raw_before {
            raws(tx, before, step)?;
        }
        Ok(())
    }

    fn over(&mut self, db: &Connection, limit: u64, step: &mut Step) -> rusqlite::Result<()> {
        let bytes = match self.bytes {
            Some(bytes) => bytes,
            None => {
                let sum: Option<i64> = db.query_row("SELECT sum(length(body)) FROM events", [], |row| row.get(0))?;
                u64::try_from(sum.unwrap_or(0)).unwrap_or(0)
            }
        };
        self.bytes = Some(bytes);
        let Some(surplus) = bytes.checked_sub(limit).filter(|surplus| *surplus > 0) else {
            return Ok(());
        };
        let mut rows = db.prepare_cached("SELECT seq, length(body) FROM events ORDER BY seq LIMIT ?1")?;
        let mut rows = rows.query([step_rows()])?;
        let mut prefix = Prefix {
            last: Seq::ZERO,
            bytes: 0,
            more: true,
        };
        while let Some(row) = rows.next()? {
            prefix.last = to_seq(row.get(0)?);
            prefix.bytes += u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
            if prefix.bytes >= surplus {
                prefix.more = false;
                break;
            }
        }
        self.bytes = Some(bytes.saturating_sub(prefix.bytes));
        cut(db, &prefix, step)
    }
}

/// The events from `first` on that are of before `before`, up to the first newer one.
fn older(db: &Connection, first: Seq, before: Timestamp) -> rusqlite::Result<Option<Prefix>> {
    let mut rows = db.prepare_cached("SELECT seq, ts FROM events WHERE seq >= ?1 ORDER BY seq LIMIT ?2")?;
    let mut rows = rows.query([from_seq(first), step_rows()])?;
    let (mut last, mut seen) = (None, 0);
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(1)? >= before.millis() {
            break;
        }
        last = Some(to_seq(row.get(0)?));
        seen += 1;
    }
    Ok(last.map(|last| Prefix {
        last,
        bytes: 0,
        more: seen == STEP,
    }))
}

fn cut(db: &Connection, prefix: &Prefix, step: &mut Step) -> rusqlite::Result<()> {
    let last = from_seq(prefix.last);
    step.trimmed.events += count(db.execute("DELETE FROM events WHERE seq <= ?1", [last])?);
    step.trimmed.raw += count(db.execute("DELETE FROM raws WHERE seq <= ?1", [last])?);
    step.first = step.first.max(prefix.last.next());
    step.more |= prefix.more;
    Ok(())
}

fn deltas(db: &Connection, from: Seq, prefix: &Prefix, step: &mut Step) -> rusqlite::Result<()> {
    let kinds = Kind::KNOWN
        .iter()
        .filter(|kind| kind.is_delta())
        .map(|kind| format!("'{kind}'"));
    let kinds = kinds.collect::<Vec<_>>().join(",");
    let range = "seq >= ?1 AND seq <= ?2";
    let bounds = [from_seq(from), from_seq(prefix.last)];
    let raw = format!(
        "DELETE FROM raws WHERE {range} AND seq IN (SELECT seq FROM events WHERE {range} AND type IN ({kinds}))"
    );
    step.trimmed.raw += count(db.execute(&raw, bounds)?);
    let deleted = db.execute(
        &format!("DELETE FROM events WHERE {range} AND type IN ({kinds})"),
        bounds,
    )?;
    step.trimmed.events += count(deleted);
    step.in_the_middle |= deleted > 0;
    // Only what is gone is told: a range that had no deltas to lose is not a gap.
    if deleted > 0 {
        step.first_delta = step.first_delta.max(prefix.last.next());
    }
    step.more |= prefix.more;
    Ok(())
}

fn raws(db: &Connection, before: Timestamp, step: &mut Step) -> rusqlite::Result<()> {
    // By place: the lines of a step's worth of events, up to the first newer event.
    let sql = "SELECT r.seq, e.ts FROM raws r LEFT JOIN events e ON e.seq = r.seq ORDER BY r.seq LIMIT ?1";
    let mut rows = db.prepare_cached(sql)?;
    let mut rows = rows.query([step_rows()])?;
    let (mut last, mut seen) = (None, 0);
    while let Some(row) = rows.next()? {
        if row.get::<_, Option<i64>>(1)?.is_some_and(|ts| ts >= before.millis()) {
            break;
        }
        last = Some(row.get::<_, i64>(0)?);
        seen += 1;
    }
    drop(rows);
    if let Some(last) = last {
        step.trimmed.raw += count(db.execute("DELETE FROM raws WHERE seq <= ?1", [last])?);
        step.more |= seen == STEP;
    }
    Ok(())
}

fn erase(db: &Connection, seqs: &[Seq], step: &mut Step) -> rusqlite::Result<()> {
    let mut event = db.prepare_cached("DELETE FROM events WHERE seq = ?1")?;
    let mut raw = db.prepare_cached("DELETE FROM raws WHERE seq = ?1")?;
    for seq in seqs {
        step.trimmed.events += count(event.execute([from_seq(*seq)])?);
        step.trimmed.raw += count(raw.execute([from_seq(*seq)])?);
    }
    step.in_the_middle |= !seqs.is_empty();
    Ok(())
}

/// [`STEP`] as SQLite takes it.
fn step_rows() -> i64 {
    i64::try_from(STEP).unwrap_or(i64::MAX)
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
