//! Claude Code's hooks, of command and of HTTP alike: the payload is the same.
//!
//! What is particular to it:
//! - `prompt_id` is the turn's, `tool_use_id` the call's; `PermissionRequest` has no `tool_use_id`.
//! - Hooks of type `http` are never called for `SessionStart`: the first prompt tells the session's start too.
//! - A call that was refused has no hook of its own: only `PostToolBatch` tells its result, as text.
//! - `MessageDisplay` tells a message as a whole (`claude -p`), or piece by piece at a terminal; the last message of a turn
//!   is whole in `Stop`. A message is known by its turn and text, so that the two are one event; so is one that is said
//!   twice in the same words in one turn.
//! - A turn that a person interrupts has no `Stop`; the next prompt or the session's end closes it.
//! - Events of a subagent have `agent_id`; which call started it is not told, so `parent_tool_call_id` is that id.

mod tools;

use turnwire_proto::{
    Empty, ErrorBody, Json, Kind, Message, Note, SessionEnd, SessionStart, StatusChanged, TextDelta, TurnEnd,
    TurnStart, TurnState,
};

use super::{Delivery, How, Sheet, Told, parse};
use crate::{scribe::with, view::Obj};

/// What a vendor that has the same hooks does its own way.
pub(super) struct Dialect {
    pub(super) source: &'static str,
    /// The field with the turn's id.
    pub(super) turn: &'static str,
    /// How its questions are answered.
    pub(super) permission: How,
    pub(super) gate: How,
    /// What came of a call, where its output says it: the word for a failure.
    pub(super) failed: fn(&Obj<'_>) -> Option<String>,
}

const CLAUDE: Dialect = Dialect {
    source: "claude-hooks",
    turn: "prompt_id",
    permission: How::Permission,
    gate: How::Gate,
    failed: |hook| {
        let response = hook.obj("tool_response").unwrap_or_default();
        response.yes("interrupted").then(|| "interrupted".to_owned())
    },
};

/// Reads one payload. Cannot fail.
#[must_use]
pub fn claude(payload: &[u8], delivery: &Delivery) -> Told {
    let text = String::from_utf8_lossy(payload);
    match parse(&text, CLAUDE.source, delivery) {
        Ok((text, hook)) => read(text, &hook, &CLAUDE, delivery),
        Err(told) => told,
    }
}

/// Reads one payload of a vendor that has the same hooks.
pub(super) fn read(text: &str, hook: &Obj<'_>, dialect: &Dialect, delivery: &Delivery) -> Told {
    let (session, prompt) = (hook.text("session_id"), hook.text(dialect.turn));
    let mut sheet = Sheet::new(dialect.source, text, session.as_deref(), prompt.as_deref(), delivery);
    let name = hook.text("hook_event_name").unwrap_or_default();
    let call = Call {
        inside: hook.text("agent_id"),
        prompt: prompt.unwrap_or_default(),
        hook,
        dialect,
    };
    let known = call.read(&name, &mut sheet);
    sheet.done(&name, known)
}

/// One call of a hook.
struct Call<'a> {
    hook: &'a Obj<'a>,
    dialect: &'a Dialect,
    /// The turn.
    prompt: String,
    /// The subagent in which it happens.
    inside: Option<String>,
}

impl Call<'_> {
    /// Whether it is understood.
    fn read(&self, name: &str, sheet: &mut Sheet<'_>) -> bool {
        match name {
            "SessionStart" => self.session_start(sheet),
            "UserPromptSubmit" => self.prompt(sheet),
            "MessageDisplay" => return self.shown(sheet),
            "PreToolUse" => return self.tool_start(sheet),
            "PostToolUse" => return self.tool_end(sheet),
            "PostToolUseFailure" => return self.tool_failure(sheet),
            "PermissionDenied" => return self.tool_refused(sheet),
            "PostToolBatch" => self.tools_ended(sheet),
            "PermissionRequest" => return self.asks(sheet),
            "Notification" => self.notification(sheet),
            "Stop" => self.stop(sheet),
            "StopFailure" => self.stop_failure(sheet),
            "SubagentStart" => self.subagent(Kind::AGENT_START, sheet),
            "SubagentStop" => {
                self.said(sheet);
                self.subagent(Kind::AGENT_END, sheet);
            }
            "TaskCreated" => self.task("created", sheet),
            "TaskCompleted" => self.task("completed", sheet),
            "TeammateIdle" => note(&format!("{} is idle", self.text("teammate_name")), &[], sheet),
            "CwdChanged" => note(&format!("working directory: {}", self.text("new_cwd")), &[], sheet),
            "PreCompact" => state("compacting", self.hook.text("trigger"), sheet),
            "PostCompact" if self.hook.is("trigger", "manual") => state("idle", None, sheet),
            "PostCompact" | "ElicitationResult" => state("thinking", None, sheet),
            "Elicitation" => state("needs_answer", self.hook.text("message"), sheet),
            "SessionEnd" => self.session_end(sheet),
            // Understood, and nothing that anybody watches for.
            "UserPromptExpansion"
            | "InstructionsLoaded"
            | "ConfigChange"
            | "DirectoryAdded"
            | "FileChanged"
            | "WorktreeCreate"
            | "WorktreeRemove"
            | "Setup" => {}
            _ => return false,
        }
        true
    }

    fn text(&self, key: &str) -> String {
        self.hook.text(key).unwrap_or_default()
    }

    /// The first start of a session has an id that its first prompt knows; each later one (a resume, `/clear`) is its own.
    fn session_start(&self, sheet: &mut Sheet<'_>) {
        let first = self.hook.is("source", "startup");
        let more = [
            ("start", self.hook.json("source")),
            ("transcript_path", self.hook.json("transcript_path")),
        ];
        sheet.write(
            Kind::SESSION_START,
            first.then_some(&["first"]),
            with(&self.surroundings(), &more),
        );
    }

    fn surroundings(&self) -> SessionStart {
        SessionStart {
            model: self.hook.text("model"),
            cwd: self.hook.text("cwd"),
            permission_mode: self.hook.text("permission_mode"),
            vendor_session_id: self.hook.text("session_id"),
            ..SessionStart::default()
        }
    }

    fn session_end(&self, sheet: &mut Sheet<'_>) {
        let body = SessionEnd {
            reason: self.hook.text("reason"),
            ..SessionEnd::default()
        };
        sheet.tell(Kind::SESSION_END, None, &body);
    }

    fn prompt(&self, sheet: &mut Sheet<'_>) {
        let body = self.text("prompt");
        let turn = sheet.turn.take();
        sheet.aside(|sheet| sheet.tell(Kind::SESSION_START, Some(&["first"]), &self.surroundings()));
        sheet.turn = turn;
        let start = TurnStart {
            from: "user".to_owned(),
            body: body.clone(),
            unread: 0,
        };
        sheet.tell(Kind::TURN_START, Some(&[&self.prompt]), &start);
        if !body.is_empty() {
            let message = Message {
                role: "user".to_owned(),
                content: body,
                ..Message::default()
            };
            sheet.tell(Kind::MESSAGE, Some(&[&self.prompt, "user"]), &message);
        }
    }

    fn shown(&self, sheet: &mut Sheet<'_>) -> bool {
        let Some(text) = self.hook.str("delta") else {
            return false;
        };
        let message_id = self.hook.text("message_id");
        if self.hook.yes("final") && self.hook.u64("index") == Some(0) {
            self.message(&text, message_id, sheet);
            return true;
        }
        let body = TextDelta {
            content: text.into_owned(),
            message_id,
            parent_tool_call_id: self.inside.clone(),
        };
        sheet.tell(Kind::TEXT_DELTA, None, &body);
        true
    }

    fn message(&self, text: &str, message_id: Option<String>, sheet: &mut Sheet<'_>) {
        let body = Message {
            role: "assistant".to_owned(),
            content: text.to_owned(),
            message_id,
            model: None,
            parent_tool_call_id: self.inside.clone(),
            whole_turn: None,
        };
        let inside = self.inside.as_deref().unwrap_or("-");
        sheet.tell(Kind::MESSAGE, Some(&[&self.prompt, inside, text]), &body);
    }

    /// The last message, which `MessageDisplay` may have told.
    fn said(&self, sheet: &mut Sheet<'_>) {
        if let Some(text) = self.hook.text("last_assistant_message") {
            sheet.aside(|sheet| self.message(&text, None, sheet));
        }
    }

    fn stop(&self, sheet: &mut Sheet<'_>) {
        self.said(sheet);
        let body = TurnEnd {
            ok: true,
            ..TurnEnd::default()
        };
        self.turn_end(&body, sheet);
    }

    /// A hook that does not let the agent stop makes it stop once more in the same turn.
    fn turn_end(&self, body: &TurnEnd, sheet: &mut Sheet<'_>) {
        let again = self.hook.yes("stop_hook_active");
        let key = [self.prompt.as_str()];
        sheet.tell(Kind::TURN_END, (!again).then_some(&key), body);
    }

    fn stop_failure(&self, sheet: &mut Sheet<'_>) {
        let (error, details) = (self.text("error"), self.hook.text("error_details"));
        // The last message is not the model's: it is what the program says of the error.
        let message = self
            .hook
            .text("last_assistant_message")
            .unwrap_or_else(|| match details {
                Some(details) => format!("{error}: {details}"),
                None => error,
            });
        let body = ErrorBody {
            component: "api".to_owned(),
            message: message.clone(),
            retry: None,
        };
        sheet.aside(|sheet| sheet.tell(Kind::ERROR, None, &body));
        let end = TurnEnd {
            note: Some(message),
            ..TurnEnd::default()
        };
        self.turn_end(&end, sheet);
    }

    /// A subagent can be sent on after its end, so that it starts and ends more than once.
    fn subagent(&self, kind: Kind, sheet: &mut Sheet<'_>) {
        let more = [
            ("agent", self.hook.json("agent_type")),
            ("task_id", self.hook.json("agent_id")),
            ("transcript_path", self.hook.json("agent_transcript_path")),
        ];
        sheet.write(kind, None, with(&Empty {}, &more));
    }

    fn task(&self, what: &str, sheet: &mut Sheet<'_>) {
        let more = [
            ("task_id", self.hook.json("task_id")),
            ("description", self.hook.json("task_description")),
        ];
        note(&format!("task {what}: {}", self.text("task_subject")), &more, sheet);
    }

    fn notification(&self, sheet: &mut Sheet<'_>) {
        let message = self.text("message");
        match self.hook.str("notification_type").as_deref() {
            Some("idle_prompt") => state("idle", Some(message), sheet),
            Some("auth_success") => {
                let body = StatusChanged {
                    status: "online".to_owned(),
                    note: Some(message),
                };
                sheet.tell(Kind::STATUS_CHANGED, None, &body);
            }
            _ => {
                let more = [
                    ("title", self.hook.json("title")),
                    ("notification_type", self.hook.json("notification_type")),
                ];
                note(&message, &more, sheet);
            }
        }
    }
}

fn note(text: &str, more: &[(&'static str, Option<Json>)], sheet: &mut Sheet<'_>) {
    let body = Note { text: text.to_owned() };
    sheet.write(Kind::NOTE, None, with(&body, more));
}

fn state(state: &str, note: Option<String>, sheet: &mut Sheet<'_>) {
    let body = TurnState {
        state: state.to_owned(),
        since: None,
        note,
    };
    sheet.tell(Kind::TURN_STATE_CHANGED, None, &body);
}
