//! One file that is followed: read in pieces, line by line, each line once.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Instant, SystemTime},
};

use turnwire_adapters::{Context, Filed, Spec};
use turnwire_proto::{Defaults, Kind, Name, NewEvent, Object, Timestamp, limits};

use crate::{
    journal::Place,
    marks::{Identity, Marks},
    source::Source,
};

/// The longest line. Agents write images and whole files in one; a longer one is told as far as it can be shown.
const LINE: usize = limits::BATCH_BYTES;
/// Bytes of a longer one that are shown.
const SHOWN: usize = 8 * 1024;
/// Bytes in which a file's first line must end for it to say whose it is.
const FIRST: usize = 256 * 1024;
/// Adapters that remember nothing from line to line.
const STATELESS: [&str; 3] = ["lines", "mapped", "native"];

/// A file, and how far it has been told.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) path: PathBuf,
    pub(crate) source: usize,
    /// What it was called when it was found: part of its events' ids.
    pub(crate) origin: String,
    pub(crate) id: Identity,
    pub(crate) told: u64,
    pub(crate) from: u64,
    pub(crate) marks: Marks,
    pub(crate) len: u64,
    pub(crate) changed: Option<SystemTime>,
    pub(crate) reader: Option<Reader>,
    pub(crate) queued: bool,
    /// Nothing of what has been told is held back.
    pub(crate) rested: bool,
    /// One of the few large ones that are read at a time.
    pub(crate) bulk: bool,
}

/// What is made when a file is read, and can be made again.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) file: File,
    filed: Filed,
    /// What has been read.
    at: u64,
    /// Where the line begins that is not yet whole, and its bytes.
    start: u64,
    partial: Vec<u8>,
    /// It is too long: only its first bytes are kept.
    long: bool,
    /// What the lines that are not told say of those that will be.
    before: Vec<NewEvent>,
    session: Option<Name>,
    source: Name,
    pub(crate) rested: bool,
    pub(crate) used: Instant,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    pub(crate) events: Vec<NewEvent>,
    pub(crate) bytes: u64,
    pub(crate) lines: u64,
    /// All lines up to here are in the events, or were told before.
    pub(crate) told: u64,
    /// There may be more.
    pub(crate) more: bool,
}

impl Followed {
    pub(crate) fn place(&self) -> Place {
        let name = self.path.to_string_lossy();
        Place {
            id: self.id,
            told: self.told,
            from: self.from,
            origin: (self.origin != name).then(|| self.origin.clone()),
            rested: self.rested,
            marks: self.marks.clone(),
        }
    }

    /// Notes what stands before the place that has been told.
    pub(crate) fn mark(&mut self) {
        if self.marks.at() == self.told {
            return;
        }
        let opened = match &self.reader {
            Some(_) => None,
            None => File::open(&self.path).ok(),
        };
        if let Some(file) = self.reader.as_ref().map(|reader| &reader.file).or(opened.as_ref()) {
            self.marks = Marks::of(file, self.told);
        }
    }

    /// When it was last written to: what has no time of its own happened then.
    fn time(&self) -> Timestamp {
        let since = self
            .changed
            .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        since
            .and_then(|since| Timestamp::from_millis(i64::try_from(since.as_millis()).ok()?))
            .unwrap_or_else(Timestamp::now)
    }

    /// Reads on, at most a buffer. `as_if` is where the file is, should it not be where it was.
    pub(crate) fn read(&mut self, source: &Source, as_if: Option<&Path>, buffer: &mut [u8]) -> io::Result<Piece> {
        let time = self.time();
        let told = self.told;
        if self.reader.is_none() {
            let path = as_if.unwrap_or(&self.path);
            let Some(reader) = Reader::open(path, &self.path, &self.origin, source, told)? else {
                // Its first line is not whole yet.
                return Ok(Piece {
                    told,
                    ..Piece::default()
                });
            };
            self.reader = Some(reader);
        }
        let Some(reader) = &mut self.reader else {
            return Ok(Piece::default());
        };
        reader.used = Instant::now();
        reader.rested = false;
        reader.read(time, told, buffer)
    }

    /// Nothing came for a while: what is held back is told, and a last line that lacks only its break.
    pub(crate) fn rest(&mut self) -> Piece {
        let (time, told) = (self.time(), self.told);
        let Some(reader) = &mut self.reader else {
            return Piece::default();
        };
        reader.rested = true;
        // What stands before the place is read only to be known.
        if reader.at < told {
            return Piece {
                told,
                ..Piece::default()
            };
        }
        let mut piece = reader.whole(time, told);
        reader.filed.idle(reader.start, time, &mut piece.events);
        piece
    }

    /// The file ends here for good.
    pub(crate) fn finish(&mut self) -> Piece {
        let (time, told) = (self.time(), self.told);
        let Some(mut reader) = self.reader.take() else {
            return Piece::default();
        };
        let mut piece = Piece {
            told,
            ..Piece::default()
        };
        if !reader.partial.is_empty() && reader.at > told {
            reader.line(&[], reader.at, time, &mut piece);
        }
        reader.filed.end(reader.start, time, &mut piece.events);
        piece
    }
}

impl Reader {
    /// `None` while the first line, which says whose file it is, is not whole.
    fn open(path: &Path, named: &Path, origin: &str, source: &Source, told: u64) -> io::Result<Option<Self>> {
        let file = File::open(path)?;
        let mut first = Vec::new();
        if source.is_auto() {
            let mut head = vec![0; FIRST];
            let read = file.read_at(&mut head, 0)?;
            let end = memchr::memchr(b'\n', &head[..read]);
            if end.is_none() && read < FIRST && serde_json::from_slice::<Object>(&head[..read]).is_err() {
                return Ok(None);
            }
            head.truncate(end.unwrap_or(read));
            first = head;
        }
        let spec: &Spec = source.spec(named, &first);
        let context: Context = source.context(named, spec);
        let start = if STATELESS.contains(&spec.name) {
            line_start(&file, told)?
        } else {
            0
        };
        Ok(Some(Self {
            session: context.session.clone().or_else(|| source.session(named)),
            source: Defaults::new(spec.name, Timestamp::UNIX_EPOCH).source,
            filed: Filed::new(origin, spec, context),
            file,
            at: start,
            start,
            partial: Vec::new(),
            long: false,
            before: Vec::new(),
            rested: false,
            used: Instant::now(),
        }))
    }

    pub(crate) const fn at(&self) -> u64 {
        self.at
    }

    fn read(&mut self, time: Timestamp, told: u64, buffer: &mut [u8]) -> io::Result<Piece> {
        let mut piece = Piece {
            told,
            ..Piece::default()
        };
        let read = self.file.read_at(buffer, self.at)?;
        let mut rest = &buffer[..read];
        while let Some(end) = memchr::memchr(b'\n', rest) {
            self.at += end as u64 + 1;
            self.line(&rest[..end], self.at, time, &mut piece);
            rest = &rest[end + 1..];
        }
        self.at += rest.len() as u64;
        self.keep(rest);
        piece.bytes = read as u64;
        piece.more = read == buffer.len();
        Ok(piece)
    }

    /// Keeps the beginning of a line.
    fn keep(&mut self, bytes: &[u8]) {
        if self.long || self.partial.len() + bytes.len() > LINE {
            let room = SHOWN.saturating_sub(self.partial.len());
            self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
            self.partial.truncate(SHOWN);
            self.long = true;
        } else {
            self.partial.extend_from_slice(bytes);
        }
    }

    /// Takes the end of a line; the next one begins at `end`.
    fn line(&mut self, rest: &[u8], end: u64, time: Timestamp, piece: &mut Piece) {
        let first = piece.events.len();
        let kept;
        let line = if self.partial.is_empty() && !self.long && rest.len() <= LINE {
            rest
        } else {
            self.keep(rest);
            kept = std::mem::take(&mut self.partial);
            &kept
        };
        if self.long {
            let event = self.too_long(line, end, time);
            piece.events.push(event);
        } else if !line.trim_ascii().is_empty() {
            self.filed.line(self.start, line, time, &mut piece.events);
        }
        self.long = false;
        self.start = end;
        if let Some(session) = piece.events.last().and_then(|event| event.session_id.clone()) {
            self.session = Some(session);
        }
        if end <= piece.told {
            // It was told before, or is not to be.
            piece
                .events
                .drain(first..)
                .for_each(|event| remember(&mut self.before, event));
            return;
        }
        if !self.before.is_empty() && piece.events.len() > first {
            let before = std::mem::take(&mut self.before);
            piece.events.splice(first..first, before);
        }
        piece.lines += 1;
        piece.told = end;
    }

    /// A last line that lacks only its break. A part of an object is none, so it is whole.
    fn whole(&mut self, time: Timestamp, told: u64) -> Piece {
        let mut piece = Piece {
            told,
            ..Piece::default()
        };
        if !self.long && self.partial.ends_with(b"}") && serde_json::from_slice::<Object>(&self.partial).is_ok() {
            self.line(&[], self.at, time, &mut piece);
        }
        piece
    }

    fn too_long(&self, head: &[u8], end: u64, time: Timestamp) -> NewEvent {
        let bytes = end - self.start;
        let data = Object::of(&serde_json::json!({
            "what": format!("a line of {bytes} bytes: at most {LINE} are read"),
            "unknown": true,
            "truncated": true,
            "bytes": bytes,
            "head": String::from_utf8_lossy(head),
        }));
        let mut event = NewEvent::new(Kind::RAW, self.source.clone(), time, data);
        event.session_id.clone_from(&self.session);
        self.filed.own(self.start, &mut event);
        event
    }
}

/// Keeps what says where the reader is: in which session, in which turn, in whose file.
pub(crate) fn remember(before: &mut Vec<NewEvent>, event: NewEvent) {
    let over = match event.kind.as_str() {
        "session_start" | "turn_start" | "agent_start" => None,
        "turn_end" => Some(Kind::TURN_START),
        "agent_end" => Some(Kind::AGENT_START),
        _ => return,
    };
    let of = over.as_ref().unwrap_or(&event.kind).clone();
    before.retain(|known| known.kind != of);
    if over.is_none() {
        before.push(event);
    }
}

/// The beginning of the line that is there at `told`.
fn line_start(file: &File, told: u64) -> io::Result<u64> {
    let mut end = told;
    while end > 0 {
        let from = end.saturating_sub(FIRST as u64);
        let mut bytes = vec![0; usize::try_from(end - from).unwrap_or(0)];
        file.read_exact_at(&mut bytes, from)?;
        if let Some(at) = memchr::memrchr(b'\n', &bytes) {
            return Ok(from + at as u64 + 1);
        }
        end = from;
    }
    Ok(0)
}
