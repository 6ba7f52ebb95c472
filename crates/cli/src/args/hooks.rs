//! `turnwire hook` and `turnwire hooks`: agents that were not started here.

use std::{path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, Subcommand, ValueEnum, ValueHint};
use turnwire_proto::Name;

use super::{Gateway, span};

/// Be a hook of an agent: a payload on standard input, the decision on standard output
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  turnwire hook claude                             what `turnwire hooks install` writes into Claude Code's settings
  turnwire hook claude --gate                      for PreToolUse: every tool call waits for a decision
  turnwire hook codex                              as the program of Codex's `notify` it takes the payload as its last argument

What the payload tells is kept on disk until the gateway has it. A call never fails or holds up the agent, but for one \
that asks: it waits for the decision of a person, and when the gateway cannot be asked it is denied.

The exit code is 0 whatever happens: an agent takes others for a verdict.")]
pub(crate) struct Hook {
    /// Whose hook it is
    #[arg(value_enum, default_value_t = Vendor::Claude)]
    pub vendor: Vendor,
    /// The payload, where it is not on standard input
    #[arg(value_name = "PAYLOAD")]
    pub payload: Option<String>,
    /// The agent's name [default: claude-code, codex-cli, gemini-cli]
    #[arg(long, value_name = "NAME")]
    pub agent: Option<Name>,
    /// Ask about every tool call before it is made
    #[arg(long)]
    pub gate: bool,
    /// How long to wait for a decision: less than the agent gives its hook
    #[arg(long, value_name = "TIME", default_value = "570s", value_parser = span)]
    pub wait: Duration,
    #[command(flatten)]
    pub gateway: Gateway,
}

/// Whose hooks are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Vendor {
    /// Claude Code
    Claude,
    /// Codex
    Codex,
    /// Gemini CLI
    Gemini,
}

/// Put hooks into an agent's settings, take them out, or show them
#[derive(Debug, Subcommand)]
pub(crate) enum Hooks {
    Install(HooksInstall),
    Uninstall(HooksUninstall),
    Show(HooksShow),
}

/// Have every session of Claude Code, Codex or Gemini CLI tell the gateway what it does, and ask it for permissions
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  turnwire hooks install                           for all of your sessions
  turnwire hooks install --codex                   for Codex; --gemini for Gemini CLI
  turnwire hooks install --project .               for those in this directory
  turnwire hooks install --gate --yes              ask about every tool call; no question before writing
  turnwire hooks install --http                    no program for each hook, but a token in the environment

It shows what it would change and asks. What else is in the file stays as it is, byte for byte; a copy of the file is kept \
beside it. Sessions that run already take the hooks over at their next start.")]
pub(crate) struct HooksInstall {
    #[command(flatten)]
    pub file: SettingsFile,
    /// Hooks that run `turnwire hook`, which finds the gateway and its token by itself (the default)
    #[arg(long, conflicts_with = "http")]
    pub command: bool,
    /// Hooks that the agent posts itself; TURNWIRE_TOKEN must be in its environment. Claude Code only
    #[arg(long, conflicts_with_all = ["codex", "gemini"])]
    pub http: bool,
    /// Ask about every tool call, not only where the agent itself would
    #[arg(long)]
    pub gate: bool,
    /// The agent's name [default: claude-code, codex-cli, gemini-cli]
    #[arg(long, value_name = "NAME")]
    pub agent: Option<Name>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    #[command(flatten)]
    pub gateway: Gateway,
}

/// Take exactly those hooks out again
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  turnwire hooks uninstall
  turnwire hooks uninstall --project . --yes")]
pub(crate) struct HooksUninstall {
    #[command(flatten)]
    pub file: SettingsFile,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// Show which hooks are there
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  turnwire hooks show
  turnwire hooks show --project .")]
pub(crate) struct HooksShow {
    #[command(flatten)]
    pub file: SettingsFile,
}

/// Which settings
#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct SettingsFile {
    /// Claude Code's (the default)
    #[arg(long, conflicts_with_all = ["codex", "gemini"])]
    pub claude: bool,
    /// Codex's
    #[arg(long, conflicts_with = "gemini")]
    pub codex: bool,
    /// Gemini CLI's
    #[arg(long)]
    pub gemini: bool,
    /// Those of all your sessions (the default): ~/.claude/settings.json, or in $CLAUDE_CONFIG_DIR; ~/.codex/hooks.json, or in
    /// $CODEX_HOME; ~/.gemini/settings.json
    #[arg(long, conflicts_with = "project")]
    pub user: bool,
    /// Those of a project: the same file in DIR/.claude, DIR/.codex or DIR/.gemini
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub project: Option<PathBuf>,
}

impl SettingsFile {
    /// Whose they are.
    pub(crate) const fn vendor(&self) -> Vendor {
        match (self.codex, self.gemini) {
            (true, _) => Vendor::Codex,
            (_, true) => Vendor::Gemini,
            _ => Vendor::Claude,
        }
    }
}
