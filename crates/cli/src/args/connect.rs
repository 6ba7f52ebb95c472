//! `turnwire connect`: what an agent has to be told so that it reports here by OpenTelemetry.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum, ValueHint};
use turnwire_proto::Name;

/// Print what makes an unchanged agent report here by OpenTelemetry: its environment variables, or lines for its settings
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  eval \"$(turnwire connect claude)\"                this shell's Claude Code reports here from now on
  turnwire connect codex >> ~/.codex/config.toml   Codex has no variables for it, but settings
  eval \"$(turnwire connect gemini --agent tester)\" under a name of its own
  turnwire connect otel --shell fish | source      any program with an OpenTelemetry SDK
  turnwire connect claude --token \"$TOKEN\" --url https://agents.example.org

Without --token it makes a token that may publish and nothing else; `turnwire token list` shows it, `turnwire token revoke` ends it. \
What is printed holds the token.")]
pub(crate) struct Connect {
    /// Who is to report
    #[arg(value_enum)]
    pub who: Who,
    /// For which shell
    #[arg(long, value_enum, default_value_t = Shell::Posix)]
    pub shell: Shell,
    /// Leave out what is said and done: prompts, answers, arguments of tools
    #[arg(long)]
    pub no_content: bool,
    /// The agent's name here [default: the vendor's, or the service's]
    #[arg(long, value_name = "NAME")]
    pub agent: Option<Name>,
    /// Print {"env","settings"?} as JSON
    #[arg(long, conflicts_with = "shell")]
    pub json: bool,
    /// The token to print, rather than a new one
    #[arg(long, value_name = "TOKEN", help_heading = "Gateway")]
    pub token: Option<String>,
    /// The gateway's address; without it, the gateway that runs on the data directory
    #[arg(long, env = "TURNWIRE_URL", value_name = "URL", value_hint = ValueHint::Url, help_heading = "Gateway")]
    pub url: Option<String>,
    /// The data directory of a gateway on this machine [default: $XDG_DATA_HOME/turnwire or ~/.local/share/turnwire]
    #[arg(long, env = "TURNWIRE_DATA_DIR", value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = "Gateway")]
    pub data_dir: Option<PathBuf>,
}

/// Who can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Who {
    /// Claude Code
    Claude,
    /// Codex: lines for ~/.codex/config.toml
    Codex,
    /// Gemini CLI
    Gemini,
    /// Any program with an OpenTelemetry SDK
    Otel,
}

/// How a variable is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// sh, bash, zsh
    #[value(alias = "sh", alias = "bash", alias = "zsh")]
    Posix,
    Fish,
    #[value(alias = "pwsh")]
    Powershell,
}
