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
mod codex;
mod gemini;

use serde::Serialize;
use turnwire_proto::{
    ApprovalRequest, Defaults, Empty, EventId, Json, Kind, Name, NewEvent, Object, Timestamp, ToolCall,
};

pub use answer::{Verdict, answer};
pub use claude::claude;
pub use codex::codex;
pub use gemini::gemini;

use crate::{fact::id, fit, scribe::with, view::Obj};

/// Whose hooks are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// Claude Code.
    Claude,
    /// Codex.
    Codex,
    /// Gemini CLI.
    Gemini,
}

impl Vendor {
    /// The agent, where nobody says its name. Not that of a driver of ours, whose downlink says when it is there.
    #[must_use]
    pub const fn agent(self) -> &'static str {
        match self {
            Self::Claude => "claude-code",
            Self::Codex => "codex-cli",
            Self::Gemini => "gemini-cli",
        }
    }

    /// Reads one payload of its hooks. Cannot fail.
    #[must_use]
    pub fn read(self, payload: &[u8], delivery: &Delivery) -> Told {
        match self {
            Self::Claude => claude(payload, delivery),
            Self::Codex => codex(payload, delivery),
            Self::Gemini => gemini(payload, delivery),
        }
    }
}

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
#[derive(Clone, Debug, PartialEq)]
pub struct Asks {
    /// The question's identity, as its `approval_request` says it.
    pub approval_id: Name,
    /// How it is to be answered.
    pub how: How,
    /// What is told besides when it is denied, where the vendor itself tells nothing of a call that was not made.
    pub denied: Option<Box<NewEvent>>,
}

/// The answers that a vendor's question takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Of `PermissionRequest`: without a decision the vendor asks at its own terminal.
    Permission,
    /// Of `PreToolUse` as a gate: without a decision the vendor goes by its own rules.
    Gate,
    /// Of Codex's `PermissionRequest`, which takes no other arguments.
    CodexPermission,
    /// Of Codex's `PreToolUse` as a gate: who lets it through says nothing, and its own rules go on.
    CodexGate,
    /// Of Gemini's `BeforeTool` as a gate, likewise.
    GeminiGate,
}

impl How {
    /// Whether the call waits here whatever the vendor's own rules say: one that opens when nobody looks is none.
    #[must_use]
    pub const fn is_gate(self) -> bool {
        matches!(self, Self::Gate | Self::CodexGate | Self::GeminiGate)
    }
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
        id(self.session.as_str(), DOMAIN, own.iter().chain(key).copied())
    }

    /// The same id for each try of this delivery.
    fn unkeyed(&mut self) -> EventId {
        self.unkeyed += 1;
        let delivery = self.delivery.id.to_string();
        let number = self.unkeyed.to_string();
        id(self.session.as_str(), DOMAIN, [&*delivery, &*number])
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
        let raw = self.payload.take().and_then(|text| fit::raw(text, &data));
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

    /// Asks about a call: the tool and its id.
    fn ask(
        &mut self,
        question: EventId,
        how: How,
        (tool, tool_call_id): (String, Option<String>),
        hook: &Obj<'_>,
        more: &[(&'static str, Option<Json>)],
    ) {
        let Ok(approval_id) = Name::new(&question.to_string()) else {
            return;
        };
        let input = hook.obj("tool_input").unwrap_or_default();
        let title = input.text("description");
        let body = ApprovalRequest {
            approval_id: approval_id.to_string(),
            tool: tool.clone(),
            tool_call_id: tool_call_id.clone(),
            arguments: hook.json("tool_input"),
            title: title.map(|title| fit::head(&title, TITLE).to_owned()),
            expires_at: self.delivery.until.map(|until| until.to_string()),
        };
        self.write_as(question, Kind::APPROVAL_REQUEST, with(&body, more));
        let tells = matches!(how, How::CodexGate | How::GeminiGate);
        let denied = tells.then(|| Box::new(self.denied(&tool, tool_call_id, hook)));
        self.told.asks = Some(Asks {
            approval_id,
            how,
            denied,
        });
    }

    /// The end of a call that was denied here.
    fn denied(&self, tool: &str, id: Option<String>, hook: &Obj<'_>) -> NewEvent {
        let body = ToolCall {
            tool: tool.to_owned(),
            tool_call_id: id.clone().unwrap_or_default(),
            error: Some("denied".to_owned()),
            ..ToolCall::default()
        };
        let delivery = self.delivery.id.to_string();
        let key = id.unwrap_or(delivery);
        let arguments = hook.json("tool_input").filter(|_| body.tool_call_id.is_empty());
        NewEvent {
            id: self.keyed(&Kind::TOOL_CALL, &[&key]),
            agent: self.delivery.agent.clone(),
            session_id: Some(self.session.clone()),
            turn_id: self.turn.clone(),
            ..NewEvent::new(
                Kind::TOOL_CALL,
                self.source.clone(),
                self.delivery.at,
                fit::body(with(&body, &[("arguments", arguments)])),
            )
        }
    }

    /// What the payload has told, and what it is when nothing was made of it.
    fn done(mut self, name: &str, known: bool) -> Told {
        if !known {
            let name = if name.is_empty() { "no hook_event_name" } else { name };
            self.unknown(fit::head(name, 64));
        } else if self.payload.is_some() {
            self.keep(fit::head(name, 64));
        }
        self.told
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

/// Bytes of a title: a line of it is shown.
const TITLE: usize = 256;

/// The payload's text without what may stand round it, and its fields; or what is told of one that is no object.
fn parse<'a>(text: &'a str, source: &str, delivery: &Delivery) -> Result<(&'a str, Obj<'a>), Told> {
    let text = text.trim_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    Obj::parse(text).map(|hook| (text, hook)).ok_or_else(|| {
        let mut sheet = Sheet::new(source, text, None, None, delivery);
        sheet.unknown("not a JSON object");
        sheet.told
    })
}
