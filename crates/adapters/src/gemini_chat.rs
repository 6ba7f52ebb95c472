//! Gemini CLI's chats: `~/.gemini/tmp/<project>/chats/session-*.jsonl`.
//!
//! What is particular to them:
//! - The first line has the session's id. `$set` lines change what is said of it, and its context; they have no event of their own.
//! - A message is written again as a whole, under its id, when its calls have ended: text, tokens and calls are told once.
//! - A call is told only with its end; a shell command that failed says `success`, as everywhere with this vendor: what the model is told of it
//!   has the exit code.
//! - Nothing says that a turn has ended, and a message stands alone for as long as its tools work: a turn ends with the next
//!   prompt, or with the file.

use std::collections::VecDeque;

use turnwire_proto::{Kind, Message, SessionStart, TextDelta, ToolCallStart, TurnEnd, Usage};

use crate::{
    Adapter, Context,
    gemini::exit,
    reader::{Reader, Vendor},
    scribe::{Ended, Page},
    view::Obj,
};

/// Messages that are remembered, so that what is written again is told once.
const MESSAGES: usize = 64;

pub(crate) fn make(context: Context) -> Box<dyn Adapter> {
    Box::new(Reader::new(Chat::default(), context))
}

/// What must be remembered from line to line.
#[derive(Debug, Default)]
struct Chat {
    /// Messages of which the text and the tokens have been told.
    said: VecDeque<String>,
    counted: VecDeque<String>,
    /// The newest message is an answer without a call.
    answered: bool,
}

impl Vendor for Chat {
    const SOURCE: &'static str = "gemini-chat";
    const FILE: bool = true;

    fn object(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        page.at(line.time("timestamp").or_else(|| line.time("startTime")));
        if let Some(session) = line.text("sessionId") {
            page.session(&session);
            let more = [("project_hash", line.json("projectHash")), ("chat", line.json("kind"))];
            return page.start_session(SessionStart::default(), &more);
        }
        if line.get("$set").is_some() {
            return page.keep("$set");
        }
        if line.get("$rewindTo").is_some() {
            return page.note("the chat was rewound", &[("to", line.json("$rewindTo"))]);
        }
        match line.str("type").as_deref() {
            Some("user") => self.prompt(line, page),
            Some("gemini") => self.answer(line, page),
            Some("info" | "warning") => page.note(&text(line), &[]),
            Some("error") => page.error("gemini", &text(line), None),
            Some(other) => page.unknown(other, &[]),
            None => page.unknown("no type", &[]),
        }
    }

    /// An answer without a call looks like a turn's last.
    fn ending(&mut self, page: &mut Page<'_>) {
        if self.answered {
            page.end_turn(TurnEnd {
                ok: true,
                ..TurnEnd::default()
            });
        }
    }
}

/// What is remembered once; whether it is new.
fn first(ids: &mut VecDeque<String>, id: &str) -> bool {
    if id.is_empty() || ids.iter().any(|known| known == id) {
        return id.is_empty();
    }
    if ids.len() >= MESSAGES {
        ids.pop_front();
    }
    ids.push_back(id.to_owned());
    true
}

impl Chat {
    /// A prompt begins a turn; a call's result that goes to the model does not.
    fn prompt(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        let text = text(line);
        if text.is_empty() {
            return page.keep("user");
        }
        if self.answered {
            page.aside(|page| self.ending(page));
        }
        self.answered = false;
        page.scribe.next_turn = line.text("id");
        page.start_turn(Some(text));
    }

    fn answer(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        page.ensure_turn();
        let id = line.text("id").unwrap_or_default();
        let content = text(line);
        self.answered = !content.is_empty() && line.list("toolCalls").is_empty();
        let new = first(&mut self.said, &id);
        if new {
            for thought in line.objects("thoughts") {
                let parts = [thought.text("subject"), thought.text("description")];
                let body = TextDelta {
                    content: parts.into_iter().flatten().collect::<Vec<_>>().join("\n"),
                    message_id: Some(id.clone()).filter(|id| !id.is_empty()),
                    parent_tool_call_id: None,
                };
                page.tell(Kind::REASONING, &body);
            }
        }
        if new && !content.is_empty() {
            let body = Message {
                role: "assistant".to_owned(),
                content,
                message_id: Some(id.clone()).filter(|id| !id.is_empty()),
                model: line.text("model"),
                parent_tool_call_id: None,
                whole_turn: None,
            };
            page.tell(Kind::MESSAGE, &body);
        }
        for tool in line.objects("toolCalls") {
            call(&tool, page);
            page.at(line.time("timestamp"));
        }
        if let Some(used) = line.obj("tokens")
            && first(&mut self.counted, &id)
        {
            let cached = used.u64("cached");
            let usage = Usage {
                input_tokens: used.u64("input").map(|input| input.saturating_sub(cached.unwrap_or(0))),
                output_tokens: used.u64("output"),
                cache_read_input_tokens: cached,
                reasoning_tokens: used.u64("thoughts"),
                model: line.text("model"),
                ..Usage::default()
            };
            if !id.is_empty() {
                page.known_by(&["usage", &id]);
            }
            page.usage_of(&usage, &[("message_id", line.json("id"))]);
        }
        page.keep("gemini");
    }
}

/// A call that has ended: its start is told with it, for its arguments.
fn call(tool: &Obj<'_>, page: &mut Page<'_>) {
    let Some(id) = tool.text("id") else { return };
    if page.scribe.has_ended(&id) {
        return;
    }
    let body = ToolCallStart {
        tool: tool.text("name").unwrap_or_else(|| "unknown".to_owned()),
        tool_call_id: id.clone(),
        arguments: tool.json("args"),
        parent_tool_call_id: None,
    };
    let began = page.start_call(&body);
    let status = tool.text("status").unwrap_or_default();
    if matches!(
        status.as_str(),
        "executing" | "scheduled" | "validating" | "awaiting_approval"
    ) {
        return;
    }
    if let Some(time) = tool.time("timestamp") {
        page.at(Some(time));
    }
    let response = tool.objects("result").into_iter().next();
    let response = response.and_then(|part| part.obj("functionResponse")?.obj("response"));
    let response = response.unwrap_or_default();
    let error = match status.as_str() {
        "error" | "cancelled" => Some(status),
        _ => response.str("output").and_then(|text| exit(&text)),
    };
    let shown = tool.json("resultDisplay").filter(|shown| shown.get() != "\"\"");
    let ended = Ended {
        success: error.is_none(),
        output: shown
            .or_else(|| response.json("output"))
            .or_else(|| response.json("error"))
            .or_else(|| tool.json("result")),
        error,
        untimed: began,
        ..Ended::default()
    };
    page.end_call(&id, ended);
}

/// Its text: one, or those of its parts.
fn text(line: &Obj<'_>) -> String {
    let parts = line.objects("content");
    let parts: Vec<_> = parts.iter().filter_map(|part| part.text("text")).collect();
    if parts.is_empty() {
        line.text("content").unwrap_or_default()
    } else {
        parts.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use turnwire_proto::Timestamp;

    use super::*;

    #[test]
    fn a_message_that_is_written_again_is_told_once_and_its_new_calls_are() {
        let mut chat = make(Context::default());
        let mut out = Vec::new();
        for line in [
            r#"{"sessionId":"s"}"#,
            r#"{"id":"u","type":"user","content":[{"text":"go"}]}"#,
            r#"{"id":"m","type":"gemini","content":"on it","tokens":{"input":5,"output":1,"cached":2}}"#,
            r#"{"id":"m","type":"gemini","content":"on it","tokens":{"input":5,"output":1,"cached":2},"toolCalls":[{"id":"c","name":"ls","status":"error"}]}"#,
            r#"{"id":"m","type":"gemini","content":"on it","toolCalls":[{"id":"c","name":"ls","status":"error"},{"id":"d","name":"ls","status":"success"}]}"#,
        ] {
            chat.line(line.as_bytes(), Timestamp::UNIX_EPOCH, &mut out);
        }
        let count = |kind: &Kind| out.iter().filter(|event| event.kind == *kind).count();
        assert_eq!((count(&Kind::MESSAGE), count(&Kind::USAGE)), (2, 1));
        assert_eq!((count(&Kind::TOOL_CALL_START), count(&Kind::TOOL_CALL)), (2, 2));
        assert_eq!(
            out.iter()
                .find(|event| event.kind == Kind::TURN_START)
                .unwrap()
                .turn_id
                .as_ref()
                .unwrap()
                .as_str(),
            "u"
        );
    }
}
