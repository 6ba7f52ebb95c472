//! The wire of a chat's WebSocket: the events of one session as JSON frames, at most one frame an event, so that whoever resumes
//! behind an event's place has all of it and nothing twice.
//!
//! It keeps one thing of a connection: what has been streamed of the messages that are not whole yet. A whole message is then
//! told once: not at all when all of it was streamed, its rest when its beginning was, else the whole.
//!
//! No [`Format`](crate::Format): the end of a turn is told with what the whole turn has come to, which is in no single event, so
//! it goes to whoever knows that ([`Mapped`]).

mod streamed;

use serde::{Serialize, de::DeserializeOwned};
use turnwire_proto::{
    ApprovalDecision, ApprovalRequest, CommandBody, CommandState, ControlFrame, ErrorBody, Event, Json, Memory,
    Message, ModelChanged, Note, SessionEnd, StatusChanged, TextDelta, ToolCall, ToolCallStart, ToolProgress, TurnEnd,
    TurnStart, TurnState, Usage,
};

use streamed::{Streamed, Voice, Whole};

/// Characters of a summary of what a tool has answered.
const SUMMARY: usize = 500;

/// One frame while it is written: an object whose first field is its `type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(String);

impl Frame {
    /// A frame of this type.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        let mut this = Self("{".to_owned());
        this.put("type", kind);
        this
    }

    /// A frame of an event: its place, its time and its turn.
    #[must_use]
    pub fn of(kind: &str, event: &Event) -> Self {
        let frame = Self::new(kind)
            .with("seq", &event.seq)
            .with("timestamp", &event.timestamp);
        frame.with_some("turn_id", event.turn_id.as_ref())
    }

    /// The same with one more field.
    #[must_use]
    pub fn with<T: Serialize + ?Sized>(mut self, key: &str, value: &T) -> Self {
        self.0.push(',');
        self.put(key, value);
        self
    }

    /// The same with one more field, where there is something to say.
    #[must_use]
    pub fn with_some<T: Serialize>(self, key: &str, value: Option<T>) -> Self {
        match value {
            Some(value) => self.with(key, &value),
            None => self,
        }
    }

    fn put<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) {
        self.0.push('"');
        self.0.push_str(key);
        self.0.push_str("\":");
        // Plain data, which serde_json always writes.
        self.0
            .push_str(&serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned()));
    }

    /// Its JSON.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// What an event comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mapped {
    /// Nothing that is shown.
    Nothing,
    /// A frame.
    Frame(Frame),
    /// A turn has ended: this frame where a command's end will tell what it has come to, else that.
    TurnEnd(Frame),
    /// A command has ended: this frame, or what the turn has come to where it was a message.
    CommandEnd(Frame),
}

/// See the module.
#[derive(Debug, Default)]
pub struct Chat {
    streamed: Streamed,
}

impl Chat {
    /// Takes in, oldest first, what the reader has had before the place where it begins.
    pub fn had(&mut self, event: &Event) {
        // What it would be told now it has been told then.
        let _ = self.event(event);
    }

    /// What an event comes to.
    pub fn event(&mut self, event: &Event) -> Mapped {
        self.known(event).unwrap_or_else(|| whole(event))
    }

    /// `None` for a kind that has no frame of its own, and for a body that is not of its kind.
    fn known(&mut self, event: &Event) -> Option<Mapped> {
        let frame = |kind: &str| Frame::of(kind, event);
        Some(Mapped::Frame(match event.kind.as_str() {
            "text_delta" => return self.piece(Voice::Text, "token", event),
            "reasoning_delta" => return self.piece(Voice::Reasoning, "reasoning", event),
            "reasoning" => {
                let body: TextDelta = read(event)?;
                let content = body.content.clone();
                return Some(self.whole(Voice::Reasoning, "reasoning", event, &body, content));
            }
            "message" => return self.message(event),
            "turn_end" => return self.turn_end(event),
            "command_state" => return command_state(event),
            "turn_start" => {
                let body: TurnStart = read(event)?;
                frame("state").with("state", "thinking").with("from", &body.from)
            }
            "tool_call_start" => tool_start(event)?,
            "tool_progress" => tool_progress(event)?,
            "tool_call" => tool_end(event)?,
            "memory" => with_all(frame("memory"), &read::<Memory>(event)?),
            "usage" => with_all(frame("usage"), &read::<Usage>(event)?),
            "approval_request" => approval_request(event)?,
            "approval_decision" => {
                let body: ApprovalDecision = read(event)?;
                with_all(frame("approval_resolved"), &body)
            }
            "turn_state_changed" => {
                let body: TurnState = read(event)?;
                with_all(frame("state"), &body)
            }
            "status_changed" => {
                let body: StatusChanged = read(event)?;
                let state = frame("state").with("state", &body.status);
                state.with_some("note", body.note)
            }
            "session_end" => {
                let body: SessionEnd = read(event)?;
                with_all(frame("state").with("state", "done"), &body)
            }
            "model_changed" => with_all(frame("model"), &read::<ModelChanged>(event)?),
            "note" => with_all(frame("note"), &read::<Note>(event)?),
            "error" => {
                let body: ErrorBody = read(event)?;
                let error = frame("error")
                    .with("code", "agent_error")
                    .with("message", &body.message);
                error.with("component", &body.component).with_some("retry", body.retry)
            }
            "command" => {
                let body: CommandBody = read(event)?;
                let command = frame("command_state").with("command_id", &body.command_id);
                let command = command.with("action", &body.action).with("state", "queued");
                command.with_some("actor", body.actor)
            }
            "raw" => return Some(Mapped::Nothing),
            _ => return None,
        }))
    }

    fn piece(&mut self, voice: Voice, kind: &str, event: &Event) -> Option<Mapped> {
        let body: TextDelta = read(event)?;
        if body.content.is_empty() {
            return Some(Mapped::Nothing);
        }
        self.streamed.add(voice, &body);
        Some(Mapped::Frame(spoken(Frame::of(kind, event), &body, &body.content)))
    }

    fn whole(&mut self, voice: Voice, kind: &str, event: &Event, body: &TextDelta, content: String) -> Mapped {
        let frame = Frame::of(kind, event);
        match self.streamed.whole(voice, body, content) {
            Whole::Had => Mapped::Nothing,
            Whole::Rest(rest) => Mapped::Frame(spoken(frame, body, &rest)),
            Whole::Instead(content) => Mapped::Frame(spoken(frame, body, &content).with("whole", &true)),
        }
    }

    fn message(&mut self, event: &Event) -> Option<Mapped> {
        let Message {
            role,
            content,
            message_id,
            model: _,
            parent_tool_call_id,
            whole_turn: _,
        } = read(event)?;
        if role != "assistant" {
            let frame = Frame::of("message", event)
                .with("role", &role)
                .with("content", &content);
            let frame = frame.with_some("message_id", message_id);
            return Some(Mapped::Frame(
                frame.with_some("parent_tool_call_id", parent_tool_call_id),
            ));
        }
        let body = TextDelta {
            content: String::new(),
            message_id,
            parent_tool_call_id,
        };
        Some(self.whole(Voice::Text, "token", event, &body, content))
    }

    fn turn_end(&mut self, event: &Event) -> Option<Mapped> {
        let body: TurnEnd = read(event)?;
        self.streamed.clear();
        let frame = Frame::of("state", event).with("state", "idle").with("ok", &body.ok);
        Some(Mapped::TurnEnd(frame.with_some("note", body.note)))
    }
}

/// What cannot be had.
#[must_use]
pub fn gap(gap: &ControlFrame) -> Option<Frame> {
    match gap {
        ControlFrame::Gap { after, next, reason } => {
            let frame = Frame::new("gap").with("after", after).with("next", next);
            Some(frame.with("reason", reason))
        }
        _ => None,
    }
}

fn read<T: DeserializeOwned>(event: &Event) -> Option<T> {
    event.data.read().ok()
}

/// An event as it is.
fn whole(event: &Event) -> Mapped {
    Mapped::Frame(Frame::of("event", event).with("event", event))
}

/// A frame with all fields of a body.
fn with_all<T: Serialize>(mut frame: Frame, body: &T) -> Frame {
    let json = Json::of(body);
    // A body is an object: within its braces are its fields.
    let fields = json.get().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    if let Some(fields) = fields.filter(|fields| !fields.is_empty()) {
        frame.0.push(',');
        frame.0.push_str(fields);
    }
    frame
}

fn spoken(frame: Frame, body: &TextDelta, content: &str) -> Frame {
    let frame = frame
        .with("content", content)
        .with_some("message_id", body.message_id.as_ref());
    frame.with_some("parent_tool_call_id", body.parent_tool_call_id.as_ref())
}

fn tool_start(event: &Event) -> Option<Frame> {
    let body: ToolCallStart = read(event)?;
    let frame = Frame::of("tool_start", event).with("tool_name", &body.tool);
    let frame = frame.with("tool_call_id", &body.tool_call_id);
    let frame = frame.with_some("tool_args", body.arguments);
    Some(frame.with_some("parent_tool_call_id", body.parent_tool_call_id))
}

fn tool_progress(event: &Event) -> Option<Frame> {
    let body: ToolProgress = read(event)?;
    let frame = Frame::of("tool_progress", event).with("tool_call_id", &body.tool_call_id);
    let frame = frame
        .with_some("tool_name", body.tool)
        .with_some("progress", body.content);
    let frame = frame.with_some("args_delta", body.arguments_delta);
    Some(frame.with_some("elapsed_ms", body.elapsed_ms))
}

fn tool_end(event: &Event) -> Option<Frame> {
    let body: ToolCall = read(event)?;
    let frame = Frame::of("tool_end", event).with("tool_name", &body.tool);
    let frame = frame.with("tool_call_id", &body.tool_call_id);
    let frame = frame
        .with_some("duration_ms", body.duration_ms)
        .with("is_error", &!body.success);
    let frame = frame.with_some("output_summary", summary(body.output.as_ref(), body.error.as_deref()));
    Some(frame.with_some("parent_tool_call_id", body.parent_tool_call_id))
}

fn approval_request(event: &Event) -> Option<Frame> {
    let body: ApprovalRequest = read(event)?;
    let frame = Frame::of("approval_request", event).with("approval_id", &body.approval_id);
    let frame = frame
        .with("tool_name", &body.tool)
        .with_some("tool_call_id", body.tool_call_id);
    let frame = frame
        .with_some("tool_args", body.arguments)
        .with_some("title", body.title);
    Some(frame.with_some("expires_at", body.expires_at))
}

fn command_state(event: &Event) -> Option<Mapped> {
    let body: CommandState = read(event)?;
    let ended = ["done", "failed", "expired", "withdrawn"].contains(&body.state.as_str());
    let frame = Frame::of("command_state", event).with("command_id", &body.command_id);
    let frame = frame.with("state", &body.state).with_some("reason", body.reason);
    let frame = frame.with_some("result", body.result).with_some("by", body.by);
    Some(if ended {
        Mapped::CommandEnd(frame)
    } else {
        Mapped::Frame(frame)
    })
}

/// The beginning of what a tool has answered, as text: enough to show.
#[must_use]
pub fn summary(output: Option<&Json>, error: Option<&str>) -> Option<String> {
    let text = match output.map(|output| (output, output.read::<String>())) {
        Some((_, Ok(text))) => text,
        Some((output, Err(_))) => output.get().to_owned(),
        None => error?.to_owned(),
    };
    Some(match text.char_indices().nth(SUMMARY) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    })
}

#[cfg(test)]
mod tests;
