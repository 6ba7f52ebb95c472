//! ACP, the Agent Client Protocol: what an agent says to its client, line by line, with the client's answers to its requests.
//!
//! What is particular to it:
//! - JSON-RPC both ways. The client's requests have strings for ids that end in the method: what a result is of is told by its id.
//! - There are no timestamps: everything is timed by its arrival.
//! - A turn is the request `session/prompt`; its result is the end. What was asked is not in the output.
//! - Text comes in pieces and never whole: the whole message is told when the pieces end.
//! - A call that needs permission may be told by the request for it alone, and one that was refused may never end.
//! - Gemini CLI says of its mode in a message, `[MODE_UPDATE]`.

mod calls;

use turnwire_proto::{Json, Kind, Message, ModelChanged, SessionStart, TextDelta, TurnEnd, Usage, limits};

use crate::{
    Adapter, Context,
    reader::{Reader, Vendor},
    scribe::{Page, with},
    view::Obj,
};
use calls::Asked;

pub(crate) fn make(context: Context) -> Box<dyn Adapter> {
    Box::new(Reader::new(Acp::default(), context))
}

/// What must be remembered from line to line.
#[derive(Debug, Default)]
struct Acp {
    /// The agent's name and version.
    agent: (Option<String>, Option<String>),
    pieces: Option<Pieces>,
    messages: u64,
    asked: Vec<Asked>,
}

/// A message or a piece of reasoning that is coming.
#[derive(Debug)]
struct Pieces {
    thought: bool,
    id: String,
    content: String,
    /// Of the whole, should it be more than is kept.
    bytes: usize,
}

impl Vendor for Acp {
    const SOURCE: &'static str = "acp";

    fn object(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        let params = line.obj("params").unwrap_or_default();
        if let Some(session) = params.text("sessionId") {
            page.session(&session);
        }
        let update = params.obj("update").unwrap_or_default();
        let method = line.text("method");
        let piece = method.as_deref() == Some("session/update") && is_piece(&update);
        if !piece {
            self.whole(page);
        }
        let id = line.get("id").map(|id| id.get().to_owned());
        match (method.as_deref(), id) {
            (Some("session/update"), None) => self.update(&update, page),
            (Some("session/request_permission"), Some(id)) => self.asks(&id, &params, page),
            // Of the client's own files and terminals: it answers.
            (Some(method), _) if method.starts_with("fs/") || method.starts_with("terminal/") => {}
            (Some(method), _) if method.starts_with('_') || method.starts_with('$') => {}
            (Some(method), _) => page.unknown(method, &[]),
            (None, Some(id)) if id.starts_with('"') => self.answers(id.trim_matches('"'), line, page),
            (None, Some(id)) => self.is_answered(&id, line, page),
            (None, None) => page.unknown("no method", &[]),
        }
        let what = update.text("sessionUpdate").or(method);
        page.keep(&what.unwrap_or_else(|| "result".to_owned()));
    }

    fn ending(&mut self, page: &mut Page<'_>) {
        self.whole(page);
    }
}

fn is_piece(update: &Obj<'_>) -> bool {
    update.is("sessionUpdate", "agent_message_chunk") || update.is("sessionUpdate", "agent_thought_chunk")
}

impl Acp {
    /// An answer to the client.
    fn answers(&mut self, id: &str, line: &Obj<'_>, page: &mut Page<'_>) {
        let prompt = id.ends_with("session/prompt");
        if let Some(error) = line.obj("error") {
            let message = failure(&error);
            if prompt {
                page.ensure_turn();
            }
            page.error("acp", &message, None);
            if prompt {
                page.end_turn(TurnEnd {
                    note: Some(message),
                    ..TurnEnd::default()
                });
            }
            return;
        }
        let result = line.obj("result").unwrap_or_default();
        if let Some(agent) = result.obj("agentInfo") {
            self.agent = (agent.text("name"), agent.text("version"));
        }
        if id.ends_with("session/new") || id.ends_with("session/load") || id.ends_with("session/resume") {
            self.session_is(&result, page);
        } else if prompt {
            self.prompted(&result, page);
        }
    }

    fn session_is(&self, result: &Obj<'_>, page: &mut Page<'_>) {
        if let Some(session) = result.text("sessionId") {
            page.session(&session);
        }
        let of = |key: &str, name: &str| result.obj(key).and_then(|of| of.text(name));
        let body = SessionStart {
            model: of("models", "currentModelId"),
            permission_mode: of("modes", "currentModeId"),
            version: self.agent.1.clone(),
            ..SessionStart::default()
        };
        let agent = self.agent.0.as_ref().map(Json::of);
        page.start_session(body, &[("program", agent)]);
    }

    /// The end of a turn.
    fn prompted(&mut self, result: &Obj<'_>, page: &mut Page<'_>) {
        page.ensure_turn();
        let quota = result
            .obj("_meta")
            .and_then(|meta| meta.obj("quota"))
            .unwrap_or_default();
        for model in quota.objects("model_usage") {
            let used = model.obj("token_count").unwrap_or_default();
            let usage = Usage {
                input_tokens: used.u64("input_tokens"),
                output_tokens: used.u64("output_tokens"),
                model: model.text("model"),
                ..Usage::default()
            };
            page.usage(&usage);
        }
        let why = result.text("stopReason").unwrap_or_default();
        let ok = why == "end_turn";
        let note = match why.as_str() {
            "end_turn" => None,
            "cancelled" => Some("interrupted".to_owned()),
            _ => Some(why),
        };
        page.end_turn(TurnEnd {
            ok,
            note,
            ..TurnEnd::default()
        });
    }

    fn update(&mut self, update: &Obj<'_>, page: &mut Page<'_>) {
        match update.text("sessionUpdate").as_deref() {
            Some("agent_message_chunk" | "agent_thought_chunk") => self.piece(update, page),
            Some("user_message_chunk") => user(update, page),
            Some("tool_call" | "tool_call_update") => self.call(update, page),
            Some("plan") => plan(update, page),
            Some("current_mode_update") => {
                page.note(
                    &format!("mode: {}", update.text("currentModeId").unwrap_or_default()),
                    &[],
                );
            }
            Some("current_model_update") => {
                let model = update.text("currentModelId").unwrap_or_default();
                page.tell(Kind::MODEL_CHANGED, &ModelChanged { model });
            }
            Some("available_commands_update" | "config_option_update" | "session_info_update" | "usage_update") => {}
            Some(other) => page.unknown(other, &[]),
            None => page.unknown("session/update", &[]),
        }
    }

    fn piece(&mut self, update: &Obj<'_>, page: &mut Page<'_>) {
        let content = text(update);
        if content.starts_with("[MODE_UPDATE]") {
            return;
        }
        page.ensure_turn();
        let thought = update.is("sessionUpdate", "agent_thought_chunk");
        if self.pieces.as_ref().is_some_and(|pieces| pieces.thought != thought) {
            self.whole(page);
        }
        if self.pieces.is_none() {
            self.messages += 1;
            let turn = page.scribe.turn().map(|turn| turn.id().as_str().to_owned());
            self.pieces = Some(Pieces {
                thought,
                id: format!("{}.m{}", turn.unwrap_or_default(), self.messages),
                content: String::new(),
                bytes: 0,
            });
        }
        let Some(pieces) = &mut self.pieces else { return };
        pieces.bytes += content.len();
        // Beyond what an event may have on its way nothing could be told anyway.
        if pieces.content.len() < limits::INCOMING {
            pieces.content.push_str(&content);
        }
        let body = TextDelta {
            content,
            message_id: Some(pieces.id.clone()),
            parent_tool_call_id: None,
        };
        let kind = if thought {
            Kind::REASONING_DELTA
        } else {
            Kind::TEXT_DELTA
        };
        page.tell(kind, &body);
    }

    /// The pieces have ended: tells what they make.
    fn whole(&mut self, page: &mut Page<'_>) {
        let Some(pieces) = self.pieces.take() else { return };
        let cut = pieces.content.len() < pieces.bytes;
        let more = [
            ("truncated", cut.then(|| Json::of(&true))),
            ("bytes", cut.then(|| Json::of(&pieces.bytes))),
        ];
        page.aside(|page| {
            if pieces.thought {
                let body = TextDelta {
                    content: pieces.content,
                    message_id: Some(pieces.id),
                    parent_tool_call_id: None,
                };
                page.write(Kind::REASONING, with(&body, &more));
            } else {
                let body = Message {
                    role: "assistant".to_owned(),
                    content: pieces.content,
                    message_id: Some(pieces.id),
                    ..Message::default()
                };
                page.write(Kind::MESSAGE, with(&body, &more));
            }
        });
    }
}

/// The text of a piece; of another thing than text, what it is.
fn text(update: &Obj<'_>) -> String {
    let content = update.obj("content").unwrap_or_default();
    let kind = content.text("type").unwrap_or_default();
    match kind.as_str() {
        "text" => content.text("text").unwrap_or_default(),
        _ => format!("[{kind}]"),
    }
}

/// What was said, where nobody but the agent tells it.
fn user(update: &Obj<'_>, page: &mut Page<'_>) {
    if page.scribe.turn().is_none_or(|turn| turn.is_prompted()) {
        return;
    }
    let body = Message {
        role: "user".to_owned(),
        content: text(update),
        ..Message::default()
    };
    page.tell(Kind::MESSAGE, &body);
}

fn plan(update: &Obj<'_>, page: &mut Page<'_>) {
    let line = |entry: &Obj<'_>| {
        let done = if entry.is("status", "completed") { 'x' } else { ' ' };
        format!("[{done}] {}", entry.text("content").unwrap_or_default())
    };
    let text = update
        .objects("entries")
        .iter()
        .map(line)
        .collect::<Vec<_>>()
        .join("\n");
    page.note(&text, &[("todo", update.json("entries"))]);
}

/// What an error says; some wrap their vendor's whole.
fn failure(error: &Obj<'_>) -> String {
    let message = error.text("message").unwrap_or_else(|| "error".to_owned());
    let inner = Obj::parse(&message).and_then(|inner| inner.obj("error")?.text("message"));
    inner.unwrap_or(message)
}
