//! Codex: `codex exec --json`.
//!
//! What is particular to it:
//! - There are no timestamps: everything is timed by its arrival.
//! - Items are numbered from `item_0` in every run, also when a thread is resumed: ids here are the turn's and the item's.
//! - `turn.completed` counts the tokens of the whole thread; a turn's are the difference. Of the first turn of a resumed
//!   thread the difference is not known: it is told as `usage_total` beside the event, and as no usage of the turn.
//! - `input_tokens` has the cached ones in it; ours has not.
//! - An `error` line may be only a retry, and an item may never complete. An item `error` is a warning, which its rollout calls so.

mod items;

use turnwire_proto::{ApprovalRequest, Json, Kind, Note, SessionStart, TextDelta, TurnEnd, Usage};

use crate::{
    Adapter, Context,
    reader::{Reader, Vendor},
    scribe::{Page, since, with},
    view::Obj,
};

pub(crate) fn make(context: Context) -> Box<dyn Adapter> {
    let codex = Codex {
        total: (!context.resumed).then(Usage::default),
    };
    Box::new(Reader::new(codex, context))
}

/// What must be remembered from line to line.
#[derive(Debug)]
struct Codex {
    /// What the thread had used at the last turn's end, where that is known.
    total: Option<Usage>,
}

impl Vendor for Codex {
    const SOURCE: &'static str = "codex";

    fn object(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        match line.str("type").as_deref() {
            Some("thread.started") => thread_started(line, page),
            Some("turn.started") if is_prompted(page) => {}
            Some("turn.started") => page.start_turn(None),
            Some("turn.completed") => self.turn_completed(line, page),
            Some("turn.failed") => {
                let error = line.obj("error").and_then(|error| error.text("message"));
                let message = error.unwrap_or_else(|| "the turn failed".to_owned());
                page.ensure_turn();
                if !page.has_said(&message) {
                    page.error("codex", &message, None);
                }
                page.end_turn(TurnEnd {
                    note: Some(message),
                    ..TurnEnd::default()
                });
            }
            Some("item.started" | "item.updated" | "item.completed") => items::item(line, page),
            Some("item.plan.delta") => {
                page.ensure_turn();
                let body = TextDelta {
                    content: line.text("delta").unwrap_or_default(),
                    message_id: items::id(&line.text("item_id").unwrap_or_default(), page),
                    parent_tool_call_id: None,
                };
                page.tell(Kind::TEXT_DELTA, &body);
            }
            Some("request_user_input") => question(line, page),
            Some("error") => {
                let message = line.text("message").unwrap_or_else(|| "error".to_owned());
                page.error("codex", &message, is_retry(&message).then_some(true));
            }
            Some(other) => page.unknown(other, &[]),
            None => page.unknown("no type", &[]),
        }
    }
}

impl Codex {
    fn turn_completed(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        page.ensure_turn();
        if let Some(used) = line.obj("usage") {
            let total = tokens(&used);
            match self.total.replace(total.clone()) {
                Some(before) => page.usage(&since(&total, &before)),
                None => {
                    let text = "the tokens of this turn alone are not known: the thread was resumed".to_owned();
                    page.write(
                        Kind::NOTE,
                        with(&Note { text }, &[("usage_total", Some(Json::of(&total)))]),
                    );
                }
            }
        }
        page.end_turn(TurnEnd {
            ok: true,
            ..TurnEnd::default()
        });
    }
}

/// A thread that is resumed in the same output starts again: a new process works on the same session.
fn thread_started(line: &Obj<'_>, page: &mut Page<'_>) {
    if !is_prompted(page) {
        page.give_up_turn("the thread started again before this turn had ended");
    }
    if let Some(thread) = line.str("thread_id") {
        page.session(&thread);
    }
    if page.scribe.has_started() {
        page.note("the thread was resumed", &[]);
    }
    page.start_session(SessionStart::default(), &[]);
}

/// Whether the caller has begun the turn: what the vendor begins is it.
fn is_prompted(page: &mut Page<'_>) -> bool {
    page.scribe.turn().is_some_and(|turn| turn.is_prompted())
}

fn question(line: &Obj<'_>, page: &mut Page<'_>) {
    page.ensure_turn();
    let questions = line.objects("questions");
    let title = questions.iter().find_map(|question| question.text("question"));
    let body = ApprovalRequest {
        approval_id: line.text("call_id").or_else(|| line.text("id")).unwrap_or_default(),
        tool: "request_user_input".to_owned(),
        arguments: line.json("questions"),
        title,
        ..ApprovalRequest::default()
    };
    page.ask(&body, &[], "needs_answer");
}

/// `Reconnecting... 1/5 (…)`: the stream broke and is opened again.
fn is_retry(message: &str) -> bool {
    message.starts_with("Reconnecting") || message.to_ascii_lowercase().contains("retrying")
}

fn tokens(used: &Obj<'_>) -> Usage {
    let cached = used.u64("cached_input_tokens");
    Usage {
        input_tokens: used
            .u64("input_tokens")
            .map(|input| input.saturating_sub(cached.unwrap_or(0))),
        output_tokens: used.u64("output_tokens"),
        cache_read_input_tokens: cached,
        cache_creation_input_tokens: used.u64("cache_write_input_tokens"),
        reasoning_tokens: used.u64("reasoning_output_tokens"),
        ..Usage::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Context;

    /// Events wait until the session has a name, and the one that is one too many gives it: also where that one is the end of
    /// a call within the end of its turn.
    #[test]
    fn a_turn_ends_also_when_its_session_gets_its_name_meanwhile() {
        for lines in 0..100 {
            let mut codex = make(Context::default());
            let mut out = Vec::new();
            let mut say = |line: &str| codex.line(line.as_bytes(), turnwire_proto::Timestamp::UNIX_EPOCH, &mut out);
            say(r#"{"type":"turn.started"}"#);
            say(r#"{"type":"item.started","item":{"id":"item_0","type":"command_execution","command":"ls"}}"#);
            (0..lines).for_each(|_| say("a line"));
            say(r#"{"type":"turn.completed"}"#);
            codex.end(Some(0), turnwire_proto::Timestamp::UNIX_EPOCH, &mut out);
            let ends = out.iter().filter(|event| event.kind == Kind::TURN_END).count();
            assert_eq!(ends, 1, "after {lines} lines");
        }
    }
}
