//! What agents print, turned into events. One file a vendor; no I/O; cannot fail.
//!
//! To add one: write `src/foo.rs`, record `fixtures/foo/`, and add a line to [`ADAPTERS`].
//!
//! What every adapter of an agent promises, and `tests/every_adapter.rs` proves over all recordings and broken ones:
//! - every `turn_start` gets one `turn_end` and every `tool_call_start` one `tool_call`, at the latest from
//!   [`Adapter::end`], with `ok` or `success` false and a reason where the vendor told none;
//! - every line that is not blank is the `raw` of one event; a line that has no better event becomes kind `raw`;
//! - every event has a session, so that nothing a vendor prints is public: until the vendor names one, events wait;
//! - every event can be published: none is larger than [`turnwire_proto::room`] says; what was cut says `truncated` and `bytes`;
//! - the `usage` events of a turn add up to its `turn_end`'s `usage` and `cost_usd`: count one or the other.

mod acp;
pub mod asks;
mod claude;
mod coalesce;
mod codex;
mod codex_app;
mod codex_rollout;
mod command;
mod detect;
mod fact;
mod filed;
mod fit;
mod gemini;
mod gemini_chat;
pub mod hooks;
mod lines;
pub mod mapped;
mod native;
mod opencode;
pub mod otlp;
mod reader;
#[cfg(feature = "recordings")]
pub mod recordings;
mod scribe;
mod view;
mod waza;

use std::{fmt, sync::Arc};

pub use coalesce::Coalescer;
pub use command::{Command, by_command};
pub use detect::Detecting;
pub use filed::{Filed, by_file};
pub use mapped::Mapping;
use turnwire_proto::{Name, NewEvent, Timestamp};

/// Bytes of a vendor in, events out. Cannot fail: what it does not understand becomes `raw`.
///
/// Time comes in as an argument, so that a recording gives the same events whenever it is read.
pub trait Adapter: Send {
    /// Takes one line, without its line break, that came at `at`. Lines are split at LF and nothing else.
    fn line(&mut self, line: &[u8], at: Timestamp, out: &mut Vec<NewEvent>);

    /// Takes the end of the output: `exit` is the process's code where it is known, 128 + n after signal n as a shell
    /// says it. Closes what was left open.
    fn end(&mut self, exit: Option<i32>, at: Timestamp, out: &mut Vec<NewEvent>);

    /// Lines that were not understood so far.
    fn unknown(&self) -> u64;

    /// The caller has begun a turn: its start is told now, what comes next is this turn's, and no other start is made for it.
    /// Whoever says that has told what was said, too: no `message` of the user's is made of it.
    fn prompted(&mut self, turn: &Prompted, at: Timestamp, out: &mut Vec<NewEvent>) {
        let _ = (turn, at, out);
    }

    /// Nothing came for a while (a second, say): gives out what was held back to know more of the output first.
    fn idle(&mut self, at: Timestamp, out: &mut Vec<NewEvent>) {
        let _ = (at, out);
    }
}

/// A turn that the caller has begun, not the vendor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompted {
    /// Its id.
    pub turn_id: Name,
    /// Who asks: `user`, or an agent's name.
    pub from: String,
    /// The prompt.
    pub body: String,
    /// Messages still waiting.
    pub unread: u64,
}

/// What the events are about, where the vendor's output does not say it or the caller knows better.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The named worker.
    pub agent: Option<Name>,
    /// The session; the vendor's own id of it is then kept in `session_start`'s body.
    pub session: Option<Name>,
    /// What was asked on the command line: most vendors' output does not repeat it.
    pub prompt: Option<String>,
    /// The command line resumes a conversation: totals that the vendor counts over it begin before this output.
    pub resumed: bool,
    /// The output is a subagent's alone.
    pub subagent: Option<Subagent>,
    /// What [`Mapping`] `mapped` reads by.
    pub mapping: Option<Arc<Mapping>>,
}

/// A subagent whose file it is, as far as its lines do not say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subagent {
    /// The call that started it.
    pub tool_call_id: Option<String>,
    /// What kind of agent it is.
    pub agent_type: Option<String>,
}

/// One way of reading an agent's output.
#[derive(Clone, Copy)]
pub struct Spec {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it reads, for `--help`.
    pub description: &'static str,
    /// Makes one for one run's output.
    pub make: fn(Context) -> Box<dyn Adapter>,
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spec").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Every adapter.
pub const ADAPTERS: &[Spec] = &[
    Spec {
        name: "claude",
        description: "Claude Code: claude -p … --output-format stream-json --verbose (or json)",
        make: claude::make,
    },
    Spec {
        name: "codex",
        description: "Codex: codex exec --json …",
        make: codex::make,
    },
    Spec {
        name: "codex-app",
        description: "Codex: what codex app-server says",
        make: codex_app::make,
    },
    Spec {
        name: "gemini",
        description: "Gemini CLI: gemini -p … --output-format stream-json (or json)",
        make: gemini::make,
    },
    Spec {
        name: "opencode",
        description: "opencode: opencode run --format json …",
        make: opencode::make,
    },
    Spec {
        name: "opencode-server",
        description: "opencode: the events of opencode serve",
        make: opencode::server::make,
    },
    Spec {
        name: "claude-transcript",
        description: "Claude Code: the transcripts it keeps in ~/.claude/projects",
        make: claude::transcript::make,
    },
    Spec {
        name: "codex-rollout",
        description: "Codex: the rollouts it keeps in ~/.codex/sessions",
        make: codex_rollout::make,
    },
    Spec {
        name: "gemini-chat",
        description: "Gemini CLI: the chats it keeps in ~/.gemini/tmp",
        make: gemini_chat::make,
    },
    Spec {
        name: "opencode-session",
        description: "opencode: the events of its sessions in opencode.db",
        make: opencode::session::make,
    },
    Spec {
        name: "waza",
        description: "waza: the session log of waza run --session-log",
        make: waza::make,
    },
    Spec {
        name: "mapped",
        description: "any JSONL, by a mapping in the configuration",
        make: mapped::make,
    },
    Spec {
        name: "acp",
        description: "any agent that speaks ACP, such as gemini --acp",
        make: acp::make,
    },
    Spec {
        name: "lines",
        description: "any program: a line of text is a note, a line of JSON is an event",
        make: lines::make,
    },
    Spec {
        name: "native",
        description: "Turnwire's own events, one JSON object a line",
        make: native::make,
    },
];

/// The adapter of this name; a vendor's `source` (`claude-code`, `gemini-cli`) is also taken.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Spec> {
    let name = match name {
        "claude-code" => "claude",
        "gemini-cli" => "gemini",
        name => name,
    };
    ADAPTERS.iter().find(|spec| spec.name == name)
}
