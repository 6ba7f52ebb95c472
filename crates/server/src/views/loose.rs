//! What was used outside of any turn, as far as is known: each `usage` by itself, since a turn that another source tells of later may be where it
//! belongs. Folded by [`super::activity`].
//!
//! Of several sources the one that tells most counts, as in a turn.

use rusqlite::{Connection, Transaction, params};
use turnwire_proto::{Event, Seq, Timestamp};

use super::{FORGET, from_seq, used::Used};

pub(super) fn tables() -> String {
    format!(
        "CREATE TABLE loose(
            seq INTEGER PRIMARY KEY, session INTEGER NOT NULL, source TEXT NOT NULL, at INTEGER NOT NULL, {}
        ) STRICT;
        CREATE INDEX loose_session ON loose(session);",
        Used::COLUMNS
    )
}

/// Keeps it. What more of the session's counts by it; `mixed` says whether several sources tell of it.
pub(super) fn keep(
    db: &Transaction<'_>,
    session: i64,
    event: &Event,
    used: Used,
    mixed: bool,
) -> rusqlite::Result<Used> {
    let before = if mixed { most(db, session)? } else { Used::default() };
    let mut insert = db.prepare_cached("INSERT OR IGNORE INTO loose VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?;
    insert.execute(params![
        from_seq(event.seq),
        session,
        event.source.as_str(),
        event.timestamp.millis(),
        used.input,
        used.output,
        used.cache_read,
        used.cache_creation,
        used.cost_usd,
    ])?;
    Ok(if mixed { most(db, session)? - before } else { used })
}

/// What counts: of the source that tells the highest cost, then the most tokens.
fn most(db: &Connection, session: i64) -> rusqlite::Result<Used> {
    let mut best = db.prepare_cached(
        "SELECT sum(input_tokens), sum(output_tokens), sum(cache_read), sum(cache_creation), round(total(cost_usd), 10) AS cost FROM loose
         WHERE session = ?1 GROUP BY source ORDER BY cost DESC, sum(input_tokens) + sum(output_tokens) DESC, source LIMIT 1",
    )?;
    let mut rows = best.query([session])?;
    rows.next()?.map_or(Ok(Used::default()), |row| Used::read(row, 0))
}

/// What is loose no more.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// By its source.
    pub(super) used: Vec<(String, Used)>,
    /// What more of the session's counts outside of turns: less.
    pub(super) more: Used,
}

/// Takes what sources that are not `known` there have told of between these two moments: it belongs to the turn that lasted from the one to the other.
pub(super) fn take(
    db: &Transaction<'_>,
    session: i64,
    (from, to): (Timestamp, Timestamp),
    known: impl Fn(&str) -> bool,
) -> rusqlite::Result<Taken> {
    let mut taken = Taken::default();
    let mut found = Vec::new();
    {
        let mut rows = db.prepare_cached(
            "SELECT seq, source, input_tokens, output_tokens, cache_read, cache_creation, cost_usd FROM loose
             WHERE session = ?1 AND at BETWEEN ?2 AND ?3 ORDER BY seq",
        )?;
        let mut rows = rows.query(params![session, from.millis(), to.millis()])?;
        while let Some(row) = rows.next()? {
            let source: String = row.get(1)?;
            if !known(&source) {
                found.push(row.get::<_, i64>(0)?);
                taken.used.push((source, Used::read(row, 2)?));
            }
        }
    }
    if found.is_empty() {
        return Ok(taken);
    }
    let before = most(db, session)?;
    for seq in found {
        db.prepare_cached("DELETE FROM loose WHERE seq = ?1")?.execute([seq])?;
    }
    taken.more = most(db, session)? - before;
    Ok(taken)
}

/// A session was deleted.
pub(super) fn erased(db: &Transaction<'_>, session: i64) -> rusqlite::Result<()> {
    db.prepare_cached("DELETE FROM loose WHERE session = ?1")?
        .execute([session])?;
    Ok(())
}

pub(super) fn forget(db: &Transaction<'_>, first: Seq) -> rusqlite::Result<usize> {
    db.prepare_cached("DELETE FROM loose WHERE seq IN (SELECT seq FROM loose WHERE seq < ?1 ORDER BY seq LIMIT ?2)")?
        .execute(params![from_seq(first), FORGET])
}
