//! Reading: a pool of connections, and the ways to find what a selector is about.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use rusqlite::{Connection, Row, Rows, params};
use tokio::sync::Semaphore;
use turnwire_proto::{Selector, Seq, Subject};

use super::{
    schema::{self, from_seq, to_seq},
    store_error,
};
use crate::{Bounds, Limit, Page, PageBuilder, StoreError};

/// Rows that one read looks at before it answers, with or without a find, so that no read holds a connection for long.
const SCAN: usize = 20_000;

/// Idle connections and the right to have more. Reads wait for one another here, never for the writer.
pub(super) struct Pool {
    shared: Arc<PoolShared>,
    permits: Arc<Semaphore>,
}

struct PoolShared {
    log: PathBuf,
    index: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

/// One read.
pub(super) struct Query {
    pub(super) what: Selector,
    pub(super) from: Seq,
    pub(super) limit: Limit,
    pub(super) back: bool,
    pub(super) bounds: Bounds,
}

impl Pool {
    pub(super) fn new(log: PathBuf, index: PathBuf, readers: usize) -> Self {
        let shared = Arc::new(PoolShared {
            log,
            index,
            idle: Mutex::default(),
        });
        Self {
            shared,
            permits: Arc::new(Semaphore::new(readers.max(1))),
        }
    }

    /// Reads that could begin now.
    pub(super) fn free(&self) -> usize {
        self.permits.available_permits()
    }

    pub(super) async fn run(&self, query: Query) -> Result<Page, StoreError> {
        let permit = self.permits.clone().acquire_owned().await;
        let shared = self.shared.clone();
        let work = move || {
            let _permit = permit;
            shared.read(&query).map_err(|error| store_error("read log.db", error))
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(page) => page,
            Err(error) => Err(StoreError {
                doing: "read log.db".into(),
                retry: !error.is_panic(),
                source: Box::new(error),
            }),
        }
    }
}

impl PoolShared {
    fn read(&self, query: &Query) -> rusqlite::Result<Page> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .pop();
        let db = match idle {
            Some(db) => db,
            None => schema::open_reader(&self.log, &self.index)?,
        };
        let page = query.run(&db)?;
        // A connection that met an error is dropped instead.
        self.idle
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(db);
        Ok(page)
    }
}

/// The columns that every query here answers, in this order.
macro_rules! columns {
    () => {
        "e.seq, e.type, e.source, e.agent, e.session, e.body"
    };
}

/// All events need no look at what selectors ask of: the body alone is read.
const EVERYTHING: &str = "SELECT e.seq, e.body FROM events e WHERE e.seq > ?1 AND e.seq <= ?2 ORDER BY e.seq LIMIT ?3";
/// A way through the table: `FORWARD` binds (after, head, limit), `BACK` binds (floor, before, limit).
const FORWARD: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM events e WHERE e.seq > ?1 AND e.seq <= ?2 ORDER BY e.seq LIMIT ?3"
);
const BACK: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM events e WHERE e.seq > ?1 AND e.seq < ?2 ORDER BY e.seq DESC LIMIT ?3"
);
const SESSION_FORWARD: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM idx.places p JOIN events e ON e.seq = p.seq WHERE p.session = (SELECT no FROM idx.names WHERE name = ?4)
      AND p.seq > ?1 AND p.seq <= ?2 ORDER BY p.seq LIMIT ?3"
);
const SESSION_BACK: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM idx.places p JOIN events e ON e.seq = p.seq WHERE p.session = (SELECT no FROM idx.names WHERE name = ?4)
      AND p.seq > ?1 AND p.seq < ?2 ORDER BY p.seq DESC LIMIT ?3"
);

/// Before the first nothing is kept, before the second no deltas.
const HORIZONS: &str = "SELECT a.value, b.value FROM meta a, meta b WHERE a.key = 'first' AND b.key = 'first_delta'";

impl Query {
    fn run(&self, db: &Connection) -> rusqlite::Result<Page> {
        // A replay fills its pages; room for one at once saves copying it as it grows.
        let replay = self.limit.events == usize::MAX && self.bounds.head.get() > self.from.get().saturating_add(1000);
        let page = if replay {
            PageBuilder::with_capacity(self.limit.bytes + 8192)
        } else {
            PageBuilder::default()
        };
        let mut scan = Scan {
            query: self,
            db,
            page,
            left: SCAN,
            cursor: self.from,
        };
        // One snapshot for the rows and the horizon: what is trimmed meanwhile is seen by neither or by both.
        let snapshot = db.unchecked_transaction()?;
        if self.back {
            scan.back()?
        } else {
            scan.forward()?
        }
        let Scan { page, cursor, .. } = scan;
        let (first, first_delta) = db
            .prepare_cached(HORIZONS)?
            .query_row([], |row| Ok((to_seq(row.get(0)?), to_seq(row.get(1)?))))?;
        drop(snapshot);
        let page = if self.back {
            page.finish_reversed(cursor, first)
        } else {
            page.finish(cursor, first)
        };
        Ok(page.with_first_delta(first_delta))
    }
}

/// One read under way.
struct Scan<'a> {
    query: &'a Query,
    db: &'a Connection,
    page: PageBuilder,
    /// Rows that may still be looked at.
    left: usize,
    /// Everything from where the read began up to here was considered.
    cursor: Seq,
}

/// How a walk over one query's rows ended.
#[derive(PartialEq)]
enum Walk {
    /// All rows of its range were seen.
    Done,
    /// The page is full, or enough rows were looked at.
    Full,
}

impl Scan<'_> {
    /// The place that the session index has reached; rows behind it are found by scanning.
    fn indexed(&self) -> rusqlite::Result<Seq> {
        let sql = "SELECT reached FROM idx.state";
        self.db.prepare_cached(sql)?.query_row([], |row| row.get(0)).map(to_seq)
    }

    fn forward(&mut self) -> rusqlite::Result<()> {
        let head = self.query.bounds.head;
        if self.cursor >= head {
            return Ok(());
        }
        if self.query.what.session.is_some() {
            let reached = self.indexed()?.min(head);
            if self.cursor < reached {
                if self.walk(SESSION_FORWARD, self.cursor, reached)? == Walk::Full {
                    return Ok(());
                }
                self.cursor = reached;
            }
        }
        let sql = if self.query.what.is_everything() {
            EVERYTHING
        } else {
            FORWARD
        };
        if self.cursor < head && self.walk(sql, self.cursor, head)? == Walk::Done {
            self.cursor = head;
        }
        Ok(())
    }

    fn back(&mut self) -> rusqlite::Result<()> {
        // A reader that is past the head begins at the head, or it would see events of a commit that is not yet told.
        let before = self.cursor.min(self.query.bounds.head.next());
        self.cursor = before;
        let mut floor = Seq::ZERO;
        if self.query.what.session.is_some() {
            floor = self.indexed()?;
        }
        if before.prev() > floor || floor == Seq::ZERO {
            if self.walk(BACK, floor, before)? == Walk::Full {
                return Ok(());
            }
            self.cursor = floor.next().min(before);
        }
        if floor > Seq::ZERO && self.walk(SESSION_BACK, Seq::ZERO, self.cursor)? == Walk::Full {
            return Ok(());
        }
        self.cursor = Seq::ZERO;
        Ok(())
    }

    fn walk(&mut self, sql: &str, low: Seq, high: Seq) -> rusqlite::Result<Walk> {
        let limit = i64::try_from(self.left.min(self.query.limit.events.saturating_mul(64)))
            .unwrap_or(i64::MAX)
            .max(1);
        let mut statement = self.db.prepare_cached(sql)?;
        let (low, high) = (from_seq(low), from_seq(high));
        let mut rows = match &self.query.what.session {
            Some(session) if sql.contains("?4") => statement.query(params![low, high, limit, session.as_str()])?,
            _ => statement.query(params![low, high, limit])?,
        };
        let looked = self.take(&mut rows)?;
        let ended = looked.ended && i64::try_from(looked.rows).unwrap_or(i64::MAX) < limit;
        self.left = self.left.saturating_sub(looked.rows);
        Ok(if ended { Walk::Done } else { Walk::Full })
    }

    fn take(&mut self, rows: &mut Rows<'_>) -> rusqlite::Result<Looked> {
        let what = &self.query.what;
        let everything = what.is_everything();
        let mut looked = Looked { rows: 0, ended: true };
        while let Some(row) = rows.next()? {
            looked.rows += 1;
            let seq = to_seq(row.get(0)?);
            if everything || what.selects(&subject(row)?) {
                let raw = if what.raw { self.raw(seq)? } else { None };
                self.page.push(
                    seq,
                    row.get_ref(row.as_ref().column_count() - 1)?.as_blob()?,
                    raw.as_deref(),
                );
            }
            self.cursor = seq;
            if self.page.is_full(self.query.limit) {
                looked.ended = false;
                break;
            }
        }
        Ok(looked)
    }

    fn raw(&self, seq: Seq) -> rusqlite::Result<Option<Vec<u8>>> {
        let mut statement = self.db.prepare_cached("SELECT raw FROM raws WHERE seq = ?1")?;
        let mut rows = statement.query([from_seq(seq)])?;
        rows.next()?.map(|row| row.get(0)).transpose()
    }
}

struct Looked {
    rows: usize,
    /// Whether the query had no more rows.
    ended: bool,
}

fn subject<'a>(row: &'a Row<'_>) -> rusqlite::Result<Subject<'a>> {
    let text = |at: usize| -> rusqlite::Result<Option<&'a str>> { Ok(row.get_ref(at)?.as_str_or_null()?) };
    Ok(Subject {
        kind: text(1)?.unwrap_or_default(),
        source: text(2)?.unwrap_or_default(),
        agent: text(3)?,
        session: text(4)?,
    })
}
