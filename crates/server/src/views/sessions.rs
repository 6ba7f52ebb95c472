//! The list of sessions: what each is, what it does now, what it has used. Folded by [`super::activity`].

use std::borrow::Cow;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Serialize;
use turnwire_proto::{Event, Kind, Name, Seq, Timestamp, Usage, Visibility};

use super::{
    FORGET,
    current::{self, Doing},
    from_seq, loose, meter, moment, runs, to_seq,
    told::SERVER,
    used::Used,
};

/// `n` is never given twice: rows of turns and calls name their session by it, and may outlive it for a while when the log is
/// trimmed.
pub(super) fn tables() -> String {
    format!(
        "CREATE TABLE sessions(
            n INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
            title TEXT, agent TEXT, source TEXT NOT NULL, model TEXT, state TEXT NOT NULL, since INTEGER NOT NULL,
            state_by TEXT NOT NULL DEFAULT '', last_text TEXT, said INTEGER,
            said_by TEXT NOT NULL DEFAULT '', mixed INTEGER NOT NULL DEFAULT 0, over INTEGER NOT NULL DEFAULT 0, started INTEGER NOT NULL, last_activity INTEGER NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
            events INTEGER NOT NULL DEFAULT 0, turns INTEGER NOT NULL DEFAULT 0, tool_calls INTEGER NOT NULL DEFAULT 0,
            tool_failures INTEGER NOT NULL DEFAULT 0, errors INTEGER NOT NULL DEFAULT 0, unread INTEGER NOT NULL DEFAULT 0,
            context_tokens INTEGER, context_window INTEGER, alive INTEGER NOT NULL, alive_seq INTEGER NOT NULL, {}
        ) STRICT;
        CREATE INDEX sessions_last ON sessions(last_seq);",
        Used::COLUMNS
    )
}

/// It has nothing to do, as far as is known.
pub(super) const IDLE: &str = "idle";
/// It works on a turn.
pub(super) const THINKING: &str = "thinking";
/// It waits for a tool.
pub(super) const RUNNING: &str = "running_tool";

/// It works on a turn, and nothing was heard of it for long.
pub(super) const STALLED: &str = "stalled";

/// Its end was told.
const ENDED: i64 = 1;
/// And that its program ended well.
const WELL: i64 = 2;
/// And that it had failed.
const BROKEN: i64 = 3;

/// One session, as `/api/sessions` shows it and as the table has it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Session {
    /// What the tables name it by.
    #[serde(skip)]
    pub(super) n: i64,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) agent: Option<String>,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<String>,
    state: Cow<'static, str>,
    since: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_text: Option<String>,
    started: Timestamp,
    last_activity: Timestamp,
    events: i64,
    pub(super) turns: i64,
    pub(super) tool_calls: i64,
    pub(super) tool_failures: i64,
    pub(super) errors: i64,
    pub(super) unread: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) context_tokens: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) context_window: Option<i64>,
    usage: Usage,
    cost_usd: f64,
    first_seq: Seq,
    pub(crate) last_seq: Seq,
    /// Of the moment of the answer, like the three below: [`current`] fills them in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) doing: Option<Doing>,
    /// Events of each of the last minutes, oldest first.
    pub(super) activity: Vec<i64>,
    pub(super) usage_today: Usage,
    pub(super) cost_today_usd: f64,
    #[serde(skip)]
    used: Used,
    /// When and where it last gave a sign of life; what the server says of its silence is none.
    #[serde(skip)]
    alive: Timestamp,
    #[serde(skip)]
    alive_seq: Seq,
    /// The source that said the state.
    #[serde(skip)]
    state_by: String,
    /// When the last text was said.
    #[serde(skip)]
    said: Option<i64>,
    #[serde(skip)]
    said_by: String,
    /// Whether several sources tell of it.
    #[serde(skip)]
    pub(super) mixed: bool,
    /// 0, [`ENDED`], [`WELL`] or [`BROKEN`]: the most that is told of its end.
    #[serde(skip)]
    over: i64,
    /// The source that speaks.
    #[serde(skip)]
    teller: String,
}

const COLUMNS: &str = "n, id, title, agent, source, model, state, since, last_text, started, last_activity, events, turns, tool_calls,
    tool_failures, errors, unread, context_tokens, context_window, first_seq, last_seq, input_tokens, output_tokens, cache_read,
    cache_creation, cost_usd, alive, alive_seq, state_by, said, said_by, mixed, over";

fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    let used = Used::read(row, 21)?;
    Ok(Session {
        n: row.get(0)?,
        id: row.get(1)?,
        title: row.get(2)?,
        agent: row.get(3)?,
        source: row.get(4)?,
        model: row.get(5)?,
        state: Cow::Owned(row.get(6)?),
        since: moment(row, 7)?,
        last_text: row.get(8)?,
        started: moment(row, 9)?,
        last_activity: moment(row, 10)?,
        events: row.get(11)?,
        turns: row.get(12)?,
        tool_calls: row.get(13)?,
        tool_failures: row.get(14)?,
        errors: row.get(15)?,
        unread: row.get(16)?,
        context_tokens: row.get(17)?,
        context_window: row.get(18)?,
        first_seq: row.get(19).map(to_seq)?,
        last_seq: row.get(20).map(to_seq)?,
        usage: used.usage(),
        cost_usd: used.cost_usd,
        doing: None,
        activity: Vec::new(),
        usage_today: Used::default().usage(),
        cost_today_usd: 0.0,
        used,
        alive: moment(row, 26)?,
        alive_seq: row.get(27).map(to_seq)?,
        state_by: row.get(28)?,
        said: row.get(29)?,
        said_by: row.get(30)?,
        mixed: row.get(31)?,
        over: row.get(32)?,
        teller: String::new(),
    })
}

/// The sessions that were last active before `before`, newest first.
pub(crate) fn list(db: &Connection, visible: &Visibility, before: Seq, limit: usize) -> rusqlite::Result<Vec<Session>> {
    let sql = format!("SELECT {COLUMNS} FROM sessions WHERE last_seq < ?1 ORDER BY last_seq DESC");
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query([from_seq(before)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if visible.allows_session(row.get_ref(1)?.as_str()?) {
            found.push(session(row)?);
            if found.len() >= limit {
                break;
            }
        }
    }
    current::fill(db, &mut found, Timestamp::now())?;
    Ok(found)
}

/// One session, as it is answered.
pub(crate) fn one(db: &Connection, id: &str) -> rusqlite::Result<Option<Session>> {
    let mut session = get(db, id)?;
    current::fill(db, session.as_mut_slice(), Timestamp::now())?;
    Ok(session)
}

/// The same as it is folded: without what is so at the moment of an answer alone.
pub(crate) fn get(db: &Connection, id: &str) -> rusqlite::Result<Option<Session>> {
    let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} FROM sessions WHERE id = ?1"))?;
    statement.query_row([id], session).optional()
}

/// What turns and calls name a session by.
pub(crate) fn number(db: &Connection, id: &str) -> rusqlite::Result<Option<i64>> {
    let mut statement = db.prepare_cached("SELECT n FROM sessions WHERE id = ?1")?;
    statement.query_row([id], |row| row.get(0)).optional()
}

/// The session that an event is of, begun by it if need be.
pub(super) fn of(db: &Transaction<'_>, id: &str, event: &Event) -> rusqlite::Result<Session> {
    if let Some(session) = get(db, id)? {
        return Ok(session);
    }
    let mut insert = db.prepare_cached(
        "INSERT INTO sessions(id, source, state, since, started, last_activity, first_seq, last_seq, alive, alive_seq)
         VALUES (?1, ?2, ?3, ?4, ?4, ?4, ?5, ?5, ?4, ?5)",
    )?;
    let (at, seq) = (event.timestamp.millis(), from_seq(event.seq));
    insert.execute(params![id, event.source.as_str(), IDLE, at, seq])?;
    get(db, id)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
}

impl Session {
    pub(crate) fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// What every event changes.
    pub(super) fn saw(&mut self, event: &Event) {
        self.events += 1;
        self.last_seq = event.seq;
        self.last_activity = self.last_activity.max(event.timestamp);
        if self.teller != event.source.as_str() {
            event.source.as_str().clone_into(&mut self.teller);
            self.mixed |= self.teller != self.source && self.teller != SERVER;
        }
        if let Some(agent) = &event.agent
            && self.agent.as_deref() != Some(agent.as_str())
        {
            self.agent = Some(agent.as_str().to_owned());
        }
    }

    /// What every event changes that is a sign of life. A clock that is ahead does not keep a session alive.
    pub(super) fn lives(&mut self, event: &Event) {
        self.alive = self.alive.max(event.timestamp).min(Timestamp::now());
        self.alive_seq = event.seq;
    }

    pub(super) fn is(&self, state: &str) -> bool {
        self.state == state
    }

    /// It is in this state; since now, if it was not before.
    pub(super) fn enter(&mut self, state: &'static str, since: Timestamp) {
        if !matches!(state, "done" | "failed") {
            self.over = 0;
        }
        if self.state != state {
            (self.state, self.since) = (Cow::Borrowed(state), since);
            self.teller.clone_into(&mut self.state_by);
        }
    }

    /// Its end is told, by one source or by several.
    pub(super) fn end(&mut self, at: Timestamp, exit_code: Option<i64>) {
        let told = match exit_code {
            None => ENDED,
            Some(0) => WELL,
            Some(_) => BROKEN,
        };
        self.over = self.over.max(told);
        self.enter(if self.over == BROKEN { "failed" } else { "done" }, at);
    }

    /// It has ended, and its last turn has failed or not: that says it where no exit code does.
    pub(super) fn ended(&mut self, last_failed: bool) {
        let failed = self.over == BROKEN || last_failed && self.over == ENDED;
        self.state = Cow::Borrowed(if failed { "failed" } else { "done" });
    }

    pub(super) const fn is_over(&self) -> bool {
        self.over != 0
    }

    /// When its end was.
    pub(super) fn over_since(&self) -> Option<Timestamp> {
        self.is_over().then_some(self.since)
    }

    /// Whether a source tells what was before the state that another one has told: it changes nothing any more.
    pub(super) fn is_past(&self, event: &Event) -> bool {
        let source = event.source.as_str();
        event.timestamp < self.since && source != self.state_by && source != SERVER
    }

    /// What was last said; what another source tells late is not.
    pub(super) fn says(&mut self, event: &Event, at: i64, line: String) {
        let is_late = self.said.is_some_and(|said| at < said) && event.source.as_str() != self.said_by;
        if !line.is_empty() && !is_late {
            (self.last_text, self.said) = (Some(line), Some(at));
            event.source.as_str().clone_into(&mut self.said_by);
        }
    }

    /// The same for a state that an agent has named. What is no word is passed over.
    pub(super) fn enter_named(&mut self, state: &str, since: Timestamp) {
        if self.state != state && Kind::new(state).is_ok() {
            self.over = 0;
            (self.state, self.since) = (Cow::Owned(state.to_owned()), since);
            self.teller.clone_into(&mut self.state_by);
        }
    }

    pub(super) fn spend(&mut self, used: Used) {
        self.used = self.used + used;
    }

    pub(super) fn store(&self, db: &Transaction<'_>) -> rusqlite::Result<()> {
        let mut update = db.prepare_cached(
            "UPDATE sessions SET title = ?2, agent = ?3, model = ?4, state = ?5, since = ?6, last_text = ?7, last_activity = ?8,
                last_seq = ?9, events = ?10, turns = ?11, tool_calls = ?12, tool_failures = ?13, errors = ?14, unread = ?15,
                context_tokens = ?16, context_window = ?17, input_tokens = ?18, output_tokens = ?19, cache_read = ?20,
                cache_creation = ?21, cost_usd = ?22, alive = ?23, alive_seq = ?24, state_by = ?25, said = ?26, said_by = ?27, mixed = ?28,
                over = ?29
             WHERE n = ?1",
        )?;
        update.execute(params![
            self.n,
            self.title,
            self.agent,
            self.model,
            self.state,
            self.since.millis(),
            self.last_text,
            self.last_activity.millis(),
            from_seq(self.last_seq),
            self.events,
            self.turns,
            self.tool_calls,
            self.tool_failures,
            self.errors,
            self.unread,
            self.context_tokens,
            self.context_window,
            self.used.input,
            self.used.output,
            self.used.cache_read,
            self.used.cache_creation,
            self.used.cost_usd,
            self.alive.millis(),
            from_seq(self.alive_seq),
            self.state_by,
            self.said,
            self.said_by,
            self.mixed,
            self.over,
        ])?;
        Ok(())
    }
}

/// What a session has not that is over.
const NOTHING_OPEN: &str = "NOT EXISTS (SELECT 1 FROM turns WHERE session = s.n AND ended IS NULL)
    AND NOT EXISTS (SELECT 1 FROM approvals WHERE session = s.n AND state = 'pending')
    AND NOT EXISTS (SELECT 1 FROM commands WHERE session = s.id AND state IN ('queued', 'delivered', 'acked'))";

/// Whether a session has nothing open; `None` when there is none.
pub(crate) fn is_over(db: &Connection, id: &str) -> rusqlite::Result<Option<bool>> {
    db.prepare_cached(&format!("SELECT {NOTHING_OPEN} FROM sessions AS s WHERE id = ?1"))?
        .query_row([id], |row| row.get(0))
        .optional()
}

/// Sessions that were last heard of before `old`, or are not among the `keep` latest active ones, the oldest first. One that has
/// something open is not over, however old it is.
pub(crate) fn surplus(
    db: &Connection,
    old: Option<Timestamp>,
    keep: Option<u64>,
    limit: usize,
) -> rusqlite::Result<Vec<Name>> {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let oldest_kept: Option<i64> = match keep {
        None => None,
        Some(keep) => db
            .prepare_cached("SELECT last_seq FROM sessions ORDER BY last_seq DESC LIMIT 1 OFFSET ?1")?
            .query_row([number(keep.saturating_sub(1))], |row| row.get(0))
            .optional()?,
    };
    let mut statement = db.prepare_cached(&format!(
        "SELECT id FROM sessions AS s WHERE (alive < ?1 OR last_seq < ?2) AND {NOTHING_OPEN} ORDER BY last_seq LIMIT ?3"
    ))?;
    let bounds = params![
        old.map_or(i64::MIN, Timestamp::millis),
        oldest_kept.unwrap_or(i64::MIN),
        number(limit as u64)
    ];
    let ids = statement.query_map(bounds, |row| row.get::<_, String>(0))?;
    let ids: Vec<String> = ids.collect::<rusqlite::Result<_>>()?;
    Ok(ids.iter().filter_map(|id| Name::new(id).ok()).collect())
}

/// A session was deleted with all that was in it.
pub(super) fn erased(db: &Transaction<'_>, id: &str) -> rusqlite::Result<()> {
    let Some(n) = number(db, id)? else { return Ok(()) };
    for table in ["turns", "turn_ids", "tool_calls", "approvals"] {
        db.prepare_cached(&format!("DELETE FROM {table} WHERE session = ?1"))?
            .execute([n])?;
    }
    meter::erased(db, n)?;
    loose::erased(db, n)?;
    runs::erased(db, n)?;
    db.prepare_cached("DELETE FROM commands WHERE session = ?1")?
        .execute([id])?;
    db.prepare_cached("DELETE FROM sessions WHERE n = ?1")?.execute([n])?;
    Ok(())
}

/// An agent's downlink has ended, and with it what its sessions did.
pub(super) fn agent_left(db: &Transaction<'_>, event: &Event) -> rusqlite::Result<()> {
    let mut update = db.prepare_cached(
        "UPDATE sessions SET state = 'offline', since = ?2 WHERE agent = ?1 AND state NOT IN ('done', 'failed', 'offline')",
    )?;
    update.execute(params![
        event.agent.as_ref().map(AsRef::<str>::as_ref),
        event.timestamp.millis()
    ])?;
    Ok(())
}

/// It is there again: its sessions go on with what they have open.
pub(super) fn agent_came(db: &Transaction<'_>, event: &Event) -> rusqlite::Result<()> {
    let mut update = db.prepare_cached(
        "UPDATE sessions SET since = ?2, state = CASE
            WHEN NOT EXISTS (SELECT 1 FROM turns WHERE session = n AND ended IS NULL) THEN 'idle'
            WHEN EXISTS (SELECT 1 FROM approvals WHERE session = n AND state = 'pending') THEN 'needs_approval'
            WHEN EXISTS (SELECT 1 FROM tool_calls WHERE session = n AND ended IS NULL) THEN 'running_tool'
            ELSE 'thinking' END
         WHERE agent = ?1 AND state = 'offline'",
    )?;
    update.execute(params![
        event.agent.as_ref().map(AsRef::<str>::as_ref),
        event.timestamp.millis()
    ])?;
    Ok(())
}

/// A session of which nothing is kept is none; one that goes on keeps what it has counted.
pub(super) fn forget(db: &Transaction<'_>, first: Seq) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM sessions WHERE n IN (SELECT n FROM sessions WHERE last_seq < ?1 LIMIT ?2)";
    db.prepare_cached(sql)?.execute(params![from_seq(first), FORGET])
}
