//! `approvals`: what waits for a person, and what a person says of it.

use std::process::ExitCode;

use anyhow::Context;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use turnwire_client::{Endpoint, filled};
use turnwire_proto::{
    Timestamp,
    approval::{Approval, Choice, State},
    path,
};

use crate::{
    args::{Approvals, ApprovalsCommand, Approve, Deny},
    clean, exit, gateway,
    out::{self, Paint},
    render,
};

/// Characters of what a tool would do.
const WHAT: usize = 80;
/// Pending approvals that the beginning of an id is looked up in.
const PENDING: u32 = 1000;

#[derive(Deserialize)]
struct Page {
    approvals: Vec<Approval>,
}

#[derive(Deserialize)]
struct Results {
    results: Vec<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    id: String,
    #[serde(default)]
    approval: Option<Approval>,
    #[serde(default)]
    error: Option<Value>,
}

pub(crate) async fn approvals(args: Approvals) -> anyhow::Result<ExitCode> {
    match &args.command {
        None => list(&args).await,
        Some(ApprovalsCommand::Approve(one)) => approve(one).await,
        Some(ApprovalsCommand::Deny(one)) => deny(one).await,
    }
}

async fn fetch(endpoint: &Endpoint, pending: bool, limit: u32) -> anyhow::Result<Vec<Approval>> {
    let mut query = vec![("limit", limit.to_string())];
    if pending {
        query.push(("state", State::Pending.to_string()));
    }
    let request = endpoint.request(Method::GET, path::APPROVALS).query(&query);
    let page: Page = endpoint.json(request).await.map_err(exit::from_client)?;
    Ok(page.approvals)
}

async fn list(args: &Approvals) -> anyhow::Result<ExitCode> {
    let endpoint = gateway::endpoint(&args.gateway)?;
    let approvals = fetch(&endpoint, !args.all, args.limit).await?;
    if args.json {
        for approval in &approvals {
            out::print_json(approval)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if approvals.is_empty() {
        out::say("nothing waits for a person");
        return Ok(ExitCode::SUCCESS);
    }
    let now = Timestamp::now();
    let rows: Vec<Vec<String>> = approvals.iter().map(|approval| cells(approval, now)).collect();
    let head = ["ID", "AGENT", "SESSION", "STATE", "ASKED", "TOOL", "WHAT"];
    out::print(&out::table(Paint::stdout(), &head, &rows))?;
    Ok(ExitCode::SUCCESS)
}

fn cells(approval: &Approval, now: Timestamp) -> Vec<String> {
    let agent = approval.agent.as_ref().map_or("-", |agent| agent.as_str());
    vec![
        render::id(approval.id.as_str()),
        clean::cut(&clean::line(agent), 20),
        render::id(approval.session_id.as_str()),
        approval.state.to_string(),
        render::ago(approval.requested, now),
        clean::cut(&clean::line(&approval.tool), 20),
        clean::cut(&clean::line(&what(approval)), WHAT),
    ]
}

/// What would be done: the command, the file, or the arguments as they are.
fn what(approval: &Approval) -> String {
    let Some(arguments) = &approval.arguments else {
        return approval.title.clone().unwrap_or_default();
    };
    let read: Value = serde_json::from_str(arguments.get()).unwrap_or_default();
    let told = ["command", "file_path", "path", "url", "pattern"]
        .iter()
        .find_map(|key| read[*key].as_str());
    told.map_or_else(|| arguments.get().to_owned(), str::to_owned)
}

async fn approve(args: &Approve) -> anyhow::Result<ExitCode> {
    let endpoint = gateway::endpoint(&args.gateway)?;
    let ids = resolve(&endpoint, &args.ids).await?;
    let Some(arguments) = &args.arguments else {
        let mut body = json!({"ids": ids, "decision": Choice::Approve});
        if args.always {
            body["always"] = true.into();
        }
        return many(&endpoint, body, args.message.as_deref()).await;
    };
    let [id] = ids.as_slice() else {
        return Err(exit::failure(2, "--arguments are for one approval"));
    };
    let arguments: Value = serde_json::from_str(arguments).context("--arguments is no JSON")?;
    let mut body = json!({"decision": Choice::Approve, "arguments": arguments});
    if args.always {
        body["always"] = true.into();
    }
    if let Some(message) = &args.message {
        body["message"] = message.as_str().into();
    }
    let path = filled(path::APPROVAL_DECISION, id);
    let decided: Approval = post(&endpoint, &path, &body).await?;
    told(&decided);
    Ok(ExitCode::SUCCESS)
}

async fn deny(args: &Deny) -> anyhow::Result<ExitCode> {
    let endpoint = gateway::endpoint(&args.gateway)?;
    let ids = resolve(&endpoint, &args.ids).await?;
    let body = json!({"ids": ids, "decision": Choice::Deny});
    many(&endpoint, body, args.message.as_deref()).await
}

/// Whole ids. What is the beginning of one pending approval's is that one; anything else is taken as it is, for the gateway to judge.
async fn resolve(endpoint: &Endpoint, given: &[String]) -> anyhow::Result<Vec<String>> {
    let pending = fetch(endpoint, true, PENDING).await?;
    let mut ids = Vec::new();
    for start in given {
        let found: Vec<&str> = pending
            .iter()
            .map(|approval| approval.id.as_str())
            .filter(|id| id.starts_with(start.as_str()))
            .collect();
        match found.as_slice() {
            [one] => ids.push((*one).to_owned()),
            several if several.len() > 1 && !several.contains(&start.as_str()) => {
                let text = format!(
                    "{start} is the beginning of {} approvals' ids; type more of it",
                    several.len()
                );
                return Err(exit::failure(2, text));
            }
            _ => ids.push(start.clone()),
        }
    }
    Ok(ids)
}

async fn post<T: serde::de::DeserializeOwned>(endpoint: &Endpoint, path: &str, body: &Value) -> anyhow::Result<T> {
    let request = endpoint
        .request(Method::POST, path)
        .header("content-type", "application/json")
        .body(body.to_string());
    endpoint.json(request).await.map_err(exit::from_client)
}

async fn many(endpoint: &Endpoint, mut body: Value, message: Option<&str>) -> anyhow::Result<ExitCode> {
    if let Some(message) = message {
        body["message"] = message.into();
    }
    let answer: Results = post(endpoint, path::APPROVAL_DECISIONS, &body).await?;
    let mut failed = false;
    for outcome in answer.results {
        match (outcome.approval, outcome.error) {
            (Some(approval), None) => told(&approval),
            (_, error) => {
                failed = true;
                let error = error.unwrap_or_default();
                let why = error["message"].as_str().unwrap_or("it could not be decided");
                out::say(&format!("{}: {}", clean::line(&outcome.id), clean::line(why)));
            }
        }
    }
    Ok(ExitCode::from(if failed { exit::FAILURE } else { 0 }))
}

fn told(approval: &Approval) {
    let (id, tool) = (render::id(approval.id.as_str()), clean::line(&approval.tool));
    out::say(&format!("{tool} ({id}) is {}", approval.state));
}
