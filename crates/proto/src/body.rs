//! The typed bodies of the known kinds. A body that came from outside may have more fields than these, or other ones:
//! read it with [`crate::Object::read`], and be ready for an error.
//!
//! Every optional field is absent when it is not known, never null. Durations are whole milliseconds, money US dollars.

use serde::{Deserialize, Serialize};

use crate::{Json, Seq};

macro_rules! bodies {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {
        $($(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        })*
    };
}

/// Shorthand in this file: an optional field is left out when there is nothing to say.
macro_rules! optional_bodies {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* } with { $($(#[$opt_doc:meta])* $opt:ident: $opt_type:ty,)* })*) => {
        $($(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
            $($(#[$opt_doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $opt: Option<$opt_type>,)*
        })*
    };
}

bodies! {
    /// Of kinds whose name says all.
    Empty {}
    /// Of `note`.
    Note {
        /// What it says.
        text: String,
    }
    /// Of `model_changed`.
    ModelChanged {
        /// The vendor's name of the model.
        model: String,
    }
}

optional_bodies! {
    /// Of `session_start`. What a vendor says of its surroundings (tools, servers, version) stays beside these fields.
    SessionStart {} with {
        /// The vendor's name of the model.
        model: String,
        /// The working directory.
        cwd: String,
        /// The agent program's version.
        version: String,
        /// The agent program's permission mode.
        permission_mode: String,
        /// What it may call.
        tools: Vec<String>,
        /// The vendor's own id of the conversation: what resumes it.
        vendor_session_id: String,
    }
    /// Of `session_end`.
    SessionEnd {} with {
        /// The process's exit code.
        exit_code: i32,
        /// Why, in the vendor's word or ours (`killed`, `exit`).
        reason: String,
    }
    /// Of `session_renamed`.
    SessionRenamed {
        /// Its title from here on.
        title: String,
    } with {
        /// Who gave it.
        by: String,
    }
    /// Of `turn_start`.
    TurnStart {
        /// Who asks: `user`, or an agent's name.
        from: String,
        /// The prompt.
        body: String,
        /// Messages still waiting.
        unread: u64,
    } with {}
    /// Of `turn_end`.
    TurnEnd {
        /// Whether it ended as it should.
        ok: bool,
    } with {
        /// Why not, or what is to be said beside.
        note: String,
        /// How long.
        duration_ms: u64,
        /// Tokens of the whole turn.
        usage: Usage,
        /// What it cost.
        cost_usd: f64,
        /// Requests to the model.
        num_turns: u64,
        /// What was refused, as the vendor lists it.
        permission_denials: Json,
    }
    /// Of `turn_state_changed`.
    TurnState {
        /// `idle`, `thinking`, `compacting`, `needs_approval`, `needs_answer`, `rate_limited`, `stalled`.
        state: String,
    } with {
        /// Since when, RFC 3339.
        since: String,
        /// Why, such as a retry's number and delay.
        note: String,
    }
    /// Of `message`.
    Message {
        /// `user`, `assistant`, `system`.
        role: String,
        /// The text.
        content: String,
    } with {
        /// The vendor's id of it: the deltas before it have the same.
        message_id: String,
        /// The model that said it.
        model: String,
        /// The call of the subagent that said it.
        parent_tool_call_id: String,
        /// It is all that was said in its turn, put together.
        whole_turn: bool,
    }
    /// Of `text_delta`, `reasoning_delta` and `reasoning`.
    TextDelta {
        /// The piece, or for `reasoning` the whole.
        content: String,
    } with {
        /// The message it is a piece of.
        message_id: String,
        /// The call of the subagent that said it.
        parent_tool_call_id: String,
    }
    /// Of `tool_call_start`.
    ToolCallStart {
        /// The tool's name.
        tool: String,
        /// The vendor's id of the call.
        tool_call_id: String,
    } with {
        /// What it was called with.
        arguments: Json,
        /// The call of the subagent that called it.
        parent_tool_call_id: String,
    }
    /// Of `tool_progress`.
    ToolProgress {
        /// The call.
        tool_call_id: String,
    } with {
        /// The tool's name.
        tool: String,
        /// A piece of output, or what it is doing.
        content: String,
        /// A piece of the arguments' JSON text, while the model still writes them: before the call's start.
        arguments_delta: String,
        /// How long so far.
        elapsed_ms: u64,
    }
    /// Of `tool_call`.
    ToolCall {
        /// The tool's name.
        tool: String,
        /// The vendor's id of the call.
        tool_call_id: String,
        /// Whether it did what it was called for.
        success: bool,
    } with {
        /// From start to end; absent when the start was not seen.
        duration_ms: u64,
        /// What it answered: a string, or what the vendor's structure is.
        output: Json,
        /// Why it failed: the vendor's word (`denied`, `exit 1`, …).
        error: String,
        /// The call of the subagent that called it.
        parent_tool_call_id: String,
    }
    /// Of `llm_request`.
    LlmRequest {} with {
        /// The vendor's name of the model.
        model: String,
        /// Who serves it.
        model_provider: String,
        /// Messages sent.
        messages_count: u64,
        /// Until the answer was whole.
        duration_ms: u64,
    }
    /// Of `usage`.
    Usage {} with {
        /// Tokens sent, without those from a cache.
        input_tokens: u64,
        /// Tokens made.
        output_tokens: u64,
        /// Tokens read from a cache.
        cache_read_input_tokens: u64,
        /// Tokens written to a cache.
        cache_creation_input_tokens: u64,
        /// Tokens of reasoning, where the vendor counts them apart.
        reasoning_tokens: u64,
        /// The vendor's name of the model.
        model: String,
        /// What they cost.
        cost_usd: f64,
        /// Tokens in the model's context now, where the source says it. No sum.
        context_tokens: u64,
        /// Tokens that the model's context takes.
        context_window: u64,
    }
    /// Of `memory`.
    Memory {
        /// `recall`, `store`.
        action: String,
    } with {
        /// What was looked for.
        query: String,
        /// How many were found.
        count: u64,
        /// Where.
        source: String,
    }
    /// Of `status_changed`.
    StatusChanged {
        /// `online`, `offline`, `rate_limited`, `needs_login_idle`, `needs_login_in_progress`.
        status: String,
    } with {
        /// More about it.
        note: String,
    }
    /// Of `error`.
    ErrorBody {
        /// What failed.
        component: String,
        /// How.
        message: String,
    } with {
        /// Whether it will be tried again.
        retry: bool,
    }
    /// Of `agent_start`.
    AgentStart {} with {
        /// The vendor's name of the model.
        model: String,
        /// Who serves it.
        model_provider: String,
    }
    /// Of `agent_end`.
    AgentEnd {} with {
        /// The vendor's name of the model.
        model: String,
        /// Who served it.
        model_provider: String,
        /// How long it ran.
        duration_ms: u64,
        /// Tokens in all.
        usage: Usage,
        /// What it cost.
        cost_usd: f64,
    }
    /// Of `agent_state`: all of it, not what has changed. Its sessions are not here: they are not for every reader.
    AgentState {
        /// What it can be told.
        capabilities: Vec<String>,
    } with {
        /// The agent program's version.
        version: String,
        /// The model that it uses.
        model: String,
        /// What it does.
        state: String,
        /// Whether it is signed in to its vendor.
        login: String,
    }
    /// Of `approval_request`.
    ApprovalRequest {
        /// Its identity.
        approval_id: String,
        /// The tool that waits.
        tool: String,
    } with {
        /// The call that waits.
        tool_call_id: String,
        /// What it would be called with.
        arguments: Json,
        /// What to show.
        title: String,
        /// When it expires, RFC 3339.
        expires_at: String,
    }
    /// Of `approval_decision`.
    ApprovalDecision {
        /// Which request.
        approval_id: String,
        /// `approved`, `denied`, `expired`, `withdrawn`.
        decision: String,
    } with {
        /// Who decided.
        by: String,
        /// What is to be told to the agent.
        message: String,
        /// Other arguments than it asked for.
        arguments: Json,
        /// Every later call of this tool in this session is approved too.
        always: bool,
    }
    /// Of `command`.
    CommandBody {
        /// Its identity.
        command_id: String,
        /// What to do.
        action: String,
    } with {
        /// With what.
        arguments: Json,
        /// Who ordered it.
        actor: String,
        /// When it is no longer wanted, RFC 3339.
        expires_at: String,
    }
    /// Of `command_state`.
    CommandState {
        /// Which command.
        command_id: String,
        /// `queued`, `delivered`, `acked`, `done`, `failed`, `expired`, `withdrawn`.
        state: String,
    } with {
        /// Why it failed or was withdrawn.
        reason: String,
        /// What came of it.
        result: Json,
        /// Who withdrew it.
        by: String,
    }
    /// Of `task_start`.
    TaskStart {
        /// The task.
        task: String,
    } with {
        /// Which one, from 1.
        number: u64,
        /// Of how many.
        total: u64,
    }
    /// Of `task_complete`.
    TaskComplete {
        /// The task.
        task: String,
        /// `passed`, `failed`, `error`, `n/a`.
        outcome: String,
    } with {
        /// From 0 to 1.
        score: f64,
        /// How long.
        duration_ms: u64,
    }
    /// Of `grader_result`.
    GraderResult {
        /// The grader.
        grader: String,
        /// Its verdict.
        passed: bool,
    } with {
        /// What kind of grader.
        grader_type: String,
        /// From 0 to 1.
        score: f64,
        /// What it says.
        message: String,
    }
    /// Of `run_complete`.
    RunComplete {} with {
        /// Tasks in all.
        total: u64,
        /// Passed ones.
        passed: u64,
        /// Failed ones.
        failed: u64,
        /// Ones that could not be judged.
        errors: u64,
        /// How long.
        duration_ms: u64,
    }
    /// Of `history_trimmed`.
    HistoryTrimmed {
        /// `events`, `deltas`, `raw`, `session`.
        what: String,
        /// What is before this place is gone.
        before: Seq,
        /// How many.
        count: u64,
    } with {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Object;

    #[test]
    fn what_is_not_known_is_left_out() {
        let call = ToolCall {
            tool: "Bash".into(),
            tool_call_id: "t1".into(),
            success: true,
            ..ToolCall::default()
        };
        assert_eq!(
            Object::of(&call).get(),
            r#"{"tool":"Bash","tool_call_id":"t1","success":true}"#
        );
    }

    #[test]
    fn a_body_with_more_or_fewer_fields_is_still_read() {
        let body = Object::new(Json::parse(r#"{"tool":"x","new":[1],"duration_ms":3}"#).unwrap()).unwrap();
        let call: ToolCall = body.read().unwrap();
        assert_eq!(
            (call.tool.as_str(), call.duration_ms, call.success),
            ("x", Some(3), false)
        );
    }
}
