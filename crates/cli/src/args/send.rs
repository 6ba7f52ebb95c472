//! What may be typed after `turnwire send`.

use std::time::Duration;

use clap::Args as ClapArgs;
use turnwire_proto::{EventId, Name};

use super::{Gateway, span};

/// Say something to an agent and print its reply
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  turnwire send builder 'Run the tests again'
  turnwire send builder --session 8c3c 'And now fix them'
  git diff | turnwire send reviewer -              what is said is standard input
  turnwire send builder --no-wait 'Take your time'
  turnwire send builder 'How many failed?' --json | jq -r .reply

The agent's turn goes on whatever happens to this command. Exit code 75 says that the reply has not come in time; the same \
with the --id that is then told has it, as soon as there is one.")]
pub(crate) struct Send {
    /// Whom it is for
    #[arg(value_name = "AGENT")]
    pub agent: Name,
    /// What to say; `-` reads it from standard input
    #[arg(value_name = "TEXT")]
    pub text: String,
    /// The session in which it is said [default: a new one]
    #[arg(long, value_name = "ID")]
    pub session: Option<Name>,
    /// The message's identity: said again under it, it is the same message [default: a new one]
    #[arg(long, value_name = "UUID")]
    pub id: Option<EventId>,
    /// How long to wait for the reply [default: as long as the gateway permits]
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub wait: Option<Duration>,
    /// Do not wait for it
    #[arg(long, conflicts_with = "wait")]
    pub no_wait: bool,
    /// Print the gateway's whole answer
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub gateway: Gateway,
}
