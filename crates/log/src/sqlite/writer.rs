//! The one thread that writes: takes what has come in, writes it in one transaction, and answers everyone.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{oneshot, watch};
use turnwire_proto::{EventId, Json, NewEvent, Seq, Timestamp};

use super::{
    Options,
    insert::{Insert, Place},
    schema, store_error, trim,
};
use crate::{
    AppendError, Appended, Bounds, PageBuilder, StoreError,
    feed::{Facts, Sink},
};

/// Bytes that one commit takes at the most, so that the log never holds more than this beside its queue.
const GROUP_BYTES: usize = 32 * 1024 * 1024;

/// An event ready for the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: EventId,
    /// What its age is counted from: when it happened, or when it arrived if it is dated later than that.
    pub(super) ts: i64,
    pub(super) facts: Facts,
    pub(super) raw: Option<Json>,
    /// Where its body ends in its batch's.
    end: usize,
}

/// A batch, encoded by its publisher's thread: all bodies in one piece of memory.
#[derive(Debug)]
pub(super) struct Rows {
    rows: Vec<Row>,
    bodies: Vec<u8>,
}

impl Rows {
    pub(super) fn of(batch: &[NewEvent], now: Timestamp) -> Self {
        let mut bodies = Vec::with_capacity(batch.iter().map(|event| event.data.get().len() + 300).sum());
        let row = |event: &NewEvent| {
            event.encode_body(&mut bodies);
            Row {
                id: event.id,
                ts: event.timestamp.min(now).millis(),
                facts: Facts::of(event),
                raw: event.raw.clone(),
                end: bodies.len(),
            }
        };
        Self {
            rows: batch.iter().map(row).collect(),
            bodies,
        }
    }

    /// Each event with its body.
    fn iter(&self) -> impl Iterator<Item = (&Row, &[u8])> {
        let starts = std::iter::once(0).chain(self.rows.iter().map(|row| row.end));
        self.rows
            .iter()
            .zip(starts)
            .map(|(row, start)| (row, &self.bodies[start..row.end]))
    }
}

pub(super) enum Job {
    Append {
        rows: Rows,
        reply: oneshot::Sender<Result<Appended, StoreError>>,
    },
    Trim {
        what: trim::What,
        reply: oneshot::Sender<Result<trim::Step, StoreError>>,
    },
    Check {
        reply: oneshot::Sender<Result<(), StoreError>>,
    },
    Close,
}

/// What the rest of the store holds of the writer.
pub(super) struct Handle {
    jobs: SyncSender<Job>,
    queue: usize,
    /// `None` once closed: the other threads end when the last of these is gone.
    feeds: Option<Arc<Feeds>>,
}

impl Handle {
    pub(super) fn send(&self, job: Job) -> Result<(), AppendError> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => AppendError::Busy { waiting: self.queue },
            TrySendError::Disconnected(_) => AppendError::Unknown,
        })
    }

    /// Lets the thread end after what was sent before.
    pub(super) fn close(&mut self) {
        self.feeds = None;
        // An error says that it has ended already.
        let _ = self.jobs.send(Job::Close);
    }

    pub(super) fn feed(&self, sink: Arc<dyn Sink>) -> Option<Seq> {
        let feeds = self.feeds.as_ref()?;
        let mut sinks = feeds.sinks.lock().ok()?;
        sinks.push(sink);
        // Under the lock that a commit takes to publish, so that nothing falls between.
        Some(feeds.bounds.borrow().head)
    }
}

/// Everyone who is told of a commit.
struct Feeds {
    sinks: Mutex<Vec<Arc<dyn Sink>>>,
    bounds: watch::Sender<Bounds>,
    head: watch::Sender<Seq>,
    /// Held, so that whoever works behind the commits sees the log close.
    open: watch::Sender<()>,
}

impl Feeds {
    fn committed(&self, page: PageBuilder, facts: Vec<Facts>, head: Seq) {
        let facts: Arc<[Facts]> = facts.into();
        let sinks = self.sinks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Before the sinks: whoever they wake may read from here, and must find it.
        self.bounds.send_modify(|bounds| bounds.head = head);
        self.head.send_replace(head);
        let first = self.bounds.borrow().first;
        if !sinks.is_empty() {
            let page = page.finish(head, first);
            for sink in sinks.iter() {
                sink.committed(page.clone(), facts.clone());
            }
        }
    }

    fn trimmed(&self, step: &trim::Step) {
        let sinks = self.sinks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.bounds.send_modify(|bounds| {
            bounds.first = bounds.first.max(step.first);
            bounds.first_delta = bounds.first_delta.max(step.first_delta).max(bounds.first);
        });
        let first = self.bounds.borrow().first;
        for sink in sinks.iter() {
            sink.trimmed(first, step.in_the_middle);
        }
    }
}

fn appended<'a>(placed: impl Iterator<Item = &'a Place>) -> Appended {
    let mut appended = Appended {
        first: Seq::MAX,
        ..Appended::default()
    };
    for place in placed {
        let (Place::New(seq) | Place::Before(seq)) = *place;
        match place {
            Place::New(_) => appended.written += 1,
            Place::Before(_) => appended.duplicates += 1,
        }
        appended.first = appended.first.min(seq);
        appended.last = appended.last.max(seq);
    }
    appended
}

/// What [`start`] gives.
pub(super) struct Started {
    pub(super) handle: Handle,
    pub(super) bounds: watch::Receiver<Bounds>,
    pub(super) head: watch::Receiver<Seq>,
    pub(super) open: watch::Receiver<()>,
    pub(super) thread: JoinHandle<()>,
}

pub(super) fn start(db: Connection, bounds: Bounds, path: PathBuf, options: &Options) -> std::io::Result<Started> {
    let (jobs, inbox) = sync_channel(options.queue);
    let feeds = Arc::new(Feeds {
        sinks: Mutex::default(),
        head: watch::Sender::new(bounds.head),
        open: watch::Sender::new(()),
        bounds: watch::Sender::new(bounds),
    });
    let (bounds, head, open) = (feeds.bounds.subscribe(), feeds.head.subscribe(), feeds.open.subscribe());
    let handle = Handle {
        jobs,
        queue: options.queue,
        feeds: Some(feeds.clone()),
    };
    let writer = Writer {
        db,
        path,
        feeds,
        group: options.group,
        trim: trim::State::default(),
        failed: false,
    };
    let thread = std::thread::Builder::new()
        .name("log-writer".into())
        .spawn(move || writer.run(&inbox))?;
    Ok(Started {
        handle,
        bounds,
        head,
        open,
        thread,
    })
}

type Waiting = (Rows, oneshot::Sender<Result<Appended, StoreError>>);

struct Writer {
    db: Connection,
    path: PathBuf,
    feeds: Arc<Feeds>,
    group: usize,
    trim: trim::State,
    /// Whether the last commit failed.
    failed: bool,
}

impl Writer {
    fn run(mut self, inbox: &Receiver<Job>) {
        while let Ok(first) = inbox.recv() {
            let mut next = Some(first);
            let (mut group, mut events, mut bytes) = (Vec::new(), 0, 0);
            // Whatever came while the last commit was on its way goes into this one.
            while let Some(Job::Append { rows, reply }) = next {
                events += rows.rows.len();
                bytes += rows.bodies.len();
                group.push((rows, reply));
                let room = events < self.group && bytes < GROUP_BYTES;
                next = room.then(|| inbox.try_recv().ok()).flatten();
            }
            if !group.is_empty() {
                self.append(group);
            }
            match next {
                Some(Job::Trim { what, reply }) => {
                    let step = self.trim(&what);
                    // The caller may have gone; what is trimmed stays trimmed.
                    let _ = reply.send(step);
                }
                Some(Job::Check { reply }) => {
                    // Whoever asked may have stopped waiting.
                    let _ = reply.send(self.check());
                }
                Some(Job::Close) => break,
                Some(Job::Append { .. }) | None => {}
            }
        }
    }

    fn append(&mut self, mut group: Vec<Waiting>) {
        match self.commit(&mut group) {
            Ok((page, facts, head, done)) => {
                self.failed = false;
                if !page.is_empty() {
                    self.feeds.committed(page, facts, head);
                }
                for ((_, reply), appended) in group.into_iter().zip(done) {
                    // A caller that has gone had its batch written all the same.
                    let _ = reply.send(Ok(appended));
                }
            }
            Err(error) => {
                tracing::error!(%error, "the log could not be written");
                self.failed = true;
                if self.recover(&error) {
                    // It stands on disk all the same. A caller whose reply is dropped is told that this is not known.
                    return;
                }
                let text = error.to_string();
                for (_, reply) in group {
                    let source = text.clone().into();
                    let _ = reply.send(Err(StoreError {
                        doing: "append to log.db".into(),
                        retry: true,
                        source,
                    }));
                }
            }
        }
    }

    /// Writes the rows of a group, and takes them from it once they are on disk.
    fn commit(&mut self, group: &mut [Waiting]) -> rusqlite::Result<(PageBuilder, Vec<Facts>, Seq, Vec<Appended>)> {
        let rows: Vec<(&Row, &[u8])> = group.iter().flat_map(|(rows, _)| rows.iter()).collect();
        let mut page = PageBuilder::for_events(rows.len(), rows.iter().map(|(_, body)| body.len()).sum());
        let known = self.feeds.bounds.borrow().head;
        let mut head = known;
        let tx = Transaction::new_unchecked(&self.db, TransactionBehavior::Immediate)?;
        let placed = Insert::prepare(&tx)?.rows(&tx, &rows, known)?;
        for ((_, body), place) in rows.iter().zip(&placed) {
            if let Place::New(seq) = *place {
                page.push(seq, body, None);
                head = seq;
            }
        }
        let mut places = placed.iter();
        let done: Vec<_> = group
            .iter()
            .map(|(rows, _)| appended(places.by_ref().take(rows.rows.len())))
            .collect();
        if done.iter().any(|appended| appended.duplicates > 0) {
            // An insert that found its id takes a place all the same; the next start would take it for the newest one.
            tx.execute(
                "UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'events'",
                [schema::from_seq(head)],
            )?;
        }
        tx.commit()?;
        let rows = group.iter_mut().flat_map(|(rows, _)| rows.rows.drain(..));
        let facts = rows
            .zip(&placed)
            .filter(|(_, place)| matches!(place, Place::New(_)))
            .map(|(row, _)| row.facts)
            .collect();
        Ok((page, facts, head, done))
    }

    fn trim(&mut self, what: &trim::What) -> Result<trim::Step, StoreError> {
        let bounds = *self.feeds.bounds.borrow();
        let step = self
            .trim
            .step(&self.db, what, bounds)
            .map_err(|e| store_error("trim log.db", e))?;
        self.feeds.trimmed(&step);
        Ok(step)
    }

    /// That this thread answers says most. After a commit that failed it also tries whether there is room again.
    fn check(&mut self) -> Result<(), StoreError> {
        if !self.failed {
            return Ok(());
        }
        let attempt = |db: &Connection| -> rusqlite::Result<()> {
            let tx = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
            // Place 0 is nobody's.
            tx.execute_batch("INSERT INTO raws VALUES (0, zeroblob(65536)); DELETE FROM raws WHERE seq = 0;")?;
            tx.commit()
        };
        let tried = attempt(&self.db);
        self.failed = tried.is_err();
        tried.map_err(|error| {
            self.recover(&error);
            store_error("write log.db", error)
        })
    }

    /// After an error of the disk the connection's view of its files is not to be trusted: it is opened anew.
    /// Whether the failed commit stands on disk.
    fn recover(&mut self, error: &rusqlite::Error) -> bool {
        let code = error.sqlite_error_code();
        let harmless = matches!(
            code,
            Some(rusqlite::ErrorCode::DiskFull | rusqlite::ErrorCode::ConstraintViolation)
        );
        if harmless && self.db.is_autocommit() {
            return false;
        }
        let pages: Option<u32> = self
            .db
            .pragma_query_value(None, "max_page_count", |row| row.get(0))
            .ok();
        match schema::open_writer(&self.path) {
            Ok((db, meta)) => {
                if let Some(pages) = pages {
                    let _ = db.pragma_update(None, "max_page_count", pages);
                }
                self.db = db;
                self.catch_up(meta.head)
            }
            Err(error) => {
                tracing::error!(%error, "log.db could not be opened anew");
                false
            }
        }
    }

    /// A commit that failed late may stand on disk all the same: then its events are in the log, and readers are told.
    fn catch_up(&self, head: Seq) -> bool {
        let known = self.feeds.bounds.borrow().head;
        if head <= known {
            return false;
        }
        let read = || -> rusqlite::Result<(PageBuilder, Vec<Facts>)> {
            let mut page = PageBuilder::default();
            let mut facts = Vec::new();
            let sql = "SELECT seq, type, source, agent, session, body FROM events WHERE seq > ?1 ORDER BY seq";
            let mut rows = self.db.prepare(sql)?;
            let mut rows = rows.query([schema::from_seq(known)])?;
            while let Some(row) = rows.next()? {
                let name = |at: usize| -> rusqlite::Result<Option<turnwire_proto::Name>> {
                    Ok(row
                        .get::<_, Option<String>>(at)?
                        .and_then(|text| turnwire_proto::Name::lossy(&text)))
                };
                let kind = turnwire_proto::Kind::new(row.get_ref(1)?.as_str()?).unwrap_or(turnwire_proto::Kind::RAW);
                let (Some(source), agent, session) = (name(2)?, name(3)?, name(4)?) else {
                    continue;
                };
                page.push(schema::to_seq(row.get(0)?), row.get_ref(5)?.as_blob()?, None);
                facts.push(Facts {
                    kind,
                    source,
                    agent,
                    session,
                });
            }
            Ok((page, facts))
        };
        match read() {
            Ok((page, facts)) => self.feeds.committed(page, facts, head),
            Err(error) => tracing::error!(%error, "log.db could not be read after an error"),
        }
        true
    }
}
