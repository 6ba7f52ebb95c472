//! Other programs: finding them, running them, reading what they say.

use std::{
    env,
    ffi::OsStr,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// The top of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate lies one below the top of the repository")
}

/// Whether this is a machine on which nothing may be left out.
pub(crate) fn ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false" && value != "0")
}

/// How many programs may run side by side.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Where `program` lies on the PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// A command that starts at the top of the repository.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// The cargo that runs this.
pub(crate) fn cargo() -> Command {
    let mut command = command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What `cargo run` set for this process would make a nested cargo build everything anew.
    for name in ["CARGO_MANIFEST_DIR", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
        command.env_remove(name);
    }
    command
}

/// The command as one would type it.
pub(crate) fn spell(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    if let Some(name) = Path::new(&words[0]).file_name() {
        words[0] = name.to_string_lossy().into_owned();
    }
    words.join(" ")
}

/// Runs it where all can see, and fails when it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", spell(command));
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {}", spell(command)))?;
    ensure!(status.success(), "`{}` ended with {status}", spell(command));
    Ok(())
}

/// What it prints on standard output; fails when it does.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", spell(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` ended with {}: {}", spell(command), output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs it where all can see, and hands every line to `line` as well, without its colours.
pub(crate) fn watch(command: &mut Command, mut line: impl FnMut(&str)) -> Result<ExitStatus> {
    eprintln!("$ {}", spell(command));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", spell(command)))?;
    let out = child.stdout.take().context("the output is a pipe")?;
    let err = child.stderr.take().context("the errors are a pipe")?;
    // A bound, so that a program that prints faster than the terminal scrolls has to wait.
    let (lines, both) = mpsc::sync_channel(1024);
    let readers = [pass_on(out, lines.clone()), pass_on(err, lines)];
    for text in both {
        println!("{text}");
        line(&plain(&text));
    }
    for reader in readers {
        reader.join().expect("reading lines does not panic");
    }
    Ok(child.wait()?)
}

fn pass_on(from: impl Read + Send + 'static, to: mpsc::SyncSender<String>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for bytes in BufReader::new(from).split(b'\n').map_while(Result::ok) {
            if to.send(String::from_utf8_lossy(&bytes).into_owned()).is_err() {
                return;
            }
        }
    })
}

/// `text` without escape sequences of the form `ESC [ … letter`.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            out.push(c);
        } else if chars.next() == Some('[') {
            chars.by_ref().find(char::is_ascii_alphabetic);
        }
    }
    out
}

/// `cargo metadata` of a workspace, without its dependencies.
pub(crate) fn metadata(manifest: &Path) -> Result<Value> {
    let mut command = cargo();
    command
        .args(["metadata", "--format-version", "1", "--no-deps", "--manifest-path"])
        .arg(manifest);
    serde_json::from_str(&output(&mut command)?).context("cargo metadata is JSON")
}

/// Where cargo puts what it builds of that workspace.
pub(crate) fn target_dir(manifest: &Path) -> Result<PathBuf> {
    let metadata = metadata(manifest)?;
    let dir = metadata["target_directory"]
        .as_str()
        .context("cargo metadata names the target directory")?;
    Ok(PathBuf::from(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_taken_off() {
        assert_eq!(
            plain("\u{1b}[32;1m    Summary\u{1b}[0m [1s] 2 passed"),
            "    Summary [1s] 2 passed"
        );
    }

    #[test]
    fn both_outputs_are_watched() {
        let mut seen = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; exit 3"]);
        let status = watch(&mut command, |line| seen.push(line.to_owned())).expect("sh runs");
        seen.sort();
        assert_eq!(
            (seen, status.code()),
            (vec!["one".to_owned(), "two".to_owned()], Some(3))
        );
    }
}
