//! `turnwire token`: who may do what, and until when.

use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};
use turnwire_proto::{Name, Scope};

use super::{DataDir, span};

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    Create(TokenCreate),
    List(TokenList),
    Revoke(TokenRevoke),
}

/// Make a token; it is shown once and stored only as a hash
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Scopes: read, publish, control, each also for one session as read:session:ID; agent:NAME; admin.

Examples:
  turnwire token create --name ci --scope publish
  turnwire token create --name wall --scope read --expires 30d --quiet > wall.token

It works on the data directory, beside a running gateway or without one.")]
pub(crate) struct TokenCreate {
    /// What it is for
    #[arg(long, value_name = "NAME")]
    pub name: Name,
    /// What it may do (repeatable)
    #[arg(long, value_name = "SCOPE", required = true, value_delimiter = ',')]
    pub scope: Vec<Scope>,
    /// When it ends: 90s, 12h, 30d [default: never]
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub expires: Option<Duration>,
    /// Print the token alone
    #[arg(short, long, conflicts_with = "json")]
    pub quiet: bool,
    /// Print it as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub data: DataDir,
}

/// List tokens: names, scopes, when they were made and last used
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  turnwire token list\n  turnwire token list --json")]
pub(crate) struct TokenList {
    /// One token's JSON a line
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub data: DataDir,
}

/// Revoke a token: its open streams end at once
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  turnwire token revoke 0199e0a2   the beginning of an id is enough")]
pub(crate) struct TokenRevoke {
    /// The token's id from `token list`, or the beginning of it
    #[arg(value_name = "ID")]
    pub id: String,
    #[command(flatten)]
    pub data: DataDir,
}
