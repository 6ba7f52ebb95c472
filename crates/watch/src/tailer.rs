//! The loop: what has changed is looked at, what is new is read a piece at a time and pushed, and how far it got is noted.

mod databases;
mod find;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use turnwire_proto::NewEvent;

use crate::{
    Error, Sink, Source, Stopped,
    follow::{Followed, Piece},
    journal::{Journal, Place},
    marks::Identity,
    stored::Stored,
    wake::{POLL, Wake},
};

/// Bytes of a file that are read before the next one has its turn.
const PIECE: usize = 256 * 1024;
/// Bytes that a file lacks to be a large one, and how many of those are read at a time.
const BULK: (u64, usize) = (1 << 20, 4);
/// Files whose adapters are kept; those of others are made anew when they grow.
const READERS: usize = 64;
/// How often places are noted: what a crash makes read again.
const NOTE_EVERY: (Duration, u64) = (Duration::from_secs(1), 32 << 20);
/// A file to which nothing came for this long rests.
const REST: Duration = Duration::from_secs(1);
/// A file that is imported and was not written to for this long is finished.
const FINISHED: Duration = Duration::from_hours(1);
/// How long to wait for a full spool, or a full disk.
const LATER: Duration = Duration::from_millis(50);

/// How to follow.
#[derive(Debug)]
pub struct Options {
    /// The directory where places in files are noted.
    pub state: PathBuf,
    /// Read what was there before, too.
    pub import: bool,
    /// Do not ask the kernel.
    pub polling: bool,
}

/// How it stands.
#[derive(Debug, Default)]
pub struct Counts {
    /// Files that are followed.
    pub files: AtomicU64,
    /// Bytes that there were to read when it began, and that have been read since.
    pub total: AtomicU64,
    /// Bytes read.
    pub read: AtomicU64,
    /// Lines told.
    pub lines: AtomicU64,
    /// Events made of them.
    pub events: AtomicU64,
    /// All that was there has been found.
    pub found: AtomicBool,
}

/// Follows files. See the crate.
pub struct Tailer {
    sources: Vec<Source>,
    import: bool,
    sink: Box<dyn Sink>,
    journal: Journal,
    wake: Wake,
    counts: Arc<Counts>,
    files: HashMap<usize, Followed>,
    stored: Vec<Stored>,
    next: usize,
    by_path: HashMap<PathBuf, usize>,
    by_id: HashMap<Identity, usize>,
    /// Places of files that had another name when they were last followed.
    moved: HashMap<Identity, Place>,
    /// Files to read, one piece each in turn; and large ones that wait for theirs.
    ready: VecDeque<usize>,
    waiting: VecDeque<usize>,
    bulk: usize,
    readers: Vec<usize>,
    dirty: HashSet<usize>,
    gone: Vec<String>,
    unnoted: u64,
    noted: Instant,
    looked: Option<Instant>,
    /// A source's directory is not there.
    missing: bool,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Tailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tailer")
            .field("files", &self.files.len())
            .finish_non_exhaustive()
    }
}

impl Tailer {
    /// Begins where earlier processes ended.
    ///
    /// # Errors
    /// When the state cannot be read or written.
    pub fn new(sources: Vec<Source>, options: &Options, sink: Box<dyn Sink>) -> Result<Self, Error> {
        let journal = Journal::open(&options.state)?;
        let named = |(path, place): (&String, &Place)| {
            let origin = Some(place.origin.clone().unwrap_or_else(|| path.clone()));
            (
                place.id,
                Place {
                    origin,
                    ..place.clone()
                },
            )
        };
        let moved = journal.places.iter().map(named).collect();
        Ok(Self {
            sources,
            import: options.import,
            sink,
            journal,
            wake: Wake::new(options.polling),
            counts: Arc::default(),
            files: HashMap::new(),
            stored: Vec::new(),
            next: 0,
            by_path: HashMap::new(),
            by_id: HashMap::new(),
            moved,
            ready: VecDeque::new(),
            waiting: VecDeque::new(),
            bulk: 0,
            readers: Vec::new(),
            dirty: HashSet::new(),
            gone: Vec::new(),
            unnoted: 0,
            noted: Instant::now(),
            looked: None,
            missing: false,
            buffer: vec![0; PIECE],
        })
    }

    /// How it stands, for who shows it.
    #[must_use]
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// Follows until it is stopped.
    ///
    /// # Errors
    /// When places can no longer be noted.
    pub fn run(mut self, stopped: &Stopped) -> Result<(), Error> {
        while !stopped.is_said() {
            let mut changed = HashSet::new();
            self.wake.told(&mut |path| {
                changed.insert(path);
            });
            if self.read_one(stopped) {
                // There is more: no time to wait.
            } else {
                let until = self.until();
                self.wake.wait(until, stopped, &mut |path| {
                    changed.insert(path);
                });
                self.rest(stopped);
            }
            let late = self.looked.is_none_or(|at| at.elapsed() >= self.look_every());
            if late || std::mem::take(&mut self.wake.blind) {
                self.look_at_all(stopped)?;
            } else {
                changed.iter().for_each(|path| self.look(path, stopped));
                self.look_later();
            }
            if self.noted.elapsed() >= NOTE_EVERY.0 || self.unnoted >= NOTE_EVERY.1 {
                self.note(None)?;
            }
        }
        self.note(None)
    }

    /// Looks at everything once and reads all that is there.
    ///
    /// # Errors
    /// When places cannot be noted.
    pub fn once(&mut self, stopped: &Stopped) -> Result<(), Error> {
        self.look_at_all(stopped)?;
        while !stopped.is_said() && self.read_one(stopped) {
            if self.noted.elapsed() >= NOTE_EVERY.0 || self.unnoted >= NOTE_EVERY.1 {
                self.note(None)?;
            }
        }
        for file in self.readers.clone() {
            self.rest_one(file, stopped);
        }
        self.note(None)
    }

    /// How long until everything is looked at again: soon while a directory is not there to be listened to.
    const fn look_every(&self) -> Duration {
        if self.missing { POLL } else { self.wake.look_every() }
    }

    /// How long nothing needs to be done.
    fn until(&self) -> Duration {
        let look = self
            .looked
            .map_or(Duration::ZERO, |at| self.look_every().saturating_sub(at.elapsed()));
        if self.stored.iter().any(|one| one.later) {
            return look.min(databases::AGAIN);
        }
        let soon = self.stored.iter().any(Stored::is_dirty)
            || !self.dirty.is_empty()
            || self.readers.iter().any(|file| !self.has_rested(*file));
        if soon {
            look.min(Duration::from_millis(500))
        } else {
            look
        }
    }

    fn has_rested(&self, file: usize) -> bool {
        let reader = self.files.get(&file).and_then(|file| file.reader.as_ref());
        reader.is_none_or(|reader| reader.rested)
    }

    /// Puts a file among those to read.
    fn want(&mut self, file: usize) {
        let Some(followed) = self.files.get_mut(&file) else {
            return;
        };
        if std::mem::replace(&mut followed.queued, true) {
            return;
        }
        let at = followed.reader.as_ref().map_or(0, |reader| reader.at());
        if followed.len.saturating_sub(at) > BULK.0 || (self.import && !self.counts.found.load(Ordering::Relaxed)) {
            followed.bulk = true;
            self.waiting.push_back(file);
        } else {
            self.ready.push_back(file);
        }
    }

    /// Reads a piece of the file whose turn it is; whether there was one.
    fn read_one(&mut self, stopped: &Stopped) -> bool {
        while self.bulk < BULK.1
            && let Some(file) = self.waiting.pop_front()
        {
            self.bulk += 1;
            self.ready.push_back(file);
        }
        let Some(file) = self.ready.pop_front() else {
            return self.read_stored(stopped);
        };
        let more = self.read_piece(file, None, stopped);
        let Some(followed) = self.files.get_mut(&file) else {
            return true;
        };
        if more {
            self.ready.push_back(file);
            return true;
        }
        followed.queued = false;
        if std::mem::take(&mut followed.bulk) {
            self.bulk -= 1;
        }
        if self.import && followed.changed.is_some_and(is_old) && followed.reader.is_some() {
            let piece = followed.finish();
            if self.tell(file, &piece, stopped) {
                self.has_told_all(file);
            }
        }
        true
    }

    /// Reads a piece and pushes what is in it; whether there is more.
    fn read_piece(&mut self, file: usize, as_if: Option<&Path>, stopped: &Stopped) -> bool {
        let Some(followed) = self.files.get_mut(&file) else {
            return false;
        };
        let source = &self.sources[followed.source];
        let piece = match followed.read(source, as_if, &mut self.buffer) {
            Ok(piece) => piece,
            Err(error) => {
                // It has just gone, which the next look sees, or may not be read.
                if error.kind() != std::io::ErrorKind::NotFound {
                    tracing::warn!("{} is not read: {error}", followed.path.display());
                }
                return false;
            }
        };
        let more = piece.more;
        self.keep_reader(file, stopped);
        self.tell(file, &piece, stopped) && more
    }

    /// The adapters of those that rested longest are let go, after they have told what they held back.
    fn keep_reader(&mut self, file: usize, stopped: &Stopped) {
        self.readers.retain(|known| *known != file);
        self.readers.push(file);
        let files = &self.files;
        self.readers
            .retain(|file| files.get(file).is_some_and(|file| file.reader.is_some()));
        if self.readers.len() > READERS
            && let Some(at) = self
                .readers
                .iter()
                .position(|it| files.get(it).is_some_and(|it| !it.queued))
        {
            let least = self.readers.remove(at);
            if !self.has_rested(least) {
                self.rest_one(least, stopped);
            }
            if let Some(followed) = self.files.get_mut(&least) {
                followed.reader = None;
            }
        }
    }

    /// Pushes what a piece tells, for as long as it takes; whether it is told.
    fn tell(&mut self, file: usize, piece: &Piece, stopped: &Stopped) -> bool {
        if !self.push(&piece.events, stopped) {
            return false;
        }
        self.counts.read.fetch_add(piece.bytes, Ordering::Relaxed);
        self.counts.lines.fetch_add(piece.lines, Ordering::Relaxed);
        self.unnoted += piece.bytes;
        if let Some(followed) = self.files.get_mut(&file)
            && piece.told > followed.told
        {
            (followed.told, followed.rested) = (piece.told, false);
            self.dirty.insert(file);
        }
        true
    }

    /// Pushes events, for as long as it takes; whether they are told.
    fn push(&self, events: &[NewEvent], stopped: &Stopped) -> bool {
        while !events.is_empty() && (self.sink.is_full() || !self.sink.push(events)) {
            if stopped.is_said() {
                // Not told: the place stays where it is.
                return false;
            }
            std::thread::sleep(LATER);
        }
        self.counts.events.fetch_add(events.len() as u64, Ordering::Relaxed);
        true
    }

    /// Tells what is held back of files to which nothing came for a while.
    fn rest(&mut self, stopped: &Stopped) {
        for file in self.readers.clone() {
            let Some(followed) = self.files.get(&file) else {
                continue;
            };
            let due = followed
                .reader
                .as_ref()
                .is_some_and(|it| !it.rested && it.used.elapsed() >= REST);
            if due && !followed.queued {
                self.rest_one(file, stopped);
            }
        }
    }

    fn rest_one(&mut self, file: usize, stopped: &Stopped) {
        let Some(piece) = self.files.get_mut(&file).map(Followed::rest) else {
            return;
        };
        if self.tell(file, &piece, stopped) {
            self.has_told_all(file);
        }
    }

    /// Nothing of the file is held back.
    fn has_told_all(&mut self, file: usize) {
        if let Some(followed) = self.files.get_mut(&file)
            && !std::mem::replace(&mut followed.rested, true)
        {
            self.dirty.insert(file);
        }
    }

    /// Notes how far files have been told; only after that is on disk.
    fn note(&mut self, sources: Option<Vec<String>>) -> Result<(), Error> {
        (self.noted, self.unnoted) = (Instant::now(), 0);
        let stored = self.stored.iter().any(Stored::is_dirty);
        if !stored && self.dirty.is_empty() && self.gone.is_empty() && sources.is_none() {
            return Ok(());
        }
        if !self.sink.sync() {
            return Ok(());
        }
        let mut places: Vec<(String, Option<Place>)> = self.gone.drain(..).map(|path| (path, None)).collect();
        for file in self.dirty.drain() {
            let Some(followed) = self.files.get_mut(&file) else {
                continue;
            };
            followed.mark();
            places.push((followed.path.to_string_lossy().into_owned(), Some(followed.place())));
        }
        places.extend(self.stored.iter_mut().flat_map(Stored::places));
        self.journal.note(places, sources.unwrap_or_default())
    }
}

fn is_old(at: SystemTime) -> bool {
    at.elapsed().is_ok_and(|age| age > FINISHED)
}
