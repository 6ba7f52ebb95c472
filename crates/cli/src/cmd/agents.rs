//! `agents`: who is there, what it does, and what waits for it.

use std::process::ExitCode;

use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use turnwire_proto::{Timestamp, path};

use crate::{
    args::Agents,
    clean, exit, gateway,
    out::{self, Colour, Paint},
    render,
};

#[derive(Deserialize)]
struct Page {
    agents: Vec<Box<RawValue>>,
}

/// What is shown of an agent. What a gateway does not say is left out.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Row {
    name: String,
    online: bool,
    since: Option<Timestamp>,
    version: Option<String>,
    model: Option<String>,
    state: Option<String>,
    login: Option<String>,
    queue: Queue,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Queue {
    queued: u64,
    delivered: u64,
    acked: u64,
}

pub(crate) async fn agents(args: Agents) -> anyhow::Result<ExitCode> {
    let endpoint = gateway::endpoint(&args.gateway)?;
    let request = endpoint.request(Method::GET, path::AGENTS);
    let page: Page = endpoint.json(request).await.map_err(exit::from_client)?;
    if args.json {
        for raw in &page.agents {
            out::print(raw.get())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if page.agents.is_empty() {
        out::say("no agent was here yet; `turnwire agent --name NAME --adapter claude` runs one");
        return Ok(ExitCode::SUCCESS);
    }
    let now = Timestamp::now();
    let mut rows = Vec::new();
    for raw in &page.agents {
        rows.push(cells(&serde_json::from_str(raw.get())?, now));
    }
    let paint = Paint::stdout();
    let head = ["AGENT", "STATE", "SINCE", "MODEL", "WAITING", "DOING", "PROGRAM"];
    for (at, line) in out::table(paint, &head, &rows).lines().enumerate() {
        let state = at.checked_sub(1).and_then(|at| rows.get(at)).map(|row| row[1].as_str());
        let line = match state {
            Some("offline" | "-") | None => line.to_owned(),
            Some("thinking" | "compacting") => paint.paint(Colour::Green, line),
            Some("rate_limited" | "needs_login" | "in_progress") => paint.paint(Colour::Red, line),
            Some("held") => paint.paint(Colour::Yellow, line),
            Some(_) => line.to_owned(),
        };
        out::print(&line)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn cells(row: &Row, now: Timestamp) -> Vec<String> {
    let text = |text: &Option<String>| clean::cut(&clean::line(text.as_deref().unwrap_or("-")), 40);
    let state = match (&row.login, row.online) {
        (_, false) => "offline".to_owned(),
        (Some(login), true) if login != "ok" => clean::line(login),
        _ => text(&row.state),
    };
    vec![
        clean::cut(&clean::line(&row.name), 40),
        state,
        row.since.map_or_else(|| "-".to_owned(), |at| render::ago(at, now)),
        text(&row.model),
        (row.queue.queued + row.queue.delivered).to_string(),
        row.queue.acked.to_string(),
        text(&row.version),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_is_away_or_not_signed_in_says_so_first() {
        let row = |json: &str| cells(&serde_json::from_str(json).unwrap(), Timestamp::UNIX_EPOCH)[1].clone();
        assert_eq!(row(r#"{"name":"a","online":false,"state":"thinking"}"#), "offline");
        assert_eq!(
            row(r#"{"name":"a","online":true,"state":"idle","login":"needs_login"}"#),
            "needs_login"
        );
        assert_eq!(
            row(r#"{"name":"a","online":true,"state":"idle","login":"ok","new":1}"#),
            "idle"
        );
    }
}
