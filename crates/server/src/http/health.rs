//! What machines ask: does it live, can it serve, what has it counted, how is it called.

use axum::{
    Json, Router,
    extract::{FromRef, State},
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
    routing::get,
};
use turnwire_proto::{Code, path};

use super::{App, Refusal};
use crate::auth::Auth;

/// The contract in OpenAPI, kept beside the routes and checked against them by a test.
const OPENAPI: &str = include_str!("openapi.json");

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

async fn readyz(State(app): State<App>) -> Result<Json<serde_json::Value>, Refusal> {
    if app.tasks().stopping().is_cancelled() {
        return Err(Refusal::new(Code::ShuttingDown, "the server is stopping"));
    }
    let bounds = app.log().bounds().await?;
    Ok(Json(
        serde_json::json!({"ready": true, "head": bounds.head, "first": bounds.first, "epoch": bounds.epoch}),
    ))
}

/// Figures only: no names, no contents.
async fn metrics(State(app): State<App>) -> Response {
    if let Ok(bounds) = app.log().bounds().await {
        let gauge = |seq: turnwire_proto::Seq| i64::try_from(seq.get()).unwrap_or(i64::MAX);
        app.hub().metrics().head.set(gauge(bounds.head));
        app.hub().metrics().first.set(gauge(bounds.first));
    }
    let (metrics, auth) = (app.hub().metrics(), Auth::from_ref(&app).stats());
    let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    metrics.tokens.set(gauge(auth.tokens as u64));
    metrics.tickets.set(gauge(auth.tickets as u64));
    metrics.locked_out.set(gauge(auth.locked_out));
    let text = app.hub().metrics().text();
    typed("application/openmetrics-text; version=1.0.0; charset=utf-8", text)
}

async fn openapi() -> Response {
    typed("application/json", OPENAPI)
}
