//! Every driver there is, and what one is made of.

use std::{ffi::OsString, fmt, path::PathBuf};

use turnwire_proto::Name;

use crate::Driver;

mod acp;
mod claude;
mod codex_app;
mod codex_exec;
mod lines;
mod opencode;

/// What a driver is told at its start. It starts no program before there is something to say to it.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The program instead of the vendor's usual one.
    pub program: Option<OsString>,
    /// More arguments, behind the driver's own.
    pub args: Vec<OsString>,
    /// Where the program works.
    pub cwd: Option<PathBuf>,
    /// The model, where one was chosen.
    pub model: Option<Name>,
    /// The permission mode, where one was chosen.
    pub permission_mode: Option<Name>,
    /// The conversation to go on with: what [`crate::Signal::Conversation`] said.
    pub conversation: Option<String>,
    /// What is put before every program, so that it ends with the runner; see [`crate::supervise`].
    pub supervisor: Vec<OsString>,
}

/// One driver.
#[derive(Clone, Copy)]
pub struct Spec {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What it drives, for `--help`.
    pub description: &'static str,
    /// The program that it starts; `None` when the arguments are the program and its own.
    pub program: Option<&'static str>,
    /// Makes one for one session.
    pub make: fn(Setup) -> Box<dyn Driver>,
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spec").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Every driver.
pub const DRIVERS: &[Spec] = &[
    Spec {
        name: "claude",
        description: "Claude Code: one process a session, with approvals, interrupts, models and resumed conversations",
        program: Some(claude::PROGRAM),
        make: claude::make,
    },
    Spec {
        name: "codex",
        description: "Codex, by codex app-server",
        program: Some("codex"),
        make: codex_app::make,
    },
    Spec {
        name: "codex-exec",
        description: "Codex, by codex exec: one process a turn, without approvals",
        program: Some("codex"),
        make: codex_exec::make,
    },
    Spec {
        name: "opencode",
        description: "opencode, by opencode serve",
        program: Some("opencode"),
        make: opencode::make,
    },
    Spec {
        name: "gemini",
        description: "Gemini CLI, by gemini --acp",
        program: Some("gemini"),
        make: acp::gemini,
    },
    Spec {
        name: "acp",
        description: "any agent that speaks ACP on its standard input and output",
        program: None,
        make: acp::any,
    },
    Spec {
        name: "lines",
        description: "any program: a prompt on its standard input, the answer on its standard output",
        program: None,
        make: lines::make,
    },
];

/// The driver of this name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Spec> {
    DRIVERS.iter().find(|spec| spec.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_driver_names_an_adapter_that_there_is() {
        for spec in DRIVERS {
            let driver = (spec.make)(Setup::default());
            assert!(turnwire_adapters::by_name(driver.adapter()).is_some(), "{}", spec.name);
            assert!(!driver.capabilities().is_empty(), "{}", spec.name);
        }
    }
}
