//! Gemini CLI's log events.
//!
//! What is particular to it:
//! - The session is an attribute of the resource. A turn's end is not told. `prompt_id` is no turn's: it is the session's id in a run without a
//!   terminal, counts from nothing again when a session is resumed, and is another one for what a subagent does.
//! - A tool call is told when it has ended, and without the model's id of it: its arguments say which one it is.
//! - An answer's text is in `response_text`, as the pieces of JSON that came. Tokens sent include those from a cache.
//! - Each request is told once more as an event of the GenAI conventions, which counts nothing.

use turnwire_proto::{
    AgentEnd, AgentStart, ErrorBody, Json, Kind, LlmRequest, Message, Note, SessionStart, ToolCall, TurnStart, Usage,
};

use super::{attrs::Attrs, page::Page};
use crate::{
    gemini::exit_word,
    view::{self, Obj},
};

/// Whether it is understood; what is, and has no event of its own, is left on the page.
pub(super) fn log(name: &str, attrs: &Attrs<'_>, page: &mut Page<'_>) -> bool {
    match name {
        "config" => start(attrs, page),
        "user_prompt" => prompt(attrs, page),
        "api_response" => response(attrs, page),
        "api_error" => api_error(attrs, page),
        "tool_call" => call(attrs, page),
        "agent.start" => page.write(Kind::AGENT_START, &AgentStart::default(), &agent(attrs)),
        "agent.finish" => {
            let body = AgentEnd {
                duration_ms: attrs.u64("duration_ms"),
                ..AgentEnd::default()
            };
            page.write(Kind::AGENT_END, &body, &agent(attrs));
        }
        "chat_compression" => {
            let text = "the conversation was compacted".to_owned();
            let more = [
                ("tokens_before", attrs.json("tokens_before")),
                ("tokens_after", attrs.json("tokens_after")),
            ];
            page.write(Kind::NOTE, &Note { text }, &more);
        }
        "malformed_json_response" | "invalid_chunk" | "chat.invalid_chunk" | "chat.content_retry_failure" => {
            let body = ErrorBody {
                component: "api".to_owned(),
                message: attrs
                    .first(&["error.message", "error"])
                    .unwrap_or_else(|| name.replace(['_', '.'], " ")),
                retry: None,
            };
            page.write(Kind::ERROR, &body, &[]);
        }
        // Understood, and nothing that anybody watches for.
        "api_request"
        | "startup_stats"
        | "model_routing"
        | "file_operation"
        | "ripgrep_fallback"
        | "flash_fallback"
        | "next_speaker_check"
        | "conversation_finished"
        | "slash_command"
        | "ide_connection"
        | "tool_output_truncated"
        | "plan.approval_mode_duration"
        | "plan.approval_mode_switch"
        | "extension_enable"
        | "extension_install"
        | "extension_uninstall"
        | "extension_update"
        | "chat.content_retry"
        | "network_retry_attempt"
        | "hook_call"
        | "gen_ai.client.inference.operation.details" => {}
        _ => return false,
    }
    true
}

fn start(attrs: &Attrs<'_>, page: &mut Page<'_>) {
    let body = SessionStart {
        model: attrs.text("model"),
        permission_mode: attrs.text("approval_mode"),
        vendor_session_id: attrs.text("session.id"),
        ..SessionStart::default()
    };
    page.write(Kind::SESSION_START, &body, &[]);
}

fn prompt(attrs: &Attrs<'_>, page: &mut Page<'_>) {
    let body = attrs.text("prompt").unwrap_or_default();
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
            ..Message::default()
        };
        page.write(Kind::MESSAGE, &message, &[]);
    }
}

/// What the model said, of the pieces that came, and their id.
fn said(pieces: &str) -> (String, Option<String>) {
    let (mut text, mut id) = (String::new(), None);
    let whole = format!("{{\"pieces\":{pieces}}}");
    for piece in Obj::parse(&whole).unwrap_or_default().objects("pieces") {
        id = piece.text("responseId").or(id);
        let first = piece.objects("candidates").into_iter().next();
        let content = first.and_then(|candidate| candidate.obj("content")).unwrap_or_default();
        for part in content.objects("parts") {
            if !part.yes("thought") {
                text.push_str(&part.get("text").and_then(view::string).unwrap_or_default());
            }
        }
    }
    (text, id)
}

fn response(attrs: &Attrs<'_>, page: &mut Page<'_>) {
    let (content, request) = said(&attrs.text("response_text").unwrap_or_default());
    let model = attrs.text("model");
    let more = [("request_id", request.as_ref().map(Json::of))];
    let body = LlmRequest {
        model: model.clone(),
        model_provider: None,
        messages_count: None,
        duration_ms: attrs.u64("duration_ms"),
    };
    page.write(Kind::LLM_REQUEST, &body, &more);
    let cached = attrs.u64("cached_content_token_count");
    let input = attrs.u64("input_token_count");
    let usage = Usage {
        input_tokens: input.map(|input| input.saturating_sub(cached.unwrap_or(0))),
        output_tokens: attrs.u64("output_token_count"),
        cache_read_input_tokens: cached,
        reasoning_tokens: attrs.u64("thoughts_token_count"),
        model: model.clone(),
        ..Usage::default()
    };
    page.write(Kind::USAGE, &usage, &more);
    if !content.is_empty() {
        let body = Message {
            role: "assistant".to_owned(),
            content,
            message_id: request,
            model,
            parent_tool_call_id: None,
            whole_turn: None,
        };
        page.write(Kind::MESSAGE, &body, &[]);
    }
}

fn api_error(attrs: &Attrs<'_>, page: &mut Page<'_>) {
    let body = ErrorBody {
        component: "api".to_owned(),
        message: attrs
            .first(&["error", "error.message", "error_type", "error.type"])
            .unwrap_or_else(|| "the request failed".to_owned()),
        retry: None,
    };
    let more = [("status", attrs.json("status_code")), ("model", attrs.json("model"))];
    page.write(Kind::ERROR, &body, &more);
}

fn call(attrs: &Attrs<'_>, page: &mut Page<'_>) {
    let Some(tool) = attrs.text("function_name") else {
        return;
    };
    // A shell command that failed is a success here, too.
    let metadata = attrs.inner("metadata");
    let code = metadata.and_then(|json| Obj::parse(json.get())?.u64("exitCode"));
    let code = code.and_then(|code| exit_word(&code.to_string()));
    let success = attrs.bool("success").unwrap_or(false) && code.is_none();
    let denied = attrs.is("decision", "reject").then(|| "denied".to_owned());
    let body = ToolCall {
        tool,
        tool_call_id: attrs.text("call_id").unwrap_or_default(),
        success,
        duration_ms: attrs.u64("duration_ms"),
        output: None,
        error: (!success).then(|| {
            denied
                .or(code)
                .or_else(|| attrs.first(&["error", "error.message", "error_type"]))
                .unwrap_or_else(|| "failed".to_owned())
        }),
        parent_tool_call_id: None,
    };
    let more = [
        ("arguments", attrs.inner("function_args")),
        ("output_bytes", attrs.u64("content_length").map(|n| Json::of(&n))),
        ("mcp_server", attrs.json("mcp_server_name")),
    ];
    page.write(Kind::TOOL_CALL, &body, &more);
}

fn agent(attrs: &Attrs<'_>) -> [(&'static str, Option<Json>); 2] {
    [("agent", attrs.json("agent_name")), ("task_id", attrs.json("agent_id"))]
}
