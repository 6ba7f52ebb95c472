//! An event as a harness tells it, and as the log takes it.

use serde::Serialize;
use turnwire_proto::{
    AgentEnd, AgentStart, ErrorBody, EventId, Json, Kind, LlmRequest, Message, Name, NewEvent, Object, SessionEnd,
    SessionStart, Timestamp, ToolCall, ToolCallStart, TurnEnd, TurnStart, Usage, is_deeper, limits,
};

/// Levels that stand round a foreign value in a body: the body itself.
const AROUND: usize = 1;

/// What an event is about. An event with a session is private to whoever may read that session, one without is for every
/// reader of the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The named worker.
    pub agent: Option<Name>,
    /// The conversation.
    pub session_id: Option<Name>,
    /// The prompt and all that it causes.
    pub turn_id: Option<Name>,
}

impl About {
    /// About a session. What cannot be a name becomes the nearest one: control characters become `_`, the end is cut.
    #[must_use]
    pub fn session(id: &str) -> Self {
        Self {
            session_id: Name::lossy(id),
            ..Self::default()
        }
    }

    /// About no session: every reader of the gateway may read it.
    #[must_use]
    pub fn everyone() -> Self {
        Self::default()
    }

    /// In this turn.
    #[must_use]
    pub fn turn(mut self, id: &str) -> Self {
        self.turn_id = Name::lossy(id);
        self
    }

    /// Done by this agent.
    #[must_use]
    pub fn agent(mut self, name: &str) -> Self {
        self.agent = Name::lossy(name);
        self
    }
}

/// A model has answered, or has not. The log takes an answer as `usage` and a failure as `error`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LlmResponse {
    /// Who serves the model.
    pub model_provider: Option<String>,
    /// Until the answer was whole.
    pub duration_ms: Option<u64>,
    /// Tokens, the model among them. Of one request, so that those of a turn add up to its end's.
    pub usage: Usage,
    /// Why there was no answer; absent where there was one.
    pub error: Option<String>,
}

/// What happened. Each is one kind of the log; what is not here goes as [`What::Other`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum What {
    /// `session_start`
    SessionStart(SessionStart),
    /// `session_end`
    SessionEnd(SessionEnd),
    /// `agent_start`
    AgentStart(AgentStart),
    /// `agent_end`
    AgentEnd(AgentEnd),
    /// `turn_start`
    TurnStart(TurnStart),
    /// `turn_end`
    TurnEnd(TurnEnd),
    /// `llm_request`
    LlmRequest(LlmRequest),
    /// `usage`, or `error`
    LlmResponse(LlmResponse),
    /// `message`
    Message(Message),
    /// `tool_call_start`
    ToolCallStart(ToolCallStart),
    /// `tool_call`
    ToolCall(ToolCall),
    /// `error`
    Error(ErrorBody),
    /// Any other kind, with its body.
    Other(Kind, Object),
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ObserverEvent {
    /// Its identity: however many ways it takes to a gateway, it is written there once.
    pub id: EventId,
    /// When.
    pub at: Timestamp,
    /// What it is about.
    pub about: About,
    /// What happened.
    pub what: What,
}

impl ObserverEvent {
    /// It happened now.
    #[must_use]
    pub fn new(about: About, what: What) -> Self {
        Self {
            id: EventId::new(),
            at: Timestamp::now(),
            about,
            what,
        }
    }

    /// The kind that the log takes it as.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match &self.what {
            What::SessionStart(_) => Kind::SESSION_START,
            What::SessionEnd(_) => Kind::SESSION_END,
            What::AgentStart(_) => Kind::AGENT_START,
            What::AgentEnd(_) => Kind::AGENT_END,
            What::TurnStart(_) => Kind::TURN_START,
            What::TurnEnd(_) => Kind::TURN_END,
            What::LlmRequest(_) => Kind::LLM_REQUEST,
            What::LlmResponse(LlmResponse { error: None, .. }) => Kind::USAGE,
            What::LlmResponse(_) | What::Error(_) => Kind::ERROR,
            What::Message(_) => Kind::MESSAGE,
            What::ToolCallStart(_) => Kind::TOOL_CALL_START,
            What::ToolCall(_) => Kind::TOOL_CALL,
            What::Other(kind, _) => kind.clone(),
        }
    }

    /// The body that the log takes.
    #[must_use]
    pub fn data(&self) -> Object {
        match &self.what {
            What::SessionStart(body) => Object::of(body),
            What::SessionEnd(body) => Object::of(body),
            What::AgentStart(body) => Object::of(body),
            What::AgentEnd(body) => Object::of(body),
            What::TurnStart(body) => Object::of(body),
            What::TurnEnd(body) => Object::of(&TurnEnd {
                permission_denials: shallow(body.permission_denials.as_ref()),
                ..body.clone()
            }),
            What::LlmRequest(body) => Object::of(body),
            What::LlmResponse(body) => response(body),
            What::Message(body) => Object::of(body),
            What::ToolCallStart(body) => Object::of(&ToolCallStart {
                arguments: shallow(body.arguments.as_ref()),
                ..body.clone()
            }),
            What::ToolCall(body) => Object::of(&ToolCall {
                output: shallow(body.output.as_ref()),
                ..body.clone()
            }),
            What::Error(body) => Object::of(body),
            What::Other(_, data) if is_deeper(data.get(), limits::LEVELS) => {
                Object::of(&serde_json::json!({ "text": data.get() }))
            }
            What::Other(_, data) => data.clone(),
        }
    }

    /// As the log takes it, made by `source`; by `agent` where it names none itself.
    #[must_use]
    pub fn to_event(&self, source: &Name, agent: Option<&Name>) -> NewEvent {
        NewEvent {
            id: self.id,
            agent: self.about.agent.as_ref().or(agent).cloned(),
            session_id: self.about.session_id.clone(),
            turn_id: self.about.turn_id.clone(),
            ..NewEvent::new(self.kind(), source.clone(), self.at, self.data())
        }
    }

    /// About how many bytes it holds.
    pub(super) fn weight(&self) -> usize {
        let json = |json: &Option<Json>| json.as_ref().map_or(0, |json| json.get().len());
        let text = match &self.what {
            What::TurnStart(body) => body.body.len(),
            What::TurnEnd(body) => body.note.as_ref().map_or(0, String::len) + json(&body.permission_denials),
            What::Message(body) => body.content.len(),
            What::ToolCallStart(body) => json(&body.arguments),
            What::ToolCall(body) => json(&body.output) + body.error.as_ref().map_or(0, String::len),
            What::Error(body) => body.message.len(),
            What::LlmResponse(body) => body.error.as_ref().map_or(0, String::len),
            What::Other(_, data) => data.get().len(),
            _ => 0,
        };
        size_of::<Self>() + text
    }
}

/// A foreign value; as a string of its JSON where it is nested deeper than a gateway takes, so that the event is not refused.
fn shallow(json: Option<&Json>) -> Option<Json> {
    json.map(|json| {
        if is_deeper(json.get(), limits::LEVELS - AROUND) {
            Json::of(json.get())
        } else {
            json.clone()
        }
    })
}

fn response(body: &LlmResponse) -> Object {
    #[derive(Serialize)]
    struct Answered<'a> {
        #[serde(flatten)]
        usage: &'a Usage,
        #[serde(skip_serializing_if = "Option::is_none")]
        model_provider: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        duration_ms: Option<u64>,
    }
    #[derive(Serialize)]
    struct Failed<'a> {
        component: &'static str,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        model: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        model_provider: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        duration_ms: Option<u64>,
    }
    let model_provider = body.model_provider.as_deref();
    match &body.error {
        None => Object::of(&Answered {
            usage: &body.usage,
            model_provider,
            duration_ms: body.duration_ms,
        }),
        Some(message) => Object::of(&Failed {
            component: "llm",
            message,
            model: body.usage.model.as_deref(),
            model_provider,
            duration_ms: body.duration_ms,
        }),
    }
}
