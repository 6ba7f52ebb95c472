//! Tool calls: before, after, refused, and asked about.

use serde_json::value::RawValue;
use turnwire_proto::{EventId, Json, Kind, ToolCall, ToolCallStart};

use super::Call;
use crate::{
    claude::failure,
    hooks::{How, Sheet, answer::DENIED},
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
            self.ask(question, self.dialect.gate, Some(id), sheet);
        }
        true
    }

    pub(super) fn tool_end(&self, sheet: &mut Sheet<'_>) -> bool {
        let Some(id) = self.hook.text("tool_use_id") else {
            return false;
        };
        let error = (self.dialect.failed)(self.hook);
        let body = ToolCall {
            success: error.is_none(),
            output: self.hook.json("tool_response"),
            error,
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

    /// The results of calls that were made together, as the model is given them: the only word of those that were refused.
    pub(super) fn tools_ended(&self, sheet: &mut Sheet<'_>) {
        sheet.keep("PostToolBatch");
        for item in self.hook.objects("tool_calls") {
            let Some(id) = item.text("tool_use_id") else { continue };
            if !item.get("tool_response").is_some_and(is_refusal) {
                continue;
            }
            let body = ToolCall {
                tool: item.text("tool_name").unwrap_or_else(|| "unknown".to_owned()),
                tool_call_id: id,
                output: item.json("tool_response"),
                error: Some("denied".to_owned()),
                parent_tool_call_id: self.inside.clone(),
                ..ToolCall::default()
            };
            end(&body, sheet);
        }
    }

    /// The tool waits for a person. Which call it is is not told, so each time is another question.
    pub(super) fn asks(&self, sheet: &mut Sheet<'_>) -> bool {
        let question = sheet.unkeyed();
        self.ask(question, self.dialect.permission, None, sheet);
        true
    }

    fn ask(&self, question: EventId, how: How, tool_call_id: Option<String>, sheet: &mut Sheet<'_>) {
        let more = [
            ("permission_suggestions", self.hook.json("permission_suggestions")),
            ("agent_id", self.hook.json("agent_id")),
        ];
        sheet.ask(question, how, (self.tool(), tool_call_id), self.hook, &more);
    }
}

fn end(body: &ToolCall, sheet: &mut Sheet<'_>) {
    let key = body.tool_call_id.clone();
    sheet.tell(Kind::TOOL_CALL, Some(&[&key]), body);
}

/// Whether a call was refused, by the text that the model is given: the vendor's own words, or ours.
fn is_refusal(response: &RawValue) -> bool {
    let text = match string(response) {
        Some(text) => text.into_owned(),
        None => Obj::parse(response.get())
            .and_then(|response| response.text("content"))
            .unwrap_or_default(),
    };
    let starts = [
        "Claude requested permission",
        "Permission to use",
        "The user doesn't want",
        DENIED,
    ];
    starts.iter().any(|start| text.starts_with(start)) || text.contains(&format!(" hook error: {DENIED}"))
}
