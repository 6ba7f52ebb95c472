//! Approvals: questions that an agent waits on, and what people decide.

use serde::{Deserialize, Serialize};

use crate::{Json, Name, Object, Seq, Timestamp, words::words};

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
    /// What it would be called with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Json>,
    /// What to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// When it was asked.
    pub requested: Timestamp,
    /// When it expires; absent when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// How it stands.
    pub state: State,
    /// When it came to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Timestamp>,
    /// Who decided: a token's name, `rule`, or absent when the agent's own side did.
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
