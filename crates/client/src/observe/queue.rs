//! A queue between whoever tells and an observer that must wait for something.
//!
//! Its bound is [`EVENTS`] and [`BYTES`]. When it is full the newest is dropped and counted ([`Queued::lost`]), and the
//! observer is told the number, as an `error` event, as soon as it has taken what was before it.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use turnwire_proto::ErrorBody;

use super::{About, Metric, Observer, ObserverEvent, What, quietly};

/// Events and metrics that wait: several turns of a busy agent.
pub const EVENTS: usize = 1024;
/// Bytes that wait: events carry what tools answered.
pub const BYTES: usize = 8 * 1024 * 1024;
/// After so long an observer that could not pass things on tries again.
const AGAIN: Duration = Duration::from_secs(5);
/// Longer than any process lives.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// An observer on a thread of its own, behind a bounded queue: telling it something never takes longer than putting it there.
#[derive(Debug)]
pub struct Queued {
    name: String,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Something is to be done.
    work: Condvar,
    /// Something was done.
    done: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Item>,
    /// What waits, and what the observer is just given.
    count: usize,
    bytes: usize,
    /// Dropped, in all.
    lost: u64,
    /// Of these, told to the observer.
    told: u64,
    /// Flushes that were asked for, and those that have been.
    asked: u64,
    flushed: u64,
    /// Whether the observer still holds something, by its own word.
    holds: bool,
    stop: bool,
}

#[derive(Debug)]
enum Item {
    Event(Box<ObserverEvent>),
    Metric(Metric),
}

impl Item {
    fn weight(&self) -> usize {
        match self {
            Self::Event(event) => event.weight(),
            Self::Metric(_) => size_of::<Metric>(),
        }
    }
}

impl Queued {
    /// Behind a queue, told at once.
    ///
    /// # Errors
    /// When the system gives it no thread.
    pub fn new(observer: impl Observer + 'static) -> io::Result<Self> {
        Self::gathering(observer, Duration::ZERO)
    }

    /// Behind a queue, told and then flushed so long after something came, so that more may come along: for an observer
    /// that passes things on in batches.
    ///
    /// # Errors
    /// When the system gives it no thread.
    pub fn gathering(observer: impl Observer + 'static, gather: Duration) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let name = observer.name().to_owned();
        let worker = Arc::clone(&shared);
        thread::Builder::new()
            .name(format!("observe-{name}"))
            .spawn(move || worker.run(&observer, gather))?;
        Ok(Self { name, shared })
    }

    /// What there was no room for, since the start.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.lock().lost
    }

    fn put(&self, item: Item) {
        let mut state = self.shared.lock();
        let weight = item.weight();
        // One that is larger than the bound is taken by an empty queue.
        if state.count >= EVENTS || (state.count > 0 && state.bytes + weight > BYTES) {
            state.lost += 1;
            return;
        }
        state.count += 1;
        state.bytes += weight;
        state.waiting.push_back(item);
        drop(state);
        self.shared.work.notify_one();
    }
}

impl Observer for Queued {
    fn record_event(&self, event: &ObserverEvent) {
        self.put(Item::Event(Box::new(event.clone())));
    }

    fn record_metric(&self, metric: &Metric) {
        self.put(Item::Metric(*metric));
    }

    fn flush(&self) {
        self.shared.lock().asked += 1;
        self.shared.work.notify_one();
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn settle(&self, within: Duration) -> bool {
        let mut state = self.shared.lock();
        state.asked += 1;
        let asked = state.asked;
        self.shared.work.notify_one();
        let (state, _) = self
            .shared
            .done
            .wait_timeout_while(state, within, |state| state.flushed < asked)
            .unwrap_or_else(PoisonError::into_inner);
        state.flushed >= asked && !state.holds
    }
}

impl Drop for Queued {
    /// What waits is still passed on, as long as the process lives; [`Observer::settle`] waits for it.
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.work.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, observer: &dyn Observer, gather: Duration) {
        loop {
            let idle = |state: &mut State| {
                state.waiting.is_empty() && state.asked == state.flushed && state.lost == state.told && !state.stop
            };
            let state = self.lock();
            // What could not be passed on is tried again, though nothing more comes.
            let wait = if state.holds { AGAIN } else { FOR_EVER };
            let (state, _) = self
                .work
                .wait_timeout_while(state, wait, idle)
                .unwrap_or_else(PoisonError::into_inner);
            let mut state = self.gathered(state, gather);
            let (items, asked, stop) = (std::mem::take(&mut state.waiting), state.asked, state.stop);
            let lost = state.lost - state.told;
            state.told = state.lost;
            let flush = !gather.is_zero() || asked > state.flushed;
            drop(state);
            for item in items {
                self.pass(observer, &item);
            }
            if lost > 0 {
                quietly(observer, |observer| {
                    let name = observer.name();
                    tracing::warn!("the observer {name} is too slow: {lost} events and metrics were dropped");
                    observer.record_event(&told(lost));
                });
            }
            let holds = flush && !quietly(observer, |observer| observer.settle(Duration::ZERO)).unwrap_or(false);
            let mut state = self.lock();
            state.holds = holds;
            state.flushed = asked;
            drop(state);
            self.done.notify_all();
            // Nobody is left who could put something more.
            if stop {
                return;
            }
        }
    }

    /// Waits for more to come along, unless somebody waits or the queue is half full.
    fn gathered<'a>(&self, mut state: MutexGuard<'a, State>, gather: Duration) -> MutexGuard<'a, State> {
        let until = Instant::now() + gather;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let full = state.count >= EVENTS / 2 || state.bytes >= BYTES / 2;
            if left.is_zero() || full || state.stop || state.asked > state.flushed {
                return state;
            }
            (state, _) = self
                .work
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn pass(&self, observer: &dyn Observer, item: &Item) {
        quietly(observer, |observer| match item {
            Item::Event(event) => observer.record_event(event),
            Item::Metric(metric) => observer.record_metric(metric),
        });
        let mut state = self.lock();
        state.count -= 1;
        state.bytes -= item.weight();
    }
}

fn told(lost: u64) -> ObserverEvent {
    ObserverEvent::new(
        About::everyone(),
        What::Error(ErrorBody {
            component: "observer".into(),
            message: format!("{lost} events and metrics were dropped: the queue of {EVENTS} was full"),
            retry: None,
        }),
    )
}
