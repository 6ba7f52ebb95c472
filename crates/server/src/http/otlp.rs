//! `/v1/logs`, `/v1/traces`, `/v1/metrics`: OTLP over HTTP, as every OpenTelemetry SDK speaks it.
//!
//! The answer comes after all of it is durable. An exporter that has no answer sends the same again, which writes nothing twice.
//! What the token may not publish is rejected and told, the rest is written. Errors are a `google.rpc.Status` in the request's
//! encoding, which is what exporters show.

pub(crate) mod grpc;
mod reply;
mod unpack;

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use http::HeaderMap;
use tokio::{sync::Semaphore, time::timeout};
use turnwire_adapters::otlp::{Encoding, MAX_RECORDS, Refused, Signal, Told, read};
use turnwire_proto::{Code, NewEvent, Timestamp, limits, path};

use self::{reply::Partial, unpack::Packing};
use super::{App, Refusal, events::media_type, intake};
use crate::{
    auth::{Grant, Publish},
    hub::Queued,
    observe::Metrics,
};

/// Events that are appended together.
const PIECE_EVENTS: usize = 1000;
/// Bytes of events that are appended together.
const PIECE_BYTES: usize = 1024 * 1024;
/// A body of more than so many bytes is decoded beside the runtime.
const ASIDE: usize = 64 * 1024;
/// Such bodies that are decoded at once: one takes up to some hundred MiB of memory, made for that.
static DECODING: Semaphore = Semaphore::const_new(2);

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route(path::OTLP_LOGS, post(logs))
        .route(path::OTLP_TRACES, post(traces))
        .route(path::OTLP_METRICS, post(metrics))
}

/// Who asks, or why they may not: an error of that, too, is told in the request's encoding.
type Asked = Result<Grant<Publish>, Refusal>;

async fn logs(State(app): State<App>, grant: Asked, headers: HeaderMap, body: Body) -> Response {
    over_http(&app, grant, Signal::Logs, &headers, body).await
}

async fn traces(State(app): State<App>, grant: Asked, headers: HeaderMap, body: Body) -> Response {
    over_http(&app, grant, Signal::Traces, &headers, body).await
}

async fn metrics(State(app): State<App>, grant: Asked, headers: HeaderMap, body: Body) -> Response {
    over_http(&app, grant, Signal::Metrics, &headers, body).await
}

async fn over_http(app: &App, grant: Asked, signal: Signal, headers: &HeaderMap, body: Body) -> Response {
    let encoding = encoding(headers);
    let told_in = encoding.as_ref().ok().copied();
    let done = async {
        let grant = grant?;
        let (encoding, packing) = (encoding?, Packing::of(headers)?);
        let body = whole(app, body).await?;
        take(app, &grant, signal, encoding, packing, body).await
    };
    match done.await {
        Ok(partial) => reply::done(told_in.unwrap_or(Encoding::Json), signal, &partial),
        Err(refusal) => {
            Metrics::count(&app.hub().metrics().refused, "code", refusal.code().as_str());
            // What came in no encoding is told as any other error is.
            match told_in {
                Some(encoding) => reply::failed(encoding, refusal),
                None => refusal.into_response(),
            }
        }
    }
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Refusal> {
    match media_type(headers).map(str::to_ascii_lowercase).as_deref() {
        Some("application/x-protobuf") => Ok(Encoding::Protobuf),
        Some("application/json") => Ok(Encoding::Json),
        other => {
            let other = other.unwrap_or("absent");
            let text =
                format!("`Content-Type` is {other}; this route takes application/x-protobuf and application/json");
            Err(Refusal::new(Code::BadMediaType, text).with("field", "content-type"))
        }
    }
}

fn too_large() -> Refusal {
    let limit = limits::OTLP_BYTES;
    Refusal::new(
        Code::TooLarge,
        format!("the request is larger than the limit of {limit} bytes"),
    )
    .with("field", "body")
    .with("limit", limit)
}

async fn whole(app: &App, body: Body) -> Result<Bytes, Refusal> {
    let body = intake::whole(app, body, limits::OTLP_BYTES).await;
    body.map_err(|refusal| {
        if refusal.code() == Code::TooLarge {
            too_large()
        } else {
            refusal
        }
    })
}

/// Takes one request in. When it returns, what it took is durable.
async fn take(
    app: &App,
    grant: &Grant<Publish>,
    signal: Signal,
    encoding: Encoding,
    packing: Packing,
    body: Bytes,
) -> Result<Partial, Refusal> {
    let at = Timestamp::now();
    let aside = packing != Packing::Plain || body.len() > ASIDE;
    let decode = move || {
        let body = unpack::unpack(packing, &body, limits::OTLP_BYTES)?;
        read(signal, encoding, &body, at).map_err(|why| refused(&why))
    };
    let told = if aside {
        let waiting = timeout(app.limits().body_time, DECODING.acquire()).await;
        let Ok(Ok(place)) = waiting else {
            return Err(Refusal::new(Code::Overloaded, "too many OTLP requests are being read"));
        };
        // It goes on to its end also when whoever asked has gone, and holds its place until then.
        let work = move || {
            let _place = place;
            decode()
        };
        let decoded = tokio::task::spawn_blocking(work).await;
        decoded.map_err(|_| Refusal::new(Code::Internal, "the server failed at reading this request"))??
    } else {
        decode()?
    };
    let metrics = app.hub().metrics();
    let label = [("signal", reply::name(signal))];
    metrics.otlp_records.get_or_create(&label).inc_by(told.records);
    metrics.otlp_unknown.inc_by(told.unknown);
    let (events, partial) = allowed(grant, told)?;
    for piece in pieces(&events) {
        app.hub().publish(grant, piece, &Queued::default()).await?;
    }
    Ok(partial)
}

fn refused(why: &Refused) -> Refusal {
    let text = why.to_string();
    match why {
        Refused::Malformed(_) => Refusal::field("body", text),
        Refused::TooMany => Refusal::new(Code::TooLarge, text)
            .with("field", "body")
            .with("limit", MAX_RECORDS),
    }
}

/// What of it the token may publish; the rest is told as rejected.
fn allowed(grant: &Grant<Publish>, told: Told) -> Result<(Vec<NewEvent>, Partial), Refusal> {
    let mut partial = Partial::default();
    if grant.may_publish_everything() {
        return Ok((told.events, partial));
    }
    let mut events = Vec::with_capacity(told.events.len());
    for (event, records) in told.events.into_iter().zip(told.records_of) {
        let session = event.session_id.as_ref().map(AsRef::as_ref);
        if grant.may_publish(session) {
            events.push(event);
        } else {
            partial.rejected += records;
            let session = session.unwrap_or("(none)");
            partial.message = format!("this token may not publish to session {session}");
        }
    }
    if events.is_empty() && partial.rejected > 0 {
        return Err(Refusal::new(Code::Forbidden, partial.message).with("field", "session_id"));
    }
    Ok((events, partial))
}

/// The events in their order, in pieces of a bounded size.
fn pieces(mut events: &[NewEvent]) -> impl Iterator<Item = &[NewEvent]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let many = events.iter().take(PIECE_EVENTS).take_while(|event| {
            let first = bytes == 0;
            bytes += event.size().max(1);
            first || bytes <= PIECE_BYTES
        });
        let (piece, rest) = events.split_at(many.count());
        events = rest;
        (!piece.is_empty()).then_some(piece)
    })
}
