//! A decorator that fails, delays, tears and disturbs on demand, so that tests can see what the rest makes of it.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use turnwire_log::{Log, faulty::{Call, Faulty}, memory::MemoryLog};
//!
//! let (log, faults) = Faulty::new(MemoryLog::new());
//! faults.fail(Call::Bounds, 1, true);
//! assert!(log.bounds().await.is_err());
//! assert!(log.bounds().await.is_ok());
//! # });
//! ```

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use tokio::{sync::watch, task::JoinSet};
use turnwire_proto::{NewEvent, Selector, Seq};

use crate::{AppendError, Appended, Bounds, Level, Limit, Log, Page, ReadError, Retention, StoreError, Trimmed};

/// A method of [`Log`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// [`Log::append`].
    Append,
    /// [`Log::read`].
    Read,
    /// [`Log::read_back`].
    ReadBack,
    /// [`Log::tail`].
    Tail,
    /// [`Log::bounds`].
    Bounds,
    /// [`Log::trim`].
    Trim,
    /// [`Log::check`].
    Check,
}

impl Call {
    /// Each of them.
    pub const ALL: [Self; 7] = [
        Self::Append,
        Self::Read,
        Self::ReadBack,
        Self::Tail,
        Self::Bounds,
        Self::Trim,
        Self::Check,
    ];

    const fn at(self) -> usize {
        self as usize
    }
}

/// Where a held call waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Before the inner log hears of it.
    Call,
    /// After the inner log has done it, before the caller hears of it.
    Answer,
}

/// What a failing call answers, always without the inner log having heard of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    Store { retry: bool },
    Busy,
}

/// The error that a demanded failure carries as its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it was told to fail")]
pub struct Demanded;

/// A log that does what its [`Faults`] say. With none it is the log that it holds.
#[derive(Debug)]
pub struct Faulty<L> {
    inner: L,
    faults: Faults,
    /// One for each tail that is held by somebody, and no more: each ends with its receivers.
    forwarders: Mutex<JoinSet<()>>,
}

/// The handle that a test scripts a [`Faulty`] with. Clones share one script.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    script: Mutex<Script>,
    calls: [AtomicU64; Call::ALL.len()],
    before: [Hold; Call::ALL.len()],
    after: [Hold; Call::ALL.len()],
    tails: Hold,
    /// Counts the spurious wake-ups.
    nudges: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Script {
    failing: [Option<(usize, Failure)>; Call::ALL.len()],
    tearing: usize,
    nudging: bool,
    short: Option<usize>,
    hollow: bool,
    hollow_last: bool,
}

/// A gate that calls wait at while it is shut.
#[derive(Debug)]
struct Hold {
    shut: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

impl Default for Hold {
    fn default() -> Self {
        Self {
            shut: watch::Sender::new(false),
            waiting: watch::Sender::new(0),
        }
    }
}

/// One that waits at a gate, until it is let through or dropped.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

impl Hold {
    /// An open gate is passed without giving way to another task, so that calls keep their order.
    async fn pass(&self) {
        if !*self.shut.borrow() {
            return;
        }
        self.waiting.send_modify(|waiting| *waiting += 1);
        let _waiting = Waiting(&self.waiting);
        // The sender is in `self`, so it does not end.
        let _ = self.shut.subscribe().wait_for(|shut| !shut).await;
    }
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            script: Mutex::default(),
            calls: Default::default(),
            before: Default::default(),
            after: Default::default(),
            tails: Hold::default(),
            nudges: watch::Sender::new(0),
        }
    }
}

impl Faults {
    /// The next `times` calls fail before the inner log hears of them.
    pub fn fail(&self, call: Call, times: usize, retry: bool) {
        self.script().failing[call.at()] = Some((times, Failure::Store { retry }));
    }

    /// Every call fails before the inner log hears of it, until [`Faults::heal`].
    pub fn fail_always(&self, call: Call, retry: bool) {
        self.fail(call, usize::MAX, retry);
    }

    /// The next `times` appends find the log's queue full.
    pub fn busy(&self, times: usize) {
        self.script().failing[Call::Append.at()] = Some((times, Failure::Busy));
    }

    /// The acknowledgements of the next `times` appends that succeed are lost: [`AppendError::Unknown`].
    pub fn tear(&self, times: usize) {
        self.script().tearing = times;
    }

    /// Calls wait from now on.
    pub fn hold(&self, call: Call, gate: Gate) {
        self.gate(call, gate).shut.send_replace(true);
    }

    /// What waits goes on, and so does what comes.
    pub fn release(&self, call: Call, gate: Gate) {
        self.gate(call, gate).shut.send_replace(false);
    }

    /// Returns when `count` calls wait at a gate that was shut by [`Faults::hold`].
    pub async fn held(&self, call: Call, gate: Gate, count: usize) {
        // The sender is in `self`, so it does not end.
        let _ = self
            .gate(call, gate)
            .waiting
            .subscribe()
            .wait_for(|waiting| *waiting >= count)
            .await;
    }

    /// Tails stay as they are from now on, whatever is appended.
    pub fn hold_tails(&self) {
        self.shared.tails.shut.send_replace(true);
    }

    /// Each tail hears the newest value that it has missed, in one wake-up.
    pub fn release_tails(&self) {
        self.shared.tails.shut.send_replace(false);
    }

    /// Wakes every tail, though nothing is new.
    pub fn nudge(&self) {
        self.shared.nudges.send_modify(|nudges| *nudges += 1);
    }

    /// Whether every append wakes every tail also before and after its time.
    pub fn nudge_always(&self, on: bool) {
        self.script().nudging = on;
    }

    /// Pages have at most so many events, whatever was asked for.
    pub fn short_pages(&self, events: Option<usize>) {
        self.script().short = events;
    }

    /// Whether every second page is empty but for its progress, where there is anything to pass over.
    pub fn hollow_pages(&self, on: bool) {
        self.script().hollow = on;
    }

    /// How often a method was called so far.
    #[must_use]
    pub fn calls(&self, call: Call) -> u64 {
        self.shared.calls[call.at()].load(Ordering::Relaxed)
    }

    /// No faults any more; what waits goes on.
    pub fn heal(&self) {
        *self.script() = Script::default();
        for hold in self
            .shared
            .before
            .iter()
            .chain(&self.shared.after)
            .chain([&self.shared.tails])
        {
            hold.shut.send_replace(false);
        }
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        // Nothing panics under the lock.
        self.shared.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gate(&self, call: Call, gate: Gate) -> &Hold {
        match gate {
            Gate::Call => &self.shared.before[call.at()],
            Gate::Answer => &self.shared.after[call.at()],
        }
    }

    /// Counts a call, holds it, and says whether it fails.
    async fn enter(&self, call: Call) -> Option<Failure> {
        self.shared.calls[call.at()].fetch_add(1, Ordering::Relaxed);
        self.gate(call, Gate::Call).pass().await;
        let mut script = self.script();
        let (left, failure) = script.failing[call.at()].as_mut()?;
        let failure = *failure;
        match *left {
            0 => return None,
            usize::MAX => {}
            _ => *left -= 1,
        }
        Some(failure)
    }

    async fn enter_plain(&self, call: Call) -> Result<(), StoreError> {
        let Some(failure) = self.enter(call).await else {
            return Ok(());
        };
        let retry = matches!(failure, Failure::Busy | Failure::Store { retry: true });
        Err(demanded(call, retry))
    }

    async fn leave(&self, call: Call) {
        self.gate(call, Gate::Answer).pass().await;
    }

    fn nudge_if_told(&self) {
        if self.script().nudging {
            self.nudge();
        }
    }

    /// Whether this page is to be empty, and the bound of events that it has.
    fn page(&self, limit: Limit) -> (bool, Limit) {
        let mut script = self.script();
        let hollow = script.hollow && !script.hollow_last;
        script.hollow_last = hollow;
        let events = script.short.map_or(limit.events, |short| short.min(limit.events));
        (hollow, Limit { events, ..limit })
    }
}

fn demanded(call: Call, retry: bool) -> StoreError {
    StoreError {
        doing: format!("{call:?} on demand"),
        retry,
        source: Box::new(Demanded),
    }
}

impl<L: Log> Faulty<L> {
    /// Around `inner`, without faults yet.
    pub fn new(inner: L) -> (Self, Faults) {
        let faults = Faults::default();
        (Self::with(inner, faults.clone()), faults)
    }

    /// Around `inner`, with a script that is there already.
    pub fn with(inner: L, faults: Faults) -> Self {
        Self {
            inner,
            faults,
            forwarders: Mutex::default(),
        }
    }

    /// The log that it holds: what is really there.
    pub const fn inner(&self) -> &L {
        &self.inner
    }

    /// A tail of its own that the script can disturb, fed from the inner one.
    fn disturbed(&self, mut inner: watch::Receiver<Seq>) -> watch::Receiver<Seq> {
        let (sender, receiver) = watch::channel(*inner.borrow_and_update());
        let faults = self.faults.clone();
        let mut nudges = faults.shared.nudges.subscribe();
        let mut forwarders = self.forwarders.lock().unwrap_or_else(PoisonError::into_inner);
        while forwarders.try_join_next().is_some() {}
        forwarders.spawn(async move {
            loop {
                // Cancel-safe: `changed` marks a value only when it returns, `closed` has no state.
                tokio::select! {
                    () = sender.closed() => return,
                    Ok(()) = nudges.changed() => sender.send_modify(|_| {}),
                    changed = inner.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        faults.shared.tails.pass().await;
                        sender.send_replace(*inner.borrow_and_update());
                    }
                }
            }
        });
        receiver
    }
}

#[async_trait]
impl<L: Log> Log for Faulty<L> {
    async fn append(&self, batch: &[NewEvent]) -> Result<Appended, AppendError> {
        match self.faults.enter(Call::Append).await {
            Some(Failure::Busy) => return Err(AppendError::Busy { waiting: 0 }),
            Some(Failure::Store { retry }) => return Err(demanded(Call::Append, retry).into()),
            None => {}
        }
        self.faults.nudge_if_told();
        let done = self.inner.append(batch).await?;
        self.faults.nudge_if_told();
        self.faults.leave(Call::Append).await;
        let mut script = self.faults.script();
        if script.tearing > 0 {
            script.tearing -= 1;
            return Err(AppendError::Unknown);
        }
        Ok(done)
    }

    async fn read(&self, what: &Selector, after: Seq, limit: Limit) -> Result<Page, ReadError> {
        self.faults.enter_plain(Call::Read).await?;
        let (hollow, limit) = self.faults.page(limit);
        let mut page = self.inner.read(what, after, limit).await?;
        // Up to right before the first event nothing is selected.
        let empty_up_to = page.marks.first().map_or(page.cursor, |mark| mark.seq.prev());
        if hollow && empty_up_to > after {
            page = Page::empty(between(after, empty_up_to), page.first).with_first_delta(page.first_delta);
        }
        self.faults.leave(Call::Read).await;
        Ok(page)
    }

    async fn read_back(&self, what: &Selector, before: Seq, limit: Limit) -> Result<Page, ReadError> {
        self.faults.enter_plain(Call::ReadBack).await?;
        let (hollow, limit) = self.faults.page(limit);
        let mut page = self.inner.read_back(what, before, limit).await?;
        let empty_down_to = page.marks.last().map_or(page.cursor, |mark| mark.seq.next());
        if hollow && empty_down_to < before {
            page = Page::empty(between(empty_down_to, before.prev()), page.first).with_first_delta(page.first_delta);
        }
        self.faults.leave(Call::ReadBack).await;
        Ok(page)
    }

    async fn tail(&self, what: &Selector) -> Result<watch::Receiver<Seq>, ReadError> {
        self.faults.enter_plain(Call::Tail).await?;
        let tail = self.disturbed(self.inner.tail(what).await?);
        self.faults.leave(Call::Tail).await;
        Ok(tail)
    }

    async fn bounds(&self) -> Result<Bounds, ReadError> {
        self.faults.enter_plain(Call::Bounds).await?;
        let bounds = self.inner.bounds().await?;
        self.faults.leave(Call::Bounds).await;
        Ok(bounds)
    }

    async fn trim(&self, policy: &Retention) -> Result<Trimmed, StoreError> {
        self.faults.enter_plain(Call::Trim).await?;
        let trimmed = self.inner.trim(policy).await?;
        self.faults.leave(Call::Trim).await;
        Ok(trimmed)
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.faults.enter_plain(Call::Check).await?;
        self.inner.check().await?;
        self.faults.leave(Call::Check).await;
        Ok(())
    }

    fn levels(&self) -> Vec<Level> {
        self.inner.levels()
    }
}

/// The place in the middle, rounded up: progress, and some of the way left to go.
fn between(low: Seq, high: Seq) -> Seq {
    // Invariant: between two places there are only places.
    Seq::new(low.get().midpoint(high.get() + 1)).unwrap_or(high)
}
