//! One request, and what its answer means for the events in it.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, header::CONTENT_TYPE};
use serde::Deserialize;
use turnwire_proto::{Code, ErrorReply, path};

use crate::{Endpoint, Error, Refused};

/// The media type of one event a line.
const NDJSON: &str = "application/x-ndjson";
/// Until the gateway has answered: its own bound for a publish is well below.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What became of a request.
pub(super) enum Attempt {
    /// On the gateway's disk.
    Taken { written: u64, duplicates: u64 },
    /// The same may succeed later.
    Later { why: String, after: Option<Duration> },
    /// One of the events will never be taken; `at` says which, counted from 0, where the gateway says it.
    Rejected { reply: ErrorReply, at: Option<usize> },
    /// The gateway does not know who asks.
    Unauthorized(ErrorReply),
    /// Nothing will ever be taken.
    Refused(ErrorReply),
}

#[derive(Deserialize)]
struct Written {
    written: u64,
    duplicates: u64,
}

pub(super) async fn attempt(endpoint: &Endpoint, lines: Bytes) -> Attempt {
    let request = endpoint
        .request(Method::POST, path::EVENTS)
        .header(CONTENT_TYPE, NDJSON)
        .timeout(TIMEOUT)
        .body(lines);
    match endpoint.json::<Written>(request).await {
        Ok(Written { written, duplicates }) => Attempt::Taken { written, duplicates },
        Err(Error::Refused(refused)) => judge(*refused),
        // Nothing there, or cut before the answer was whole, or what answers is another (the sign-in page of a network):
        // the events may be written, and are written once if they are sent again.
        Err(error) => Attempt::Later {
            why: in_short(&error),
            after: None,
        },
    }
}

/// For a person: the last cause of an unreachable gateway says what the matter is, the rest names our own parts.
fn in_short(error: &Error) -> String {
    let Error::Unreachable(outer) = error else {
        return error.to_string();
    };
    let mut cause: &dyn std::error::Error = outer;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    format!("the gateway cannot be reached: {cause}")
}

fn judge(refused: Refused) -> Attempt {
    if refused.retry() {
        return Attempt::Later {
            after: refused.retry_after,
            why: refused.message,
        };
    }
    let known = refused.reply.is_some();
    let reply = refused
        .reply
        .unwrap_or_else(|| ErrorReply::new(code(refused.status), refused.message));
    match refused.status {
        401 | 410 => Attempt::Unauthorized(reply),
        413 => rejected(reply),
        // A proxy that says so means every request; a gateway that says so means this one.
        400 | 403 | 415 | 422 if known => rejected(reply),
        _ => Attempt::Refused(reply),
    }
}

fn rejected(reply: ErrorReply) -> Attempt {
    let detail = |key: &str| {
        let number = reply.error.details.get(key)?.as_u64()?;
        usize::try_from(number).ok()
    };
    let at = detail("index").or_else(|| detail("line")?.checked_sub(1));
    Attempt::Rejected { reply, at }
}

const fn code(status: u16) -> Code {
    match status {
        401 => Code::Unauthorized,
        403 => Code::Forbidden,
        404 => Code::NotFound,
        413 => Code::TooLarge,
        _ => Code::BadRequest,
    }
}
