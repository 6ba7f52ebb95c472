//! What no compiler checks.

mod dependencies;
mod sources;

use std::process::ExitCode;

use anyhow::Result;

use crate::shell;

pub(crate) fn run() -> Result<ExitCode> {
    let mut wrong = dependencies::check()?;
    let files = shell::output(shell::command("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]))?;
    let mut looked_at = 0;
    for path in files.lines() {
        // Not text, or deleted and not yet committed so.
        let Ok(text) = std::fs::read_to_string(shell::root().join(path)) else {
            continue;
        };
        looked_at += 1;
        wrong.extend(
            sources::check(path, &text)
                .into_iter()
                .map(|complaint| format!("{path}{complaint}")),
        );
    }
    for complaint in &wrong {
        println!("{complaint}");
    }
    println!("tidy: {looked_at} files, {} complaints", wrong.len());
    Ok(if wrong.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
