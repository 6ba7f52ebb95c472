//! Pictures of the page for the documentation, taken by the page's own script.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Args;

use crate::{shell, test};

/// The script, below `crates/server/ui`; gets the server's binary in `TURNWIRE_BIN`.
const SCRIPT: &str = "testing/shots.js";

#[derive(Args)]
pub(crate) struct ShotsArgs {
    /// Passed on to the script.
    #[arg(trailing_var_arg = true)]
    rest: Vec<String>,
}

pub(crate) fn run(args: &ShotsArgs) -> Result<ExitCode> {
    let ui = test::page();
    ensure!(ui.join(SCRIPT).is_file(), "{}/{SCRIPT} is not there", test::UI);
    let binary = test::build_binary()?;
    test::install_modules()?;
    let mut node = shell::command("node");
    shell::run(
        node.current_dir(&ui)
            .arg(SCRIPT)
            .args(&args.rest)
            .env("TURNWIRE_BIN", binary),
    )?;
    Ok(ExitCode::SUCCESS)
}
