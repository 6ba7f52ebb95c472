//! Turns: one prompt and all that it causes. Folded by [`super::activity`].
//!
//! A turn has a row from its first event on, whether that is its start or not, and each row has one start and one end of each source at
//! the most ([`shares`] keeps which):
//! - a start joins the newest row of its id that its source has not started yet or that is open, else it begins another;
//! - an end joins the newest row of its id that its source has not ended, else it makes one, unless it has ended that turn already;
//! - a turn that another one cuts short, or the session's end, is closed with a note; its own end, if it comes yet, is what counts;
//! - sources may have different ids for one turn: [`join`] finds which rows are one.
//!
//! A turn whose agent has died stays open here: nothing in the log says that it has ended. The server finds it ([`super::silent`])
//! and appends a `turn_end` that says `by: "server"`; that closes it, and its own end, if it comes yet, is what counts.

mod join;
mod shares;

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};
use turnwire_proto::{Event, Seq, Timestamp, TurnEnd, TurnStart, Usage, Visibility};

pub(super) use self::join::{merge, mine, partner, told_by_time};
use self::shares::Shares;
use super::{
    FORGET, Paged, from_seq, moment_if_any, preview, to_seq,
    told::{SERVER, fuller, is_fuller, least},
    tools,
    used::Used,
};

pub(super) fn tables() -> String {
    format!(
        "CREATE TABLE turns(
            seq INTEGER PRIMARY KEY, session INTEGER NOT NULL, turn_id TEXT, agent TEXT, asker TEXT,
            prompt TEXT, prompt_bytes INTEGER, result TEXT, result_bytes INTEGER,
            started INTEGER, ended INTEGER, ok INTEGER, note TEXT, duration_ms INTEGER,
            start_seq INTEGER, end_seq INTEGER, last_seq INTEGER NOT NULL, shares TEXT NOT NULL DEFAULT '', told_ms INTEGER,
            asked INTEGER NOT NULL DEFAULT 0, said INTEGER, counted INTEGER, model TEXT, {}
        ) STRICT;
        CREATE TABLE turn_ids(
            session INTEGER NOT NULL, turn_id TEXT NOT NULL, turn INTEGER NOT NULL, PRIMARY KEY (session, turn_id, turn)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX turn_ids_turn ON turn_ids(turn);
        CREATE INDEX turns_session ON turns(session);
        CREATE INDEX turns_id ON turns(session, turn_id);
        CREATE INDEX turns_open ON turns(session) WHERE ended IS NULL;",
        Used::COLUMNS
    )
}

/// What a message may say beside its body.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    whole_turn: bool,
}

/// When a message was said, in milliseconds since 1970. One that is all that was said in its turn tells nothing beside what other sources tell of
/// it: it counts as said before anything.
pub(super) fn said_at(event: &Event) -> i64 {
    // Few say it: the others are not read twice.
    let is_all = event.data.get().contains("\"whole_turn\"") && preview::body::<Said>(&event.data).whole_turn;
    if is_all { i64::MIN } else { event.timestamp.millis() }
}

/// One turn, as it is answered and as the table has it.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Turn {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) turn_id: Option<String>,
    session_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_bytes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result_bytes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ok: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration_ms: Option<i64>,
    pub(crate) usage: Usage,
    pub(crate) cost_usd: f64,
    tools: BTreeMap<String, tools::Uses>,
    pub(crate) first_seq: Seq,
    pub(crate) last_seq: Seq,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_seq: Option<Seq>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end_seq: Option<Seq>,
    /// Who tells of it.
    sources: Vec<String>,
    /// By which ids, where they have several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    turn_ids: Vec<String>,
    #[serde(skip)]
    used: Used,
    #[serde(skip)]
    shares: Shares,
    /// The least that an end has said of how long it was.
    #[serde(skip)]
    told_ms: Option<i64>,
    /// Whether the prompt is a start's.
    #[serde(skip)]
    asked: bool,
    /// When the result was said.
    #[serde(skip)]
    said: Option<i64>,
    /// When and under which model it was counted.
    #[serde(skip)]
    pub(super) counted: Option<Timestamp>,
    #[serde(skip)]
    pub(super) model: Option<String>,
    #[serde(skip)]
    changed: bool,
}

const COLUMNS: &str =
    "turn_id, agent, asker, prompt, prompt_bytes, result, result_bytes, started, ended, ok, note, duration_ms, seq,
    last_seq, start_seq, end_seq, shares, input_tokens, output_tokens, cache_read, cache_creation, cost_usd, told_ms, asked, said,
    counted, model";

fn turn(row: &Row<'_>) -> rusqlite::Result<Turn> {
    let used = Used::read(row, 17)?;
    let shares = Shares::read(row.get_ref(16)?.as_str()?);
    let place = |at| row.get::<_, Option<i64>>(at).map(|seq| seq.map(to_seq));
    Ok(Turn {
        turn_id: row.get(0)?,
        session_id: String::new(),
        agent: row.get(1)?,
        from: row.get(2)?,
        prompt: row.get(3)?,
        prompt_bytes: row.get(4)?,
        result: row.get(5)?,
        result_bytes: row.get(6)?,
        started: moment_if_any(row, 7)?,
        ended: moment_if_any(row, 8)?,
        ok: row.get(9)?,
        note: row.get(10)?,
        duration_ms: row.get(11)?,
        usage: used.usage(),
        cost_usd: used.cost_usd,
        tools: BTreeMap::new(),
        first_seq: row.get(12).map(to_seq)?,
        last_seq: row.get(13).map(to_seq)?,
        start_seq: place(14)?,
        end_seq: place(15)?,
        sources: Vec::new(),
        turn_ids: Vec::new(),
        shares,
        used,
        told_ms: row.get(22)?,
        asked: row.get(23)?,
        said: row.get(24)?,
        counted: moment_if_any(row, 25)?,
        model: row.get(26)?,
        changed: false,
    })
}

/// The newest turn of this id.
pub(super) fn of_id(db: &Connection, session: i64, id: &str) -> rusqlite::Result<Option<Turn>> {
    let sql = format!("SELECT {COLUMNS} FROM turns WHERE session = ?1 AND turn_id = ?2 ORDER BY seq DESC LIMIT 1");
    let found = db
        .prepare_cached(&sql)?
        .query_row(params![session, id], turn)
        .optional()?;
    if found.is_some() {
        return Ok(found);
    }
    // What another source calls it.
    db.prepare_cached("SELECT turn FROM turn_ids WHERE session = ?1 AND turn_id = ?2 ORDER BY turn DESC LIMIT 1")?
        .query_row(params![session, id], |row| row.get(0).map(to_seq))
        .optional()?
        .map_or(Ok(None), |seq| at(db, seq))
}

/// Where the newest turn that is open begins.
pub(super) fn newest_open(db: &Connection, session: i64) -> rusqlite::Result<Option<Seq>> {
    db.prepare_cached("SELECT seq FROM turns WHERE session = ?1 AND ended IS NULL ORDER BY seq DESC LIMIT 1")?
        .query_row([session], |row| row.get(0).map(to_seq))
        .optional()
}

/// The turn that begins at this place.
pub(super) fn at(db: &Connection, seq: Seq) -> rusqlite::Result<Option<Turn>> {
    let sql = format!("SELECT {COLUMNS} FROM turns WHERE seq = ?1");
    db.prepare_cached(&sql)?.query_row([from_seq(seq)], turn).optional()
}

/// Every turn that is open but this one, by its first place.
pub(super) fn others_open(db: &Connection, session: i64, but: Option<Seq>) -> rusqlite::Result<Vec<Seq>> {
    let mut statement =
        db.prepare_cached("SELECT seq FROM turns WHERE session = ?1 AND ended IS NULL AND seq != ?2")?;
    let but = but.map_or(0, from_seq);
    statement
        .query_map(params![session, but], |row| row.get(0).map(to_seq))?
        .collect()
}

/// When the first turn began that another source has told of, after this event.
pub(super) fn began_since(db: &Connection, session: i64, event: &Event) -> rusqlite::Result<Option<Timestamp>> {
    let is_later = |row: &Turn| row.began_after(event);
    let later = join::newest(db, session)?.into_iter().filter(is_later);
    Ok(later.filter_map(|row| row.started).min())
}

/// The turn that began last.
pub(super) fn last(db: &Connection, session: i64) -> rusqlite::Result<Option<Turn>> {
    Ok(join::newest(db, session)?.into_iter().max_by_key(|row| row.started))
}

/// Begins a row at this event.
pub(super) fn insert(db: &Transaction<'_>, session: i64, event: &Event) -> rusqlite::Result<Turn> {
    let turn_id = event.turn_id.as_ref().map(|id| id.as_str().to_owned());
    let mut insert = db.prepare_cached("INSERT INTO turns(seq, session, turn_id, last_seq) VALUES (?1, ?2, ?3, ?1)")?;
    insert.execute(params![from_seq(event.seq), session, turn_id])?;
    Ok(Turn {
        turn_id,
        first_seq: event.seq,
        last_seq: event.seq,
        ..Turn::default()
    })
}

impl Turn {
    pub(crate) fn turn_id(&self) -> Option<&str> {
        self.turn_id.as_deref()
    }

    pub(super) const fn place(&self) -> Seq {
        self.first_seq
    }

    pub(super) const fn is_open(&self) -> bool {
        self.ended.is_none()
    }

    /// Whether it began after this, as another source than its own tells.
    pub(super) fn began_after(&self, event: &Event) -> bool {
        self.started.is_some_and(|started| started > event.timestamp) && !self.told_by(event.source.as_str())
    }

    pub(super) fn has_failed(&self) -> bool {
        self.ok == Some(false)
    }

    pub(super) const fn has_end(&self) -> bool {
        self.end_seq.is_some()
    }

    /// Whether this source calls it so.
    pub(super) fn is_called(&self, id: &str) -> bool {
        self.turn_id.as_deref() == Some(id) || self.shares.has_id(id)
    }

    pub(super) fn told_by(&self, source: &str) -> bool {
        self.shares.of(source).is_some()
    }

    pub(super) fn ended_by(&self, source: &str) -> bool {
        self.shares.of(source).is_some_and(|share| share.ended)
    }

    /// Whether this source says of what happens in it that it does: what it tells without that is not of this turn.
    pub(super) fn named_by(&self, source: &str) -> bool {
        self.shares.of(source).is_some_and(shares::Share::is_named)
    }

    /// From its start to its end, where both are known.
    pub(super) fn span(&self) -> Option<(Timestamp, Timestamp)> {
        self.started.zip(self.ended)
    }

    pub(super) const fn has_start(&self) -> bool {
        self.start_seq.is_some()
    }

    /// Whether a source's start can be this turn's.
    pub(super) fn takes_start(&self, source: &str) -> bool {
        let started = self.shares.of(source).is_some_and(|share| share.started);
        !started || self.is_open() || (self.has_end() && !self.ended_by(source))
    }

    /// What its session counts of it: nothing while it is open, for its end says it.
    pub(super) fn counts(&self) -> Used {
        if self.is_open() { Used::default() } else { self.used }
    }

    /// What every event of it changes but its calls', which have rows of their own.
    pub(super) fn saw(&mut self, event: &Event) {
        self.changed = true;
        self.last_seq = self.last_seq.max(event.seq);
        self.met(event);
        if let Some(agent) = &event.agent
            && self.agent.as_deref() != Some(agent.as_str())
        {
            self.agent = Some(agent.as_str().to_owned());
        }
    }

    /// Notes who tells of it, and by which id.
    pub(super) fn met(&mut self, event: &Event) {
        if event.source.as_str() != SERVER {
            self.changed |= self
                .shares
                .meet(event.source.as_str(), event.turn_id.as_ref().map(AsRef::as_ref));
        }
    }

    /// Each source tells the start once; together they tell the earliest, and the fullest prompt.
    pub(super) fn start(&mut self, event: &Event, body: &TurnStart) {
        let share = self.shares.mine(event.source.as_str());
        if std::mem::replace(&mut share.started, true) {
            return;
        }
        self.start_seq = self.start_seq.or(Some(event.seq));
        self.started = least(self.started, Some(event.timestamp));
        let from = Some(preview::head(&body.from, preview::WORD).to_owned()).filter(|from| !from.is_empty());
        self.from = fuller(self.from.take(), from);
        if !body.body.is_empty() {
            let (prompt, bytes) = preview::text(&body.body);
            let old = self.prompt.as_deref().filter(|_| self.asked);
            if old.is_none_or(|old| is_fuller((old, self.prompt_bytes), (&prompt, bytes))) {
                (self.prompt, self.prompt_bytes) = (Some(prompt), bytes);
            }
            self.asked = true;
        }
        self.measure();
    }

    /// A message of the one who asks: the prompt, where the start did not tell it.
    pub(super) fn asked(&mut self, text: &str) {
        if self.prompt.is_none() && !text.is_empty() {
            let (prompt, bytes) = preview::text(text);
            (self.prompt, self.prompt_bytes) = (Some(prompt), bytes);
        }
    }

    /// A message of the agent's: the last one is the result, also when a source tells of earlier ones later ([`said_at`]).
    pub(super) fn answered(&mut self, event: &Event, at: i64, text: &str) {
        let is_late = self.shares.others(event.source.as_str()) && self.said.is_some_and(|said| at < said);
        if !text.is_empty() && !is_late {
            let (result, bytes) = preview::text(text);
            (self.result, self.result_bytes, self.said) = (Some(result), bytes, Some(at));
        }
    }

    pub(super) fn spend(&mut self, source: &str, used: Used) {
        let share = self.shares.mine(source);
        if !share.billed {
            share.used = share.used + used;
        }
        self.used = self.shares.most();
    }

    /// Its end, as one source tells it: it ended at the earliest that is told, well when all say so.
    pub(super) fn end(&mut self, event: &Event, body: &TurnEnd) {
        let first = !self.has_end();
        let note = body.note.as_deref().map(preview::line);
        if first {
            (self.end_seq, self.ended, self.ok, self.note) = (Some(event.seq), None, None, None);
        }
        self.ended = least(self.ended, Some(event.timestamp));
        self.ok = Some(self.ok.unwrap_or(true) && body.ok);
        self.note = fuller(self.note.take(), note);
        self.told_ms = least(self.told_ms, body.duration_ms.and_then(|ms| i64::try_from(ms).ok()));
        let share = self.shares.mine(event.source.as_str());
        share.ended = true;
        share.billed = body.usage.is_some() || body.cost_usd.is_some();
        if let Some(usage) = &body.usage {
            share.used = Used::tokens(usage).costing(Some(share.used.cost_usd));
        }
        if body.cost_usd.is_some() {
            share.used = share.used.costing(body.cost_usd);
        }
        self.used = self.shares.most();
        self.measure();
    }

    /// Closes it without an end of its own.
    pub(super) fn close(&mut self, event: &Event, note: &str) {
        self.close_at(event.timestamp, event.seq, note);
    }

    pub(super) fn close_at(&mut self, at: Timestamp, seq: Seq, note: &str) {
        (self.ended, self.ok, self.note) = (Some(at), Some(false), Some(note.to_owned()));
        self.changed = true;
        self.last_seq = self.last_seq.max(seq);
        self.measure();
    }

    /// From start to end by their timestamps, where no end has said how long it was.
    fn measure(&mut self) {
        let between = self.started.zip(self.ended);
        let between = between.map(|(started, ended)| (ended.millis() - started.millis()).max(0));
        self.duration_ms = self.told_ms.or(between);
    }

    pub(super) fn store(&mut self, db: &Transaction<'_>) -> rusqlite::Result<()> {
        if !std::mem::take(&mut self.changed) {
            return Ok(());
        }
        let mut update = db.prepare_cached(
            "UPDATE turns SET agent = ?2, asker = ?3, prompt = ?4, prompt_bytes = ?5, result = ?6, result_bytes = ?7, started = ?8,
                ended = ?9, ok = ?10, note = ?11, duration_ms = ?12, start_seq = ?13, end_seq = ?14, last_seq = ?15, shares = ?16,
                input_tokens = ?17, output_tokens = ?18, cache_read = ?19, cache_creation = ?20, cost_usd = ?21, told_ms = ?22,
                asked = ?23, said = ?24, counted = ?25, model = ?26, turn_id = ?27
             WHERE seq = ?1",
        )?;
        update.execute(params![
            from_seq(self.first_seq),
            self.agent,
            self.from,
            self.prompt,
            self.prompt_bytes,
            self.result,
            self.result_bytes,
            self.started.map(Timestamp::millis),
            self.ended.map(Timestamp::millis),
            self.ok,
            self.note,
            self.duration_ms,
            self.start_seq.map(from_seq),
            self.end_seq.map(from_seq),
            from_seq(self.last_seq),
            self.shares.text(),
            self.used.input,
            self.used.output,
            self.used.cache_read,
            self.used.cache_creation,
            self.used.cost_usd,
            self.told_ms,
            self.asked,
            self.said,
            self.counted.map(Timestamp::millis),
            self.model,
            self.turn_id,
        ])?;
        Ok(())
    }

    /// Bytes of its texts, about.
    fn size(&self) -> usize {
        let tools: usize = self.tools.keys().map(|tool| tool.len() + 64).sum();
        512 + self.prompt.as_ref().map_or(0, String::len) + self.result.as_ref().map_or(0, String::len) + tools
    }
}

/// The newest turn of a session that has this id.
pub(crate) fn get(db: &Connection, session: &str, turn_id: &str) -> rusqlite::Result<Option<Turn>> {
    let Some(n) = super::sessions::number(db, session)? else {
        return Ok(None);
    };
    let turn = of_id(db, n, turn_id)?;
    turn.map(|turn| whole(db, turn, session).map(|(_, turn)| turn))
        .transpose()
}

/// The turn of a session whose end stands at this place.
pub(crate) fn ended_at(db: &Connection, session: &str, end: Seq) -> rusqlite::Result<Option<Turn>> {
    let Some(n) = super::sessions::number(db, session)? else {
        return Ok(None);
    };
    let sql = format!("SELECT {COLUMNS} FROM turns WHERE session = ?1 AND end_seq = ?2");
    let turn = db
        .prepare_cached(&sql)?
        .query_row(params![n, from_seq(end)], turn)
        .optional()?;
    turn.map(|turn| whole(db, turn, session).map(|(_, turn)| turn))
        .transpose()
}

/// A session's turns that began before `before`, newest first.
pub(crate) fn list(db: &Connection, (n, id): (i64, &str), before: Seq, limit: usize) -> rusqlite::Result<Paged<Turn>> {
    let sql = format!("SELECT {COLUMNS} FROM turns WHERE session = ?1 AND seq < ?2 ORDER BY seq DESC");
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(params![n, from_seq(before)])?;
    let mut page = Paged::new(limit);
    while let Some(row) = rows.next()? {
        if !page.take(|| whole(db, turn(row)?, id), Turn::size)? {
            break;
        }
    }
    Ok(page)
}

/// Turns that are open, the last begun first.
pub(crate) fn in_flight(db: &Connection, visible: &Visibility, limit: usize) -> rusqlite::Result<Paged<Turn>> {
    // The partial index holds what is open and nothing else; rows are read one by one, as far as the page goes. A session that was
    // forgotten leaves before its turns do.
    let mut open = db.prepare_cached(
        "SELECT seq, (SELECT id FROM sessions WHERE n = session) AS id FROM turns INDEXED BY turns_open
         WHERE ended IS NULL AND id IS NOT NULL ORDER BY seq DESC",
    )?;
    let mut rows = open.query([])?;
    let mut page = Paged::new(limit);
    while let Some(row) = rows.next()? {
        let (seq, id): (i64, &str) = (row.get(0)?, row.get_ref(1)?.as_str()?);
        if !visible.allows_session(id) {
            continue;
        }
        let read = || {
            let turn = at(db, to_seq(seq))?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
            whole(db, turn, id)
        };
        if !page.take(read, Turn::size)? {
            break;
        }
    }
    Ok(page)
}

/// A turn with what it is answered with beside its columns.
fn whole(db: &Connection, mut turn: Turn, session_id: &str) -> rusqlite::Result<(Seq, Turn)> {
    session_id.clone_into(&mut turn.session_id);
    let (tools, last) = tools::uses(db, turn.first_seq)?;
    turn.tools = tools;
    // What is said of an error is no answer, whichever source took it for one.
    let is_note = |text: &String| turn.note.as_deref() == Some(&*preview::line(text));
    if turn.ok == Some(false) && turn.result.as_ref().is_some_and(is_note) {
        (turn.result, turn.result_bytes) = (None, None);
    }
    turn.sources = turn.shares.sources();
    turn.turn_ids = turn.shares.several_ids();
    turn.last_seq = last.unwrap_or(Seq::ZERO).max(turn.last_seq);
    Ok((turn.first_seq, turn))
}

/// A turn of which nothing is kept is none: neither what is its own nor a call.
pub(super) fn forget(db: &Transaction<'_>, first: Seq) -> rusqlite::Result<usize> {
    // In the order of the table: rows that begin before the horizon and end behind it are few.
    let sql = "DELETE FROM turns WHERE seq IN (
        SELECT seq FROM turns AS t WHERE seq < ?1 AND last_seq < ?1
            AND NOT EXISTS (SELECT 1 FROM tool_calls WHERE turn = t.seq AND last_seq >= ?1)
        ORDER BY seq LIMIT ?2)";
    let forgotten = db.prepare_cached(sql)?.execute(params![from_seq(first), FORGET])?;
    if forgotten > 0 {
        let sql = "DELETE FROM turn_ids WHERE turn < ?1 AND turn NOT IN (SELECT seq FROM turns WHERE seq < ?1)";
        db.prepare_cached(sql)?.execute([from_seq(first)])?;
    }
    Ok(forgotten)
}
