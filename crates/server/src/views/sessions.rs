//! The list of sessions: what each is, what it does now, what it has used.

use rusqlite::{Connection, Row, Transaction, params};
use serde::Serialize;
use turnwire_proto::{
    ErrorBody, Event, Message, ModelChanged, Note, Seq, SessionEnd, SessionStart, Timestamp, TurnEnd, TurnStart,
    TurnState, Usage, Visibility,
};

use super::{FORGET, from_seq, to_seq};

/// Characters of a title or a last text.
const TEXT: usize = 160;

pub(super) const TABLES: &str = "
    CREATE TABLE sessions(
        id TEXT PRIMARY KEY,
        title TEXT, agent TEXT, source TEXT NOT NULL, model TEXT, state TEXT NOT NULL DEFAULT 'idle', last_text TEXT,
        started INTEGER NOT NULL, last_activity INTEGER NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
        events INTEGER NOT NULL DEFAULT 0, turns INTEGER NOT NULL DEFAULT 0, tool_calls INTEGER NOT NULL DEFAULT 0,
        errors INTEGER NOT NULL DEFAULT 0, cost_usd REAL NOT NULL DEFAULT 0,
        input_tokens INTEGER NOT NULL DEFAULT 0, output_tokens INTEGER NOT NULL DEFAULT 0,
        cache_read INTEGER NOT NULL DEFAULT 0, cache_creation INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX sessions_last ON sessions(last_seq);
";

/// One session, as `/api/sessions` shows it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Session {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_text: Option<String>,
    started: Timestamp,
    last_activity: Timestamp,
    events: u64,
    turns: u64,
    tool_calls: u64,
    errors: u64,
    usage: Usage,
    cost_usd: f64,
    first_seq: Seq,
    pub(crate) last_seq: Seq,
}

const COLUMNS: &str =
    "id, title, agent, source, model, state, last_text, started, last_activity, events, turns, tool_calls,
    errors, input_tokens, output_tokens, cache_read, cache_creation, cost_usd, first_seq, last_seq";

fn session(row: &Row<'_>) -> rusqlite::Result<Session> {
    let moment = |at| {
        row.get(at)
            .map(|ms| Timestamp::from_millis(ms).unwrap_or(Timestamp::UNIX_EPOCH))
    };
    let count = |at| row.get::<_, i64>(at).map(|count| u64::try_from(count).unwrap_or(0));
    Ok(Session {
        id: row.get(0)?,
        title: row.get(1)?,
        agent: row.get(2)?,
        source: row.get(3)?,
        model: row.get(4)?,
        state: row.get(5)?,
        last_text: row.get(6)?,
        started: moment(7)?,
        last_activity: moment(8)?,
        events: count(9)?,
        turns: count(10)?,
        tool_calls: count(11)?,
        errors: count(12)?,
        usage: Usage {
            input_tokens: count(13).map(Some)?,
            output_tokens: count(14).map(Some)?,
            cache_read_input_tokens: count(15).map(Some)?,
            cache_creation_input_tokens: count(16).map(Some)?,
            ..Usage::default()
        },
        cost_usd: row.get(17)?,
        first_seq: row.get(18).map(to_seq)?,
        last_seq: row.get(19).map(to_seq)?,
    })
}

/// The sessions that were last active before `before`, newest first.
pub(crate) fn list(db: &Connection, visible: &Visibility, before: Seq, limit: usize) -> rusqlite::Result<Vec<Session>> {
    let sql = format!("SELECT {COLUMNS} FROM sessions WHERE last_seq < ?1 ORDER BY last_seq DESC");
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query([from_seq(before)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if visible.allows_session(row.get_ref(0)?.as_str()?) {
            found.push(session(row)?);
            if found.len() >= limit {
                break;
            }
        }
    }
    Ok(found)
}

/// One session.
pub(crate) fn get(db: &Connection, id: &str) -> rusqlite::Result<Option<Session>> {
    let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} FROM sessions WHERE id = ?1"))?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(session).transpose()
}

/// What one event changes. What stays as it is, is `None` or zero.
#[derive(Default)]
struct Change {
    title: Option<String>,
    model: Option<String>,
    state: Option<String>,
    last_text: Option<String>,
    turns: i64,
    tool_calls: i64,
    errors: i64,
    usage: Usage,
    cost_usd: f64,
}

impl Change {
    fn of(event: &Event) -> Self {
        let mut change = Self::default();
        // A body that does not fit says nothing; the event itself stays in the log as it came.
        let data = &event.data;
        match event.kind.as_str() {
            "session_start" => change.model = data.read::<SessionStart>().ok().and_then(|body| body.model),
            "session_end" => {
                let code = data.read::<SessionEnd>().ok().and_then(|body| body.exit_code);
                change.state = Some(if code.unwrap_or(0) == 0 { "done" } else { "failed" }.into());
            }
            "run_complete" => change.state = Some("done".into()),
            "model_changed" => change.model = data.read::<ModelChanged>().ok().map(|body| body.model),
            "turn_start" => {
                (change.turns, change.state) = (1, Some("thinking".into()));
                let body = data
                    .read::<TurnStart>()
                    .ok()
                    .map(|body| body.body)
                    .filter(|body| !body.is_empty());
                change.title = body.as_deref().map(short);
                change.last_text = body.as_deref().map(short);
            }
            "turn_end" => {
                let body = data.read::<TurnEnd>().unwrap_or_default();
                change.state = Some(if body.ok { "idle" } else { "failed" }.into());
                change.usage = body.usage.unwrap_or_default();
                change.cost_usd = body.cost_usd.unwrap_or_default();
            }
            "turn_state_changed" => change.state = data.read::<TurnState>().ok().map(|body| body.state),
            "approval_request" => change.state = Some("needs_approval".into()),
            "approval_decision" => change.state = Some("thinking".into()),
            "tool_call_start" => change.state = Some("running_tool".into()),
            "tool_call" => (change.tool_calls, change.state) = (1, Some("thinking".into())),
            "message" => {
                let body = data.read::<Message>().unwrap_or_default();
                if body.role == "user" {
                    change.title = Some(short(&body.content)).filter(|title| !title.is_empty());
                }
                change.last_text = Some(short(&body.content)).filter(|text| !text.is_empty());
            }
            "note" => change.last_text = data.read::<Note>().ok().map(|body| short(&body.text)),
            "error" => {
                change.errors = 1;
                change.last_text = data.read::<ErrorBody>().ok().map(|body| short(&body.message));
            }
            _ => {}
        }
        change
    }
}

fn short(text: &str) -> String {
    let mut words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = words.char_indices().nth(TEXT) {
        words.truncate(end);
        words.push('…');
    }
    words
}

pub(super) fn fold(db: &Transaction<'_>, event: &Event) -> rusqlite::Result<()> {
    let Some(id) = &event.session_id else { return Ok(()) };
    let seq = from_seq(event.seq);
    let change = Change::of(event);
    let mut insert = db.prepare_cached(
        "INSERT OR IGNORE INTO sessions(id, source, started, last_activity, first_seq, last_seq) VALUES (?1, ?2, ?3, ?3, ?4, ?4)",
    )?;
    insert.execute(params![
        id.as_str(),
        event.source.as_str(),
        event.timestamp.millis(),
        seq
    ])?;
    let mut update = db.prepare_cached(
        "UPDATE sessions SET last_seq = ?2, last_activity = max(last_activity, ?3), events = events + 1,
            agent = coalesce(?4, agent), title = coalesce(title, ?5), model = coalesce(?6, model), state = coalesce(?7, state),
            last_text = coalesce(?8, last_text), turns = turns + ?9, tool_calls = tool_calls + ?10, errors = errors + ?11,
            input_tokens = input_tokens + ?12, output_tokens = output_tokens + ?13, cache_read = cache_read + ?14,
            cache_creation = cache_creation + ?15, cost_usd = cost_usd + ?16
         WHERE id = ?1",
    )?;
    // Above what any vendor counts; a number from outside must not end the fold.
    let tokens = |count: Option<u64>| i64::try_from(count.unwrap_or(0).min(1 << 40)).unwrap_or(0);
    update.execute(params![
        id.as_str(),
        seq,
        event.timestamp.millis(),
        event.agent.as_ref().map(AsRef::<str>::as_ref),
        change.title,
        change.model,
        change.state,
        change.last_text,
        change.turns,
        change.tool_calls,
        change.errors,
        tokens(change.usage.input_tokens),
        tokens(change.usage.output_tokens),
        tokens(change.usage.cache_read_input_tokens),
        tokens(change.usage.cache_creation_input_tokens),
        if change.cost_usd.is_finite() {
            change.cost_usd
        } else {
            0.0
        },
    ])?;
    Ok(())
}

/// A session of which nothing is kept is none; one that goes on keeps what it has counted.
pub(super) fn forget(db: &Transaction<'_>, first: Seq) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM sessions WHERE rowid IN (SELECT rowid FROM sessions WHERE last_seq < ?1 LIMIT ?2)";
    db.prepare_cached(sql)?.execute(params![from_seq(first), FORGET])
}
