//! Approvals: questions that an agent waits on, and what people decide.

use serde::{Deserialize, Serialize};

use crate::{ErrorInside, Json, Name, Object, Seq, Timestamp, words::words};

words! {
    /// How an approval stands.
    State, "state" {
        /// Nobody has decided.
        Pending = "pending",
        /// The tool may run, with other arguments where there are some.
        Approved = "approved",
        /// It may not.
        Denied = "denied",
        /// Nobody has decided in time.
        Expired = "expired",
        /// The agent does not wait any more.
        Withdrawn = "withdrawn",
    }
}

words! {
    /// What a person says of it.
    Choice, "decision" {
        /// Do it.
        Approve = "approve",
        /// Do not.
        Deny = "deny",
    }
}

/// One approval, as everybody sees it who may.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    /// Where its `approval_request` stands.
    pub seq: Seq,
    /// Its identity: the request's `approval_id`.
    pub id: Name,
    /// The session that waits.
    pub session_id: Name,
    /// The agent that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Name>,
    /// The turn that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_id: Option<Name>,
    /// What wants to run.
    pub tool: String,
    /// Its call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// What it would be called with: whole up to [`crate::limits::MESSAGE`] bytes, of more a part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Json>,
    /// How many bytes the whole has, where `arguments` is a part of it. The whole is in the event at `seq`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments_bytes: Option<u32>,
    /// What to show, at most 4 KiB of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// How many bytes the whole has, where `title` is a part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title_bytes: Option<u32>,
    /// When it was asked.
    pub requested: Timestamp,
    /// When it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// How it stands.
    pub state: State,
    /// When it came to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Timestamp>,
    /// Where the `approval_decision` stands that decided it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_seq: Option<Seq>,
    /// Who decided: a token's name, `rule`, what the agent's own side says, or absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What the agent is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What the tool is called with instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_arguments: Option<Json>,
    /// The decision stands for every later call of this tool in this session.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub always: bool,
}

/// What is sent to decide one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// What is decided.
    pub decision: Choice,
    /// What the agent is told; at most [`crate::limits::MESSAGE`] bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// With `approve`: what the tool is called with instead; at most [`crate::limits::MESSAGE`] bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Object>,
    /// With `approve`: let this tool run in this session without asking again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub always: bool,
}

/// What is sent to decide many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decisions {
    /// Which, at most [`crate::limits::PAGE`].
    pub ids: Vec<Name>,
    /// As of [`Decision`].
    pub decision: Choice,
    /// As of [`Decision`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// As of [`Decision`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub always: bool,
}

/// What came of one of many: the approval, or why it was not decided so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// Which.
    pub id: Name,
    /// As it stands now, where it was decided so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// Why it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorInside>,
}
