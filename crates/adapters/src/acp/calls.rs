//! Calls of tools, and permission for them.

use turnwire_proto::{ApprovalDecision, ApprovalRequest, Json, Kind, ToolCallStart, ToolProgress};

use super::Acp;
use crate::{
    asks,
    scribe::{Ended, Page, object},
    view::Obj,
};

/// Requests that are open. More than a turn has.
const OPEN: usize = 64;

/// A request for permission.
#[derive(Debug)]
pub(super) struct Asked {
    /// The agent's id of the request, and ours of the approval.
    id: String,
    approval: String,
    call: String,
    /// Each option's id and kind.
    options: Vec<(String, String)>,
}

impl Acp {
    /// A call as it begins, goes on or ends.
    pub(super) fn call(&mut self, update: &Obj<'_>, page: &mut Page<'_>) {
        let Some(id) = update.text("toolCallId") else {
            return page.unknown("tool_call", &[]);
        };
        page.ensure_turn();
        begin(&id, update, page);
        let status = update.text("status").unwrap_or_default();
        let output = output(update);
        if matches!(status.as_str(), "completed" | "failed") {
            let failed = status == "failed";
            let ended = Ended {
                success: !failed,
                output: update
                    .json("rawOutput")
                    .or_else(|| output.map(|output| Json::of(&output))),
                error: failed.then(|| "failed".to_owned()),
                ..Ended::default()
            };
            page.end_call(&id, ended);
        } else if update.is("sessionUpdate", "tool_call_update") && output.is_some() {
            let body = ToolProgress {
                tool_call_id: id,
                content: output,
                ..ToolProgress::default()
            };
            page.tell(Kind::TOOL_PROGRESS, &body);
        }
    }

    /// The agent asks for permission.
    pub(super) fn asks(&mut self, id: &str, params: &Obj<'_>, page: &mut Page<'_>) {
        let session = params.text("sessionId").unwrap_or_default();
        let call = params.obj("toolCall").unwrap_or_default();
        let call_id = call.text("toolCallId").unwrap_or_default();
        let Some(approval) = asks::acp(&session, &call_id, id) else {
            return page.unknown("session/request_permission", &[]);
        };
        page.ensure_turn();
        begin(&call_id, &call, page);
        if self.asked.len() >= OPEN {
            self.asked.remove(0);
        }
        let options = params.objects("options");
        let option = |option: &Obj<'_>| Some((option.text("optionId")?, option.text("kind")?));
        self.asked.push(Asked {
            id: id.to_owned(),
            approval: approval.as_str().to_owned(),
            call: call_id.clone(),
            options: options.iter().filter_map(option).collect(),
        });
        let body = ApprovalRequest {
            approval_id: approval.as_str().to_owned(),
            tool: asks::acp_tool(&call_id, call.text("kind").as_deref()),
            tool_call_id: Some(call_id).filter(|call| !call.is_empty()),
            arguments: arguments(&call),
            title: call.text("title"),
            expires_at: None,
        };
        page.ask(&body, &[("options", params.json("options"))], "needs_approval");
    }

    /// The client's answer.
    pub(super) fn is_answered(&mut self, id: &str, line: &Obj<'_>, page: &mut Page<'_>) {
        let Some(at) = self.asked.iter().position(|asked| asked.id == id) else {
            return;
        };
        let asked = self.asked.remove(at);
        let outcome = line
            .obj("result")
            .and_then(|result| result.obj("outcome"))
            .unwrap_or_default();
        let chosen = outcome.text("optionId").unwrap_or_default();
        let kind = asked
            .options
            .iter()
            .find(|(option, _)| *option == chosen)
            .map(|(_, kind)| kind.as_str());
        let decision = match kind {
            Some(kind) if kind.starts_with("allow") => "approved",
            Some(_) => "denied",
            None => "withdrawn",
        };
        let body = ApprovalDecision {
            approval_id: asked.approval,
            decision: decision.to_owned(),
            always: (kind == Some("allow_always")).then_some(true),
            ..ApprovalDecision::default()
        };
        if page.decide(&body) {
            page.works();
        }
        if decision == "denied" {
            // Its end may never be told.
            let ended = Ended {
                error: Some("denied".to_owned()),
                ..Ended::default()
            };
            page.end_call(&asked.call, ended);
        }
    }
}

/// Begins a call that has not begun.
fn begin(id: &str, call: &Obj<'_>, page: &mut Page<'_>) {
    let body = ToolCallStart {
        tool: asks::acp_tool(id, call.text("kind").as_deref()),
        tool_call_id: id.to_owned(),
        arguments: arguments(call),
        parent_tool_call_id: None,
    };
    page.start_call(&body);
}

/// What the tool is called with: raw where the agent tells it, else what it shows.
fn arguments(call: &Obj<'_>) -> Option<Json> {
    let shown = || {
        let differences = call
            .objects("content")
            .into_iter()
            .find(|content| content.is("type", "diff"));
        let fields = [
            ("title", call.json("title")),
            ("path", differences.as_ref().and_then(|diff| diff.json("path"))),
            ("old_text", differences.as_ref().and_then(|diff| diff.json("oldText"))),
            ("new_text", differences.as_ref().and_then(|diff| diff.json("newText"))),
        ];
        fields.iter().any(|(_, field)| field.is_some()).then(|| object(&fields))
    };
    call.json("rawInput").or_else(shown)
}

/// The text that a call has put out.
fn output(call: &Obj<'_>) -> Option<String> {
    let text = |content: &Obj<'_>| content.obj("content")?.text("text");
    let texts: Vec<String> = call.objects("content").iter().filter_map(text).collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}
