//! Claude Code's log events.
//!
//! What is particular to it:
//! - `event.name` has no prefix; numbers and booleans come as strings in some events and as such in others.
//! - `prompt.id` is the turn's, `tool_use_id` the call's, `request_id` that of a request to the model.
//! - A turn's end is not told. Prompts and answers are `<REDACTED>` unless the agent is told to send them.
//! - What a subagent does has `agent_id`; which call started it is not told, so that id is the parent, as in hooks.
//! - `tool_decision` comes before the tool runs: an accepted one is its start, a rejected one its end, for it has no result.

use turnwire_proto::{
    AgentEnd, ErrorBody, Json, Kind, LlmRequest, Message, Name, Note, ToolCall, ToolCallStart, TurnStart, Usage,
};

use super::{attrs::Attrs, page::Page};

/// What stands for a text that the agent was not told to send.
const REDACTED: &str = "<REDACTED>";

/// Whether it is understood; what is, and has no event of its own, is left on the page.
pub(super) fn log(name: &str, attrs: &Attrs<'_>, page: &mut Page<'_>) -> bool {
    page.turn = attrs.text("prompt.id").and_then(|id| Name::lossy(&id));
    match name {
        "user_prompt" => prompt(attrs, page),
        "assistant_response" => answer(attrs, page),
        "api_request" => request(attrs, page),
        "api_error" | "api_refusal" | "api_retries_exhausted" => api_error(name, attrs, page),
        "internal_error" => {
            let body = ErrorBody {
                component: "agent".to_owned(),
                message: attrs.first(&["error_name", "error", "error_code"]).unwrap_or_default(),
                retry: None,
            };
            page.write(Kind::ERROR, &body, &[]);
        }
        "tool_decision" => decision(attrs, page),
        "tool_result" => result(attrs, page),
        "subagent_completed" => subagent(attrs, page),
        "compaction" => note(
            "the conversation was compacted",
            attrs,
            &["trigger", "pre_tokens", "post_tokens"],
            page,
        ),
        "permission_mode_changed" => {
            let mode = attrs.first(&["to_mode", "permission_mode", "mode"]).unwrap_or_default();
            note(&format!("permission mode: {mode}"), attrs, &["from_mode"], page);
        }
        "skill_activated" => {
            let skill = attrs.first(&["skill.name", "skill_name"]).unwrap_or_default();
            note(&format!("skill: {skill}"), attrs, &[], page);
        }
        // Understood, and nothing that anybody watches for.
        "api_request_body"
        | "api_response_body"
        | "auth"
        | "mcp_server_connection"
        | "plugin_installed"
        | "plugin_loaded"
        | "at_mention"
        | "hook_registered"
        | "hook_execution_start"
        | "hook_execution_complete"
        | "hook_plugin_metrics"
        | "feedback_survey"
        | "retention_sweep"
        | "managed_settings_resolved" => {}
        _ => return false,
    }
    true
}

fn told(attrs: &Attrs<'_>, key: &str) -> Option<String> {
    attrs.text(key).filter(|text| text != REDACTED)
}

fn prompt(attrs: &Attrs<'_>, page: &mut Page<'_>) {
    let body = told(attrs, "prompt").unwrap_or_default();
    let start = TurnStart {
        from: "user".to_owned(),
        body: body.clone(),
        unread: 0,
    };
    page.write(
        Kind::TURN_START,
        &start,
        &[("bytes", attrs.u64("prompt_length").map(|n| Json::of(&n)))],
    );
    if !body.is_empty() {
        let message = Message {
            role: "user".to_owned(),
            content: body,
            message_id: attrs.text("message.uuid"),
            ..Message::default()
        };
        page.write(Kind::MESSAGE, &message, &[]);
    }
}

fn answer(attrs: &Attrs<'_>, page: &mut Page<'_>) {
    let Some(content) = told(attrs, "response") else {
        return;
    };
    let body = Message {
        role: "assistant".to_owned(),
        content,
        message_id: attrs.text("message.uuid"),
        model: attrs.text("model"),
        parent_tool_call_id: attrs.text("agent_id"),
        whole_turn: None,
    };
    page.write(Kind::MESSAGE, &body, &[("request_id", attrs.json("request_id"))]);
}

fn request(attrs: &Attrs<'_>, page: &mut Page<'_>) {
    let body = LlmRequest {
        model: attrs.text("model"),
        model_provider: Some("anthropic".to_owned()),
        messages_count: None,
        duration_ms: attrs.u64("duration_ms"),
    };
    let more = [
        ("request_id", attrs.json("request_id")),
        ("ttft_ms", attrs.u64("ttft_ms").map(|n| Json::of(&n))),
        ("query_source", attrs.json("query_source")),
    ];
    page.write(Kind::LLM_REQUEST, &body, &more);
    let usage = Usage {
        input_tokens: attrs.u64("input_tokens"),
        output_tokens: attrs.u64("output_tokens"),
        cache_read_input_tokens: attrs.u64("cache_read_tokens"),
        cache_creation_input_tokens: attrs.u64("cache_creation_tokens"),
        model: attrs.text("model"),
        cost_usd: attrs.f64("cost_usd"),
        ..Usage::default()
    };
    page.write(Kind::USAGE, &usage, &more[..1]);
}

fn api_error(name: &str, attrs: &Attrs<'_>, page: &mut Page<'_>) {
    let message = attrs.first(&["error", "error_message", "message", "category"]);
    let body = ErrorBody {
        component: "api".to_owned(),
        message: message.unwrap_or_else(|| name.replace('_', " ")),
        retry: None,
    };
    let more = [
        ("status", attrs.json("status_code")),
        ("attempt", attrs.json("attempt")),
        ("model", attrs.json("model")),
        ("request_id", attrs.json("request_id")),
    ];
    page.write(Kind::ERROR, &body, &more);
}

fn decision(attrs: &Attrs<'_>, page: &mut Page<'_>) {
    let (Some(tool), Some(tool_call_id)) = (attrs.text("tool_name"), attrs.text("tool_use_id")) else {
        return;
    };
    let more = [("decision_source", attrs.json("source"))];
    if attrs.is("decision", "accept") {
        let body = ToolCallStart {
            tool,
            tool_call_id,
            arguments: None,
            parent_tool_call_id: attrs.text("agent_id"),
        };
        page.write(Kind::TOOL_CALL_START, &body, &more);
    } else {
        let body = ToolCall {
            tool,
            tool_call_id,
            success: false,
            error: Some("denied".to_owned()),
            parent_tool_call_id: attrs.text("agent_id"),
            ..ToolCall::default()
        };
        page.write(Kind::TOOL_CALL, &body, &more);
    }
}

fn result(attrs: &Attrs<'_>, page: &mut Page<'_>) {
    let (Some(tool), Some(tool_call_id)) = (attrs.text("tool_name"), attrs.text("tool_use_id")) else {
        return;
    };
    let success = attrs.bool("success").unwrap_or(false);
    let body = ToolCall {
        tool,
        tool_call_id,
        success,
        duration_ms: attrs.u64("duration_ms"),
        output: None,
        error: (!success).then(|| {
            attrs
                .first(&["error", "error_type"])
                .unwrap_or_else(|| "failed".to_owned())
        }),
        parent_tool_call_id: attrs.text("agent_id"),
    };
    let more = [
        ("arguments", attrs.inner("tool_input")),
        (
            "output_bytes",
            attrs.u64("tool_result_size_bytes").map(|n| Json::of(&n)),
        ),
        ("request_id", attrs.json("request_id")),
    ];
    page.write(Kind::TOOL_CALL, &body, &more);
}

fn subagent(attrs: &Attrs<'_>, page: &mut Page<'_>) {
    let body = AgentEnd {
        model: attrs.text("model"),
        duration_ms: attrs.u64("duration_ms"),
        ..AgentEnd::default()
    };
    let more = [
        ("agent", attrs.json("agent_type")),
        ("tool_calls", attrs.u64("total_tool_uses").map(|n| Json::of(&n))),
    ];
    page.write(Kind::AGENT_END, &body, &more);
}

fn note(text: &str, attrs: &Attrs<'_>, more: &[&'static str], page: &mut Page<'_>) {
    let more: Vec<_> = more.iter().map(|key| (*key, attrs.json(key))).collect();
    page.write(Kind::NOTE, &Note { text: text.to_owned() }, &more);
}
