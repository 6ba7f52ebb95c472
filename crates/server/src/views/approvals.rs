//! Approvals: what agents wait on, and what was decided. Folded by [`super::activity`], since a session's state hangs on them.
//!
//! Of several decisions the first in the log counts. What the server has to write itself (a request that a rule approves, one whose
//! call, turn or session has ended) is noted here while the log is folded, and written by whoever calls [`due`].

use rusqlite::{Connection, OptionalExtension, Row, ToSql, Transaction, params};
use turnwire_proto::{
    ApprovalDecision, ApprovalRequest, Event, Json, Name, Seq, Timestamp,
    approval::{Approval, State},
    limits,
};

use super::{FORGET, Paged, from_seq, moment, moment_if_any, preview, to_seq, tools::Place};

pub(super) const TABLES: &str = "
    CREATE TABLE approvals(
        seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, session INTEGER NOT NULL, session_id TEXT NOT NULL, agent TEXT,
        turn INTEGER, turn_id TEXT, tool TEXT NOT NULL, call_id TEXT, arguments TEXT, arguments_bytes INTEGER,
        title TEXT, title_bytes INTEGER, requested INTEGER NOT NULL, expires INTEGER,
        state TEXT NOT NULL DEFAULT 'pending', next TEXT, decided INTEGER, decided_seq INTEGER, by TEXT, message TEXT,
        updated TEXT, always INTEGER NOT NULL DEFAULT 0, last_seq INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX approvals_last ON approvals(last_seq);
    CREATE INDEX approvals_session ON approvals(session);
    CREATE INDEX approvals_of ON approvals(session_id);
    CREATE INDEX approvals_inbox ON approvals(seq) WHERE state = 'pending';
    CREATE INDEX approvals_pending ON approvals(session) WHERE state = 'pending';
    CREATE INDEX approvals_next ON approvals(seq) WHERE state = 'pending' AND next IS NOT NULL;
    CREATE INDEX approvals_expires ON approvals(expires) WHERE state = 'pending' AND expires IS NOT NULL;
    CREATE INDEX approvals_requested ON approvals(requested) WHERE state = 'pending' AND expires IS NULL;
    CREATE INDEX approvals_rules ON approvals(session, tool) WHERE always;
";

/// What a list is about. An empty list means any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) agents: Vec<Name>,
    pub(crate) session: Option<Name>,
    pub(crate) states: Vec<State>,
    pub(crate) before: Option<Seq>,
}

/// What is to become of a pending approval without anybody's deciding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It was allowed before for all later calls of its tool.
    Rule,
    /// Its call, turn or session has ended: the agent does not wait any more.
    Over(&'static str),
    /// Nobody has decided in time.
    Expired,
}

/// An approval, and what is to become of it by now.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) approval: Approval,
    pub(crate) next: Option<Next>,
}

/// What the server has to write by now, and when there will be more.
#[derive(Debug, Default)]
pub(crate) struct Due {
    pub(crate) rows: Vec<Standing>,
    pub(crate) then: Option<Timestamp>,
    pub(crate) pending: i64,
}

/// An approval that has changed.
#[derive(Clone, Debug)]
pub(crate) struct News {
    pub(crate) standing: Standing,
    /// What people call its session.
    pub(crate) title: Option<String>,
    /// Where the event stands that changed it.
    pub(crate) changed: Seq,
}

const COLUMNS: &str =
    "seq, id, session_id, agent, turn_id, tool, call_id, arguments, arguments_bytes, title, title_bytes, requested,
    expires, state, decided, decided_seq, by, message, updated, always, next";

/// How many milliseconds a request waits that does not say until when.
fn millis(wait: std::time::Duration) -> i64 {
    i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
}

fn name(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Name>> {
    Ok(row.get_ref(at)?.as_str_or_null()?.and_then(|name| Name::new(name).ok()))
}

/// Reads a row. A request without a time of its own expires `wait` after it.
fn approval(row: &Row<'_>, wait: i64) -> rusqlite::Result<Approval> {
    let json = |at| -> rusqlite::Result<Option<Json>> {
        let text = row.get_ref(at)?.as_str_or_null()?;
        Ok(text.and_then(|text| Json::parse(text).ok()))
    };
    // They were names when they were folded.
    let known = |at| name(row, at)?.ok_or(rusqlite::Error::InvalidQuery);
    let requested = moment(row, 11)?;
    let expires = match moment_if_any(row, 12)? {
        None => Timestamp::from_millis(requested.millis().saturating_add(wait)),
        expires => expires,
    };
    Ok(Approval {
        seq: row.get(0).map(to_seq)?,
        id: known(1)?,
        session_id: known(2)?,
        agent: name(row, 3)?,
        turn_id: name(row, 4)?,
        tool: row.get(5)?,
        tool_call_id: row.get(6)?,
        arguments: json(7)?,
        arguments_bytes: row.get(8)?,
        title: row.get(9)?,
        title_bytes: row.get(10)?,
        requested,
        expires_at: expires,
        state: row.get_ref(13)?.as_str()?.parse().unwrap_or(State::Withdrawn),
        decided: moment_if_any(row, 14)?,
        decided_seq: row.get::<_, Option<i64>>(15)?.map(to_seq),
        by: row.get(16)?,
        message: row.get(17)?,
        updated_arguments: json(18)?,
        always: row.get(19)?,
    })
}

fn standing(row: &Row<'_>, wait: i64, now: Timestamp) -> rusqlite::Result<Standing> {
    let approval = approval(row, wait)?;
    let next = match row.get_ref(20)?.as_str_or_null()? {
        _ if approval.state != State::Pending => None,
        Some("rule") => Some(Next::Rule),
        Some("call") => Some(Next::Over("its call has ended")),
        Some("turn") => Some(Next::Over("its turn has ended")),
        Some(_) => Some(Next::Over("its session has ended")),
        None => approval.expires_at.is_some_and(|at| at <= now).then_some(Next::Expired),
    };
    Ok(Standing { approval, next })
}

/// One approval.
pub(crate) fn get(
    db: &Connection,
    id: &Name,
    wait: std::time::Duration,
    now: Timestamp,
) -> rusqlite::Result<Option<Standing>> {
    let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} FROM approvals WHERE id = ?1"))?;
    statement
        .query_row([id.as_str()], |row| standing(row, millis(wait), now))
        .optional()
}

/// The newest approvals that a filter and `visible` let through.
pub(crate) fn list(
    db: &Connection,
    filter: &Filter,
    wait: std::time::Duration,
    visible: impl Fn(&str) -> bool,
    limit: usize,
) -> rusqlite::Result<Paged<Approval>> {
    // The question that is asked most is answered by what is pending alone, however much was decided.
    let inbox = filter.states == [State::Pending] && filter.session.is_none();
    let index = if inbox {
        "INDEXED BY approvals_inbox WHERE state = 'pending' AND"
    } else {
        "WHERE"
    };
    let mut sql = format!("SELECT {COLUMNS} FROM approvals {index} seq < ?");
    let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(from_seq(filter.before.unwrap_or(Seq::MAX)))];
    let mut one_of = |column: &str, wanted: Vec<String>| {
        if !wanted.is_empty() {
            let marks = vec!["?"; wanted.len()].join(", ");
            sql.push_str(&format!(" AND {column} IN ({marks})"));
            values.extend(wanted.into_iter().map(|value| Box::new(value) as Box<dyn ToSql>));
        }
    };
    one_of("agent", filter.agents.iter().map(ToString::to_string).collect());
    one_of("session_id", filter.session.iter().map(ToString::to_string).collect());
    if !inbox {
        one_of("state", filter.states.iter().map(ToString::to_string).collect());
    }
    sql.push_str(" ORDER BY seq DESC");
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(values))?;
    let mut page = Paged::new(limit);
    while let Some(row) = rows.next()? {
        if !visible(row.get_ref(2)?.as_str()?) {
            continue;
        }
        let read = || approval(row, millis(wait)).map(|approval| (approval.seq, approval));
        if !page.take(read, size)? {
            break;
        }
    }
    Ok(page)
}

/// Bytes of its texts, about.
fn size(approval: &Approval) -> usize {
    let json = |json: &Option<Json>| json.as_ref().map_or(0, |json| json.get().len());
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    512 + json(&approval.arguments)
        + json(&approval.updated_arguments)
        + text(&approval.title)
        + text(&approval.message)
}

/// What the server has to write by now, at most `limit`, oldest first.
pub(crate) fn due(db: &Connection, wait: std::time::Duration, now: Timestamp, limit: usize) -> rusqlite::Result<Due> {
    let wait = millis(wait);
    let asked = now.millis().saturating_sub(wait);
    let mut rows = Vec::new();
    // Each by an index that has the pending ones alone.
    for condition in [
        "next IS NOT NULL",
        "next IS NULL AND expires IS NOT NULL AND expires <= ?1",
        "next IS NULL AND expires IS NULL AND requested <= ?2",
    ] {
        let left = i64::try_from(limit.saturating_sub(rows.len())).unwrap_or(i64::MAX);
        let sql = format!("SELECT {COLUMNS} FROM approvals WHERE state = 'pending' AND {condition} LIMIT ?3");
        let mut statement = db.prepare_cached(&sql)?;
        let found = statement.query_map(params![now.millis(), asked, left], |row| standing(row, wait, now))?;
        rows.extend(found.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    rows.sort_by_key(|standing| standing.approval.seq);
    let first = |sql: &str| {
        db.prepare_cached(sql)?
            .query_row([], |row| row.get::<_, Option<i64>>(0))
    };
    let told = first("SELECT min(expires) FROM approvals WHERE state = 'pending' AND expires IS NOT NULL")?;
    let not_told = first("SELECT min(requested) FROM approvals WHERE state = 'pending' AND expires IS NULL")?;
    let then = [told, not_told.map(|at| at.saturating_add(wait))];
    let pending = first("SELECT count(*) FROM approvals WHERE state = 'pending'")?;
    Ok(Due {
        rows,
        then: then.into_iter().flatten().min().and_then(Timestamp::from_millis),
        pending: pending.unwrap_or_default(),
    })
}

/// The next approvals that have changed since a place, in the order of their last changes.
pub(crate) fn news(
    db: &Connection,
    after: Seq,
    wait: std::time::Duration,
    now: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<News>> {
    let sql = format!(
        "SELECT {COLUMNS}, last_seq, (SELECT title FROM sessions WHERE id = session_id) FROM approvals
         WHERE last_seq > ?1 ORDER BY last_seq LIMIT ?2"
    );
    let (wait, limit) = (millis(wait), i64::try_from(limit).unwrap_or(i64::MAX));
    let mut statement = db.prepare_cached(&sql)?;
    let news = statement.query_map(params![from_seq(after), limit], |row| {
        Ok(News {
            standing: standing(row, wait, now)?,
            changed: row.get(21).map(to_seq)?,
            title: row.get(22)?,
        })
    })?;
    news.collect()
}

/// Where the newest event stands that changed an approval.
pub(super) fn newest(db: &Connection) -> rusqlite::Result<Seq> {
    let mut newest = db.prepare_cached("SELECT max(last_seq) FROM approvals")?;
    newest.query_row([], |row| Ok(row.get::<_, Option<i64>>(0)?.map_or(Seq::ZERO, to_seq)))
}

fn word(text: &str) -> Option<&str> {
    Some(preview::head(text, preview::WORD)).filter(|word| !word.is_empty())
}

/// An agent asks. Whether it is a request that nobody has made before: one without an id is none, for nobody could decide it.
pub(super) fn ask(db: &Transaction<'_>, place: Place, event: &Event, body: &ApprovalRequest) -> rusqlite::Result<bool> {
    let (Ok(id), Some(session)) = (Name::new(&body.approval_id), &event.session_id) else {
        return Ok(false);
    };
    let (arguments, arguments_bytes) = body
        .arguments
        .as_ref()
        .map(|arguments| preview::value_within(arguments, limits::MESSAGE))
        .unzip();
    let (title, title_bytes) = body.title.as_deref().map(preview::text).unzip();
    let expires: Option<Timestamp> = body.expires_at.as_deref().and_then(|at| at.parse().ok());
    let mut insert = db.prepare_cached(
        "INSERT OR IGNORE INTO approvals(seq, id, session, session_id, agent, turn, turn_id, tool, call_id, arguments, arguments_bytes,
            title, title_bytes, requested, expires, next, last_seq)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?1)",
    )?;
    let made = insert.execute(params![
        from_seq(event.seq),
        id.as_str(),
        place.session,
        session.as_str(),
        event.agent.as_ref().map(Name::as_str),
        place.turn.map(from_seq),
        event.turn_id.as_ref().map(Name::as_str),
        word(&body.tool).unwrap_or_default(),
        body.tool_call_id.as_deref().and_then(word),
        arguments,
        arguments_bytes.flatten(),
        title,
        title_bytes.flatten(),
        event.timestamp.millis(),
        expires.map(Timestamp::millis),
        has_rule(db, place.session, &body.tool)?.then_some("rule"),
    ])?;
    Ok(made > 0)
}

/// Two turns are one: what was of `from` is of `to`.
pub(super) fn move_turn(db: &Transaction<'_>, session: i64, from: Seq, to: Seq) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE approvals SET turn = ?3 WHERE session = ?1 AND turn = ?2")?
        .execute(params![session, from_seq(from), from_seq(to)])?;
    Ok(())
}

/// Whether a tool was allowed for the rest of a session. One that is not told, or whose name was cut, never is: another may look
/// the same.
fn has_rule(db: &Connection, session: i64, tool: &str) -> rusqlite::Result<bool> {
    if tool.is_empty() || tool.len() > preview::WORD {
        return Ok(false);
    }
    let sql = "SELECT 1 FROM approvals INDEXED BY approvals_rules WHERE always AND session = ?1 AND tool = ?2 LIMIT 1";
    db.prepare_cached(sql)?.exists(params![session, tool])
}

/// Somebody decides. Whether it counts: it is the first of a request of the same session.
pub(super) fn decide(
    db: &Transaction<'_>,
    session: i64,
    event: &Event,
    body: &ApprovalDecision,
) -> rusqlite::Result<bool> {
    let state = match body.decision.parse() {
        Ok(State::Pending) | Err(_) => return Ok(false),
        Ok(state) => state,
    };
    let approved = state == State::Approved;
    let mut update = db.prepare_cached(
        "UPDATE approvals SET state = ?3, decided = ?4, decided_seq = ?5, by = ?6, message = ?7, updated = ?8, always = ?9,
            next = NULL, last_seq = ?5
         WHERE id = ?1 AND session = ?2 AND state = 'pending'",
    )?;
    let changed = update.execute(params![
        body.approval_id,
        session,
        state.as_str(),
        event.timestamp.millis(),
        from_seq(event.seq),
        body.by.as_deref().and_then(word),
        body.message
            .as_deref()
            .map(|message| preview::head(message, limits::MESSAGE)),
        // Whole: it is what will run.
        body.arguments.as_ref().filter(|_| approved).map(Json::get),
        approved && body.always.unwrap_or(false),
    ])?;
    Ok(changed > 0)
}

/// Whether a session waits for somebody.
pub(super) fn any_pending(db: &Connection, session: i64) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM approvals WHERE session = ?1 AND state = 'pending' LIMIT 1")?
        .exists([session])
}

/// A call has ended: nobody waits for what was asked about it.
pub(super) fn call_ended(db: &Transaction<'_>, session: i64, call: &str, event: &Event) -> rusqlite::Result<()> {
    let Some(call) = word(call) else { return Ok(()) };
    let mut update = db.prepare_cached(
        "UPDATE approvals SET next = 'call', last_seq = ?3 WHERE session = ?1 AND state = 'pending' AND call_id = ?2",
    )?;
    update.execute(params![session, call, from_seq(event.seq)])?;
    Ok(())
}

/// The same of a turn.
pub(super) fn turn_ended(db: &Transaction<'_>, session: i64, turn: Seq, event: &Event) -> rusqlite::Result<()> {
    let mut update = db.prepare_cached(
        "UPDATE approvals SET next = 'turn', last_seq = ?3 WHERE session = ?1 AND state = 'pending' AND turn = ?2",
    )?;
    update.execute(params![session, from_seq(turn), from_seq(event.seq)])?;
    Ok(())
}

/// The same of a session.
pub(super) fn session_ended(db: &Transaction<'_>, session: i64, event: &Event) -> rusqlite::Result<()> {
    let mut update = db.prepare_cached(
        "UPDATE approvals SET next = 'session', last_seq = ?2 WHERE session = ?1 AND state = 'pending'",
    )?;
    update.execute(params![session, from_seq(event.seq)])?;
    Ok(())
}

/// An approval of which nothing is kept is none, and neither is its rule.
pub(super) fn forget(db: &Transaction<'_>, first: Seq) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM approvals WHERE seq IN (SELECT seq FROM approvals WHERE last_seq < ?1 LIMIT ?2)";
    db.prepare_cached(sql)?.execute(params![from_seq(first), FORGET])
}
