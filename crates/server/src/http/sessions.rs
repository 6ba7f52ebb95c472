//! `/api/sessions`: the list, one, and one's stream.

use axum::{
    Json, Router,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    routing::{get, post},
};
use http::HeaderMap;
use serde::Serialize;
use turnwire_proto::{Code, Name, Seq, Visibility, limits, path};

use super::{
    App, Refusal, events, export,
    query::{self, EventQuery},
    session, share,
};
use crate::{
    auth::{Grant, Read},
    deliver::Streaming,
    views::sessions::{self, Session},
};

/// Sessions of a page when nothing else is asked for.
const PAGE: usize = 200;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route(path::SESSIONS, get(list))
        .route(path::SESSION, get(one).patch(session::rename).delete(session::erase))
        .route(path::SESSION_SHARE, post(share::share))
        .route(path::SESSION_EXPORT, get(export::export))
        .route(path::SESSION_EVENTS, get(stream))
}

/// A page of sessions, last active first.
#[derive(Debug, Serialize)]
struct Sessions {
    sessions: Vec<Session>,
    /// The cursor for `before`; null when there are no more.
    next: Option<Seq>,
    /// What is folded into this answer: following from here misses and repeats nothing.
    head: Seq,
}

async fn list(
    State(app): State<App>,
    grant: Grant<Read>,
    RawQuery(query): RawQuery,
) -> Result<Json<Sessions>, Refusal> {
    let query = EventQuery::parse(query.as_deref(), query::SESSIONS)?;
    let limit = query.limit.unwrap_or(PAGE).min(limits::PAGE);
    let before = query.before.unwrap_or(Seq::MAX);
    let visible = grant.visibility().clone();
    let head = app.hub().bounds(&grant).await?.head;
    app.views().reach(head).await;
    let (reached, sessions) = app
        .views()
        .snapshot(move |db| sessions::list(db, &visible, before, limit))
        .await?;
    let next = if sessions.len() < limit {
        None
    } else {
        sessions.last().map(|session| session.last_seq)
    };
    Ok(Json(Sessions {
        sessions,
        next,
        head: reached,
    }))
}

/// A session's id, whoever asks.
pub(super) fn named(id: Result<Path<String>, PathRejection>) -> Result<Name, Refusal> {
    let Path(id) = id.map_err(|_| Refusal::field("id", "`id` must be a session's id, percent-encoded UTF-8"))?;
    Name::new(&id).map_err(|e| Refusal::field("id", format!("`id` {e}")))
}

pub(super) fn session_id(grant: &Grant<Read>, id: Result<Path<String>, PathRejection>) -> Result<Name, Refusal> {
    let id = named(id)?;
    let visible: &Visibility = grant.visibility();
    if visible.allows_session(id.as_str()) {
        Ok(id)
    } else {
        Err(Refusal::new(
            Code::Forbidden,
            format!("this token may not read session {id}"),
        ))
    }
}

async fn one(
    State(app): State<App>,
    grant: Grant<Read>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Json<Session>, Refusal> {
    EventQuery::parse(query.as_deref(), query::NONE)?;
    let id = session_id(&grant, id)?;
    found(&app, &id).await.map(Json)
}

/// A session as it is once the views have all that was committed.
pub(super) async fn found(app: &App, id: &Name) -> Result<Session, Refusal> {
    let head = app.log().bounds().await?.head;
    app.views().reach(head).await;
    let wanted = id.clone();
    let read = move |db: &rusqlite::Connection| sessions::one(db, wanted.as_str());
    let (reached, session) = app.views().snapshot(read).await?;
    session.ok_or_else(|| none(id, reached, head))
}

/// That the views, which have reached `reached`, do not have this session: there is none, or it is among what is still to be folded.
pub(super) fn none(id: &Name, reached: Seq, head: Seq) -> Refusal {
    let missing = Refusal::new(Code::NotFound, format!("there is no session {id}")).with("field", "id");
    missing.unless_behind(reached, head)
}

async fn stream(
    State(app): State<App>,
    grant: Grant<Read>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Streaming, Refusal> {
    let known: Vec<_> = query::STREAM
        .iter()
        .copied()
        .filter(|key| *key != "session_id")
        .collect();
    let mut query = EventQuery::parse(query.as_deref(), &known)?;
    query.what.session = Some(session_id(&grant, id)?);
    events::open(&app, &grant, query, &headers).await
}
