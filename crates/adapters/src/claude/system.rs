//! `system` lines: what the program says of itself.

use turnwire_proto::{Json, Kind, LlmRequest, Memory, ModelChanged, SessionStart, TextDelta};

use super::Claude;
use crate::{
    scribe::{Page, with},
    view::{Obj, string},
};

/// Turns that wait for their result at once; beyond it they are taken for one.
const OWED: usize = 64;

/// Subtypes that say something to a person, and the field that says it.
const NOTES: &[(&str, &str)] = &[
    ("code_change_published", "url"),
    ("commands_changed", ""),
    ("control_request_progress", "status"),
    ("elicitation_complete", "mcp_server_name"),
    ("feedback_draft_queued", "title"),
    ("files_persisted", ""),
    ("model_refusal_no_fallback", "content"),
    ("peer_message_hold", "state"),
    ("per_turn_effort_changed", ""),
    ("plugin_install", "name"),
    ("turn_handoff_available", ""),
    ("turn_preempted", "reason"),
    ("vcs_state_changed", "branch"),
    ("worker_shutting_down", "reason"),
];

/// What a subtype says to a person, if it is one that does.
pub(super) fn noted(subtype: &str, line: &Obj<'_>) -> Option<String> {
    let (name, field) = NOTES.iter().find(|(name, _)| *name == subtype)?;
    let what = line.text(field).map(|text| format!(": {text}")).unwrap_or_default();
    Some(format!("{}{what}", name.replace('_', " ")))
}

impl Claude {
    pub(super) fn system(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        let subtype = line.text("subtype").unwrap_or_default();
        match subtype.as_str() {
            "init" => self.init(line, page),
            "status" => self.status(line, page),
            "session_state_changed" => {
                let state = match line.str("state").as_deref() {
                    Some("idle") => "idle",
                    Some("requires_action") => "needs_approval",
                    _ => "thinking",
                };
                page.state(state, None);
            }
            "compact_boundary" => compacted(line, page),
            "api_retry" => api_retry(line, page),
            "task_started" | "task_progress" | "task_updated" | "task_notification" => self.task(&subtype, line, page),
            "hook_started" | "hook_progress" | "hook_response" => hook(&subtype, line, page),
            "permission_denied" => permission_denied(line, page),
            "thinking_tokens" => {
                let body = TextDelta::default();
                let more = [("estimated_tokens", line.json("estimated_tokens"))];
                page.write(Kind::REASONING_DELTA, with(&body, &more));
            }
            "informational" | "local_command_output" => page.note(&line.text("content").unwrap_or_default(), &[]),
            "notification" => page.note(&line.text("text").unwrap_or_default(), &[]),
            "mirror_error" => page.error("mirror", &line.text("error").unwrap_or_default(), None),
            "model_refusal_fallback" => self.fallback(line, page),
            "memory_recall" => {
                let body = Memory {
                    action: "recall".to_owned(),
                    count: u64::try_from(line.list("memories").len()).ok(),
                    source: line.text("mode"),
                    query: None,
                };
                page.tell(Kind::MEMORY, &body);
            }
            "background_tasks_changed" => {
                let tasks = line.objects("tasks");
                let names: Vec<_> = tasks.iter().filter_map(|task| task.text("description")).collect();
                let names = if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(", ")
                };
                page.note(&format!("background tasks: {names}"), &[]);
            }
            other => match noted(other, line) {
                Some(text) => page.note(&text, &[]),
                None => page.unknown(&format!("system/{other}"), &[]),
            },
        }
    }

    /// A turn begins. The first of a session is also the session's start.
    fn init(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        let model = line.text("model");
        if page.scribe.has_started() {
            if model.is_some() && model != self.model {
                let body = ModelChanged {
                    model: model.clone().unwrap_or_default(),
                };
                page.tell(Kind::MODEL_CHANGED, &body);
            }
        } else {
            // What the caller has begun begins with the session.
            if !page.scribe.turn().is_some_and(|turn| turn.is_prompted()) {
                page.give_up_turn("another session began before this turn had ended");
            }
            let tools: Vec<_> = line
                .list("tools")
                .into_iter()
                .filter_map(string)
                .map(Into::into)
                .collect();
            let body = SessionStart {
                model: model.clone(),
                cwd: line.text("cwd"),
                version: line.text("claude_code_version"),
                permission_mode: line.text("permissionMode"),
                tools: (!tools.is_empty()).then_some(tools),
                vendor_session_id: None,
            };
            let full = |key| line.json(key).filter(|list| list.get() != "[]");
            let more = [
                ("mcp_servers", full("mcp_servers")),
                ("mcp_server_errors", full("mcp_server_errors")),
                ("plugin_errors", full("plugin_errors")),
            ];
            page.start_session(body, &more);
        }
        self.model = model.or_else(|| self.model.take());
        // What has ended in the background begins a turn before the result of the last one is printed.
        if std::mem::replace(&mut self.begun, true) && self.owed.len() < OWED {
            self.owed.extend(page.scribe.set_aside());
        }
        if page.scribe.turn().is_none() {
            page.start_turn(None);
        } else {
            page.keep("system/init");
        }
    }

    fn status(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        let outcome = line.text("compact_error").or_else(|| line.text("compact_result"));
        match line.text("status").as_deref() {
            Some("compacting") => page.state("compacting", outcome),
            Some("requesting") => {
                page.ensure_turn();
                let body = LlmRequest {
                    model: self.model.clone(),
                    ..LlmRequest::default()
                };
                page.tell(Kind::LLM_REQUEST, &body);
            }
            Some(other) => page.note(&format!("status: {other}"), &[]),
            None if page.scribe.turn().is_some() => page.state("thinking", outcome),
            None => page.state("idle", outcome),
        }
    }

    fn fallback(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        if let Some(model) = line.text("fallback_model") {
            self.model = Some(model.clone());
            page.tell(Kind::MODEL_CHANGED, &ModelChanged { model });
        }
        page.note(
            &line.text("content").unwrap_or_else(|| "the model refused".to_owned()),
            &[],
        );
    }
}

fn compacted(line: &Obj<'_>, page: &mut Page<'_>) {
    let data = line.obj("compact_metadata").unwrap_or_default();
    let mut text = format!(
        "the conversation was compacted ({}",
        data.text("trigger").unwrap_or_default()
    );
    if let Some(tokens) = data.u64("pre_tokens") {
        text.push_str(&format!(", {tokens} tokens before"));
    }
    if let Some(tokens) = data.u64("post_tokens") {
        text.push_str(&format!(", {tokens} after"));
    }
    text.push(')');
    page.note(&text, &[("compact", line.json("compact_metadata"))]);
}

fn api_retry(line: &Obj<'_>, page: &mut Page<'_>) {
    let number = |key| {
        line.u64(key)
            .map_or_else(|| "?".to_owned(), |number| number.to_string())
    };
    let status = line.u64("error_status");
    let error = line.text("error").unwrap_or_else(|| "the API failed".to_owned());
    let cause = status.map_or_else(|| error.clone(), |status| format!("{error} ({status})"));
    let delay = line
        .f64("retry_delay_ms")
        .map_or_else(|| "?".to_owned(), |ms| format!("{ms:.0}"));
    let text = format!(
        "{cause}: retry {} of {} in {delay} ms",
        number("attempt"),
        number("max_retries")
    );
    if status == Some(429) || status == Some(529) || error.contains("rate_limit") || error.contains("overloaded") {
        page.state("rate_limited", Some(text.clone()));
    }
    page.error("api", &text, Some(true));
}

fn hook(subtype: &str, line: &Obj<'_>, page: &mut Page<'_>) {
    let name = line
        .text("hook_name")
        .or_else(|| line.text("hook_event"))
        .unwrap_or_default();
    let output = line
        .text("stderr")
        .or_else(|| line.text("stdout"))
        .or_else(|| line.text("output"));
    let more = [
        ("hook", Some(Json::of(&name))),
        ("hook_id", line.json("hook_id")),
        ("exit_code", line.json("exit_code")),
        ("output", output.clone().map(|output| Json::of(&output))),
    ];
    match subtype {
        "hook_started" => page.note(&format!("hook {name} started"), &more),
        "hook_progress" => page.note(&format!("hook {name}: {}", output.unwrap_or_default()), &more),
        _ => {
            let outcome = line.text("outcome").unwrap_or_else(|| "ended".to_owned());
            let code = line.i64("exit_code");
            if outcome == "success" && code.unwrap_or(0) == 0 {
                page.note(&format!("hook {name} succeeded"), &more);
            } else {
                let code = code.map(|code| format!(" (exit {code})")).unwrap_or_default();
                let output = output.map(|output| format!(": {output}")).unwrap_or_default();
                page.error(&format!("hook {name}"), &format!("{outcome}{code}{output}"), None);
            }
        }
    }
}

/// Comes before the call's result, which then says only that it failed.
fn permission_denied(line: &Obj<'_>, page: &mut Page<'_>) {
    let tool = line.text("tool_name").unwrap_or_default();
    let why = line
        .text("message")
        .or_else(|| line.text("decision_reason"))
        .unwrap_or_default();
    if let Some(call) = line.str("tool_use_id") {
        page.doom(&call, "denied");
    }
    let more = [
        ("tool", line.json("tool_name")),
        ("tool_call_id", line.json("tool_use_id")),
    ];
    page.note(&format!("permission denied: {tool}: {why}"), &more);
}
