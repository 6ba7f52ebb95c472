//! Which events a session has: built behind the commit, so that no commit waits for it.

use std::{
    collections::HashMap,
    path::Path,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rusqlite::{Connection, params};
use tokio::sync::watch;
use turnwire_proto::Seq;

use super::{
    OpenError,
    schema::{from_seq, stable_plans, to_seq},
};

/// Events that one step indexes.
const STEP: i64 = 10_000;
/// Sessions whose numbers are kept at hand.
const KNOWN: usize = 20_000;
/// How long events gather before they are indexed.
const GATHER: Duration = Duration::from_millis(20);
/// How long after an error the next try is.
const PAUSE: Duration = Duration::from_secs(1);

/// Never changes; ends when the log closes.
pub(super) type Open = watch::Receiver<()>;

/// Starts the thread; the receiver says how far it is.
pub(super) fn start(
    db: Connection,
    log: &Path,
    head: watch::Receiver<Seq>,
    open: Open,
) -> Result<(watch::Receiver<Seq>, JoinHandle<()>), OpenError> {
    let reached = db
        .query_row("SELECT reached FROM state", [], |row| row.get(0))
        .map(to_seq)?;
    let source = Connection::open_with_flags(log, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    source.execute_batch("PRAGMA cache_size = -512")?;
    stable_plans(&source)?;
    let told = watch::Sender::new(reached);
    let receiver = told.subscribe();
    let indexer = Indexer {
        db,
        source,
        known: HashMap::new(),
        told,
    };
    let thread = std::thread::Builder::new()
        .name("log-index".into())
        .spawn(move || indexer.run(head, open))?;
    Ok((receiver, thread))
}

struct Indexer {
    db: Connection,
    source: Connection,
    known: HashMap<String, i64>,
    told: watch::Sender<Seq>,
}

impl Indexer {
    fn run(mut self, mut head: watch::Receiver<Seq>, mut open: Open) {
        // Indexing has time: reads do without.
        yield_to_others(19);
        // The thread has nothing but waiting to do between steps, so a runtime of its own is all that it needs.
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else {
            return;
        };
        loop {
            let target = *head.borrow_and_update();
            while *self.told.borrow() < target {
                let (began, before) = (Instant::now(), *head.borrow());
                match self.step(target) {
                    Ok(reached) => {
                        self.told.send_replace(reached);
                        if busy(before, *head.borrow()) {
                            pause(&runtime, &mut open, (4 * began.elapsed()).min(PAUSE));
                        }
                    }
                    Err(error) => {
                        // Readers scan what is not indexed, so this costs time and loses nothing.
                        tracing::error!(%error, "the session index could not be written");
                        self.known.clear();
                        pause(&runtime, &mut open, PAUSE);
                        if head.has_changed().is_err() {
                            return;
                        }
                    }
                }
            }
            if runtime.block_on(head.changed()).is_err() {
                return;
            }
            // Lets events gather, so that a trickle is not a transaction each.
            pause(&runtime, &mut open, GATHER);
        }
    }

    fn step(&mut self, target: Seq) -> rusqlite::Result<Seq> {
        let from = *self.told.borrow();
        let sql = "SELECT seq, session FROM events WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3";
        let mut statement = self.source.prepare_cached(sql)?;
        let mut rows = statement.query(params![from_seq(from), from_seq(target), STEP])?;
        let tx = self.db.transaction()?;
        let (mut reached, mut seen) = (from, 0);
        {
            let mut place = tx.prepare_cached("INSERT OR IGNORE INTO places VALUES (?1, ?2)")?;
            while let Some(row) = rows.next()? {
                seen += 1;
                let seq: i64 = row.get(0)?;
                reached = to_seq(seq);
                if let Some(session) = row.get_ref(1)?.as_str_or_null()? {
                    let no = number(&tx, &mut self.known, session)?;
                    place.execute([no, seq])?;
                }
            }
        }
        if seen < STEP {
            reached = target;
        }
        tx.execute("UPDATE state SET reached = ?1", [from_seq(reached)])?;
        tx.commit()?;
        Ok(reached)
    }
}

fn number(db: &Connection, known: &mut HashMap<String, i64>, session: &str) -> rusqlite::Result<i64> {
    if let Some(no) = known.get(session) {
        return Ok(*no);
    }
    db.prepare_cached("INSERT OR IGNORE INTO names(name) VALUES (?1)")?
        .execute([session])?;
    let no = db
        .prepare_cached("SELECT no FROM names WHERE name = ?1")?
        .query_row([session], |row| row.get(0))?;
    if known.len() >= KNOWN {
        known.clear();
    }
    known.insert(session.to_owned(), no);
    Ok(no)
}

/// Waits, but not when the log closes meanwhile. No commit wakes it: each wake would cost the writer a system call, and the
/// readers of that commit some of their latency.
pub(super) fn pause(runtime: &tokio::runtime::Runtime, open: &mut Open, time: Duration) {
    // Either way it goes on; the caller looks at the head again.
    let _ = runtime.block_on(async { tokio::time::timeout(time, open.changed()).await });
}

/// Whether events come so fast that work behind the commit should leave them room: then it rests some times longer
/// than it works.
#[must_use]
pub fn busy(before: Seq, after: Seq) -> bool {
    after.get().saturating_sub(before.get()) > 500
}

/// Publishing and delivery go before what calls this on its thread, the more the greater the niceness (at most 19).
pub fn yield_to_others(niceness: i32) {
    // Linux has a niceness a thread; where it cannot be set the work is done all the same.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), niceness);
}
