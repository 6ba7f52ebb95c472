//! Hooks of agents that were not started here: each call is one payload, and its events follow from that payload alone.
//!
//! - No state: calls come one request at a time, to any process, and some come late from a spool. What belongs together is
//!   joined by the vendor's own ids.
//! - An event that has a key of its own (a prompt's id, a call's id) always has the same id: a payload that is delivered
//!   again, or told by two hooks, writes nothing twice. All others are known by their delivery.
//! - Every payload is the `raw` of one event; one that has no better event becomes kind `raw`.
//! - Every event has a session: a payload that names none goes to [`NO_SESSION`], and not to every reader.

mod answer;
mod claude;

use serde::Serialize;
use turnwire_proto::{Defaults, Empty, EventId, Json, Kind, Name, NewEvent, Object, Timestamp};

pub use answer::{Verdict, answer};
pub use claude::claude;

use crate::{fact, fit, scribe::with};

/// What the ids of events are made for here.
const DOMAIN: &str = "turnwire hook";

/// The session of payloads that name none.
pub const NO_SESSION: &str = "hooks-without-a-session";

/// One call of a hook, as far as its payload does not say it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The same for each try to deliver the same call.
    pub id: EventId,
    /// When it came.
    pub at: Timestamp,
    /// The named worker.
    pub agent: Option<Name>,
    /// Every tool call is asked about before it is made, whatever the vendor's own rules say.
    pub gate: bool,
    /// When a question expires.
    pub until: Option<Timestamp>,
}

impl Delivery {
    /// One that came at `at`, of which nothing more is known.
    #[must_use]
    pub fn new(at: Timestamp) -> Self {
        Self {
            id: EventId::new(),
            at,
            agent: None,
            gate: false,
            until: None,
        }
    }
}

/// What a vendor waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asks {
    /// The question's identity, as its `approval_request` says it.
    pub approval_id: Name,
    /// How it is to be answered.
    pub how: How,
}

/// The answers that a vendor's question takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Of `PermissionRequest`: without a decision the vendor asks at its own terminal.
    Permission,
    /// Of `PreToolUse` as a gate: without a decision the vendor goes by its own rules.
    Gate,
}

/// What a payload tells.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Its events, in order.
    pub events: Vec<NewEvent>,
    /// Set when the vendor waits for an answer.
    pub asks: Option<Asks>,
    /// The payload was not understood.
    pub unknown: bool,
}

/// What is written while one payload is read.
struct Sheet<'a> {
    source: Name,
    delivery: &'a Delivery,
    session: Name,
    turn: Option<Name>,
    /// The payload, until an event has taken it.
    payload: Option<&'a str>,
    /// Events that have no key of their own.
    unkeyed: u32,
    told: Told,
}

impl<'a> Sheet<'a> {
    fn new(source: &str, payload: &'a str, session: Option<&str>, turn: Option<&str>, delivery: &'a Delivery) -> Self {
        let session = session.and_then(Name::lossy).or_else(|| Name::new(NO_SESSION).ok());
        let source = Defaults::new(source, delivery.at).source;
        Self {
            session: session.unwrap_or_else(|| source.clone()),
            source,
            delivery,
            turn: turn.and_then(Name::lossy),
            payload: Some(payload),
            unkeyed: 0,
            told: Told::default(),
        }
    }

    /// The same id for whoever tells of the same thing.
    fn keyed(&self, kind: &Kind, key: &[&str]) -> EventId {
        let own = [self.session.as_str(), kind.as_str()];
        fact::id(DOMAIN, own.iter().chain(key))
    }

    /// The same id for each try of this delivery.
    fn unkeyed(&mut self) -> EventId {
        self.unkeyed += 1;
        let delivery = self.delivery.id.to_string();
        let number = self.unkeyed.to_string();
        fact::id(DOMAIN, [&*delivery, &*number].iter())
    }

    /// Writes an event that is known by `key`, in its session and of its kind; one without a key by its delivery.
    fn write(&mut self, kind: Kind, key: Option<&[&str]>, body: Object) {
        let id = match key {
            Some(key) if key.iter().all(|part| !part.is_empty()) => self.keyed(&kind, key),
            _ => self.unkeyed(),
        };
        self.write_as(id, kind, body);
    }

    fn write_as(&mut self, id: EventId, kind: Kind, body: Object) {
        let data = fit::body(body);
        let raw = self.payload.take().and_then(|text| fit::raw(text, data.get().len()));
        self.told.events.push(NewEvent {
            id,
            agent: self.delivery.agent.clone(),
            session_id: Some(self.session.clone()),
            turn_id: self.turn.clone(),
            raw,
            ..NewEvent::new(kind, self.source.clone(), self.delivery.at, data)
        });
    }

    fn tell<T: Serialize>(&mut self, kind: Kind, key: Option<&[&str]>, body: &T) {
        self.write(kind, key, Object::of(body));
    }

    /// Writes what may have been told before: the payload goes with another event.
    fn aside(&mut self, write: impl FnOnce(&mut Self)) {
        let payload = self.payload.take();
        write(self);
        self.payload = payload;
    }

    /// The payload is understood and has no event of its own.
    fn keep(&mut self, what: &str) {
        self.write(Kind::RAW, None, with(&Empty {}, &[("what", Some(Json::of(what)))]));
    }

    /// The payload is not understood.
    fn unknown(&mut self, what: &str) {
        self.told.unknown = true;
        let fields = [("what", Some(Json::of(what))), ("unknown", Some(Json::of(&true)))];
        self.write(Kind::RAW, None, with(&Empty {}, &fields));
    }
}
