//! What may be typed: one struct a command, each with examples in its help.

mod agent;
mod connect;
mod doctor;
mod hooks;
mod limits;
mod send;
mod steer;
mod token;
mod watch;

use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{
    ArgAction, Args as ClapArgs, Parser, Subcommand, ValueHint,
    builder::{PossibleValue, PossibleValuesParser},
};
use clap_complete::Shell;
use turnwire_adapters::ADAPTERS;
use turnwire_proto::{Kind, Name, Scope, Seq};

use crate::exit;
pub(crate) use agent::Agent;
pub(crate) use connect::{Connect, Shell as ConnectShell, Who as ConnectWho};
pub(crate) use doctor::{Doctor, DoctorOf, Redaction};
pub(crate) use hooks::{Hook, Hooks, HooksInstall, HooksShow, HooksUninstall, SettingsFile, Vendor};
pub(crate) use limits::LimitFlags;
pub(crate) use send::Send;
pub(crate) use steer::{Agents, Approvals, ApprovalsCommand, Approve, Deny, Order, What};
pub(crate) use token::{Token, TokenCreate, TokenList, TokenRevoke};
pub(crate) use watch::Watch;

/// Watch, replay and steer what AI agents do, and never lose an event.
#[derive(Debug, Parser)]
#[command(name = "turnwire", version, propagate_version = true, after_help = exit::HELP, max_term_width = 110)]
pub(crate) struct Args {
    /// Say more on standard error (twice: even more); RUST_LOG is heeded too
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = 900)]
    pub verbose: u8,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(Box<Serve>),
    Run(Run),
    Agent(Agent),
    Publish(Publish),
    Watch(Watch),
    Hook(Hook),
    /// Put hooks into Claude Code's settings, take them out, or show them
    #[command(subcommand)]
    Hooks(Hooks),
    Connect(Connect),
    Tail(Tail),
    Sessions(Sessions),
    Show(Show),
    Send(Send),
    /// See what waits for a person, and approve or deny it
    Approvals(Approvals),
    Agents(Agents),
    Order(Order),
    /// Make, list and revoke tokens
    #[command(subcommand)]
    Token(Token),
    Pair(Pair),
    Doctor(Doctor),
    Demo(Demo),
    Completions(Completions),
    Man(Man),
}

/// Which gateway, and who asks
#[derive(Clone, Debug, Default, ClapArgs)]
#[command(next_help_heading = "Gateway")]
pub(crate) struct Gateway {
    /// Its address; without it, the gateway that runs on the data directory
    #[arg(long, env = "TURNWIRE_URL", value_name = "URL", value_hint = ValueHint::Url)]
    pub url: Option<String>,
    /// The token; for the gateway on this data directory none is needed
    #[arg(long, env = "TURNWIRE_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub token: Option<String>,
    /// The data directory of a gateway on this machine [default: $XDG_DATA_HOME/turnwire or ~/.local/share/turnwire]
    #[arg(long, env = "TURNWIRE_DATA_DIR", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data_dir: Option<PathBuf>,
}

/// Start a gateway
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  turnwire serve                                   on 127.0.0.1:8876, data in the default directory
  turnwire serve --listen 127.0.0.1:0 --json       any free port; one line of JSON when it is ready
  turnwire serve --listen 0.0.0.0:8876 --allow-remote --allow-host agents.example.org

It prints a link that signs a browser in, once. `turnwire pair` makes another.
SIGINT or SIGTERM ends it gracefully, a second one at once.
What is kept, and every limit, can be set by a variable, too: --keep-raw by TURNWIRE_KEEP_RAW. A flag wins over it.")]
pub(crate) struct Serve {
    /// Where to listen; port 0 takes any free one
    #[arg(
        long,
        env = "TURNWIRE_LISTEN",
        default_value = "127.0.0.1:8876",
        value_name = "ADDR:PORT"
    )]
    pub listen: SocketAddr,
    /// Where to take OTLP over gRPC, too, such as 127.0.0.1:4317 (over HTTP it is always taken)
    #[arg(long, env = "TURNWIRE_OTLP_GRPC", value_name = "ADDR:PORT")]
    pub otlp_grpc: Option<SocketAddr>,
    /// Where the log and all else is kept [default: $XDG_DATA_HOME/turnwire or ~/.local/share/turnwire]
    #[arg(long, env = "TURNWIRE_DATA_DIR", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data_dir: Option<PathBuf>,
    /// Permit an address that other machines can reach
    #[arg(long)]
    pub allow_remote: bool,
    /// Let everyone in who reaches it; only on a loopback address
    #[arg(long, conflicts_with = "allow_remote")]
    pub no_auth: bool,
    /// A host name by which it may be called, besides its address and loopback's names (repeatable)
    #[arg(long, env = "TURNWIRE_ALLOW_HOST", value_name = "HOST", value_delimiter = ',')]
    pub allow_host: Vec<String>,
    /// An origin whose pages may use it, such as <https://agents.example.org:8443>, where a proxy gives it another host (repeatable)
    #[arg(long, env = "TURNWIRE_ALLOW_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    pub allow_origin: Vec<String>,
    /// The configuration file [default: turnwire.toml in the data directory, where there is one]
    #[arg(long, env = "TURNWIRE_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Print {"url","pid","data_dir","epoch"} in one line when it is ready, and nothing else
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub notify: Notify,
    #[command(flatten)]
    pub keep: Keep,
    #[command(flatten)]
    pub limits: LimitFlags,
}

/// Who is told that an agent waits for a decision. Tokens are variables alone: TURNWIRE_NTFY_TOKEN, TURNWIRE_WEBHOOK_TOKEN
#[derive(Clone, Debug, ClapArgs)]
#[command(next_help_heading = "Notification")]
pub(crate) struct Notify {
    /// A URL that gets each approval as JSON
    #[arg(long, env = "TURNWIRE_NOTIFY_WEBHOOK", hide_env_values = true, value_name = "URL")]
    pub notify_webhook: Option<String>,
    /// An ntfy topic, such as <https://ntfy.sh/my-topic>: who knows its name reads what is sent there
    #[arg(long, env = "TURNWIRE_NOTIFY_NTFY", hide_env_values = true, value_name = "URL")]
    pub notify_ntfy: Option<String>,
    /// Under which URL people reach the page, for links [default: where it listens]
    #[arg(long, env = "TURNWIRE_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
}

/// What is kept, and how long: 90s, 12h, 30d, or `forever`
#[derive(Clone, Copy, Debug, ClapArgs)]
#[command(next_help_heading = "Retention")]
pub(crate) struct Keep {
    /// Pieces of text that came whole later
    #[arg(long, env = "TURNWIRE_KEEP_DELTAS", hide_env = true, value_name = "TIME", default_value = "14d", value_parser = kept)]
    pub keep_deltas: Kept,
    /// The vendors' own lines
    #[arg(long, env = "TURNWIRE_KEEP_RAW", hide_env = true, value_name = "TIME", default_value = "14d", value_parser = kept)]
    pub keep_raw: Kept,
    /// Everything else
    #[arg(long, env = "TURNWIRE_KEEP_EVENTS", hide_env = true, value_name = "TIME", default_value = "forever", value_parser = kept)]
    pub keep_events: Kept,
    /// Bytes of events at most, such as 500M or 20G; the oldest go first [default: no limit]
    #[arg(long, env = "TURNWIRE_KEEP_BYTES", hide_env = true, value_name = "SIZE", value_parser = size)]
    pub keep_bytes: Option<u64>,
    /// Sessions at most, the latest active ones; of others all goes [default: no limit]
    #[arg(long, env = "TURNWIRE_KEEP_SESSIONS", hide_env = true, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub keep_sessions: Option<u64>,
    /// Days that a session is kept after the last that was heard of it [default: no limit]
    #[arg(long, env = "TURNWIRE_KEEP_DAYS", hide_env = true, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub keep_days: Option<u32>,
}

/// How long something is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept(pub Option<Duration>);

/// Run an agent, or any command, and record what it prints
#[derive(Debug, ClapArgs)]
#[command(after_help = with_adapters("\
Examples:
  turnwire run -- claude -p 'Fix the tests' --output-format stream-json --verbose
  turnwire run -- codex exec --json 'Fix the tests'
  turnwire run --agent nightly --session build-42 -- ./agent.sh
  turnwire run --adapter lines -- make test

The command's output, input, signals and exit code pass through unchanged. \
At a terminal (standard input and output) the command has a terminal of its own, as wide and as high: colours, drawing \
and keys are as without turnwire. Of what is drawn, what a scrollback would keep is recorded as text. Elsewhere the \
command writes to a pipe, as before `| tee`.

Events go through a spool on disk: a gateway that is slow or away never holds the command up, and what it did not get \
goes out later, once. If a background process keeps the output open after the command has ended, it is left behind after \
a second of silence.

The exit code is the command's; a signal that ended it ends turnwire too; 126 or 127 if it could not be run."))]
pub(crate) struct Run {
    /// How to read its output, see below; auto: by the command, else by the first lines
    #[arg(long, default_value = AUTO, value_name = "NAME", value_parser = adapters(), hide_possible_values = true)]
    pub adapter: String,
    /// The session's id [default: the one that the agent says, else a new one]
    #[arg(long, value_name = "ID")]
    pub session: Option<Name>,
    /// The agent's name [default: the adapter's, else the command's]
    #[arg(long, value_name = "NAME")]
    pub agent: Option<Name>,
    /// Give the command a terminal of its own, wherever its output goes [default: at a terminal only]
    #[arg(long, conflicts_with_all = ["no_pty", "no_stderr"])]
    pub pty: bool,
    /// Never give it one: it writes to a pipe, or keeps our terminal when nothing is known about it
    #[arg(long)]
    pub no_pty: bool,
    /// Do not record standard error; it is then not touched at all, and the command has no terminal of its own
    #[arg(long)]
    pub no_stderr: bool,
    /// Say nothing of our own on standard error
    #[arg(short, long)]
    pub quiet: bool,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub gateway: Gateway,
    /// The command and its arguments
    #[arg(last = true, required = true, help_heading = None, value_name = "CMD", value_hint = ValueHint::CommandWithArguments)]
    pub command: Vec<OsString>,
}

/// How long to wait at the end
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct Wait {
    /// Wait so many seconds at the end until the gateway has everything; without a number as long as it takes [default: 5,
    /// and not at all while there is no gateway]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "inf",
          value_parser = seconds)]
    pub wait: Option<Duration>,
}

/// Publish events from standard input
#[derive(Debug, ClapArgs)]
#[command(after_help = with_adapters("\
Examples:
  claude -p 'Fix the tests' --output-format stream-json --verbose | turnwire publish
  my-agent | turnwire publish --adapter lines --session build-42
  echo '{\"type\":\"note\",\"data\":{\"text\":\"deployed\"}}' | turnwire publish --adapter native --json
  turnwire publish --drain                         send what earlier runs could not

Lines are published as they come, through a spool on disk. What has no session gets one, so that it is \
private to who may read it; `--adapter native` leaves events as they are, and one without a session is seen by every \
reader.

Exit code 75 says that not all is with the gateway yet."))]
pub(crate) struct Publish {
    /// How to read the input, see below; auto: by the first lines
    #[arg(long, default_value = AUTO, value_name = "NAME", value_parser = adapters(), hide_possible_values = true)]
    pub adapter: String,
    /// The session's id [default: the one that the input says, else a new one]
    #[arg(long, value_name = "ID")]
    pub session: Option<Name>,
    /// The agent's name [default: the adapter's]
    #[arg(long, value_name = "NAME")]
    pub agent: Option<Name>,
    /// Only send what is left in the spool
    #[arg(long, conflicts_with_all = ["adapter", "session", "agent"])]
    pub drain: bool,
    /// Print a summary as JSON at the end
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub wait: Wait,
    #[command(flatten)]
    pub gateway: Gateway,
}

/// Follow events as they happen
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  turnwire tail                                    all that happens from now on
  turnwire tail --session 8c3c --tail 50           one session, beginning with its last 50 events
  turnwire tail --after 0 --no-deltas --json       everything from the start, one event a line
  turnwire tail --type tool_call,error

It goes on by itself when the gateway is restarted, from where it was; a gap is told on standard error.")]
pub(crate) struct Tail {
    /// Begin after this place; 0 is the start of the log
    #[arg(long, value_name = "SEQ", conflicts_with = "tail")]
    pub after: Option<Seq>,
    /// Begin with the last N events
    #[arg(short = 'n', long, value_name = "N")]
    pub tail: Option<u32>,
    /// Only this session
    #[arg(long, value_name = "ID")]
    pub session: Option<Name>,
    /// Only these agents
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub agent: Vec<Name>,
    /// Only events of these types
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    pub kind: Vec<Kind>,
    /// Only events of these sources
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub source: Vec<Name>,
    /// Leave out pieces of text that come whole later
    #[arg(long)]
    pub no_deltas: bool,
    /// With the vendor's own lines
    #[arg(long)]
    pub raw: bool,
    /// The events' JSON, one a line
    #[arg(long)]
    pub json: bool,
    /// End after so many events
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,
    #[command(flatten)]
    pub gateway: Gateway,
}

/// List sessions, the latest first
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  turnwire sessions
  turnwire sessions --limit 200 --json | jq -r .id")]
pub(crate) struct Sessions {
    /// How many
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
    /// One session's JSON a line
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub gateway: Gateway,
}

/// Print one session: what was said, what tools did, what it cost
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  turnwire show 8c3c                               the beginning of an id is enough
  turnwire show last                               the session with the latest activity
  turnwire show 8c3c --json | jq 'select(.type==\"tool_call\").data'")]
pub(crate) struct Show {
    /// The session's id, or the beginning of it, or `last`
    #[arg(value_name = "SESSION")]
    pub session: String,
    /// All of what tools put out and of texts that are kept beside their events
    #[arg(long)]
    pub full: bool,
    /// The events' JSON, one a line
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub gateway: Gateway,
}

/// Where the gateway keeps its data
#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct DataDir {
    /// The data directory [default: $XDG_DATA_HOME/turnwire or ~/.local/share/turnwire]
    #[arg(long, env = "TURNWIRE_DATA_DIR", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data_dir: Option<PathBuf>,
}

/// Print a new one-time link that signs a browser in
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  turnwire pair
  turnwire pair --name phone --scope read --expires 5m --json")]
pub(crate) struct Pair {
    /// What the browser is called in the list of tokens
    #[arg(long, value_name = "NAME")]
    pub name: Option<Name>,
    /// What it may do (repeatable) [default: everything]
    #[arg(long, value_name = "SCOPE", value_delimiter = ',')]
    pub scope: Vec<Scope>,
    /// How long the link works [default: 10m]
    #[arg(long, value_name = "TIME", value_parser = span)]
    pub expires: Option<Duration>,
    /// Print {"code","url","expires"}
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub gateway: Gateway,
}

/// Show what it is like: a gateway with recorded runs of four agents, played at their own pace
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  turnwire demo                                    on any free port
  turnwire demo --speed 0.5 --listen 127.0.0.1:9000
  turnwire demo --once                             each recording once, then it only serves

Ctrl-C ends it and leaves nothing behind.")]
pub(crate) struct Demo {
    /// Where to listen; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR:PORT")]
    pub listen: SocketAddr,
    /// How fast: 2 is twice as fast as it was
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR", value_parser = speed)]
    pub speed: f64,
    /// Play each recording once
    #[arg(long)]
    pub once: bool,
    /// Print {"url","pair","data_dir"} in one line when it is ready, and nothing else
    #[arg(long)]
    pub json: bool,
}

/// Print shell completions
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  turnwire completions bash > ~/.local/share/bash-completion/completions/turnwire
  turnwire completions zsh > ~/.zfunc/_turnwire
  turnwire completions fish > ~/.config/fish/completions/turnwire.fish")]
pub(crate) struct Completions {
    /// For which shell
    pub shell: Shell,
}

/// Print the manual page, or write one for each command
#[derive(Debug, ClapArgs)]
#[command(after_help = "\
Examples:
  turnwire man | man -l -
  turnwire man --dir ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// Write turnwire.1, turnwire-run.1 and so on into this directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
}

/// The adapter that is found by what comes.
pub(crate) const AUTO: &str = "auto";

fn adapters() -> PossibleValuesParser {
    let vendors = [("claude", "claude-code"), ("gemini", "gemini-cli")];
    let named = ADAPTERS.iter().map(move |spec| {
        let sources = vendors.iter().filter(|(name, _)| *name == spec.name);
        PossibleValue::new(spec.name).aliases(sources.map(|(_, source)| *source))
    });
    PossibleValuesParser::new(std::iter::once(PossibleValue::new(AUTO)).chain(named))
}

/// A command's help with the list of adapters.
fn with_adapters(help: &str) -> String {
    let lines = ADAPTERS
        .iter()
        .map(|spec| format!("\n  {:<10} {}", spec.name, spec.description));
    format!("Adapters:{}\n\n{help}", lines.collect::<String>())
}

fn seconds(text: &str) -> Result<Duration, String> {
    if text == "inf" {
        return Ok(Duration::MAX);
    }
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// `90`, `90s`, `15m`, `12h`, `30d`.
fn span(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let each: u64 = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err("a time is a number with s, m, h or d after it, such as 30d".to_owned()),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(each))
        .filter(|seconds| (1..=36_500 * 86_400).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| "a time is a number with s, m, h or d after it, such as 30d".to_owned())
}

fn kept(text: &str) -> Result<Kept, String> {
    match text {
        "forever" => Ok(Kept(None)),
        text => span(text).map(|span| Kept(Some(span))),
    }
}

/// `500000`, `500K`, `500M`, `20G`, `1T`: powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" | "k" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("a size is a number with K, M, G or T after it, such as 20G".to_owned()),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "a size is a number with K, M, G or T after it, such as 20G".to_owned())
}

fn speed(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|speed| (0.01..=1000.0).contains(speed))
        .ok_or_else(|| "a factor from 0.01 to 1000".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent_and_every_command_has_examples() {
        let command = Args::command();
        command.clone().debug_assert();
        let mut left: Vec<_> = command.get_subcommands().cloned().collect();
        while let Some(mut command) = left.pop() {
            let inner: Vec<_> = command
                .get_subcommands()
                .filter(|c| c.get_name() != "help")
                .cloned()
                .collect();
            if inner.is_empty() {
                let help = command.render_long_help().to_string();
                assert!(help.contains("Examples:\n"), "{}", command.get_name());
            }
            left.extend(inner);
        }
    }

    #[test]
    fn what_follows_the_dashes_is_the_command_untouched() {
        let args = Args::parse_from(["turnwire", "run", "--wait", "--", "claude", "--wait=3", "-p", "--", "x"]);
        let Command::Run(run) = args.command else {
            panic!("not run")
        };
        assert_eq!(run.wait.wait, Some(Duration::MAX));
        assert_eq!(run.command, ["claude", "--wait=3", "-p", "--", "x"]);
    }

    #[test]
    fn what_is_kept_is_a_time_or_for_ever_and_a_size_has_a_unit() {
        assert_eq!(kept("forever"), Ok(Kept(None)));
        assert_eq!(kept("2h"), Ok(Kept(Some(Duration::from_secs(7200)))));
        assert_eq!((size("20G"), size("512")), (Ok(20 << 30), Ok(512)));
        for bad in ["", "0", "G", "-1G", "1X", "99999999999T"] {
            assert!(size(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_span_has_a_unit() {
        assert_eq!(span("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(span("90"), Ok(Duration::from_secs(90)));
        for bad in ["", "d", "0s", "-1s", "1w", "1.5h", "99999999999999999999s"] {
            assert!(span(bad).is_err(), "{bad:?}");
        }
    }
}
