//! The default store: SQLite, one writer thread with group commit, readers in a pool.
//!
//! Files in the data directory: `log.db` (the events), `index.db` (which events a session has; built behind the commit and
//! built anew when it is gone), `lock` (held while a process has the log open).

mod check;
mod checkpoint;
mod index;
mod insert;
mod lock;
mod read;
mod schema;
#[cfg(test)]
mod tests;
mod trim;
mod writer;

pub use index::{busy, yield_to_others};

pub use check::check;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};
use turnwire_proto::{NewEvent, Selector, Seq, Timestamp};

use crate::{
    AppendError, Appended, Bounds, Level, Limit, Log, Page, ReadError, Retention, StoreError, Trimmed, feed::Sink,
};

/// Why the log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{dir} is in use by another turnwire (process {pid}); stop it, or give this one another --data-dir", dir = .dir.display())]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// Who holds it, as it wrote itself; `?` when it cannot be read.
        pid: String,
    },
    /// A newer turnwire wrote it.
    #[error("log.db has schema version {found}, this turnwire knows up to {known}: use a newer turnwire")]
    Newer {
        /// Its version.
        found: i64,
        /// The newest one known here.
        known: i64,
    },
    /// It says something impossible.
    #[error("log.db is damaged: {0}")]
    Damaged(String),
    /// The directory or a file cannot be made or read.
    #[error("the data directory cannot be used: {0}")]
    Io(#[from] std::io::Error),
    /// SQLite cannot open it.
    #[error("log.db cannot be opened: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// What may be set.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Appends that may wait for the writer; more are refused as [`AppendError::Busy`].
    pub queue: usize,
    /// Events that one commit takes at the most, so that the first of them does not wait long.
    pub group: usize,
    /// Reads that run at once.
    pub readers: usize,
    /// Pages (8 KiB) that `log.db` may have; the disk's own bound where `None`.
    pub max_pages: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            queue: 4096,
            group: 4096,
            readers: 4,
            max_pages: None,
        }
    }
}

/// A log in a directory. Cheap to clone; the last clone's end closes it.
#[derive(Clone, Debug)]
pub struct SqliteLog {
    shared: Arc<Shared>,
}

struct Shared {
    writer: writer::Handle,
    readers: read::Pool,
    options: Options,
    wal: PathBuf,
    /// Appends that wait for the writer or are in its commit.
    waiting: AtomicUsize,
    bounds: watch::Receiver<Bounds>,
    head: watch::Receiver<Seq>,
    /// Where the session index is, for `trim` of a session and for tests.
    indexed: watch::Receiver<Seq>,
    threads: Mutex<Vec<std::thread::JoinHandle<()>>>,
    /// Freed last: another process may open the log when all threads have ended.
    _lock: lock::Lock,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteLog")
            .field("bounds", &*self.bounds.borrow())
            .finish_non_exhaustive()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.writer.close();
        let threads = std::mem::take(
            self.threads
                .get_mut()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        );
        for thread in threads {
            // A thread that panicked has said so; the lock is to be freed all the same.
            let _ = thread.join();
        }
    }
}

impl SqliteLog {
    /// Opens the log in `dir`, making both as needed.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        std::fs::create_dir_all(dir)?;
        let lock = lock::Lock::take(dir)?;
        let (log_path, index_path) = (dir.join("log.db"), dir.join("index.db"));
        let (db, meta) = schema::open_writer(&log_path)?;
        if let Some(pages) = options.max_pages {
            db.pragma_update(None, "max_page_count", pages)?;
        }
        let index_db = schema::open_index(&index_path, meta.epoch)?;
        for file in [&log_path, &index_path] {
            lock::private(file)?;
        }
        let bounds = Bounds {
            first: meta.first,
            first_delta: meta.first_delta,
            head: meta.head,
            epoch: meta.epoch,
        };
        let writer = writer::start(db, bounds, log_path.clone(), &options)?;
        let (indexed, index_thread) = index::start(index_db, &log_path, writer.head.clone(), writer.open.clone())?;
        let checkpoint_thread = checkpoint::start(&log_path, writer.head.clone(), writer.open)?;
        let readers = read::Pool::new(log_path, index_path, options.readers);
        let shared = Shared {
            wal: dir.join("log.db-wal"),
            waiting: AtomicUsize::new(0),
            options,
            bounds: writer.bounds,
            head: writer.head,
            writer: writer.handle,
            readers,
            indexed,
            threads: Mutex::new(vec![writer.thread, index_thread, checkpoint_thread]),
            _lock: lock,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Waits until the session index has reached `seq`.
    pub async fn indexed(&self, seq: Seq) {
        let mut indexed = self.shared.indexed.clone();
        // An error says that the index thread has ended: there is nothing to wait for.
        let _ = indexed.wait_for(|reached| *reached >= seq).await;
    }

    /// Deletes what `what` selects up to `head`. Its places are found by readers, so that the writer only deletes.
    async fn erase(&self, what: &Selector, head: Seq, done: &mut Trimmed) -> Result<(), StoreError> {
        let mut at = Seq::ZERO;
        while at < head {
            let page = match self.read(what, at, Limit::events(trim::STEP)).await {
                Ok(page) => page,
                Err(ReadError::Store(error)) => return Err(error),
            };
            let seqs: Vec<_> = page.marks.iter().map(|mark| mark.seq).collect();
            if !seqs.is_empty() {
                self.trim_step(trim::What::Places(seqs), done).await?;
            }
            at = page.cursor;
        }
        Ok(())
    }

    /// One step of trimming; whether there is more to do.
    async fn trim_step(&self, what: trim::What, done: &mut Trimmed) -> Result<bool, StoreError> {
        let step = self
            .ask(|reply| writer::Job::Trim { what, reply })
            .await
            .map_err(gone)??;
        done.events += step.trimmed.events;
        done.raw += step.trimmed.raw;
        Ok(step.more)
    }

    async fn ask<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> writer::Job) -> Result<T, AppendError> {
        let (reply, answer) = oneshot::channel();
        self.shared.writer.send(make(reply))?;
        answer.await.map_err(|_| AppendError::Unknown)
    }
}

#[async_trait]
impl Log for SqliteLog {
    async fn append(&self, batch: &[NewEvent]) -> Result<Appended, AppendError> {
        if batch.is_empty() {
            return Ok(Appended::default());
        }
        let rows = writer::Rows::of(batch, Timestamp::now());
        let _waiting = Waiting::new(&self.shared.waiting);
        self.ask(|reply| writer::Job::Append { rows, reply })
            .await?
            .map_err(AppendError::Store)
    }

    async fn read(&self, what: &Selector, after: Seq, limit: Limit) -> Result<Page, ReadError> {
        let bounds = *self.shared.bounds.borrow();
        Ok(self
            .shared
            .readers
            .run(read::Query {
                what: what.clone(),
                from: after,
                limit,
                back: false,
                bounds,
            })
            .await?)
    }

    async fn read_back(&self, what: &Selector, before: Seq, limit: Limit) -> Result<Page, ReadError> {
        let bounds = *self.shared.bounds.borrow();
        Ok(self
            .shared
            .readers
            .run(read::Query {
                what: what.clone(),
                from: before,
                limit,
                back: true,
                bounds,
            })
            .await?)
    }

    async fn tail(&self, _what: &Selector) -> Result<watch::Receiver<Seq>, ReadError> {
        Ok(self.shared.head.clone())
    }

    async fn bounds(&self) -> Result<Bounds, ReadError> {
        Ok(*self.shared.bounds.borrow())
    }

    async fn trim(&self, policy: &Retention) -> Result<Trimmed, StoreError> {
        let mut done = Trimmed::default();
        if let Some(session) = &policy.session {
            let head = self.shared.bounds.borrow().head;
            self.indexed(head).await;
            self.erase(&Selector::session(session.clone()), head, &mut done).await?;
        }
        let policy = Retention {
            session: None,
            ..policy.clone()
        };
        if policy == Retention::default() {
            return Ok(done);
        }
        // Small steps, so that appends go in between.
        loop {
            let what = trim::What::Policy(policy.clone());
            if !self.trim_step(what, &mut done).await? {
                return Ok(done);
            }
        }
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.ask(|reply| writer::Job::Check { reply }).await.map_err(gone)??;
        let one = Limit { events: 1, bytes: 1 };
        let read = self.read_back(&Selector::all(), Seq::MAX, one).await;
        read.map(drop).map_err(|ReadError::Store(error)| error)
    }

    fn levels(&self) -> Vec<Level> {
        let level = |bound, used, limit| Level { bound, used, limit };
        let shared = &*self.shared;
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let wal = std::fs::metadata(&shared.wal).map_or(0, |meta| meta.len());
        let readers = shared.options.readers.max(1);
        vec![
            level(
                "append_queue",
                shared.waiting.load(Ordering::Relaxed),
                shared.options.queue,
            ),
            level("log_readers", readers - shared.readers.free(), readers),
            level("wal_bytes", size(wal), size(checkpoint::HARD_SIZE)),
        ]
    }

    fn feed(&self, sink: Arc<dyn Sink>) -> Option<Seq> {
        self.shared.writer.feed(sink)
    }
}

/// One append that waits, counted until it is answered or dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn gone(error: AppendError) -> StoreError {
    StoreError {
        doing: "ask the log's writer".into(),
        retry: true,
        source: Box::new(error),
    }
}

/// What SQLite met, as the caller is told. A full disk, a busy or read-only file may be mended while we run.
fn store_error(doing: &str, error: rusqlite::Error) -> StoreError {
    StoreError {
        doing: doing.to_owned(),
        retry: true,
        source: Box::new(error),
    }
}
