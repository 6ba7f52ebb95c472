//! The suite `sdks`: OpenTelemetry's own SDKs as clients of the OTLP receiver. All of it is installed below `target/sdks`.

use std::{fs, path::PathBuf};

use anyhow::Result;

use super::{Count, Packages, count, libtest_summary};
use crate::shell;

/// The SDKs. Pinned: what one sends changes from version to version, and a change is to be looked at.
pub(super) const SDKS: Packages = Packages {
    here,
    install,
    how: "cargo xtask test without --no-install",
};

const PYTHON: &[&str] = &[
    "opentelemetry-sdk==1.45.2",
    "opentelemetry-exporter-otlp-proto-http==1.45.2",
    "opentelemetry-exporter-otlp-proto-grpc==1.45.2",
];
const NODE: &[&str] = &[
    "@opentelemetry/api@1.9.1",
    "@opentelemetry/api-logs@0.223.1",
    "@opentelemetry/sdk-logs@0.223.1",
    "@opentelemetry/sdk-trace-base@2.12.1",
    "@opentelemetry/sdk-metrics@2.12.1",
    "@opentelemetry/exporter-trace-otlp-proto@0.223.1",
    "@opentelemetry/exporter-trace-otlp-http@0.223.1",
    "@opentelemetry/exporter-trace-otlp-grpc@0.223.1",
    "@opentelemetry/exporter-logs-otlp-proto@0.223.1",
    "@opentelemetry/exporter-logs-otlp-http@0.223.1",
    "@opentelemetry/exporter-logs-otlp-grpc@0.223.1",
    "@opentelemetry/exporter-metrics-otlp-proto@0.223.0",
    "@opentelemetry/exporter-metrics-otlp-http@0.223.0",
    "@opentelemetry/exporter-metrics-otlp-grpc@0.223.0",
];
/// The client in Rust, which is built with each run: a workspace of its own.
const RUST: &str = "crates/cli/tests/sdks/rust/Cargo.toml";

fn dir() -> Result<PathBuf> {
    Ok(shell::target_dir(&shell::root().join("Cargo.toml"))?.join("sdks"))
}

/// What was installed last, in the words of the lists above.
fn installed() -> String {
    [PYTHON, NODE].concat().join("\n")
}

fn here() -> bool {
    dir().is_ok_and(|dir| fs::read_to_string(dir.join("installed")).is_ok_and(|list| list == installed()))
}

fn install() -> Result<()> {
    let dir = dir()?;
    fs::create_dir_all(&dir)?;
    let venv = dir.join("venv");
    shell::run(shell::command("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let mut pip = shell::command(venv.join("bin/pip"));
    shell::run(
        pip.args(["install", "--quiet", "--disable-pip-version-check"])
            .args(PYTHON),
    )?;
    let mut npm = shell::command("npm");
    npm.arg("install").arg("--prefix").arg(dir.join("node"));
    shell::run(npm.args(["--no-audit", "--no-fund", "--ignore-scripts"]).args(NODE))?;
    fs::write(dir.join("installed"), installed())?;
    Ok(())
}

pub(super) fn run() -> Result<Count> {
    let dir = dir()?;
    let mut client = shell::cargo();
    client.args(["build", "--locked", "--manifest-path", RUST, "--target-dir"]);
    shell::run(client.arg(dir.join("rust")))?;
    let mut cargo = shell::cargo();
    cargo
        .args(["test", "--locked", "--no-fail-fast", "--all-features"])
        .args(["--package", "turnwire", "--test", "sdks"])
        .env("TURNWIRE_SDKS", dir);
    count(&mut cargo, libtest_summary)
}
