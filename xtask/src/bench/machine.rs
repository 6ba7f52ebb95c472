//! The machine and the versions, for the record.

use std::{fmt::Write as _, fs, process::Command};

use anyhow::{Context, Result};

use super::{figures::Figures, servers};
use crate::shell;

/// A paragraph on the machine and a list of versions.
pub(super) fn describe(figures: &Figures) -> Result<String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let line = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let value = line
            .and_then(|line| line.split_once([':', '=']))
            .map(|(_, value)| value.trim().trim_matches('"'));
        value.unwrap_or("?").to_owned()
    };
    let memory = line(&read("/proc/meminfo"), "MemTotal");
    let memory: u64 = memory
        .split_whitespace()
        .next()
        .and_then(|kb| kb.parse().ok())
        .unwrap_or(0);
    let mut out = format!(
        "on {} of {}: {} cores ({}), {} GiB, {}, Linux {}; one small append and fdatasync takes {}.\n\n",
        shell::output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?.trim(),
        commit()?,
        shell::cores(),
        line(&read("/proc/cpuinfo"), "model name"),
        memory.div_ceil(1024 * 1024),
        line(&read("/etc/os-release"), "PRETTY_NAME"),
        read("/proc/sys/kernel/osrelease").trim(),
        fdatasync().unwrap_or_else(|_| "?".to_owned()),
    );
    let _ = writeln!(
        out,
        "- rustc: {}",
        shell::output(shell::command("rustc").arg("--version"))?.trim()
    );
    let mut said = Vec::new();
    for target in figures.targets() {
        let needs = servers::KINDS
            .iter()
            .find(|kind| kind.name == target)
            .and_then(|kind| kind.needs);
        let Some((program, _)) = needs.filter(|(program, _)| !said.contains(program)) else {
            continue;
        };
        said.push(program);
        let _ = writeln!(out, "- {program}: {}", version(program));
    }
    Ok(out)
}

fn commit() -> Result<String> {
    let git = |args: &[&str]| shell::output(shell::command("git").args(args));
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?.trim().to_owned();
    let changed = git(&[
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        "crates",
        "Cargo.lock",
    ])?;
    Ok(if changed.is_empty() {
        commit
    } else {
        format!("{commit} with changes")
    })
}

/// How long a commit takes here, at best.
fn fdatasync() -> Result<String> {
    let manifest = shell::root().join("bench/fanbench/Cargo.toml");
    let fanbench = shell::target_dir(&manifest)?.join("release/fanbench");
    let mut raw = Command::new(fanbench);
    raw.args(["raw", "--mode", "append", "--group", "1", "--secs", "1", "--dir"])
        .arg(shell::root().join(super::OUT));
    let result = serde_json::from_str(&shell::output(&mut raw)?)?;
    let metrics = super::figures::metrics(&result)?;
    let median = metrics.get("commit_p50_us").context("fanbench raw measures commits")?;
    Ok(format!("{median:.0} µs"))
}

/// What a peer says of its version, on either output.
fn version(program: &str) -> String {
    let Some(path) = servers::find(program) else {
        return "?".to_owned();
    };
    let flag = if program == "nginx" { "-v" } else { "--version" };
    let said = Command::new(path).arg(flag).output().ok();
    let text = said.map(|said| [said.stdout, said.stderr].concat()).unwrap_or_default();
    String::from_utf8_lossy(&text)
        .lines()
        .next()
        .unwrap_or("?")
        .trim()
        .to_owned()
}
