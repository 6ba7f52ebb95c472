//! `/api/events`: publishing and streaming.

use axum::{
    Extension, Json, Router,
    body::Body,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use turnwire_log::Appended;
use turnwire_proto::{Code, Name, Seq, path};

use super::{
    App, Refusal, idempotency,
    intake::{self, Shape},
    query::{self, EventQuery},
};
use crate::{
    auth::{Grant, Publish, Read},
    deliver::Streaming,
    hub::Queued,
    observe::Metrics,
};

pub(crate) fn router() -> Router<App> {
    Router::new().route(path::EVENTS, post(publish).get(stream))
}

/// What a publish answers, after all of it is durable.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Published {
    pub(super) first_seq: Seq,
    pub(super) last_seq: Seq,
    pub(super) written: usize,
    pub(super) duplicates: usize,
}

impl Published {
    /// Takes one more batch in.
    pub(crate) fn add(&mut self, appended: &Appended) {
        if appended.written + appended.duplicates == 0 {
            return;
        }
        if self.written + self.duplicates == 0 {
            self.first_seq = appended.first;
        }
        self.first_seq = self.first_seq.min(appended.first);
        self.last_seq = self.last_seq.max(appended.last);
        self.written += appended.written;
        self.duplicates += appended.duplicates;
    }
}

async fn publish(
    State(app): State<App>,
    grant: Grant<Publish>,
    queued: Option<Extension<Queued>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let queued = queued.map_or_else(Queued::default, |Extension(queued)| queued);
    // What a producer says in the query would be said to nobody.
    let asked = query.map_or(Ok(()), |query| EventQuery::parse(Some(&query), &[]).map(drop));
    let asked = asked.and_then(|()| Ok((Shape::of(&headers)?, idempotency::key(&headers, idempotency::HEADER)?)));
    let done = match asked {
        // Most have no key, and need no room for one.
        Ok((shape, None)) => intake::take(&app, &grant, shape, (&headers, body), &queued, None).await,
        Ok((shape, key)) => {
            let work = async |ids| intake::take(&app, &grant, shape, (&headers, body), &queued, ids).await;
            Box::pin(idempotency::once(&app, &grant, path::EVENTS, key, work)).await
        }
        Err(refusal) => Err(refusal),
    };
    match done {
        Ok(published) => Ok(Json(published).into_response()),
        Err(refusal) => {
            Metrics::count(&app.hub().metrics().refused, "code", refusal.code().as_str());
            Err(refusal)
        }
    }
}

async fn stream(
    State(app): State<App>,
    grant: Grant<Read>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Streaming, Refusal> {
    let query = EventQuery::parse(query.as_deref(), query::STREAM)?;
    open(&app, &grant, query, &headers).await
}

/// Opens a stream of what a query asks for.
pub(super) async fn open(
    app: &App,
    grant: &Grant<Read>,
    query: EventQuery,
    headers: &HeaderMap,
) -> Result<Streaming, Refusal> {
    if app.tasks().stopping().is_cancelled() {
        return Err(Refusal::new(Code::ShuttingDown, "the server is stopping"));
    }
    let start = query.start(last_event_id(headers)?)?;
    let subscription = app.hub().subscribe(grant, query.what, start).await?;
    for gap in subscription.gaps() {
        app.hub().metrics().gap(gap);
    }
    Ok(Streaming::new(subscription, grant.standing()))
}

/// The cursor that a client comes back with.
///
/// # Errors
/// It is no text.
pub(super) fn last_event_id(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let wrong = |_| Refusal::field("last-event-id", "`Last-Event-ID` has characters that no cursor has");
    let value = headers.get("last-event-id");
    value.map(|value| value.to_str().map_err(wrong)).transpose()
}

/// Who made events that do not say so: the token's name.
pub(super) fn source_of(grant: &Grant<Publish>) -> Name {
    grant.principal().name().clone()
}

/// The media type of a body, without its parameters.
pub(super) fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().unwrap_or("?");
    Some(value.split(';').next().unwrap_or_default().trim())
}
