//! Gemini CLI: `gemini -p … --output-format stream-json` (or `json`).
//!
//! What is particular to it:
//! - Every line has a timestamp; only `init` names the session.
//! - An answer comes in pieces (`delta: true`) and never whole: the whole message is told when the pieces end.
//! - A shell command that fails is a `success`: what its exit code was is not told.
//! - `input_tokens` has the cached ones in it, `input` has not.
//! - `json` is one object over many lines.

use turnwire_proto::{Json, Kind, Message, SessionStart, TextDelta, Timestamp, ToolCallStart, TurnEnd, Usage, limits};

use crate::{
    Adapter, Context,
    reader::{Reader, Vendor},
    scribe::{Ended, Page, with},
    view::Obj,
};

pub(crate) fn make(context: Context) -> Box<dyn Adapter> {
    Box::new(Reader::new(Gemini::default(), context))
}

/// The word for a shell command that failed, by what the model is told of it: no status of this vendor's says so.
pub(crate) fn exit(text: &str) -> Option<String> {
    let code = text.lines().find_map(|line| line.strip_prefix("Exit Code: "))?.trim();
    exit_word(code)
}

/// The same, of the code.
pub(crate) fn exit_word(code: &str) -> Option<String> {
    (code != "0" && !code.is_empty() && code.chars().all(|c| c.is_ascii_digit())).then(|| format!("exit {code}"))
}

/// The message that is coming in pieces.
#[derive(Debug, Default)]
struct Gemini {
    pieces: Option<Pieces>,
    messages: u64,
}

#[derive(Debug)]
struct Pieces {
    id: String,
    content: String,
    /// Of the whole, should it be more than is kept.
    bytes: usize,
    /// Of the last piece.
    time: Option<Timestamp>,
}

impl Vendor for Gemini {
    const SOURCE: &'static str = "gemini-cli";

    fn object(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        let time = line.time("timestamp");
        let kind = line.text("type").unwrap_or_default();
        let piece = kind == "message" && line.yes("delta") && line.is("role", "assistant");
        if !piece {
            self.whole(page);
        }
        page.at(time);
        match kind.as_str() {
            "init" => init(line, page),
            "message" if piece => self.piece(line, page),
            "message" => self.message(line, page),
            "tool_use" => tool_use(line, page),
            "tool_result" => tool_result(line, page),
            "error" => {
                let message = line.text("message").unwrap_or_else(|| "error".to_owned());
                if line.is("severity", "warning") {
                    page.note(&message, &[("severity", line.json("severity"))]);
                } else {
                    page.error("gemini-cli", &message, None);
                }
            }
            "result" => result(line, page),
            "" if line.get("stats").is_some() || line.get("response").is_some() || line.get("error").is_some() => {
                self.json(line, page);
            }
            "" => page.unknown("no type", &[]),
            other => page.unknown(other, &[]),
        }
    }

    fn ending(&mut self, page: &mut Page<'_>) {
        self.whole(page);
        page.at(None);
    }
}

impl Gemini {
    fn next_message(&mut self, page: &mut Page<'_>) -> String {
        self.messages += 1;
        let turn = page
            .scribe
            .turn()
            .map(|turn| turn.id().as_str().to_owned())
            .unwrap_or_default();
        format!("{turn}.m{}", self.messages)
    }

    fn piece(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        page.ensure_turn();
        let content = line.text("content").unwrap_or_default();
        if self.pieces.is_none() {
            self.pieces = Some(Pieces {
                id: self.next_message(page),
                content: String::new(),
                bytes: 0,
                time: None,
            });
        }
        let Some(pieces) = &mut self.pieces else { return };
        pieces.bytes += content.len();
        pieces.time = line.time("timestamp");
        // Beyond what an event may have on its way nothing could be told anyway.
        if pieces.content.len() < limits::INCOMING {
            pieces.content.push_str(&content);
        }
        let body = TextDelta {
            content,
            message_id: Some(pieces.id.clone()),
            parent_tool_call_id: None,
        };
        page.tell(Kind::TEXT_DELTA, &body);
    }

    /// The pieces have ended: tells the message that they make.
    fn whole(&mut self, page: &mut Page<'_>) {
        let Some(pieces) = self.pieces.take() else { return };
        if let Some(turn) = page.scribe.turn() {
            turn.spoke = true;
        }
        page.at(pieces.time);
        let cut = pieces.content.len() < pieces.bytes;
        let more = [
            ("truncated", cut.then(|| Json::of(&true))),
            ("bytes", cut.then(|| Json::of(&pieces.bytes))),
        ];
        let body = Message {
            role: "assistant".to_owned(),
            content: pieces.content,
            message_id: Some(pieces.id),
            ..Message::default()
        };
        page.aside(|page| page.write(Kind::MESSAGE, with(&body, &more)));
    }

    fn message(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        let role = line.text("role").unwrap_or_else(|| "assistant".to_owned());
        let content = line.text("content").unwrap_or_default();
        if role == "user" && page.scribe.turn().is_none() {
            return page.start_turn(Some(content));
        }
        // Whoever has begun the turn has told what was said.
        if role == "user" && page.scribe.turn().is_some_and(|turn| turn.is_prompted()) {
            return;
        }
        page.ensure_turn();
        let id = self.next_message(page);
        if let Some(turn) = page.scribe.turn() {
            turn.spoke |= role == "assistant";
        }
        let body = Message {
            role,
            content,
            message_id: Some(id),
            ..Message::default()
        };
        page.tell(Kind::MESSAGE, &body);
    }

    /// `--output-format json`: all of a run in one object.
    fn json(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        if let Some(session) = line.str("session_id") {
            page.session(&session);
        }
        page.ensure_turn();
        if let Some(content) = line.text("response") {
            let body = Message {
                role: "assistant".to_owned(),
                content,
                message_id: Some(self.next_message(page)),
                ..Message::default()
            };
            page.tell(Kind::MESSAGE, &body);
        }
        let stats = line.obj("stats").unwrap_or_default();
        for (model, stats) in models(&stats) {
            let used = stats.obj("tokens").unwrap_or_default();
            let usage = Usage {
                input_tokens: used.u64("input"),
                output_tokens: used.u64("candidates"),
                cache_read_input_tokens: used.u64("cached"),
                reasoning_tokens: used.u64("thoughts"),
                model: Some(model),
                ..Usage::default()
            };
            page.usage(&usage);
        }
        finish(line, line.get("error").is_none(), None, page);
    }
}

fn init(line: &Obj<'_>, page: &mut Page<'_>) {
    // What the caller has begun begins with it.
    if !page.scribe.turn().is_some_and(|turn| turn.is_prompted()) {
        page.give_up_turn("the agent started again before this turn had ended");
    }
    if let Some(session) = line.str("session_id") {
        page.session(&session);
    }
    if page.scribe.has_started() {
        return page.note("the session was resumed", &[]);
    }
    let body = SessionStart {
        model: line.text("model"),
        ..SessionStart::default()
    };
    page.start_session(body, &[]);
}

fn tool_use(line: &Obj<'_>, page: &mut Page<'_>) {
    let Some(tool_call_id) = line.text("tool_id") else {
        return page.unknown("tool_use", &[]);
    };
    page.ensure_turn();
    let body = ToolCallStart {
        tool: line.text("tool_name").unwrap_or_else(|| "unknown".to_owned()),
        tool_call_id,
        arguments: line.json("parameters"),
        parent_tool_call_id: None,
    };
    page.start_call(&body);
}

fn tool_result(line: &Obj<'_>, page: &mut Page<'_>) {
    let Some(id) = line.text("tool_id") else {
        return page.unknown("tool_result", &[]);
    };
    let error = line.obj("error").unwrap_or_default();
    let failed = line.is("status", "error");
    let ended = Ended {
        success: !failed,
        output: line.json("output").or_else(|| error.json("message")),
        error: failed.then(|| error.text("type").unwrap_or_else(|| "error".to_owned())),
        ..Ended::default()
    };
    page.end_call(&id, ended);
}

fn result(line: &Obj<'_>, page: &mut Page<'_>) {
    page.ensure_turn();
    let stats = line.obj("stats").unwrap_or_default();
    let of = |used: &Obj<'_>, model: Option<String>| {
        let cached = used.u64("cached");
        let all = used
            .u64("input_tokens")
            .map(|input| input.saturating_sub(cached.unwrap_or(0)));
        Usage {
            input_tokens: used.u64("input").or(all),
            output_tokens: used.u64("output_tokens"),
            cache_read_input_tokens: cached,
            model,
            ..Usage::default()
        }
    };
    let models = models(&stats);
    if models.is_empty() && stats.get("output_tokens").is_some() {
        page.usage(&of(&stats, None));
    }
    for (model, used) in models {
        page.usage(&of(&used, Some(model)));
    }
    finish(line, !line.is("status", "error"), stats.u64("duration_ms"), page);
}

fn models<'a>(stats: &Obj<'a>) -> Vec<(String, Obj<'a>)> {
    let models = stats.obj("models").unwrap_or_default();
    models
        .entries()
        .filter_map(|(name, used)| Some((name.to_owned(), Obj::parse(used.get())?)))
        .collect()
}

fn finish(line: &Obj<'_>, ok: bool, duration_ms: Option<u64>, page: &mut Page<'_>) {
    let error = line.obj("error").unwrap_or_default();
    let note = (!ok).then(|| {
        error
            .text("message")
            .or_else(|| error.text("type"))
            .unwrap_or_else(|| "failed".to_owned())
    });
    if let Some(message) = &note
        && !page.has_said(message)
    {
        page.error("gemini-cli", message, None);
    }
    page.end_turn(TurnEnd {
        ok,
        note,
        duration_ms,
        ..TurnEnd::default()
    });
}
