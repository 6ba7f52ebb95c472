//! What the server asks: approvals, questions, and how they were answered.

use turnwire_proto::{ApprovalDecision, ApprovalRequest, Json};

use super::{CodexApp, OPEN};
use crate::{
    asks,
    scribe::{Page, object},
    view::Obj,
};

impl CodexApp {
    /// A request of the server's.
    pub(super) fn asks(&mut self, method: &str, id: &str, params: &Obj<'_>, page: &mut Page<'_>) {
        let thread = params.text("threadId");
        let of = params.text("turnId").or_else(|| thread.clone()).unwrap_or_default();
        let some = |keys: &[&'static str]| {
            let fields: Vec<_> = keys.iter().map(|key| (*key, params.json(key))).collect();
            Some(object(&fields))
        };
        let call = params.text("itemId");
        let (tool, arguments, state) = match method {
            "item/commandExecution/requestApproval" => {
                let keys = ["command", "cwd", "networkApprovalContext"];
                ("command_execution", some(&keys), "needs_approval")
            }
            "item/fileChange/requestApproval" => {
                let changes = self.changes.iter().find(|(item, _)| Some(item) == call.as_ref());
                let fields = [
                    ("changes", changes.map(|(_, changes)| changes.clone())),
                    ("grantRoot", params.json("grantRoot")),
                ];
                ("file_change", Some(object(&fields)), "needs_approval")
            }
            "item/permissions/requestApproval" => ("permissions", params.json("permissions"), "needs_approval"),
            "item/tool/requestUserInput" => ("request_user_input", params.json("questions"), "needs_answer"),
            "mcpServer/elicitation/request" => {
                let keys = ["serverName", "message", "url", "requestedSchema"];
                ("elicitation", some(&keys), "needs_answer")
            }
            // No question to a person: whoever drives it answers.
            "item/tool/call" | "account/chatgptAuthTokens/refresh" | "attestation/generate" => return,
            _ => return page.unknown(method, &[]),
        };
        let (true, Some(approval)) = (self.is_ours(thread, page), asks::codex(&of, id)) else {
            return;
        };
        page.ensure_turn();
        if self.asked.len() >= OPEN {
            self.asked.remove(0);
        }
        self.asked.push((id.to_owned(), approval.as_str().to_owned()));
        let question = params.objects("questions").into_iter().next();
        let title = params
            .text("reason")
            .or_else(|| question.and_then(|question| question.text("question")))
            .or_else(|| params.text("message"))
            .or_else(|| params.text("command"));
        let body = ApprovalRequest {
            approval_id: approval.as_str().to_owned(),
            tool: tool.to_owned(),
            tool_call_id: call,
            arguments,
            title,
            expires_at: None,
        };
        page.ask(&body, &[], state);
    }

    /// An answer that it was given.
    pub(super) fn is_answered(&mut self, id: &str, line: &Obj<'_>, page: &mut Page<'_>) {
        let result = line.obj("result").unwrap_or_default();
        let word = result.text("decision").or_else(|| result.text("action"));
        let decision = match word.as_deref() {
            Some("decline" | "cancel") => "denied",
            // Nothing granted.
            None if result
                .obj("permissions")
                .is_some_and(|granted| granted.entries().next().is_none()) =>
            {
                "denied"
            }
            None if result.get("permissions").is_none() && result.get("answers").is_none() => "withdrawn",
            _ => "approved",
        };
        self.over(id, decision, result.json("answers"), page);
        page.keep("answer");
    }

    /// The server waits for an answer no more. Where it was given one, that was told before.
    pub(super) fn is_resolved(&mut self, params: &Obj<'_>, page: &mut Page<'_>) {
        if let Some(id) = params.get("requestId") {
            self.over(id.get(), "withdrawn", None, page);
        }
    }

    fn over(&mut self, id: &str, decision: &str, arguments: Option<Json>, page: &mut Page<'_>) {
        let Some(at) = self.asked.iter().position(|(asked, _)| asked == id) else {
            return;
        };
        let (_, approval_id) = self.asked.remove(at);
        let body = ApprovalDecision {
            approval_id,
            decision: decision.to_owned(),
            arguments,
            ..ApprovalDecision::default()
        };
        if page.decide(&body) {
            page.works();
        }
    }
}
