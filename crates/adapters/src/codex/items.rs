//! Items: messages, reasoning and tool calls, each with a start, updates and an end, or only an end.

use turnwire_proto::{Json, Kind, Message, TextDelta, ToolCallStart, ToolProgress};

use crate::{
    scribe::{Ended, Page, object},
    view::Obj,
};

/// An item's id in the session: its own is unique only in one run.
pub(super) fn id(item: &str, page: &mut Page<'_>) -> Option<String> {
    let turn = page.scribe.turn()?.id().as_str().to_owned();
    (!item.is_empty()).then(|| format!("{turn}.{item}"))
}

pub(super) fn item(line: &Obj<'_>, page: &mut Page<'_>) {
    let Some(item) = line.obj("item") else {
        return page.unknown("item", &[]);
    };
    let stage = line.text("type").unwrap_or_default();
    let done = stage == "item.completed";
    // Before a turn it tells what it thinks of its configuration.
    if item.is("type", "error") {
        let message = item.text("message").unwrap_or_else(|| "error".to_owned());
        page.note(&message, &[("severity", Some(Json::of("warning")))]);
        return page.keep(&format!("{stage}/error"));
    }
    page.ensure_turn();
    let id = id(&item.text("id").unwrap_or_default(), page);
    let text = item.text("text").unwrap_or_default();
    let kind = item.text("type").unwrap_or_default();
    match (kind.as_str(), done) {
        ("agent_message" | "plan", true) => {
            let body = Message {
                role: "assistant".to_owned(),
                content: text,
                message_id: id,
                ..Message::default()
            };
            page.tell(Kind::MESSAGE, &body);
        }
        ("reasoning", true) => {
            let body = TextDelta {
                content: text,
                message_id: id,
                parent_tool_call_id: None,
            };
            page.tell(Kind::REASONING, &body);
        }
        // Not yet whole.
        ("agent_message" | "plan" | "reasoning", false) => {}
        ("todo_list", _) => todo(&item, page),
        _ => match (tool(&kind, &item), id) {
            (Some((name, arguments)), Some(id)) => call(&item, done, id, name, arguments, page),
            _ => page.unknown(&format!("{stage}/{kind}"), &[]),
        },
    }
    page.keep(&format!("{stage}/{kind}"));
}

/// The tool's name and arguments, of items that are calls.
fn tool(kind: &str, item: &Obj<'_>) -> Option<(String, Option<Json>)> {
    let some = |keys: &[&'static str]| {
        let fields: Vec<_> = keys.iter().map(|key| (*key, item.json(key))).collect();
        Some(object(&fields))
    };
    match kind {
        "command_execution" => Some((kind.to_owned(), some(&["command"]))),
        "file_change" => Some((kind.to_owned(), some(&["changes"]))),
        "web_search" => Some((kind.to_owned(), some(&["query", "action"]))),
        "mcp_tool_call" => {
            let (server, name) = (
                item.text("server").unwrap_or_default(),
                item.text("tool").unwrap_or_default(),
            );
            Some((format!("{server}.{name}"), item.json("arguments")))
        }
        "collab_tool_call" => {
            let name = item.text("tool").unwrap_or_else(|| kind.to_owned());
            Some((name, some(&["prompt", "sender_thread_id", "receiver_thread_ids"])))
        }
        _ => None,
    }
}

/// One stage of a call. A call of which only the end is told has its start told with it, for its arguments.
fn call(item: &Obj<'_>, done: bool, id: String, tool: String, arguments: Option<Json>, page: &mut Page<'_>) {
    let body = ToolCallStart {
        tool: tool.clone(),
        tool_call_id: id.clone(),
        arguments,
        parent_tool_call_id: None,
    };
    let first = page.start_call(&body);
    if done {
        let mut ended = outcome(item);
        // Its length is not known: start and end came in one line.
        ended.untimed = first;
        page.end_call(&id, ended);
        return;
    }
    // The output comes whole each time: only what is new in it is progress.
    let output = item.text("aggregated_output").unwrap_or_default();
    let Some(open) = page.scribe.call(&id) else { return };
    let new = output.get(open.shown..).unwrap_or(&output).to_owned();
    open.shown = output.len();
    if !first && !new.is_empty() {
        let body = ToolProgress {
            tool_call_id: id,
            tool: Some(tool),
            content: Some(new),
            ..ToolProgress::default()
        };
        page.tell(Kind::TOOL_PROGRESS, &body);
    }
}

fn outcome(item: &Obj<'_>) -> Ended {
    let status = item.text("status");
    let code = item.i64("exit_code");
    let message = item
        .obj("error")
        .and_then(|error| error.text("message"))
        .or_else(|| item.text("error"));
    let failed =
        matches!(status.as_deref(), Some("failed" | "declined")) || code.unwrap_or(0) != 0 || message.is_some();
    let error = failed.then(|| match (status.as_deref(), code) {
        (Some("declined"), _) => "denied".to_owned(),
        (_, Some(code)) => format!("exit {code}"),
        _ => message.clone().unwrap_or_else(|| "failed".to_owned()),
    });
    let output = ["aggregated_output", "result", "agents_states"]
        .iter()
        .find_map(|key| item.json(key));
    Ended {
        success: !failed,
        output: output.or_else(|| message.map(|message| Json::of(&message))),
        error,
        ..Ended::default()
    }
}

/// The plan as it stands.
fn todo(item: &Obj<'_>, page: &mut Page<'_>) {
    let entries = item.objects("items");
    let line = |entry: &Obj<'_>| {
        let done = if entry.yes("completed") { 'x' } else { ' ' };
        format!("[{done}] {}", entry.text("text").unwrap_or_default())
    };
    let text = entries.iter().map(line).collect::<Vec<_>>().join("\n");
    page.note(&text, &[("todo", item.json("items"))]);
}
