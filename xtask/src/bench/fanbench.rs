//! Runs `fanbench` for one case against one server, started afresh in an empty directory.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{
    cases::{Case, Load},
    figures::Record,
    servers::{Programs, Server, Setup},
};
use crate::shell;

/// Seconds that one run of the generator may take: filling a million events is the longest.
const PATIENCE: u64 = 180;

/// Events of a fill go over this many sessions, as an agent gateway's would.
const FILL_SESSIONS: &str = "1000";

type Metrics = BTreeMap<String, f64>;

pub(super) struct Bench {
    programs: Programs,
    quick: bool,
    secs: Option<f64>,
    /// Where every record is also written.
    kept: PathBuf,
}

impl Bench {
    /// Builds the release binaries; the server's only when it is `wanted`.
    pub(super) fn build(wanted: bool, quick: bool, secs: Option<f64>, kept: PathBuf) -> Result<Self> {
        let manifest = shell::root().join("bench/fanbench/Cargo.toml");
        shell::run(
            shell::cargo()
                .args(["build", "--release", "--locked", "--manifest-path"])
                .arg(&manifest),
        )?;
        if wanted {
            shell::run(shell::cargo().args(["build", "--release", "--locked", "--package", "turnwire"]))?;
        }
        let release =
            |manifest: &Path, name| Ok::<_, anyhow::Error>(shell::target_dir(manifest)?.join("release").join(name));
        let programs = Programs {
            fanbench: release(&manifest, "fanbench")?,
            turnwire: release(&shell::root().join("Cargo.toml"), "turnwire")?,
        };
        Ok(Self {
            programs,
            quick,
            secs,
            kept,
        })
    }

    pub(super) fn run(&self, case: &Case, target: &str, rep: u64) -> Result<Record> {
        let load = if self.quick { case.load.tenth() } else { case.load };
        let metrics = self.load(load, target)?;
        let record = Record {
            case: case.what.to_owned(),
            target: target.to_owned(),
            rep,
            metrics,
        };
        let mut kept = fs::OpenOptions::new().append(true).open(&self.kept)?;
        writeln!(kept, "{}", record.line())?;
        Ok(record)
    }

    fn secs(&self, usual: u64) -> String {
        let secs = if self.quick {
            1.0
        } else {
            self.secs.unwrap_or(usual as f64)
        };
        secs.to_string()
    }

    fn load(&self, load: Load, target: &str) -> Result<Metrics> {
        let dir = Scratch::new()?;
        let setup = Setup {
            programs: &self.programs,
            dir: &dir.0,
            load,
        };
        let server = Server::start(target, &setup)?;
        let run = |what: &str, flags: &[(&str, String)]| self.fanbench(what, &server, flags);
        match load {
            Load::Fanout { subs, batch } => run(
                "fanout",
                &[
                    ("subs", subs.to_string()),
                    ("batch", batch.to_string()),
                    ("secs", self.secs(5)),
                ],
            ),
            Load::Paced { subs, rate } => run(
                "fanout",
                &[
                    ("subs", subs.to_string()),
                    ("rate", rate.to_string()),
                    ("secs", self.secs(10)),
                ],
            ),
            Load::Idle { conns } => run("idle", &[("conns", conns.to_string())]),
            Load::Ingest { conns, batch } => run(
                "ingest",
                &[
                    ("conns", conns.to_string()),
                    ("batch", batch.to_string()),
                    ("secs", self.secs(5)),
                ],
            ),
            Load::Replay { count } => {
                if !server.made_its_own_store() {
                    self.fill(&server, count, "1")?;
                }
                run("replay", &[("count", count.to_string())])
            }
            Load::Sessions { sessions, few, rate } => {
                let at = |server: &Server, sessions: u64| {
                    let flags = [
                        ("sessions", sessions.to_string()),
                        ("rate", rate.to_string()),
                        ("secs", self.secs(10)),
                    ];
                    self.fanbench("sessions", server, &flags)
                };
                let mut metrics = at(&server, sessions)?;
                drop(server);
                let dir = Scratch::new()?;
                let server = Server::start(target, &Setup { dir: &dir.0, ..setup })?;
                let cpu_few = at(&server, few)?["cpu_s_per_million"];
                metrics.insert("cpu_vs_few".to_owned(), metrics["cpu_s_per_million"] / cpu_few);
                metrics.insert("cpu_s_per_million_few".to_owned(), cpu_few);
                Ok(metrics)
            }
            Load::Resident { count } => {
                self.fill(&server, count, FILL_SESSIONS)?;
                let mut metrics = self.rest(&server)?;
                server.stop()?;
                let server = Server::start(target, &setup)?;
                for (name, value) in self.rest(&server)? {
                    metrics.insert(format!("{name}_restarted"), value);
                }
                Ok(metrics)
            }
        }
    }

    /// Stores `count` events; not measured.
    fn fill(&self, server: &Server, count: u64, sessions: &str) -> Result<()> {
        let flags = [
            ("conns", "1".to_owned()),
            ("batch", server.fill_batch().to_string()),
            ("secs", (PATIENCE - 10).to_string()),
            ("count", count.to_string()),
            ("sessions", sessions.to_owned()),
        ];
        let stored = self.fanbench("ingest", server, &flags)?["events"];
        ensure!(
            stored >= count as f64,
            "only {stored} of {count} events could be stored in time"
        );
        Ok(())
    }

    fn rest(&self, server: &Server) -> Result<Metrics> {
        let mut command = Command::new(&self.programs.fanbench);
        command.args(["resident", "--pid", &server.pid().to_string()]);
        measure(&mut command)
    }

    fn fanbench(&self, what: &str, server: &Server, flags: &[(&str, String)]) -> Result<Metrics> {
        let mut command = Command::new(&self.programs.fanbench);
        command
            .arg(what)
            .args(["--pid", &server.pid().to_string()])
            .args(server.flags());
        for (name, value) in flags {
            command.arg(format!("--{name}")).arg(value);
        }
        measure(&mut command).with_context(|| format!("the server said: {}", server.last_words()))
    }
}

/// Runs the generator and reads the metrics of the one line that it prints.
fn measure(command: &mut Command) -> Result<Metrics> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run fanbench")?;
    let deadline = Instant::now() + Duration::from_secs(PATIENCE);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > deadline {
            child.kill()?;
            child.wait()?;
            bail!("fanbench did not end in {PATIENCE} s");
        }
        thread::sleep(Duration::from_millis(20));
    };
    ensure!(status.success(), "fanbench ended with {status}");
    // One short line: it was in the pipe before the process ended.
    let mut line = String::new();
    child
        .stdout
        .take()
        .context("the output is a pipe")?
        .read_to_string(&mut line)?;
    let result: Value = serde_json::from_str(&line).with_context(|| format!("fanbench said {line:?}"))?;
    super::figures::metrics(&result)
}

/// An empty directory that goes away with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        // On the disk of the project, since a temporary directory may be memory, where nothing can be durable.
        let parent = shell::root().join(super::OUT);
        let number = (1..)
            .find(|number| !parent.join(format!("run.{number}")).exists())
            .unwrap_or(0);
        let dir = parent.join(format!("run.{number}"));
        fs::create_dir_all(&dir)?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}
