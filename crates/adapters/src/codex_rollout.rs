//! Codex's rollouts: `~/.codex/sessions/YYYY/MM/DD/rollout-*.jsonl`.
//!
//! What is particular to them:
//! - A line is `{timestamp, type, payload}`. The same thing is told twice or thrice: as the model's item (`response_item`), as an
//!   event of the program (`event_msg`) and, in newer versions, as that event's `item_completed`. Messages of the model, reasoning and
//!   calls are read from the items, what the user said and how a command ended from the events; the rest is kept as it is.
//! - `task_started` and `task_complete` are the turn, by Codex's own id of it; a call's id is the model's `call_id`.
//! - Tokens are told for each answer of the model: by `token_usage_record`, in older versions only by `token_count`, which
//!   repeats itself. `input_tokens` has the cached ones in it; ours has not.

use std::collections::VecDeque;

use turnwire_proto::{Json, Kind, Message, ModelChanged, SessionStart, TextDelta, ToolCallStart, TurnEnd, Usage};

use crate::{
    Adapter, Context,
    reader::{Reader, Vendor},
    scribe::{Ended, Page},
    view::Obj,
};

/// Prompts that are remembered, so that one that is told in two ways is told once.
const PROMPTS: usize = 8;

pub(crate) fn make(context: Context) -> Box<dyn Adapter> {
    Box::new(Reader::new(Rollout::default(), context))
}

/// What must be remembered from line to line.
#[derive(Debug, Default)]
struct Rollout {
    model: Option<String>,
    /// There are `token_usage_record`s.
    records: bool,
    /// What `token_count` had added up to.
    total: Option<String>,
    prompts: VecDeque<String>,
}

impl Vendor for Rollout {
    const SOURCE: &'static str = "codex-rollout";
    const FILE: bool = true;

    fn object(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        page.at(line.time("timestamp"));
        let payload = line.obj("payload").unwrap_or_default();
        let kind = payload.text("type").unwrap_or_default();
        match line.str("type").as_deref() {
            Some("session_meta") => start(&payload, page),
            Some("turn_context") => self.context(&payload, page),
            Some("response_item") => item(&kind, &payload, page),
            Some("event_msg") => self.event(&kind, &payload, page),
            Some("token_usage_record") => {
                self.records = true;
                let used = payload.obj("usage").unwrap_or_default();
                self.usage(&used, payload.text("response_id"), page);
            }
            Some("compacted") => page.note("the conversation was compacted", &[]),
            Some(kind @ ("world_state" | "inter_agent_message" | "ghost_snapshot")) => page.keep(kind),
            Some(other) => page.unknown(other, &[]),
            None => page.unknown("no type", &[]),
        }
        page.keep(&kind);
    }
}

fn start(meta: &Obj<'_>, page: &mut Page<'_>) {
    if let Some(session) = meta.text("id").or_else(|| meta.text("session_id")) {
        page.session(&session);
    }
    let body = SessionStart {
        cwd: meta.text("cwd"),
        version: meta.text("cli_version"),
        ..SessionStart::default()
    };
    let more = [("originator", meta.json("originator")), ("git", meta.json("git"))];
    page.start_session(body, &more);
}

impl Rollout {
    fn context(&mut self, payload: &Obj<'_>, page: &mut Page<'_>) {
        let Some(model) = payload.text("model") else { return };
        let before = self.model.replace(model.clone());
        if before.as_deref() != Some(&*model) {
            page.tell(Kind::MODEL_CHANGED, &ModelChanged { model });
        }
    }

    fn event(&mut self, kind: &str, event: &Obj<'_>, page: &mut Page<'_>) {
        match kind {
            "task_started" | "turn_started" => {
                page.scribe.next_turn = event.text("turn_id");
                page.start_turn(None);
            }
            "task_complete" | "turn_complete" => complete(event, page),
            "turn_aborted" => page.end_turn(TurnEnd {
                note: event.text("reason").or_else(|| Some("interrupted".to_owned())),
                ..TurnEnd::default()
            }),
            "user_message" => self.prompt(event.text("message"), None, page),
            "item_completed" => self.item_completed(&event.obj("item").unwrap_or_default(), page),
            "token_count" => self.token_count(event, page),
            "error" | "stream_error" => {
                let message = event.text("message").unwrap_or_else(|| "error".to_owned());
                page.error("codex", &message, (kind == "stream_error").then_some(true));
            }
            "warning" | "background_event" => page.note(&event.text("message").unwrap_or_default(), &[]),
            "context_compacted" => page.note("the conversation was compacted", &[]),
            "exec_command_end" | "patch_apply_end" | "mcp_tool_call_end" => {
                if let Some(call) = event.text("call_id").filter(|call| page.scribe.is_open(call)) {
                    page.end_call(&call, outcome(event));
                }
            }
            // Told by the model's items, or of no interest by itself.
            "agent_message"
            | "agent_reasoning"
            | "agent_reasoning_raw_content"
            | "agent_reasoning_section_break"
            | "exec_command_begin"
            | "patch_apply_begin"
            | "mcp_tool_call_begin"
            | "web_search_begin"
            | "web_search_end"
            | "item_started"
            | "thread_settings_applied"
            | "thread_name_updated"
            | "session_configured"
            | "entered_review_mode"
            | "exited_review_mode"
            | "thread_rolled_back"
            | "view_image_tool_call"
            | "turn_diff"
            | "plan_update" => page.keep(kind),
            other => page.unknown(&format!("event_msg/{other}"), &[]),
        }
    }

    /// What the user said: once, where an event and an item tell it.
    fn prompt(&mut self, text: Option<String>, id: Option<String>, page: &mut Page<'_>) {
        let Some(text) = text else { return };
        page.ensure_turn();
        let turn = page.scribe.turn().map(|turn| turn.id().as_str().to_owned());
        let told = format!("{}\n{text}", turn.unwrap_or_default());
        if self.prompts.contains(&told) {
            return;
        }
        if self.prompts.len() >= PROMPTS {
            self.prompts.pop_front();
        }
        self.prompts.push_back(told);
        let body = Message {
            role: "user".to_owned(),
            content: text,
            message_id: id,
            ..Message::default()
        };
        page.tell(Kind::MESSAGE, &body);
    }

    fn item_completed(&mut self, item: &Obj<'_>, page: &mut Page<'_>) {
        let id = item.text("id");
        if item.is("type", "UserMessage") {
            let texts = item.objects("content");
            let texts: Vec<_> = texts.iter().filter_map(|part| part.text("text")).collect();
            return self.prompt((!texts.is_empty()).then(|| texts.join("\n")), id, page);
        }
        // Items that are calls have the call's id.
        if let Some(call) = id.filter(|call| page.scribe.is_open(call)) {
            page.end_call(&call, outcome(item));
        }
    }

    fn token_count(&mut self, event: &Obj<'_>, page: &mut Page<'_>) {
        let info = event.obj("info").unwrap_or_default();
        let total = info.get("total_token_usage").map(|total| total.get().to_owned());
        if self.records || total.is_none() || self.total == total {
            return;
        }
        self.total = total;
        let last = info.obj("last_token_usage").unwrap_or_default();
        self.usage(&last, None, page);
    }

    fn usage(&self, used: &Obj<'_>, request: Option<String>, page: &mut Page<'_>) {
        let cached = used.u64("cached_input_tokens");
        let usage = Usage {
            input_tokens: used
                .u64("input_tokens")
                .map(|input| input.saturating_sub(cached.unwrap_or(0))),
            output_tokens: used.u64("output_tokens"),
            cache_read_input_tokens: cached,
            cache_creation_input_tokens: used.u64("cache_write_input_tokens"),
            reasoning_tokens: used.u64("reasoning_output_tokens"),
            model: self.model.clone(),
            ..Usage::default()
        };
        if usage.output_tokens.is_none() && usage.input_tokens.is_none() {
            return;
        }
        page.usage_of(&usage, &[("request_id", request.map(|id| Json::of(&id)))]);
    }
}

/// A turn is over: it has an error where it failed.
fn complete(event: &Obj<'_>, page: &mut Page<'_>) {
    let error = event.obj("error").map(|error| {
        let message = error.text("message");
        message.unwrap_or_else(|| "the turn failed".to_owned())
    });
    if let Some(message) = &error {
        page.ensure_turn();
        if !page.has_said(message) {
            page.error("codex", message, None);
        }
    }
    page.end_turn(TurnEnd {
        ok: error.is_none(),
        note: error,
        duration_ms: event.u64("duration_ms"),
        ..TurnEnd::default()
    });
}

/// What the model said or was told.
fn item(kind: &str, item: &Obj<'_>, page: &mut Page<'_>) {
    match kind {
        "message" if item.is("role", "assistant") => {
            page.ensure_turn();
            let body = Message {
                role: "assistant".to_owned(),
                content: texts(item, "content"),
                message_id: item.text("id"),
                ..Message::default()
            };
            page.tell(Kind::MESSAGE, &body);
        }
        "reasoning" => {
            let summary = texts(item, "summary");
            let body = TextDelta {
                content: if summary.is_empty() {
                    texts(item, "content")
                } else {
                    summary
                },
                message_id: item.text("id"),
                parent_tool_call_id: None,
            };
            page.tell(Kind::REASONING, &body);
        }
        "function_call" | "custom_tool_call" | "local_shell_call" | "web_search_call" | "tool_search_call" => {
            call(kind, item, page);
        }
        kind if kind.ends_with("_call_output") || kind == "tool_search_output" => {
            let Some(id) = item.text("call_id") else {
                return page.unknown(kind, &[]);
            };
            page.end_call(&id, output(item));
        }
        // Of the user's and the program's to the model; the user's own are told by events.
        "message" | "additional_tools" | "ghost_snapshot" | "compaction" | "compaction_summary" => page.keep(kind),
        other => page.unknown(&format!("response_item/{other}"), &[]),
    }
}

fn call(kind: &str, item: &Obj<'_>, page: &mut Page<'_>) {
    let Some(id) = item.text("call_id").or_else(|| item.text("id")) else {
        return page.unknown(kind, &[]);
    };
    page.ensure_turn();
    // Arguments are a text with JSON in it.
    let parsed = item.text("arguments").and_then(|text| Json::parse(&text).ok());
    let arguments = parsed.or_else(|| ["arguments", "input", "action"].iter().find_map(|key| item.json(key)));
    let body = ToolCallStart {
        tool: item
            .text("name")
            .unwrap_or_else(|| kind.trim_end_matches("_call").to_owned()),
        tool_call_id: id.clone(),
        arguments,
        parent_tool_call_id: None,
    };
    page.start_call(&body);
    if kind == "web_search_call" {
        let ended = Ended {
            success: !item.is("status", "failed"),
            error: item.is("status", "failed").then(|| "failed".to_owned()),
            untimed: true,
            ..Ended::default()
        };
        page.end_call(&id, ended);
    }
}

/// How a call ended, by what the model was told of it: `Process exited with code 2`, or JSON with its `exit_code`.
fn output(item: &Obj<'_>) -> Ended {
    let text = item.text("output");
    let json = text.as_deref().and_then(Obj::parse).unwrap_or_default();
    let code = json
        .obj("metadata")
        .and_then(|data| data.i64("exit_code"))
        .or_else(|| exit_code(text.as_deref()?));
    let why = text.as_deref().and_then(not_run);
    let failed = code.unwrap_or(0) != 0 || item.bool("success") == Some(false) || why.is_some();
    let word = why.unwrap_or("failed");
    Ended {
        success: !failed,
        output: json.json("output").or_else(|| item.json("output")),
        error: failed.then(|| code.map_or_else(|| word.to_owned(), |code| format!("exit {code}"))),
        ..Ended::default()
    }
}

/// `Process exited with code 2`, in what the model is told.
pub(crate) fn exit_code(output: &str) -> Option<i64> {
    let (_, rest) = output.split_once("Process exited with code ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit() && c != '-').next()?;
    digits.parse().ok()
}

/// Why a call did nothing or was ended, as the model is told: the program's own words.
fn not_run(output: &str) -> Option<&'static str> {
    let starts = [
        "unsupported call:",
        "unsupported custom tool call:",
        "failed to parse function arguments:",
    ];
    if output.ends_with("aborted by user") || output == "aborted" {
        return Some("interrupted");
    }
    starts.iter().any(|start| output.starts_with(start)).then_some("failed")
}

/// How a call ended, by what the program says.
fn outcome(event: &Obj<'_>) -> Ended {
    let status = event.text("status").unwrap_or_default();
    let code = event.i64("exit_code");
    let message = event
        .obj("error")
        .and_then(|error| error.text("message"))
        .or_else(|| event.text("error"));
    let failed = matches!(status.as_str(), "failed" | "declined")
        || code.unwrap_or(0) != 0
        || event.bool("success") == Some(false)
        || message.is_some();
    let error = failed.then(|| match (status.as_str(), code) {
        ("declined", _) => "denied".to_owned(),
        (_, Some(code)) => format!("exit {code}"),
        _ => message.clone().unwrap_or_else(|| "failed".to_owned()),
    });
    let output = ["aggregated_output", "stdout", "result", "changes"];
    let length = event.obj("duration").unwrap_or_default();
    let parts = (length.u64("secs"), length.u64("nanos"));
    Ended {
        success: !failed,
        output: output
            .iter()
            .find_map(|key| event.json(key))
            .or_else(|| message.map(|it| Json::of(&it))),
        error,
        duration_ms: parts.0.map(|secs| {
            secs.saturating_mul(1000)
                .saturating_add(parts.1.unwrap_or(0) / 1_000_000)
        }),
        ..Ended::default()
    }
}

/// The texts of a list of parts, or a text.
fn texts(item: &Obj<'_>, key: &str) -> String {
    let parts = item.objects(key);
    let parts: Vec<_> = parts.iter().filter_map(|part| part.text("text")).collect();
    if parts.is_empty() {
        item.text(key).unwrap_or_default()
    } else {
        parts.join("\n")
    }
}
