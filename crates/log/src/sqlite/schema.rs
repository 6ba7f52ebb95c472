//! The tables on disk, their version, and how an older version becomes the present one.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, config::DbConfig};
use turnwire_proto::{Epoch, Seq};

use super::OpenError;

/// `log.db`'s `user_version`. A database of a newer one is refused.
const VERSION: i64 = 1;
/// `index.db`'s `user_version`. A database of another one is deleted and built anew.
const INDEX_VERSION: i64 = 1;

/// Each step lifts the schema by one version.
///
/// `events.body` is what `NewEvent::encode_body` wrote: the event's JSON without its place. The columns before it are
/// copies of what selectors look at, so that a filter never reads a long body's overflow pages; `ts` is what an event's age is
/// counted from.
const STEPS: [&str; 1] = ["
    CREATE TABLE events(
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id BLOB NOT NULL,
        ts INTEGER NOT NULL,
        type TEXT NOT NULL,
        source TEXT NOT NULL,
        agent TEXT,
        session TEXT,
        body BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX events_id ON events(id);
    CREATE TABLE raws(seq INTEGER PRIMARY KEY, raw BLOB NOT NULL) STRICT;
    CREATE TABLE meta(key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
"];

const INDEX: &str = "
    CREATE TABLE names(no INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
    CREATE TABLE places(session INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY(session, seq)) STRICT, WITHOUT ROWID;
    CREATE TABLE state(one INTEGER PRIMARY KEY CHECK (one = 1), epoch BLOB NOT NULL, reached INTEGER NOT NULL) STRICT;
";

/// What `meta` says of the log when it is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meta {
    pub(super) epoch: Epoch,
    pub(super) first: Seq,
    pub(super) first_delta: Seq,
    pub(super) head: Seq,
}

/// Opens `log.db` for writing, making or lifting it as needed.
pub(super) fn open_writer(path: &Path) -> Result<(Connection, Meta), OpenError> {
    let mut db = Connection::open(path)?;
    // Pages of 8 KiB: a commit of many events is half as many writes as with SQLite's 4, one of a single event is no slower.
    // 8 MiB of cache is what the tables' growing ends need. Checkpoints run on a thread of their own (checkpoint.rs).
    db.execute_batch(
        "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
         PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = OFF;",
    )?;
    stable_plans(&db)?;
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version > VERSION {
        return Err(OpenError::Newer {
            found: version,
            known: VERSION,
        });
    }
    let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    for step in STEPS.iter().skip(usize::try_from(version).unwrap_or(0)) {
        tx.execute_batch(step)?;
    }
    tx.execute(
        "INSERT OR IGNORE INTO meta VALUES ('epoch', ?1), ('first', 1), ('first_delta', 1)",
        [Epoch::new().as_bytes().as_slice()],
    )?;
    tx.pragma_update(None, "user_version", VERSION)?;
    tx.commit()?;
    let meta = read_meta(&db)?;
    Ok((db, meta))
}

fn read_meta(db: &Connection) -> Result<Meta, OpenError> {
    let number = |key: &str| -> rusqlite::Result<Seq> {
        let value: i64 = db.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))?;
        Ok(to_seq(value))
    };
    let epoch: Vec<u8> = db.query_row("SELECT value FROM meta WHERE key = 'epoch'", [], |row| row.get(0))?;
    let epoch = <[u8; 16]>::try_from(epoch).map_err(|_| OpenError::Damaged("meta.epoch is not 16 bytes".into()))?;
    // The newest place ever given, which may be of an event that is no longer kept.
    let head: Option<i64> = match db.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'events'", [], |r| {
        r.get(0)
    }) {
        Err(rusqlite::Error::QueryReturnedNoRows) => None,
        other => Some(other?),
    };
    Ok(Meta {
        epoch: Epoch::from_bytes(epoch),
        first: number("first")?,
        first_delta: number("first_delta")?,
        head: to_seq(head.unwrap_or(0)),
    })
}

/// Opens `index.db` for writing; one of another log or version is begun anew, for all that it says can be read again.
pub(super) fn open_index(path: &Path, epoch: Epoch) -> Result<Connection, OpenError> {
    match try_index(path, epoch) {
        Ok(Some(db)) => return Ok(db),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, "the session index is damaged and is built anew"),
    }
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    try_index(path, epoch)?.ok_or_else(|| OpenError::Damaged("index.db cannot be built anew".into()))
}

fn try_index(path: &Path, epoch: Epoch) -> rusqlite::Result<Option<Connection>> {
    let db = Connection::open(path)?;
    // NORMAL never damages a WAL database; what power loss takes away is read again from the log.
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -4096;")?;
    stable_plans(&db)?;
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version == 0 {
        db.execute_batch(&format!(
            "BEGIN; {INDEX} PRAGMA user_version = {INDEX_VERSION}; COMMIT;"
        ))?;
        db.execute("INSERT INTO state VALUES (1, ?1, 0)", [epoch.as_bytes().as_slice()])?;
        return Ok(Some(db));
    }
    let of: Vec<u8> = db.query_row("SELECT epoch FROM state", [], |row| row.get(0))?;
    Ok((version == INDEX_VERSION && of == epoch.as_bytes()).then_some(db))
}

/// Opens a reader of `log.db` with `index.db` beside it as `idx`.
pub(super) fn open_reader(log: &Path, index: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let db = Connection::open_with_flags(log, flags)?;
    db.execute("ATTACH ?1 AS idx", [index.to_string_lossy()])?;
    // A cache of 1 MiB a reader: long reads go through the page cache of the kernel.
    db.execute_batch(
        "PRAGMA query_only = ON; PRAGMA cache_size = -1024; PRAGMA idx.cache_size = -512; PRAGMA busy_timeout = 5000;",
    )?;
    stable_plans(&db)?;
    db.set_prepared_statement_cache_capacity(32);
    Ok(db)
}

/// A statement's plan is the same whatever is bound to it. Otherwise SQLite prepares those anew at each run whose plan it thinks may
/// depend on a value, such as a `LIMIT`.
pub(super) fn stable_plans(db: &Connection) -> rusqlite::Result<()> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// A place that the database gave: never negative and below 2^53 by construction.
pub(super) fn to_seq(value: i64) -> Seq {
    u64::try_from(value).ok().and_then(Seq::new).unwrap_or(Seq::MAX)
}

/// A place as the database takes it.
pub(super) fn from_seq(seq: Seq) -> i64 {
    i64::try_from(seq.get()).unwrap_or(i64::MAX)
}
