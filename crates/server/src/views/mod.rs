//! Views: tables folded from the log, beside it. They can be deleted and are built anew; no event is only here.
//!
//! To add one: write `views/foo.rs` with its tables and its fold, and add a line to `VIEWS`.

mod activity;
pub(crate) mod approvals;
pub(crate) mod blobs;
pub(crate) mod commands;
mod current;
mod latency;
mod loose;
mod meter;
mod preview;
pub(crate) mod runs;
pub(crate) mod search;
pub(crate) mod sessions;
pub(crate) mod silent;
pub(crate) mod state;
mod told;
pub(crate) mod tools;
pub(crate) mod turns;
pub(crate) mod usage;
mod used;
pub(crate) mod window;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags, Row, Transaction, config::DbConfig, params};
use tokio::sync::{oneshot, watch};
use turnwire_log::{
    Limit, Log, StoreError,
    sqlite::{busy, yield_to_others},
};
use turnwire_proto::{Epoch, Event, Selector, Seq, Timestamp};

/// A change of any view's tables or fold raises it; then all are built anew.
const VERSION: i64 = 10;
/// Bytes of events that one transaction folds.
const STEP: Limit = Limit {
    events: 2000,
    bytes: 1024 * 1024,
};
/// Rows that one transaction deletes when the log was trimmed.
const FORGET: u16 = 2000;
/// How long after an error the next try is.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a request waits until the views have reached what it must see.
const REACH: Duration = Duration::from_secs(5);
/// People wait for the views when they chat and decide: on a machine that is full, 19 would leave them a sixtieth of a core.
const NICENESS: i32 = 10;
/// Connections that are kept for reading.
const IDLE: usize = 2;
/// Statements that a connection keeps prepared: all that there are.
const STATEMENTS: usize = 128;
/// Bytes of texts in one page of rows, as in one of history.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// One view: its tables, what a page of events does to them, and how they forget what the log has trimmed.
struct View {
    tables: fn() -> String,
    fold: fn(&Transaction<'_>, &[Event]) -> rusqlite::Result<()>,
    /// Deletes what is of events before this place alone, at most [`FORGET`] rows. How many it deleted.
    forget: fn(&Transaction<'_>, Seq) -> rusqlite::Result<usize>,
}

const VIEWS: &[View] = &[
    commands::VIEW,
    View {
        tables: sessions::tables,
        fold: activity::fold,
        forget: sessions::forget,
    },
    View {
        tables: turns::tables,
        fold: with_sessions,
        forget: turns::forget,
    },
    View {
        tables: || tools::TABLES.to_owned(),
        fold: with_sessions,
        forget: tools::forget,
    },
    View {
        tables: || approvals::TABLES.to_owned(),
        fold: with_sessions,
        forget: approvals::forget,
    },
    View {
        tables: || runs::TABLES.to_owned(),
        fold: with_sessions,
        forget: runs::forget,
    },
    View {
        tables: meter::tables,
        fold: with_sessions,
        // It deletes by time, as it goes on; what is of a session that was forgotten is in no sum.
        forget: |_, _| Ok(0),
    },
    View {
        tables: loose::tables,
        fold: with_sessions,
        forget: loose::forget,
    },
    View {
        tables: || blobs::TABLES.to_owned(),
        fold: blobs::fold,
        forget: blobs::forget,
    },
    View {
        tables: || search::TABLES.to_owned(),
        fold: search::fold,
        forget: search::forget,
    },
];

/// One line of a text, at most 160 characters.
pub(crate) fn one_line(text: &str) -> String {
    preview::line(text)
}

/// Of what [`activity`] folds beside its session.
fn with_sessions(_: &Transaction<'_>, _: &[Event]) -> rusqlite::Result<()> {
    Ok(())
}

/// Rows of one answer.
#[derive(Debug)]
pub(crate) struct Paged<T> {
    pub(crate) rows: Vec<T>,
    /// Where the next page goes on; `None` when there is none.
    pub(crate) next: Option<Seq>,
    limit: usize,
    bytes: usize,
    last: Option<Seq>,
}

impl<T> Paged<T> {
    const fn new(limit: usize) -> Self {
        Self {
            rows: Vec::new(),
            next: None,
            limit,
            bytes: 0,
            last: None,
        }
    }

    /// Takes one more row with its place. Whether there was room; one row there is always.
    fn take(
        &mut self,
        row: impl FnOnce() -> rusqlite::Result<(Seq, T)>,
        size: impl FnOnce(&T) -> usize,
    ) -> rusqlite::Result<bool> {
        if self.rows.len() >= self.limit || self.bytes >= PAGE_BYTES {
            self.next = self.last;
            return Ok(false);
        }
        let (place, row) = row()?;
        self.bytes += size(&row);
        self.last = Some(place);
        self.rows.push(row);
        Ok(true)
    }
}

/// The handle. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Views {
    reached: watch::Receiver<Seq>,
    approvals: watch::Receiver<Seq>,
    readers: Arc<Readers>,
}

#[derive(Debug)]
struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

/// The thread that folds; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Folding {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Folding {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has said so if it panicked.
            let _ = thread.join();
        }
    }
}

impl Views {
    /// Opens the views in `dir` and begins to fold.
    pub(crate) fn open(
        dir: &Path,
        log: Arc<dyn Log>,
        epoch: Epoch,
        tail: watch::Receiver<Seq>,
    ) -> Result<(Self, Folding), StoreError> {
        let path = dir.join("views.db");
        let (db, reached) = open(&path, epoch).map_err(|source| error("open views.db", source))?;
        let (told, receiver) = watch::channel(reached);
        let (told_approvals, approvals) = watch::channel(Seq::ZERO);
        let (stop, stopped) = oneshot::channel();
        let folder = Folder {
            db,
            log,
            told,
            told_approvals,
            // What was trimmed while nobody looked goes with the first step.
            first: Seq::ZERO,
        };
        let thread = std::thread::Builder::new()
            .name("views".into())
            .spawn(move || folder.run(tail, stopped))
            .map_err(|source| StoreError {
                doing: "start the views".into(),
                retry: true,
                source: source.into(),
            })?;
        let readers = Arc::new(Readers {
            path,
            idle: Mutex::default(),
        });
        Ok((
            Self {
                reached: receiver,
                approvals,
                readers,
            },
            Folding {
                stop: Some(stop),
                thread: Some(thread),
            },
        ))
    }

    /// How far they are.
    pub(crate) fn reached(&self) -> Seq {
        *self.reached.borrow()
    }

    /// Changes when an approval has: a wake-up, not a queue.
    pub(crate) fn approvals(&self) -> watch::Receiver<Seq> {
        self.approvals.clone()
    }

    /// Looks whether they can be read and are folded on; how far they are does not matter.
    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        if self.reached.has_changed().is_err() {
            return Err(StoreError {
                doing: "fold the views".into(),
                retry: false,
                source: "their thread has ended".into(),
            });
        }
        self.read(|db| db.query_row("SELECT 1 FROM state", [], |_| Ok(())))
            .await
    }

    /// Waits until everything up to `seq` is folded, or for a bounded time. How far the views are.
    pub(crate) async fn reach(&self, seq: Seq) -> Seq {
        let mut reached = self.reached.clone();
        // Late views answer what they have, and say how far that is.
        let _ = tokio::time::timeout(REACH, reached.wait_for(|reached| *reached >= seq)).await;
        *reached.borrow()
    }

    /// Runs queries that see one moment, and says up to which place the log is folded in it: following from there misses and
    /// repeats nothing.
    pub(crate) async fn snapshot<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<(Seq, T), StoreError> {
        self.read(move |db| {
            // Only reads, so that nothing is undone when it ends; nobody else has this connection.
            let moment = db.unchecked_transaction()?;
            let reached = moment.query_row("SELECT reached FROM state", [], |row| row.get(0))?;
            Ok((to_seq(reached), query(&moment)?))
        })
        .await
    }

    /// Runs a query on a thread that may block.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let readers = self.readers.clone();
        let work = move || {
            let idle = readers
                .idle
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .pop();
            let db = idle.map_or_else(|| reader(&readers.path), Ok)?;
            let answer = query(&db)?;
            let mut idle = readers.idle.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if idle.len() < IDLE {
                idle.push(db);
            }
            Ok(answer)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(answer) => answer.map_err(|source| error("read views.db", source)),
            Err(source) => Err(StoreError {
                doing: "read views.db".into(),
                retry: false,
                source: source.into(),
            }),
        }
    }
}

fn error(doing: &str, source: rusqlite::Error) -> StoreError {
    StoreError {
        doing: doing.into(),
        retry: true,
        source: source.into(),
    }
}

fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.execute_batch("PRAGMA busy_timeout = 5000; PRAGMA cache_size = -1024;")?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(db)
}

/// Opens the file; one of another log or version, or a damaged one, is begun anew.
fn open(path: &Path, epoch: Epoch) -> rusqlite::Result<(Connection, Seq)> {
    if let Ok(Some(opened)) = try_open(path, epoch) {
        return Ok(opened);
    }
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        // What cannot be removed is met again below, as an error.
        let _ = std::fs::remove_file(file);
    }
    try_open(path, epoch)?.ok_or(rusqlite::Error::InvalidQuery)
}

fn try_open(path: &Path, epoch: Epoch) -> rusqlite::Result<Option<(Connection, Seq)>> {
    let db = Connection::open(path)?;
    // NORMAL never damages a WAL database, and what power loss takes away is folded again.
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -4096;")?;
    // A statement's plan is the same whatever is bound to it: else SQLite prepares many of them anew at each run.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    // SQLite gives its other files the mode of this one.
    let _ = std::fs::set_permissions(path, mode);
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version == 0 {
        let tables: String = VIEWS.iter().map(|view| (view.tables)()).collect();
        let state = "CREATE TABLE state(one INTEGER PRIMARY KEY CHECK (one = 1), epoch BLOB NOT NULL, reached INTEGER NOT NULL) STRICT;";
        db.execute_batch(&format!(
            "BEGIN; {tables} {state} PRAGMA user_version = {VERSION}; COMMIT;"
        ))?;
        db.execute("INSERT INTO state VALUES (1, ?1, 0)", [epoch.as_bytes().as_slice()])?;
        return Ok(Some((db, Seq::ZERO)));
    }
    let (of, reached): (Vec<u8>, i64) = db.query_row("SELECT epoch, reached FROM state", [], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    let same = version == VERSION && of == epoch.as_bytes();
    Ok(same.then(|| (db, to_seq(reached))))
}

/// A place that the database gave.
fn to_seq(value: i64) -> Seq {
    u64::try_from(value).ok().and_then(Seq::new).unwrap_or(Seq::ZERO)
}

/// A place as the database takes it.
fn from_seq(seq: Seq) -> i64 {
    i64::try_from(seq.get()).unwrap_or(i64::MAX)
}

/// A moment that the database gave.
fn moment(row: &Row<'_>, at: usize) -> rusqlite::Result<Timestamp> {
    Ok(moment_if_any(row, at)?.unwrap_or(Timestamp::UNIX_EPOCH))
}

fn moment_if_any(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(at)?.and_then(Timestamp::from_millis))
}

struct Folder {
    db: Connection,
    log: Arc<dyn Log>,
    told: watch::Sender<Seq>,
    told_approvals: watch::Sender<Seq>,
    /// Nothing of events before this is left in any view.
    first: Seq,
}

impl Folder {
    fn run(mut self, mut tail: watch::Receiver<Seq>, mut stopped: oneshot::Receiver<()>) {
        yield_to_others(NICENESS);
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            return;
        };
        runtime.block_on(async move {
            loop {
                tail.mark_unchanged();
                let (began, before) = (Instant::now(), *tail.borrow());
                match self.step().await {
                    Ok(true) if stopped.try_recv() == Err(oneshot::error::TryRecvError::Empty) => {
                        if busy(before, *tail.borrow()) {
                            tokio::time::sleep((8 * began.elapsed()).min(PAUSE)).await;
                        }
                        continue;
                    }
                    Ok(true) => return,
                    Ok(false) => {}
                    Err(error) => {
                        tracing::error!(%error, "the views could not be folded");
                        tokio::select! {
                            // Both are cancel-safe.
                            () = tokio::time::sleep(PAUSE) => continue,
                            _ = &mut stopped => return,
                        }
                    }
                }
                tokio::select! {
                    // Both are cancel-safe.
                    changed = tail.changed() => if changed.is_err() { return },
                    _ = &mut stopped => return,
                }
                // Lets events gather, so that a trickle is not a transaction each.
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
        });
    }

    /// Forgets some of what was trimmed, folds the next page. Whether there may be more to do.
    async fn step(&mut self) -> Result<bool, StoreError> {
        let forgets = self.forget().await?;
        let from = *self.told.borrow();
        let page = self
            .log
            .read(&Selector::all(), from, STEP)
            .await
            .map_err(|turnwire_log::ReadError::Store(e)| e)?;
        if page.cursor <= from {
            return Ok(forgets);
        }
        let readable = |event: Result<Event, serde_json::Error>| {
            event
                .inspect_err(|error| tracing::error!(%error, "an event cannot be folded"))
                .ok()
        };
        let events: Vec<Event> = page.events().filter_map(readable).collect();
        let fold = |db: &mut Connection| -> rusqlite::Result<Seq> {
            let tx = db.transaction()?;
            VIEWS.iter().try_for_each(|view| (view.fold)(&tx, &events))?;
            tx.execute("UPDATE state SET reached = ?1", params![from_seq(page.cursor)])?;
            let approvals = approvals::newest(&tx)?;
            tx.commit()?;
            Ok(approvals)
        };
        let approvals = fold(&mut self.db).map_err(|source| error("fold the views", source))?;
        self.told.send_replace(page.cursor);
        self.told_approvals
            .send_if_modified(|told| std::mem::replace(told, approvals) != approvals);
        Ok(true)
    }

    /// Follows the log's horizon, which is what says that events are gone: an event could be published by anybody.
    async fn forget(&mut self) -> Result<bool, StoreError> {
        let bounds = self.log.bounds().await;
        let first = bounds.map_err(|turnwire_log::ReadError::Store(e)| e)?.first;
        if first <= self.first {
            return Ok(false);
        }
        let forget = |db: &mut Connection| -> rusqlite::Result<bool> {
            let tx = db.transaction()?;
            let mut more = false;
            for view in VIEWS {
                more |= (view.forget)(&tx, first)? >= usize::from(FORGET);
            }
            tx.commit()?;
            Ok(more)
        };
        let more = forget(&mut self.db).map_err(|source| error("trim the views", source))?;
        if !more {
            self.first = first;
        }
        Ok(more)
    }
}
