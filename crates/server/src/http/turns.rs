//! `/api/sessions/{id}/turns` and `/api/sessions/{id}/tool-calls`: what a session has done, newest first.

use axum::{
    Json, Router,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    routing::get,
};
use rusqlite::Connection;
use serde::Serialize;
use turnwire_proto::{Seq, limits, path};

use super::{
    App, Refusal,
    query::{self, EventQuery},
    sessions::{none, session_id},
};
use crate::{
    auth::{Grant, Read},
    views::{
        Paged, sessions,
        tools::{self, Call},
        turns::{self, Turn},
    },
};

/// Rows of a page when nothing else is asked for.
const PAGE: usize = 100;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route(path::SESSION_TURNS, get(turns))
        .route(path::SESSION_TOOL_CALLS, get(tool_calls))
}

/// A page of turns, the last begun first.
#[derive(Debug, Serialize)]
struct Turns {
    turns: Vec<Turn>,
    /// The cursor for `before`; null when there are no more.
    next: Option<Seq>,
    /// What is folded into this answer: following from here misses and repeats nothing.
    head: Seq,
}

/// A page of tool calls, the last begun first.
#[derive(Debug, Serialize)]
struct ToolCalls {
    tool_calls: Vec<Call>,
    /// As of [`Turns`].
    next: Option<Seq>,
    /// As of [`Turns`].
    head: Seq,
}

/// How a page of a session's rows is read: the session, by number and id, before a place, at most so many.
type List<T> = fn(&Connection, (i64, &str), Seq, usize) -> rusqlite::Result<Paged<T>>;

async fn page<T: Send + 'static>(
    app: &App,
    grant: &Grant<Read>,
    id: Result<Path<String>, PathRejection>,
    query: Option<&str>,
    list: List<T>,
) -> Result<(Seq, Paged<T>), Refusal> {
    let query = EventQuery::parse(query, query::SESSIONS)?;
    let id = session_id(grant, id)?;
    let (before, limit) = (
        query.before.unwrap_or(Seq::MAX),
        query.limit.unwrap_or(PAGE).min(limits::PAGE),
    );
    let head = app.hub().bounds(grant).await?.head;
    app.views().reach(head).await;
    let wanted = id.clone();
    let read = move |db: &Connection| match sessions::number(db, wanted.as_str())? {
        Some(n) => list(db, (n, wanted.as_str()), before, limit).map(Some),
        None => Ok(None),
    };
    let (reached, page) = app.views().snapshot(read).await?;
    page.map(|page| (reached, page)).ok_or_else(|| none(&id, reached, head))
}

async fn turns(
    State(app): State<App>,
    grant: Grant<Read>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Json<Turns>, Refusal> {
    let (head, Paged { rows, next, .. }) = page(&app, &grant, id, query.as_deref(), turns::list).await?;
    Ok(Json(Turns {
        turns: rows,
        next,
        head,
    }))
}

async fn tool_calls(
    State(app): State<App>,
    grant: Grant<Read>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Json<ToolCalls>, Refusal> {
    let (head, Paged { rows, next, .. }) = page(&app, &grant, id, query.as_deref(), tools::list).await?;
    Ok(Json(ToolCalls {
        tool_calls: rows,
        next,
        head,
    }))
}
