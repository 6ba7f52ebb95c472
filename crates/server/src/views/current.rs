//! What a session does just now: the call it is in, how lively it has been, what it has used today. Read at the moment of an answer.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};
use serde::Serialize;
use serde_json::{Map, Value};
use turnwire_proto::{Json, Timestamp};

use super::{meter, moment, preview, sessions::Session};

/// Arguments that say what a call is about, the most telling first, as the vendors spell them.
const ABOUT: &[&str] = &[
    "command",
    "cmd",
    "file_path",
    "filePath",
    "path",
    "notebook_path",
    "url",
    "pattern",
    "query",
    "description",
];

/// A call that is open.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Doing {
    tool: String,
    /// The head of what it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    since: Timestamp,
}

/// Fills in what is so at this moment.
pub(super) fn fill(db: &Connection, sessions: &mut [Session], now: Timestamp) -> rusqlite::Result<()> {
    let places: HashMap<i64, usize> = sessions.iter().enumerate().map(|(at, one)| (one.n, at)).collect();
    for session in &mut *sessions {
        session.doing = doing(db, session.n)?;
        session.activity = vec![0; usize::try_from(meter::MINUTES).unwrap_or_default()];
    }
    meter::activity(db, now, |session, minute, events| {
        if let Some(slot) = places
            .get(&session)
            .and_then(|at| sessions[*at].activity.get_mut(minute))
        {
            *slot = events;
        }
    })?;
    meter::today(db, now, |session, used| {
        if let Some(at) = places.get(&session) {
            sessions[*at].usage_today = used.usage();
            sessions[*at].cost_today_usd = used.cost_usd;
        }
    })
}

/// The open call of a session that began last.
fn doing(db: &Connection, session: i64) -> rusqlite::Result<Option<Doing>> {
    let mut open = db.prepare_cached(
        "SELECT tool, started, arguments FROM tool_calls INDEXED BY tool_calls_open
         WHERE session = ?1 AND ended IS NULL ORDER BY seq DESC LIMIT 1",
    )?;
    open.query_row([session], |row| {
        let arguments: Option<String> = row.get(2)?;
        Ok(Doing {
            tool: row.get(0)?,
            target: arguments.and_then(|arguments| target(&arguments)),
            since: moment(row, 1)?,
        })
    })
    .optional()
}

/// What arguments say that a call is about.
fn target(arguments: &str) -> Option<String> {
    let arguments: Map<String, Value> = Json::parse(arguments).ok()?.read().ok()?;
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        // A command, word by word.
        Value::Array(words) => words
            .iter()
            .map(Value::as_str)
            .collect::<Option<Vec<_>>>()
            .map(|words| words.join(" ")),
        _ => None,
    };
    let found = ABOUT.iter().find_map(|field| arguments.get(*field).and_then(text));
    found.map(|text| preview::line(&text)).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_about_the_first_thing_that_tells_it() {
        for (arguments, about) in [
            (
                r#"{"description":"Run tests","command":"cargo test\n  --all"}"#,
                Some("cargo test --all"),
            ),
            (r#"{"command":["bash","-lc","ls"]}"#, Some("bash -lc ls")),
            (r#"{"old_string":"a","file_path":"/src/x.rs"}"#, Some("/src/x.rs")),
            (r#"{"pattern":"fn .*","path":"src"}"#, Some("src")),
            (
                r#"{"command":7,"url":"https://example.org"}"#,
                Some("https://example.org"),
            ),
            (r#"{"command":""}"#, None),
            (r#"{"x":"y"}"#, None),
            ("[1]", None),
        ] {
            assert_eq!(target(arguments).as_deref(), about, "{arguments}");
        }
    }
}
