//! Delivery: what brings events to readers, and nothing else.
//!
//! A stream is asked for like anything else, through the router. What comes back says so ([`Streaming`]), and is written by
//! [`stream`] on the bare socket in a runtime of its own ([`Reactor`]), so that publishing never queues behind a thousand woken
//! readers. Where the socket is hyper's (HTTP/2, a connection used before), the same subscription becomes a [`body`].

mod accept;
mod body;
mod frames;
mod head;
mod lane;
mod pieces;
mod reactor;
mod stream;
mod timed;

use std::sync::{Arc, Mutex};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};

pub(crate) use accept::{Front, Held, serve};
pub(crate) use frames::{first_bytes, jitter, retry_ms};
pub(crate) use pieces::Pieces;
pub(crate) use reactor::Reactor;

use crate::{auth::Standing, hub::Subscription};

/// A stream that a handler has allowed and nobody has begun to write.
pub(crate) enum Ready {
    /// Events, from the log.
    Events(Box<Events>),
    /// Something else that is made as it goes.
    Pieces(Box<dyn Pieces>),
}

/// A stream of events.
#[derive(Debug)]
pub(crate) struct Events {
    pub(crate) subscription: Subscription,
    pub(crate) standing: Standing,
}

/// What a handler answers with: the head of a stream, and what is to be written after it.
#[derive(Clone)]
pub(crate) struct Streaming(Arc<Mutex<Option<Ready>>>);

impl Streaming {
    pub(crate) fn new(subscription: Subscription, standing: Standing) -> Self {
        Self::of(Ready::Events(Box::new(Events { subscription, standing })))
    }

    pub(crate) fn of_pieces(pieces: impl Pieces) -> Self {
        Self::of(Ready::Pieces(Box::new(pieces)))
    }

    fn of(ready: Ready) -> Self {
        Self(Arc::new(Mutex::new(Some(ready))))
    }

    /// Takes the stream out of a response that has one.
    pub(crate) fn take(response: &mut Response) -> Option<Ready> {
        let streaming: Self = response.extensions_mut().remove()?;
        // The router has measured the empty body that stood in for the stream: a client that believed it would read nothing.
        response.headers_mut().remove(header::CONTENT_LENGTH);
        streaming.0.lock().ok()?.take()
    }
}

impl IntoResponse for Streaming {
    fn into_response(self) -> Response {
        let mut response = ().into_response();
        let headers = response.headers_mut();
        // A charset would be right, too, but some clients compare the type as a whole.
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-cache, no-transform"),
        );
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response.extensions_mut().insert(self);
        response
    }
}
