//! The control protocol that shares the stream: questions that wait for a person, their answers, their withdrawal.

use turnwire_proto::{ApprovalDecision, ApprovalRequest, Json};

use crate::{scribe::Page, view::Obj};

pub(super) fn request(line: &Obj<'_>, page: &mut Page<'_>) {
    let request = line.obj("request").unwrap_or_default();
    let subtype = request.text("subtype").unwrap_or_default();
    let (Some(approval_id), "can_use_tool") = (line.text("request_id"), subtype.as_str()) else {
        return match subtype.as_str() {
            "" => page.unknown("control_request", &[]),
            other => page.keep(&format!("control_request/{other}")),
        };
    };
    let tool = request.text("tool_name").unwrap_or_else(|| "unknown".to_owned());
    let state = if tool == "AskUserQuestion" {
        "needs_answer"
    } else {
        "needs_approval"
    };
    let title = request.text("title").or_else(|| {
        let name = request.text("display_name").unwrap_or_else(|| tool.clone());
        Some(
            request
                .text("description")
                .map_or_else(|| name.clone(), |what| format!("{name}: {what}")),
        )
    });
    let body = ApprovalRequest {
        approval_id,
        tool,
        tool_call_id: request.text("tool_use_id"),
        arguments: request.json("input"),
        title,
        expires_at: None,
    };
    let more = [
        (
            "reason",
            request.text("decision_reason").map(|reason| Json::of(&reason)),
        ),
        ("suggestions", request.json("permission_suggestions")),
    ];
    page.ask(&body, &more, state);
}

pub(super) fn response(line: &Obj<'_>, page: &mut Page<'_>) {
    let response = line.obj("response").unwrap_or_default();
    let answer = response.obj("response").unwrap_or_default();
    let decision = match answer.str("behavior").as_deref() {
        Some("allow") => "approved",
        Some(_) => "denied",
        // An answer to something else, or a refusal to answer.
        None => "withdrawn",
    };
    let body = ApprovalDecision {
        approval_id: response.text("request_id").unwrap_or_default(),
        decision: decision.to_owned(),
        message: answer.text("message").or_else(|| response.text("error")),
        arguments: answer.json("updatedInput"),
        ..ApprovalDecision::default()
    };
    if page.decide(&body) {
        page.works();
    } else {
        page.keep("control_response");
    }
}

pub(super) fn cancel(line: &Obj<'_>, page: &mut Page<'_>) {
    let body = ApprovalDecision {
        approval_id: line.text("request_id").unwrap_or_default(),
        decision: "withdrawn".to_owned(),
        ..ApprovalDecision::default()
    };
    if page.decide(&body) {
        page.works();
    } else {
        page.keep("control_cancel_request");
    }
}
