//! opencode's database, read and never written: which sessions it has, how many events each, and what they are.
//!
//! Its table `event` only grows: a row for each change of a session, a message or a part of one, numbered within its session;
//! `event_sequence` has each session's newest number. Each question is a transaction of its own, and short.

use std::{fs, io::Read, path::Path, time::Duration};

use rusqlite::{Connection, ErrorCode, OpenFlags, params, types::ValueRef};

use crate::marks::Identity;

/// How long a question waits for a writer before it is asked later.
const BUSY: Duration = Duration::from_millis(250);
/// The largest row that is read: as the longest line of a file.
const ROW: i64 = 32 << 20;
/// Bytes of a session's rows beyond which no more are read at once.
const ROWS: u64 = 1 << 20;

/// Bytes of a file that say what kind of database it is (<https://www.sqlite.org/fileformat.html>, 1.3).
const HEADER: usize = 20;

/// Why nothing was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Somebody holds it: later.
    Busy,
    /// It is none of opencode's, or of a version that is not known.
    Other(String),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::SystemIoFailure) => {
                Self::Other(error.to_string())
            }
            _ => Self::Other(format!("it is not as opencode 1.18 makes it: {error}")),
        }
    }
}

/// A session as it stands.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) id: String,
    /// The session whose subagent it is.
    pub(crate) parent: Option<String>,
    /// The number that its next event will have.
    pub(crate) next: u64,
    /// When it changed. Milliseconds since 1970.
    pub(crate) changed: Option<i64>,
}

/// An event as it stands.
#[derive(Debug)]
pub(crate) struct Row {
    /// Grows with time, over all sessions.
    pub(crate) id: String,
    pub(crate) seq: u64,
    pub(crate) kind: String,
    /// JSON. `None` when it is too large.
    pub(crate) data: Option<String>,
    pub(crate) bytes: u64,
}

/// Rows of a session.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) session: String,
    pub(crate) rows: Vec<Row>,
    /// There may be more.
    pub(crate) cut: bool,
}

/// One that is open.
#[derive(Debug)]
pub(crate) struct Database {
    db: Connection,
    id: Identity,
    /// What SQLite counts up when another connection has written.
    version: Option<i64>,
}

/// Whether whatever is in this file has a log beside it, if it is a database. It is read without SQLite, which would lock it.
fn is_made(path: &Path) -> Result<bool, Trouble> {
    let trouble = |error: std::io::Error| Trouble::Other(error.to_string());
    let mut header = Vec::with_capacity(HEADER);
    let file = fs::File::open(path).map_err(trouble)?;
    file.take(HEADER as u64).read_to_end(&mut header).map_err(trouble)?;
    Ok(match header.strip_prefix(b"SQLite format 3\0") {
        // The versions of the format for writing and for reading are 2 of one that has a log.
        Some(rest) => rest.get(2..4) == Some(&[2, 2]),
        None => !header.is_empty(),
    })
}

impl Database {
    /// Opens it for reading. One without a log beside it is still being made: who reads it then keeps its maker from going on.
    pub(crate) fn open(path: &Path, id: Identity) -> Result<Self, Trouble> {
        if !is_made(path)? {
            return Err(Trouble::Busy);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(BUSY)?;
        Ok(Self { db, id, version: None })
    }

    /// Which file it is.
    pub(crate) const fn id(&self) -> Identity {
        self.id
    }

    /// All its sessions, if it has changed since they were last read.
    pub(crate) fn sessions(&mut self) -> Result<Option<Vec<Found>>, Trouble> {
        let version = self.db.query_row("PRAGMA data_version", [], |row| row.get(0))?;
        if self.version == Some(version) {
            return Ok(None);
        }
        let mut statement = self.db.prepare_cached(
            "SELECT q.aggregate_id, q.seq, s.parent_id, s.time_updated
             FROM event_sequence q JOIN session s ON s.id = q.aggregate_id",
        )?;
        let found = statement.query_map([], |row| {
            Ok(Found {
                id: row.get(0)?,
                next: u64::try_from(row.get::<_, i64>(1)?).map_or(0, |seq| seq + 1),
                parent: row.get(2)?,
                changed: row.get(3)?,
            })
        })?;
        let found = found.collect::<Result<_, _>>()?;
        drop(statement);
        self.version = Some(version);
        Ok(Some(found))
    }

    /// Looks at all sessions when it is asked for them next.
    pub(crate) const fn look_again(&mut self) {
        self.version = None;
    }

    /// Sessions of which it has no event: an older opencode has left them.
    pub(crate) fn without_events(&self) -> Result<u64, Trouble> {
        let sql = "SELECT count(*) FROM session WHERE id NOT IN (SELECT aggregate_id FROM event_sequence)";
        let count: i64 = self.db.query_row(sql, [], |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Bytes of all events.
    pub(crate) fn bytes(&self) -> Result<u64, Trouble> {
        let sql = "SELECT coalesce(sum(octet_length(data)), 0) FROM event";
        let bytes: i64 = self.db.query_row(sql, [], |row| row.get(0))?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    /// The next events of several sessions, each from its number on and at most so many, as they were at one moment.
    pub(crate) fn rows<'a>(
        &self,
        sessions: impl Iterator<Item = (&'a String, &'a u64)>,
        most: usize,
    ) -> Result<Vec<Rows>, Trouble> {
        let moment = self.db.unchecked_transaction()?;
        let rows = sessions.map(|(session, from)| self.rows_of(session, *from, most));
        let rows = rows.collect::<Result<_, Trouble>>()?;
        moment.finish()?;
        Ok(rows)
    }

    fn rows_of(&self, session: &str, from: u64, most: usize) -> Result<Rows, Trouble> {
        let mut statement = self.db.prepare_cached(
            "SELECT id, seq, type, CASE WHEN octet_length(data) <= ?3 THEN data END, octet_length(data)
             FROM event WHERE aggregate_id = ?1 AND seq >= ?2 ORDER BY seq",
        )?;
        let from = i64::try_from(from).unwrap_or(i64::MAX);
        let mut found = statement.query(params![session, from, ROW])?;
        let (mut rows, mut bytes, mut cut) = (Vec::new(), 0, false);
        while let Some(row) = found.next()? {
            let row = Row {
                id: row.get(0)?,
                seq: u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0),
                kind: row.get(2)?,
                data: match row.get_ref(3)? {
                    ValueRef::Text(text) | ValueRef::Blob(text) => Some(String::from_utf8_lossy(text).into_owned()),
                    _ => None,
                },
                bytes: u64::try_from(row.get::<_, Option<i64>>(4)?.unwrap_or(0)).unwrap_or(0),
            };
            bytes += row.data.as_ref().map_or(0, String::len) as u64;
            rows.push(row);
            if rows.len() >= most || bytes >= ROWS {
                cut = true;
                break;
            }
        }
        Ok(Rows {
            session: session.to_owned(),
            rows,
            cut,
        })
    }
}
