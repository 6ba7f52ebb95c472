//! Evaluation runs: a session with tasks, what came of each and what the graders said. Folded by [`super::activity`].
//!
//! A task's row is found by the rules of [`super::turns`]: a start joins the newest row of its name that has none yet or is open, else it
//! begins another; an end joins the newest row of its name that has none, else it makes one, unless that one has ended already. A
//! grader's verdict and an error are of the task that is open, else of the newest one.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Serialize;
use turnwire_proto::{Event, GraderResult, RunComplete, Seq, TaskComplete, TaskStart, Timestamp, Visibility};

use super::{FORGET, Paged, from_seq, moment, moment_if_any, preview, to_seq, used::Used};

pub(super) const TABLES: &str = "
    CREATE TABLE runs(
        session INTEGER PRIMARY KEY, seq INTEGER NOT NULL, started INTEGER NOT NULL, ended INTEGER, total INTEGER,
        completed INTEGER NOT NULL DEFAULT 0, passed INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
        errors INTEGER NOT NULL DEFAULT 0, told_passed INTEGER, told_failed INTEGER, told_errors INTEGER
    ) STRICT;
    CREATE INDEX runs_seq ON runs(seq);
    CREATE TABLE tasks(
        seq INTEGER PRIMARY KEY, session INTEGER NOT NULL, task TEXT NOT NULL, number INTEGER, outcome TEXT, score REAL,
        started INTEGER, ended INTEGER, duration_ms INTEGER, error TEXT, last_seq INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX tasks_name ON tasks(session, task);
    CREATE INDEX tasks_session ON tasks(session);
    CREATE INDEX tasks_open ON tasks(session) WHERE ended IS NULL;
    CREATE TABLE graders(
        seq INTEGER PRIMARY KEY, task INTEGER NOT NULL, grader TEXT NOT NULL, grader_type TEXT, passed INTEGER NOT NULL, score REAL,
        message TEXT
    ) STRICT;
    CREATE INDEX graders_task ON graders(task);
";

/// What may come of a task. Whatever else is said is no verdict.
const OUTCOMES: [&str; 3] = ["passed", "failed", "error"];
const NO_VERDICT: &str = "n/a";
/// Tasks of one answer.
const TASKS: usize = 10_000;

fn whole(number: Option<u64>) -> Option<i64> {
    number.and_then(|number| i64::try_from(number).ok())
}

fn name(text: &str) -> &str {
    preview::head(text, preview::WORD)
}

/// The run of a session, begun by this event if need be.
fn of(db: &Transaction<'_>, session: i64, event: &Event) -> rusqlite::Result<()> {
    let mut insert = db.prepare_cached(
        "INSERT INTO runs(session, seq, started) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET started = min(started, ?3)",
    )?;
    insert.execute(params![session, from_seq(event.seq), event.timestamp.millis()])?;
    Ok(())
}

/// The newest row of a task, and whether it has a start and an end.
fn newest(db: &Connection, session: i64, task: &str) -> rusqlite::Result<Option<(i64, bool, bool)>> {
    db.prepare_cached(
        "SELECT seq, started IS NOT NULL, ended IS NOT NULL FROM tasks WHERE session = ?1 AND task = ?2 ORDER BY seq DESC LIMIT 1",
    )?
    .query_row(params![session, task], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
    .optional()
}

/// The same; a task that is not known yet takes the row of verdicts that came before anything was told of it.
fn find(db: &Transaction<'_>, session: i64, task: &str) -> rusqlite::Result<Option<(i64, bool, bool)>> {
    let found = newest(db, session, task)?;
    if found.is_some() {
        return Ok(found);
    }
    let unnamed = newest(db, session, "")?.filter(|(_, started, ended)| !started && !ended);
    if let Some((row, ..)) = unnamed {
        db.prepare_cached("UPDATE tasks SET task = ?2 WHERE seq = ?1")?
            .execute(params![row, task])?;
    }
    Ok(unnamed)
}

fn insert(db: &Transaction<'_>, session: i64, task: &str, event: &Event) -> rusqlite::Result<i64> {
    let seq = from_seq(event.seq);
    db.prepare_cached("INSERT INTO tasks(seq, session, task, last_seq) VALUES (?1, ?2, ?3, ?1)")?
        .execute(params![seq, session, task])?;
    Ok(seq)
}

/// The task that something without a name is of: the open one that began last, else the newest.
fn current(db: &Connection, session: i64) -> rusqlite::Result<Option<i64>> {
    for sql in [
        "SELECT seq FROM tasks INDEXED BY tasks_open WHERE session = ?1 AND ended IS NULL ORDER BY seq DESC LIMIT 1",
        "SELECT seq FROM tasks INDEXED BY tasks_session WHERE session = ?1 ORDER BY seq DESC LIMIT 1",
    ] {
        let found = db
            .prepare_cached(sql)?
            .query_row([session], |row| row.get(0))
            .optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// A task begins.
pub(super) fn task_start(db: &Transaction<'_>, session: i64, event: &Event, body: &TaskStart) -> rusqlite::Result<()> {
    of(db, session, event)?;
    let task = name(&body.task);
    let row = match find(db, session, task)? {
        Some((row, started, ended)) if !started || !ended => row,
        _ => insert(db, session, task, event)?,
    };
    let mut update = db.prepare_cached(
        "UPDATE tasks SET started = coalesce(started, ?2), number = coalesce(number, ?3), last_seq = max(last_seq, ?4),
            duration_ms = coalesce(duration_ms, max(ended - ?2, 0))
         WHERE seq = ?1",
    )?;
    update.execute(params![
        row,
        event.timestamp.millis(),
        whole(body.number),
        from_seq(event.seq)
    ])?;
    if let Some(total) = whole(body.total) {
        db.prepare_cached("UPDATE runs SET total = ?2 WHERE session = ?1")?
            .execute([session, total])?;
    }
    Ok(())
}

/// A task ends.
pub(super) fn task_end(db: &Transaction<'_>, session: i64, event: &Event, body: &TaskComplete) -> rusqlite::Result<()> {
    of(db, session, event)?;
    let task = name(&body.task);
    let row = match find(db, session, task)? {
        // It is told twice.
        Some((_, _, true)) => return Ok(()),
        Some((row, ..)) => row,
        None => insert(db, session, task, event)?,
    };
    let said = body.outcome.to_ascii_lowercase();
    let outcome = OUTCOMES
        .into_iter()
        .find(|outcome| *outcome == said)
        .unwrap_or(NO_VERDICT);
    let mut update = db.prepare_cached(
        "UPDATE tasks SET ended = ?2, outcome = ?3, score = ?4, last_seq = max(last_seq, ?5),
            duration_ms = coalesce(?6, max(?2 - started, 0))
         WHERE seq = ?1",
    )?;
    update.execute(params![
        row,
        event.timestamp.millis(),
        outcome,
        body.score,
        from_seq(event.seq),
        whole(body.duration_ms)
    ])?;
    let mut count = db.prepare_cached(
        "UPDATE runs SET completed = completed + 1, passed = passed + (?2 = 'passed'), failed = failed + (?2 = 'failed'),
            errors = errors + (?2 = 'error')
         WHERE session = ?1",
    )?;
    count.execute(params![session, outcome])?;
    Ok(())
}

/// A grader has said something.
pub(super) fn graded(db: &Transaction<'_>, session: i64, event: &Event, body: &GraderResult) -> rusqlite::Result<()> {
    of(db, session, event)?;
    let task = match current(db, session)? {
        Some(task) => task,
        // Its task has not been told of; what was said is kept.
        None => insert(db, session, "", event)?,
    };
    db.prepare_cached("UPDATE tasks SET last_seq = max(last_seq, ?2) WHERE seq = ?1")?
        .execute([task, from_seq(event.seq)])?;
    let mut insert = db.prepare_cached("INSERT INTO graders VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    insert.execute(params![
        from_seq(event.seq),
        task,
        name(&body.grader),
        body.grader_type.as_deref().map(name),
        body.passed,
        body.score,
        body.message.as_deref().map(|message| preview::text(message).0),
    ])?;
    Ok(())
}

/// Something has failed in a session: in its task, where it is a run.
pub(super) fn error(db: &Transaction<'_>, session: i64, message: &str) -> rusqlite::Result<()> {
    if let Some(task) = current(db, session)? {
        db.prepare_cached("UPDATE tasks SET error = ?2 WHERE seq = ?1")?
            .execute(params![task, preview::text(message).0])?;
    }
    Ok(())
}

/// A run is over, and says how it went.
pub(super) fn complete(db: &Transaction<'_>, session: i64, event: &Event, body: &RunComplete) -> rusqlite::Result<()> {
    of(db, session, event)?;
    let mut update = db.prepare_cached(
        "UPDATE runs SET ended = ?2, total = coalesce(?3, total), told_passed = ?4, told_failed = ?5, told_errors = ?6 WHERE session = ?1",
    )?;
    update.execute(params![
        session,
        event.timestamp.millis(),
        whole(body.total),
        whole(body.passed),
        whole(body.failed),
        whole(body.errors)
    ])?;
    Ok(())
}

/// A session has ended, and with it its run, if it is one.
pub(super) fn session_ended(db: &Transaction<'_>, session: i64, event: &Event) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE runs SET ended = coalesce(ended, ?2) WHERE session = ?1")?
        .execute([session, event.timestamp.millis()])?;
    Ok(())
}

/// A session was deleted.
pub(super) fn erased(db: &Transaction<'_>, session: i64) -> rusqlite::Result<()> {
    for sql in [
        "DELETE FROM graders WHERE task IN (SELECT seq FROM tasks WHERE session = ?1)",
        "DELETE FROM tasks WHERE session = ?1",
        "DELETE FROM runs WHERE session = ?1",
    ] {
        db.prepare_cached(sql)?.execute([session])?;
    }
    Ok(())
}

/// A run is as long as its session; a task of which nothing is kept is none. A run keeps what it has counted.
pub(super) fn forget(db: &Transaction<'_>, first: Seq) -> rusqlite::Result<usize> {
    let mut gone = 0;
    for sql in [
        "DELETE FROM graders WHERE seq IN (SELECT seq FROM graders WHERE seq < ?1 ORDER BY seq LIMIT ?2)",
        "DELETE FROM tasks WHERE seq IN (SELECT seq FROM tasks WHERE seq < ?1 AND last_seq < ?1 ORDER BY seq LIMIT ?2)",
        "DELETE FROM runs WHERE session IN (
            SELECT session FROM runs WHERE seq < ?1 AND NOT EXISTS (SELECT 1 FROM sessions WHERE n = session) LIMIT ?2)",
    ] {
        gone = gone.max(db.prepare_cached(sql)?.execute(params![from_seq(first), FORGET])?);
    }
    Ok(gone)
}

/// One run, as it is answered.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Run {
    session_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    started: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<i64>,
    completed: i64,
    passed: i64,
    failed: i64,
    errors: i64,
    /// The task that is open and began last.
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    input_tokens: i64,
    output_tokens: i64,
    cost_usd: f64,
    first_seq: Seq,
    last_seq: Seq,
    #[serde(skip)]
    n: i64,
}

/// The same with what is in it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Whole {
    #[serde(flatten)]
    run: Run,
    tasks: Vec<Task>,
    /// Whether there are more tasks than are listed.
    more: bool,
}

#[derive(Clone, Debug, Serialize)]
struct Task {
    task: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<i64>,
    /// What last failed in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    graders: Vec<Grader>,
    first_seq: Seq,
}

#[derive(Clone, Debug, Serialize)]
struct Grader {
    grader: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    grader_type: Option<String>,
    passed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    seq: Seq,
}

/// What a run says at its end counts; what it does not say is what its tasks came to.
const SELECT: &str = "SELECT s.id, s.title, s.agent, s.model, r.started, r.ended, r.total, r.completed,
    coalesce(r.told_passed, r.passed), coalesce(r.told_failed, r.failed), coalesce(r.told_errors, r.errors),
    CASE WHEN r.ended IS NULL THEN (
        SELECT task FROM tasks INDEXED BY tasks_open WHERE session = r.session AND ended IS NULL ORDER BY seq DESC LIMIT 1
    ) END, r.seq, s.last_seq, r.session, s.input_tokens, s.output_tokens, s.cache_read, s.cache_creation, s.cost_usd
    FROM runs AS r JOIN sessions AS s ON s.n = r.session";

fn run(row: &Row<'_>) -> rusqlite::Result<Run> {
    let used = Used::read(row, 15)?;
    let (completed, passed, failed, errors): (i64, i64, i64, i64) =
        (row.get(7)?, row.get(8)?, row.get(9)?, row.get(10)?);
    Ok(Run {
        session_id: row.get(0)?,
        title: row.get(1)?,
        agent: row.get(2)?,
        model: row.get(3)?,
        started: moment(row, 4)?,
        ended: moment_if_any(row, 5)?,
        total: row.get(6)?,
        completed: completed.max(passed.saturating_add(failed).saturating_add(errors)),
        passed,
        failed,
        errors,
        current: row.get(11)?,
        input_tokens: used.input,
        output_tokens: used.output,
        cost_usd: used.cost_usd,
        first_seq: row.get(12).map(to_seq)?,
        last_seq: row.get(13).map(to_seq)?,
        n: row.get(14)?,
    })
}

/// Runs that began before `before`, newest first.
pub(crate) fn list(db: &Connection, visible: &Visibility, before: Seq, limit: usize) -> rusqlite::Result<Paged<Run>> {
    let mut statement = db.prepare_cached(&format!("{SELECT} WHERE r.seq < ?1 ORDER BY r.seq DESC"))?;
    let mut rows = statement.query([from_seq(before)])?;
    let mut page = Paged::new(limit);
    while let Some(row) = rows.next()? {
        if !visible.allows_session(row.get_ref(0)?.as_str()?) {
            continue;
        }
        if !page.take(|| run(row).map(|run| (run.first_seq, run)), |_| 1024)? {
            break;
        }
    }
    Ok(page)
}

/// One run with its tasks, oldest first.
pub(crate) fn get(db: &Connection, id: &str) -> rusqlite::Result<Option<Whole>> {
    let mut one = db.prepare_cached(&format!("{SELECT} WHERE s.id = ?1"))?;
    let Some(run) = one.query_row([id], run).optional()? else {
        return Ok(None);
    };
    let mut statement = db.prepare_cached(
        "SELECT seq, task, number, outcome, score, started, duration_ms, error FROM tasks INDEXED BY tasks_session
         WHERE session = ?1 ORDER BY seq",
    )?;
    let mut rows = statement.query([run.n])?;
    let mut page = Paged::new(TASKS);
    while let Some(row) = rows.next()? {
        if !page.take(|| task(db, row), Task::size)? {
            break;
        }
    }
    let (tasks, more) = (page.rows, page.next.is_some());
    Ok(Some(Whole { run, tasks, more }))
}

fn task(db: &Connection, row: &Row<'_>) -> rusqlite::Result<(Seq, Task)> {
    let seq: i64 = row.get(0)?;
    let mut graders = db.prepare_cached(
        "SELECT seq, grader, grader_type, passed, score, message FROM graders WHERE task = ?1 ORDER BY seq",
    )?;
    let graders = graders.query_map([seq], |row| {
        Ok(Grader {
            seq: row.get(0).map(to_seq)?,
            grader: row.get(1)?,
            grader_type: row.get(2)?,
            passed: row.get(3)?,
            score: row.get(4)?,
            message: row.get(5)?,
        })
    })?;
    let task = Task {
        task: row.get(1)?,
        number: row.get(2)?,
        outcome: row.get(3)?,
        score: row.get(4)?,
        started: moment_if_any(row, 5)?,
        duration_ms: row.get(6)?,
        error: row.get(7)?,
        graders: graders.collect::<rusqlite::Result<_>>()?,
        first_seq: to_seq(seq),
    };
    Ok((task.first_seq, task))
}

impl Task {
    /// Bytes of its texts, about.
    fn size(&self) -> usize {
        let graders = self.graders.iter();
        let said: usize = graders
            .map(|one| 256 + one.message.as_ref().map_or(0, String::len))
            .sum();
        512 + said + self.error.as_ref().map_or(0, String::len)
    }
}
