//! The reference store: everything in memory, simple enough to be right by reading it. Gone when it is dropped.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound::{Excluded, Unbounded},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use tokio::sync::watch;
use turnwire_proto::{Epoch, EventId, NewEvent, Selector, Seq, Timestamp};

use crate::{
    AppendError, Appended, Bounds, Limit, Log, Page, PageBuilder, ReadError, Retention, StoreError, Trimmed,
    feed::{Facts, Sink},
};

/// A log in memory. Nothing waits while the lock is held, so every call is done when its future was polled once.
#[derive(Default)]
pub struct MemoryLog {
    state: Mutex<State>,
}

impl std::fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bounds = self.state().bounds;
        f.debug_struct("MemoryLog")
            .field("bounds", &bounds)
            .finish_non_exhaustive()
    }
}

struct State {
    bounds: Bounds,
    events: BTreeMap<Seq, NewEvent>,
    /// When events arrived that are dated later than that: their age is counted from it.
    arrived: HashMap<Seq, Timestamp>,
    /// Where the events that are kept stand: an id is known as long as its event.
    places: HashMap<EventId, Seq>,
    tails: Vec<(Selector, watch::Sender<Seq>)>,
    feeds: Vec<Arc<dyn Sink>>,
}

impl MemoryLog {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a bug that the panic itself has told; what is there is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Log for MemoryLog {
    async fn append(&self, batch: &[NewEvent]) -> Result<Appended, AppendError> {
        self.state().append(batch)
    }

    async fn read(&self, what: &Selector, after: Seq, limit: Limit) -> Result<Page, ReadError> {
        Ok(self.state().read(what, after, limit))
    }

    async fn read_back(&self, what: &Selector, before: Seq, limit: Limit) -> Result<Page, ReadError> {
        Ok(self.state().read_back(what, before, limit))
    }

    async fn tail(&self, what: &Selector) -> Result<watch::Receiver<Seq>, ReadError> {
        Ok(self.state().tail(what))
    }

    async fn bounds(&self) -> Result<Bounds, ReadError> {
        Ok(self.state().bounds)
    }

    async fn trim(&self, policy: &Retention) -> Result<Trimmed, StoreError> {
        Ok(self.state().trim(policy))
    }

    fn feed(&self, sink: Arc<dyn Sink>) -> Option<Seq> {
        let mut state = self.state();
        state.feeds.push(sink);
        Some(state.bounds.head)
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            bounds: Bounds {
                first: Seq::ZERO.next(),
                first_delta: Seq::ZERO.next(),
                head: Seq::ZERO,
                epoch: Epoch::new(),
            },
            events: BTreeMap::new(),
            arrived: HashMap::new(),
            places: HashMap::new(),
            tails: Vec::new(),
            feeds: Vec::new(),
        }
    }
}

impl State {
    fn append(&mut self, batch: &[NewEvent]) -> Result<Appended, AppendError> {
        let room = Seq::MAX.get() - self.bounds.head.get();
        if u64::try_from(batch.len()).is_ok_and(|wanted| wanted > room) {
            return Err(AppendError::Store(StoreError {
                doing: "append to memory".to_owned(),
                retry: false,
                source: "no place below 2^53 is left".into(),
            }));
        }
        let before = self.bounds.head;
        let mut done = Appended::default();
        for event in batch {
            let place = if let Some(place) = self.places.get(&event.id) {
                done.duplicates += 1;
                *place
            } else {
                done.written += 1;
                self.write(event)
            };
            done.last = done.last.max(place);
            done.first = if done.first == Seq::ZERO {
                place
            } else {
                done.first.min(place)
            };
        }
        if self.bounds.head > before {
            self.hand_on(before);
            self.wake(before);
        }
        Ok(done)
    }

    fn write(&mut self, event: &NewEvent) -> Seq {
        let place = self.bounds.head.next();
        self.bounds.head = place;
        self.places.insert(event.id, place);
        let now = Timestamp::now();
        if event.timestamp > now {
            self.arrived.insert(place, now);
        }
        self.events.insert(place, event.clone());
        place
    }

    /// Gives what stands behind `before` to every feed, while nobody can look.
    fn hand_on(&self, before: Seq) {
        if self.feeds.is_empty() {
            return;
        }
        let (mut page, mut facts) = (PageBuilder::default(), Vec::new());
        for (place, event) in self.events.range((Excluded(before), Unbounded)) {
            put(*place, event, &Selector::all(), &mut page);
            facts.push(Facts::of(event));
        }
        let (page, facts) = (page.finish(self.bounds.head, self.bounds.first), Arc::from(facts));
        for feed in &self.feeds {
            feed.committed(page.clone(), Arc::clone(&facts));
        }
    }

    /// Tells every tail the newest place after `before` that it selects.
    fn wake(&mut self, before: Seq) {
        self.tails.retain(|(_, tail)| !tail.is_closed());
        for (what, tail) in &self.tails {
            let mut newest = self.events.range((Excluded(before), Unbounded)).rev();
            if let Some((place, _)) = newest.find(|(_, event)| what.selects(&event.subject())) {
                tail.send_replace(*place);
            }
        }
    }

    fn tail(&mut self, what: &Selector) -> watch::Receiver<Seq> {
        self.tails.retain(|(_, tail)| !tail.is_closed());
        if let Some((_, tail)) = self.tails.iter().find(|(of, _)| of == what) {
            return tail.subscribe();
        }
        let (tail, receiver) = watch::channel(self.bounds.head);
        self.tails.push((what.clone(), tail));
        receiver
    }

    fn read(&self, what: &Selector, after: Seq, limit: Limit) -> Page {
        let mut page = PageBuilder::default();
        for (place, event) in self.events.range((Excluded(after), Unbounded)) {
            if what.selects(&event.subject()) {
                put(*place, event, what, &mut page);
            }
            if page.is_full(limit) {
                return self.of(page.finish(*place, self.bounds.first));
            }
        }
        self.of(page.finish(self.bounds.head.max(after), self.bounds.first))
    }

    fn read_back(&self, what: &Selector, before: Seq, limit: Limit) -> Page {
        let mut page = PageBuilder::default();
        for (place, event) in self.events.range(..before).rev() {
            if what.selects(&event.subject()) {
                put(*place, event, what, &mut page);
            }
            if page.is_full(limit) {
                return self.of(page.finish_reversed(*place, self.bounds.first));
            }
        }
        self.of(page.finish_reversed(self.bounds.first.min(before), self.bounds.first))
    }

    fn of(&self, page: Page) -> Page {
        page.with_first_delta(self.bounds.first_delta)
    }

    fn trim(&mut self, policy: &Retention) -> Trimmed {
        let (events, lines) = (self.events.len(), self.lines());
        if let Some(session) = &policy.session {
            self.erase(|event| event.session_id.as_ref() == Some(session));
        }
        if let Some(before) = policy.events_before {
            let arrived = self.arrived.clone();
            self.trim_start(|events| {
                events
                    .first_key_value()
                    .is_some_and(|oldest| since(&arrived, oldest) < before)
            });
        }
        if let Some(most) = policy.max_bytes {
            let mut bytes: u64 = self.events.values().map(size).sum();
            self.trim_start(|events| {
                let over = bytes > most;
                bytes -= events.values().next().map_or(0, size);
                over
            });
        }
        if let Some(before) = policy.deltas_before {
            self.trim_deltas(before);
        }
        if let Some(before) = policy.raw_before {
            for (place, event) in &mut self.events {
                if since(&self.arrived, (place, event)) < before {
                    event.raw = None;
                }
            }
        }
        let gone = |before: usize, after: usize| u64::try_from(before - after).unwrap_or(u64::MAX);
        let trimmed = Trimmed {
            events: gone(events, self.events.len()),
            raw: gone(lines, self.lines()),
        };
        if trimmed.events > 0 {
            for feed in &self.feeds {
                // Which of them stood in the middle is not worth knowing here.
                feed.trimmed(self.bounds.first, true);
            }
        }
        trimmed
    }

    fn lines(&self) -> usize {
        self.events.values().filter(|event| event.raw.is_some()).count()
    }

    fn erase(&mut self, goes: impl Fn(&NewEvent) -> bool) {
        let places = self.events.iter().filter(|(_, event)| goes(event));
        for place in places.map(|(place, _)| *place).collect::<Vec<_>>() {
            self.delete(place);
        }
    }

    /// Deletes from the start as long as `more` says so, and moves the horizon to what is left.
    fn trim_start(&mut self, mut more: impl FnMut(&BTreeMap<Seq, NewEvent>) -> bool) {
        let kept = self.events.len();
        while let Some(oldest) = self.events.keys().next().copied()
            && more(&self.events)
        {
            self.delete(oldest);
        }
        if self.events.len() < kept {
            self.bounds.first = self
                .events
                .keys()
                .next()
                .copied()
                .unwrap_or_else(|| self.bounds.head.next());
            self.bounds.first_delta = self.bounds.first_delta.max(self.bounds.first);
        }
    }

    /// Deletes from the start up to the first newer delta: a horizon can tell of a range, not of holes.
    fn trim_deltas(&mut self, before: Timestamp) {
        let deltas = self.events.iter().filter(|(_, event)| event.kind.is_delta());
        let old: Vec<_> = deltas
            .take_while(|delta| since(&self.arrived, *delta) < before)
            .map(|(place, _)| *place)
            .collect();
        for place in &old {
            self.delete(*place);
        }
        if let Some(last) = old.last() {
            self.bounds.first_delta = self.bounds.first_delta.max(last.next());
        }
    }

    fn delete(&mut self, place: Seq) {
        if let Some(event) = self.events.remove(&place) {
            self.places.remove(&event.id);
            self.arrived.remove(&place);
        }
    }
}

/// What an event's age is counted from.
fn since(arrived: &HashMap<Seq, Timestamp>, (place, event): (&Seq, &NewEvent)) -> Timestamp {
    arrived.get(place).copied().unwrap_or(event.timestamp)
}

fn put(place: Seq, event: &NewEvent, what: &Selector, page: &mut PageBuilder) {
    let raw = event.raw.as_ref().filter(|_| what.raw);
    page.push(place, &body(event), raw.map(|raw| raw.get().as_bytes()));
}

fn body(event: &NewEvent) -> Vec<u8> {
    let mut body = Vec::new();
    event.encode_body(&mut body);
    body
}

fn size(event: &NewEvent) -> u64 {
    u64::try_from(body(event).len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use turnwire_proto::{Kind, Name, Object};

    use super::*;

    #[tokio::test]
    async fn a_log_without_a_place_left_refuses_the_whole_batch() {
        let log = MemoryLog::new();
        log.state().bounds.head = Seq::MAX.prev();
        let note = || {
            NewEvent::new(
                Kind::NOTE,
                Name::new("x").unwrap(),
                Timestamp::UNIX_EPOCH,
                Object::empty(),
            )
        };
        assert!(matches!(
            log.append(&[note(), note()]).await,
            Err(AppendError::Store(_))
        ));
        assert_eq!(log.bounds().await.unwrap().head, Seq::MAX.prev());
        assert_eq!(log.append(&[note()]).await.unwrap().last, Seq::MAX);
        assert!(log.append(&[note()]).await.is_err());
        let page = log.read(&Selector::all(), Seq::MAX.prev(), Limit::RUN).await.unwrap();
        assert_eq!((page.len(), page.cursor), (1, Seq::MAX));
        let page = log.read(&Selector::all(), Seq::MAX, Limit::RUN).await.unwrap();
        assert_eq!((page.len(), page.cursor), (0, Seq::MAX));
    }
}
