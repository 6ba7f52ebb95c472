//! opencode: `opencode run --format json`.
//!
//! What is particular to it:
//! - A tool appears once, when it has ended: its start and its end have the times that its `state` tells.
//! - Timestamps are milliseconds. A step is one request to the model; the turn ends with a step that asks for no tool.
//! - A shell command that fails is `completed`: its exit code is in `state.metadata.exit`.
//! - After an `error` there may be nothing more: the turn then ends with the output.
//!
//! The events of `opencode serve` are another thing: [`server`], and so are those that it keeps in its database: [`session`].

pub(crate) mod server;
pub(crate) mod session;

use turnwire_proto::{Json, Kind, LlmRequest, Message, TextDelta, Timestamp, ToolCallStart, TurnEnd, Usage};

use crate::{
    Adapter, Context,
    reader::{Reader, Vendor},
    scribe::{Ended, Page},
    view::Obj,
};

pub(crate) fn make(context: Context) -> Box<dyn Adapter> {
    Box::new(Reader::new(Opencode, context))
}

/// Nothing must be remembered from line to line beyond what all adapters remember.
#[derive(Debug)]
struct Opencode;

impl Vendor for Opencode {
    const SOURCE: &'static str = "opencode";

    fn object(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        if let Some(session) = line.str("sessionID") {
            page.session(&session);
        }
        page.at(line.time("timestamp"));
        let part = line.obj("part").unwrap_or_default();
        match line.str("type").as_deref() {
            Some("step_start") => {
                page.ensure_turn();
                page.tell(Kind::LLM_REQUEST, &LlmRequest::default());
            }
            Some("text") => {
                page.ensure_turn();
                let body = Message {
                    role: "assistant".to_owned(),
                    content: part.text("text").unwrap_or_default(),
                    message_id: part.text("messageID"),
                    ..Message::default()
                };
                page.tell(Kind::MESSAGE, &body);
            }
            Some("reasoning") => {
                page.ensure_turn();
                let body = TextDelta {
                    content: part.text("text").unwrap_or_default(),
                    message_id: part.text("messageID"),
                    parent_tool_call_id: None,
                };
                page.tell(Kind::REASONING, &body);
            }
            Some("tool_use") => {
                page.ensure_turn();
                tool(&part, None, line.time("timestamp"), page);
            }
            Some("step_finish") => step_finish(&part, page),
            Some("error") => {
                page.ensure_turn();
                error(line, page);
            }
            Some(other) => page.unknown(other, &[]),
            None => page.unknown("no type", &[]),
        }
    }
}

/// How the output of a shell command ends that was stopped; it is `completed` all the same, without an exit code.
const ABORTED: &str = "User aborted the command\n</shell_metadata>";

/// A call, as far as it is: begun, or ended. `parent` is the one that it is within.
fn tool(part: &Obj<'_>, parent: Option<String>, told: Option<Timestamp>, page: &mut Page<'_>) {
    let Some(id) = part.text("callID").or_else(|| part.text("id")) else {
        return page.unknown("tool_use", &[]);
    };
    let state = part.obj("state").unwrap_or_default();
    let time = state.obj("time").unwrap_or_default();
    page.at(time.time("start").or(told));
    let body = ToolCallStart {
        tool: part.text("tool").unwrap_or_else(|| "unknown".to_owned()),
        tool_call_id: id.clone(),
        arguments: state.json("input"),
        parent_tool_call_id: parent,
    };
    page.start_call(&body);
    let status = state.text("status").unwrap_or_default();
    if matches!(status.as_str(), "pending" | "running") {
        return;
    }
    let metadata = state.obj("metadata").unwrap_or_default();
    let code = metadata.i64("exit").or_else(|| metadata.i64("exitCode"));
    let message = state.text("error");
    let aborted = state
        .str("output")
        .is_some_and(|output| output.trim_end().ends_with(ABORTED));
    let failed = status != "completed" || code.unwrap_or(0) != 0 || aborted;
    let error = failed.then(|| match (&message, code) {
        _ if aborted => "interrupted".to_owned(),
        (Some(text), _) if is_denial(text) => "denied".to_owned(),
        (None, Some(code)) => format!("exit {code}"),
        _ => "error".to_owned(),
    });
    page.at(time.time("end").or(told));
    let title = state.json("title").map(|title| ("title", title));
    let ended = Ended {
        success: !failed,
        output: state.json("output").or_else(|| message.map(|text| Json::of(&text))),
        error,
        untimed: time.get("start").is_none() || time.get("end").is_none(),
        more: title.into_iter().collect(),
        ..Ended::default()
    };
    page.end_call(&id, ended);
}

/// `The user rejected permission to use this specific tool call.`, or a rule that prevents it.
fn is_denial(error: &str) -> bool {
    error.contains("rejected permission") || error.contains("prevents you from using this specific tool call")
}

/// What a step has used.
fn step_usage(part: &Obj<'_>) -> Usage {
    let tokens = part.obj("tokens").unwrap_or_default();
    let cache = tokens.obj("cache").unwrap_or_default();
    Usage {
        input_tokens: tokens.u64("input"),
        output_tokens: tokens.u64("output"),
        cache_read_input_tokens: cache.u64("read"),
        cache_creation_input_tokens: cache.u64("write"),
        reasoning_tokens: tokens.u64("reasoning"),
        cost_usd: part.f64("cost"),
        ..Usage::default()
    }
}

fn step_finish(part: &Obj<'_>, page: &mut Page<'_>) {
    page.ensure_turn();
    page.usage(&step_usage(part));
    let reason = part.text("reason").unwrap_or_else(|| "unknown".to_owned());
    // The agent goes on after these.
    if matches!(reason.as_str(), "tool-calls" | "unknown") {
        return;
    }
    let ok = reason == "stop";
    page.end_turn(TurnEnd {
        ok,
        note: (!ok).then_some(reason),
        ..TurnEnd::default()
    });
}

/// Tells an error; returns what it says.
fn error(line: &Obj<'_>, page: &mut Page<'_>) -> String {
    let error = line.obj("error").unwrap_or_default();
    let data = error.obj("data").unwrap_or_default();
    let name = error.text("name");
    let message = data
        .text("message")
        .or_else(|| error.text("message"))
        .or_else(|| line.text("error"));
    let mut message = message.or_else(|| name.clone()).unwrap_or_else(|| "error".to_owned());
    let status = data.u64("statusCode");
    if let Some(status) = status {
        message.push_str(&format!(" ({status})"));
    }
    let component = if status.is_some() { "api" } else { "opencode" };
    page.error(component, &message, None);
    message
}
