//! Errors that leave: one shape, the matching status, `Retry-After` where waiting helps.

use std::{fmt, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::Value;
use turnwire_log::{AppendError, ReadError, StoreError};
use turnwire_proto::{Code, ErrorReply, Seq};

/// A request that was not done, as the client is told.
#[derive(Clone, Debug)]
pub struct Refusal {
    reply: ErrorReply,
    retry_after: Option<Duration>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reply.error.message)
    }
}

impl Refusal {
    /// A refusal without details; one that may be tried again says after a second.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let retry_after = (code.retry() && code.status() != 500).then_some(Duration::from_secs(1));
        Self {
            reply: ErrorReply::new(code, message),
            retry_after,
        }
    }

    /// A bad request that names its field.
    #[must_use]
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, message).with("field", field)
    }

    /// The same with one more detail.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.reply = self.reply.with(key, value);
        self
    }

    /// The same, to be tried again after this long.
    #[must_use]
    pub const fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Of something that views at `reached` do not have: as long as that is not the log's `head`, it may be on its way to them.
    #[must_use]
    pub(super) fn unless_behind(self, reached: Seq, head: Seq) -> Self {
        if reached >= head {
            return self;
        }
        let text = format!("the views are at {reached} of {head}: whether it is there is not known yet");
        Self::new(Code::StoreUnavailable, text).with("part", "views")
    }

    /// What the client is told.
    #[must_use]
    pub fn into_reply(self) -> ErrorReply {
        self.reply
    }

    /// After what time it may be tried again, where waiting helps.
    pub(super) const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.reply.code()
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.reply).unwrap_or_default();
        let mut response = (status, body).into_response();
        // Whoever writes it counts it by this.
        response.extensions_mut().insert(self.reply.code());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from_str(&seconds.to_string()).unwrap_or(HeaderValue::from_static("1")),
            );
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"turnwire\""),
            );
        }
        response
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::new(Code::StoreUnavailable, error.to_string())
    }
}
