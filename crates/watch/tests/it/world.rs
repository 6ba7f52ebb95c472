//! A directory, a place for state, and a sink that keeps what it is given as a gateway would: each id once.

use std::{
    collections::HashSet,
    fs::{self, OpenOptions},
    io::Write,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use turnwire_adapters::by_name;
use turnwire_proto::{Kind, NewEvent};
use turnwire_watch::{Options, Sink, Source, Tailer, stop};

/// What has been taken.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken {
    events: Arc<Mutex<Vec<NewEvent>>>,
    /// Nothing is taken: the disk is full.
    pub(crate) refuses: Arc<AtomicBool>,
}

impl Sink for Taken {
    fn push(&self, events: &[NewEvent]) -> bool {
        if self.refuses.load(Ordering::SeqCst) {
            return false;
        }
        self.events.lock().unwrap().extend_from_slice(events);
        true
    }

    fn is_full(&self) -> bool {
        false
    }

    fn sync(&self) -> bool {
        !self.refuses.load(Ordering::SeqCst)
    }
}

impl Taken {
    /// All that was pushed, repetitions too.
    pub(crate) fn pushed(&self) -> Vec<NewEvent> {
        self.events.lock().unwrap().clone()
    }

    /// What a gateway has of it.
    pub(crate) fn events(&self) -> Vec<NewEvent> {
        let mut known = HashSet::new();
        self.pushed()
            .into_iter()
            .filter(|event| known.insert(event.id))
            .collect()
    }

    /// The texts of the notes, in their order.
    pub(crate) fn notes(&self) -> Vec<String> {
        let text = |event: &NewEvent| Some(event.data.read::<turnwire_proto::Note>().ok()?.text);
        let notes = self.events().into_iter().filter(|event| event.kind == Kind::NOTE);
        notes.filter_map(|event| text(&event)).collect()
    }
}

pub(crate) struct World {
    dir: tempfile::TempDir,
    pub(crate) taken: Taken,
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self {
            dir: tempfile::tempdir().unwrap(),
            taken: Taken::default(),
        };
        fs::create_dir(world.path("")).unwrap();
        world
    }

    /// A path in the directory that is followed.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("logs").join(name)
    }

    pub(crate) fn append(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn source(&self, adapter: &str) -> Source {
        Source::new(&self.path(""), "*.jsonl", by_name(adapter)).unwrap()
    }

    pub(crate) fn tailer_of(&self, source: Source, import: bool) -> Tailer {
        let options = Options {
            state: self.dir.path().join("state"),
            import,
            polling: true,
        };
        Tailer::new(vec![source], &options, Box::new(self.taken.clone())).unwrap()
    }

    /// One that follows lines of text.
    pub(crate) fn tailer(&self) -> Tailer {
        self.tailer_of(self.source("lines"), false)
    }
}

/// Looks once.
pub(crate) fn look(tailer: &mut Tailer) {
    let (_stop, stopped) = stop().unwrap();
    tailer.once(&stopped).unwrap();
}
