//! A driver, and the adapter of what it hands on, without a runner.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use turnwire_adapters::{Adapter, Context, Prompted};
use turnwire_proto::{Name, NewEvent, Timestamp};
use turnwire_runner::{Ask, Driver, Failure, Outcome, Prompt, Signal, drivers::Setup};

use crate::gateway::{processes, wait_for_end};

/// After this long nothing more is expected: a test that waits for it has failed.
const NEVER: Duration = Duration::from_secs(180);

/// A driver at work.
pub(crate) struct Driving {
    pub(crate) driver: Box<dyn Driver>,
    adapter: Box<dyn Adapter>,
    pub(crate) events: Vec<NewEvent>,
    pub(crate) signals: Vec<Signal>,
    turns: usize,
    setup: Setup,
    dir: tempfile::TempDir,
}

impl Driving {
    /// Drives `program` of the installed agents, in surroundings of its own; `more` is what else it is told at its start.
    pub(crate) fn new(
        name: &str,
        program: &str,
        surroundings: impl FnOnce(&Path) -> Vec<(&'static str, String)>,
        more: impl FnOnce(&mut Setup),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let env = surroundings(dir.path());
        let mut setup = Setup {
            program: Some(wrapper(dir.path(), program, &env)),
            cwd: Some(dir.path().join("project")),
            ..Setup::default()
        };
        fs::create_dir_all(dir.path().join("project")).unwrap();
        more(&mut setup);
        let kept = setup.clone();
        let driver = (turnwire_runner::drivers::by_name(name).unwrap().make)(setup);
        let context = Context {
            session: Some(Name::new("a-session").unwrap()),
            ..Context::default()
        };
        let adapter = (turnwire_adapters::by_name(driver.adapter()).unwrap().make)(context);
        Self {
            driver,
            adapter,
            events: Vec::new(),
            signals: Vec::new(),
            turns: 0,
            setup: kept,
            dir,
        }
    }

    /// Another driver in place of this one, as after a restart of whoever drives.
    pub(crate) fn again(&mut self, name: &str, more: impl FnOnce(&mut Setup)) {
        let mut setup = self.setup.clone();
        more(&mut setup);
        self.driver = (turnwire_runner::drivers::by_name(name).unwrap().make)(setup);
    }

    /// Another adapter, as of another process.
    pub(crate) fn again_adapter(&mut self) {
        self.adapter = (turnwire_adapters::by_name(self.driver.adapter()).unwrap().make)(Context {
            session: Some(Name::new("a-session").unwrap()),
            resumed: true,
            ..Context::default()
        });
    }

    /// Begins a turn; returns its id.
    pub(crate) async fn prompt(&mut self, text: &str) -> Result<Name, Failure> {
        self.turns += 1;
        let turn = Name::new(&format!("turn-{}", self.turns)).unwrap();
        let told = Prompted {
            turn_id: turn.clone(),
            from: "user".to_owned(),
            body: text.to_owned(),
            unread: 0,
        };
        self.adapter.prompted(&told, Timestamp::now(), &mut self.events);
        let prompt = Prompt {
            turn: turn.clone(),
            text: text.to_owned(),
        };
        self.driver.prompt(&prompt).await.map(|()| turn)
    }

    /// Takes signals until `wanted` finds what it wants.
    pub(crate) async fn until<T>(&mut self, mut wanted: impl FnMut(&Signal, &[NewEvent]) -> Option<T>) -> T {
        let wait = async {
            loop {
                let signal = self.driver.next().await;
                if let Signal::Line(line) = &signal {
                    self.adapter.line(line, Timestamp::now(), &mut self.events);
                }
                let found = wanted(&signal, &self.events);
                self.signals.push(signal);
                if let Some(found) = found {
                    return found;
                }
            }
        };
        let found = tokio::time::timeout(NEVER, wait).await;
        found.unwrap_or_else(|_| panic!("it never came: {:#?}", self.signals))
    }

    /// Takes signals until the turn is over.
    pub(crate) async fn over(&mut self) -> Outcome {
        self.until(|signal, _| match signal {
            Signal::TurnOver(outcome) => Some(outcome.clone()),
            _ => None,
        })
        .await
    }

    /// Takes signals until it asks; the event of the same id is there then.
    pub(crate) async fn asks(&mut self) -> (Ask, Value) {
        let ask = self
            .until(|signal, _| match signal {
                Signal::Asks(ask) => Some(ask.clone()),
                _ => None,
            })
            .await;
        let bodies = self.bodies("approval_request");
        let body = bodies.into_iter().find(|body| body["approval_id"] == ask.id.as_str());
        let body = body.unwrap_or_else(|| panic!("no event of {ask:?}: {:#?}", self.events));
        assert_eq!(body["tool"], ask.tool.as_str());
        (ask, body)
    }

    /// Takes signals until a piece of text has come.
    pub(crate) async fn piece(&mut self) {
        let before = self.bodies("text_delta").len();
        self.until(|_, events| {
            let deltas = events.iter().filter(|event| event.kind.as_str() == "text_delta");
            (deltas.count() > before).then_some(())
        })
        .await;
    }

    pub(crate) fn bodies(&self, kind: &str) -> Vec<Value> {
        let of = self.events.iter().filter(|event| event.kind.as_str() == kind);
        of.map(|event| event.data.read().unwrap()).collect()
    }

    /// What the agent has said, a message a line.
    pub(crate) fn said(&self) -> Vec<String> {
        let messages = self.bodies("message");
        let own = messages.iter().filter(|message| message["role"] == "assistant");
        own.map(|message| message["content"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Ends it, and sees that all that was started ends, and that all was understood.
    pub(crate) async fn end(&mut self) {
        let running = processes(self.dir.path());
        self.driver.end().await;
        wait_for_end(&running);
        assert_eq!(self.adapter.unknown(), 0, "all is understood: {:#?}", self.raws());
    }

    fn raws(&self) -> Vec<&str> {
        let raws = self
            .events
            .iter()
            .filter(|event| event.data.get().contains("\"unknown\":true"));
        raws.map(|event| event.data.get()).collect()
    }

    /// A path in this test's own directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// A program that is the agent's with these variables.
pub(crate) fn wrapper(dir: &Path, program: &str, env: &[(&str, String)]) -> OsString {
    let programs =
        std::env::var_os("TURNWIRE_AGENTS").expect("TURNWIRE_AGENTS: `cargo xtask test` installs and names them");
    let program = PathBuf::from(programs).join(program);
    let path = dir.join("agent");
    let home = dir.join("home");
    fs::create_dir_all(&home).unwrap();
    let mut script = format!(
        "#!/bin/sh\nexport HOME={} NO_PROXY=127.0.0.1 no_proxy=127.0.0.1\n",
        home.display()
    );
    for (key, value) in env {
        script.push_str(&format!("export {key}='{value}'\n"));
    }
    script.push_str(&format!("exec {} \"$@\"\n", program.display()));
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.into()
}
