//! A place of its own for one test: directories, and the binary that knows only them.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

pub(crate) struct World {
    dir: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.path("data")
    }

    /// The binary, in this world.
    pub(crate) fn turnwire(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_turnwire"));
        command
            .args(args)
            .env("TURNWIRE_DATA_DIR", self.data_dir())
            .env("HOME", self.path("home"))
            .env_remove("XDG_DATA_HOME")
            .env("NO_COLOR", "1")
            .env_remove("TURNWIRE_URL")
            .env_remove("TURNWIRE_TOKEN")
            .stdin(Stdio::null());
        command
    }

    /// `turnwire run ARGS -- sh -c SCRIPT`.
    pub(crate) fn run(&self, args: &[&str], script: &str) -> Command {
        let mut all = vec!["run"];
        all.extend(args);
        all.extend(["--", "sh", "-c", script]);
        self.turnwire(&all)
    }

    /// The events that are in the spools, oldest spool first.
    pub(crate) fn spooled(&self) -> Vec<Value> {
        self.spool_files()
            .iter()
            .flat_map(|file| {
                let text = fs::read_to_string(file).unwrap();
                text.lines()
                    .map(|line| serde_json::from_str(line).unwrap())
                    .collect::<Vec<Value>>()
            })
            .collect()
    }

    /// How much is in the spools at least, while it is still written to.
    pub(crate) fn spooled_bytes(&self) -> u64 {
        let size = |file: &PathBuf| fs::metadata(file).map_or(0, |meta| meta.len());
        self.spool_files().iter().map(size).sum()
    }

    /// Whether a whole line in the spools has `text`.
    pub(crate) fn has_spooled(&self, text: &str) -> bool {
        let files = self.spool_files();
        let has = |file: &PathBuf| fs::read_to_string(file).is_ok_and(|all| all.ends_with('\n') && all.contains(text));
        files.iter().any(has)
    }

    fn spool_files(&self) -> Vec<PathBuf> {
        entries(&self.data_dir().join("spool"))
            .iter()
            .flat_map(|spool| entries(spool))
            .filter(|file| file.extension().is_some_and(|e| e == "ndjson"))
            .collect()
    }
}

/// What is in a directory, by name; nothing when it is not there.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(dir)
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    entries.sort();
    entries
}

/// The text of the notes, without those of standard error.
pub(crate) fn notes(events: &[Value]) -> Vec<&str> {
    let notes = events
        .iter()
        .filter(|event| event["type"] == "note" && event["source"] != "stderr");
    notes.map(|event| event["data"]["text"].as_str().unwrap()).collect()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A gateway on the world's data directory.
pub(crate) struct Served {
    pub(crate) child: Child,
    pub(crate) ready: Value,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn serve(world: &World, args: &[&str]) -> Served {
    let mut all = vec!["serve", "--listen", "127.0.0.1:0", "--json"];
    all.extend(args);
    let mut child = world.turnwire(&all).stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut ready)
        .unwrap();
    let ready = serde_json::from_str(&ready).unwrap_or_else(|error| panic!("{error}: {ready:?}"));
    Served { child, ready }
}
