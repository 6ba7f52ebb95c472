//! From what a program prints to what is published of it.

use std::time::Instant as Clock;

use serde::Serialize;
use turnwire_proto::{ApprovalDecision, ErrorBody, Kind, Name, NewEvent, Note, SessionStart, StatusChanged, Timestamp};

use super::Session;
use crate::login::Standing;

/// Bytes of a line of standard error that become one note.
const NOTE: usize = 64 * 1024;

impl Session {
    /// What an adapter made of the program's output: the turn that is open begins once and ends once, however often it is tried; a
    /// session does not end with its program; and what a person decided is told by the gateway alone.
    pub(super) fn emit(&mut self, events: Vec<NewEvent>) {
        for event in events {
            let ours = self
                .turn
                .as_ref()
                .is_some_and(|turn| Some(&turn.id) == event.turn_id.as_ref());
            if event.kind == Kind::SESSION_END || self.is_decided_already(&event) {
                continue;
            }
            if event.kind == Kind::STATUS_CHANGED {
                self.heed(&event);
            }
            if event.kind == Kind::SESSION_START {
                let start = event.data.read::<SessionStart>().unwrap_or_default();
                self.shared.runs(start.version.as_deref().and_then(Name::lossy));
            }
            if let (Some(turn), true) = (&mut self.turn, ours) {
                if event.kind == Kind::TURN_END {
                    turn.ended(event);
                    continue;
                }
                if event.kind == Kind::TURN_START && turn.has_started() {
                    continue;
                }
            }
            self.coalescer.push(event, Clock::now(), &mut self.ready);
        }
        self.coalescer.poll(Clock::now(), &mut self.ready);
        self.flush();
    }

    fn is_decided_already(&self, event: &NewEvent) -> bool {
        event.kind == Kind::APPROVAL_DECISION
            && event
                .data
                .read::<ApprovalDecision>()
                .is_ok_and(|decision| self.asks.has_decided(&decision.approval_id))
    }

    /// A vendor that tells of its login.
    fn heed(&mut self, event: &NewEvent) {
        let Ok(body) = event.data.read::<StatusChanged>() else {
            return;
        };
        let standing = match body.status.as_str() {
            "needs_login_in_progress" => Standing::InProgress,
            "needs_login_idle" => Standing::Needed,
            _ => return,
        };
        if self.shared.login.set(standing) {
            self.shared.reported.send_replace(());
        }
    }

    /// An event of the runner's own, in the turn that is open.
    pub(super) fn ours<T: Serialize>(&mut self, kind: Kind, body: &T) {
        let event = NewEvent {
            turn_id: self.turn.as_ref().map(|turn| turn.id.clone()),
            ..self.shared.outbox.event(kind, Some(&self.id), body)
        };
        self.coalescer.push(event, Clock::now(), &mut self.ready);
        self.flush();
    }

    pub(super) fn note(&mut self, text: &str) {
        self.ours(Kind::NOTE, &Note { text: text.to_owned() });
    }

    pub(super) fn error(&mut self, message: &str) {
        let body = ErrorBody {
            component: "runner".to_owned(),
            message: message.to_owned(),
            retry: None,
        };
        self.ours(Kind::ERROR, &body);
    }

    pub(super) fn stderr(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(&line[..line.len().min(NOTE)]);
        let text = text.trim_end_matches('\r');
        if text.trim().is_empty() {
            return;
        }
        let event = NewEvent {
            turn_id: self.turn.as_ref().map(|turn| turn.id.clone()),
            // Invariant: a literal that is a name.
            source: Name::new("stderr").expect("a source is a name"),
            ..self
                .shared
                .outbox
                .event(Kind::NOTE, Some(&self.id), &Note { text: text.to_owned() })
        };
        self.coalescer.push(event, Clock::now(), &mut self.ready);
        self.flush();
    }

    pub(super) fn flush(&mut self) {
        self.shared.outbox.push(&self.ready);
        self.ready.clear();
    }

    /// The program's output has ended.
    pub(super) fn end_output(&mut self, code: Option<i32>) {
        self.heard = None;
        if let Some(mut adapter) = self.adapter.take() {
            let mut events = Vec::new();
            adapter.end(code, Timestamp::now(), &mut events);
            self.emit(events);
        }
    }
}
