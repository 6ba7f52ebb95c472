//! Codex's hooks, which have Claude Code's names and shapes, and its `notify` program's argument.
//!
//! What is particular to it:
//! - `turn_id` is the turn's, `tool_use_id` the call's.
//! - A failed command is told by `PostToolUse` like one that succeeded: its output is a text, which only sometimes says the exit code.
//! - A call that was denied has no hook of its own.
//! - `notify` is called once a turn, at its end, with one argument whose keys have hyphens.

use turnwire_proto::{Kind, Message, SessionStart, TurnEnd, TurnStart};

use super::{
    Delivery, How, Sheet, Told,
    claude::{Dialect, read},
    parse,
};
use crate::view::{Obj, string};

const CODEX: Dialect = Dialect {
    source: "codex-hooks",
    turn: "turn_id",
    permission: How::CodexPermission,
    gate: How::CodexGate,
    failed: |hook| {
        let response = hook.text("tool_response")?;
        let digits = response.strip_prefix("Exit code: ")?;
        let digits = digits.split(|c: char| !c.is_ascii_digit()).next()?;
        (digits != "0" && !digits.is_empty()).then(|| format!("exit {digits}"))
    },
};

/// Reads one payload. Cannot fail.
#[must_use]
pub fn codex(payload: &[u8], delivery: &Delivery) -> Told {
    let text = String::from_utf8_lossy(payload);
    match parse(&text, CODEX.source, delivery) {
        Ok((text, hook)) if hook.is("type", "agent-turn-complete") => notify(text, &hook, delivery),
        Ok((text, hook)) => read(text, &hook, &CODEX, delivery),
        Err(told) => told,
    }
}

/// The end of a turn, with all that is known of it. Where hooks have told it, too, it is the same events.
fn notify(text: &str, hook: &Obj<'_>, delivery: &Delivery) -> Told {
    let (session, turn) = (hook.text("thread-id"), hook.text("turn-id").unwrap_or_default());
    let mut sheet = Sheet::new(CODEX.source, text, session.as_deref(), Some(&turn), delivery);
    let asked: Vec<_> = hook.list("input-messages").into_iter().filter_map(string).collect();
    let asked = asked.join("\n");
    let said = hook.text("last-assistant-message");
    sheet.aside(|sheet| {
        let of = sheet.turn.take();
        let start = SessionStart {
            cwd: hook.text("cwd"),
            vendor_session_id: session.clone(),
            ..SessionStart::default()
        };
        sheet.tell(Kind::SESSION_START, Some(&["first"]), &start);
        sheet.turn = of;
        let start = TurnStart {
            from: "user".to_owned(),
            body: asked.clone(),
            unread: 0,
        };
        sheet.tell(Kind::TURN_START, Some(&[&turn]), &start);
        for (role, content, key) in [("user", Some(asked), "user"), ("assistant", said, "-")] {
            let Some(content) = content.filter(|content| !content.is_empty()) else {
                continue;
            };
            let key: &[&str] = if role == "user" {
                &[&turn, key]
            } else {
                &[&turn, key, &content]
            };
            let body = Message {
                role: role.to_owned(),
                content: content.clone(),
                ..Message::default()
            };
            sheet.tell(Kind::MESSAGE, Some(key), &body);
        }
    });
    let end = TurnEnd {
        ok: true,
        ..TurnEnd::default()
    };
    sheet.tell(Kind::TURN_END, Some(&[&turn]), &end);
    sheet.told
}
