//! What can go wrong between a client and a server, so that a caller knows whether to try again and what to tell.

use std::{error::Error as _, io, path::PathBuf, time::Duration};

use reqwest::{Response, StatusCode, header};
use turnwire_proto::{Code, ErrorReply, sse::Oversize};

/// Bytes of a refusal's body that are read: its message, never a page of HTML without end.
const BODY: usize = 64 * 1024;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was given as the server's address or token cannot be one.
    #[error("use {what}: {why}")]
    Address {
        /// The address, or what else was given.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// No server runs on this data directory.
    #[error("find a server that runs on {}", dir.display())]
    NoServer {
        /// The data directory.
        dir: PathBuf,
    },
    /// A file that a local server leaves for its clients cannot be read.
    #[error("read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The server could not be reached, or the connection broke.
    #[error("reach the server: {}", chain(.0))]
    Unreachable(#[source] reqwest::Error),
    /// The server said no.
    #[error(transparent)]
    Refused(Box<Refused>),
    /// The server's answer is not what the route gives.
    #[error("read the server's answer: {0}")]
    Answer(String),
    /// What answers is not an event stream.
    #[error("read the stream: its content type is {0:?}, not text/event-stream")]
    NotAStream(String),
    /// The stream has more in one piece than a server of ours can send.
    #[error("read the stream: {0}")]
    Oversize(#[from] Oversize),
    /// An event of the stream that is not one. It was passed over; the stream goes on.
    #[error("read the event after `id: {last_event_id}`: {why}")]
    Event {
        /// The stream's id at that place.
        last_event_id: String,
        /// What is wrong.
        why: String,
    },
    /// Nothing came for so long that the connection must be dead.
    #[error("hear from the server: nothing came for {} s", .0.as_secs_f32())]
    Silent(Duration),
    /// The stream ended.
    #[error("read on: the stream ended")]
    Ended,
    /// The server ended the stream and said that coming back is of no use.
    #[error("read on: the server ended the stream for good ({0})")]
    Dismissed(String),
}

/// An answer that is not success.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the server refused with status {status}: {message}")]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// For people: the server's words, or else the status's.
    pub message: String,
    /// The server's error, where the answer had one that is known here.
    pub reply: Option<ErrorReply>,
    /// How long to wait before the next try.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// The server's error, where it sent one.
    #[must_use]
    pub fn reply(&self) -> Option<&ErrorReply> {
        self.refused().and_then(|refused| refused.reply.as_ref())
    }

    /// The code of the server's error, where it sent one.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        self.reply().map(ErrorReply::code)
    }

    /// The refusal, where it is one.
    #[must_use]
    pub fn refused(&self) -> Option<&Refused> {
        if let Self::Refused(refused) = self {
            Some(refused)
        } else {
            None
        }
    }

    /// Whether the same may succeed later without anybody changing anything.
    #[must_use]
    pub fn retry(&self) -> bool {
        match self {
            Self::NoServer { .. } | Self::File { .. } | Self::Unreachable(_) | Self::Silent(_) | Self::Ended => true,
            Self::Refused(refused) => refused.retry(),
            Self::Address { .. }
            | Self::Answer(_)
            | Self::NotAStream(_)
            | Self::Oversize(_)
            | Self::Event { .. }
            | Self::Dismissed(_) => false,
        }
    }
}

impl Refused {
    /// Whether the same request may succeed later. Who may not, and what is not there, stays so.
    #[must_use]
    pub fn retry(&self) -> bool {
        match (self.status, &self.reply) {
            (401 | 403 | 404 | 410, _) => false,
            (_, Some(reply)) => reply.error.retry,
            // Too Early, and what proxies say while what is behind them is away.
            (408 | 425 | 429 | 500 | 502 | 503 | 504, None) => true,
            _ => false,
        }
    }

    /// Reads what an answer that is not success says.
    pub(crate) async fn read(mut response: Response) -> Error {
        let status = response.status();
        let retry_after = header(&response, &header::RETRY_AFTER).and_then(wait);
        let to = header(&response, &header::LOCATION).map(str::to_owned);
        let mut body = Vec::new();
        // A body that breaks off says what it says: the status is what counts.
        while let Ok(Some(part)) = response.chunk().await {
            body.extend_from_slice(&part[..part.len().min(BODY - body.len())]);
            if body.len() >= BODY {
                break;
            }
        }
        let message = match to {
            Some(to) if status.is_redirection() => format!("it is at {to}; use that address"),
            _ => message(&body).unwrap_or_else(|| words(status)),
        };
        Error::Refused(Box::new(Self {
            status: status.as_u16(),
            message,
            reply: serde_json::from_slice(&body).ok(),
            retry_after,
        }))
    }
}

/// The message of an error of the one shape, also when a newer server's code is not known here.
fn message(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    Some(body.get("error")?.get("message")?.as_str()?.to_owned())
}

fn words(status: StatusCode) -> String {
    status.canonical_reason().unwrap_or("it did not say why").to_lowercase()
}

pub(crate) fn header<'a>(response: &'a Response, name: &header::HeaderName) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// `Retry-After`: seconds, or a date (RFC 9110, 10.2.3).
fn wait(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    Some(at.duration_since(std::time::SystemTime::now()).unwrap_or_default())
}

/// All that an error of the HTTP client says: its first line alone is "error sending request".
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += ": ";
        text += &cause.to_string();
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, reply: Option<ErrorReply>) -> Refused {
        Refused {
            status,
            message: String::new(),
            reply,
            retry_after: None,
        }
    }

    #[test]
    fn who_may_not_and_what_is_not_there_is_final_and_the_server_knows_the_rest() {
        for status in [401, 403, 404, 410] {
            assert!(!refused(status, Some(ErrorReply::new(Code::Overloaded, "x"))).retry());
        }
        for (status, retry) in [
            (400, false),
            (405, false),
            (301, false),
            (429, true),
            (502, true),
            (501, false),
        ] {
            assert_eq!(refused(status, None).retry(), retry, "{status}");
        }
        assert!(refused(503, Some(ErrorReply::new(Code::StoreUnavailable, "x"))).retry());
        assert!(!refused(503, Some(ErrorReply::new(Code::TooLarge, "x"))).retry());
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        assert!(wait("Fri, 31 Dec 9999 23:59:59 GMT").unwrap() > Duration::from_secs(1_000_000));
        assert_eq!(wait("soon"), None);
    }

    #[test]
    fn an_error_of_a_newer_server_still_says_its_message() {
        let body = br#"{"error":{"code":"made_tomorrow","message":"no","retry":true,"details":{}}}"#;
        assert_eq!(message(body).as_deref(), Some("no"));
        assert_eq!(message(b"<html>"), None);
    }
}
