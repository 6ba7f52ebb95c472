//! A decorator that keeps the newest events at hand: each frame encoded once, readers woken, a session's reader never walking
//! past other sessions' events.

mod ring;

use std::sync::Arc;

use async_trait::async_trait;
use tokio::{sync::watch, task::JoinSet};
use turnwire_proto::{Event, NewEvent, Selector, Seq};

use crate::{
    AppendError, Appended, Bounds, Level, Limit, Log, Page, ReadError, Retention, StoreError, Trimmed,
    feed::{Facts, Sink},
};
use ring::Ring;

/// What a ring takes by default: 8 MiB, some 15,000 events of a usual size.
pub const DEFAULT_BYTES: usize = 8 * 1024 * 1024;
/// How long the follower waits after its store failed.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// A log whose newest events are in memory. What is older is read from the log within.
#[derive(Debug)]
pub struct Cached {
    inner: Arc<dyn Log>,
    ring: Arc<Ring>,
    budget: usize,
    /// Follows a store that has no feed of its own; ends with this.
    follower: Option<JoinSet<()>>,
}

impl std::fmt::Debug for dyn Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Log")
    }
}

impl Cached {
    /// Keeps up to `bytes` of the events that `inner` gets from now on.
    ///
    /// # Errors
    /// `inner` could not be read.
    pub async fn new(inner: Arc<dyn Log>, bytes: usize) -> Result<Self, ReadError> {
        let first = inner.bounds().await?.first;
        let ring = Arc::new(Ring::new(bytes, first));
        if let Some(start) = inner.feed(ring.clone()) {
            ring.begin(start);
            return Ok(Self {
                inner,
                ring,
                budget: bytes,
                follower: None,
            });
        }
        let tail = inner.tail(&Selector::all()).await?;
        ring.begin(inner.bounds().await?.head);
        let mut follower = JoinSet::new();
        follower.spawn(follow(inner.clone(), ring.clone(), tail));
        Ok(Self {
            inner,
            ring,
            budget: bytes,
            follower: Some(follower),
        })
    }

    /// Bytes that the ring holds now.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.ring.bytes()
    }

    /// Whether the ring, rather than the log within, answers a read after this place.
    fn at_hand(&self, what: &Selector, after: Seq) -> bool {
        if what.raw || after < self.ring.start() {
            return false;
        }
        // A follower may be behind its store: then the store knows more.
        self.follower.is_none() || after < self.ring.head()
    }
}

/// Reads what a store has, as it comes, into the ring.
async fn follow(inner: Arc<dyn Log>, ring: Arc<Ring>, mut tail: watch::Receiver<Seq>) {
    loop {
        tail.mark_unchanged();
        let trims = ring.trims();
        match inner.read(&Selector::all(), ring.head(), Limit::RUN).await {
            // Deltas of it are gone already: its readers are to be told, which only the store can.
            Ok(page) if page.cursor > ring.head() && page.first_delta > ring.head().next() => ring.begin(page.cursor),
            Ok(page) if page.cursor > ring.head() => {
                let facts = page
                    .events()
                    .map(|event| event.map(facts))
                    .collect::<Result<Arc<[_]>, _>>();
                match facts {
                    // What was read before something was deleted may hold that: it is read again.
                    Ok(facts) => ring.commit(page, facts, Some(trims)),
                    // A frame that cannot be read is served by the store as it is; the ring begins anew behind it.
                    Err(_) => ring.begin(page.cursor),
                }
            }
            Ok(_) => {
                if tail.changed().await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the newest events could not be read");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn facts(event: Event) -> Facts {
    Facts {
        kind: event.kind,
        source: event.source,
        agent: event.agent,
        session: event.session_id,
    }
}

#[async_trait]
impl Log for Cached {
    async fn append(&self, batch: &[NewEvent]) -> Result<Appended, AppendError> {
        self.inner.append(batch).await
    }

    async fn read(&self, what: &Selector, after: Seq, limit: Limit) -> Result<Page, ReadError> {
        if self.at_hand(what, after)
            && let Some(page) = self.ring.read(what, after, limit)
        {
            return Ok(page);
        }
        self.inner.read(what, after, limit).await
    }

    async fn read_back(&self, what: &Selector, before: Seq, limit: Limit) -> Result<Page, ReadError> {
        self.inner.read_back(what, before, limit).await
    }

    async fn tail(&self, what: &Selector) -> Result<watch::Receiver<Seq>, ReadError> {
        Ok(self.ring.tail(what))
    }

    async fn bounds(&self) -> Result<Bounds, ReadError> {
        let mut bounds = self.inner.bounds().await?;
        if self.follower.is_none() {
            // The store tells its own bounds a moment before it hands the events on.
            bounds.head = self.ring.head();
        }
        Ok(bounds)
    }

    async fn trim(&self, policy: &Retention) -> Result<Trimmed, StoreError> {
        let done = self.inner.trim(policy).await;
        if self.follower.is_some()
            && let Ok(bounds) = self.inner.bounds().await
        {
            self.ring.trimmed(bounds.first, true);
        }
        done
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.inner.check().await
    }

    fn levels(&self) -> Vec<Level> {
        let mut levels = self.inner.levels();
        levels.push(Level {
            bound: "ring_bytes",
            used: self.ring.bytes(),
            limit: self.budget,
        });
        levels
    }
}
