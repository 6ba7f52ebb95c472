//! Every test there is, in one command: sets up what the suites need, runs them, prints one table.

mod sdks;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use clap::Args;

use crate::shell;

/// Where the page lies.
pub(crate) const UI: &str = "crates/server/ui";

/// All that ran passed, but something could not run.
const EXIT_SKIPPED: u8 = 3;

#[derive(Args)]
pub(crate) struct TestArgs {
    /// Install nothing: suites that lack a program are skipped (under CI=true that is a failure).
    #[arg(long)]
    no_install: bool,
}

/// A program that a suite needs beside Rust and a C compiler.
struct Program {
    /// Any of these commands will do.
    commands: &'static [&'static str],
    /// The package of Debian and its kin that has it.
    package: &'static str,
    /// The oldest major version that will do; 0 for any.
    least: u64,
}

/// 20: the page's `package.json` asks for it.
const NODE: Program = Program {
    commands: &["node"],
    package: "nodejs",
    least: 20,
};
const NPM: Program = Program {
    commands: &["npm"],
    package: "npm",
    least: 0,
};
const CHROMIUM: Program = Program {
    commands: &["chromium", "chromium-browser", "google-chrome"],
    package: "chromium",
    least: 0,
};

const PYTHON: Program = Program {
    commands: &["python3"],
    package: "python3-venv",
    least: 0,
};

impl Program {
    fn find(&self) -> Option<PathBuf> {
        self.commands.iter().find_map(|command| shell::find(command))
    }

    /// What to do about it, unless it is here and new enough.
    fn missing(&self) -> Option<String> {
        let Some(path) = self.find() else {
            return Some(format!("apt-get install -y {}", self.package));
        };
        let version = shell::output(shell::command(path).arg("--version")).unwrap_or_default();
        let major = version
            .trim()
            .trim_start_matches('v')
            .split('.')
            .next()
            .and_then(|major| major.parse().ok());
        let old = self.least > 0 && major.is_none_or(|major: u64| major < self.least);
        old.then(|| format!("{} {} or newer (here is {})", self.package, self.least, version.trim()))
    }
}

/// Packages of npm that a suite needs.
struct Packages {
    here: fn() -> bool,
    install: fn() -> Result<()>,
    /// How to install them, for a person.
    how: &'static str,
}

/// The page's.
const MODULES: Packages = Packages {
    here: modules_are_here,
    install: install_modules,
    how: "npm ci, in crates/server/ui",
};
/// The agents that are driven. Pinned: what one prints changes from version to version, and a change is to be looked at.
const AGENTS: Packages = Packages {
    here: || missing_agents().is_empty(),
    install: install_agents,
    how: "cargo xtask test without --no-install",
};

/// Each agent's package, its version, and its command.
const AGENT_PACKAGES: &[(&str, &str, &str)] = &[
    ("@anthropic-ai/claude-code", "2.1.328", "claude"),
    ("@openai/codex", "0.169.0", "codex"),
    ("opencode-ai", "1.18.33", "opencode"),
    ("@google/gemini-cli", "0.61.0", "gemini"),
];

/// One line of the table. To add a suite, add it to `SUITES`; to add a program, name it in `needs`.
struct Suite {
    name: &'static str,
    needs: &'static [&'static Program],
    /// The npm packages that it needs.
    packages: Option<&'static Packages>,
    /// Gets the path of the `turnwire` binary.
    run: fn(&Path) -> Result<Count>,
}

const SUITES: &[Suite] = &[
    Suite {
        name: "rust",
        needs: &[],
        packages: None,
        run: rust,
    },
    Suite {
        name: "doc tests",
        needs: &[],
        packages: None,
        run: doc_tests,
    },
    Suite {
        name: "load generator",
        needs: &[],
        packages: None,
        run: load_generator,
    },
    Suite {
        name: "page: types",
        needs: &[&NODE, &NPM],
        packages: Some(&MODULES),
        run: page_types,
    },
    Suite {
        name: "page: tests",
        needs: &[&NODE, &NPM, &CHROMIUM],
        packages: Some(&MODULES),
        run: page_tests,
    },
    Suite {
        name: "agents",
        needs: &[&NODE, &NPM],
        packages: Some(&AGENTS),
        run: agents,
    },
    Suite {
        name: "sdks",
        needs: &[&NODE, &NPM, &PYTHON],
        packages: Some(&sdks::SDKS),
        run: |_| sdks::run(),
    },
];

impl Suite {
    fn outcome(&self, binary: &Path, install: bool) -> Outcome {
        let mut missing: Vec<_> = self.needs.iter().filter_map(|program| program.missing()).collect();
        if let (true, Some(packages)) = (missing.is_empty(), self.packages)
            && !(packages.here)()
        {
            if install {
                missing.extend((packages.install)().err().map(|error| format!("{error:#}")));
            } else {
                missing.push(packages.how.to_owned());
            }
        }
        if !missing.is_empty() {
            return Outcome::Missing(missing.join("; "));
        }
        (self.run)(binary).map_or_else(
            |error| {
                eprintln!("{}: {error:#}", self.name);
                Outcome::Ran(Count {
                    failed: 1,
                    ..Count::default()
                })
            },
            Outcome::Ran,
        )
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
    skipped: u64,
}

enum Outcome {
    Ran(Count),
    /// Could not run at all, and why.
    Missing(String),
}

pub(crate) fn run(args: &TestArgs) -> Result<ExitCode> {
    if !args.no_install {
        install_programs();
    }
    let binary = build_binary()?;
    let rows: Vec<_> = SUITES
        .iter()
        .map(|suite| {
            let started = Instant::now();
            let outcome = suite.outcome(&binary, !args.no_install);
            (suite.name, outcome, started.elapsed())
        })
        .collect();
    Ok(summary(&rows))
}

/// Prints the table and says how it went.
fn summary(rows: &[(&str, Outcome, Duration)]) -> ExitCode {
    let (mut total, mut missing) = (Count::default(), 0);
    println!(
        "\n{:<16} {:>7} {:>7} {:>7} {:>8}",
        "suite", "passed", "failed", "skipped", "time"
    );
    for (name, outcome, took) in rows {
        let took = format!("{:.1} s", took.as_secs_f64());
        match outcome {
            Outcome::Ran(count) => {
                println!(
                    "{name:<16} {:>7} {:>7} {:>7} {took:>8}",
                    count.passed, count.failed, count.skipped
                );
                total.passed += count.passed;
                total.failed += count.failed;
                total.skipped += count.skipped;
            }
            Outcome::Missing(why) => {
                println!("{name:<16} not run, needs: {why}");
                missing += 1;
            }
        }
    }
    let incomplete = missing > 0 || total.skipped > 0;
    if incomplete {
        let ending = if shell::ci() { "; under CI nothing may be" } else { "" };
        println!("\n{missing} suites not run, {} tests skipped{ending}", total.skipped);
    }
    println!("\n{} passed, {} failed", total.passed, total.failed);
    match (total.failed, incomplete) {
        (0, false) => ExitCode::SUCCESS,
        (0, true) if !shell::ci() => ExitCode::from(EXIT_SKIPPED),
        _ => ExitCode::FAILURE,
    }
}

/// Installs what the suites need, where that can be done without asking; what stays missing shows in the table.
fn install_programs() {
    let mut packages: Vec<_> = SUITES
        .iter()
        .flat_map(|suite| suite.needs)
        .filter(|program| program.find().is_none())
        .map(|program| program.package)
        .collect();
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() || !rustix::process::geteuid().is_root() || shell::find("apt-get").is_none() {
        return;
    }
    let apt = |words: &[&str]| {
        let mut apt = shell::command("apt-get");
        apt.args(words).env("DEBIAN_FRONTEND", "noninteractive");
        shell::run(&mut apt)
    };
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(packages);
    if let Err(error) = apt(&["update"]).and_then(|()| apt(&install)) {
        eprintln!("{error:#}");
    }
}

/// Builds the `turnwire` binary with the features that the tests have, so that nothing is built twice.
pub(crate) fn build_binary() -> Result<PathBuf> {
    let mut build = shell::cargo();
    shell::run(build.args(["build", "--locked", "--workspace", "--all-features", "--bins"]))?;
    Ok(shell::target_dir(&shell::root().join("Cargo.toml"))?.join("debug/turnwire"))
}

/// Runs a suite and counts what it says. A suite that fails without counting a failure has failed once.
fn count(command: &mut Command, read: fn(&str) -> Option<Count>) -> Result<Count> {
    let mut total = Count::default();
    let status = shell::watch(command, |line| {
        if let Some(more) = read(line) {
            total.passed += more.passed;
            total.failed += more.failed;
            total.skipped += more.skipped;
        }
    })?;
    if !status.success() {
        total.failed = total.failed.max(1);
    }
    Ok(total)
}

fn rust(_: &Path) -> Result<Count> {
    let mut cargo = shell::cargo();
    if shell::find("cargo-nextest").is_some() {
        cargo.args([
            "nextest",
            "run",
            "--locked",
            "--workspace",
            "--all-features",
            "--no-fail-fast",
        ]);
        cargo.args(["--color", "always", "--status-level", "slow", "--no-tests", "pass"]);
        return count(&mut cargo, nextest_summary);
    }
    cargo.args([
        "test",
        "--locked",
        "--workspace",
        "--all-features",
        "--no-fail-fast",
        "--all-targets",
    ]);
    count(&mut cargo, libtest_summary)
}

fn doc_tests(_: &Path) -> Result<Count> {
    let mut cargo = shell::cargo();
    cargo.args([
        "test",
        "--locked",
        "--workspace",
        "--all-features",
        "--no-fail-fast",
        "--doc",
    ]);
    count(&mut cargo, libtest_summary)
}

fn load_generator(_: &Path) -> Result<Count> {
    let mut cargo = shell::cargo();
    cargo.args([
        "test",
        "--locked",
        "--no-fail-fast",
        "--manifest-path",
        "bench/fanbench/Cargo.toml",
    ]);
    count(&mut cargo, libtest_summary)
}

fn page_types(_: &Path) -> Result<Count> {
    let mut tsc = shell::command("npx");
    tsc.current_dir(page())
        .args(["--no-install", "tsc", "--noEmit", "-p", "."]);
    let passed = shell::watch(&mut tsc, |_| ())?.success();
    Ok(Count {
        passed: passed.into(),
        failed: (!passed).into(),
        skipped: 0,
    })
}

fn page_tests(binary: &Path) -> Result<Count> {
    let mut files: Vec<_> = fs::read_dir(page().join("test"))?
        .filter_map(|entry| Some(Path::new("test").join(entry.ok()?.file_name())))
        .filter(|file| file.to_string_lossy().ends_with(".test.js"))
        .collect();
    files.sort();
    ensure!(!files.is_empty(), "there are no tests in {UI}/test");
    let mut node = shell::command("node");
    // By name: left alone, node takes every file below `test` for a test.
    node.current_dir(page())
        .args(["--test", "--test-reporter=spec"])
        .args(files)
        .env("TURNWIRE_BIN", binary);
    count(&mut node, node_summary)
}

/// The agents themselves, in front of a model server of the tests' own.
fn agents(_: &Path) -> Result<Count> {
    let mut cargo = shell::cargo();
    cargo
        .args(["test", "--locked", "--no-fail-fast", "--all-features"])
        .args(["--package", "turnwire", "--test", "agents"])
        .env("TURNWIRE_AGENTS", agents_dir()?.join("node_modules/.bin"));
    count(&mut cargo, libtest_summary)
}

/// Where the agents are installed.
fn agents_dir() -> Result<PathBuf> {
    Ok(shell::target_dir(&shell::root().join("Cargo.toml"))?.join("agents"))
}

/// The packages that are not there in their version, or whose command does not run.
fn missing_agents() -> Vec<String> {
    let Ok(dir) = agents_dir() else {
        return vec!["a target directory".to_owned()];
    };
    let here = |version: &str, command: &str| {
        let mut command = shell::command(dir.join("node_modules/.bin").join(command));
        shell::output(command.arg("--version")).is_ok_and(|said| said.split_whitespace().any(|word| word == version))
    };
    let missing = AGENT_PACKAGES
        .iter()
        .filter(|(_, version, command)| !here(version, command));
    missing
        .map(|(package, version, _)| format!("{package}@{version}"))
        .collect()
}

/// Installs what is missing below `target`, and nowhere else.
fn install_agents() -> Result<()> {
    let dir = agents_dir()?;
    fs::create_dir_all(&dir)?;
    let mut npm = shell::command("npm");
    npm.arg("install").arg("--prefix").arg(&dir);
    shell::run(npm.args(["--no-audit", "--no-fund"]).args(missing_agents()))?;
    let missing = missing_agents();
    ensure!(
        missing.is_empty(),
        "npm installed {}, which does not run",
        missing.join(", ")
    );
    Ok(())
}

/// The page's directory.
pub(crate) fn page() -> PathBuf {
    shell::root().join(UI)
}

/// Whether what npm has installed is at least as new as the lock file.
fn modules_are_here() -> bool {
    let changed = |file: &str| fs::metadata(page().join(file)).and_then(|meta| meta.modified());
    match (changed("package-lock.json"), changed("node_modules/.package-lock.json")) {
        (Ok(locked), Ok(installed)) => installed >= locked,
        _ => false,
    }
}

/// Installs exactly what the lock file says.
pub(crate) fn install_modules() -> Result<()> {
    if modules_are_here() {
        return Ok(());
    }
    let mut npm = shell::command("npm");
    shell::run(npm.current_dir(page()).args(["ci", "--no-audit", "--no-fund"]))
}

/// The number that stands before (or after, for node) a word.
fn number_at(words: &[&str], word: &str, offset: isize) -> Option<u64> {
    let at = words.iter().position(|it| it.trim_end_matches([',', ';']) == word)?;
    words.get(at.checked_add_signed(offset)?)?.parse().ok()
}

/// `Summary [   3.1s] 4 tests run: 2 passed (1 slow), 1 failed, 1 timed out, 2 skipped`
fn nextest_summary(line: &str) -> Option<Count> {
    let rest = line.trim_start().strip_prefix("Summary [")?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let ran = words
        .iter()
        .position(|word| word.starts_with("test"))
        .and_then(|at| words.get(at.checked_sub(1)?))?;
    // `3/4 tests run` when it was cut short.
    let ran: u64 = ran.split('/').next()?.parse().ok()?;
    let passed = number_at(&words, "passed", -1).unwrap_or(0);
    Some(Count {
        passed,
        failed: ran.saturating_sub(passed),
        skipped: number_at(&words, "skipped", -1).unwrap_or(0),
    })
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
fn libtest_summary(line: &str) -> Option<Count> {
    let words: Vec<&str> = line.strip_prefix("test result:")?.split_whitespace().collect();
    let number = |word| number_at(&words, word, -1);
    Some(Count {
        passed: number("passed")?,
        failed: number("failed")?,
        skipped: number("ignored")?,
    })
}

/// `ℹ pass 3`, one kind a line. What was cancelled has failed; what is marked as still to do has been skipped.
fn node_summary(line: &str) -> Option<Count> {
    let mut words = line.strip_prefix("ℹ ")?.split_whitespace();
    let (word, number) = (words.next()?, words.next()?.parse().ok()?);
    let none = Count::default();
    match word {
        "pass" => Some(Count { passed: number, ..none }),
        "fail" | "cancelled" => Some(Count { failed: number, ..none }),
        "skipped" | "todo" => Some(Count {
            skipped: number,
            ..none
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(passed: u64, failed: u64, skipped: u64) -> Option<Count> {
        Some(Count {
            passed,
            failed,
            skipped,
        })
    }

    #[test]
    fn every_runner_is_understood() {
        let nextest = "     Summary [   3.145s] 5 tests run: 3 passed (1 slow), 1 failed, 1 timed out, 2 skipped";
        assert_eq!(nextest_summary(nextest), counted(3, 2, 2));
        assert_eq!(
            nextest_summary("     Summary [   0.010s] 1 test run: 1 passed, 0 skipped"),
            counted(1, 0, 0)
        );
        assert_eq!(
            nextest_summary("     Summary [   0.010s] 2/9 tests run: 1 passed, 1 failed"),
            counted(1, 1, 0)
        );
        let libtest = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(libtest_summary(libtest), counted(3, 0, 1));
        assert_eq!(node_summary("ℹ pass 7"), counted(7, 0, 0));
        assert_eq!(node_summary("ℹ cancelled 1"), counted(0, 1, 0));
        assert_eq!(node_summary("ℹ duration_ms 81.2"), None);
    }

    #[test]
    fn a_suite_that_dies_without_counting_has_failed() {
        let mut dies = Command::new("sh");
        dies.args(["-c", "echo 'test result: ok. 2 passed; 0 failed; 0 ignored'; exit 101"]);
        assert_eq!(count(&mut dies, libtest_summary).ok(), counted(2, 1, 0));
    }
}
