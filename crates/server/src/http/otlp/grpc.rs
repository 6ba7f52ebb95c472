//! OTLP over gRPC, on a port of its own: three unary calls. The frames of a unary call are five bytes before each message and
//! three headers behind it; hyper has the rest of it (HTTP/2) already, and the connections have the limits of all others.

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Full};
use tower_http::catch_panic::CatchPanicLayer;
use turnwire_adapters::otlp::{Encoding, Signal};
use turnwire_proto::{Code, limits};

use super::{Asked, reply, take, too_large, unpack::Packing};
use crate::{
    http::{App, Refusal, events::media_type, guard, intake},
    observe::Metrics,
};

/// The services, by the paths that gRPC makes of their names.
const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
/// Bytes before a message: whether it is packed, and its length.
const PREFIX: usize = 5;
/// `UNIMPLEMENTED`.
const UNIMPLEMENTED: u8 = 12;
/// `UNAVAILABLE`: the only one after which an exporter sends the same again.
const UNAVAILABLE: u8 = 14;
/// `INTERNAL`.
const INTERNAL: u8 = 13;

/// All that its port answers, behind the same guard as the other.
pub(crate) fn router(app: App, policy: guard::Policy) -> Router {
    Router::new()
        .route(LOGS, post(logs))
        .route(TRACES, post(traces))
        .route(METRICS, post(metrics))
        .fallback(|| async { failure(UNIMPLEMENTED, "this port takes OTLP's logs, traces and metrics") })
        .method_not_allowed_fallback(|| async { failure(UNIMPLEMENTED, "a call of gRPC is a POST") })
        .with_state(app)
        .layer(CatchPanicLayer::custom(|_| {
            failure(INTERNAL, "the server failed at this request; its log says where")
        }))
        .layer(guard::Guard::new(policy))
}

async fn logs(State(app): State<App>, grant: Asked, headers: HeaderMap, body: Body) -> Response {
    call(&app, grant, Signal::Logs, &headers, body).await
}

async fn traces(State(app): State<App>, grant: Asked, headers: HeaderMap, body: Body) -> Response {
    call(&app, grant, Signal::Traces, &headers, body).await
}

async fn metrics(State(app): State<App>, grant: Asked, headers: HeaderMap, body: Body) -> Response {
    call(&app, grant, Signal::Metrics, &headers, body).await
}

async fn call(app: &App, grant: Asked, signal: Signal, headers: &HeaderMap, body: Body) -> Response {
    let is_grpc = media_type(headers).is_some_and(|given| {
        given.eq_ignore_ascii_case("application/grpc") || given.eq_ignore_ascii_case("application/grpc+proto")
    });
    if !is_grpc {
        let text = "this port takes gRPC: OTLP over HTTP is on the other";
        return Refusal::new(Code::BadMediaType, text)
            .with("field", "content-type")
            .into_response();
    }
    let done = async {
        let grant = grant?;
        let body = intake::whole(app, body, limits::OTLP_BYTES + PREFIX).await;
        let body = body.map_err(|refusal| {
            if refusal.code() == Code::TooLarge {
                too_large()
            } else {
                refusal
            }
        })?;
        let (packed, message) = message(&body)?;
        let packing = packing(headers, packed)?;
        take(app, &grant, signal, Encoding::Protobuf, packing, message).await
    };
    match done.await {
        Ok(partial) => success(&partial.protobuf()),
        Err(refusal) => {
            let code = refusal.code();
            Metrics::count(&app.hub().metrics().refused, "code", code.as_str());
            let (status, after) = (reply::grpc_code(code), refusal.retry_after());
            let message = refusal.into_reply().error.message;
            let mut response = failure(status, &message);
            // Exporters wait as long as this says, and no less.
            if let Some(after) = after.filter(|_| status == UNAVAILABLE) {
                let details = STANDARD_NO_PAD.encode(reply::retry(status, &message, after));
                if let Ok(details) = HeaderValue::from_str(&details) {
                    response.headers_mut().insert("grpc-status-details-bin", details);
                }
            }
            response.extensions_mut().insert(code);
            response
        }
    }
}

/// The one message of a unary call, and whether it is packed.
fn message(body: &Bytes) -> Result<(bool, Bytes), Refusal> {
    let wrong = |why: &str| Refusal::field("body", format!("the call is not one message of gRPC: {why}"));
    let Some((prefix, rest)) = body.split_first_chunk::<PREFIX>() else {
        return Err(wrong("it is shorter than its prefix"));
    };
    let [packed, length @ ..] = *prefix;
    if u32::try_from(rest.len()) != Ok(u32::from_be_bytes(length)) {
        return Err(wrong("its length is another than its prefix says"));
    }
    match packed {
        0 | 1 => Ok((packed == 1, body.slice(PREFIX..))),
        _ => Err(wrong("its prefix does not begin with 0 or 1")),
    }
}

fn packing(headers: &HeaderMap, packed: bool) -> Result<Packing, Refusal> {
    if !packed {
        return Ok(Packing::Plain);
    }
    let given = headers.get("grpc-encoding").and_then(|value| value.to_str().ok());
    let packing = given
        .and_then(Packing::named)
        .filter(|packing| *packing == Packing::Gzip);
    packing.ok_or_else(|| {
        let text = format!(
            "`grpc-encoding` is {}; a packed message is taken as gzip",
            given.unwrap_or("absent")
        );
        Refusal::new(Code::MethodNotAllowed, text).with("field", "grpc-encoding")
    })
}

fn head(response: &mut Response) -> &mut HeaderMap {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-accept-encoding", HeaderValue::from_static("identity,gzip"));
    headers
}

fn success(message: &[u8]) -> Response {
    let mut frame = BytesMut::with_capacity(PREFIX + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(frame.freeze()).with_trailers(async { Some(Ok(trailers)) });
    let mut response = Body::new(body).into_response();
    head(&mut response);
    response
}

/// An answer without a message: its status stands in the head.
fn failure(code: u8, message: &str) -> Response {
    let mut response = StatusCode::OK.into_response();
    let headers = head(&mut response);
    headers.insert("grpc-status", HeaderValue::from(u16::from(code)));
    // Percent-encoded, so that it is always a header's value.
    let message: String = message.bytes().fold(String::new(), |mut text, byte| {
        match byte {
            b' '..=b'~' if byte != b'%' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
        text
    });
    if let Ok(message) = HeaderValue::from_str(&message) {
        headers.insert("grpc-message", message);
    }
    response
}
