//! Fewer deltas: pieces of one text become larger pieces, and pieces whose whole has come are not sent at all.
//!
//! Pure: time is an argument. What holds for each session:
//! - at most 20 deltas a second, save those that must go before an event that is no delta;
//! - a delta ends where no secret goes on ([`turnwire_redact::boundary`]), so that whoever looks at it alone sees all of one or nothing:
//!   the rest is held back until more comes, the whole comes, or the text ends; a rest that grows beyond 64 KiB goes as one piece;
//! - nothing but deltas is ever held back, and no delta but such a rest is overtaken by an event of its session that is no delta, unless
//!   that event is the whole of what the delta is a piece of: then the delta is dropped;
//! - pieces of one text come in order, and their contents put together are the text's, unless they were dropped.
//!
//! A merged delta has the id and the turn of its first piece and the time of its last. Only a delta that is one piece as it came has the
//! vendor's line: another's would show a part of what it holds.

mod pending;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use turnwire_proto::{Kind, Name, NewEvent};

use crate::view::Obj;
use pending::{Key, Pending};

/// Deltas a second and session: what an eye can follow.
const PER_SECOND: u32 = 20;
const SPACING: Duration = Duration::from_millis(1000 / PER_SECOND as u64);
/// Bytes of a merged delta: beyond it, it goes at once. A fast model writes a few hundred bytes in [`SPACING`].
const MERGED: usize = 64 * 1024;
/// Texts of one session that grow at once: beyond it, the oldest goes at once.
const TEXTS: usize = 64;

/// Merges deltas and drops superseded ones.
#[derive(Debug, Default)]
pub struct Coalescer {
    sessions: BTreeMap<Option<Name>, Session>,
}

#[derive(Debug, Default)]
struct Session {
    /// Oldest first.
    pending: Vec<Pending>,
    /// Before it no delta goes.
    ready: Option<Instant>,
}

impl Coalescer {
    /// With nothing held back.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one event, and gives out what is to be sent now.
    pub fn push(&mut self, event: NewEvent, now: Instant, out: &mut Vec<NewEvent>) {
        let session = self.sessions.entry(event.session_id.clone()).or_default();
        if event.kind.is_delta() {
            session.delta(event, now, out);
            return;
        }
        session.supersede(&event);
        session.flush(&event, now, out);
        out.push(event);
    }

    /// Gives out what is due.
    pub fn poll(&mut self, now: Instant, out: &mut Vec<NewEvent>) {
        self.sessions.retain(|_, session| {
            session.poll(now, out);
            !session.pending.is_empty() || session.ready.is_some_and(|ready| ready > now)
        });
    }

    /// When [`Coalescer::poll`] has something to give.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let waiting = self.sessions.values().filter(|session| session.due().is_some());
        waiting.filter_map(|session| session.ready).min()
    }

    /// Gives out all that is held back.
    pub fn finish(&mut self, out: &mut Vec<NewEvent>) {
        for session in std::mem::take(&mut self.sessions).into_values() {
            out.extend(session.pending.into_iter().map(Pending::whole));
        }
    }
}

impl Session {
    fn delta(&mut self, event: NewEvent, now: Instant, out: &mut Vec<NewEvent>) {
        self.poll(now, out);
        let key = Key::of(&event);
        match self.pending.iter().position(|pending| pending.key == key) {
            Some(at) => self.grow(at, key, event, now, out),
            None => {
                if self.pending.len() >= TEXTS {
                    self.send_whole(0, now, out);
                }
                self.pending.push(Pending::new(key, event));
            }
        }
        self.poll(now, out);
    }

    /// Adds a piece to a text.
    fn grow(&mut self, at: usize, key: Key, event: NewEvent, now: Instant, out: &mut Vec<NewEvent>) {
        let size = event.data.get().len();
        let mut at = Some(at);
        if let Some(place) = at
            && self.pending[place].bytes() + size > MERGED
            && self.pending[place].is_due()
            && !self.send(place, now, out)
        {
            at = None;
        }
        let left = match at {
            Some(place) if self.pending[place].bytes() + size <= MERGED => self.pending[place].merge(event),
            _ => Some(event),
        };
        if let Some(event) = left {
            // It cannot be put together with what is there, so that goes first.
            if let Some(place) = at {
                self.send_whole(place, now, out);
            }
            self.pending.push(Pending::new(key, event));
        }
    }

    /// The oldest of which something may go.
    fn due(&self) -> Option<usize> {
        self.pending.iter().position(Pending::is_due)
    }

    fn sent(&mut self, now: Instant) {
        let from = self.ready.map_or(now, |ready| ready.max(now));
        self.ready = Some(from + SPACING);
    }

    /// Sends what may go of a text; whether something of it is left.
    fn send(&mut self, at: usize, now: Instant, out: &mut Vec<NewEvent>) -> bool {
        self.sent(now);
        out.push(self.pending[at].take());
        let left = !self.pending[at].is_empty();
        if !left {
            self.pending.remove(at);
        }
        left
    }

    fn send_whole(&mut self, at: usize, now: Instant, out: &mut Vec<NewEvent>) {
        self.sent(now);
        out.push(self.pending.remove(at).whole());
    }

    fn poll(&mut self, now: Instant, out: &mut Vec<NewEvent>) {
        while self.ready.is_none_or(|ready| ready <= now)
            && let Some(at) = self.due()
        {
            self.send(at, now, out);
        }
    }

    /// Sends what may go before an event that is no delta, and all of the texts that it ends.
    fn flush(&mut self, before: &NewEvent, now: Instant, out: &mut Vec<NewEvent>) {
        if self.pending.is_empty() {
            return;
        }
        let over = Over::by(before);
        let mut at = 0;
        while at < self.pending.len() {
            if over.ends(&self.pending[at].key) {
                self.send_whole(at, now, out);
            } else if !self.pending[at].is_due() || self.send(at, now, out) {
                at += 1;
            }
        }
    }

    /// Drops the pieces of what has come whole.
    fn supersede(&mut self, whole: &NewEvent) {
        if self.pending.is_empty() {
            return;
        }
        let (kind, id, arguments) = match whole.kind.as_str() {
            "message" => (Kind::TEXT_DELTA, "message_id", None),
            "reasoning" => (Kind::REASONING_DELTA, "message_id", None),
            "tool_call_start" => (Kind::TOOL_PROGRESS, "tool_call_id", Some(true)),
            "tool_call" => (Kind::TOOL_PROGRESS, "tool_call_id", None),
            _ => return,
        };
        let Some(body) = Obj::parse(whole.data.get()) else {
            return;
        };
        let (id, parent) = (body.text(id), body.text("parent_tool_call_id"));
        // A progress of a call does not say whose subagent's call it is: its id is enough.
        let by_call = kind == Kind::TOOL_PROGRESS;
        self.pending.retain(|pending| {
            let key = &pending.key;
            let same = key.kind == kind && key.id == id && (by_call || key.parent == parent);
            !(same && arguments.is_none_or(|arguments| key.arguments == arguments))
        });
    }
}

/// Which texts an event ends that is no delta.
enum Over {
    /// All of its session.
    All,
    /// What the agent says in this call, or outside of any.
    Said(Option<String>),
    None,
}

impl Over {
    fn by(event: &NewEvent) -> Self {
        match event.kind.as_str() {
            "turn_start" | "turn_end" | "session_start" | "session_end" | "agent_start" | "agent_end" => Self::All,
            // A person may say something while the agent goes on.
            "message" | "reasoning" => match Obj::parse(event.data.get()) {
                Some(body) if !body.is("role", "user") => Self::Said(body.text("parent_tool_call_id")),
                _ => Self::None,
            },
            _ => Self::None,
        }
    }

    fn ends(&self, text: &Key) -> bool {
        match self {
            Self::All => true,
            Self::Said(parent) => text.kind != Kind::TOOL_PROGRESS && text.parent == *parent,
            Self::None => false,
        }
    }
}

#[cfg(test)]
mod tests;
