//! `/api/runs`: evaluation runs, the last begun first, and one with its tasks.

use axum::{
    Json, Router,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    routing::get,
};
use serde::Serialize;
use turnwire_proto::{Code, Seq, limits, path};

use super::{
    App, Refusal,
    query::{self, EventQuery},
    sessions::session_id,
};
use crate::{
    auth::{Grant, Read},
    views::{
        Paged,
        runs::{self, Run, Whole},
    },
};

/// Runs of a page when nothing else is asked for.
const PAGE: usize = 100;

pub(crate) fn router() -> Router<App> {
    Router::new().route(path::RUNS, get(list)).route(path::RUN, get(one))
}

/// A page of runs.
#[derive(Debug, Serialize)]
struct Runs {
    runs: Vec<Run>,
    /// The cursor for `before`; null when there are no more.
    next: Option<Seq>,
    /// What is folded into this answer: following from here misses and repeats nothing.
    head: Seq,
}

async fn list(State(app): State<App>, grant: Grant<Read>, RawQuery(query): RawQuery) -> Result<Json<Runs>, Refusal> {
    let query = EventQuery::parse(query.as_deref(), query::SESSIONS)?;
    let (before, limit) = (
        query.before.unwrap_or(Seq::MAX),
        query.limit.unwrap_or(PAGE).min(limits::PAGE),
    );
    let visible = grant.visibility().clone();
    let head = app.hub().bounds(&grant).await?.head;
    app.views().reach(head).await;
    let read = move |db: &rusqlite::Connection| runs::list(db, &visible, before, limit);
    let (head, Paged { rows: runs, next, .. }) = app.views().snapshot(read).await?;
    Ok(Json(Runs { runs, next, head }))
}

/// One run.
#[derive(Debug, Serialize)]
struct Told {
    #[serde(flatten)]
    run: Whole,
    /// As of [`Runs`].
    head: Seq,
}

async fn one(
    State(app): State<App>,
    grant: Grant<Read>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Json<Told>, Refusal> {
    EventQuery::parse(query.as_deref(), query::NONE)?;
    let id = session_id(&grant, id)?;
    let head = app.hub().bounds(&grant).await?.head;
    app.views().reach(head).await;
    let wanted = id.clone();
    let (reached, run) = app.views().snapshot(move |db| runs::get(db, wanted.as_str())).await?;
    let none = || Refusal::new(Code::NotFound, format!("session {id} is no run")).with("field", "id");
    run.map(|run| Json(Told { run, head: reached }))
        .ok_or_else(|| none().unless_behind(reached, head))
}
