//! A database that is followed: each session, with those of its subagents, is as a file whose lines are its events.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use serde_json::value::RawValue;
use turnwire_adapters::{Filed, by_name};
use turnwire_proto::{NewEvent, Timestamp};

use crate::{
    database::{Database, Found, Row, Rows, Trouble},
    follow::remember,
    journal::Place,
    marks::{Identity, Marks},
    source::Source,
};

/// Events of each session that are read before another conversation has its turn. Those seen have up to some 100 KB.
const PIECE: usize = 64;
/// Conversations whose adapters are kept; those of others are made anew when they grow.
const READERS: usize = 64;
/// Parents that a subagent has, at most: a circle of them has no end.
const DEPTH: usize = 16;

/// How far a session has been told, as it is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// The number of the first event that has not been told.
    pub(crate) told: u64,
    /// Events before this one were not.
    pub(crate) from: u64,
}

/// How those sessions begin of which nothing is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begin {
    /// The database was not there before.
    pub(crate) unseen: bool,
    pub(crate) import: bool,
}

#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) path: PathBuf,
    pub(crate) source: usize,
    /// What is said to be wrong with it, so that it is said once.
    complaint: String,
    /// It is looked at again soon: somebody held it, or it has just been looked at.
    pub(crate) later: bool,
    pub(crate) looked: Option<Instant>,
    /// What was there before has been found.
    seen: bool,
    db: Option<Database>,
    told: HashMap<String, Told>,
    /// By the session that they began with.
    talks: HashMap<String, Talk>,
    ready: VecDeque<String>,
    dirty: HashSet<String>,
    gone: Vec<String>,
    /// The ends of conversations that were deleted.
    ended: Vec<NewEvent>,
}

/// A session and those of its subagents.
#[derive(Debug, Default)]
struct Talk {
    /// The number that the next event of each will have.
    next: BTreeMap<String, u64>,
    changed: Option<Timestamp>,
    reader: Option<Reader>,
    queued: bool,
}

/// What is made when it is read, and can be made again.
#[derive(Debug)]
struct Reader {
    filed: Filed,
    /// What has been read.
    at: BTreeMap<String, u64>,
    /// What the events that are not told say of those that will be.
    before: Vec<NewEvent>,
    used: Instant,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    pub(crate) root: String,
    pub(crate) events: Vec<NewEvent>,
    pub(crate) bytes: u64,
    pub(crate) lines: u64,
    told: Vec<(String, u64)>,
    more: bool,
}

impl Stored {
    pub(crate) fn new(path: PathBuf, source: usize) -> Self {
        Self {
            path,
            source,
            complaint: String::new(),
            later: false,
            looked: None,
            seen: false,
            db: None,
            told: HashMap::new(),
            talks: HashMap::new(),
            ready: VecDeque::new(),
            dirty: HashSet::new(),
            gone: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// What a session is called where places are noted.
    pub(crate) fn name(&self, session: &str) -> String {
        format!("{}#{session}", self.path.display())
    }

    /// Looks at its sessions, of which `known` says how far they were told before. Whether they could be seen.
    pub(crate) fn look(&mut self, id: Identity, begin: Begin, known: impl Fn(&str) -> Option<Told>) -> bool {
        self.looked = Some(Instant::now());
        if self.db.as_ref().is_some_and(|db| db.id() != id) {
            self.db = None;
        }
        match self.sessions(id, begin) {
            Ok(Some(found)) => self.take(&found, begin, &known),
            Ok(None) => {}
            Err(trouble) => {
                self.wrong(&trouble);
                return false;
            }
        }
        self.later = false;
        self.complaint.clear();
        self.seen = true;
        true
    }

    fn sessions(&mut self, id: Identity, begin: Begin) -> Result<Option<Vec<Found>>, Trouble> {
        if let Some(db) = &mut self.db {
            return db.sessions();
        }
        let mut db = Database::open(&self.path, id)?;
        let found = db.sessions()?;
        let without = db.without_events()?;
        let is_empty = found.as_ref().is_none_or(Vec::is_empty);
        if without > 0 && (begin.import || is_empty) {
            let path = self.path.display();
            tracing::warn!(
                "{path}: {without} sessions have no events, as an older opencode left them: they are not read"
            );
        }
        self.db = Some(db);
        Ok(found)
    }

    /// Bytes of all that it holds.
    pub(crate) fn bytes(&self) -> u64 {
        self.db.as_ref().and_then(|db| db.bytes().ok()).unwrap_or(0)
    }

    /// Says once what is wrong. What is held by somebody is read later.
    fn wrong(&mut self, trouble: &Trouble) {
        self.later = *trouble == Trouble::Busy;
        let Trouble::Other(why) = trouble else { return };
        // It may be another one, or whole, when it is looked at next.
        self.db = None;
        if self.complaint != *why {
            let path = self.path.display();
            tracing::warn!("{path} is not read: {why}");
            self.complaint.clone_from(why);
        }
    }

    fn take(&mut self, found: &[Found], begin: Begin, known: &impl Fn(&str) -> Option<Told>) {
        let parents: HashMap<String, String> = found
            .iter()
            .filter_map(|one| Some((one.id.clone(), one.parent.clone()?)))
            .collect();
        let there: HashSet<&str> = found.iter().map(|one| one.id.as_str()).collect();
        let gone: Vec<String> = self
            .told
            .keys()
            .filter(|id| !there.contains(id.as_str()))
            .cloned()
            .collect();
        for session in gone {
            self.told.remove(&session);
            self.gone.push(session.clone());
            self.talks.values_mut().for_each(|talk| {
                talk.next.remove(&session);
            });
        }
        for (_, mut talk) in self.talks.extract_if(|_, talk| talk.next.is_empty()) {
            talk.finish(&mut self.ended);
        }
        for one in found {
            let told = self.told.get(&one.id).copied().or_else(|| known(&one.id));
            let mut told = told.unwrap_or_else(|| {
                let from = if begin.unseen && !begin.import && !self.seen {
                    one.next
                } else {
                    0
                };
                Told { told: from, from }
            });
            if begin.import && told.from > 0 {
                told = Told { told: 0, from: 0 };
            }
            // It was put back to what it was before.
            told.told = told.told.min(one.next);
            if self.told.insert(one.id.clone(), told) != Some(told) {
                self.dirty.insert(one.id.clone());
            }
            let root = root(&one.id, &parents);
            let talk = self.talks.entry(root.clone()).or_default();
            talk.next.insert(one.id.clone(), one.next);
            talk.changed = talk.changed.max(one.changed.and_then(Timestamp::from_millis));
            let at = talk.reader.as_ref().and_then(|reader| reader.at.get(&one.id));
            if one.next > told.told.max(at.copied().unwrap_or(0)) && !std::mem::replace(&mut talk.queued, true) {
                self.ready.push_back(root);
            }
        }
    }

    /// Reads a piece of the conversation whose turn it is; `None` when none is to be read.
    pub(crate) fn read(&mut self, source: &Source) -> Option<Piece> {
        let db = self.db.as_ref()?;
        let root = self.ready.pop_front()?;
        let talk = self.talks.get_mut(&root)?;
        match talk.read(db, &root, &self.path, source, &self.told) {
            Ok(piece) => {
                if piece.more {
                    self.ready.push_back(root);
                } else {
                    talk.queued = false;
                }
                self.keep_readers();
                Some(piece)
            }
            Err(trouble) => {
                talk.queued = false;
                self.wrong(&trouble);
                if let Some(db) = &mut self.db {
                    db.look_again();
                }
                None
            }
        }
    }

    /// What a piece tells is where it is safe.
    pub(crate) fn has_told(&mut self, piece: &Piece) {
        for (session, next) in &piece.told {
            if let Some(told) = self.told.get_mut(session).filter(|told| told.told < *next) {
                told.told = *next;
                self.dirty.insert(session.clone());
            }
        }
    }

    /// The end of a conversation that is over, if it is: all of it was read and nothing was written to it for so long.
    pub(crate) fn finish(&mut self, root: &str, after: Duration) -> Vec<NewEvent> {
        let mut events = Vec::new();
        if let Some(talk) = self.talks.get_mut(root)
            && !talk.queued
            && talk.changed.is_some_and(|at| is_older(at, after))
        {
            talk.finish(&mut events);
        }
        events
    }

    /// The ends of conversations that were deleted.
    pub(crate) fn ended(&mut self) -> Vec<NewEvent> {
        std::mem::take(&mut self.ended)
    }

    fn keep_readers(&mut self) {
        let open = self.talks.values().filter(|talk| talk.reader.is_some()).count();
        if open <= READERS {
            return;
        }
        let idle = self
            .talks
            .values_mut()
            .filter(|talk| !talk.queued && talk.reader.is_some());
        if let Some(least) = idle.min_by_key(|talk| talk.reader.as_ref().map(|reader| reader.used)) {
            least.reader = None;
        }
    }

    /// What is to be noted: how far each session has been told, and those that are gone.
    pub(crate) fn places(&mut self) -> Vec<(String, Option<Place>)> {
        let gone = std::mem::take(&mut self.gone);
        let mut places: Vec<_> = gone.iter().map(|session| (self.name(session), None)).collect();
        let Some(id) = self.db.as_ref().map(Database::id) else {
            return places;
        };
        for session in std::mem::take(&mut self.dirty) {
            let Some(Told { told, from }) = self.told.get(&session).copied() else {
                continue;
            };
            let place = Place {
                id,
                told,
                from,
                origin: None,
                rested: true,
                marks: Marks::default(),
            };
            places.push((self.name(&session), Some(place)));
        }
        places
    }

    pub(crate) fn is_dirty(&self) -> bool {
        !self.dirty.is_empty() || !self.gone.is_empty()
    }
}

/// The session that a conversation began with.
fn root(session: &str, parents: &HashMap<String, String>) -> String {
    let mut root = session;
    for _ in 0..DEPTH {
        let Some(parent) = parents.get(root) else { break };
        root = parent;
    }
    root.to_owned()
}

fn is_older(at: Timestamp, than: Duration) -> bool {
    let at = u64::try_from(at.millis()).unwrap_or(0);
    let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(at));
    at.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > than)
}

impl Talk {
    /// What has no time of its own happened when the session changed last.
    fn time(&self) -> Timestamp {
        self.changed.unwrap_or_else(Timestamp::now)
    }

    /// Closes what is open in it.
    fn finish(&mut self, events: &mut Vec<NewEvent>) {
        if let Some(mut reader) = self.reader.take() {
            let place = reader.at.values().sum();
            reader.filed.end(place, self.time(), events);
        }
    }

    fn read(
        &mut self,
        db: &Database,
        root: &str,
        path: &Path,
        source: &Source,
        told: &HashMap<String, Told>,
    ) -> Result<Piece, Trouble> {
        let time = self.time();
        let reader = self.reader.get_or_insert_with(|| Reader::new(root, path, source));
        reader.used = Instant::now();
        for session in self.next.keys() {
            reader.at.entry(session.clone()).or_insert(0);
        }
        let (rows, more) = in_order(db.rows(reader.at.iter(), PIECE)?);
        let mut piece = Piece {
            root: root.to_owned(),
            more,
            ..Piece::default()
        };
        for (session, row) in rows {
            piece.bytes += row.bytes;
            let first = piece.events.len();
            let line = line(root, &session, &row);
            reader.filed.line(row.seq, line.as_bytes(), time, &mut piece.events);
            reader.at.insert(session.clone(), row.seq + 1);
            if told.get(&session).is_some_and(|told| row.seq < told.told) {
                let known = piece.events.drain(first..);
                known.for_each(|event| remember(&mut reader.before, event));
                continue;
            }
            if piece.events.len() > first {
                let before = std::mem::take(&mut reader.before);
                piece.events.splice(first..first, before);
            }
            piece.lines += 1;
            piece.told.push((session, row.seq + 1));
        }
        Ok(piece)
    }
}

impl Reader {
    fn new(root: &str, path: &Path, source: &Source) -> Self {
        // Invariant: the adapter is in the table.
        let spec = by_name("opencode-session").expect("an adapter of this name");
        Self {
            filed: Filed::new(root, spec, source.context(path, spec)),
            at: BTreeMap::new(),
            before: Vec::new(),
            used: Instant::now(),
        }
    }
}

/// The events of several sessions in one order: by their ids, which grow with time, and within a session by their numbers. Whether
/// there may be more; what stands behind the first that was cut off waits for it.
fn in_order(sessions: Vec<Rows>) -> (Vec<(String, Row)>, bool) {
    let mut all = Vec::new();
    let mut cut: Option<String> = None;
    for Rows {
        session,
        rows,
        cut: is_cut,
    } in sessions
    {
        let mut key = String::new();
        for row in rows {
            if row.id > key {
                key.clone_from(&row.id);
            }
            all.push((key.clone(), session.clone(), row));
        }
        if is_cut {
            cut = Some(cut.map_or_else(|| key.clone(), |cut| cut.min(key.clone())));
        }
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let more = cut.is_some();
    if let Some(cut) = cut {
        all.retain(|(key, ..)| *key <= cut);
    }
    (all.into_iter().map(|(_, session, row)| (session, row)).collect(), more)
}

/// A row as the adapter reads it.
fn line(root: &str, session: &str, row: &Row) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let data = match &row.data {
        // JSON has a line break between its words alone.
        Some(data) if serde_json::from_str::<&RawValue>(data).is_ok() => data.replace(['\n', '\r'], " "),
        Some(data) => text(data),
        None => format!(r#"{{"bytes":{}}}"#, row.bytes),
    };
    format!(
        r#"{{"id":{},"root":{},"session":{},"seq":{},"type":{},"data":{data}}}"#,
        text(&row.id),
        text(root),
        text(session),
        row.seq,
        text(&row.kind)
    )
}
