//! Gemini CLI's hooks.
//!
//! What is particular to it:
//! - Neither turns nor calls have an id. Each call of a hook has its time, to the millisecond, and by it is known again. A call's end says
//!   with what the tool was called, so it is found by tool and arguments.
//! - `AfterAgent` has all that was said in the turn as one text: a `message` that says so (`whole_turn`), for where no other source tells more.
//! - A shell command that failed says so in its output alone.
//! - `PreCompress` comes before every request, whether or not anything is made shorter; `BeforeModel`, `AfterModel` (of every piece) and
//!   `BeforeToolSelection` have the whole conversation in them, and tell nothing that the others do not.
//! - A call that was denied has no hook of its own.

use turnwire_proto::{
    Json, Kind, Message, SessionEnd, SessionStart, ToolCall, ToolCallStart, TurnEnd, TurnStart, TurnState,
};

use super::{Delivery, How, Sheet, Told, parse};
use crate::{gemini::exit, scribe::with, view::Obj};

const SOURCE: &str = "gemini-hooks";

/// Reads one payload. Cannot fail.
#[must_use]
pub fn gemini(payload: &[u8], delivery: &Delivery) -> Told {
    let text = String::from_utf8_lossy(payload);
    let (text, hook) = match parse(&text, SOURCE, delivery) {
        Ok(parsed) => parsed,
        Err(told) => return told,
    };
    // Its own clock says when it happened, however late it comes.
    let delivery = Delivery {
        at: hook.time("timestamp").unwrap_or(delivery.at),
        ..delivery.clone()
    };
    let session = hook.text("session_id");
    let mut sheet = Sheet::new(SOURCE, text, session.as_deref(), None, &delivery);
    let name = hook.text("hook_event_name").unwrap_or_default();
    let call = Call {
        at: hook.text("timestamp").unwrap_or_default(),
        hook: &hook,
    };
    let known = call.read(&name, &mut sheet);
    sheet.done(&name, known)
}

/// One call of a hook.
struct Call<'a> {
    hook: &'a Obj<'a>,
    /// When, as it says it.
    at: String,
}

impl Call<'_> {
    /// Whether it is understood.
    fn read(&self, name: &str, sheet: &mut Sheet<'_>) -> bool {
        match name {
            "SessionStart" => self.session_start(sheet, self.hook.is("source", "startup")),
            "BeforeAgent" => self.prompt(sheet),
            "AfterAgent" => self.answered(sheet),
            "BeforeTool" => self.tool_start(sheet),
            "AfterTool" => self.tool_end(sheet),
            "Notification" => self.notification(sheet),
            "SessionEnd" => {
                let body = SessionEnd {
                    reason: self.hook.text("reason"),
                    ..SessionEnd::default()
                };
                sheet.tell(Kind::SESSION_END, Some(&[&self.at]), &body);
            }
            "PreCompress" | "BeforeModel" | "AfterModel" | "BeforeToolSelection" => {}
            _ => return false,
        }
        true
    }

    fn text(&self, key: &str) -> String {
        self.hook.text(key).unwrap_or_default()
    }

    fn session_start(&self, sheet: &mut Sheet<'_>, first: bool) {
        let body = SessionStart {
            cwd: self.hook.text("cwd"),
            vendor_session_id: self.hook.text("session_id"),
            ..SessionStart::default()
        };
        let more = [
            ("start", self.hook.json("source")),
            ("transcript_path", self.hook.json("transcript_path")),
        ];
        let key = if first { "first" } else { &self.at };
        sheet.write(Kind::SESSION_START, Some(&[key]), with(&body, &more));
    }

    fn prompt(&self, sheet: &mut Sheet<'_>) {
        let body = self.text("prompt");
        sheet.aside(|sheet| self.session_start(sheet, true));
        let start = TurnStart {
            from: "user".to_owned(),
            body: body.clone(),
            unread: 0,
        };
        sheet.tell(Kind::TURN_START, Some(&[&self.at]), &start);
        self.said("user", body, sheet);
    }

    fn said(&self, role: &str, content: String, sheet: &mut Sheet<'_>) {
        if !content.is_empty() {
            let body = Message {
                role: role.to_owned(),
                content,
                whole_turn: (role == "assistant").then_some(true),
                ..Message::default()
            };
            sheet.tell(Kind::MESSAGE, Some(&[&self.at, role]), &body);
        }
    }

    fn answered(&self, sheet: &mut Sheet<'_>) {
        sheet.aside(|sheet| self.said("assistant", self.text("prompt_response"), sheet));
        let body = TurnEnd {
            ok: true,
            ..TurnEnd::default()
        };
        sheet.tell(Kind::TURN_END, Some(&[&self.at]), &body);
    }

    fn tool(&self) -> String {
        self.hook.text("tool_name").unwrap_or_else(|| "unknown".to_owned())
    }

    fn tool_start(&self, sheet: &mut Sheet<'_>) {
        let body = ToolCallStart {
            tool: self.tool(),
            arguments: self.hook.json("tool_input"),
            ..ToolCallStart::default()
        };
        sheet.tell(Kind::TOOL_CALL_START, Some(&[&self.at, &body.tool]), &body);
        if sheet.delivery.gate {
            let question = if self.at.is_empty() {
                sheet.unkeyed()
            } else {
                sheet.keyed(&Kind::APPROVAL_REQUEST, &[&self.at, &body.tool])
            };
            sheet.ask(question, How::GeminiGate, (body.tool, None), self.hook, &[]);
        }
    }

    fn tool_end(&self, sheet: &mut Sheet<'_>) {
        let response = self.hook.obj("tool_response").unwrap_or_default();
        let error = match response.get("error") {
            Some(_) => {
                let kind = response.obj("error").and_then(|error| error.text("type"));
                Some(kind.unwrap_or_else(|| "error".to_owned()))
            }
            None => response.str("llmContent").and_then(|text| exit(&text)),
        };
        // What is shown of it, as its other sources tell it; else what the model is told.
        let shown = response.json("returnDisplay").filter(|shown| shown.get() != "\"\"");
        let output = shown.or_else(|| response.json("llmContent"));
        let body = ToolCall {
            tool: self.tool(),
            success: error.is_none(),
            output: output.or_else(|| self.hook.json("tool_response")),
            error,
            ..ToolCall::default()
        };
        let arguments: Option<Json> = self.hook.json("tool_input");
        let key = [self.at.as_str(), &body.tool];
        sheet.write(Kind::TOOL_CALL, Some(&key), with(&body, &[("arguments", arguments)]));
    }

    fn notification(&self, sheet: &mut Sheet<'_>) {
        let asks = self.hook.is("notification_type", "ToolPermission");
        let body = TurnState {
            state: if asks { "needs_approval" } else { "thinking" }.to_owned(),
            since: None,
            note: self.hook.text("message"),
        };
        if asks {
            sheet.tell(Kind::TURN_STATE_CHANGED, Some(&[&self.at]), &body);
        } else {
            let text = self.text("message");
            sheet.tell(Kind::NOTE, Some(&[&self.at]), &turnwire_proto::Note { text });
        }
    }
}
