//! The queue between who copies an agent's output and who records it: bounded in bytes.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use turnwire_proto::Timestamp;

use super::Ended;

/// Bytes that may wait to be recorded: what a slow disk takes in a tenth of a second, and what is lost at most when this
/// process is killed.
const BYTES: usize = 8 * 1024 * 1024;
/// How long an agent is held up by a disk that does not move at all, before its output goes on unrecorded. A disk that is
/// only slower than the agent holds it up as `| tee FILE` would.
const STALL: Duration = Duration::from_secs(2);

/// What happens to who brings more than there is room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// It waits, as with any pipe.
    Wait,
    /// It waits as long as the recorder moves; then what it brings is counted and passed over.
    WaitWhileMoving,
}

#[derive(Debug)]
pub(super) enum Item {
    Stdout(Timestamp, Vec<u8>),
    Stderr(Timestamp, Vec<u8>),
    End(Ended),
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    bytes: usize,
    /// Items taken so far: whether the recorder moves.
    taken: u64,
    missed: u64,
    /// What was taken when somebody gave up waiting: who comes after does not wait again until it moves.
    stalled: Option<u64>,
    /// Nobody takes any more: the recorder has failed.
    closed: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    came: Condvar,
    room: Condvar,
    full: Full,
}

/// The end that is fed. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Feed(Arc<Shared>);

/// The end that is read.
#[derive(Debug)]
pub(super) struct Queue(Arc<Shared>);

pub(super) fn make(full: Full) -> (Feed, Queue) {
    let shared = Arc::new(Shared {
        state: Mutex::default(),
        came: Condvar::new(),
        room: Condvar::new(),
        full,
    });
    (Feed(Arc::clone(&shared)), Queue(shared))
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feed {
    /// A piece of standard output.
    pub(crate) fn stdout(&self, bytes: &[u8]) {
        self.put(bytes.len(), || Item::Stdout(Timestamp::now(), bytes.to_vec()));
    }

    /// A piece of standard error.
    pub(crate) fn stderr(&self, bytes: &[u8]) {
        self.put(bytes.len(), || Item::Stderr(Timestamp::now(), bytes.to_vec()));
    }

    pub(super) fn end(&self, mut ended: Ended) {
        let mut state = lock(&self.0.state);
        ended.missed = state.missed;
        state.items.push_back(Item::End(ended));
        self.0.came.notify_one();
    }

    fn put(&self, bytes: usize, item: impl FnOnce() -> Item) {
        let mut state = lock(&self.0.state);
        while state.closed || (state.bytes > 0 && state.bytes + bytes > BYTES) {
            let taken = state.taken;
            if state.closed || state.stalled == Some(taken) {
                state.missed += bytes as u64;
                return;
            }
            let waited = self.0.room.wait_timeout(state, STALL);
            let (next, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = next;
            if timeout.timed_out() && state.taken == taken && self.0.full == Full::WaitWhileMoving {
                state.stalled = Some(taken);
            }
        }
        state.bytes += bytes;
        state.items.push_back(item());
        self.0.came.notify_one();
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        lock(&self.0.state).closed = true;
        self.0.room.notify_all();
    }
}

impl Queue {
    /// The next item; `None` when `until` has come before one.
    pub(super) fn next(&self, until: Option<Instant>) -> Option<Item> {
        let mut state = lock(&self.0.state);
        loop {
            if let Some(item) = state.items.pop_front() {
                if let Item::Stdout(_, bytes) | Item::Stderr(_, bytes) = &item {
                    state.bytes -= bytes.len();
                }
                state.taken += 1;
                self.0.room.notify_all();
                return Some(item);
            }
            state = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.0.came.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return None,
                Some(wait) => {
                    let waited = self.0.came.wait_timeout(state, wait);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorder_that_stands_still_costs_the_recording_and_not_the_agent() {
        let (feed, queue) = make(Full::WaitWhileMoving);
        feed.stdout(&vec![0; BYTES]);
        for _ in 0..1000 {
            feed.stdout(b"lost");
        }
        feed.end(Ended::default());
        assert!(matches!(queue.next(None), Some(Item::Stdout(_, bytes)) if bytes.len() == BYTES));
        assert!(matches!(queue.next(None), Some(Item::End(Ended { missed: 4000, .. }))));
    }

    #[test]
    fn a_recorder_that_is_gone_is_not_waited_for() {
        let (feed, queue) = make(Full::Wait);
        drop(queue);
        for _ in 0..100 {
            feed.stdout(&[0; 1 << 20]);
        }
    }

    #[test]
    fn nothing_is_passed_over_while_the_recorder_moves() {
        let (feed, queue) = make(Full::WaitWhileMoving);
        let fed = std::thread::spawn(move || {
            for _ in 0..100 {
                feed.stdout(&[0; 1 << 20]);
            }
            feed.end(Ended::default());
        });
        let mut bytes = 0;
        while let Some(Item::Stdout(_, piece)) = queue.next(None) {
            bytes += piece.len();
        }
        fed.join().unwrap();
        assert_eq!(bytes, 100 << 20);
    }
}
