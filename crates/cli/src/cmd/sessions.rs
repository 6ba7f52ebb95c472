//! `sessions`: what there is, the latest first.

use std::process::ExitCode;

use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use turnwire_client::Endpoint;
use turnwire_proto::{Timestamp, Usage, path};

use crate::{
    args::Sessions,
    clean, exit, gateway,
    out::{self, Colour, Paint},
    render,
};

/// A page of the list.
const PAGE: u32 = 200;
/// Characters of a title in the table.
const TITLE: usize = 60;

#[derive(Deserialize)]
struct Page {
    sessions: Vec<Box<RawValue>>,
    #[serde(default)]
    next: Option<serde_json::Value>,
}

/// What is shown of a session. What a gateway does not say is left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Row {
    pub id: String,
    pub title: Option<String>,
    pub agent: Option<String>,
    pub source: Option<String>,
    pub model: Option<String>,
    pub state: Option<String>,
    pub started: Option<Timestamp>,
    pub last_activity: Option<Timestamp>,
    pub turns: u64,
    pub tool_calls: u64,
    pub errors: u64,
    pub usage: Usage,
    pub cost_usd: Option<f64>,
}

/// At most `limit` sessions, the latest first, as the gateway tells them.
pub(crate) async fn list(endpoint: &Endpoint, limit: u32) -> anyhow::Result<Vec<(Row, Box<RawValue>)>> {
    let (mut sessions, mut before) = (Vec::new(), None::<String>);
    loop {
        let left = limit - u32::try_from(sessions.len()).unwrap_or(limit);
        let mut query = vec![("limit", left.min(PAGE).to_string())];
        query.extend(before.take().map(|before| ("before", before)));
        let request = endpoint.request(Method::GET, path::SESSIONS).query(&query);
        let page: Page = endpoint.json(request).await.map_err(exit::from_client)?;
        let last = page.sessions.is_empty();
        for raw in page.sessions {
            sessions.push((serde_json::from_str(raw.get())?, raw));
        }
        before = page.next.and_then(|next| match next {
            serde_json::Value::Null => None,
            serde_json::Value::String(next) => Some(next),
            next => Some(next.to_string()),
        });
        if last || before.is_none() || sessions.len() >= limit as usize {
            sessions.truncate(limit as usize);
            return Ok(sessions);
        }
    }
}

pub(crate) async fn sessions(args: Sessions) -> anyhow::Result<ExitCode> {
    let endpoint = gateway::endpoint(&args.gateway)?;
    let sessions = list(&endpoint, args.limit).await?;
    if args.json {
        for (_, raw) in &sessions {
            out::print(raw.get())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if sessions.is_empty() {
        out::say("there are no sessions yet; `turnwire run -- CMD` records one, `turnwire demo` shows some");
        return Ok(ExitCode::SUCCESS);
    }
    let paint = Paint::stdout();
    let now = Timestamp::now();
    let rows: Vec<Vec<String>> = sessions.iter().map(|(row, _)| cells(row, now)).collect();
    let head = [
        "SESSION", "AGENT", "STATE", "LAST", "TURNS", "TOOLS", "TOKENS", "COST", "TITLE",
    ];
    for (at, line) in out::table(paint, &head, &rows).lines().enumerate() {
        // A table's cells have no colours of their own: they would be counted as width.
        let state = at.checked_sub(1).and_then(|at| rows.get(at)).map(|row| row[2].as_str());
        let line = match state {
            Some("thinking" | "running_tool" | "compacting") => paint.paint(Colour::Green, line),
            Some("failed" | "rate_limited") => paint.paint(Colour::Red, line),
            Some("needs_approval" | "needs_answer") => paint.paint(Colour::Yellow, line),
            _ => line.to_owned(),
        };
        out::print(&line)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn cells(row: &Row, now: Timestamp) -> Vec<String> {
    let text = |text: &Option<String>| clean::line(text.as_deref().unwrap_or("-"));
    let tokens = row.usage.input_tokens.unwrap_or(0)
        + row.usage.output_tokens.unwrap_or(0)
        + row.usage.cache_read_input_tokens.unwrap_or(0)
        + row.usage.cache_creation_input_tokens.unwrap_or(0);
    let mut title = clean::cut(&text(&row.title), TITLE);
    if row.errors > 0 {
        title = format!("[{} errors] {title}", row.errors);
    }
    vec![
        render::id(&row.id),
        clean::cut(&text(if row.agent.is_some() { &row.agent } else { &row.source }), 20),
        text(&row.state),
        row.last_activity
            .map_or_else(|| "-".to_owned(), |at| render::ago(at, now)),
        row.turns.to_string(),
        row.tool_calls.to_string(),
        render::count(tokens),
        row.cost_usd
            .filter(|usd| *usd > 0.0)
            .map_or_else(|| "-".to_owned(), render::cost),
        title,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_of_which_little_is_known_still_has_its_row() {
        let row: Row = serde_json::from_str(r#"{"id":"s","new_field":[1],"usage":{"input_tokens":1500}}"#).unwrap();
        let cells = cells(&row, Timestamp::UNIX_EPOCH);
        assert_eq!(cells, ["s", "-", "-", "-", "0", "0", "1.5k", "-", "-"]);
    }
}
