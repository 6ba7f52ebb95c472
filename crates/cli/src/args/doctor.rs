//! `doctor` and its parts.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args as ClapArgs, Subcommand, ValueHint};

use super::{DataDir, Gateway};

/// Check that everything is as it should be, and say what to do where it is not
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "\
Examples:
  turnwire doctor
  turnwire doctor --json | jq 'select(.state!=\"ok\")'
  turnwire doctor redaction                        what is replaced before it is written, and what is not

Each line is ok, warn or fail; exit code 1 when something fails.",
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Doctor {
    #[command(subcommand)]
    pub what: Option<DoctorOf>,
    /// The address that `serve` will want
    #[arg(
        long,
        env = "TURNWIRE_LISTEN",
        default_value = "127.0.0.1:8876",
        value_name = "ADDR:PORT"
    )]
    pub listen: SocketAddr,
    /// The configuration file of `serve` [default: turnwire.toml in the data directory, where there is one]
    #[arg(long, env = "TURNWIRE_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// One check's JSON a line
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub gateway: Gateway,
}

/// One part alone
#[derive(Debug, Subcommand)]
pub(crate) enum DoctorOf {
    Redaction(Redaction),
}

/// Check that secrets are replaced and what is like them is not, or see what would be replaced in a text
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  turnwire doctor redaction                        the self-test; exit code 1 when one of its lines fails
  git log -p | turnwire doctor redaction -         what would be written of a text

Patterns of the configuration file are used, too.")]
pub(crate) struct Redaction {
    /// `-`: read a text from standard input, and print what would be written of it
    #[arg(value_name = "-", value_parser = ["-"])]
    pub text: Option<String>,
    /// One line of JSON for each sample, or for the text
    #[arg(long)]
    pub json: bool,
    /// The configuration file [default: turnwire.toml in the data directory, where there is one]
    #[arg(long, env = "TURNWIRE_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub data_dir: DataDir,
}
