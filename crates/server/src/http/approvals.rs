//! `/api/approvals`: what agents wait on; seen, waited for and decided.

use std::time::Duration;

use axum::{
    Json as Reply, Router,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    routing::{get, post},
};
use serde::Serialize;
use tokio::time::Instant;
use turnwire_proto::{
    Code, Name, Seq,
    approval::{Approval, Decided, Decision, Decisions},
    limits, path,
};

use super::{
    App, Refusal,
    body::Json,
    commands::ORDER,
    query::{self, EventQuery},
};
use crate::{
    auth::{Attend, Control, Grant},
    control::permitted,
    views::{Paged, approvals::Filter},
};

/// Approvals of a page when nothing else is asked for.
const PAGE: usize = 200;
/// How long a wait may be: below what proxies commonly allow.
const WAIT: Duration = Duration::from_secs(30);
/// Bytes of a body that decides: its message and its arguments, each byte of them escaped as JSON may.
const DECISION: usize = 2 * ORDER;
/// The same with many ids.
const DECISIONS: usize = ORDER + 2 * limits::PAGE * limits::NAME;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route(path::APPROVALS, get(list))
        .route(path::APPROVAL, get(one))
        .route(path::APPROVAL_DECISION, post(decide))
        .route(path::APPROVAL_DECISIONS, post(decide_many))
}

/// A page of approvals, newest first.
#[derive(Debug, Serialize)]
struct Approvals {
    approvals: Vec<Approval>,
    /// The cursor for `before`; null when there are no more.
    next: Option<Seq>,
    /// What is folded into this answer.
    head: Seq,
}

async fn list(
    State(app): State<App>,
    grant: Grant<Control>,
    RawQuery(query): RawQuery,
) -> Result<Reply<Approvals>, Refusal> {
    let query = EventQuery::parse(query.as_deref(), query::APPROVALS)?;
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
    let (Paged { rows, next, .. }, head) = app.control().approvals(&grant, filter, limit).await?;
    Ok(Reply(Approvals {
        approvals: rows,
        next,
        head,
    }))
}

async fn one(
    State(app): State<App>,
    grant: Grant<Attend>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Reply<Approval>, Refusal> {
    let query = EventQuery::parse(query.as_deref(), query::APPROVAL)?;
    let id = approval_id(id)?;
    let wait = Duration::from_millis(query.wait_ms.unwrap_or(0));
    if wait > WAIT {
        let most = u64::try_from(WAIT.as_millis()).unwrap_or(u64::MAX);
        let text = format!("`wait_ms` is {}, more than the limit of {most}", wait.as_millis());
        return Err(Refusal::field("wait_ms", text).with("limit", most));
    }
    let now = Instant::now();
    // Nobody waits for what they may not see.
    for until in [now, now + wait] {
        let found = match app.control().wait_approval(&id, until).await {
            // Not to be known yet; whoever waits has time.
            Err(refusal) if until < now + wait && refusal.code() == Code::StoreUnavailable => continue,
            found => found?,
        };
        let Some(approval) = found else { continue };
        if !grant.may_attend(approval.session_id.as_str()) {
            let text = format!("this token may neither control nor publish to the session of approval {id}");
            return Err(Refusal::new(Code::Forbidden, text).with("field", "id"));
        }
        if approval.state != turnwire_proto::approval::State::Pending || until > now || wait.is_zero() {
            return Ok(Reply(approval));
        }
    }
    Err(Refusal::new(Code::NotFound, format!("there is no approval {id}")).with("field", "id"))
}

async fn decide(
    State(app): State<App>,
    grant: Grant<Control>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    Json(decision): Json<Decision, DECISION>,
) -> Result<Reply<Approval>, Refusal> {
    EventQuery::parse(query.as_deref(), &[])?;
    app.control()
        .decide(&grant, &approval_id(id)?, decision)
        .await
        .map(Reply)
}

/// What came of each.
#[derive(Debug, Serialize)]
struct Results {
    results: Vec<Decided>,
}

async fn decide_many(
    State(app): State<App>,
    grant: Grant<Control>,
    RawQuery(query): RawQuery,
    Json(decisions): Json<Decisions, DECISIONS>,
) -> Result<Reply<Results>, Refusal> {
    EventQuery::parse(query.as_deref(), &[])?;
    let ids = decisions.ids.clone();
    let decided = app.control().decide_many(&grant, decisions).await?;
    let outcome = |(id, decided): (Name, Result<Approval, Refusal>)| {
        let (approval, error) = match decided {
            Ok(approval) => (Some(approval), None),
            Err(refusal) => (None, Some(refusal.into_reply().error)),
        };
        Decided { id, approval, error }
    };
    let results = ids.into_iter().zip(decided).map(outcome).collect();
    Ok(Reply(Results { results }))
}

fn approval_id(id: Result<Path<String>, PathRejection>) -> Result<Name, Refusal> {
    let Path(id) = id.map_err(|_| Refusal::field("id", "`id` must be an approval's id, percent-encoded UTF-8"))?;
    Name::new(&id).map_err(|error| Refusal::field("id", format!("`id` {error}")))
}
