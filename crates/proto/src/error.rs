//! The one shape of every error that leaves the server.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $status:literal, $retry:literal;)*) => {
        /// What went wrong, for programs. Keep it alphabetised.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As it is spelt on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status),* }
            }

            /// Whether the same request may succeed later.
            #[must_use]
            pub const fn retry(self) -> bool {
                match self { $(Self::$variant => $retry),* }
            }
        }
    };
}

codes! {
    /// The body's media type is not one that the route takes.
    BadMediaType = "bad_media_type", 415, false;
    /// Something in the path, query, headers or body is wrong; `details.field` names it.
    BadRequest = "bad_request", 400, false;
    /// The thing is there already, or changed meanwhile.
    Conflict = "conflict", 409, false;
    /// Who asks is known and may not.
    Forbidden = "forbidden", 403, false;
    /// It was there and is no more, such as a revoked token.
    Gone = "gone", 410, false;
    /// The server failed in a way that it does not know.
    Internal = "internal", 500, true;
    /// Too many wrong tries; wait for `Retry-After`.
    LockedOut = "locked_out", 429, true;
    /// The route is there, the method is not.
    MethodNotAllowed = "method_not_allowed", 405, false;
    /// There is no such thing, or who asks may not know of it.
    NotFound = "not_found", 404, false;
    /// The server has all the work or connections that it takes; wait for `Retry-After`.
    Overloaded = "overloaded", 503, true;
    /// An agent has all the commands that may wait for it; wait for `Retry-After`.
    QueueFull = "queue_full", 429, true;
    /// The bounded wait for a reply ended; the turn goes on.
    ReplyTimeout = "reply_timeout", 504, false;
    /// The head of the request is larger than the limit.
    HeadTooLarge = "head_too_large", 431, false;
    /// The server is stopping.
    ShuttingDown = "shutting_down", 503, true;
    /// The store could not do it: nothing was written.
    StoreUnavailable = "store_unavailable", 503, true;
    /// A bounded wait ended.
    Timeout = "timeout", 408, true;
    /// Larger than the limit; `details.limit` says it.
    TooLarge = "too_large", 413, false;
    /// The agent says that nothing came of the turn.
    TurnFailed = "turn_failed", 502, false;
    /// Nobody has said who asks, or not so that it could be believed.
    Unauthorized = "unauthorized", 401, false;
}

/// `{"error":{"code","message","retry","details"}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorReply {
    /// The one field.
    pub error: ErrorInside,
}

/// What is inside an [`ErrorReply`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorInside {
    /// For programs.
    pub code: Code,
    /// For people.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retry: bool,
    /// The field, the limit, the line.
    #[serde(default)]
    pub details: Map<String, Value>,
}

impl ErrorReply {
    /// A reply without details.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            error: ErrorInside {
                code,
                message: message.into(),
                retry: code.retry(),
                details: Map::new(),
            },
        }
    }

    /// The same with one more detail.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.error.details.insert(key.to_owned(), value.into());
        self
    }

    /// The code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.error.code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_spelt_the_same_by_name_and_by_serde() {
        for code in Code::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
            assert!((400..600).contains(&code.status()));
        }
    }

    #[test]
    fn an_error_has_one_shape() {
        let reply = ErrorReply::new(Code::TooLarge, "too much").with("limit", 5);
        let text = r#"{"error":{"code":"too_large","message":"too much","retry":false,"details":{"limit":5}}}"#;
        assert_eq!(serde_json::to_string(&reply).unwrap(), text);
    }
}
