//! `/api/usage`: tokens, money, turns, tool calls and how long they took, within a window.

use axum::{
    Json, Router,
    extract::{RawQuery, State},
    routing::get,
};
use serde::Serialize;
use turnwire_proto::{Seq, Timestamp, path};

use super::{
    App, Refusal,
    query::{self, EventQuery},
};
use crate::{
    auth::{Grant, Read},
    hub::Hub,
    views::usage::{self, Asked, Told},
};

pub(crate) fn router() -> Router<App> {
    Router::new().route(path::USAGE, get(told))
}

#[derive(Debug, Serialize)]
struct Answer {
    /// What is folded into this answer.
    head: Seq,
    #[serde(flatten)]
    told: Told,
}

async fn told(State(app): State<App>, grant: Grant<Read>, RawQuery(query): RawQuery) -> Result<Json<Answer>, Refusal> {
    let query = EventQuery::parse(query.as_deref(), query::USAGE)?;
    let agent = query.agent()?.cloned();
    let (window, by) = (query.window, query.by);
    let within = Hub::within(&grant, query.what)?;
    let asked = Asked {
        visible: within.visible,
        window,
        by,
        agent,
        session: within.session,
    };
    let head = app.hub().bounds(&grant).await?.head;
    app.views().reach(head).await;
    let (head, told) = app
        .views()
        .snapshot(move |db| usage::usage(db, &asked, Timestamp::now()))
        .await?;
    Ok(Json(Answer { head, told }))
}
