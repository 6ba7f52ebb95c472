//! Fuzzing on the stable toolchain: builds the program in `fuzz/` once and runs its targets, several side by side.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::shell;

/// A workspace of its own: its `.cargo/config.toml` tells the compiler to count what is reached.
const FUZZ: &str = "fuzz";

/// Seconds past its time after which a target is taken to hang.
const GRACE: u64 = 330;

#[derive(Args)]
pub(crate) struct FuzzArgs {
    /// Seconds that each target runs.
    #[arg(long, default_value_t = 60)]
    secs: u64,
    /// Targets that run side by side [default: one a core].
    #[arg(long)]
    jobs: Option<usize>,
    /// Which targets [default: all].
    targets: Vec<String>,
}

pub(crate) fn run(args: &FuzzArgs) -> Result<ExitCode> {
    let program = build()?;
    let all: Vec<String> = shell::output(shell::command(&program).arg("--list"))?
        .lines()
        .map(str::to_owned)
        .collect();
    for name in &args.targets {
        ensure!(
            all.contains(name),
            "no fuzz target {name}: there are {}",
            all.join(", ")
        );
    }
    let wanted = if args.targets.is_empty() {
        all
    } else {
        args.targets.clone()
    };
    ensure!(!wanted.is_empty(), "there are no fuzz targets");
    let mut found = Vec::new();
    for group in wanted.chunks(args.jobs.unwrap_or_else(shell::cores).max(1)) {
        let running: Vec<_> = group
            .iter()
            .map(|name| Fuzzing::start(name, &program, args.secs))
            .collect::<Result<_>>()?;
        for fuzzing in running {
            found.extend(fuzzing.finish(args.secs)?);
        }
    }
    if found.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "found something: {}; the inputs are in {FUZZ}/artifacts",
        found.join(", ")
    );
    Ok(ExitCode::FAILURE)
}

/// Builds the program that holds all targets, and says where it is.
fn build() -> Result<PathBuf> {
    let dir = shell::root().join(FUZZ);
    let mut cargo = shell::cargo();
    // There, since cargo reads its configuration from where it is started; flags from outside would take its place.
    shell::run(
        cargo
            .current_dir(&dir)
            .env_remove("RUSTFLAGS")
            .args(["build", "--release", "--locked"]),
    )?;
    let version = shell::output(shell::command("rustc").arg("-vV"))?;
    let host = version
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc names its host")?;
    Ok(shell::target_dir(&dir.join("Cargo.toml"))?
        .join(host)
        .join("release/turnwire-fuzz"))
}

/// One target at work.
struct Fuzzing {
    name: String,
    child: Child,
    log: PathBuf,
    started: Instant,
}

impl Fuzzing {
    fn start(name: &str, program: &Path, secs: u64) -> Result<Self> {
        let log = program.with_file_name(format!("{name}.log"));
        let mut command = shell::command(program);
        command.arg(name).arg(format!("-max_total_time={secs}"));
        eprintln!("$ {}", shell::spell(&command));
        let said = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        let child = command.spawn().with_context(|| format!("cannot run {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
            started: Instant::now(),
        })
    }

    /// Waits for its end; its name when it found something.
    fn finish(mut self, secs: u64) -> Result<Option<String>> {
        let deadline = Duration::from_secs(secs + GRACE);
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if self.started.elapsed() > deadline {
                self.child.kill()?;
                self.child.wait()?;
                bail!("{} did not stop after {} s", self.name, deadline.as_secs());
            }
            thread::sleep(Duration::from_millis(100));
        };
        let log = fs::read(&self.log)?;
        let log = String::from_utf8_lossy(&log);
        let executed = log
            .lines()
            .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
        println!(
            "{:<20} {:>12} inputs, {status}",
            self.name,
            executed.unwrap_or("?").trim()
        );
        if status.success() {
            return Ok(None);
        }
        let tail: Vec<&str> = log.lines().rev().take(40).collect();
        for line in tail.iter().rev() {
            eprintln!("{line}");
        }
        Ok(Some(self.name))
    }
}
