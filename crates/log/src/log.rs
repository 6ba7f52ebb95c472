//! The promise of a store of events.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use turnwire_proto::{Code, Epoch, Name, NewEvent, Selector, Seq, Timestamp};

use crate::{Page, feed::Sink};

/// Where events live, in one total order.
///
/// `conformance` is what every implementation and decorator owes; its test names are these promises.
#[async_trait]
pub trait Log: Send + Sync + 'static {
    /// Appends all of the batch or none of it.
    ///
    /// - When it returns `Ok`, what was written is durable, whole and in the order of the batch, and every reader that was
    ///   woken finds it.
    /// - An id of an event that is kept, or that stands earlier in the batch, is not written again; it counts in
    ///   [`Appended::duplicates`], and its first place counts in [`Appended::first`] and [`Appended::last`]. Once its event was
    ///   trimmed an id may be forgotten: then its event is written anew, at a new place.
    /// - Batches of concurrent calls do not mix: a batch stands in one piece. Calls whose futures were first polled in an
    ///   order by one task are appended in that order.
    /// - A future that is dropped half-way has appended all of the batch or none of it.
    ///
    /// # Errors
    /// Nothing was written, unless the error says that this is not known ([`AppendError::Unknown`]).
    async fn append(&self, batch: &[NewEvent]) -> Result<Appended, AppendError>;

    /// The next events after `after` that `what` selects, oldest first.
    ///
    /// Reading on from [`Page::cursor`] misses nothing and repeats nothing. An empty page says that nothing selected lies
    /// between `after` and its cursor; when that cursor is before the head, there may be more behind it.
    ///
    /// # Errors
    /// The store could not be read.
    async fn read(&self, what: &Selector, after: Seq, limit: Limit) -> Result<Page, ReadError>;

    /// The last events before `before` that `what` selects, oldest first within the page.
    ///
    /// Reading on (further back) before [`Page::cursor`] misses nothing and repeats nothing; a cursor at or below the first
    /// kept place means that there is no more.
    ///
    /// # Errors
    /// The store could not be read.
    async fn read_back(&self, what: &Selector, before: Seq, limit: Limit) -> Result<Page, ReadError>;

    /// The newest durable place that `what` selects, or a newer place that it does not select: a wake-up, not a queue.
    ///
    /// Whoever marks the value as seen, then reads, and then waits for a change, never misses an event.
    ///
    /// # Errors
    /// The store could not be read.
    async fn tail(&self, what: &Selector) -> Result<watch::Receiver<Seq>, ReadError>;

    /// First kept place, newest place, identity.
    ///
    /// # Errors
    /// The store could not be read.
    async fn bounds(&self) -> Result<Bounds, ReadError>;

    /// Deletes what `policy` no longer keeps. It never blocks writers for longer than one small transaction.
    ///
    /// # Errors
    /// The store could not do it; what was deleted before stays deleted, and the bounds tell it.
    async fn trim(&self, policy: &Retention) -> Result<Trimmed, StoreError>;

    /// Looks whether it can be written and read now: the store itself is asked, not what is remembered of it. Cheap enough to be
    /// asked every second. After a write that failed, it says that all is well only when there is room for another.
    ///
    /// # Errors
    /// It cannot.
    async fn check(&self) -> Result<(), StoreError> {
        let one = Limit { events: 1, bytes: 1 };
        let read = self.read_back(&Selector::all(), Seq::MAX, one).await;
        read.map(drop).map_err(|ReadError::Store(error)| error)
    }

    /// What its queues and caches hold now, each with its bound. From memory, without waiting.
    fn levels(&self) -> Vec<Level> {
        Vec::new()
    }

    /// Hands every page that is committed from now on to `sink`, in order, before any append of it returns. Answers the
    /// place after which it begins; `None` when this store cannot: then [`Log::tail`] and [`Log::read`] are the way.
    fn feed(&self, sink: Arc<dyn Sink>) -> Option<Seq> {
        let _ = sink;
        None
    }
}

/// How full something is that has a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// The bound's name, with its unit where it is not a count, such as `ring_bytes`.
    pub bound: &'static str,
    /// What there is now.
    pub used: usize,
    /// What there may be.
    pub limit: usize,
}

/// What an append did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// The smallest place among the batch's events, written now or before. Zero for an empty batch.
    pub first: Seq,
    /// The largest one.
    pub last: Seq,
    /// How many were written now.
    pub written: usize,
    /// How many had been there before.
    pub duplicates: usize,
}

/// How much a page may hold: the first bound that is reached ends it, but it holds one event at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Events.
    pub events: usize,
    /// Bytes of frames.
    pub bytes: usize,
}

impl Limit {
    /// What one wake-up of a reader writes at the most: 256 KiB.
    pub const RUN: Self = Self {
        events: usize::MAX,
        bytes: 256 * 1024,
    };

    /// So many events, whatever their size up to 8 MiB.
    #[must_use]
    pub const fn events(events: usize) -> Self {
        Self {
            events,
            bytes: 8 * 1024 * 1024,
        }
    }
}

/// Where the log begins and ends, and which log it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The first place that is kept; 1 while nothing was trimmed.
    pub first: Seq,
    /// Deltas before this place are not kept; never below `first`.
    pub first_delta: Seq,
    /// The newest durable place; zero when nothing was ever written.
    pub head: Seq,
    /// The log's identity.
    pub epoch: Epoch,
}

/// What is kept. The default keeps everything.
///
/// An event's age is counted from when it happened, or from when it was appended if it is dated later than that: a clock that
/// is ahead keeps nothing longer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Events of before this are deleted, from the start of the log up to the first newer one.
    pub events_before: Option<Timestamp>,
    /// Deltas of before this are deleted, up to the first newer event at least.
    pub deltas_before: Option<Timestamp>,
    /// Vendors' lines of events of before this are deleted.
    pub raw_before: Option<Timestamp>,
    /// Events are deleted from the start until at most so many bytes of bodies are left.
    pub max_bytes: Option<u64>,
    /// All of this session is deleted.
    pub session: Option<Name>,
}

/// What a trim did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Events deleted, deltas among them.
    pub events: u64,
    /// Vendors' lines deleted.
    pub raw: u64,
}

/// The store could not do something.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {source}")]
pub struct StoreError {
    /// What it was doing, as "append to log.db".
    pub doing: String,
    /// Whether it may work later (a full disk, a busy store).
    pub retry: bool,
    /// What it met.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Why an append failed.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The store takes no more work now: nothing was written.
    #[error("the log's queue of {waiting} appends is full")]
    Busy {
        /// Its bound.
        waiting: usize,
    },
    /// Nothing was written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store went away meanwhile: all of the batch was written, or none. Appending it again is safe.
    #[error("the log stopped before it answered")]
    Unknown,
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AppendError {
    /// The code that a client gets.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Busy { .. } => Code::Overloaded,
            Self::Store(_) | Self::Unknown => Code::StoreUnavailable,
        }
    }
}

impl ReadError {
    /// The code that a client gets.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::StoreUnavailable
    }
}
