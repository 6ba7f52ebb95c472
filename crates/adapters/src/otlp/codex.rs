//! Codex's log events.
//!
//! What is particular to it:
//! - `timeUnixNano` is 0, the body is empty, and `eventName` is a place in its source: the attribute `event.name` counts.
//! - Turns have no id here, so a prompt is a message; an answer's text is never told.
//! - A command that failed is a `success`: how it ended is in its output's text.
//! - Tokens are told by the second `response.completed`; those sent include those from a cache. The other events of a stream say
//!   that something came, and no more.

use turnwire_proto::{ErrorBody, Json, Kind, LlmRequest, Message, SessionStart, ToolCall, ToolCallStart, Usage};

use super::{attrs::Attrs, page::Page};
use crate::codex_rollout::exit_code;

/// Whether it is understood; what is, and has no event of its own, is left on the page.
pub(super) fn log(name: &str, attrs: &Attrs<'_>, page: &mut Page<'_>) -> bool {
    match name {
        "conversation_starts" => start(attrs, page),
        "user_prompt" => prompt(attrs, page),
        "api_request" | "websocket_request" => request(attrs, page),
        "sse_event" | "websocket_event" => streamed(attrs, page),
        "tool_decision" => decision(attrs, page),
        "tool_result" => result(attrs, page),
        // Understood, and nothing that anybody watches for.
        "startup_phase" | "turn_ttft" | "websocket_connect" => {}
        // A line that it logs.
        _ => return name.starts_with("event "),
    }
    true
}

fn start(attrs: &Attrs<'_>, page: &mut Page<'_>) {
    let body = SessionStart {
        model: attrs.text("model"),
        version: attrs.text("app.version"),
        permission_mode: attrs.text("approval_policy"),
        vendor_session_id: attrs.text("conversation.id"),
        ..SessionStart::default()
    };
    let more = [
        ("sandbox", attrs.json("sandbox_policy")),
        ("model_provider", attrs.json("provider_name")),
    ];
    page.write(Kind::SESSION_START, &body, &more);
}

fn prompt(attrs: &Attrs<'_>, page: &mut Page<'_>) {
    let Some(content) = attrs.text("prompt").filter(|text| text != "[REDACTED]") else {
        return;
    };
    let body = Message {
        role: "user".to_owned(),
        content,
        ..Message::default()
    };
    page.write(Kind::MESSAGE, &body, &[]);
}

fn request(attrs: &Attrs<'_>, page: &mut Page<'_>) {
    let status = attrs.u64("http.response.status_code");
    let error = attrs.first(&["error.message", "error"]);
    let more = [
        ("status", status.map(|status| Json::of(&status))),
        ("attempt", attrs.u64("attempt").map(|n| Json::of(&n))),
    ];
    if error.is_some() || status.is_some_and(|status| status >= 400) {
        let body = ErrorBody {
            component: "api".to_owned(),
            message: error.unwrap_or_else(|| format!("status {}", status.unwrap_or(0))),
            retry: None,
        };
        page.write(Kind::ERROR, &body, &more);
        return;
    }
    let body = LlmRequest {
        model: attrs.text("model"),
        model_provider: attrs.text("provider_name"),
        messages_count: None,
        duration_ms: attrs.u64("duration_ms"),
    };
    page.write(Kind::LLM_REQUEST, &body, &more);
}

fn streamed(attrs: &Attrs<'_>, page: &mut Page<'_>) {
    if let Some(message) = attrs.first(&["error.message", "error"]) {
        let body = ErrorBody {
            component: "api".to_owned(),
            message,
            retry: None,
        };
        page.write(Kind::ERROR, &body, &[]);
        return;
    }
    let (Some(input), true) = (
        attrs.u64("input_token_count"),
        attrs.is("event.kind", "response.completed"),
    ) else {
        return;
    };
    let cached = attrs.u64("cached_token_count");
    let body = Usage {
        input_tokens: Some(input.saturating_sub(cached.unwrap_or(0))),
        output_tokens: attrs.u64("output_token_count"),
        cache_read_input_tokens: cached,
        cache_creation_input_tokens: attrs.u64("cache_write_token_count"),
        reasoning_tokens: attrs.u64("reasoning_token_count"),
        model: attrs.text("model"),
        ..Usage::default()
    };
    page.write(Kind::USAGE, &body, &[]);
}

fn decision(attrs: &Attrs<'_>, page: &mut Page<'_>) {
    let (Some(tool), Some(tool_call_id)) = (attrs.text("tool_name"), attrs.text("call_id")) else {
        return;
    };
    let more = [("decision_source", attrs.json("source"))];
    let decision = attrs.text("decision").unwrap_or_default();
    if decision.starts_with("approved") {
        let body = ToolCallStart {
            tool,
            tool_call_id,
            arguments: None,
            parent_tool_call_id: None,
        };
        page.write(Kind::TOOL_CALL_START, &body, &more);
    } else {
        let body = ToolCall {
            tool,
            tool_call_id,
            success: false,
            error: Some(decision).filter(|decision| !decision.is_empty()),
            ..ToolCall::default()
        };
        page.write(Kind::TOOL_CALL, &body, &more);
    }
}

fn result(attrs: &Attrs<'_>, page: &mut Page<'_>) {
    let (Some(tool), Some(tool_call_id)) = (attrs.text("tool_name"), attrs.text("call_id")) else {
        return;
    };
    let code = attrs.text("output").and_then(|output| exit_code(&output)).unwrap_or(0);
    let success = code == 0 && attrs.bool("success").unwrap_or(false);
    let body = ToolCall {
        tool,
        tool_call_id,
        success,
        duration_ms: attrs.u64("duration_ms"),
        output: attrs.json("output"),
        error: (!success).then(|| match code {
            0 => "failed".to_owned(),
            code => format!("exit {code}"),
        }),
        parent_tool_call_id: None,
    };
    let more = [
        ("arguments", attrs.inner("arguments")),
        ("mcp_server", attrs.text("mcp_server").map(|server| Json::of(&server))),
    ];
    page.write(Kind::TOOL_CALL, &body, &more);
}
