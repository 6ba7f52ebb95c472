//! The recorder: what an agent prints, through an adapter, into the spool. It runs on a thread of its own, so that neither
//! the agent nor the gateway waits for it.

mod feed;
mod lines;
mod screen;
mod session;

use std::{
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::sync::watch;
use turnwire_adapters::{Adapter, Coalescer};
use turnwire_client::spool::{Losses, Spool};
use turnwire_proto::{ErrorBody, Kind, Name, NewEvent, Note, Object, Timestamp, limits};

use crate::out;
pub(crate) use feed::{Feed, Full};
use feed::{Item, Queue};
use lines::Lines;
use screen::Screen;
use session::Binding;

/// What made the events that this program makes itself.
const OURS: &str = "turnwire";
/// What made the notes of standard error.
const STDERR: &str = "stderr";
/// Bytes of a line; what is longer is taken as several. An image or a whole file may stand in one.
const LINE: usize = limits::BATCH_BYTES;
/// Bytes of a line of standard error that become one note.
const NOTE: usize = 64 * 1024;
/// After so much silence an adapter gives out what it held back to know more.
const IDLE: Duration = Duration::from_secs(1);

/// How a command ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ended {
    /// Its exit code.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Bytes of its output that could not be recorded.
    pub missed: u64,
}

impl Ended {
    /// As a shell says it: 128 + n after signal n.
    pub(crate) fn status(&self) -> Option<i32> {
        self.code.or_else(|| self.signal.map(|signal| 128 + signal))
    }
}

/// What the recorder is told at its start.
pub(crate) struct Plan {
    pub adapter: Box<dyn Adapter>,
    pub agent: Name,
    /// The session, where it is known from the start.
    pub session: Option<Name>,
    /// How long to wait until the agent's output says its session.
    pub patience: Duration,
    /// The events are somebody's own, and stay as they are: one without a session is meant for every reader.
    pub as_they_are: bool,
    /// An old recording is played again: its events happen now.
    pub again: bool,
    /// Rows of the terminal that standard output is, if it is one.
    pub rows: Option<u16>,
    /// The body of `agent_start`; without it there is no `agent_end` either.
    pub start: Option<Object>,
}

/// A recorder at work.
pub(crate) struct Recording {
    pub feed: Feed,
    /// The session, once it is known.
    pub session: watch::Receiver<Option<Name>>,
    thread: JoinHandle<u64>,
}

impl Recording {
    /// Begins to record into `spool`.
    pub(crate) fn start(plan: Plan, spool: Arc<Spool>, full: Full) -> std::io::Result<Self> {
        let (feed, queue) = feed::make(full);
        let (sender, session) = watch::channel(None);
        let mut recorder = Recorder::new(plan, spool, sender);
        let thread = std::thread::Builder::new()
            .name("recorder".into())
            .spawn(move || recorder.run(&queue))?;
        Ok(Self { feed, session, thread })
    }

    /// Takes the end of the output, and waits until all of it is in the spool. Answers how many events there were.
    pub(crate) fn end(self, ended: Ended) -> u64 {
        self.feed.end(ended);
        self.thread.join().unwrap_or_else(|_| {
            out::say("the recorder failed; what came before is recorded, what came after is not");
            0
        })
    }

    /// Ends it; what is still in the queue does not matter.
    pub(crate) fn abandon(self) {
        let _ = self.end(Ended::default());
    }
}

/// Where lines come from.
enum Source {
    Pipe(Lines),
    Terminal(Box<Screen>),
}

impl Source {
    fn feed(&mut self, piece: &[u8], line: impl FnMut(&[u8])) {
        match self {
            Self::Pipe(lines) => lines.feed(piece, line),
            Self::Terminal(screen) => screen.feed(piece, line),
        }
    }

    fn end(&mut self, line: impl FnMut(&[u8])) {
        match self {
            Self::Pipe(lines) => lines.end(line),
            Self::Terminal(screen) => screen.end(line),
        }
    }
}

struct Recorder {
    adapter: Box<dyn Adapter>,
    coalescer: Coalescer,
    again: bool,
    as_they_are: bool,
    binding: Binding,
    spool: Arc<Spool>,
    session: watch::Sender<Option<Name>>,
    started: Option<Instant>,
    stdout: Source,
    stderr: Lines,
    /// When the adapter was last given something; `None` once it was told that nothing more came.
    heard: Option<Instant>,
    /// From the adapter, on their way to the spool.
    events: Vec<NewEvent>,
    ready: Vec<NewEvent>,
    count: u64,
}

impl Recorder {
    fn new(plan: Plan, spool: Arc<Spool>, session: watch::Sender<Option<Name>>) -> Self {
        let mut recorder = Self {
            adapter: plan.adapter,
            coalescer: Coalescer::default(),
            again: plan.again,
            as_they_are: plan.as_they_are,
            binding: Binding::new(plan.agent, plan.session, Instant::now() + plan.patience),
            spool,
            session,
            started: plan.start.is_some().then(Instant::now),
            stdout: match plan.rows {
                None => Source::Pipe(Lines::new(LINE)),
                Some(rows) => Source::Terminal(Box::new(Screen::new(rows, LINE))),
            },
            stderr: Lines::new(NOTE),
            heard: None,
            events: Vec::new(),
            ready: Vec::new(),
            count: 0,
        };
        if let Some(body) = plan.start {
            recorder.ours(Kind::AGENT_START, OURS, Timestamp::now(), body);
        }
        recorder
    }

    fn run(&mut self, queue: &Queue) -> u64 {
        loop {
            match queue.next(self.wake()) {
                Some(Item::Stdout(at, bytes)) => self.stdout(at, &bytes),
                Some(Item::Stderr(at, bytes)) => self.stderr(at, &bytes),
                Some(Item::End(ended)) => {
                    self.end(ended);
                    return self.count;
                }
                None => self.tick(),
            }
        }
    }

    /// When something is to be done though nothing comes.
    fn wake(&self) -> Option<Instant> {
        [
            self.coalescer.deadline(),
            self.heard.map(|at| at + IDLE),
            self.binding.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn stdout(&mut self, at: Timestamp, bytes: &[u8]) {
        let (adapter, events) = (&mut self.adapter, &mut self.events);
        self.stdout.feed(bytes, |line| adapter.line(line, at, events));
        self.heard = Some(Instant::now());
        self.settle(at);
    }

    fn stderr(&mut self, at: Timestamp, bytes: &[u8]) {
        let mut notes = Vec::new();
        self.stderr.feed(bytes, |line| notes.extend(note(line)));
        self.notes(at, notes);
    }

    fn notes(&mut self, at: Timestamp, notes: Vec<Object>) {
        for body in notes {
            self.ours(Kind::NOTE, STDERR, at, body);
        }
    }

    fn ours(&mut self, kind: Kind, source: &str, at: Timestamp, body: Object) {
        if let Some(source) = Name::lossy(source) {
            self.events.push(NewEvent::new(kind, source, at, body));
        }
        self.settle(at);
    }

    fn tick(&mut self) {
        let (now, at) = (Instant::now(), Timestamp::now());
        if self.heard.is_some_and(|heard| heard + IDLE <= now) {
            self.heard = None;
            self.adapter.idle(at, &mut self.events);
        }
        if self.binding.deadline().is_some_and(|deadline| deadline <= now) {
            self.binding.give_up();
        }
        self.settle(at);
    }

    /// From the adapter through the session and the coalescer into the spool.
    fn settle(&mut self, at: Timestamp) {
        let now = Instant::now();
        let mut bound = Vec::new();
        if self.as_they_are {
            bound.append(&mut self.events);
        } else {
            self.binding.bind(&mut self.events, &mut bound);
        }
        for mut event in bound {
            if self.again {
                event.timestamp = at;
            }
            self.coalescer.push(event, now, &mut self.ready);
        }
        self.coalescer.poll(now, &mut self.ready);
        self.write();
        if let Some(losses) = self.spool.take_losses() {
            self.tell(&losses, at);
        }
        self.announce();
    }

    fn write(&mut self) {
        if !self.ready.is_empty() {
            self.count += self.spool.push(&self.ready).kept;
            self.ready.clear();
        }
    }

    fn announce(&self) {
        if let Some(session) = self.binding.session() {
            self.session.send_if_modified(|known| {
                let changed = known.as_ref() != Some(session);
                if changed {
                    *known = Some(session.clone());
                }
                changed
            });
        }
    }

    fn end(&mut self, ended: Ended) {
        let at = Timestamp::now();
        let (adapter, events) = (&mut self.adapter, &mut self.events);
        self.stdout.end(|line| adapter.line(line, at, events));
        adapter.end(ended.status(), at, events);
        let mut notes = Vec::new();
        self.stderr.end(|line| notes.extend(note(line)));
        self.settle(at);
        // Nobody will name the session any more: what waited for it goes out now.
        if !self.as_they_are {
            self.binding.give_up();
        }
        self.settle(at);
        self.notes(at, notes);
        if ended.missed > 0 {
            let message = format!(
                "{} bytes of output were not recorded: the disk did not keep up",
                ended.missed
            );
            self.ours(Kind::ERROR, OURS, at, error_body(message));
        }
        if let Some(started) = self.started {
            let duration = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.ours(Kind::AGENT_END, OURS, at, end_body(&ended, duration));
        }
        self.coalescer.finish(&mut self.ready);
        self.write();
        if let Some(losses) = self.spool.take_losses_at_end() {
            self.tell(&losses, at);
        }
        self.announce();
    }

    /// Tells what the spool had no room for.
    fn tell(&mut self, losses: &Losses, at: Timestamp) {
        let message = format!(
            "{} events and {} deltas since {} were not recorded: {}",
            losses.events, losses.deltas, losses.since, losses.reason
        );
        let Some(source) = Name::lossy(OURS) else { return };
        let mut told = vec![NewEvent::new(Kind::ERROR, source, at, error_body(message))];
        let mut bound = Vec::new();
        self.binding.bind(&mut told, &mut bound);
        for event in bound {
            self.count += self.spool.push_told(&event).kept;
        }
    }
}

fn error_body(message: String) -> Object {
    Object::of(&ErrorBody {
        component: "recorder".into(),
        message,
        ..ErrorBody::default()
    })
}

fn end_body(ended: &Ended, duration_ms: u64) -> Object {
    let mut body = json!({ "duration_ms": duration_ms, "ok": ended.code == Some(0) });
    if let Some(code) = ended.code {
        body["exit_code"] = code.into();
    }
    if let Some(signal) = ended.signal {
        body["signal"] = signal.into();
    }
    Object::of(&body)
}

/// A line of standard error, if there is something in it.
fn note(line: &[u8]) -> Option<Object> {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches('\r');
    (!text.trim().is_empty()).then(|| Object::of(&Note { text: text.to_owned() }))
}

#[cfg(test)]
mod tests {
    use turnwire_adapters::{Context, by_name};
    use turnwire_client::spool::{Limits, Meta};

    use super::*;

    /// The session is known from the start, in time, or never.
    #[test]
    fn every_line_is_in_the_spool_when_the_end_returns_whoever_names_the_session() {
        for patience in [Duration::ZERO, Duration::from_secs(3600)] {
            let root = tempfile::tempdir().unwrap();
            let spool = Spool::create(root.path(), Meta::default(), Limits::default()).unwrap();
            let plan = Plan {
                adapter: (by_name("lines").unwrap().make)(Context::default()),
                agent: Name::new("a").unwrap(),
                session: None,
                patience,
                as_they_are: false,
                again: false,
                rows: None,
                start: None,
            };
            let recording = Recording::start(plan, Arc::clone(&spool), Full::Wait).unwrap();
            recording.feed.stdout(b"one\ntwo\nthree");
            let session = recording.session.clone();
            assert_eq!(recording.end(Ended::default()), spool.backlog());
            assert!(spool.backlog() >= 3, "{}", spool.backlog());
            assert!(session.borrow().is_some());
        }
    }
}
