//! What sessions did and used by the hour, and how many events by the minute: sums, of which any window is made. Folded by
//! [`super::activity`].
//!
//! Every row is of one session, so that a sum holds what its reader may see and nothing else. What no window reaches any more is
//! deleted as the fold goes on, so the tables are bounded by what happened within a month.

use std::collections::BTreeMap;

use rusqlite::{Connection, Transaction, params};
use turnwire_proto::Timestamp;

use super::{latency, preview, tools::Counted, used::Used};

/// Milliseconds of a minute.
pub(super) const MINUTE: i64 = 60_000;
/// Milliseconds of an hour: what sums are kept by.
pub(super) const HOUR: i64 = 60 * MINUTE;
/// Hours that are kept: those of the longest window.
const HOURS: i64 = 30 * 24;
/// Minutes that are kept: as many as a session's activity shows.
pub(super) const MINUTES: i64 = 30;

/// An event that is dated later than now has a row that no window has reached yet; what is too old has none.
pub(super) fn tables() -> String {
    format!(
        "CREATE TABLE usage(
            n INTEGER PRIMARY KEY, hour INTEGER NOT NULL, session INTEGER NOT NULL, model TEXT NOT NULL, turns INTEGER NOT NULL,
            tool_calls INTEGER NOT NULL, errors INTEGER NOT NULL, {}, UNIQUE (hour, session, model)
        ) STRICT;
        CREATE INDEX usage_session ON usage(session);
        CREATE TABLE latencies(
            usage INTEGER NOT NULL, tool TEXT NOT NULL, bucket INTEGER NOT NULL, calls INTEGER NOT NULL, failures INTEGER NOT NULL,
            PRIMARY KEY (usage, tool, bucket)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE minutes(
            minute INTEGER NOT NULL, session INTEGER NOT NULL, events INTEGER NOT NULL, PRIMARY KEY (minute, session)
        ) STRICT, WITHOUT ROWID;",
        Used::COLUMNS
    )
}

/// The first hour and the first minute, counted from 1970, that a window can reach.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    hour: i64,
    minute: i64,
}

impl Reach {
    pub(super) fn from(now: Timestamp) -> Self {
        Self {
            hour: now.millis().div_euclid(HOUR) - HOURS,
            minute: now.millis().div_euclid(MINUTE) - MINUTES,
        }
    }

    /// Deletes what lies before it. At the start of both tables' keys, so what stays costs nothing.
    pub(super) fn purge(self, db: &Transaction<'_>) -> rusqlite::Result<()> {
        db.prepare_cached("DELETE FROM latencies WHERE usage IN (SELECT n FROM usage WHERE hour < ?1)")?
            .execute([self.hour])?;
        db.prepare_cached("DELETE FROM usage WHERE hour < ?1")?
            .execute([self.hour])?;
        db.prepare_cached("DELETE FROM minutes WHERE minute < ?1")?
            .execute([self.minute])?;
        Ok(())
    }
}

/// What one session adds while a page is folded: a row is written once a page, not once an event.
#[derive(Debug)]
pub(super) struct Meter {
    reach: Reach,
    hours: BTreeMap<(i64, String), Hour>,
    minutes: BTreeMap<i64, i64>,
}

#[derive(Debug, Default)]
struct Hour {
    used: Used,
    turns: i64,
    tool_calls: i64,
    errors: i64,
    /// Calls and failures by tool and bucket of [`latency`].
    calls: BTreeMap<(String, i64), (i64, i64)>,
}

impl Meter {
    pub(super) const fn new(reach: Reach) -> Self {
        Self {
            reach,
            hours: BTreeMap::new(),
            minutes: BTreeMap::new(),
        }
    }

    fn hour(&mut self, at: Timestamp, model: Option<&str>) -> Option<&mut Hour> {
        let hour = at.millis().div_euclid(HOUR);
        let model = preview::head(model.unwrap_or_default(), preview::WORD).to_owned();
        (hour >= self.reach.hour).then(|| self.hours.entry((hour, model)).or_default())
    }

    /// An event, of whatever kind.
    pub(super) fn event(&mut self, at: Timestamp) {
        let minute = at.millis().div_euclid(MINUTE);
        if minute >= self.reach.minute {
            *self.minutes.entry(minute).or_default() += 1;
        }
    }

    pub(super) fn spend(&mut self, at: Timestamp, model: Option<&str>, used: Used) {
        if used != Used::default()
            && let Some(hour) = self.hour(at, model)
        {
            hour.used = hour.used + used;
        }
    }

    /// So many turns more.
    pub(super) fn turn(&mut self, at: Timestamp, model: Option<&str>, more: i64) {
        if let Some(hour) = self.hour(at, model) {
            hour.turns += more;
        }
    }

    pub(super) fn error(&mut self, at: Timestamp, model: Option<&str>) {
        if let Some(hour) = self.hour(at, model) {
            hour.errors += 1;
        }
    }

    /// So many calls more that have ended so: one, or one less where another source says it better.
    pub(super) fn call(&mut self, call: &Counted, more: i64) {
        let Some(at) = Timestamp::from_millis(call.at) else {
            return;
        };
        let Some(hour) = self.hour(at, call.model.as_deref()) else {
            return;
        };
        hour.tool_calls += more;
        let (calls, failures) = hour
            .calls
            .entry((call.tool.clone(), latency::bucket(call.took)))
            .or_default();
        *calls += more;
        *failures += if call.success { 0 } else { more };
    }

    /// Adds it to the tables.
    pub(super) fn store(&self, db: &Transaction<'_>, session: i64) -> rusqlite::Result<()> {
        for ((at, model), hour) in &self.hours {
            let mut upsert = db.prepare_cached(
                "INSERT INTO usage(hour, session, model, turns, tool_calls, errors, input_tokens, output_tokens, cache_read,
                    cache_creation, cost_usd)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
                 ON CONFLICT DO UPDATE SET turns = turns + ?4, tool_calls = tool_calls + ?5, errors = errors + ?6,
                    input_tokens = input_tokens + ?7, output_tokens = output_tokens + ?8, cache_read = cache_read + ?9,
                    cache_creation = cache_creation + ?10, cost_usd = round(cost_usd + ?11, 10)
                 RETURNING n",
            )?;
            let used = &hour.used;
            let row = params![
                at,
                session,
                model,
                hour.turns,
                hour.tool_calls,
                hour.errors,
                used.input,
                used.output,
                used.cache_read,
                used.cache_creation,
                used.cost_usd,
            ];
            let n: i64 = upsert.query_row(row, |row| row.get(0))?;
            for ((tool, bucket), (calls, failures)) in &hour.calls {
                let mut upsert = db.prepare_cached(
                    "INSERT INTO latencies VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT DO UPDATE SET calls = calls + ?4, failures = failures + ?5",
                )?;
                upsert.execute(params![n, tool, bucket, calls, failures])?;
            }
        }
        for (minute, events) in &self.minutes {
            let mut upsert = db.prepare_cached(
                "INSERT INTO minutes VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET events = events + ?3",
            )?;
            upsert.execute(params![minute, session, events])?;
        }
        Ok(())
    }
}

/// A session was deleted.
pub(super) fn erased(db: &Transaction<'_>, session: i64) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM latencies WHERE usage IN (SELECT n FROM usage WHERE session = ?1)",
        "DELETE FROM usage WHERE session = ?1",
        "DELETE FROM minutes WHERE session = ?1",
    ] {
        db.prepare_cached(sql)?.execute([session])?;
    }
    Ok(())
}

/// Events of each minute up to the one of `now`, by session.
pub(super) fn activity(db: &Connection, now: Timestamp, mut each: impl FnMut(i64, usize, i64)) -> rusqlite::Result<()> {
    let first = now.millis().div_euclid(MINUTE) - MINUTES + 1;
    let mut rows = db.prepare_cached("SELECT session, minute, events FROM minutes WHERE minute BETWEEN ?1 AND ?2")?;
    let mut rows = rows.query([first, first + MINUTES - 1])?;
    while let Some(row) = rows.next()? {
        let at = usize::try_from(row.get::<_, i64>(1)? - first).unwrap_or_default();
        each(row.get(0)?, at, row.get(2)?);
    }
    Ok(())
}

/// What each session has used since midnight, UTC.
pub(super) fn today(db: &Connection, now: Timestamp, mut each: impl FnMut(i64, Used)) -> rusqlite::Result<()> {
    let hour = now.millis().div_euclid(HOUR);
    let mut rows = db.prepare_cached(
        "SELECT session, sum(input_tokens), sum(output_tokens), sum(cache_read), sum(cache_creation), round(total(cost_usd), 10)
         FROM usage WHERE hour BETWEEN ?1 AND ?2 GROUP BY session",
    )?;
    let mut rows = rows.query([hour - hour.rem_euclid(24), hour])?;
    while let Some(row) = rows.next()? {
        each(row.get(0)?, Used::read(row, 1)?);
    }
    Ok(())
}
