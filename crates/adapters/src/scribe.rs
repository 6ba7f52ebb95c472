//! The bookkeeping that all agents' adapters share: sessions, turns, calls and questions that are open, and the vendor's
//! line on the first event made from it.
//!
//! Invariant: whatever a vendor prints, in whatever order, starts and ends pair.

mod body;
mod page;
mod tokens;

use std::collections::VecDeque;

use turnwire_proto::{EventId, Kind, Name, NewEvent, Timestamp, Usage};

pub(crate) use body::{Ended, object, with};
pub(crate) use page::Page;
pub(crate) use tokens::{add, less, money, nothing, since};

use crate::{Context, fact};

/// What the ids of events are made for here.
const DOMAIN: &str = "turnwire transcript";

/// Calls that are open at once; beyond it the oldest is given up. The most seen in one turn is a few dozen.
const OPEN_CALLS: usize = 1024;
/// Ended calls that are remembered, so that a result that is told twice ends its call once.
const ENDED_CALLS: usize = 4096;
/// Turns whose vendor's ids are remembered.
const NAMED_TURNS: usize = 1024;
/// Events that wait for the vendor to name its session, and their bytes. Vendors name it in the first line or two.
const HELD_EVENTS: usize = 64;
const HELD_BYTES: usize = 4 * 1024 * 1024;

/// What is known of one run's output.
#[derive(Debug)]
pub(crate) struct Scribe {
    source: Name,
    pub(crate) context: Context,
    /// The vendor's id of the session that the newest line is about.
    vendor: Option<String>,
    /// What its events carry.
    session: Option<Name>,
    /// Sessions that have had their `session_start`, newest last.
    started: Vec<Option<Name>>,
    /// What makes this run's turns different from those of another run of the same session.
    seed: Option<String>,
    turns: u64,
    turn: Option<Turn>,
    calls: Vec<Call>,
    ended: VecDeque<String>,
    questions: Vec<Question>,
    /// The last `turn_state_changed`, as long as it stands in the way of "thinking".
    state: Option<String>,
    held: Vec<NewEvent>,
    held_bytes: usize,
    pub(crate) unknown: u64,
    /// The vendor's id of the turn that begins next.
    pub(crate) next_turn: Option<String>,
    /// Turns that have had an id of the vendor's, so that none begins twice.
    named_turns: VecDeque<Name>,
    /// The turn that events are of while none is open.
    pub(crate) label: Option<Name>,
    facts: Option<Facts>,
    /// The session's end has been told.
    over: bool,
}

/// How events of a file are known, so that reading it again writes nothing twice.
#[derive(Debug, Default)]
struct Facts {
    /// The vendor's id of the line.
    line: Option<String>,
    /// Events of it so far.
    events: u32,
    /// Of the next event alone.
    next: Option<EventId>,
}

/// The turn that is open.
#[derive(Debug)]
pub(crate) struct Turn {
    id: Name,
    /// The caller has begun it, before the vendor said anything.
    prompted: bool,
    session: Option<Name>,
    start: Moment,
    /// What its `usage` events have told.
    used: Usage,
    cost: Option<f64>,
    /// The last error that was told in it.
    error: Option<String>,
    /// Whether the agent has said something in it.
    pub(crate) spoke: bool,
}

/// A tool call that is open.
#[derive(Debug)]
pub(crate) struct Call {
    id: String,
    tool: String,
    parent: Option<String>,
    turn: Option<Name>,
    session: Option<Name>,
    start: Moment,
    /// Why it will fail, told before its end.
    fate: Option<String>,
    /// Its output so far, for vendors that repeat all of it.
    pub(crate) shown: usize,
}

/// A question that is open.
#[derive(Debug)]
struct Question {
    id: String,
    call: Option<String>,
    session: Option<Name>,
    turn: Option<Name>,
}

/// Two clocks that must not be mixed: the vendor's, and that of the line's arrival.
#[derive(Clone, Copy, Debug)]
struct Moment {
    vendor: Option<Timestamp>,
    arrival: Timestamp,
}

impl Moment {
    /// Whole milliseconds on a clock that both moments know; never negative.
    fn until(self, end: Self) -> u64 {
        let ms = match (self.vendor, end.vendor) {
            (Some(start), Some(end)) => end.millis() - start.millis(),
            _ => end.arrival.millis() - self.arrival.millis(),
        };
        u64::try_from(ms).unwrap_or(0)
    }

    fn shown(self) -> Timestamp {
        self.vendor.unwrap_or(self.arrival)
    }
}

impl Scribe {
    pub(crate) fn new(source: &'static str, context: Context) -> Self {
        Self {
            // Invariant: a source is a literal that is a name.
            source: Name::new(source).expect("a source is a name"),
            session: context.session.clone(),
            context,
            vendor: None,
            started: Vec::new(),
            seed: None,
            turns: 0,
            turn: None,
            calls: Vec::new(),
            ended: VecDeque::new(),
            questions: Vec::new(),
            state: None,
            held: Vec::new(),
            held_bytes: 0,
            unknown: 0,
            next_turn: None,
            named_turns: VecDeque::new(),
            label: None,
            facts: None,
            over: false,
        }
    }

    /// What is read is a file, which may be read again: events are known by what they tell.
    pub(crate) fn keyed(mut self) -> Self {
        self.facts = Some(Facts::default());
        self
    }

    /// The first id of the vendor's that no other run has makes the turns' ids.
    pub(crate) fn seed(&mut self, id: &str) {
        if self.seed.is_none() && !id.is_empty() {
            // 32 bits of a vendor's UUID: turns of one session would have to collide.
            self.seed = Some(id.chars().filter(char::is_ascii_alphanumeric).take(8).collect());
        }
    }

    /// `t-` + what is particular to this run + the number of the turn in it. Without an id of the vendor's it is the
    /// millisecond of the first turn in base 36.
    fn next_turn(&mut self, start: Timestamp) -> Name {
        let named = self.next_turn.take().as_deref().and_then(Name::lossy);
        if let Some(turn) = named.filter(|turn| !self.named_turns.contains(turn)) {
            if self.named_turns.len() >= NAMED_TURNS {
                self.named_turns.pop_front();
            }
            self.named_turns.push_back(turn.clone());
            return turn;
        }
        self.turns += 1;
        let seed = self.seed.get_or_insert_with(|| base36(start.millis()));
        Name::lossy(&format!("t-{seed}-{}", self.turns)).unwrap_or_else(|| self.source.clone())
    }

    /// The id of what is written next: what there is once in a session by its own id, the rest by its line. A line without
    /// an id of the vendor's leaves it to who knows the line's place.
    fn fact(&mut self, kind: &Kind, turn: Option<&Name>, call: Option<&str>) -> Option<EventId> {
        let session = self.session.as_ref().map_or("", Name::as_str);
        let facts = self.facts.as_mut()?;
        if let Some(id) = facts.next.take() {
            return Some(id);
        }
        let own = [self.source.as_str(), session, kind.as_str()];
        let once = match kind.as_str() {
            "session_start" => Some(""),
            "turn_start" | "turn_end" => turn.map(Name::as_str),
            _ => call,
        };
        if let Some(once) = once {
            return Some(fact::id(session, DOMAIN, own.into_iter().chain([once])));
        }
        let line = facts.line.as_deref()?;
        facts.events += 1;
        let number = facts.events.to_string();
        Some(fact::id(
            session,
            DOMAIN,
            [self.source.as_str(), session, line, &*number],
        ))
    }

    /// Leaves the open turn to the caller, who must take it up again. What the caller of the adapter began stays open.
    pub(crate) fn set_aside(&mut self) -> Option<Turn> {
        self.turn.take_if(|turn| !turn.prompted)
    }

    /// Makes this the open turn again; returns the one that was.
    pub(crate) const fn take_up(&mut self, turn: Turn) -> Option<Turn> {
        self.turn.replace(turn)
    }

    pub(crate) fn turn(&mut self) -> Option<&mut Turn> {
        self.turn.as_mut()
    }

    pub(crate) fn is_open(&self, call: &str) -> bool {
        self.calls.iter().any(|open| open.id == call)
    }

    pub(crate) fn has_ended(&self, call: &str) -> bool {
        self.ended.iter().any(|ended| ended == call)
    }

    pub(crate) fn call(&mut self, id: &str) -> Option<&mut Call> {
        self.calls.iter_mut().find(|call| call.id == id)
    }

    pub(crate) fn has_started(&self) -> bool {
        self.started.contains(&self.session)
    }
}

impl Turn {
    pub(crate) fn id(&self) -> &Name {
        &self.id
    }

    /// The last error that was told in it.
    pub(crate) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    pub(crate) const fn is_prompted(&self) -> bool {
        self.prompted
    }
}

fn base36(value: i64) -> String {
    let mut value = value.unsigned_abs();
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit(u32::try_from(value % 36).unwrap_or(0), 36).unwrap_or('0'));
        value /= 36;
        if value == 0 {
            return digits.iter().rev().collect();
        }
    }
}
