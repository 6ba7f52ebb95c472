//! The recordings, and a clock for them.

use std::{fs, path::PathBuf};

use turnwire_adapters::{Adapter, Context, by_command, by_name};
use turnwire_proto::{NewEvent, Timestamp};

/// What a program has printed, as it was recorded.
pub(crate) struct Recording {
    pub(crate) vendor: &'static str,
    /// The file's name without its extension.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
    /// The command line; empty for what is no program's output.
    pub(crate) argv: Vec<String>,
    pub(crate) exit: Option<i32>,
}

/// What agents leave on disk: read from a file, which no program's output is detected from.
pub(crate) const FILES: [&str; 5] = [
    "claude-transcript",
    "codex-rollout",
    "gemini-chat",
    "opencode-session",
    "waza",
];

pub(crate) const VENDORS: [&str; 12] = [
    "acp",
    "claude",
    "codex",
    "codex-app",
    "gemini",
    "opencode",
    "opencode-server",
    "claude-transcript",
    "codex-rollout",
    "gemini-chat",
    "opencode-session",
    "waza",
];

/// All of them, in the order of their names.
pub(crate) fn all() -> Vec<Recording> {
    let mut all = Vec::new();
    for vendor in VENDORS {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(vendor);
        let index: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
        let mut files: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        for path in files {
            let file = path.file_name().unwrap().to_str().unwrap();
            if file == "index.json" || file.ends_with(".events") {
                continue;
            }
            let name = file.split('.').next().unwrap().to_owned();
            let run = &index[&name];
            all.push(Recording {
                vendor,
                argv: serde_json::from_value(run["argv"].clone()).unwrap(),
                exit: run["exit"].as_i64().map(|code| i32::try_from(code).unwrap()),
                bytes: fs::read(&path).unwrap(),
                name,
                path,
            });
        }
    }
    assert!(all.len() > 20, "the recordings are there");
    all
}

impl Recording {
    /// Whether it is what the program prints for a reader of lines.
    pub(crate) fn is_output(&self) -> bool {
        let file = self.path.file_name().unwrap().to_str().unwrap();
        !file.contains(".stdin.") && !file.ends_with(".sse")
    }

    /// Whether it is a file that an agent keeps.
    pub(crate) fn is_file(&self) -> bool {
        FILES.contains(&self.vendor)
    }

    /// Its lines, split as a runner splits them: at LF, the last one perhaps without.
    pub(crate) fn lines(&self) -> Vec<&[u8]> {
        let bytes = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        bytes.split(|byte| *byte == b'\n').collect()
    }

    /// What a runner knows of it before it starts.
    pub(crate) fn context(&self) -> Context {
        let command = by_command(&self.argv);
        Context {
            prompt: command.as_ref().and_then(|command| command.prompt.clone()),
            resumed: command.is_some_and(|command| command.resumed),
            ..Context::default()
        }
    }

    /// When each line came: by its own time where it has one, a millisecond after the one before where not.
    pub(crate) fn clock(&self) -> Vec<Timestamp> {
        let own: Vec<Option<i64>> = self.lines().iter().map(|line| own_time(line)).collect();
        let first = own.iter().flatten().next().copied();
        let mut now = first.unwrap_or(1_795_165_200_000) - 50;
        own.into_iter()
            .map(|own| {
                now = own.unwrap_or(0).max(now + 1);
                Timestamp::from_millis(now).unwrap()
            })
            .collect()
    }

    /// Its events by the adapter of this name.
    pub(crate) fn events(&self, adapter: &str, context: Context) -> (Vec<NewEvent>, u64) {
        let mut adapter = (by_name(adapter).unwrap().make)(context);
        let lines: Vec<_> = self.lines().into_iter().zip(self.clock()).collect();
        let out = run(&mut *adapter, &lines, self.exit);
        (out, adapter.unknown())
    }
}

/// Feeds lines and the end, which comes a millisecond after the last one.
pub(crate) fn run(adapter: &mut dyn Adapter, lines: &[(&[u8], Timestamp)], exit: Option<i32>) -> Vec<NewEvent> {
    let mut out = Vec::new();
    for (line, at) in lines {
        adapter.line(line, *at, &mut out);
    }
    let last = lines.last().map_or(Timestamp::UNIX_EPOCH, |(_, at)| *at);
    adapter.end(exit, Timestamp::from_millis(last.millis() + 1).unwrap(), &mut out);
    out
}

fn own_time(line: &[u8]) -> Option<i64> {
    let line: serde_json::Value = serde_json::from_slice(line).ok()?;
    let places = ["/timestamp", "/emittedAtMs", "/properties/time", "/data/time"];
    match places.iter().find_map(|place| line.pointer(place))? {
        serde_json::Value::String(text) => Some(text.parse::<Timestamp>().ok()?.millis()),
        number => number.as_i64(),
    }
}
