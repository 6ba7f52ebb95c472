//! Commands: orders to an agent, how far each is, and what an agent reports of itself.

use serde::{Deserialize, Serialize};

use crate::{Epoch, EventId, Name, Object, Seq, Timestamp, words::words};

words! {
    /// What an agent is told to do. Each has its arguments' type here.
    Action, "action" {
        /// Take this as the user's; arguments [`MessageArgs`].
        Message = "message",
        /// End the turn, and what it waits on; arguments [`TurnArgs`].
        Cancel = "cancel",
        /// Stop what is being done now and listen; arguments [`TurnArgs`].
        Interrupt = "interrupt",
        /// Begin no turn until released; arguments [`HoldArgs`].
        Hold = "hold",
        /// Go on; arguments [`HoldArgs`].
        Release = "release",
        /// Make the context shorter; arguments [`CompactArgs`].
        Compact = "compact",
        /// Use this model from the next turn on; arguments [`SetModelArgs`].
        SetModel = "set_model",
        /// Begin with an empty context; arguments [`NewSessionArgs`].
        NewSession = "new_session",
        /// Ask before these things; arguments [`SetPermissionModeArgs`].
        SetPermissionMode = "set_permission_mode",
        /// End a task that runs beside the turn; arguments [`StopTaskArgs`].
        StopTask = "stop_task",
        /// What only this agent knows; arguments [`CustomArgs`].
        Custom = "custom",
    }
}

words! {
    /// How far a command is.
    State, "state" {
        /// Nobody has it yet.
        Queued = "queued",
        /// It was handed to its agent's connection.
        Delivered = "delivered",
        /// Its agent has taken it on.
        Acked = "acked",
        /// It was done.
        Done = "done",
        /// It could not be done; there is a reason.
        Failed = "failed",
        /// Its agent did not take it on in time.
        Expired = "expired",
        /// It is no longer wanted.
        Withdrawn = "withdrawn",
    }
}

impl State {
    /// Whether nothing comes after it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Expired | Self::Withdrawn)
    }
}

macro_rules! args {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* } with { $($(#[$opt_doc:meta])* $opt:ident: $opt_type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
            $($(#[$opt_doc])* #[serde(default, skip_serializing_if = "Option::is_none")] pub $opt: Option<$opt_type>,)*
        }
    )*};
}

args! {
    /// Of [`Action::Message`].
    MessageArgs {
        /// What is said, at most [`crate::limits::MESSAGE`] bytes.
        content: String,
    } with {
        /// Who says it, in the words of whoever passes it on.
        user_id: Name,
        /// What it is about, in the same words.
        project_id: Name,
    }
    /// Of [`Action::Cancel`] and [`Action::Interrupt`].
    TurnArgs {} with {
        /// Only this turn: an order that comes late must not end the next one.
        turn_id: Name,
    }
    /// Of [`Action::Hold`] and [`Action::Release`].
    HoldArgs {} with {
        /// Why, for people; at most [`crate::limits::REASON`] bytes.
        reason: String,
    }
    /// Of [`Action::Compact`].
    CompactArgs {} with {
        /// What is to be kept, at most [`crate::limits::MESSAGE`] bytes.
        instructions: String,
    }
    /// Of [`Action::SetModel`].
    SetModelArgs {
        /// The vendor's name of it.
        model: Name,
    } with {}
    /// Of [`Action::NewSession`].
    NewSessionArgs {} with {
        /// What it begins with, at most [`crate::limits::MESSAGE`] bytes.
        prompt: String,
        /// The vendor's name of its model.
        model: Name,
    }
    /// Of [`Action::SetPermissionMode`].
    SetPermissionModeArgs {
        /// The vendor's name of it.
        mode: Name,
    } with {}
    /// Of [`Action::StopTask`].
    StopTaskArgs {
        /// The vendor's id of it.
        task_id: Name,
    } with {}
    /// Of [`Action::Custom`].
    CustomArgs {
        /// What the agent calls it.
        name: Name,
    } with {
        /// With what.
        args: Object,
    }
}

/// One command, as everybody sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Its place: where its `command` event stands. An agent's cursor.
    pub seq: Seq,
    /// Its identity: who delivers it twice delivers the same one.
    pub id: EventId,
    /// Whom it is for.
    pub agent: Name,
    /// Of the agent's sessions, which one; absent when it is about the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<Name>,
    /// What to do.
    pub action: Action,
    /// With what.
    pub args: Object,
    /// Who ordered it: the token's name.
    pub actor: String,
    /// When.
    pub issued: Timestamp,
    /// Until when its agent must have taken it on.
    pub expires: Timestamp,
    /// How far it is.
    pub state: State,
    /// Since when.
    pub updated: Timestamp,
    /// Why it failed or was withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Object>,
    /// Who withdrew it: the token's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// All that an agent says of itself, as a whole: what is absent is not known any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Report {
    /// The agent program's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Name>,
    /// What it can be told: actions, and names of custom ones; at most [`crate::limits::REPORTED`].
    pub capabilities: Vec<Name>,
    /// The model that it uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Name>,
    /// What it does: `idle`, `thinking`, `held`, `compacting`, or the vendor's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Name>,
    /// Whether it is signed in to its vendor: `ok`, `needs_login`, `in_progress`, or the vendor's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub login: Option<Name>,
    /// Its sessions, at most [`crate::limits::REPORTED`].
    pub sessions: Vec<SessionReport>,
}

/// One session of a [`Report`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionReport {
    /// Its id.
    pub id: Name,
    /// What it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Name>,
    /// Its model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Name>,
}

/// What an agent says of a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Acknowledgement {
    /// `acked`, `done` or `failed`.
    pub state: State,
    /// Why it failed; at most [`crate::limits::REASON`] bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What came of it; at most [`crate::limits::MESSAGE`] bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Object>,
}

/// What a wait or a report is answered with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outstanding {
    /// What to send as `after` next.
    pub cursor: Seq,
    /// The log that it is a place in; absent in what a server of before says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// Oldest first.
    pub commands: Vec<Command>,
    /// Another connection of the same agent has come since: this one is to end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replaced: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_as_it_is_written() {
        for action in Action::ALL {
            assert_eq!(action.as_str().parse(), Ok(*action));
            assert_eq!(serde_json::to_string(action).unwrap(), format!("\"{action}\""));
        }
        for state in State::ALL {
            assert_eq!(state.as_str().parse(), Ok(*state));
        }
        let error = "nap".parse::<State>().unwrap_err().to_string();
        assert!(error.starts_with("is no state; there are queued, delivered"), "{error}");
    }
}
