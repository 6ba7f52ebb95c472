//! Commands from their first event to their last, and agents as the log knows them. The live queues are read from here at a start.

use std::str::FromStr;

use rusqlite::{Connection, OptionalExtension, Row, ToSql, Transaction, params};
use serde::{Deserialize, Serialize};
use turnwire_proto::{
    AgentState, CommandBody, CommandState, Event, EventId, Json, Name, Object, Seq, Timestamp,
    command::{Action, Command, Report, State},
};

use super::{FORGET, View, from_seq, to_seq};
use crate::control::is_legal;

pub(super) const VIEW: View = View {
    tables: || TABLES.to_owned(),
    fold,
    forget,
};

const TABLES: &str = "
    CREATE TABLE commands(
        seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, agent TEXT NOT NULL, session TEXT, action TEXT NOT NULL, args TEXT NOT NULL,
        actor TEXT NOT NULL, issued INTEGER NOT NULL, expires INTEGER NOT NULL, state TEXT NOT NULL, updated INTEGER NOT NULL,
        reason TEXT, result TEXT, by TEXT, last_seq INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX commands_agent ON commands(agent, seq);
    CREATE INDEX commands_open ON commands(seq) WHERE state IN ('queued', 'delivered', 'acked');
    CREATE INDEX commands_last ON commands(last_seq);
    CREATE TABLE agents(
        name TEXT PRIMARY KEY, online INTEGER NOT NULL DEFAULT 0, since INTEGER NOT NULL, seen INTEGER NOT NULL,
        report TEXT NOT NULL DEFAULT '{}', last_seq INTEGER NOT NULL
    ) STRICT;
";

/// What a list is about. An empty list means any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) agents: Vec<Name>,
    pub(crate) session: Option<Name>,
    pub(crate) states: Vec<State>,
    pub(crate) before: Option<Seq>,
}

/// An agent as the log knows it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) name: Name,
    pub(crate) online: bool,
    pub(crate) since: Timestamp,
    pub(crate) seen: Timestamp,
    pub(crate) report: Report,
}

/// What a start reads: all commands that are not at their end, and all agents.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) commands: Vec<Command>,
    pub(crate) agents: Vec<Known>,
}

/// An agent in a state: what the log says of it. Of which sessions it has reported nothing is in the log.
#[derive(Debug, Serialize)]
pub(crate) struct Agent {
    name: Name,
    online: bool,
    since: Timestamp,
    last_seen: Timestamp,
    #[serde(flatten)]
    said: Said,
    queue: Queue,
}

/// What it said of itself.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Said {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Name>,
    capabilities: Vec<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    login: Option<Name>,
}

/// Its open commands.
#[derive(Debug, Serialize)]
struct Queue {
    queued: i64,
    delivered: i64,
    acked: i64,
}

const COLUMNS: &str =
    "seq, id, agent, session, action, args, actor, issued, expires, state, updated, reason, result, by";

/// The newest commands that a filter and `visible` let through.
pub(crate) fn list(
    db: &Connection,
    filter: &Filter,
    visible: impl Fn(Option<&str>) -> bool,
    limit: usize,
) -> rusqlite::Result<Vec<Command>> {
    let mut sql = format!("SELECT {COLUMNS} FROM commands WHERE seq < ?");
    let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(from_seq(filter.before.unwrap_or(Seq::MAX)))];
    let mut one_of = |column: &str, wanted: Vec<String>| {
        if !wanted.is_empty() {
            let marks = vec!["?"; wanted.len()].join(", ");
            sql.push_str(&format!(" AND {column} IN ({marks})"));
            values.extend(wanted.into_iter().map(|value| Box::new(value) as Box<dyn ToSql>));
        }
    };
    one_of("agent", filter.agents.iter().map(ToString::to_string).collect());
    one_of("session", filter.session.iter().map(ToString::to_string).collect());
    one_of("state", filter.states.iter().map(ToString::to_string).collect());
    sql.push_str(" ORDER BY seq DESC");
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if visible(row.get_ref(3)?.as_str_or_null()?) {
            found.push(command(row)?);
            if found.len() >= limit {
                break;
            }
        }
    }
    Ok(found)
}

/// One command.
pub(crate) fn get(db: &Connection, id: &EventId) -> rusqlite::Result<Option<Command>> {
    let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} FROM commands WHERE id = ?1"))?;
    statement.query_row([id.as_bytes().as_slice()], command).optional()
}

/// See [`Live`].
pub(crate) fn live(db: &Connection) -> rusqlite::Result<Live> {
    let sql = format!("SELECT {COLUMNS} FROM commands WHERE state IN ('queued', 'delivered', 'acked') ORDER BY seq");
    let commands = db
        .prepare(&sql)?
        .query_map([], command)?
        .collect::<rusqlite::Result<_>>()?;
    let mut agents = db.prepare("SELECT name, online, since, seen, report FROM agents")?;
    let agents = agents.query_map([], |row| {
        Ok(Known {
            name: parsed(row, 0)?,
            online: row.get(1)?,
            since: moment(row, 2)?,
            seen: moment(row, 3)?,
            report: serde_json::from_str(row.get_ref(4)?.as_str()?).unwrap_or_default(),
        })
    })?;
    Ok(Live {
        commands,
        agents: agents.collect::<rusqlite::Result<_>>()?,
    })
}

/// The first agents by name.
pub(crate) fn agents(db: &Connection, limit: usize) -> rusqlite::Result<Vec<Agent>> {
    let mut agents = db.prepare_cached(
        "SELECT name, online, since, seen, report, count(*) FILTER (WHERE c.state = 'queued'),
            count(*) FILTER (WHERE c.state = 'delivered'), count(*) FILTER (WHERE c.state = 'acked')
         FROM agents LEFT JOIN commands AS c ON c.agent = name AND c.state IN ('queued', 'delivered', 'acked')
         GROUP BY name ORDER BY name LIMIT ?1",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let agents = agents.query_map([limit], |row| {
        Ok(Agent {
            name: parsed(row, 0)?,
            online: row.get(1)?,
            since: moment(row, 2)?,
            last_seen: moment(row, 3)?,
            said: serde_json::from_str(row.get_ref(4)?.as_str()?).unwrap_or_default(),
            queue: Queue {
                queued: row.get(5)?,
                delivered: row.get(6)?,
                acked: row.get(7)?,
            },
        })
    })?;
    agents.collect()
}

fn command(row: &Row<'_>) -> rusqlite::Result<Command> {
    let object = |at| {
        let text: Option<String> = row.get(at)?;
        Ok::<_, rusqlite::Error>(text.and_then(|text| Object::new(Json::parse(&text).ok()?)))
    };
    let id: [u8; 16] = row.get(1)?;
    Ok(Command {
        seq: row.get(0).map(to_seq)?,
        id: EventId::from_bytes(id),
        agent: parsed(row, 2)?,
        session_id: row.get::<_, Option<String>>(3)?.and_then(|name| Name::new(&name).ok()),
        action: parsed(row, 4)?,
        args: object(5)?.unwrap_or_else(Object::empty),
        actor: row.get(6)?,
        issued: moment(row, 7)?,
        expires: moment(row, 8)?,
        state: parsed(row, 9)?,
        updated: moment(row, 10)?,
        reason: row.get(11)?,
        result: object(12)?,
        by: row.get(13)?,
    })
}

fn moment(row: &Row<'_>, at: usize) -> rusqlite::Result<Timestamp> {
    Ok(Timestamp::from_millis(row.get(at)?).unwrap_or(Timestamp::UNIX_EPOCH))
}

fn parsed<T: FromStr<Err: std::error::Error + Send + Sync + 'static>>(row: &Row<'_>, at: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(at)?.as_str()?;
    text.parse()
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, Box::new(error)))
}

fn fold(db: &Transaction<'_>, events: &[Event]) -> rusqlite::Result<()> {
    events.iter().try_for_each(|event| fold_one(db, event))
}

fn fold_one(db: &Transaction<'_>, event: &Event) -> rusqlite::Result<()> {
    match event.kind.as_str() {
        "command" => opened(db, event),
        "command_state" => stepped(db, event),
        "agent_online" => agent(db, event, Some(true), None),
        "agent_offline" => agent(db, event, Some(false), None),
        "agent_state" => {
            let Ok(said) = event.data.read::<AgentState>() else {
                return Ok(());
            };
            let name = |text: Option<String>| text.and_then(|text| Name::new(&text).ok());
            let report = Report {
                version: name(said.version),
                capabilities: said
                    .capabilities
                    .iter()
                    .filter_map(|text| Name::new(text).ok())
                    .collect(),
                model: name(said.model),
                state: name(said.state),
                login: name(said.login),
                sessions: Vec::new(),
            };
            agent(db, event, None, Some(&Json::of(&report)))
        }
        _ => Ok(()),
    }
}

fn opened(db: &Transaction<'_>, event: &Event) -> rusqlite::Result<()> {
    // The server alone writes these, so what does not fit was written by another version: it is nobody's order now.
    let (Ok(body), Some(agent)) = (event.data.read::<CommandBody>(), &event.agent) else {
        return Ok(());
    };
    let (Ok(id), Ok(action)) = (body.command_id.parse::<EventId>(), body.action.parse::<Action>()) else {
        return Ok(());
    };
    let expires = body.expires_at.as_deref().and_then(|at| at.parse().ok());
    let mut insert = db.prepare_cached(
        "INSERT OR IGNORE INTO commands(seq, id, agent, session, action, args, actor, issued, expires, state, updated, last_seq)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'queued', ?8, ?1)",
    )?;
    insert.execute(params![
        from_seq(event.seq),
        id.as_bytes().as_slice(),
        agent.as_str(),
        event.session_id.as_ref().map(AsRef::<str>::as_ref),
        action.as_str(),
        body.arguments.as_ref().map_or("{}", Json::get),
        body.actor.unwrap_or_default(),
        event.timestamp.millis(),
        expires.unwrap_or(event.timestamp).millis(),
    ])?;
    Ok(())
}

fn stepped(db: &Transaction<'_>, event: &Event) -> rusqlite::Result<()> {
    let Ok(body) = event.data.read::<CommandState>() else {
        return Ok(());
    };
    let (Ok(id), Ok(to)) = (body.command_id.parse::<EventId>(), body.state.parse::<State>()) else {
        return Ok(());
    };
    let id = id.as_bytes().as_slice();
    let mut state = db.prepare_cached("SELECT state FROM commands WHERE id = ?1")?;
    let from: Option<State> = state.query_row([id], |row| parsed(row, 0)).optional()?;
    if !from.is_some_and(|from| is_legal(from, to)) {
        return Ok(());
    }
    let mut update = db.prepare_cached(
        "UPDATE commands SET state = ?2, updated = ?3, reason = ?4, result = ?5, by = ?6, last_seq = ?7 WHERE id = ?1",
    )?;
    update.execute(params![
        id,
        to.as_str(),
        event.timestamp.millis(),
        body.reason,
        body.result.as_ref().map(Json::get),
        body.by,
        from_seq(event.seq),
    ])?;
    Ok(())
}

fn agent(db: &Transaction<'_>, event: &Event, online: Option<bool>, report: Option<&Json>) -> rusqlite::Result<()> {
    let Some(name) = &event.agent else { return Ok(()) };
    let mut insert =
        db.prepare_cached("INSERT OR IGNORE INTO agents(name, since, seen, last_seq) VALUES (?1, ?2, ?2, ?3)")?;
    let (name, at, seq) = (name.as_str(), event.timestamp.millis(), from_seq(event.seq));
    insert.execute(params![name, at, seq])?;
    let mut update = db.prepare_cached(
        "UPDATE agents SET last_seq = ?3, report = coalesce(?4, report), online = coalesce(?5, online),
            since = iif(?5 IS NULL, since, ?2), seen = iif(?5 IS 0, seen, ?2) WHERE name = ?1",
    )?;
    let report = report.map(Json::get);
    update.execute(params![name, at, seq, report, online])?;
    Ok(())
}

/// A command whose last event is gone is gone, and so is an agent of which nothing is kept.
fn forget(db: &Transaction<'_>, first: Seq) -> rusqlite::Result<usize> {
    let mut gone = 0;
    for table in ["commands", "agents"] {
        let sql =
            format!("DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE last_seq < ?1 LIMIT ?2)");
        gone = db
            .prepare_cached(&sql)?
            .execute(params![from_seq(first), FORGET])?
            .max(gone);
    }
    Ok(gone)
}
