//! Answers of OTLP: what was taken, or a `google.rpc.Status`, in the encoding of the request.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use serde_json::json;
use turnwire_adapters::otlp::{Encoding, Signal};
use turnwire_proto::Code;

use crate::http::Refusal;

/// What of a request was not taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Partial {
    /// Log records, spans or points.
    pub(super) rejected: u64,
    /// Why.
    pub(super) message: String,
}

impl Partial {
    /// `Export…ServiceResponse`. When all was taken it has no fields.
    pub(super) fn protobuf(&self) -> Vec<u8> {
        if self.rejected == 0 {
            return Vec::new();
        }
        let mut partial = Vec::new();
        partial.push(1 << 3);
        varint(self.rejected, &mut partial);
        text(2, &self.message, &mut partial);
        let mut response = Vec::new();
        bytes(1, &partial, &mut response);
        response
    }
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap_or(0));
}

fn bytes(field: u8, value: &[u8], out: &mut Vec<u8>) {
    out.push(field << 3 | 2);
    varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn text(field: u8, value: &str, out: &mut Vec<u8>) {
    if !value.is_empty() {
        bytes(field, value.as_bytes(), out);
    }
}

/// A `google.rpc.Status` that says after what time the same may be sent again, by a `google.rpc.RetryInfo`.
pub(super) fn retry(code: u8, message: &str, after: Duration) -> Vec<u8> {
    let mut delay = Vec::new();
    delay.push(1 << 3);
    varint(
        after.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX),
        &mut delay,
    );
    let (mut info, mut any) = (Vec::new(), Vec::new());
    bytes(1, &delay, &mut info);
    text(1, "type.googleapis.com/google.rpc.RetryInfo", &mut any);
    bytes(2, &info, &mut any);
    let mut status = vec![1 << 3, code];
    text(2, message, &mut status);
    bytes(3, &any, &mut status);
    status
}

/// What a signal is called.
pub(super) const fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::Logs => "logs",
        Signal::Traces => "traces",
        Signal::Metrics => "metrics",
    }
}

/// The code of gRPC that says what ours does.
pub(super) const fn grpc_code(code: Code) -> u8 {
    match code {
        Code::BadRequest | Code::BadMediaType => 3,
        Code::Timeout | Code::ReplyTimeout => 4,
        Code::NotFound => 5,
        Code::Forbidden => 7,
        Code::TooLarge | Code::HeadTooLarge | Code::LockedOut | Code::QueueFull => 8,
        Code::Conflict => 10,
        Code::MethodNotAllowed => 12,
        Code::Internal | Code::TurnFailed => 13,
        Code::Overloaded | Code::ShuttingDown | Code::StoreUnavailable => 14,
        Code::Unauthorized | Code::Gone => 16,
    }
}

/// The answer to a request of which something was taken.
pub(super) fn done(encoding: Encoding, signal: Signal, partial: &Partial) -> Response {
    let body = match encoding {
        Encoding::Protobuf => partial.protobuf(),
        Encoding::Json if partial.rejected == 0 => b"{}".to_vec(),
        Encoding::Json => {
            let rejected = match signal {
                Signal::Logs => "rejectedLogRecords",
                Signal::Traces => "rejectedSpans",
                Signal::Metrics => "rejectedDataPoints",
            };
            // 64 bits are a string in OTLP's JSON.
            let partial = json!({rejected: partial.rejected.to_string(), "errorMessage": partial.message});
            json!({"partialSuccess": partial}).to_string().into_bytes()
        }
    };
    let mut response = body.into_response();
    stamp(&mut response, encoding);
    response
}

/// The answer to a request of which nothing was taken: the refusal's status and headers.
pub(super) fn failed(encoding: Encoding, refusal: Refusal) -> Response {
    let code = refusal.code();
    let mut response = refusal.clone().into_response();
    let reply = refusal.into_reply();
    let (code, message) = (grpc_code(code), &reply.error.message);
    let body = match encoding {
        Encoding::Protobuf => {
            let mut status = vec![1 << 3, code];
            text(2, message, &mut status);
            status
        }
        // The one shape of all errors is in it, too.
        Encoding::Json => json!({"code": code, "message": message, "error": &reply.error})
            .to_string()
            .into_bytes(),
    };
    response.headers_mut().remove(header::CONTENT_LENGTH);
    *response.body_mut() = body.into();
    stamp(&mut response, encoding);
    response
}

fn stamp(response: &mut Response, encoding: Encoding) {
    let media_type = match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}
