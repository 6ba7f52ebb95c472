//! Items: messages, reasoning and calls of tools, each with a start and an end.

use turnwire_proto::{Json, Kind, Message, TextDelta, ToolCallStart};

use super::{CodexApp, OPEN, user};
use crate::{
    scribe::{Ended, Page, object},
    view::{Obj, string},
};

impl CodexApp {
    pub(super) fn item(&mut self, params: &Obj<'_>, done: bool, page: &mut Page<'_>) {
        let Some(item) = params.obj("item") else {
            return page.unknown("item", &[]);
        };
        page.ensure_turn();
        let id = item.text("id").unwrap_or_default();
        let kind = item.text("type").unwrap_or_default();
        match (kind.as_str(), done) {
            ("userMessage", true) => user(&item, page),
            ("agentMessage" | "plan", true) => {
                let body = Message {
                    role: "assistant".to_owned(),
                    content: item.text("text").unwrap_or_default(),
                    message_id: Some(id),
                    ..Message::default()
                };
                page.tell(Kind::MESSAGE, &body);
            }
            ("reasoning", true) => reasoning(&item, id, page),
            ("contextCompaction", false) => page.state("compacting", None),
            ("contextCompaction", true) => page.works(),
            ("enteredReviewMode" | "exitedReviewMode", true) => {
                page.note(&item.text("review").unwrap_or(kind), &[]);
            }
            // Not yet whole, or told by others.
            ("userMessage" | "agentMessage" | "plan" | "reasoning", false)
            | ("hookPrompt" | "functionCallOutput" | "subAgentActivity", _)
            | ("enteredReviewMode" | "exitedReviewMode", false) => {}
            _ => match tool(&kind, &item) {
                Some((name, arguments)) if !id.is_empty() => self.call(&item, done, &id, name, arguments, page),
                _ => page.unknown(&format!("item/{kind}"), &[]),
            },
        }
    }

    /// One stage of a call. A call of which only the end is told has its start told with it, for its arguments.
    fn call(
        &mut self,
        item: &Obj<'_>,
        done: bool,
        id: &str,
        tool: String,
        arguments: Option<Json>,
        page: &mut Page<'_>,
    ) {
        if let (false, Some(changes)) = (done, item.json("changes")) {
            if self.changes.len() >= OPEN {
                self.changes.remove(0);
            }
            self.changes.push((id.to_owned(), changes));
        }
        let body = ToolCallStart {
            tool,
            tool_call_id: id.to_owned(),
            arguments,
            parent_tool_call_id: None,
        };
        let first = page.start_call(&body);
        if done {
            self.changes.retain(|(item, _)| item != id);
            let mut ended = outcome(item);
            // Its length is not known: start and end came in one line.
            ended.untimed = first;
            page.end_call(id, ended);
        }
    }
}

fn reasoning(item: &Obj<'_>, id: String, page: &mut Page<'_>) {
    let parts = ["summary", "content"].iter().flat_map(|key| item.list(key));
    let texts: Vec<String> = parts.filter_map(|part| Some(string(part)?.into_owned())).collect();
    if texts.is_empty() {
        return;
    }
    let body = TextDelta {
        content: texts.join("\n\n"),
        message_id: Some(id),
        parent_tool_call_id: None,
    };
    page.tell(Kind::REASONING, &body);
}

/// The tool's name, the same as `codex exec --json` has it, and its arguments.
fn tool(kind: &str, item: &Obj<'_>) -> Option<(String, Option<Json>)> {
    let some = |keys: &[&'static str]| {
        let fields: Vec<_> = keys.iter().map(|key| (*key, item.json(key))).collect();
        Some(object(&fields))
    };
    let name = |text: Option<String>| text.unwrap_or_else(|| kind.to_owned());
    Some(match kind {
        "commandExecution" => ("command_execution".to_owned(), some(&["command", "cwd"])),
        "fileChange" => ("file_change".to_owned(), some(&["changes"])),
        "webSearch" => ("web_search".to_owned(), some(&["query", "action"])),
        "imageView" => ("image_view".to_owned(), some(&["path"])),
        "imageGeneration" => ("image_generation".to_owned(), None),
        "sleep" => ("sleep".to_owned(), None),
        "mcpToolCall" => {
            let server = item.text("server").unwrap_or_default();
            let tool = item.text("tool").unwrap_or_default();
            (format!("{server}.{tool}"), item.json("arguments"))
        }
        "dynamicToolCall" => (name(item.text("tool")), item.json("arguments")),
        "collabAgentToolCall" => {
            let arguments = some(&["prompt", "senderThreadId", "receiverThreadIds"]);
            (name(item.text("tool")), arguments)
        }
        _ => return None,
    })
}

fn outcome(item: &Obj<'_>) -> Ended {
    let status = item.text("status").unwrap_or_default();
    let code = item.i64("exitCode");
    let message = item.obj("error").and_then(|error| error.text("message"));
    let failed = matches!(status.as_str(), "failed" | "declined")
        || code.unwrap_or(0) != 0
        || message.is_some()
        || item.bool("success") == Some(false);
    let error = failed.then(|| match (status.as_str(), code) {
        ("declined", _) => "denied".to_owned(),
        (_, Some(code)) => format!("exit {code}"),
        _ => message.clone().unwrap_or_else(|| "failed".to_owned()),
    });
    let output = ["aggregatedOutput", "result", "contentItems", "agentsStates"];
    let output = output.iter().find_map(|key| item.json(key));
    Ended {
        success: !failed,
        output: output.or_else(|| message.map(|message| Json::of(&message))),
        error,
        duration_ms: item.u64("durationMs"),
        ..Ended::default()
    }
}
