//! The publisher: drains a spool to the gateway, in order, for as long as it takes, and never loses or repeats an event.
//!
//! One task, one request at a time: while one is on its way the next batch gathers in the spool. What the gateway may take
//! later is sent again after a growing, jittered wait; an event that it will never take is set aside with its reason, so that
//! the rest flows; a refusal of the publisher itself (no token, no permission) ends it, and the spool is kept.

mod attempt;
mod orphans;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::Instant,
};
use turnwire_proto::{Code, ErrorReply};

use crate::{
    Endpoint,
    spool::{Batch, SYNC_EVERY, Spool, SpoolError, shortened},
};
use attempt::{Attempt, attempt};

pub use orphans::drain_orphans;

/// Events in one request: a tenth of what a gateway takes, so that a refused one is soon found.
const BATCH_EVENTS: usize = 1000;
/// Bytes in one request, unless one event is larger.
const BATCH_BYTES: usize = 1024 * 1024;
/// The first wait after a failure, and the longest one without a `Retry-After`.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// The longest wait for a gateway on this machine: looking for one costs nobody else anything.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// A gateway that asks for more patience than this is asked again all the same.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Longer than any process lives; an instant plus the longest duration would overflow.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Finds the gateway anew for each try, so that one that is started later, or on another port, is found.
pub trait Locate: Send + Sync + 'static {
    /// Where it is now, or why that is not known.
    ///
    /// # Errors
    /// A phrase for people.
    fn locate(&self) -> Result<Endpoint, String>;
}

impl Locate for Endpoint {
    fn locate(&self) -> Result<Endpoint, String> {
        Ok(self.clone())
    }
}

/// How the draining stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Events that the gateway wrote.
    pub written: u64,
    /// Events that it had already.
    pub duplicates: u64,
    /// Events that it will never take, set aside.
    pub rejected: u64,
    /// Tries that failed.
    pub failures: u64,
    /// Why the last try failed; absent after one that did not.
    pub trouble: Option<String>,
    /// Why nothing more is sent.
    pub refused: Option<ErrorReply>,
}

/// What [`Publisher::flush`] does while the gateway cannot be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// One more try, then it gives up: what is in the spool is safe.
    OneTry,
    /// It tries until the time is over.
    UntilDeadline,
}

/// What is still in the spool after a flush, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Flushed {
    /// Events not with the gateway.
    pub left: u64,
    /// How it stood.
    pub status: Status,
}

/// Drains one spool in the background until it is dropped.
#[derive(Debug)]
pub struct Publisher {
    spool: Arc<Spool>,
    status: watch::Receiver<Status>,
    now: Arc<Notify>,
    _tasks: JoinSet<()>,
}

impl Publisher {
    /// Begins to drain.
    #[must_use]
    pub fn start(spool: Arc<Spool>, locate: Arc<dyn Locate>) -> Self {
        let (sender, status) = watch::channel(Status::default());
        let now = Arc::new(Notify::new());
        let mut tasks = JoinSet::new();
        let drain = Drain {
            spool: Arc::clone(&spool),
            locate,
            status: sender,
            now: Arc::clone(&now),
            limit: Mutex::new(BATCH_EVENTS),
        };
        tasks.spawn(async move { drain.run(Until::Forever).await });
        tasks.spawn(keep_synced(Arc::clone(&spool)));
        Self {
            spool,
            status,
            now,
            _tasks: tasks,
        }
    }

    /// How it stands; changes with every try.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Waits until all that was pushed is with the gateway, at most `within`.
    pub async fn flush(&self, within: Duration, patience: Patience) -> Flushed {
        let deadline = Instant::now() + within.min(FOR_EVER);
        let mut status = self.status.clone();
        let failures = status.borrow_and_update().failures;
        self.now.notify_one();
        loop {
            let seen = status.borrow_and_update().clone();
            let left = self.spool.backlog();
            let hopeless = patience == Patience::OneTry && seen.failures > failures;
            if left == 0 || seen.refused.is_some() || hopeless {
                return Flushed { left, status: seen };
            }
            let ended = tokio::time::timeout_at(deadline, status.changed()).await;
            if !matches!(ended, Ok(Ok(()))) {
                return Flushed {
                    left: self.spool.backlog(),
                    status: status.borrow().clone(),
                };
            }
        }
    }
}

/// Bounds what a power loss takes.
async fn keep_synced(spool: Arc<Spool>) {
    let mut every = tokio::time::interval(SYNC_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let spool = Arc::clone(&spool);
        let synced = tokio::task::spawn_blocking(move || spool.sync()).await;
        if let Ok(Err(error)) = synced {
            tracing::warn!("{error}");
        }
    }
}

/// When draining ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Forever,
    Empty,
}

/// Why there is nothing to do but stop.
enum Stop {
    Refused(ErrorReply),
    Spool(SpoolError),
}

/// What one round of sending came to.
enum Round {
    Sent,
    Nothing,
    Wait(Duration),
}

struct Drain {
    spool: Arc<Spool>,
    locate: Arc<dyn Locate>,
    status: watch::Sender<Status>,
    now: Arc<Notify>,
    /// Events in the next request: halved by a refusal until the refused event stands alone, doubled by a success.
    limit: Mutex<usize>,
}

impl Drain {
    async fn run(&self, until: Until) {
        let mut written = self.spool.written();
        let mut backoff = BACKOFF.0;
        loop {
            // Mark, read, wait: what is written between the read and the wait ends the wait.
            written.borrow_and_update();
            match self.round(backoff).await {
                Ok(Round::Sent) => backoff = BACKOFF.0,
                Ok(Round::Nothing) if until == Until::Empty => return,
                Ok(Round::Nothing) => {
                    if written.changed().await.is_err() {
                        return;
                    }
                }
                Ok(Round::Wait(wait)) => {
                    backoff = (backoff * 2).min(BACKOFF.1);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = self.now.notified() => {}
                    }
                }
                Err(Stop::Refused(reply)) => {
                    tracing::debug!("the gateway refuses: {}", reply.error.message);
                    self.status.send_modify(|status| status.refused = Some(reply));
                    return;
                }
                Err(Stop::Spool(error)) => {
                    let reply = ErrorReply::new(Code::StoreUnavailable, error.to_string());
                    self.status.send_modify(|status| status.refused = Some(reply));
                    return;
                }
            }
        }
    }

    async fn round(&self, backoff: Duration) -> Result<Round, Stop> {
        let limit = *lock(&self.limit);
        let batch = self.spool.read(limit, BATCH_BYTES).map_err(Stop::Spool)?;
        if batch.is_empty() {
            return Ok(Round::Nothing);
        }
        let endpoint = match self.locate.locate() {
            Ok(endpoint) => endpoint,
            Err(why) => return Ok(self.later(why, jitter(backoff).min(LOOK_AGAIN))),
        };
        let mut attempted = attempt(&endpoint, batch.bytes.clone()).await;
        if let Attempt::Rejected { reply, .. } = &attempted
            && reply.code() == Code::TooLarge
            && batch.len() == 1
            && let Some(short) = shortened(&batch.bytes)
        {
            attempted = attempt(&endpoint, short.into()).await;
        }
        match attempted {
            Attempt::Taken { written, duplicates } => {
                self.pass(&batch);
                *lock(&self.limit) = (limit * 2).min(BATCH_EVENTS);
                self.status.send_modify(|status| {
                    status.written += written;
                    status.duplicates += duplicates;
                    status.trouble = None;
                });
                Ok(Round::Sent)
            }
            Attempt::Later { why, after } => {
                let longest = if is_near(&endpoint) { LOOK_AGAIN } else { BACKOFF.1 };
                let wait = after.map_or_else(|| jitter(backoff).min(longest), |after| after.min(LONGEST_RETRY_AFTER));
                Ok(self.later(why, wait))
            }
            Attempt::Rejected { reply, at } => self.narrow(&batch, reply, at),
            Attempt::Unauthorized(reply) => {
                // A gateway that was set up anew meanwhile has a new token, which a look finds.
                if endpoint.refresh().unwrap_or(false) {
                    return Ok(self.later(reply.error.message, jitter(backoff)));
                }
                Err(Stop::Refused(reply))
            }
            Attempt::Refused(reply) => Err(Stop::Refused(reply)),
        }
    }

    /// Closes in on the event that is refused, and sets it aside when it stands alone.
    fn narrow(&self, batch: &Batch, reply: ErrorReply, at: Option<usize>) -> Result<Round, Stop> {
        if batch.len() > 1 {
            let first_bad = at.filter(|at| *at < batch.len());
            *lock(&self.limit) = first_bad.map_or(batch.len() / 2, |at| at.max(1));
            return Ok(Round::Sent);
        }
        let accepted = {
            let status = self.status.borrow();
            status.written + status.duplicates > 0
        };
        if reply.code() == Code::Forbidden && !accepted {
            // Nothing was ever taken, so it is the token that is refused, not this event.
            return Err(Stop::Refused(reply));
        }
        tracing::warn!(
            "the gateway will never take an event, it is set aside: {}",
            reply.error.message
        );
        if let Err(error) = self.spool.set_aside(&batch.bytes, &reply) {
            // A full disk may have room again; passing the event over would lose it.
            return Ok(self.later(error.to_string(), BACKOFF.1));
        }
        self.pass(batch);
        self.status.send_modify(|status| status.rejected += 1);
        Ok(Round::Sent)
    }

    fn pass(&self, batch: &Batch) {
        if let Err(error) = self.spool.advance(batch.next, batch.len() as u64) {
            // It only means that the events are sent once more after a crash, and not written again.
            tracing::warn!("{error}");
        }
    }

    fn later(&self, why: String, wait: Duration) -> Round {
        self.status.send_modify(|status| {
            status.failures += 1;
            status.trouble = Some(why);
        });
        Round::Wait(wait)
    }
}

fn is_near(endpoint: &Endpoint) -> bool {
    let url = endpoint.url();
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// From half of it to all of it, so that many producers do not come back at once.
fn jitter(wait: Duration) -> Duration {
    let random = uuid::Uuid::new_v4().as_bytes()[0];
    wait / 2 + wait / 2 * u32::from(random) / 255
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
