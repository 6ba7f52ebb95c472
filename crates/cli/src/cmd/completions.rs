//! `completions`: what the shell offers after a tab.

use std::process::ExitCode;

use clap::CommandFactory;

use crate::{
    args::{Args, Completions},
    out,
};

pub(crate) fn completions(args: &Completions) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "turnwire", &mut text);
    out::print(String::from_utf8_lossy(&text).trim_end())?;
    Ok(ExitCode::SUCCESS)
}
