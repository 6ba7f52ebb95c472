//! `/api/state`: everything that is at one moment, to be followed from its place.

use axum::{
    Json, Router,
    extract::{RawQuery, State},
    routing::get,
};
use serde::Serialize;
use turnwire_proto::{Epoch, Seq, limits, path};

use super::{
    App, Refusal,
    query::{self, EventQuery},
};
use crate::{
    auth::{Grant, Read},
    views::state::{self, Snapshot},
};

/// Rows of each list when nothing else is asked for.
const PAGE: usize = 200;

pub(crate) fn router() -> Router<App> {
    Router::new().route(path::STATE, get(snapshot))
}

/// A snapshot and where it is in the log.
#[derive(Debug, Serialize)]
struct Answer {
    /// The cursor: `GET /api/events?after=` this misses and repeats nothing.
    seq: Seq,
    epoch: Epoch,
    #[serde(flatten)]
    snapshot: Snapshot,
}

async fn snapshot(
    State(app): State<App>,
    State(epoch): State<Epoch>,
    grant: Grant<Read>,
    RawQuery(query): RawQuery,
) -> Result<Json<Answer>, Refusal> {
    let query = EventQuery::parse(query.as_deref(), query::STATE)?;
    let limit = query.limit.unwrap_or(PAGE).min(limits::PAGE);
    let (visible, wait) = (grant.visibility().clone(), app.limits().approval_wait);
    let head = app.hub().bounds(&grant).await?.head;
    app.views().reach(head).await;
    let (seq, snapshot) = app
        .views()
        .snapshot(move |db| state::snapshot(db, &visible, wait, limit))
        .await?;
    Ok(Json(Answer { seq, epoch, snapshot }))
}
