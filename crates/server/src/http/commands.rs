//! `/api/commands`: the ledger of orders.

use std::time::Duration;

use axum::{
    Json as Reply, Router,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    routing::get,
};
use serde::{Deserialize, Serialize};
use turnwire_proto::{
    EventId, Name, Object, Seq,
    command::{Action, Command},
    limits, path,
};

use super::{
    App, Refusal,
    body::Json,
    query::{self, EventQuery},
};
use crate::{
    auth::{Control, Grant},
    control::{Order, checked, permitted},
    views::commands::Filter,
};

/// Commands of a page when nothing else is asked for.
const PAGE: usize = 200;
/// Bytes of an order: a text of the largest size, each byte of it escaped as JSON may.
pub(super) const ORDER: usize = 6 * limits::MESSAGE + 16 * 1024;
/// How long an agent has to take a command on when nothing else is said.
const LIFETIME: Duration = Duration::from_hours(1);
/// How long it may be given.
const MAX_LIFETIME: Duration = Duration::from_hours(30 * 24);

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route(path::COMMANDS, get(list).post(issue))
        .route(path::COMMAND, get(one).delete(withdraw))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Issue {
    agent: Name,
    action: Action,
    #[serde(default)]
    args: Option<Object>,
    #[serde(default)]
    session_id: Option<Name>,
    #[serde(default)]
    expires_in_ms: Option<u64>,
    #[serde(default)]
    id: Option<EventId>,
}

async fn issue(
    State(app): State<App>,
    grant: Grant<Control>,
    RawQuery(query): RawQuery,
    Json(body): Json<Issue, ORDER>,
) -> Result<Reply<Command>, Refusal> {
    EventQuery::parse(query.as_deref(), &[])?;
    let args = body.args.unwrap_or_else(Object::empty);
    let order = Order {
        id: body.id,
        agent: body.agent,
        session_id: body.session_id,
        action: body.action,
        args: checked(body.action, "args.", &args)?,
        actor: grant.principal().name().to_string(),
        lifetime: lifetime(body.expires_in_ms)?,
    };
    app.control().issue(&grant, order).await.map(Reply)
}

/// How long an agent has to take a command on.
///
/// # Errors
/// It is none, or too long.
pub(super) fn lifetime(asked: Option<u64>) -> Result<Duration, Refusal> {
    let lifetime = asked.map_or(LIFETIME, Duration::from_millis);
    if lifetime.is_zero() || lifetime > MAX_LIFETIME {
        let most = u64::try_from(MAX_LIFETIME.as_millis()).unwrap_or(u64::MAX);
        let text = format!("`expires_in_ms` must be from 1 to {most}");
        return Err(Refusal::field("expires_in_ms", text).with("limit", most));
    }
    Ok(lifetime)
}

/// A page of commands, newest first.
#[derive(Debug, Serialize)]
struct Commands {
    commands: Vec<Command>,
    /// The cursor for `before`; null when there are no more.
    next: Option<Seq>,
    /// What is folded into this answer.
    head: Seq,
}

async fn list(
    State(app): State<App>,
    grant: Grant<Control>,
    RawQuery(query): RawQuery,
) -> Result<Reply<Commands>, Refusal> {
    let query = EventQuery::parse(query.as_deref(), query::COMMANDS)?;
    let limit = query.limit.unwrap_or(PAGE).min(limits::PAGE);
    let states = query.states()?;
    let filter = Filter {
        agents: query.what.agents,
        session: query.what.session,
        states,
        before: query.before,
    };
    if let Some(session) = &filter.session {
        permitted(&grant, Some(session))?;
    }
    let (commands, head) = app.control().list(&grant, filter, limit).await?;
    let next = (commands.len() >= limit)
        .then(|| commands.last().map(|last| last.seq))
        .flatten();
    Ok(Reply(Commands { commands, next, head }))
}

async fn one(
    State(app): State<App>,
    grant: Grant<Control>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Reply<Command>, Refusal> {
    EventQuery::parse(query.as_deref(), query::NONE)?;
    app.control().get(&grant, command_id(id)?).await.map(Reply)
}

async fn withdraw(
    State(app): State<App>,
    grant: Grant<Control>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Reply<Command>, Refusal> {
    EventQuery::parse(query.as_deref(), &[])?;
    app.control().withdraw(&grant, command_id(id)?).await.map(Reply)
}

/// The command that a path names.
///
/// # Errors
/// It is no id.
pub(super) fn command_id(id: Result<Path<String>, PathRejection>) -> Result<EventId, Refusal> {
    let id = id.ok().and_then(|Path(id)| id.parse().ok());
    id.ok_or_else(|| Refusal::field("id", "`id` must be a command's id, a hyphenated UUID"))
}
