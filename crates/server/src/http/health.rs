//! What machines ask: does it live, can it serve, what has it counted, how is it called.

use axum::{
    Json, Router,
    extract::{FromRef, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::time::timeout;
use turnwire_log::Level;
use turnwire_proto::{Code, path};

use super::{App, Refusal};
use crate::auth::{Auth, MAX_TICKETS, MAX_TOKENS};

/// The contract in OpenAPI, kept beside the routes and checked against them by a test.
const OPENAPI: &str = include_str!("openapi.json");

/// How long all stores together may take to answer.
const LOOK_TIME: std::time::Duration = std::time::Duration::from_secs(2);

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route(path::HEALTHZ, get(healthz))
        .route(path::READYZ, get(readyz))
        .route(path::METRICS, get(metrics))
        .route(path::OPENAPI, get(openapi))
}

fn typed(media_type: &'static str, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

async fn healthz() -> Json<serde_json::Value> {
    Json(serde_json::json!({"ok": true, "version": env!("CARGO_PKG_VERSION")}))
}

/// Asks each store itself. Views that are behind do not stand in the way: they are folded while the server serves.
async fn readyz(State(app): State<App>) -> Result<Json<serde_json::Value>, Refusal> {
    if app.tasks().stopping().is_cancelled() {
        return Err(Refusal::new(Code::ShuttingDown, "the server is stopping"));
    }
    let mut part = "log";
    let look = async {
        let _one_at_a_time = app.checking().lock().await;
        app.log().check().await?;
        part = "tokens";
        Auth::from_ref(&app).check().await?;
        part = "views";
        app.views().check().await
    };
    let looked = timeout(LOOK_TIME, look).await;
    let why = match looked {
        Ok(Ok(())) => {
            let bounds = app.log().bounds().await?;
            let at = app.views().reached();
            let lag = bounds.head.get().saturating_sub(at.get());
            return Ok(Json(serde_json::json!({
                "ready": true, "head": bounds.head, "first": bounds.first, "epoch": bounds.epoch,
                "views": {"head": at, "lag": lag},
            })));
        }
        Ok(Err(error)) => {
            // Whoever asks need not prove who it is: what the store met is for the operator.
            tracing::warn!(%error, part, "not ready");
            "does not work; the server's own log says why".to_owned()
        }
        Err(_) => format!("did not answer within {} s", LOOK_TIME.as_secs()),
    };
    let text = format!("the server is not ready: its store of {part} {why}");
    Err(Refusal::new(Code::StoreUnavailable, text).with("part", part))
}

/// Figures only: no names, no contents. What can be read when it is asked for costs nothing in between.
async fn metrics(State(app): State<App>) -> Response {
    let (metrics, auth) = (app.hub().metrics(), Auth::from_ref(&app).stats());
    let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    if let Ok(bounds) = app.log().bounds().await {
        metrics.head.set(gauge(bounds.head.get()));
        metrics.first.set(gauge(bounds.first.get()));
        let behind = bounds.head.get().saturating_sub(app.views().reached().get());
        metrics.views_lag.set(gauge(behind));
    }
    metrics.tokens.set(gauge(auth.tokens as u64));
    metrics.tickets.set(gauge(auth.tickets as u64));
    metrics.locked_out.set(gauge(auth.locked_out));
    let level = |bound, used, limit| Level { bound, used, limit };
    let connections = usize::try_from(metrics.connections.get()).unwrap_or(0);
    let ours = [
        level("connections", connections, app.limits().connections),
        level("tokens", auth.tokens, MAX_TOKENS),
        level("tickets", auth.tickets, MAX_TICKETS),
    ];
    let ours = ours.into_iter().chain(app.control().levels());
    for level in app.log().levels().into_iter().chain(auth.queue).chain(ours) {
        metrics.level(level);
    }
    typed(
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        metrics.text(),
    )
}

async fn openapi() -> Response {
    typed("application/json", OPENAPI)
}
