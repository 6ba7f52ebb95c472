//! Tool calls: before, after, refused, and asked about.

use serde_json::value::RawValue;
use turnwire_proto::{ApprovalRequest, EventId, Json, Kind, Name, ToolCall, ToolCallStart};

use super::Call;
use crate::{
    claude::failure,
    fit,
    hooks::{Asks, How, Sheet},
    scribe::with,
    view::{Obj, string},
};

impl Call<'_> {
    fn tool(&self) -> String {
        self.hook.text("tool_name").unwrap_or_else(|| "unknown".to_owned())
    }

    pub(super) fn tool_start(&self, sheet: &mut Sheet<'_>) -> bool {
        let Some(id) = self.hook.text("tool_use_id") else {
            return false;
        };
        let body = ToolCallStart {
            tool: self.tool(),
            tool_call_id: id.clone(),
            arguments: self.hook.json("tool_input"),
            parent_tool_call_id: self.inside.clone(),
        };
        sheet.tell(Kind::TOOL_CALL_START, Some(&[&id]), &body);
        if sheet.delivery.gate {
            let question = sheet.keyed(&Kind::APPROVAL_REQUEST, &[&id]);
            self.ask(question, How::Gate, Some(id), sheet);
        }
        true
    }

    pub(super) fn tool_end(&self, sheet: &mut Sheet<'_>) -> bool {
        let Some(id) = self.hook.text("tool_use_id") else {
            return false;
        };
        let response = self.hook.obj("tool_response").unwrap_or_default();
        let interrupted = response.yes("interrupted");
        let body = ToolCall {
            success: !interrupted,
            output: self.hook.json("tool_response"),
            error: interrupted.then(|| "interrupted".to_owned()),
            ..self.ended(id)
        };
        end(&body, sheet);
        true
    }

    pub(super) fn tool_failure(&self, sheet: &mut Sheet<'_>) -> bool {
        let Some(id) = self.hook.text("tool_use_id") else {
            return false;
        };
        let error = self.text("error");
        let word = if self.hook.yes("is_interrupt") {
            "interrupted".to_owned()
        } else {
            failure(&error)
        };
        let body = ToolCall {
            output: Some(Json::of(&error)),
            error: Some(word),
            ..self.ended(id)
        };
        end(&body, sheet);
        true
    }

    pub(super) fn tool_refused(&self, sheet: &mut Sheet<'_>) -> bool {
        let Some(id) = self.hook.text("tool_use_id") else {
            return false;
        };
        let body = ToolCall {
            output: self.hook.json("reason"),
            error: Some("denied".to_owned()),
            ..self.ended(id)
        };
        end(&body, sheet);
        true
    }

    fn ended(&self, id: String) -> ToolCall {
        ToolCall {
            tool: self.tool(),
            tool_call_id: id,
            duration_ms: self.hook.u64("duration_ms"),
            parent_tool_call_id: self.inside.clone(),
            ..ToolCall::default()
        }
    }

    /// The results of calls that were made together. Those that ended by a hook of their own have been told, under the same
    /// ids; what is left was refused.
    pub(super) fn tools_ended(&self, sheet: &mut Sheet<'_>) {
        sheet.keep("PostToolBatch");
        for item in self.hook.objects("tool_calls") {
            let Some(id) = item.text("tool_use_id") else { continue };
            let error = item.get("tool_response").and_then(refusal);
            let body = ToolCall {
                tool: item.text("tool_name").unwrap_or_else(|| "unknown".to_owned()),
                tool_call_id: id,
                success: error.is_none(),
                output: item.json("tool_response"),
                error,
                parent_tool_call_id: self.inside.clone(),
                ..ToolCall::default()
            };
            end(&body, sheet);
        }
    }

    /// The tool waits for a person. Which call it is is not told, so each time is another question.
    pub(super) fn asks(&self, sheet: &mut Sheet<'_>) -> bool {
        let question = sheet.unkeyed();
        self.ask(question, How::Permission, None, sheet);
        true
    }

    fn ask(&self, question: EventId, how: How, tool_call_id: Option<String>, sheet: &mut Sheet<'_>) {
        let Ok(approval_id) = Name::new(&question.to_string()) else {
            return;
        };
        let input = self.hook.obj("tool_input").unwrap_or_default();
        let title = input.text("description");
        let body = ApprovalRequest {
            approval_id: approval_id.to_string(),
            tool: self.tool(),
            tool_call_id,
            arguments: self.hook.json("tool_input"),
            title: title.map(|title| fit::head(&title, TITLE).to_owned()),
            expires_at: sheet.delivery.until.map(|until| until.to_string()),
        };
        let more = [
            ("permission_suggestions", self.hook.json("permission_suggestions")),
            ("agent_id", self.hook.json("agent_id")),
        ];
        sheet.write_as(question, Kind::APPROVAL_REQUEST, with(&body, &more));
        sheet.told.asks = Some(Asks { approval_id, how });
    }
}

/// Bytes of a title: a line of it is shown.
const TITLE: usize = 256;

fn end(body: &ToolCall, sheet: &mut Sheet<'_>) {
    let key = body.tool_call_id.clone();
    sheet.tell(Kind::TOOL_CALL, Some(&[&key]), body);
}

/// Why a call failed, by the text that the model is given. The text of one that was refused names no hook's failure.
fn refusal(response: &RawValue) -> Option<String> {
    let text = match string(response) {
        Some(text) => text.into_owned(),
        None => Obj::parse(response.get())?.text("content")?,
    };
    let refused = [
        "Claude requested permission",
        "Permission to use",
        "The user doesn't want",
    ];
    if refused.iter().any(|start| text.starts_with(start)) {
        return Some("denied".to_owned());
    }
    let failed = ["Exit code ", "Error", "<tool_use_error>", "[Request interrupted"];
    failed
        .iter()
        .any(|start| text.starts_with(start))
        .then(|| failure(&text))
}
