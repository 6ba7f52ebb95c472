//! opencode: the events of `opencode serve` (`GET /event`), one a line, with or without SSE's `data: `.
//!
//! What is particular to it:
//! - A part of a message is told again and again as it grows, and all of them again after a lost stream: each becomes an event once.
//! - What a person says is a message with parts too. Ids grow with time: a user's message with a greater id begins a turn.
//! - The end is `session.idle`, which may come again, and after an abort before the last parts: those are of no turn then.
//! - Sessions of subagents are other sessions; here are their questions, and the rest of them as it is.

use std::collections::VecDeque;

use turnwire_proto::{
    ApprovalDecision, ApprovalRequest, Kind, LlmRequest, Message, SessionStart, TextDelta, ToolProgress, TurnEnd,
};

use super::{error, step_usage, tool};
use crate::{
    Adapter, Context,
    reader::{Reader, Vendor},
    scribe::{Page, object},
    view::Obj,
};

/// Parts that are remembered: those of a few hundred steps.
const PARTS: usize = 4096;

pub(crate) fn make(context: Context) -> Box<dyn Adapter> {
    Box::new(Reader::new(Server::default(), context))
}

/// What must be remembered from line to line.
#[derive(Debug, Default)]
struct Server {
    /// The session that this output is of: the first that is named.
    session: Option<String>,
    /// The newest message of the user's.
    user: String,
    /// The model that answers.
    model: Option<String>,
    /// Parts that have become an event.
    told: VecDeque<String>,
    /// Parts whose pieces are reasoning.
    reasoning: VecDeque<String>,
    /// Why the turn will have failed.
    failed: Option<String>,
}

impl Vendor for Server {
    const SOURCE: &'static str = "opencode";

    fn object(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        let of = line.obj("properties").unwrap_or_default();
        page.at(of.time("time"));
        let Some(kind) = line.text("type") else {
            return page.unknown("no type", &[]);
        };
        if self.is_ours(&of, page) || kind.starts_with("permission.") || kind.starts_with("question.") {
            self.event(&kind, &of, page);
        }
        page.keep(&kind);
    }

    fn dressed<'a>(&self, line: &'a str) -> Option<&'a str> {
        line.strip_prefix("data:").map(str::trim_start)
    }
}

impl Server {
    fn is_ours(&mut self, of: &Obj<'_>, page: &mut Page<'_>) -> bool {
        let Some(session) = of.text("sessionID") else {
            return true;
        };
        let ours = self.session.get_or_insert_with(|| session.clone());
        let is = *ours == session;
        if is {
            page.session(&session);
        }
        is
    }

    fn event(&mut self, kind: &str, of: &Obj<'_>, page: &mut Page<'_>) {
        match kind {
            "session.created" | "session.updated" => {
                let info = of.obj("info").unwrap_or_default();
                let body = SessionStart {
                    model: info.obj("model").and_then(|model| model.text("id")),
                    cwd: info.text("directory"),
                    version: info.text("version"),
                    ..SessionStart::default()
                };
                page.start_session(body, &[]);
            }
            "message.updated" => self.message(&of.obj("info").unwrap_or_default(), page),
            "message.part.updated" => self.part(&of.obj("part").unwrap_or_default(), of, page),
            "message.part.delta" => self.piece(of, page),
            "session.status" => status(&of.obj("status").unwrap_or_default(), page),
            "session.error" => self.error(of, page),
            "session.idle" => self.idle(page),
            "session.compacted" => page.works(),
            "permission.asked" => permission(of, page),
            "question.asked" => question(of, page),
            "permission.replied" | "question.replied" | "question.rejected" => replied(kind, of, page),
            "todo.updated" => todo(of, page),
            _ if is_known(kind) => {}
            _ => page.unknown(kind, &[]),
        }
    }

    fn message(&mut self, info: &Obj<'_>, page: &mut Page<'_>) {
        let id = info.text("id").unwrap_or_default();
        if info.is("role", "assistant") {
            self.model = info.text("modelID").or_else(|| self.model.take());
        } else if id > self.user {
            self.user = id;
            self.failed = None;
            // The caller may have begun it.
            page.ensure_turn();
        }
    }

    /// A part, as far as it is whole.
    fn part(&mut self, part: &Obj<'_>, of: &Obj<'_>, page: &mut Page<'_>) {
        let id = part.text("id").unwrap_or_default();
        let kind = part.text("type").unwrap_or_default();
        let ended = part.obj("time").is_some_and(|time| time.get("end").is_some());
        let users = part.text("messageID").is_some_and(|message| message == self.user);
        match kind.as_str() {
            "text" if users => self.user_said(part, id, page),
            "text" if ended && self.first(&id) => said("assistant", part, id, page),
            "reasoning" if !ended => remember(&mut self.reasoning, &id),
            "reasoning" if self.first(&id) => {
                let body = TextDelta {
                    content: part.text("text").unwrap_or_default(),
                    message_id: Some(id),
                    parent_tool_call_id: None,
                };
                page.tell(Kind::REASONING, &body);
            }
            "tool" => {
                let state = part.obj("state").unwrap_or_default();
                // Its arguments are not there yet.
                if !state.is("status", "pending") {
                    progress(part, &state, page);
                    tool(part, None, of.time("time"), page);
                }
            }
            "step-start" if self.first(&id) => {
                let body = LlmRequest {
                    model: self.model.clone(),
                    ..LlmRequest::default()
                };
                page.tell(Kind::LLM_REQUEST, &body);
            }
            "step-finish" if self.first(&id) => {
                let mut usage = step_usage(part);
                usage.model = self.model.clone();
                page.usage(&usage);
            }
            "compaction" if self.first(&id) => page.state("compacting", None),
            "retry" if self.first(&id) => {
                let error = part
                    .obj("error")
                    .and_then(|error| error.obj("data"))
                    .unwrap_or_default();
                let message = error.text("message").unwrap_or_else(|| "it tries again".to_owned());
                page.error("api", &message, Some(true));
            }
            _ => {}
        }
    }

    /// What a person said, where nobody but the server tells it.
    fn user_said(&mut self, part: &Obj<'_>, id: String, page: &mut Page<'_>) {
        if page.scribe.turn().is_some_and(|turn| !turn.is_prompted()) && self.first(&id) {
            said("user", part, id, page);
        }
    }

    /// Whether this part has not become an event yet.
    fn first(&mut self, part: &str) -> bool {
        let first = !self.told.iter().any(|told| told == part);
        if first {
            remember(&mut self.told, part);
        }
        first
    }

    fn piece(&self, of: &Obj<'_>, page: &mut Page<'_>) {
        let part = of.text("partID").unwrap_or_default();
        if !of.is("field", "text") {
            return;
        }
        let kind = match self.reasoning.contains(&part) {
            true => Kind::REASONING_DELTA,
            false => Kind::TEXT_DELTA,
        };
        let body = TextDelta {
            content: of.text("delta").unwrap_or_default(),
            message_id: Some(part),
            parent_tool_call_id: None,
        };
        page.tell(kind, &body);
    }

    fn error(&mut self, of: &Obj<'_>, page: &mut Page<'_>) {
        let name = of.obj("error").and_then(|error| error.text("name"));
        if name.as_deref() == Some("MessageAbortedError") {
            self.failed = Some("interrupted".to_owned());
            return;
        }
        let message = error(of, page);
        self.failed = Some(message);
    }

    fn idle(&mut self, page: &mut Page<'_>) {
        if page.scribe.turn().is_none() {
            return;
        }
        let note = self.failed.take();
        page.end_turn(TurnEnd {
            ok: note.is_none(),
            note,
            ..TurnEnd::default()
        });
    }
}

pub(super) fn remember(list: &mut VecDeque<String>, id: &str) {
    if list.len() >= PARTS {
        list.pop_front();
    }
    list.push_back(id.to_owned());
}

fn said(role: &str, part: &Obj<'_>, id: String, page: &mut Page<'_>) {
    let body = Message {
        role: role.to_owned(),
        content: part.text("text").unwrap_or_default(),
        message_id: Some(id),
        ..Message::default()
    };
    page.tell(Kind::MESSAGE, &body);
}

/// A running tool's output comes whole each time: only what is new in it is progress.
pub(super) fn progress(part: &Obj<'_>, state: &Obj<'_>, page: &mut Page<'_>) {
    let output = state.obj("metadata").and_then(|metadata| metadata.text("output"));
    let (Some(output), Some(id), true) = (output, part.text("callID"), state.is("status", "running")) else {
        return;
    };
    let Some(open) = page.scribe.call(&id) else { return };
    let new = output.get(open.shown..).unwrap_or(&output).to_owned();
    open.shown = output.len();
    if !new.is_empty() {
        let body = ToolProgress {
            tool_call_id: id,
            tool: part.text("tool"),
            content: Some(new),
            ..ToolProgress::default()
        };
        page.tell(Kind::TOOL_PROGRESS, &body);
    }
}

fn status(status: &Obj<'_>, page: &mut Page<'_>) {
    if status.is("type", "retry") {
        let message = status.text("message").unwrap_or_else(|| "it tries again".to_owned());
        page.error("api", &message, Some(true));
    }
}

fn permission(of: &Obj<'_>, page: &mut Page<'_>) {
    let call = of.obj("tool").and_then(|tool| tool.text("callID"));
    let patterns: Option<Vec<String>> = of.json("patterns").and_then(|patterns| patterns.read().ok());
    let body = ApprovalRequest {
        approval_id: of.text("id").unwrap_or_default(),
        tool: of.text("permission").unwrap_or_else(|| "unknown".to_owned()),
        tool_call_id: call,
        arguments: of.json("metadata"),
        title: patterns.map(|patterns| patterns.join(", ")),
        expires_at: None,
    };
    let more = [("patterns", of.json("patterns")), ("suggestions", of.json("always"))];
    page.ask(&body, &more, "needs_approval");
}

fn question(of: &Obj<'_>, page: &mut Page<'_>) {
    let first = of.objects("questions").into_iter().next();
    let body = ApprovalRequest {
        approval_id: of.text("id").unwrap_or_default(),
        tool: "question".to_owned(),
        tool_call_id: of.obj("tool").and_then(|tool| tool.text("callID")),
        arguments: Some(object(&[("questions", of.json("questions"))])),
        title: first.and_then(|question| question.text("question")),
        expires_at: None,
    };
    page.ask(&body, &[], "needs_answer");
}

fn replied(kind: &str, of: &Obj<'_>, page: &mut Page<'_>) {
    let denied = kind == "question.rejected" || of.is("reply", "reject");
    let body = ApprovalDecision {
        approval_id: of.text("requestID").unwrap_or_default(),
        decision: if denied { "denied" } else { "approved" }.to_owned(),
        arguments: of.json("answers"),
        always: of.is("reply", "always").then_some(true),
        ..ApprovalDecision::default()
    };
    if page.decide(&body) {
        page.works();
    }
}

fn todo(of: &Obj<'_>, page: &mut Page<'_>) {
    let line = |entry: &Obj<'_>| {
        let done = if entry.is("status", "completed") { 'x' } else { ' ' };
        format!("[{done}] {}", entry.text("content").unwrap_or_default())
    };
    let text = of.objects("todos").iter().map(line).collect::<Vec<_>>().join("\n");
    page.note(&text, &[("todo", of.json("todos"))]);
}

/// What the server tells of things that are no part of a conversation, or that other events tell too.
fn is_known(kind: &str) -> bool {
    const FAMILIES: &[&str] = &[
        "catalog",
        "command",
        "file",
        "global",
        "ide",
        "installation",
        "integration",
        "lsp",
        "mcp",
        "message",
        "models-dev",
        "plugin",
        "project",
        "pty",
        "reference",
        "server",
        "session",
        "tui",
        "vcs",
        "workspace",
        "worktree",
    ];
    let family = kind.split_once('.').map(|(family, _)| family);
    family.is_some_and(|family| FAMILIES.contains(&family))
}
