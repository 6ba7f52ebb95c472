//! Codex: what `codex app-server` says, line by line, with the answers that it was given to its own requests.
//!
//! What is particular to it:
//! - JSON-RPC both ways. Whoever drives it numbers its own requests by strings, so that a result with another id is an answer
//!   to a request of the server's.
//! - Every notification has the time it was made at (`emittedAtMs`); requests have not.
//! - A thread's subagents are threads beside it, in the same output: their lines are kept, their turns are not this session's.
//! - Compaction on demand is a turn of its own.
//! - A turn's model is told to it and not by it: messages and tokens are of no model here.
//! - Tokens are counted over the thread; what was used before the first turn seen here is no turn's.
//! - `input_tokens` has the cached ones in it; ours has not.

mod asks;
mod items;

use turnwire_proto::{Json, Kind, Message, ModelChanged, SessionStart, TextDelta, ToolProgress, TurnEnd, Usage};

use crate::{
    Adapter, Context,
    reader::{Reader, Vendor},
    scribe::{Page, nothing, since},
    view::Obj,
};

/// Requests of the server that are open, and changes of files that were told before their question. More than a turn has.
const OPEN: usize = 64;

pub(crate) fn make(context: Context) -> Box<dyn Adapter> {
    Box::new(Reader::new(CodexApp::default(), context))
}

/// What must be remembered from line to line.
#[derive(Debug, Default)]
struct CodexApp {
    /// The thread that this output is of.
    thread: Option<String>,
    /// The vendor's id of the open turn.
    turn: Option<String>,
    /// What the thread has used so far.
    total: Option<Usage>,
    /// Open requests: the server's id, and ours.
    asked: Vec<(String, String)>,
    /// What files' changes would be, by the item.
    changes: Vec<(String, Json)>,
}

impl Vendor for CodexApp {
    const SOURCE: &'static str = "codex";

    fn object(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        page.at(line.time("emittedAtMs"));
        let params = line.obj("params").unwrap_or_default();
        let id = line.get("id").map(|id| id.get().to_owned());
        match (line.text("method"), id) {
            (Some(method), Some(id)) => {
                page.at(params.time("startedAtMs"));
                self.asks(&method, &id, &params, page);
            }
            (Some(method), None) => self.tells(&method, &params, page),
            (None, Some(id)) if id.starts_with('"') => self.answers(line, page),
            (None, Some(id)) => self.is_answered(&id, line, page),
            (None, None) => page.unknown("no method", &[]),
        }
        if let Some(method) = line.text("method") {
            page.keep(&method);
        }
    }
}

impl CodexApp {
    /// Whether the line is of this thread; the first thread that is named is.
    fn is_ours(&mut self, thread: Option<String>, page: &mut Page<'_>) -> bool {
        let Some(thread) = thread else { return true };
        let ours = self.thread.get_or_insert_with(|| thread.clone());
        let is = *ours == thread;
        if is {
            page.session(&thread);
        }
        is
    }

    /// An answer to what it was asked.
    fn answers(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        if let Some(error) = line.obj("error") {
            let message = error.text("message").unwrap_or_else(|| "refused".to_owned());
            return page.error("codex", &message, None);
        }
        let result = line.obj("result").unwrap_or_default();
        if let Some(thread) = result.obj("thread") {
            self.thread_is(&thread, &result, page);
        }
        page.keep("result");
    }

    fn thread_is(&mut self, thread: &Obj<'_>, around: &Obj<'_>, page: &mut Page<'_>) {
        if !self.is_ours(thread.text("id"), page) {
            return;
        }
        if page.scribe.has_started() {
            return;
        }
        let body = SessionStart {
            model: around.text("model").or_else(|| thread.text("model")),
            cwd: around.text("cwd").or_else(|| thread.text("cwd")),
            version: thread.text("cliVersion"),
            permission_mode: around.text("approvalPolicy"),
            ..SessionStart::default()
        };
        page.start_session(body, &[("model_provider", thread.json("modelProvider"))]);
    }

    /// A notification.
    fn tells(&mut self, method: &str, params: &Obj<'_>, page: &mut Page<'_>) {
        let thread = params.obj("thread").and_then(|thread| thread.text("id"));
        if !self.is_ours(params.text("threadId").or(thread), page) {
            return;
        }
        match method {
            "thread/started" => self.thread_is(&params.obj("thread").unwrap_or_default(), params, page),
            "turn/started" => self.turn_started(params, page),
            "turn/completed" => self.turn_completed(params, page),
            "item/started" | "item/completed" => self.item(params, method == "item/completed", page),
            "item/agentMessage/delta" | "item/plan/delta" => piece(Kind::TEXT_DELTA, params, page),
            "item/reasoning/summaryTextDelta" | "item/reasoning/textDelta" => {
                piece(Kind::REASONING_DELTA, params, page);
            }
            "item/commandExecution/outputDelta" | "item/fileChange/outputDelta" => progress("delta", params, page),
            "item/mcpToolCall/progress" => progress("message", params, page),
            "thread/tokenUsage/updated" => self.used(params, page),
            "serverRequest/resolved" => self.is_resolved(params, page),
            "turn/plan/updated" => plan(params, page),
            "model/rerouted" => {
                let model = params.text("toModel").unwrap_or_default();
                page.tell(Kind::MODEL_CHANGED, &ModelChanged { model });
            }
            "error" => error(params, page),
            "warning" | "configWarning" | "deprecationNotice" | "guardianWarning" => {
                let text = params.text("message").or_else(|| params.text("summary"));
                let more = [("severity", Some(Json::of("warning")))];
                page.note(&text.unwrap_or_else(|| method.to_owned()), &more);
            }
            _ if is_known(method) => {}
            _ => page.unknown(method, &[]),
        }
    }

    fn turn_started(&mut self, params: &Obj<'_>, page: &mut Page<'_>) {
        let turn = params.obj("turn").and_then(|turn| turn.text("id"));
        if self.turn.is_some() && self.turn != turn {
            page.give_up_turn("a new turn began before this one had ended");
        }
        self.turn = turn;
        // The caller may have begun it.
        page.ensure_turn();
    }

    fn turn_completed(&mut self, params: &Obj<'_>, page: &mut Page<'_>) {
        self.turn = None;
        page.ensure_turn();
        let turn = params.obj("turn").unwrap_or_default();
        let status = turn.text("status").unwrap_or_default();
        let error = turn.obj("error").and_then(|error| error.text("message"));
        if let Some(message) = &error
            && !page.has_said(message)
        {
            page.error("codex", message, None);
        }
        let ok = status == "completed";
        page.end_turn(TurnEnd {
            ok,
            note: (!ok).then(|| error.unwrap_or(status)),
            duration_ms: turn.u64("durationMs"),
            ..TurnEnd::default()
        });
    }

    /// The thread's tokens so far.
    fn used(&mut self, params: &Obj<'_>, page: &mut Page<'_>) {
        let used = params.obj("tokenUsage").unwrap_or_default();
        let total = tokens(&used.obj("total").unwrap_or_default());
        let last = used.obj("last").unwrap_or_default();
        // What a thread that goes on had used before is no turn's.
        let before = match self.total.replace(total.clone()) {
            Some(before) => before,
            None if page.scribe.turn().is_some() => crate::scribe::less(&total, &tokens(&last)),
            None => return,
        };
        let usage = Usage {
            context_tokens: last.u64("totalTokens"),
            context_window: used.u64("modelContextWindow"),
            ..since(&total, &before)
        };
        if !nothing(&usage) {
            page.usage(&usage);
        }
    }
}

/// A piece of a message or of reasoning.
fn piece(kind: Kind, params: &Obj<'_>, page: &mut Page<'_>) {
    page.ensure_turn();
    let body = TextDelta {
        content: params.text("delta").unwrap_or_default(),
        message_id: params.text("itemId"),
        parent_tool_call_id: None,
    };
    page.tell(kind, &body);
}

fn progress(key: &str, params: &Obj<'_>, page: &mut Page<'_>) {
    let body = ToolProgress {
        tool_call_id: params.text("itemId").unwrap_or_default(),
        content: params.text(key),
        ..ToolProgress::default()
    };
    page.tell(Kind::TOOL_PROGRESS, &body);
}

fn plan(params: &Obj<'_>, page: &mut Page<'_>) {
    let line = |step: &Obj<'_>| {
        let done = if step.is("status", "completed") { 'x' } else { ' ' };
        format!("[{done}] {}", step.text("step").unwrap_or_default())
    };
    let text = params.objects("plan").iter().map(line).collect::<Vec<_>>().join("\n");
    page.note(&text, &[("todo", params.json("plan"))]);
}

fn error(params: &Obj<'_>, page: &mut Page<'_>) {
    let error = params.obj("error").unwrap_or_default();
    let message = error.text("message").unwrap_or_else(|| "error".to_owned());
    let retry = params.yes("willRetry");
    let info = error.json("codexErrorInfo");
    // Of the connection to the model it says the status.
    let api = info.is_some_and(|info| info.get().contains("httpStatusCode"));
    page.error(if api { "api" } else { "codex" }, &message, retry.then_some(true));
}

/// What a person said, where nobody but the vendor tells it.
fn user(item: &Obj<'_>, page: &mut Page<'_>) {
    if page.scribe.turn().is_none_or(|turn| turn.is_prompted()) {
        return;
    }
    let content = item.objects("content");
    let texts: Vec<String> = content.iter().filter_map(|part| part.text("text")).collect();
    let body = Message {
        role: "user".to_owned(),
        content: texts.join("\n"),
        message_id: item.text("id"),
        ..Message::default()
    };
    page.tell(Kind::MESSAGE, &body);
}

/// What the server tells of things that are no part of a conversation, or that other lines tell too.
fn is_known(method: &str) -> bool {
    const FAMILIES: &[&str] = &[
        "account/",
        "app/",
        "autoApprovalReview/",
        "command/exec/",
        "externalAgentConfig/",
        "fs/",
        "fuzzyFileSearch/",
        "hook/",
        "item/",
        "mcpServer/",
        "model/",
        "modelProvider/",
        "process/",
        "project/",
        "rawResponse/",
        "rawResponseItem/",
        "remoteControl/",
        "skills/",
        "thread/",
        "turn/",
        "windows/",
        "windowsSandbox/",
    ];
    FAMILIES.iter().any(|family| method.starts_with(family))
}

fn tokens(used: &Obj<'_>) -> Usage {
    let cached = used.u64("cachedInputTokens");
    Usage {
        input_tokens: used
            .u64("inputTokens")
            .map(|input| input.saturating_sub(cached.unwrap_or(0))),
        output_tokens: used.u64("outputTokens"),
        cache_read_input_tokens: cached,
        cache_creation_input_tokens: used.u64("cacheWriteInputTokens"),
        reasoning_tokens: used.u64("reasoningOutputTokens"),
        ..Usage::default()
    }
}
