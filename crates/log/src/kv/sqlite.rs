//! A [`Kv`] in a SQLite file of its own, `state.db`, which several processes may have open.
//!
//! One thread owns the connection, so that nothing here ever blocks the runtime. It also asks four times a second whether
//! another process has changed the file, and deletes entries whose time has come.

use std::{
    fs, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, RecvTimeoutError, SyncSender, TrySendError},
    },
    thread,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, Transaction, TransactionBehavior, named_params};
use tokio::sync::{oneshot, watch};
use turnwire_proto::Timestamp;

use super::{Entry, Kv};
use crate::{Level, StoreError};

/// The file's name in the data directory.
const FILE: &str = "state.db";
/// What `PRAGMA user_version` says of the tables below. A file with a larger one was written by a newer Turnwire.
const VERSION: i64 = 1;
/// Calls that wait for the thread. Each is small; more than this at once is a fault of the caller's.
const QUEUE: usize = 1024;
/// How often another process's changes are looked for: well within the second that [`Kv::changes`] promises.
const LOOK: Duration = Duration::from_millis(250);
/// How often entries whose time has come are deleted. They are hidden before that.
const SWEEP: Duration = Duration::from_secs(60);
/// How long a write waits for another process's write: those take milliseconds.
const BUSY: Duration = Duration::from_secs(5);

const SCHEMA: &str = "
    CREATE TABLE revision (latest INTEGER NOT NULL) STRICT;
    INSERT INTO revision VALUES (0);
    CREATE TABLE entries (
        bucket TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, revision INTEGER NOT NULL, expires INTEGER,
        PRIMARY KEY (bucket, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX ending ON entries (expires) WHERE expires IS NOT NULL;
";

/// A [`Kv`] in `state.db`. Its thread ends with the handle, after the calls that it was given.
#[derive(Debug)]
pub struct SqliteKv {
    jobs: SyncSender<Job>,
    /// Calls that wait for the thread.
    waiting: Arc<AtomicUsize>,
    changes: watch::Receiver<u64>,
}

type Job = Box<dyn FnOnce(&mut Owner) + Send>;

impl SqliteKv {
    /// Opens `state.db` in `dir`, both made when they are not there, readable by nobody else. Blocks for some milliseconds.
    ///
    /// # Errors
    /// The file cannot be opened, is no database, or was written by a newer version.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let file = dir.join(FILE);
        let failed = |source: Failure| source.doing(&format!("open {}", file.display()));
        let connection = open(&file).map_err(failed)?;
        let (jobs, queue) = mpsc::sync_channel(QUEUE);
        let (sender, changes) = watch::channel(0);
        let mut owner = Owner::new(connection, sender).map_err(failed)?;
        thread::Builder::new()
            .name("turnwire-state".into())
            .spawn(move || owner.run(&queue))
            .map_err(|error| failed(error.into()))?;
        Ok(Self {
            jobs,
            waiting: Arc::default(),
            changes,
        })
    }

    async fn call<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&mut Owner) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let waiting = Arc::clone(&self.waiting);
        waiting.fetch_add(1, Ordering::Relaxed);
        let job: Job = Box::new(move |owner| {
            waiting.fetch_sub(1, Ordering::Relaxed);
            // Nobody may wait for it any more; it is done all the same.
            let _ = answer.send(work(owner));
        });
        self.jobs.try_send(job).map_err(|error| {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            match error {
                TrySendError::Full(_) => Failure::Busy.doing(doing),
                TrySendError::Disconnected(_) => Failure::Stopped.doing(doing),
            }
        })?;
        answered
            .await
            .unwrap_or(Err(Failure::Stopped))
            .map_err(|failure| failure.doing(doing))
    }
}

/// Why a call failed, before it is known what the call was.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it has version {0}, and this Turnwire knows up to {VERSION}: use the newer Turnwire that wrote it")]
    Newer(i64),
    #[error("{QUEUE} calls wait already")]
    Busy,
    #[error("its thread has stopped")]
    Stopped,
}

impl Failure {
    fn doing(self, doing: &str) -> StoreError {
        StoreError {
            doing: doing.to_owned(),
            retry: self.retry(),
            source: Box::new(self),
        }
    }

    /// Whether it may work later: somebody may end another write, make room, or mend permissions meanwhile.
    fn retry(&self) -> bool {
        match self {
            Self::Busy | Self::Io(_) => true,
            Self::Stopped | Self::Newer(_) => false,
            Self::Sqlite(error) => matches!(
                error.sqlite_error_code(),
                Some(
                    ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                        | ErrorCode::DiskFull
                        | ErrorCode::ReadOnly
                        | ErrorCode::CannotOpen
                        | ErrorCode::SystemIoFailure
                )
            ),
        }
    }

    fn is_busy(&self) -> bool {
        matches!(self, Self::Sqlite(error) if matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
        ))
    }
}

/// Opens the file, makes it private and brings its tables up to date.
fn open(file: &Path) -> Result<Connection, Failure> {
    make_private(file)?;
    let mut connection = Connection::open(file)?;
    connection.busy_timeout(BUSY)?;
    into_wal(&connection)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // Exclusive from its start, so that of two processes that find an empty file one makes the tables.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    match transaction.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))? {
        0 => {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        VERSION => {}
        newer => return Err(Failure::Newer(newer)),
    }
    transaction.commit()?;
    Ok(connection)
}

/// The switch to WAL needs the file alone for a moment, and SQLite does not wait for that by itself.
fn into_wal(connection: &Connection) -> Result<(), Failure> {
    let give_up = Instant::now() + BUSY;
    loop {
        let switched = connection
            .pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
            .map_err(Failure::from);
        match switched {
            Err(failure) if failure.is_busy() && Instant::now() < give_up => thread::sleep(Duration::from_millis(5)),
            other => return other,
        }
    }
}

/// Makes the directory and the file if need be, and the file readable by its owner alone. SQLite gives its side files the
/// same mode.
#[cfg(unix)]
fn make_private(file: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
    if let Some(dir) = file.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    // Not truncated: it may be another process's.
    let opened = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(file)?;
    if opened.metadata()?.permissions().mode() & 0o077 != 0 {
        opened.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn make_private(file: &Path) -> io::Result<()> {
    file.parent().map_or(Ok(()), fs::create_dir_all)
}

/// What the thread owns.
struct Owner {
    connection: Connection,
    changes: watch::Sender<u64>,
    data_version: i64,
    looked: Instant,
    swept: Option<Instant>,
}

impl Owner {
    fn new(connection: Connection, changes: watch::Sender<u64>) -> Result<Self, Failure> {
        Ok(Self {
            data_version: data_version(&connection)?,
            connection,
            changes,
            looked: Instant::now(),
            swept: None,
        })
    }

    fn run(&mut self, queue: &mpsc::Receiver<Job>) {
        loop {
            match queue.recv_timeout(LOOK.saturating_sub(self.looked.elapsed())) {
                Ok(job) => job(self),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.looked.elapsed() >= LOOK {
                self.looked = Instant::now();
                if let Err(error) = self.look().and_then(|()| self.sweep()) {
                    // Told by every call that meets it as well, so it is no more than a hint here.
                    tracing::debug!(%error, "state.db cannot be looked at");
                }
            }
        }
    }

    /// Tells of another process's changes. The number changes only by commits of other connections.
    fn look(&mut self) -> Result<(), Failure> {
        let now = data_version(&self.connection)?;
        if now != self.data_version {
            self.data_version = now;
            self.tell();
        }
        Ok(())
    }

    fn tell(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn sweep(&mut self) -> Result<(), Failure> {
        if self.swept.is_some_and(|at| at.elapsed() < SWEEP) {
            return Ok(());
        }
        self.swept = Some(Instant::now());
        let now = Timestamp::now().millis();
        // Looked for first, so that an idle server writes nothing.
        let ended = self
            .connection
            .prepare_cached("SELECT 1 FROM entries WHERE expires <= ?1 LIMIT 1")?
            .exists([now])?;
        if ended {
            self.connection
                .prepare_cached("DELETE FROM entries WHERE expires <= ?1")?
                .execute([now])?;
        }
        Ok(())
    }

    /// Runs `work` with the next revision; commits and tells when it answers that it has changed something.
    fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>, i64) -> rusqlite::Result<Option<T>>,
    ) -> Result<Option<T>, Failure> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let revision = transaction
            .prepare_cached("UPDATE revision SET latest = latest + 1 RETURNING latest")?
            .query_row([], |row| row.get(0))?;
        let Some(done) = work(&transaction, revision)? else {
            return Ok(None); // Dropped, and so rolled back.
        };
        transaction.commit()?;
        self.tell();
        Ok(Some(done))
    }
}

fn data_version(connection: &Connection) -> Result<i64, Failure> {
    Ok(connection
        .prepare_cached("PRAGMA data_version")?
        .query_row([], |row| row.get(0))?)
}

/// An entry from the columns `value, revision, expires`.
fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        value: row.get(0)?,
        revision: row.get::<_, i64>(1)?.cast_unsigned(),
        expires: row.get::<_, Option<i64>>(2)?.and_then(Timestamp::from_millis),
    })
}

/// An entry's place and content, owned by the job that writes it.
struct Written {
    bucket: String,
    key: String,
    value: Vec<u8>,
    expires: Option<i64>,
}

impl Written {
    fn new(bucket: &str, key: &str, value: &[u8], expires: Option<Timestamp>) -> Self {
        Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            value: value.to_vec(),
            expires: expires.map(Timestamp::millis),
        }
    }

    /// Writes it over an entry that had ended by `ended_by`, or over none. Answers whether it was written.
    fn insert(&self, into: &Transaction<'_>, revision: i64, ended_by: i64) -> rusqlite::Result<bool> {
        into.prepare_cached(
            "INSERT INTO entries (bucket, key, value, revision, expires) VALUES (:bucket, :key, :value, :revision, :expires)
             ON CONFLICT DO UPDATE SET value = excluded.value, revision = excluded.revision, expires = excluded.expires
             WHERE ifnull(entries.expires, :never) <= :ended_by",
        )?
        .execute(named_params! {
            ":bucket": self.bucket, ":key": self.key, ":value": self.value, ":revision": revision,
            ":expires": self.expires, ":never": i64::MAX, ":ended_by": ended_by,
        })
        .map(|rows| rows > 0)
    }
}

#[async_trait]
impl Kv for SqliteKv {
    async fn get(&self, bucket: &str, key: &str) -> Result<Option<Entry>, StoreError> {
        let place = (bucket.to_owned(), key.to_owned());
        self.call("read from state.db", move |owner| {
            let now = Timestamp::now().millis();
            Ok(owner
                .connection
                .prepare_cached(
                    "SELECT value, revision, expires FROM entries
                     WHERE bucket = ?1 AND key = ?2 AND (expires IS NULL OR expires > ?3)",
                )?
                .query_row((place.0, place.1, now), entry)
                .optional()?)
        })
        .await
    }

    async fn put(&self, bucket: &str, key: &str, value: &[u8], expires: Option<Timestamp>) -> Result<u64, StoreError> {
        let written = Written::new(bucket, key, value, expires);
        self.call("write to state.db", move |owner| {
            // Whatever was there counts as ended.
            let done = owner.write(|tx, revision| {
                written.insert(tx, revision, i64::MAX)?;
                Ok(Some(revision.cast_unsigned()))
            });
            done.map(|revision| revision.expect("the closure always answers one"))
        })
        .await
    }

    async fn create(
        &self,
        bucket: &str,
        key: &str,
        value: &[u8],
        expires: Option<Timestamp>,
    ) -> Result<Option<u64>, StoreError> {
        let written = Written::new(bucket, key, value, expires);
        self.call("write to state.db", move |owner| {
            owner.write(|tx, revision| {
                let done = written.insert(tx, revision, Timestamp::now().millis())?;
                Ok(done.then(|| revision.cast_unsigned()))
            })
        })
        .await
    }

    async fn update(
        &self,
        bucket: &str,
        key: &str,
        value: &[u8],
        expires: Option<Timestamp>,
        expected: u64,
    ) -> Result<Option<u64>, StoreError> {
        let written = Written::new(bucket, key, value, expires);
        self.call("write to state.db", move |owner| {
            owner.write(|tx, revision| {
                let rows = tx
                    .prepare_cached(
                        "UPDATE entries SET value = :value, revision = :revision, expires = :expires
                         WHERE bucket = :bucket AND key = :key AND revision = :expected
                         AND (expires IS NULL OR expires > :now)",
                    )?
                    .execute(named_params! {
                        ":bucket": written.bucket, ":key": written.key, ":value": written.value,
                        ":revision": revision, ":expires": written.expires,
                        ":expected": expected.cast_signed(), ":now": Timestamp::now().millis(),
                    })?;
                Ok((rows > 0).then(|| revision.cast_unsigned()))
            })
        })
        .await
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<bool, StoreError> {
        let place = (bucket.to_owned(), key.to_owned());
        self.call("delete from state.db", move |owner| {
            let done = owner.write(|tx, _| {
                let rows = tx
                    .prepare_cached(
                        "DELETE FROM entries
                         WHERE bucket = ?1 AND key = ?2 AND (expires IS NULL OR expires > ?3)",
                    )?
                    .execute((place.0, place.1, Timestamp::now().millis()))?;
                Ok((rows > 0).then_some(()))
            });
            done.map(|deleted| deleted.is_some())
        })
        .await
    }

    async fn list(&self, bucket: &str) -> Result<Vec<(String, Entry)>, StoreError> {
        let bucket = bucket.to_owned();
        self.call("list state.db", move |owner| {
            let mut statement = owner.connection.prepare_cached(
                "SELECT value, revision, expires, key FROM entries
                 WHERE bucket = ?1 AND (expires IS NULL OR expires > ?2) ORDER BY key",
            )?;
            let rows = statement.query_map((bucket, Timestamp::now().millis()), |row| {
                Ok((row.get(3)?, entry(row)?))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    fn level(&self) -> Option<Level> {
        Some(Level {
            bound: "state_queue",
            used: self.waiting.load(Ordering::Relaxed),
            limit: QUEUE,
        })
    }

    fn changes(&self) -> watch::Receiver<u64> {
        let mut changes = self.changes.clone();
        changes.mark_unchanged();
        changes
    }
}

#[cfg(test)]
mod tests;
