//! Kinds: the list of an event's `type`s that have a meaning here. Unknown kinds pass through untouched.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::limits;

/// An event's `type`: `snake_case`, at most [`limits::KIND`] bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(Cow<'static, str>);

/// Why a text is not a [`Kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be snake_case: a lower-case letter, then letters, digits and '_', at most {} bytes",
    limits::KIND
)]
pub struct InvalidKind;

macro_rules! kinds {
    ($($(#[$doc:meta])* $constant:ident = $text:literal $($delta:ident)?,)*) => {
        impl Kind {
            $($(#[$doc])* pub const $constant: Self = Self(Cow::Borrowed($text));)*

            /// Every kind that has a meaning here, in the order of `docs/protocol.md`.
            pub const KNOWN: &[Self] = &[$(Self::$constant),*];

            /// The known kind that is spelt like this, without copying the text.
            fn known(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$constant),)*
                    _ => None,
                }
            }

            /// Whether a later event supersedes this one (a token, a line of tool output): streamed, kept briefly.
            #[must_use]
            pub fn is_delta(&self) -> bool {
                match &*self.0 {
                    $($text => kinds!(@delta $($delta)?),)*
                    _ => false,
                }
            }

            /// Whether the server alone writes it: what it says of the log, of sessions, of commands and of
            /// agents' downlinks can be believed.
            #[must_use]
            pub fn is_the_servers(&self) -> bool {
                matches!(
                    &*self.0,
                    "history_trimmed"
                        | "session_renamed"
                        | "command"
                        | "command_state"
                        | "agent_online"
                        | "agent_offline"
                        | "agent_state"
                )
            }
        }
    };
    (@delta delta) => { true };
    (@delta) => { false };
}

kinds! {
    /// A conversation or an eval run begins; body [`crate::SessionStart`].
    SESSION_START = "session_start",
    /// It ends; body [`crate::SessionEnd`].
    SESSION_END = "session_end",
    /// Somebody has given it a title; body [`crate::SessionRenamed`].
    SESSION_RENAMED = "session_renamed",
    /// One prompt and all that it causes begins; body [`crate::TurnStart`].
    TURN_START = "turn_start",
    /// It ends; body [`crate::TurnEnd`].
    TURN_END = "turn_end",
    /// What the agent is doing changed; body [`crate::TurnState`].
    TURN_STATE_CHANGED = "turn_state_changed",
    /// A whole message; body [`crate::Message`].
    MESSAGE = "message",
    /// A piece of a message that will come whole; body [`crate::TextDelta`].
    TEXT_DELTA = "text_delta" delta,
    /// A whole piece of reasoning; body [`crate::TextDelta`].
    REASONING = "reasoning",
    /// A piece of reasoning that will come whole; body [`crate::TextDelta`].
    REASONING_DELTA = "reasoning_delta" delta,
    /// A tool begins; body [`crate::ToolCallStart`].
    TOOL_CALL_START = "tool_call_start",
    /// A tool at work; body [`crate::ToolProgress`].
    TOOL_PROGRESS = "tool_progress" delta,
    /// A tool has ended; body [`crate::ToolCall`].
    TOOL_CALL = "tool_call",
    /// A request to a model; body [`crate::LlmRequest`].
    LLM_REQUEST = "llm_request",
    /// Tokens used; body [`crate::Usage`].
    USAGE = "usage",
    /// The agent's memory was read or written; body [`crate::Memory`].
    MEMORY = "memory",
    /// Another model from here on; body [`crate::ModelChanged`].
    MODEL_CHANGED = "model_changed",
    /// The agent's standing (online, rate limited, needs login); body [`crate::StatusChanged`].
    STATUS_CHANGED = "status_changed",
    /// A line of text; body [`crate::Note`].
    NOTE = "note",
    /// Something failed; body [`crate::ErrorBody`].
    ERROR = "error",
    /// An agent or subagent begins; body [`crate::AgentStart`].
    AGENT_START = "agent_start",
    /// It ends; body [`crate::AgentEnd`].
    AGENT_END = "agent_end",
    /// An agent's downlink opened.
    AGENT_ONLINE = "agent_online",
    /// An agent's downlink has been silent too long.
    AGENT_OFFLINE = "agent_offline",
    /// What an agent says of itself has changed; body [`crate::AgentState`].
    AGENT_STATE = "agent_state",
    /// A question the agent waits on; body [`crate::ApprovalRequest`].
    APPROVAL_REQUEST = "approval_request",
    /// Its answer; body [`crate::ApprovalDecision`].
    APPROVAL_DECISION = "approval_decision",
    /// An order to an agent; body [`crate::CommandBody`].
    COMMAND = "command",
    /// How far it is; body [`crate::CommandState`].
    COMMAND_STATE = "command_state",
    /// An eval task begins; body [`crate::TaskStart`].
    TASK_START = "task_start",
    /// It ends; body [`crate::TaskComplete`].
    TASK_COMPLETE = "task_complete",
    /// A grader's verdict; body [`crate::GraderResult`].
    GRADER_RESULT = "grader_result",
    /// An eval run ends; body [`crate::RunComplete`].
    RUN_COMPLETE = "run_complete",
    /// Something is no longer kept; body [`crate::HistoryTrimmed`].
    HISTORY_TRIMMED = "history_trimmed",
    /// What an adapter did not understand, in the event's `raw`.
    RAW = "raw",
}

impl Kind {
    /// Checks `text`.
    ///
    /// # Errors
    /// When it is not snake_case or too long.
    pub fn new(text: &str) -> Result<Self, InvalidKind> {
        if let Some(known) = Self::known(text) {
            return Ok(known);
        }
        let mut bytes = text.bytes();
        let ok = text.len() <= limits::KIND
            && bytes.next().is_some_and(|b| b.is_ascii_lowercase())
            && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if ok {
            Ok(Self(Cow::Owned(text.to_owned())))
        } else {
            Err(InvalidKind)
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Kind {
    type Err = InvalidKind;

    fn from_str(text: &str) -> Result<Self, InvalidKind> {
        Self::new(text)
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_kind_is_a_valid_one_and_unknown_ones_pass() {
        for kind in Kind::KNOWN {
            assert_eq!(Kind::new(kind.as_str()).as_ref(), Ok(kind));
        }
        assert_eq!(Kind::new("made_up_2").unwrap().as_str(), "made_up_2");
        for bad in ["", "Tool", "tool-call", "2x", "_x", "a\n", &"x".repeat(65)] {
            assert!(Kind::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn just_the_three_streamed_kinds_are_deltas() {
        let deltas: Vec<_> = Kind::KNOWN.iter().filter(|k| k.is_delta()).map(Kind::as_str).collect();
        assert_eq!(deltas, ["text_delta", "reasoning_delta", "tool_progress"]);
    }
}
