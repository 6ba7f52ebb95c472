//! Codex, by `codex exec --json`: one process a turn, for a Codex that has no app server.
//!
//! - It asks nobody: what its sandbox forbids fails. An interrupt ends the process and all that it has started.
//! - A turn goes on with the conversation of the one before by `codex exec resume`.

use std::{ffi::OsString, future};

use async_trait::async_trait;
use serde_json::Value;
use turnwire_proto::{Name, Object, command::Action};

use super::Setup;
use crate::{
    Driver, Failure, Outcome, Prompt, Signal, Tell, Verdict,
    process::{Output, Process},
};

const SANDBOXES: &[&str] = &["read-only", "workspace-write", "danger-full-access"];

pub(super) fn make(setup: Setup) -> Box<dyn Driver> {
    Box::new(CodexExec {
        model: setup.model.clone(),
        sandbox: setup.permission_mode.clone(),
        conversation: setup.conversation.clone(),
        setup,
        process: None,
        stopped: false,
        outcome: None,
        exited: None,
        says: None,
    })
}

struct CodexExec {
    setup: Setup,
    process: Option<Process>,
    conversation: Option<String>,
    model: Option<Name>,
    sandbox: Option<Name>,
    /// It was told to stop.
    stopped: bool,
    /// How the turn ended, by what the program has said.
    outcome: Option<Outcome>,
    /// What is said behind the turn's end.
    exited: Option<Signal>,
    /// What is said behind a line.
    says: Option<Signal>,
}

impl CodexExec {
    fn args(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = ["exec", "--json", "--skip-git-repo-check"].map(Into::into).into();
        if let Some(model) = &self.model {
            args.extend(["--model".into(), model.as_str().into()]);
        }
        if let Some(sandbox) = &self.sandbox {
            args.extend(["--sandbox".into(), sandbox.as_str().into()]);
        }
        args.extend(self.setup.args.iter().cloned());
        if let Some(thread) = &self.conversation {
            args.extend(["resume".into(), thread.into()]);
        }
        // What is asked comes by the standard input.
        args.push("-".into());
        args
    }

    fn look(&mut self, line: &[u8]) {
        let Ok(line) = serde_json::from_slice::<Value>(line) else {
            return;
        };
        match line["type"].as_str() {
            Some("thread.started") => {
                let thread = line["thread_id"].as_str().map(str::to_owned);
                if thread.is_some() && thread != self.conversation {
                    self.says = thread.clone().map(Signal::Conversation);
                    self.conversation = thread;
                }
            }
            Some("turn.completed") => self.outcome = Some(Outcome::Done),
            Some("turn.failed") => {
                self.outcome = Some(outcome(line["error"]["message"].as_str().unwrap_or("the turn failed")));
            }
            _ => {}
        }
    }
}

/// It says why in words alone.
fn outcome(message: &str) -> Outcome {
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if has(&["context window"]) {
        Outcome::PromptTooLong
    } else if has(&["usage limit", "429 Too Many Requests"]) {
        Outcome::RateLimited(None)
    } else if has(&["401 Unauthorized", "Not logged in"]) {
        Outcome::NeedsLogin
    } else {
        Outcome::Failed(message.to_owned())
    }
}

#[async_trait]
impl Driver for CodexExec {
    fn adapter(&self) -> &'static str {
        "codex"
    }

    fn can_also(&self) -> &'static [Action] {
        &[Action::SetModel, Action::SetPermissionMode]
    }

    async fn prompt(&mut self, prompt: &Prompt) -> Result<(), Failure> {
        let codex = "codex".into();
        let program = self.setup.program.as_ref().unwrap_or(&codex);
        let mut process = Process::start(&self.setup, program, &self.args(), |_| {})?;
        process.send(prompt.text.clone())?;
        process.close_stdin();
        (self.stopped, self.outcome) = (false, None);
        self.process = Some(process);
        Ok(())
    }

    async fn next(&mut self) -> Signal {
        if let Some(signal) = self.says.take().or_else(|| self.exited.take()) {
            return signal;
        }
        let Some(process) = &mut self.process else {
            return future::pending().await;
        };
        match process.next().await {
            Output::Line(line) => {
                self.look(&line);
                Signal::Line(line)
            }
            Output::Stderr(line) => Signal::Stderr(line),
            Output::Exited(code) => {
                self.process = None;
                let exited = Signal::Exited(code);
                let outcome = self.outcome.take();
                match if self.stopped {
                    Some(Outcome::Interrupted)
                } else {
                    outcome
                } {
                    Some(outcome) => {
                        self.exited = Some(exited);
                        Signal::TurnOver(outcome)
                    }
                    None => exited,
                }
            }
        }
    }

    async fn tell(&mut self, what: Tell) -> Result<Option<Object>, Failure> {
        match what {
            Tell::Interrupt => {
                if let Some(process) = &mut self.process {
                    self.stopped = true;
                    process.end().await;
                }
                Ok(None)
            }
            Tell::Model(model) => {
                self.says = Some(Signal::Model(model.clone()));
                self.model = Some(model);
                Ok(None)
            }
            Tell::PermissionMode(mode) if SANDBOXES.contains(&mode.as_str()) => {
                self.sandbox = Some(mode);
                Ok(None)
            }
            Tell::PermissionMode(mode) => Err(Failure::Refused(format!(
                "permission_mode must be read-only, workspace-write or danger-full-access, not {mode}: codex exec asks nobody"
            ))),
            Tell::Compact(_) => Err(Failure::Unsupported(
                "codex exec cannot make the context shorter: the driver codex can, or begin a new session".to_owned(),
            )),
            Tell::StopTask(_) => Err(Failure::Unsupported(
                "Codex has no tasks beside a turn; interrupt ends the turn".to_owned(),
            )),
            Tell::Custom(name, _) => Err(Failure::Unsupported(format!("Codex knows no order {name}"))),
        }
    }

    async fn answer(&mut self, _id: &Name, _verdict: &Verdict) -> Result<(), Failure> {
        Ok(())
    }

    async fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.end().await;
        }
        (self.outcome, self.exited, self.says) = (None, None, None);
    }
}
