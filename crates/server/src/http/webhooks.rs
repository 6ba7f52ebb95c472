//! `/api/webhooks/{name}`: what a service tells, read by the mapping of that webhook's section.
//!
//! Who calls is known by a token of ours, or by what the service proves ([`crate::auth::Proof`]); the latter is known only when all
//! of the body is here, so that is bounded more narrowly than others. What is sent again under one delivery's id is done once.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Uri, header};
use serde_json::json;
use tokio::{sync::Semaphore, time::timeout};
use turnwire_adapters::mapped::TooMany;
use turnwire_proto::{Code, NewEvent, Timestamp, limits, path};

use super::{App, Refusal, events::Published, idempotency, ids::Ids, intake};
use crate::{
    auth::{Auth, Called, Grant, Publish},
    hub::Queued,
    observe::Metrics,
    webhook::{Told, Webhook},
};

/// A body of more than so many bytes waits for a place to be read in, and is read beside the runtime.
const LARGE: usize = 64 * 1024;
/// Such bodies that are here at once: strangers may send them, too.
static LARGE_ONES: Semaphore = Semaphore::const_new(16);

pub(crate) fn router() -> Router<App> {
    Router::new().route(path::WEBHOOK, post(called))
}

async fn called(
    State(app): State<App>,
    State(auth): State<Auth>,
    name: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    let request = Request { uri, headers };
    let done = match query.filter(|query| !query.is_empty()) {
        // As everywhere else a token in the URL is refused first.
        Some(_) => match auth
            .grant::<Publish>(&Method::POST, &request.uri, &request.headers)
            .await
        {
            Err(refusal) if refusal.code() == Code::BadRequest => Err(refusal),
            _ => Err(Refusal::field("query", "this route has no parameters")),
        },
        None => Box::pin(take(&app, &auth, &name, request, body)).await,
    };
    done.inspect_err(|refusal| Metrics::count(&app.hub().metrics().refused, "code", refusal.code().as_str()))
}

/// A request without its body.
struct Request {
    uri: Uri,
    headers: HeaderMap,
}

async fn take(app: &App, auth: &Auth, name: &str, request: Request, body: Body) -> Result<Response, Refusal> {
    let Request { uri, headers } = &request;
    let webhook = app.webhooks().get(name);
    let Some(webhook) = webhook else {
        // Which webhooks there are is told to whom this server knows.
        auth.grant::<Publish>(&Method::POST, uri, headers).await?;
        let name: String = name.chars().take(limits::KIND).collect();
        let text = format!("there is no webhook {name}: `[[webhook]]` of the configuration file makes one");
        return Err(Refusal::new(Code::NotFound, text).with("field", "name"));
    };
    let delivery = delivery(webhook, headers)?;
    let (grant, body) = match &webhook.service {
        None => {
            let grant = auth.grant::<Publish>(&Method::POST, uri, headers).await?;
            (grant, whole(app, headers, body).await?)
        }
        Some(service) => {
            let body = whole(app, headers, body).await?;
            let called = Called {
                headers,
                delivery,
                body: &body,
                now: Timestamp::now(),
            };
            let grant = service.grant(&called).inspect_err(|_| {
                let denied = &app.hub().metrics().webhooks_denied;
                denied.get_or_create(&[("webhook", webhook.name.to_string())]).inc();
            })?;
            (grant, body)
        }
    };
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::field("body", "the body is empty"));
    }
    let told = read(app, webhook, headers, body.clone()).await?;
    let challenge = told.challenge.clone();
    let route = format!("/api/webhooks/{name}");
    let work =
        async |ids: Option<Ids>| write(app, &grant, webhook, told, ids.unwrap_or_else(|| of(webhook, &body))).await;
    let published = idempotency::once(app, &grant, &route, delivery, work).await?;
    let metrics = app.hub().metrics();
    metrics
        .webhooks
        .get_or_create(&[("webhook", webhook.name.to_string())])
        .inc();
    Ok(match challenge {
        Some(challenge) => Json(json!({ "challenge": challenge })).into_response(),
        None => Json(published).into_response(),
    })
}

/// The id of this delivery, where the service or the caller says one.
fn delivery<'a>(webhook: &Webhook, headers: &'a HeaderMap) -> Result<Option<&'a str>, Refusal> {
    let named = webhook.delivery_header.as_ref().map(http::HeaderName::as_str);
    match named
        .map(|header| idempotency::key(headers, header))
        .transpose()?
        .flatten()
    {
        None => idempotency::key(headers, idempotency::HEADER),
        told => Ok(told),
    }
}

/// Ids made of the body: what comes again without any id writes nothing.
fn of(webhook: &Webhook, body: &[u8]) -> Ids {
    let mut ids = Ids::of(&["webhook", webhook.name.as_str()]);
    ids.line(body);
    ids
}

/// All of a body, within a time.
async fn whole(app: &App, headers: &HeaderMap, body: Body) -> Result<Bytes, Refusal> {
    let limit = limits::WEBHOOK_BYTES;
    let too_large = || {
        Refusal::new(
            Code::TooLarge,
            format!("the body is larger than the limit of {limit} bytes"),
        )
        .with("field", "body")
        .with("limit", limit)
    };
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let wait = app.limits().body_time;
    let _place = match declared {
        Some(..=LARGE) => None,
        _ => match timeout(wait, LARGE_ONES.acquire()).await {
            Ok(Ok(place)) => Some(place),
            _ => {
                return Err(Refusal::new(
                    Code::Overloaded,
                    "too many large bodies of webhooks are being read",
                ));
            }
        },
    };
    // In all, so that nobody keeps a place by sending a byte now and then.
    match timeout(wait, intake::whole(app, body, limit)).await {
        Ok(Err(refusal)) if refusal.code() == Code::TooLarge => Err(too_large()),
        Ok(body) => body,
        Err(_) => {
            let text = format!("the body was not here within {} s", wait.as_secs());
            Err(Refusal::new(Code::Timeout, text).with("field", "body"))
        }
    }
}

/// What a body tells.
async fn read(app: &App, webhook: &Arc<Webhook>, headers: &HeaderMap, body: Bytes) -> Result<Told, Refusal> {
    let kind = webhook.type_header.as_ref().and_then(|header| headers.get(header));
    let kind = kind.and_then(|kind| kind.to_str().ok()).map(str::to_owned);
    let limit = app.limits().batch_events;
    let aside = body.len() > LARGE;
    let reading = Arc::clone(webhook);
    let read = move || reading.read(&body, kind.as_deref(), limit);
    let told = if aside {
        let read = tokio::task::spawn_blocking(read).await;
        read.map_err(|_| Refusal::new(Code::Internal, "the server failed at reading this body"))?
    } else {
        read()
    };
    told.map_err(|TooMany| {
        Refusal::new(
            Code::TooLarge,
            format!("the body tells more than the limit of {limit} events"),
        )
        .with("field", "body")
        .with("limit", limit)
    })
}

/// Appends what was told, all or none of it.
async fn write(
    app: &App,
    grant: &Grant<Publish>,
    webhook: &Webhook,
    told: Told,
    mut ids: Ids,
) -> Result<Published, Refusal> {
    let unknown = told.events.iter().filter(|read| read.unknown).count();
    let event = |read: turnwire_adapters::mapped::Read| {
        let id = ids.next();
        match read.identified {
            true => read.event,
            false => NewEvent { id, ..read.event },
        }
    };
    let events: Vec<NewEvent> = told.events.into_iter().map(event).collect();
    let mut published = Published::default();
    published.add(&app.hub().publish(grant, &events, &Queued::default()).await?);
    let label = [("webhook", webhook.name.to_string())];
    app.hub()
        .metrics()
        .webhooks_unknown
        .get_or_create(&label)
        .inc_by(unknown as u64);
    Ok(published)
}
