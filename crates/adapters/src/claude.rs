//! Claude Code: `claude -p … --output-format stream-json --verbose` (or `json`).
//!
//! What is particular to it:
//! - each content block comes as an `assistant` line of its own; the blocks of one message have the same `message.id`.
//!   The token counts on them are not final: those of `message_delta` (with `--include-partial-messages`) and of `result` are.
//! - `init` begins a turn and `result` ends it; one run may have several. `modelUsage` and `total_cost_usd` add up over the
//!   run, `usage` is the turn's but without subagents.
//! - An API failure is a `result` of subtype `success` with `is_error`.
//! - A subagent's lines have `parent_tool_use_id`. Timestamps are only on `assistant` and `user` lines.
//! - The answer to `can_use_tool` goes the other way, on stdin; what it was shows in the tool's result.

mod blocks;
mod control;
mod finish;
mod stream;
mod system;
mod tasks;
pub(crate) mod transcript;

use std::collections::VecDeque;

pub(crate) use blocks::failure;
use turnwire_proto::{Kind, StatusChanged, ToolProgress, Usage};

use crate::{
    Adapter, Context,
    reader::{Reader, Vendor},
    scribe::{Page, Turn},
    view::Obj,
};

pub(crate) fn make(context: Context) -> Box<dyn Adapter> {
    Box::new(Reader::new(Claude::default(), context))
}

/// What must be remembered from line to line.
#[derive(Debug, Default)]
struct Claude {
    model: Option<String>,
    streams: Vec<stream::Stream>,
    tasks: Vec<tasks::Task>,
    /// What the turn's `usage` events have told before its `result`.
    live: Vec<(String, Usage)>,
    /// What `modelUsage` had added up to at the last `result`.
    billed: Vec<(String, Usage)>,
    /// What `total_cost_usd` was then.
    cost: f64,
    /// The newest turn has had its `init`.
    begun: bool,
    /// Turns that go on being open while others have begun, oldest first: results come in their order.
    owed: VecDeque<Turn>,
    /// The main agent's model, and what its last request had in its context.
    context: Option<(String, u64)>,
}

impl Vendor for Claude {
    const SOURCE: &'static str = "claude-code";

    fn object(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        if let Some(session) = line.str("session_id") {
            page.session(&session);
        }
        if let Some(uuid) = line.str("uuid") {
            page.scribe.seed(&uuid);
        }
        page.at(line.time("timestamp"));
        match line.str("type").as_deref() {
            Some("assistant") => self.assistant(line, page),
            Some("user") => self.user(line, page),
            Some("stream_event") => self.stream(line, page),
            Some("result") => self.result(line, page),
            Some("system") => self.system(line, page),
            Some("control_request") => control::request(line, page),
            Some("control_response") => control::response(line, page),
            Some("control_cancel_request") => control::cancel(line, page),
            Some("rate_limit_event") => rate_limit(line, page),
            Some("tool_progress") => tool_progress(line, page),
            Some("auth_status") => auth_status(line, page),
            Some("tool_use_summary") => page.note(&line.text("summary").unwrap_or_default(), &[]),
            Some("prompt_suggestion") => {
                let suggestion = line.text("suggestion").unwrap_or_default();
                page.note(&format!("suggested prompt: {suggestion}"), &[]);
            }
            Some("conversation_reset") => {
                let next = line.text("new_conversation_id").unwrap_or_default();
                page.note(&format!("the conversation was reset; the new one is {next}"), &[]);
            }
            Some("command_lifecycle") => {
                let (command, state) = (line.text("command_uuid"), line.text("state"));
                let text = format!("command {}: {}", command.unwrap_or_default(), state.unwrap_or_default());
                page.note(&text, &[]);
            }
            Some("keep_alive") => page.keep("keep_alive"),
            Some(other) => page.unknown(other, &[]),
            None => page.unknown("no type", &[]),
        }
    }

    fn ending(&mut self, page: &mut Page<'_>) {
        self.end_tasks(page);
        let mut newest = None;
        while let Some(turn) = self.owed.pop_front() {
            newest = page.scribe.take_up(turn).or(newest);
            page.give_up_turn("the output ended before this turn's result");
        }
        if let Some(turn) = newest {
            page.scribe.take_up(turn);
        }
    }
}

/// The call of the subagent whose line it is.
fn parent(line: &Obj<'_>) -> Option<String> {
    line.text("parent_tool_use_id")
}

fn rate_limit(line: &Obj<'_>, page: &mut Page<'_>) {
    let info = line.obj("rate_limit_info").unwrap_or_default();
    let status = info.text("status").unwrap_or_default();
    let mut note = format!(
        "rate limit {}: {status}",
        info.text("rateLimitType").unwrap_or_default()
    );
    if let Some(used) = info.f64("utilization") {
        note.push_str(&format!(
            ", {:.0} % used",
            if used <= 1.0 { used * 100.0 } else { used }
        ));
    }
    let resets = info
        .i64("resetsAt")
        .and_then(|seconds| turnwire_proto::Timestamp::from_millis(seconds.checked_mul(1000)?));
    if let Some(at) = resets {
        note.push_str(&format!(", resets at {at}"));
    }
    let status = if status == "rejected" { "rate_limited" } else { "online" };
    let body = StatusChanged {
        status: status.to_owned(),
        note: Some(note),
    };
    page.tell(Kind::STATUS_CHANGED, &body);
}

fn tool_progress(line: &Obj<'_>, page: &mut Page<'_>) {
    let Some(tool_call_id) = line.text("tool_use_id") else {
        return page.unknown("tool_progress", &[]);
    };
    let seconds = line
        .f64("elapsed_time_seconds")
        .filter(|seconds| (0.0..1e9).contains(seconds));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked"
    )]
    let elapsed_ms = seconds.map(|seconds| (seconds * 1000.0).round() as u64);
    let body = ToolProgress {
        tool_call_id,
        tool: line.text("tool_name"),
        elapsed_ms,
        ..ToolProgress::default()
    };
    page.tell(Kind::TOOL_PROGRESS, &body);
}

fn auth_status(line: &Obj<'_>, page: &mut Page<'_>) {
    let error = line.text("error");
    let status = match (line.yes("isAuthenticating"), &error) {
        (true, _) => "needs_login_in_progress",
        (false, Some(_)) => "needs_login_idle",
        (false, None) => "online",
    };
    let output = line
        .list("output")
        .iter()
        .filter_map(|item| crate::view::string(item))
        .collect::<Vec<_>>()
        .join("\n");
    let body = StatusChanged {
        status: status.to_owned(),
        note: error.or_else(|| (!output.is_empty()).then_some(output)),
    };
    page.tell(Kind::STATUS_CHANGED, &body);
}
