//! What may be typed to see agents, to order them, and to decide what they ask.

use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use turnwire_proto::{EventId, Name, command::Action};

use super::{Gateway, span};

/// List agents: who is there, what it does, what waits for it
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  turnwire agents\n  turnwire agents --json | jq -r 'select(.online).name'")]
pub(crate) struct Agents {
    /// One agent's JSON a line
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub gateway: Gateway,
}

/// Tell an agent to stop, hold, go on, compact, or use another model
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  turnwire order builder interrupt                 stop what is being done now, and listen
  turnwire order builder hold 'deploy freeze'      begin no turn until `release`
  turnwire order builder set-model opus
  turnwire order builder compact 'keep the test plan' --session 8c3c
  turnwire order builder custom ping '{\"n\":1}'

It waits until the agent has done it. Exit code 75 says that this has not happened in time: the order stands, until it expires \
or `turnwire order --withdraw ID` takes it back.")]
pub(crate) struct Order {
    /// Whom it is for
    #[arg(value_name = "AGENT", required_unless_present = "withdraw")]
    pub agent: Option<Name>,
    /// What to do
    #[arg(value_name = "ORDER", required_unless_present = "withdraw")]
    pub order: Option<What>,
    /// What set-model, set-permission-mode and stop-task need, and what may be said with hold, release, compact and new-session; for custom its name and a JSON object
    #[arg(value_name = "WITH", num_args = 0..=2)]
    pub with: Vec<String>,
    /// Of the agent's sessions, which one [default: what the agent makes of that]
    #[arg(long, value_name = "ID")]
    pub session: Option<Name>,
    /// Take this order back instead
    #[arg(long, value_name = "UUID", conflicts_with_all = ["agent", "session"])]
    pub withdraw: Option<EventId>,
    /// How long to wait until it is done
    #[arg(long, value_name = "TIME", value_parser = span, default_value = "30s")]
    pub wait: Duration,
    /// Do not wait until it is done
    #[arg(long, conflicts_with = "wait")]
    pub no_wait: bool,
    /// Print the order as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub gateway: Gateway,
}

/// An action but `message`, which is `turnwire send`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// End the turn, and what waits behind it
    Cancel,
    /// Stop what is being done now, and listen
    Interrupt,
    /// Begin no turn until released
    Hold,
    /// Go on
    Release,
    /// Make the context shorter
    Compact,
    /// Use this model from the next turn on
    SetModel,
    /// Begin with an empty context
    NewSession,
    /// Ask before other things than now
    SetPermissionMode,
    /// End a task that runs beside the turn
    StopTask,
    /// What only this agent knows
    Custom,
}

impl What {
    /// The action, and the argument that the word behind it is; whether it needs one.
    pub(crate) const fn action(self) -> (Action, Option<(&'static str, bool)>) {
        match self {
            Self::Cancel => (Action::Cancel, None),
            Self::Interrupt => (Action::Interrupt, None),
            Self::Hold => (Action::Hold, Some(("reason", false))),
            Self::Release => (Action::Release, Some(("reason", false))),
            Self::Compact => (Action::Compact, Some(("instructions", false))),
            Self::SetModel => (Action::SetModel, Some(("model", true))),
            Self::NewSession => (Action::NewSession, Some(("prompt", false))),
            Self::SetPermissionMode => (Action::SetPermissionMode, Some(("mode", true))),
            Self::StopTask => (Action::StopTask, Some(("task_id", true))),
            Self::Custom => (Action::Custom, Some(("name", true))),
        }
    }
}

#[derive(Debug, ClapArgs)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  turnwire approvals                               what waits for a person
  turnwire approvals approve 88aa                  the beginning of an id is enough
  turnwire approvals approve 88aa --always         this tool may run in this session from now on
  turnwire approvals approve 88aa --arguments '{\"command\":\"ls\"}'
  turnwire approvals deny 88aa 91f0 --message 'not on the main branch'

Exit code 1 says that one of them was decided before, or is not there."
)]
pub(crate) struct Approvals {
    #[command(subcommand)]
    pub command: Option<ApprovalsCommand>,
    /// Those that are decided, too
    #[arg(long)]
    pub all: bool,
    /// One approval's JSON a line
    #[arg(long)]
    pub json: bool,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
    #[command(flatten)]
    pub gateway: Gateway,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsCommand {
    Approve(Approve),
    Deny(Deny),
}

/// Let tools run that wait for it
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  turnwire approvals approve 88aa
  turnwire approvals approve 88aa --arguments '{\"command\":\"ls\"}'")]
pub(crate) struct Approve {
    /// Which: ids, or their beginnings
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
    /// Let this tool run in this session without asking again
    #[arg(long)]
    pub always: bool,
    /// What the tool is called with instead: a JSON object (of one approval)
    #[arg(long, value_name = "JSON")]
    pub arguments: Option<String>,
    /// What the agent is told
    #[arg(long, value_name = "TEXT")]
    pub message: Option<String>,
    #[command(flatten)]
    pub gateway: Gateway,
}

/// Do not let them run
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  turnwire approvals deny 88aa 91f0 --message 'not on the main branch'")]
pub(crate) struct Deny {
    /// Which: ids, or their beginnings
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
    /// What the agent is told
    #[arg(long, value_name = "TEXT")]
    pub message: Option<String>,
    #[command(flatten)]
    pub gateway: Gateway,
}
