//! `turnwire watch`: the files that agents leave on disk.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueHint};
use turnwire_proto::Name;

use super::{AUTO, Gateway, Wait, adapters, with_adapters};

/// Follow the files that agents write, and publish what is in them
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = with_adapters("\
Examples:
  turnwire watch --all                             Claude Code, Codex, Gemini CLI and opencode, where they keep their sessions
  turnwire watch --claude --import --once          all of Claude Code's transcripts, then end
  turnwire watch --waza results                    runs of waza that log into this directory
  turnwire watch logs --pattern '**/agent-*.jsonl' --adapter lines
  turnwire watch session.jsonl                     one file; its first line says whose it is

A line is published when it is whole, and once: places in files are kept on disk, and every event has an id that says what \
it tells, so that stopping, killing and starting again repeats nothing and skips nothing. Rotated, truncated, replaced, renamed \
and deleted files are seen.

Of files that are there when a directory is first followed only what is new is published; --import publishes all of them. \
What appears later, also while nothing followed, is read from its start. See docs/watch.md."))]
pub(crate) struct Watch {
    /// Directories, which may grow, or files
    #[arg(value_name = "DIR", value_hint = ValueHint::AnyPath)]
    pub dirs: Vec<PathBuf>,
    /// Claude Code's transcripts: ~/.claude/projects
    #[arg(long)]
    pub claude: bool,
    /// Codex's rollouts: ~/.codex/sessions
    #[arg(long)]
    pub codex: bool,
    /// Gemini CLI's chats: ~/.gemini/tmp
    #[arg(long)]
    pub gemini: bool,
    /// opencode's sessions: ~/.local/share/opencode/opencode.db
    #[arg(long)]
    pub opencode: bool,
    /// Runs of waza that are logged into this directory (repeatable)
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub waza: Vec<PathBuf>,
    /// All agents whose places are known: --claude --codex --gemini --opencode
    #[arg(long)]
    pub all: bool,
    /// How to read the files in DIR, see below; auto: each by its first line
    #[arg(long, default_value = AUTO, value_name = "NAME", value_parser = adapters(), hide_possible_values = true, requires = "dirs")]
    pub adapter: String,
    /// Which files in DIR; without a slash at every depth
    #[arg(long, value_name = "GLOB", default_value = "*.jsonl", requires = "dirs")]
    pub pattern: String,
    /// The agent's name [default: none; sessions say whose they are]
    #[arg(long, value_name = "NAME")]
    pub agent: Option<Name>,
    /// Publish what was there before, too
    #[arg(long)]
    pub import: bool,
    /// End when all that is there has been read
    #[arg(long)]
    pub once: bool,
    /// Look again and again, where the kernel does not tell of changes as it should
    #[arg(long)]
    pub poll: bool,
    /// Print a summary as JSON at the end
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub gateway: Gateway,
}
