//! What may be typed after `turnwire agent`.

use std::{ffi::OsString, path::PathBuf};

use clap::{
    Args as ClapArgs, ValueHint,
    builder::{PossibleValue, PossibleValuesParser},
};
use turnwire_proto::Name;
use turnwire_runner::DRIVERS;

use super::Gateway;

/// Run an agent that people talk to through the gateway
#[derive(Debug, ClapArgs)]
#[command(after_help = with_drivers("\
Examples:
  turnwire agent --name helper --adapter claude --cwd ~/project
  turnwire agent --name helper --adapter claude -- --allowedTools Read,Grep
  turnwire agent --name shell --adapter lines -- ./answer.sh

It hears orders over one connection that it opens itself, so it works behind NAT. What it was told, its sessions and its model \
outlive it; a turn that is open when it ends is closed. The agent's program, and all that it started, ends with it.

A key for it, for a gateway elsewhere: `turnwire token create --name helper --scope agent:helper,publish`. \
SIGINT, SIGTERM or SIGHUP ends it gracefully, a second one at once."))]
pub(crate) struct Agent {
    /// What it is called; orders are for this name
    #[arg(long, value_name = "NAME")]
    pub name: Name,
    /// What drives it, see below
    #[arg(long, value_name = "NAME", value_parser = drivers(), hide_possible_values = true)]
    pub adapter: String,
    /// Where its program works [default: here]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub cwd: Option<PathBuf>,
    /// Its first model, in the vendor's word; one that was chosen since stays
    #[arg(long, value_name = "MODEL")]
    pub model: Option<Name>,
    /// Its first permission mode, in the vendor's word; one that was chosen since stays
    #[arg(long, value_name = "MODE")]
    pub permission_mode: Option<Name>,
    /// The vendor's program, where it is not in PATH by its usual name
    #[arg(long, value_name = "FILE", value_hint = ValueHint::ExecutablePath)]
    pub program: Option<OsString>,
    /// Programs that run at once; of more sessions the one that has been idle longest is ended, and resumed when it is needed
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub max_sessions: u16,
    /// Where it keeps what outlives it [default: agents/NAME in the data directory]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub state_dir: Option<PathBuf>,
    /// Print what happens as JSON, one object a line
    #[arg(long)]
    pub json: bool,
    /// Say nothing but errors
    #[arg(short, long, conflicts_with = "json")]
    pub quiet: bool,
    #[command(flatten)]
    pub gateway: Gateway,
    /// More arguments for the vendor's program; for `lines` the command and its arguments
    #[arg(last = true, help_heading = None, value_name = "ARGS", value_hint = ValueHint::CommandWithArguments)]
    pub args: Vec<OsString>,
}

fn drivers() -> PossibleValuesParser {
    PossibleValuesParser::new(DRIVERS.iter().map(|spec| PossibleValue::new(spec.name)))
}

fn with_drivers(help: &str) -> String {
    let lines = DRIVERS
        .iter()
        .map(|spec| format!("\n  {:<10} {}", spec.name, spec.description));
    format!("Adapters:{}\n\n{help}", lines.collect::<String>())
}
