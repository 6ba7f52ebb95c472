//! The spool: events on their way, kept on disk by the producer until the gateway has them.
//!
//! One spool is one directory with one writer, held by a lock for as long as its process lives:
//!
//! ```text
//! ROOT/20261120T082500Z-4711-3fa2/   lock  meta.json  offset  000001.ndjson  000002.ndjson …
//! ROOT/20261120T082500Z-4711-3fa2.rejected      what the gateway refused for good, with its reason
//! ```
//!
//! An event is one line, and its id is in it: sending it again after a crash writes nothing twice. A line is given to the
//! kernel in one write(2) as soon as it is made, so nothing is lost when the producer is killed; [`Spool::sync`] (called
//! every second by the publisher) is what a power loss is measured against. The offset file is replaced as a whole and may
//! be behind, never ahead. Segments are deleted as they are drained, so a long run does not keep what was sent.

mod files;
mod read;
mod write;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use turnwire_proto::{EventId, Timestamp};

pub use files::{Found, list};
pub use read::Batch;
pub(crate) use write::shortened;
pub use write::{Losses, Pushed};

/// Bounds of one spool.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes kept on disk. Deltas are no longer taken from three quarters of it on, nothing is when it is reached.
    pub bytes: u64,
    /// Bytes after which a new segment is begun: what a drained spool may still hold.
    pub segment: u64,
}

impl Default for Limits {
    /// 1 GiB, about a million long events, in segments of 16 MiB.
    fn default() -> Self {
        Self {
            bytes: 1 << 30,
            segment: 16 << 20,
        }
    }
}

/// How long written events may be in memory only, as far as a power loss is concerned.
pub const SYNC_EVERY: Duration = Duration::from_secs(1);

/// The target of a spool whose events go to the gateway on this machine, wherever it listens.
pub const LOCAL: &str = "local";

/// What is written about a spool when it is made, for whoever finds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// Where its events are to go: an orphan is drained only by a process with the same target.
    pub target: String,
    /// The process that writes it.
    pub pid: u32,
    /// When it was made, RFC 3339.
    pub started: String,
    /// What it records, for people.
    pub about: String,
}

impl Default for Meta {
    /// What is taken where nothing can be read.
    fn default() -> Self {
        Self {
            target: LOCAL.to_owned(),
            pid: 0,
            started: String::new(),
            about: "unknown".to_owned(),
        }
    }
}

impl Meta {
    /// Of this process, from now.
    #[must_use]
    pub fn new(target: &str, about: &str) -> Self {
        Self {
            target: target.to_owned(),
            pid: std::process::id(),
            started: Timestamp::now().to_string(),
            about: about.to_owned(),
        }
    }
}

/// A place between two lines of a spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The segment, from 1.
    pub segment: u64,
    /// Bytes from its start.
    pub offset: u64,
}

impl Position {
    const START: Self = Self { segment: 1, offset: 0 };
}

/// Why a spool could not be used.
#[derive(Debug, thiserror::Error)]
#[error("failed to {doing} {}: {source}", path.display())]
pub struct SpoolError {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl SpoolError {
    fn at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { doing, path, source }
    }

    /// What the system said.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

/// One spool, held by this process. Cheap to share by `Arc`; one writer and one drainer at a time.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    meta: Meta,
    limits: Limits,
    /// Held, not read: closing it gives the spool up.
    _lock: File,
    writer: Mutex<write::Writer>,
    /// The end of the last whole line: what may be read. A wake-up, not a queue.
    end: watch::Sender<Position>,
    drained: Mutex<Position>,
    counts: Counts,
}

/// Events by what became of them.
#[derive(Debug, Default)]
struct Counts {
    pushed: AtomicU64,
    passed: AtomicU64,
    rejected: AtomicU64,
}

impl Spool {
    /// Makes a new spool under `root`, and `root` itself when it is not there.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn create(root: &Path, meta: Meta, limits: Limits) -> Result<Arc<Self>, SpoolError> {
        files::make_root(root)?;
        let stamp: String = meta.started.chars().filter(char::is_ascii_alphanumeric).collect();
        let random = EventId::new().to_string();
        let name = format!("{}Z-{}-{}", stamp.get(..15).unwrap_or("spool"), meta.pid, &random[32..]);
        let (lock, segment) = files::make(root, &name, &meta)?;
        Ok(Arc::new(Self::open(
            root.join(name),
            meta,
            limits,
            lock,
            write::Writer::new(segment, 1, 0, 0),
            Position::START,
        )))
    }

    /// Takes over the oldest spool that says the same of itself and whose process is gone, else makes a new one: for programs
    /// that live for one event, and would leave a spool each while there is no gateway.
    ///
    /// # Errors
    /// As [`Spool::create`].
    pub fn reuse(root: &Path, meta: Meta, limits: Limits) -> Result<Arc<Self>, SpoolError> {
        for dir in files::alike(root, &meta) {
            // One that cannot be read is left to whoever looks after orphans.
            if let Ok(Some(spool)) = Self::adopt(&dir, limits) {
                return Ok(spool);
            }
        }
        Self::create(root, meta, limits)
    }

    /// Takes over a spool whose process is gone, mending what it left half-written. `None` when its process lives, or
    /// when another one was faster.
    ///
    /// # Errors
    /// When it cannot be read or mended.
    pub fn adopt(dir: &Path, limits: Limits) -> Result<Option<Arc<Self>>, SpoolError> {
        let Some(lock) = files::lock(dir)? else {
            return Ok(None);
        };
        let meta = files::read_meta(dir);
        let mended = files::mend(dir)?;
        let drained = files::read_offset(dir)
            .filter(|at| *at <= mended.end)
            .unwrap_or(mended.first);
        let drained = drained.max(mended.first);
        let writer = write::Writer::new(mended.last, mended.end.segment, mended.end.offset, mended.before_last);
        let spool = Self::open(dir.to_owned(), meta, limits, lock, writer, drained);
        spool.end.send_replace(mended.end);
        let left = spool.count_from(drained)?;
        spool.counts.pushed.store(left, Ordering::Relaxed);
        Ok(Some(Arc::new(spool)))
    }

    fn open(dir: PathBuf, meta: Meta, limits: Limits, lock: File, writer: write::Writer, drained: Position) -> Self {
        Self {
            dir,
            meta,
            limits,
            _lock: lock,
            writer: Mutex::new(writer),
            end: watch::Sender::new(Position::START),
            drained: Mutex::new(drained),
            counts: Counts::default(),
        }
    }

    /// Its directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What was written about it.
    #[must_use]
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Events that are not yet with the gateway.
    #[must_use]
    pub fn backlog(&self) -> u64 {
        let passed = self.counts.passed.load(Ordering::Acquire);
        self.counts.pushed.load(Ordering::Acquire).saturating_sub(passed)
    }

    /// Events that were set aside.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.counts.rejected.load(Ordering::Relaxed)
    }

    /// The end of what can be read: changes when something was written.
    #[must_use]
    pub fn written(&self) -> watch::Receiver<Position> {
        self.end.subscribe()
    }

    /// The first place that the gateway does not have.
    #[must_use]
    pub fn drained(&self) -> Position {
        *lock(&self.drained)
    }

    /// Deletes it when all of it is with the gateway; whether it did. Only for its last holder: nothing may be pushed after.
    ///
    /// # Errors
    /// When the directory cannot be deleted.
    pub fn remove_if_drained(&self) -> Result<bool, SpoolError> {
        let writer = lock(&self.writer);
        if writer.position() > self.drained() {
            return Ok(false);
        }
        files::remove(&self.dir)?;
        drop(writer);
        Ok(true)
    }
}

impl Spool {
    /// Deletes it with all that is in it: for a recording that never began.
    ///
    /// # Errors
    /// When the directory cannot be deleted.
    pub fn abandon(&self) -> Result<(), SpoolError> {
        files::remove(&self.dir)
    }
}

/// No code panics while it holds one of these locks half-way through a change, so a poisoned one is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
