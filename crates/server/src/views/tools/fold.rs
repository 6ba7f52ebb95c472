//! What starts and ends do to the rows of calls, whichever source tells them.
//!
//! Of one call there may be several sources. A row is found by the call's id; [`join`] finds it where they do not share one. What they say is put together: nothing that is known is lost, and which one came first does not matter:
//! - it began at the earliest and ended at the earliest time that is told, and took as long as the least that is told;
//! - arguments and output are the fullest that are told; it has failed when one says so.

mod join;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Deserialize;
use turnwire_proto::{Event, Json, Seq, ToolCall, ToolCallStart};

pub(in crate::views) use self::join::reunite;
use self::join::{unite, value};
use super::{Place, word, work};
use crate::views::{
    from_seq, preview, to_seq,
    told::{END, START, Told, UNNAMED, fuller, is_fuller, least},
};

/// Rows of one id that are looked at, and calls of a session that one without an id is looked for among: the newest.
const NEWEST: u32 = 64;

/// A call as it is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::views) struct Counted {
    /// Milliseconds since 1970.
    pub(in crate::views) at: i64,
    pub(in crate::views) model: Option<String>,
    pub(in crate::views) tool: String,
    pub(in crate::views) took: Option<i64>,
    pub(in crate::views) success: bool,
}

/// What came of a start or an end.
#[derive(Debug, Default)]
pub(in crate::views) struct Change {
    /// How it was counted, and how it is to be.
    pub(in crate::views) before: Option<Counted>,
    /// How another row was counted that has become one with it.
    pub(in crate::views) also: Option<Counted>,
    pub(in crate::views) after: Option<Counted>,
    /// Whether it runs.
    pub(in crate::views) runs: bool,
    /// The turn that it is of, as another source has told.
    pub(in crate::views) turn: Option<Seq>,
}

/// A row as it is folded.
#[derive(Clone, Debug, Default)]
struct Known {
    seq: i64,
    call_id: Option<String>,
    /// The id that a source has made for it that knows no other.
    own_id: Option<String>,
    /// What it does, as far as arguments are told.
    work: Option<String>,
    turn: Option<i64>,
    turn_id: Option<String>,
    tool: String,
    parent: Option<String>,
    arguments: Option<String>,
    arguments_bytes: Option<u32>,
    output: Option<String>,
    output_bytes: Option<u32>,
    error: Option<String>,
    started: Option<i64>,
    ended: Option<i64>,
    told_ms: Option<i64>,
    success: Option<bool>,
    start_seq: Option<i64>,
    end_seq: Option<i64>,
    last_seq: i64,
    told: Told,
    model: Option<String>,
    duration_ms: Option<i64>,
}

const COLUMNS: &str =
    "seq, call_id, turn, turn_id, tool, parent, arguments, arguments_bytes, output, output_bytes, error, started,
    ended, told_ms, success, start_seq, end_seq, last_seq, told, model, duration_ms, own_id, work";

fn known(row: &Row<'_>) -> rusqlite::Result<Known> {
    Ok(Known {
        seq: row.get(0)?,
        call_id: row.get(1)?,
        turn: row.get(2)?,
        turn_id: row.get(3)?,
        tool: row.get(4)?,
        parent: row.get(5)?,
        arguments: row.get(6)?,
        arguments_bytes: row.get(7)?,
        output: row.get(8)?,
        output_bytes: row.get(9)?,
        error: row.get(10)?,
        started: row.get(11)?,
        ended: row.get(12)?,
        told_ms: row.get(13)?,
        success: row.get(14)?,
        start_seq: row.get(15)?,
        end_seq: row.get(16)?,
        last_seq: row.get(17)?,
        told: Told::read(row.get_ref(18)?.as_str()?),
        model: row.get(19)?,
        duration_ms: row.get(20)?,
        own_id: row.get(21)?,
        work: row.get(22)?,
    })
}

impl Known {
    /// An end of its own, not that of its turn or session.
    fn has_end(&self) -> bool {
        self.end_seq.is_some()
    }

    fn counted(&self) -> Option<Counted> {
        self.has_end().then(|| Counted {
            at: self.ended.unwrap_or_default(),
            model: self.model.clone(),
            tool: self.tool.clone(),
            took: self.duration_ms,
            success: self.success.unwrap_or_default(),
        })
    }

    /// What any event of it tells.
    fn take(&mut self, event: &Event, place: Place, id: &str, tool: &str) {
        self.last_seq = self.last_seq.max(from_seq(event.seq));
        let id = word(id).map(str::to_owned);
        let unnamed = if id.is_none() { UNNAMED } else { 0 };
        match id {
            Some(id) if is_own(event, &id) => self.own_id = self.own_id.take().or(Some(id)),
            id => self.call_id = self.call_id.take().or(id),
        }
        self.tool = named(&self.tool, word(tool).unwrap_or_default());
        self.turn = self.turn.or_else(|| place.turn.map(from_seq));
        let turn_id = || event.turn_id.as_ref().map(|id| id.as_str().to_owned());
        self.turn_id = self.turn_id.take().or_else(turn_id);
        self.told.add(event.source.as_str(), unnamed);
    }

    fn start(&mut self, event: &Event, body: &ToolCallStart) {
        self.told.add(event.source.as_str(), START);
        self.started = least(self.started, Some(event.timestamp.millis()));
        let seq = Some(from_seq(event.seq));
        self.works(&body.tool, body.arguments.as_ref());
        let told = body.arguments.as_ref().map(preview::value);
        if put(&mut self.arguments, &mut self.arguments_bytes, told) || self.start_seq.is_none() {
            self.start_seq = seq;
        }
        self.measure();
    }

    fn works(&mut self, tool: &str, arguments: Option<&Json>) {
        self.work = least(self.work.take(), arguments.map(|arguments| work::of(tool, arguments)));
    }

    fn end(&mut self, event: &Event, body: &ToolCall) {
        self.told.add(event.source.as_str(), END);
        let at = Some(event.timestamp.millis());
        // What its turn's end has said of it was not its own.
        self.ended = if self.has_end() { least(self.ended, at) } else { at };
        self.success = Some(self.success.unwrap_or(true) && body.success);
        let took = body.duration_ms.and_then(|ms| i64::try_from(ms).ok());
        self.told_ms = least(self.told_ms, took);
        let seq = Some(from_seq(event.seq));
        let told = body.output.as_ref().map(preview::value);
        if put(&mut self.output, &mut self.output_bytes, told) || self.end_seq.is_none() {
            self.end_seq = seq;
        }
        if self.arguments.is_none()
            && let Some(arguments) = preview::body::<Called>(&event.data).arguments
        {
            self.works(&body.tool, Some(&arguments));
            put(
                &mut self.arguments,
                &mut self.arguments_bytes,
                Some(preview::value(&arguments)),
            );
        }
        let error = body
            .error
            .as_deref()
            .map(preview::line)
            .filter(|error| !error.is_empty());
        self.error = telling(self.error.take(), error);
        self.measure();
    }

    fn measure(&mut self) {
        let between = self.started.zip(self.ended).map(|(from, to)| (to - from).max(0));
        self.duration_ms = self.told_ms.or(between);
    }

    fn insert(&self, db: &Transaction<'_>, session: i64, agent: Option<&str>) -> rusqlite::Result<()> {
        let mut insert = db.prepare_cached(
            "INSERT INTO tool_calls(seq, session, agent, tool, last_seq, told) VALUES (?1, ?2, ?3, '', ?1, '')",
        )?;
        insert.execute(params![self.seq, session, agent])?;
        self.store(db)
    }

    fn store(&self, db: &Transaction<'_>) -> rusqlite::Result<()> {
        let mut update = db.prepare_cached(
            "UPDATE tool_calls SET call_id = ?2, turn = ?3, turn_id = ?4, tool = ?5, parent = ?6, arguments = ?7, arguments_bytes = ?8,
                output = ?9, output_bytes = ?10, error = ?11, started = ?12, ended = ?13, told_ms = ?14, success = ?15, start_seq = ?16,
                end_seq = ?17, last_seq = ?18, told = ?19, model = ?20, duration_ms = ?21, own_id = ?22,
                work = ?23
             WHERE seq = ?1",
        )?;
        update.execute(params![
            self.seq,
            self.call_id,
            self.turn,
            self.turn_id,
            self.tool,
            self.parent,
            self.arguments,
            self.arguments_bytes,
            self.output,
            self.output_bytes,
            self.error,
            self.started,
            self.ended,
            self.told_ms,
            self.success,
            self.start_seq,
            self.end_seq,
            self.last_seq,
            self.told.text(),
            self.model,
            self.duration_ms,
            self.own_id,
            self.work,
        ])?;
        Ok(())
    }
}

/// Takes a text that is fuller than the one there is. Whether it was.
fn put(text: &mut Option<String>, bytes: &mut Option<u32>, told: Option<(String, Option<u32>)>) -> bool {
    let Some((new, size)) = told else { return false };
    let fuller = text.as_deref().is_none_or(|old| is_fuller((old, *bytes), (&new, size)));
    if fuller {
        (*text, *bytes) = (Some(new), size);
    }
    fuller
}

/// The tool's name of two: one that is none gives way, else the first in the alphabet.
fn named(a: &str, b: &str) -> String {
    let is_name = |name: &str| !name.is_empty() && name != "unknown";
    match (is_name(a), is_name(b)) {
        (true, false) => a,
        (false, true) => b,
        (true, true) => a.min(b),
        (false, false) => a.max(b),
    }
    .to_owned()
}

/// The word for a failure that says most: any but the general one, then the shorter, then the first in the alphabet.
fn telling(a: Option<String>, b: Option<String>) -> Option<String> {
    [a, b]
        .into_iter()
        .flatten()
        .min_by(|a, b| (a == "error", a.len(), a).cmp(&(b == "error", b.len(), b)))
}

/// The call that one is within, of what two sources say: one may know the subagent alone, by an id that no call has.
fn parent(db: &Connection, session: i64, old: Option<String>, told: Option<&str>) -> rusqlite::Result<Option<String>> {
    let told = told.and_then(word).map(str::to_owned);
    if old.is_none() || told.is_none() || old == told {
        return Ok(old.or(told));
    }
    let mut known = db.prepare_cached("SELECT 1 FROM tool_calls WHERE session = ?1 AND call_id = ?2")?;
    Ok(
        match (
            known.exists(params![session, old])?,
            known.exists(params![session, told])?,
        ) {
            (true, false) => old,
            (false, true) => told,
            _ => fuller(old, told),
        },
    )
}

/// A call begins.
pub(in crate::views) fn begin(
    db: &Transaction<'_>,
    place: Place,
    event: &Event,
    body: &ToolCallStart,
) -> rusqlite::Result<Change> {
    let source = event.source.as_str();
    let found = match of_id(db, place.session, event, &body.tool_call_id)? {
        Some(rows) => start_of(rows, source)?,
        None => Found::New,
    };
    let mut row = match found {
        Found::Told(row) => {
            return Ok(Change {
                runs: row.ended.is_none(),
                ..Change::of(&row)
            });
        }
        Found::Row(row) => row,
        Found::New => Known::at(event),
    };
    let mut change = Change::of(&row);
    let before = row.clone();
    row.parent = parent(db, place.session, row.parent, body.parent_tool_call_id.as_deref())?;
    row.take(event, place, &body.tool_call_id, &body.tool);
    row.start(event, body);
    finish(db, place, event, &before, &mut row, &mut change)?;
    change.runs = row.ended.is_none();
    Ok(change)
}

/// A call ends. `model` is what it is counted under.
pub(in crate::views) fn end(
    db: &Transaction<'_>,
    place: Place,
    event: &Event,
    body: &ToolCall,
    model: Option<&str>,
) -> rusqlite::Result<Change> {
    let source = event.source.as_str();
    let found = match of_id(db, place.session, event, &body.tool_call_id)? {
        Some(rows) => end_of(rows, source),
        None => unnamed_end(db, place.session, event, body)?.map_or(Found::New, Found::Row),
    };
    let mut row = match found {
        // It is told twice.
        Found::Told(row) => {
            return Ok(Change::of(&row));
        }
        Found::Row(row) => row,
        Found::New => Known::at(event),
    };
    let mut change = Change::of(&row);
    let before = row.clone();
    row.parent = parent(db, place.session, row.parent, body.parent_tool_call_id.as_deref())?;
    row.take(event, place, &body.tool_call_id, &body.tool);
    if change.before.is_none() {
        row.model = model.map(str::to_owned);
    }
    row.end(event, body);
    finish(db, place, event, &before, &mut row, &mut change)?;
    Ok(change)
}

/// Writes the row as it has become, or as one with another where that is known only now.
fn finish(
    db: &Transaction<'_>,
    place: Place,
    event: &Event,
    before: &Known,
    row: &mut Known,
    change: &mut Change,
) -> rusqlite::Result<()> {
    let is_new = before.told == Told::default();
    let learned = (before.work.is_none() && row.work.is_some()) || before.turn != row.turn;
    // Another source may know it without an id, or under one where this has none or its own.
    if learned && (row.work.is_some() || row.arguments.is_some()) {
        let united = unite(db, place.session, row)?;
        change.also = united.also;
        change.turn = change.turn.or(united.turn);
    }
    change.after = row.counted();
    if is_new && row.seq == before.seq {
        if row.ended.is_none() && place.over {
            // What begins in a turn that has ended has ended, too, until its own end says more.
            row.ended = Some(event.timestamp.millis());
        }
        return row.insert(db, place.session, event.agent.as_ref().map(AsRef::<str>::as_ref));
    }
    row.store(db)
}

impl Change {
    fn of(row: &Known) -> Self {
        Self {
            before: row.counted(),
            after: row.counted(),
            turn: row.turn.map(to_seq),
            ..Self::default()
        }
    }
}

/// The row that something is of.
enum Found {
    Row(Known),
    /// This source has told it before.
    Told(Known),
    New,
}

impl Known {
    fn at(event: &Event) -> Self {
        Self {
            seq: from_seq(event.seq),
            last_seq: from_seq(event.seq),
            ..Self::default()
        }
    }
}

/// Whether its reporter has made this id, as `TURN.ITEM`, since it knows none: no other source has it.
fn is_own(event: &Event, id: &str) -> bool {
    let of_turn = |turn: &str| id.strip_prefix(turn).is_some_and(|item| item.starts_with('.'));
    event.turn_id.as_ref().is_some_and(|turn| of_turn(turn.as_str()))
}

/// The newest rows of an id, oldest first; `None` when there is no id.
fn of_id(db: &Connection, session: i64, event: &Event, id: &str) -> rusqlite::Result<Option<Vec<Known>>> {
    let Some(id) = word(id) else { return Ok(None) };
    let column = if is_own(event, id) { "own_id" } else { "call_id" };
    let sql = format!(
        "SELECT {COLUMNS} FROM tool_calls WHERE session = ?1 AND {column} = ?2 ORDER BY seq DESC LIMIT {NEWEST}"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params![session, id], known)?;
    let mut rows: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
    rows.reverse();
    Ok(Some(rows))
}

/// Each source starts a call once, the oldest first. An id that it uses again, after the call's end, is another call.
fn start_of(mut rows: Vec<Known>, source: &str) -> rusqlite::Result<Found> {
    if let Some(at) = rows.iter().position(|row| !row.told.has(source, START)) {
        return Ok(Found::Row(rows.swap_remove(at)));
    }
    let is_over = |row: &Known| row.ended.is_some() && (row.told.has(source, END) || !row.has_end());
    Ok(match rows.pop() {
        Some(row) if !is_over(&row) => Found::Told(row),
        _ => Found::New,
    })
}

/// A source ends the newest call that it has begun and not ended, else the oldest that it has not told the end of.
fn end_of(mut rows: Vec<Known>, source: &str) -> Found {
    let begun = |row: &Known| row.told.has(source, START) && !row.told.has(source, END);
    let mine = rows.iter().rposition(begun);
    let other = || rows.iter().position(|row| !row.told.has(source, END));
    match mine.or_else(other) {
        Some(at) => Found::Row(rows.swap_remove(at)),
        None => rows.pop().map_or(Found::New, Found::Told),
    }
}

/// What an end may say beside its body: with what the tool was called.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Called {
    arguments: Option<Json>,
}

/// The oldest call of this tool, and with these arguments where they are told, that this source has begun without an id and not ended;
/// else the oldest open one without an id, and of which no other arguments are known.
fn unnamed_end(db: &Connection, session: i64, event: &Event, body: &ToolCall) -> rusqlite::Result<Option<Known>> {
    let source = event.source.as_str();
    // SQLite passes over most: a session may be full of calls without ids.
    let sql = format!(
        "SELECT {COLUMNS} FROM tool_calls WHERE session = ?1 AND tool = ?2 AND instr(told, ?3) AND seq >=
            (SELECT min(seq) FROM (SELECT seq FROM tool_calls WHERE session = ?1 ORDER BY seq DESC LIMIT {NEWEST}))
         ORDER BY seq DESC"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let begun = Told::line(source, START | UNNAMED);
    let rows = statement.query_map(params![session, body.tool, begun], known)?;
    let rows: Vec<Known> = rows.collect::<rusqlite::Result<_>>()?;
    let called = preview::body::<Called>(&event.data).arguments;
    let called = called.map(|arguments| value(&preview::value(&arguments).0));
    let is_mine = |row: &&Known| {
        let told = &row.told;
        let (begun, ended) = (told.has(source, START | UNNAMED), told.has(source, END));
        // One that its turn's end has closed is over for whoever has no id to say which it is.
        let open = row.ended.is_none() || row.has_end() || called.is_some();
        begun && !ended && open
    };
    let same = |row: &&Known| called.is_none() || row.arguments.as_deref().map(value) == called;
    if let Some(row) = rows.iter().rev().find(|row| is_mine(row) && same(row)) {
        return Ok(Some(row.clone()));
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM tool_calls INDEXED BY tool_calls_open
         WHERE session = ?1 AND ended IS NULL AND call_id IS NULL AND own_id IS NULL AND tool = ?2
         AND (arguments IS NULL OR NOT ?3) ORDER BY seq LIMIT 1"
    );
    let tool = word(&body.tool).unwrap_or_default();
    db.prepare_cached(&sql)?
        .query_row(params![session, tool, called.is_some()], known)
        .optional()
}
