//! Any program: one process a turn. It reads the prompt from its standard input, up to its end, and answers on its standard output;
//! its exit code says whether it went well. It knows nothing of what was said before.

use std::future;

use async_trait::async_trait;
use turnwire_proto::{Name, Object, command::Action};

use super::Setup;
use crate::{
    Driver, Failure, Prompt, Signal, Tell, Verdict,
    process::{Output, Process},
};

pub(super) fn make(mut setup: Setup) -> Box<dyn Driver> {
    if setup.program.is_none() && !setup.args.is_empty() {
        setup.program = Some(setup.args.remove(0));
    }
    Box::new(Lines { setup, process: None })
}

struct Lines {
    setup: Setup,
    process: Option<Process>,
}

#[async_trait]
impl Driver for Lines {
    fn adapter(&self) -> &'static str {
        "lines"
    }

    fn can_also(&self) -> &'static [Action] {
        &[]
    }

    async fn prompt(&mut self, prompt: &Prompt) -> Result<(), Failure> {
        let Some(program) = &self.setup.program else {
            return Err(Failure::Gone("no program was named".to_owned()));
        };
        let mut process = Process::start(&self.setup, program, &self.setup.args, |_| {})?;
        // A program that does not read its input may answer all the same.
        let _ = process.send(prompt.text.clone());
        process.close_stdin();
        self.process = Some(process);
        Ok(())
    }

    async fn next(&mut self) -> Signal {
        let Some(process) = &mut self.process else {
            return future::pending().await;
        };
        match process.next().await {
            Output::Line(line) => Signal::Line(line),
            Output::Stderr(line) => Signal::Stderr(line),
            Output::Exited(code) => {
                self.process = None;
                Signal::Exited(code)
            }
        }
    }

    async fn tell(&mut self, what: Tell) -> Result<Option<Object>, Failure> {
        match what {
            Tell::Interrupt => {
                if let Some(process) = &mut self.process {
                    process.end().await;
                }
                Ok(None)
            }
            _ => Err(Failure::Unsupported(
                "a program that is started for each turn cannot be told this; tell it what to do in a message"
                    .to_owned(),
            )),
        }
    }

    async fn answer(&mut self, _id: &Name, _verdict: &Verdict) -> Result<(), Failure> {
        Ok(())
    }

    async fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.end().await;
        }
    }
}
