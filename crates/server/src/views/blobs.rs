//! Which events name which blobs: who may see such an event may have the blob, and what no event names any more is collected.

use rusqlite::{Connection, Transaction, params};
use turnwire_proto::{Event, Kind, PUBLIC_SOURCE, Seq, Visibility};

use super::{FORGET, from_seq};
use crate::door::listed;

pub(super) const TABLES: &str = "
    CREATE TABLE blobs(
        hash TEXT NOT NULL, seq INTEGER NOT NULL, session TEXT, media_type TEXT NOT NULL, delta INTEGER NOT NULL,
        PRIMARY KEY (hash, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX blobs_by_place ON blobs (seq);
    CREATE INDEX blobs_by_session ON blobs (session);
";

pub(super) fn fold(db: &Transaction<'_>, events: &[Event]) -> rusqlite::Result<()> {
    events.iter().try_for_each(|event| one(db, event))
}

fn one(db: &Transaction<'_>, event: &Event) -> rusqlite::Result<()> {
    // The server alone writes it.
    if event.kind == Kind::HISTORY_TRIMMED {
        return trimmed(db, event);
    }
    let Some(refs) = listed(event.data.get()) else {
        return Ok(());
    };
    let session = event
        .session_id
        .as_ref()
        .filter(|_| event.source.as_str() != PUBLIC_SOURCE);
    let mut insert = db.prepare_cached("INSERT OR IGNORE INTO blobs VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for blob in refs {
        let session = session.map(AsRef::<str>::as_ref);
        insert.execute(params![
            blob.hash,
            from_seq(event.seq),
            session,
            blob.media_type,
            event.kind.is_delta()
        ])?;
    }
    Ok(())
}

/// A session was erased, or deltas were trimmed. What was trimmed from the start of the log is [`forget`]'s.
fn trimmed(db: &Transaction<'_>, event: &Event) -> rusqlite::Result<()> {
    let seq = from_seq(event.seq);
    if let Some(session) = &event.session_id {
        let sql = "DELETE FROM blobs WHERE session = ?1 AND seq < ?2";
        db.prepare_cached(sql)?.execute(params![session.as_str(), seq])?;
    } else if let Ok(body) = event.data.read::<turnwire_proto::HistoryTrimmed>() {
        let sql = "DELETE FROM blobs WHERE delta AND seq < ?1";
        db.prepare_cached(sql)?.execute([from_seq(body.before)])?;
    }
    Ok(())
}

pub(super) fn forget(db: &Transaction<'_>, first: Seq) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM blobs WHERE (hash, seq) IN (SELECT hash, seq FROM blobs WHERE seq < ?1 LIMIT ?2)";
    db.prepare_cached(sql)?.execute(params![from_seq(first), FORGET])
}

/// What a blob is, if an event names it that may be seen.
pub(crate) fn media_type(db: &Connection, hash: &str, visible: &Visibility) -> rusqlite::Result<Option<String>> {
    let mut statement = db.prepare_cached("SELECT DISTINCT session, media_type FROM blobs WHERE hash = ?1")?;
    let mut rows = statement.query([hash])?;
    while let Some(row) = rows.next()? {
        let session: Option<String> = row.get(0)?;
        let allowed = session.map_or_else(|| visible.allows_public(), |session| visible.allows_session(&session));
        if allowed {
            return row.get(1).map(Some);
        }
    }
    Ok(None)
}

/// Those that no event names.
pub(crate) fn unnamed(db: &Connection, hashes: Vec<String>) -> rusqlite::Result<Vec<String>> {
    let mut statement = db.prepare_cached("SELECT 1 FROM blobs WHERE hash = ?1 LIMIT 1")?;
    let mut unnamed = Vec::new();
    for hash in hashes {
        if !statement.exists([&hash])? {
            unnamed.push(hash);
        }
    }
    Ok(unnamed)
}
