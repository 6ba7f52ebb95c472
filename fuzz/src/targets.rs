//! The list of targets. To add one: a file with a `run`, and a line here; seeds in `seeds/NAME`, words in `NAME.dict`.

use std::path::PathBuf;

use turnwire_adapters::ADAPTERS;

use crate::{adapters, cursors, hooks, otlp, publish, query, sse};

/// Real output of each agent, with what must come of it.
const RECORDINGS: &str = "../crates/adapters/fixtures";

/// Takes one input, and panics when a promise is broken.
type Run = Box<dyn Fn(&[u8]) + Send + Sync>;

/// Something that takes foreign bytes.
pub(crate) struct Target {
    pub(crate) name: String,
    /// Folders of first inputs, as seen from `fuzz/`.
    pub(crate) seeds: Vec<String>,
    run: Run,
}

impl Target {
    fn new(name: &str, run: impl Fn(&[u8]) + Send + Sync + 'static) -> Self {
        Self {
            name: name.to_owned(),
            seeds: vec![format!("seeds/{name}")],
            run: Box::new(run),
        }
    }

    /// One input. It panics when a promise is broken.
    pub(crate) fn run(&self, data: &[u8]) {
        (self.run)(data);
    }

    /// Words that mutation puts in, where the target has some.
    pub(crate) fn dictionary(&self) -> Option<PathBuf> {
        let family = self.name.split('-').next().unwrap_or_default();
        let path = crate::home().join("dictionaries").join(format!("{family}.dict"));
        path.is_file().then_some(path)
    }
}

/// Every target: the parsers, and one for each adapter in its crate's own list.
pub(crate) fn all() -> Vec<Target> {
    let mut all = vec![
        Target::new("sse", sse::run),
        Target::new("publish", publish::run),
        Target::new("cursors", cursors::run),
        Target::new("query", |data| query::run(&String::from_utf8_lossy(data))),
    ];
    let mut payloads = Target::new("hooks", hooks::run);
    payloads.seeds.push(format!("{RECORDINGS}/claude-hooks"));
    all.push(payloads);
    let mut requests = Target::new("otlp", otlp::run);
    for run in [
        "claude-otlp/http-json-details",
        "claude-otlp/http-protobuf",
        "codex-otlp/http-binary",
        "gemini-otlp/http",
        "genai-otlp/documented",
    ] {
        requests.seeds.push(format!("{RECORDINGS}/{run}"));
    }
    all.push(requests);
    for spec in ADAPTERS {
        let mut target = Target::new(&format!("adapter-{}", spec.name), |output| {
            adapters::named(spec, output)
        });
        target.seeds.push(format!("{RECORDINGS}/{}", spec.name));
        all.push(target);
    }
    let mut detect = Target::new("adapter-detect", adapters::detected);
    detect
        .seeds
        .extend(ADAPTERS.iter().map(|spec| format!("{RECORDINGS}/{}", spec.name)));
    all.push(detect);
    all
}
