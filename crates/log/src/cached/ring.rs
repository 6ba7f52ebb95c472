//! The newest events as ready frames, by place and by session.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use bytes::Bytes;
use tokio::sync::watch;
use turnwire_proto::{Name, Selector, Seq};

use crate::{
    Limit, Page, PageBuilder,
    feed::{Facts, Sink},
};

/// What an event costs beside its frame: its mark, its facts, its place in the index of its session.
const OVERHEAD: usize = 200;
/// Chunks that one filtered read takes out of the lock at a time.
const BITE: usize = 256;
/// Commits between two looks for sessions that nobody waits for any more.
const SWEEP: u64 = 4096;

/// What one commit brought.
#[derive(Debug)]
struct Chunk {
    /// Its `cursor` is the last place that the commit gave.
    page: Page,
    facts: Arc<[Facts]>,
}

/// Where one session's events are, and who waits for more.
#[derive(Debug, Default)]
struct Session {
    /// Place, chunk number, index within the chunk.
    places: VecDeque<(Seq, u64, u32)>,
    tail: Option<watch::Sender<Seq>>,
}

#[derive(Debug)]
struct State {
    /// Every event after this place is here.
    start: Seq,
    /// Everything up to here is here.
    head: Seq,
    /// The first place that the log keeps.
    first: Seq,
    chunks: VecDeque<Arc<Chunk>>,
    /// The number of `chunks[0]`.
    base: u64,
    bytes: usize,
    sessions: HashMap<Name, Session>,
    commits: u64,
    /// How often something was deleted.
    trims: u64,
}

/// See the module. One lock, held for a few hundred nanoseconds; frames are read outside of it.
#[derive(Debug)]
pub(super) struct Ring {
    budget: usize,
    state: RwLock<State>,
    head: watch::Sender<Seq>,
    /// The last run that was joined of several chunks: readers that wake together want the same one.
    joined: Mutex<Option<(Seq, Page)>>,
}

impl Ring {
    pub(super) fn new(budget: usize, first: Seq) -> Self {
        let state = State {
            start: Seq::MAX,
            head: Seq::ZERO,
            first,
            chunks: VecDeque::new(),
            base: 0,
            bytes: 0,
            sessions: HashMap::new(),
            commits: 0,
            trims: 0,
        };
        Self {
            budget,
            state: RwLock::new(state),
            head: watch::Sender::new(Seq::ZERO),
            joined: Mutex::default(),
        }
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Everything after `start` will be here, unless a commit has already come and said so.
    pub(super) fn begin(&self, start: Seq) {
        let mut state = self.state_mut();
        if state.chunks.is_empty() || state.head < start {
            state.clear(start);
            state.wake();
            self.head.send_replace(start);
        } else {
            state.start = start;
        }
    }

    pub(super) fn start(&self) -> Seq {
        self.state().start
    }

    pub(super) fn head(&self) -> Seq {
        self.state().head
    }

    /// Takes a commit; not when something was deleted since the count of deletions that it was read at, if it was read.
    pub(super) fn commit(&self, page: Page, facts: Arc<[Facts]>, read_at: Option<u64>) {
        let head = page.cursor;
        {
            let mut state = self.state_mut();
            if read_at.is_some_and(|trims| trims != state.trims) {
                return;
            }
            if state.chunks.is_empty() && state.start == Seq::MAX {
                // The feed was asked for and has not yet answered: what comes before the answer is after it.
                state.start = page.marks.first().map_or(head, |mark| mark.seq.prev());
            }
            state.push(Chunk { page, facts });
            // One chunk always stays, or a commit larger than the budget could not be read from here by anyone.
            while state.bytes > self.budget && state.chunks.len() > 1 {
                state.pop();
            }
        }
        self.head.send_replace(head);
    }

    pub(super) fn trims(&self) -> u64 {
        self.state().trims
    }

    pub(super) fn bytes(&self) -> usize {
        self.state().bytes
    }

    pub(super) fn tail(&self, what: &Selector) -> watch::Receiver<Seq> {
        let Some(session) = &what.session else {
            return self.head.subscribe();
        };
        let mut state = self.state_mut();
        let head = state.head;
        let session = state.sessions.entry(session.clone()).or_default();
        session.tail.get_or_insert_with(|| watch::Sender::new(head)).subscribe()
    }

    /// `None` when the place was evicted meanwhile.
    pub(super) fn read(&self, what: &Selector, after: Seq, limit: Limit) -> Option<Page> {
        let state = self.state();
        if after < state.start {
            return None;
        }
        let (first, head) = (state.first, state.head);
        if after >= head {
            return Some(Page::empty(after, first));
        }
        if what.is_everything() {
            return Some(self.everything(state, after, limit));
        }
        if what.is_whole_session().is_some() {
            return Some(state.session(what, after, limit));
        }
        drop(state);
        self.filtered(what, after, limit)
    }

    fn everything(&self, state: RwLockReadGuard<'_, State>, after: Seq, limit: Limit) -> Page {
        let at = state.chunk_after(after);
        let chunk = &state.chunks[at];
        let whole = chunk.page.marks.first().is_some_and(|mark| mark.seq > after);
        let fits = chunk.page.len() <= limit.events && chunk.page.run.len() <= limit.bytes;
        if at + 1 == state.chunks.len() && whole && fits {
            return Page {
                first: state.first,
                ..chunk.page.clone()
            };
        }
        let (head, first) = (state.head, state.first);
        if limit == Limit::RUN
            && let Some((from, page)) = self.joined().as_ref()
            && *from == after
            && (page.cursor == head || page.run.len() >= limit.bytes)
        {
            return Page { first, ..page.clone() };
        }
        let chunks: Vec<_> = state.chunks.range(at..).take(BITE).cloned().collect();
        drop(state);
        let size = chunks
            .iter()
            .map(|chunk| chunk.page.run.len())
            .sum::<usize>()
            .min(limit.bytes.saturating_add(4096));
        let mut page = PageBuilder::with_capacity(size);
        let mut cursor = after;
        'chunks: for chunk in &chunks {
            for (seq, frame) in chunk.page.frames().filter(|(seq, _)| *seq > after) {
                page.push_frame(seq, frame);
                cursor = seq;
                if page.is_full(limit) {
                    break 'chunks;
                }
            }
            cursor = chunk.page.cursor;
        }
        let page = page.finish(cursor, first);
        if limit == Limit::RUN {
            *self.joined() = Some((after, page.clone()));
        }
        page
    }

    fn joined(&self) -> std::sync::MutexGuard<'_, Option<(Seq, Page)>> {
        self.joined.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn filtered(&self, what: &Selector, after: Seq, limit: Limit) -> Option<Page> {
        let mut page = PageBuilder::default();
        let mut cursor = after;
        loop {
            let (chunks, first, head) = {
                let state = self.state();
                if cursor < state.start {
                    // What was found so far stands; the rest is read from the store.
                    return (!page.is_empty()).then(|| page.finish(cursor, state.first));
                }
                if cursor >= state.head {
                    return Some(page.finish(cursor, state.first));
                }
                let at = state.chunk_after(cursor);
                (
                    state.chunks.range(at..).take(BITE).cloned().collect::<Vec<_>>(),
                    state.first,
                    state.head,
                )
            };
            for chunk in &chunks {
                for ((seq, frame), facts) in chunk.page.frames().zip(chunk.facts.iter()) {
                    if seq <= cursor {
                        continue;
                    }
                    cursor = seq;
                    if what.selects(&facts.subject()) {
                        page.push_frame(seq, frame);
                        if page.is_full(limit) {
                            return Some(page.finish(cursor, first));
                        }
                    }
                }
                cursor = cursor.max(chunk.page.cursor);
            }
            if cursor >= head {
                return Some(page.finish(cursor, first));
            }
        }
    }
}

impl State {
    /// The index of the first chunk with something after `after`, which is below `head`.
    fn chunk_after(&self, after: Seq) -> usize {
        self.chunks.partition_point(|chunk| chunk.page.cursor <= after)
    }

    fn session(&self, what: &Selector, after: Seq, limit: Limit) -> Page {
        let places = what
            .session
            .as_ref()
            .and_then(|session| self.sessions.get(session))
            .map(|session| &session.places);
        let Some(places) = places else {
            return Page::empty(self.head, self.first);
        };
        let from = places.partition_point(|(seq, ..)| *seq <= after);
        let mut page = Joined::default();
        for (seq, no, at) in places.range(from..) {
            let chunk = &self.chunks[usize::try_from(no - self.base).unwrap_or(usize::MAX)];
            page.push(*seq, &chunk.page, *at as usize);
            if page.is_full(limit) {
                return page.finish(*seq, self.first);
            }
        }
        page.finish(self.head, self.first)
    }

    fn clear(&mut self, start: Seq) {
        self.base += self.chunks.len() as u64;
        self.chunks.clear();
        self.sessions.retain(|_, session| {
            session.places.clear();
            session.tail.as_ref().is_some_and(|tail| tail.receiver_count() > 0)
        });
        (self.start, self.head, self.bytes) = (start, start.max(self.head), 0);
    }

    /// Has every session's readers look: what came for them is not here.
    fn wake(&self) {
        for tail in self.sessions.values().filter_map(|session| session.tail.as_ref()) {
            tail.send_replace(self.head);
        }
    }

    fn pop(&mut self) {
        let Some(chunk) = self.chunks.pop_front() else { return };
        self.base += 1;
        self.bytes -= cost(&chunk);
        self.start = chunk.page.cursor;
        for facts in chunk.facts.iter() {
            let Some(name) = &facts.session else { continue };
            if let Some(session) = self.sessions.get_mut(name) {
                session.places.pop_front();
                if session.places.is_empty() && session.tail.as_ref().is_none_or(|tail| tail.receiver_count() == 0) {
                    self.sessions.remove(name);
                }
            }
        }
    }

    fn push(&mut self, chunk: Chunk) {
        let no = self.base + self.chunks.len() as u64;
        self.bytes += cost(&chunk);
        self.head = chunk.page.cursor;
        let mut woken: Vec<Name> = Vec::new();
        for (at, (facts, mark)) in chunk.facts.iter().zip(chunk.page.marks.iter()).enumerate() {
            let Some(name) = &facts.session else { continue };
            // Almost always there already, and a lookup does not clone the name.
            if !self.sessions.contains_key(name) {
                self.sessions.insert(name.clone(), Session::default());
            }
            if let Some(session) = self.sessions.get_mut(name) {
                session
                    .places
                    .push_back((mark.seq, no, u32::try_from(at).unwrap_or(u32::MAX)));
                if session.tail.is_some() && woken.last() != Some(name) {
                    woken.push(name.clone());
                }
            }
        }
        self.chunks.push_back(Arc::new(chunk));
        for name in woken {
            if let Some(tail) = self.sessions.get(&name).and_then(|session| session.tail.as_ref()) {
                tail.send_replace(self.head);
            }
        }
        self.commits += 1;
        if self.commits.is_multiple_of(SWEEP) {
            self.sessions.retain(|_, session| {
                !session.places.is_empty() || session.tail.as_ref().is_some_and(|tail| tail.receiver_count() > 0)
            });
        }
    }
}

fn cost(chunk: &Chunk) -> usize {
    chunk.page.run.len() + chunk.facts.len() * OVERHEAD + 200
}

impl Sink for Ring {
    fn committed(&self, page: Page, facts: Arc<[Facts]>) {
        self.commit(page, facts, None);
    }

    fn trimmed(&self, first: Seq, everything: bool) {
        let mut state = self.state_mut();
        state.trims += 1;
        state.first = state.first.max(first);
        if everything {
            let head = state.head;
            state.clear(head);
        }
        while state
            .chunks
            .front()
            .is_some_and(|chunk| chunk.page.marks.first().is_some_and(|mark| mark.seq < first))
        {
            state.pop();
        }
        *self.joined() = None;
    }
}

/// Frames from here and there; a single one is not copied.
#[derive(Default)]
struct Joined {
    single: Option<(Seq, Bytes)>,
    many: PageBuilder,
}

impl Joined {
    fn push(&mut self, seq: Seq, page: &Page, at: usize) {
        let start = at.checked_sub(1).map_or(0, |before| page.marks[before].end as usize);
        let range = start..page.marks[at].end as usize;
        if self.single.is_none() && self.many.is_empty() {
            self.single = Some((seq, page.run.slice(range)));
            return;
        }
        if let Some((seq, frame)) = self.single.take() {
            self.many.push_frame(seq, &frame);
        }
        self.many.push_frame(seq, &page.run[range]);
    }

    fn is_full(&self, limit: Limit) -> bool {
        match &self.single {
            Some((_, frame)) => limit.events <= 1 || frame.len() >= limit.bytes,
            None => self.many.is_full(limit),
        }
    }

    fn finish(self, cursor: Seq, first: Seq) -> Page {
        match self.single {
            Some((seq, run)) => {
                let end = u32::try_from(run.len()).unwrap_or(u32::MAX);
                Page {
                    run,
                    marks: Arc::new([crate::Mark { seq, end }]),
                    cursor,
                    first,
                    first_delta: first,
                }
            }
            None => self.many.finish(cursor, first),
        }
    }
}
