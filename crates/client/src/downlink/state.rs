//! How a downlink stands, and why it ended.

use std::sync::Arc;

use tokio::time::Instant;

use crate::Error;

/// How a downlink stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum State {
    /// A stream is being opened.
    Connecting,
    /// A stream is open.
    Connected,
    /// Streams do not get through: the same orders are waited for by long-poll.
    Polling,
    /// The server could not be reached, or the stream was lost; it is tried again.
    Waiting {
        /// When.
        until: Instant,
        /// What went wrong, for people.
        why: Arc<str>,
    },
    /// It is over, for good.
    Ended {
        /// Why.
        why: Ended,
    },
}

/// Why a downlink ended. It can be read as often as one likes.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// It was closed or dropped on this side.
    #[error("the downlink was closed")]
    Closed,
    /// The server does not know the token (401), also not when it was asked again: a person has to sign in.
    #[error("the server does not know this token: {0}")]
    Unauthorized(Arc<Error>),
    /// The token may not be this agent, or not any more (403, 410, or the stream's own word).
    #[error("the token may not be this agent any more: {0}")]
    Revoked(Arc<Error>),
    /// Another downlink of the same agent was opened.
    #[error("another downlink of this agent has taken the place of this one")]
    Replaced,
    /// The server refused in a way that no later try mends.
    #[error("{0}")]
    Refused(Arc<Error>),
}
