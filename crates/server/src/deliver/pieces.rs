//! A stream that is made piece by piece, not read from the log: written on the bare socket like a reader's, or as the body of a
//! response that hyper writes.

use std::{convert::Infallible, sync::Arc};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{future::BoxFuture, stream};
use tokio::net::TcpStream;

use super::{
    accept::Open,
    reactor::Shared,
    stream::{End, gone, write},
};
use crate::observe::Metrics;

/// What makes the pieces. It ends itself, and is dropped when its reader has gone.
pub(crate) trait Pieces: Send + 'static {
    /// The next piece; `None` when there are no more. It is not asked for before the one before was written.
    fn next(&mut self) -> BoxFuture<'_, Option<Bytes>>;
}

/// Writes all pieces on the bare socket, behind `head`.
pub(super) async fn run(
    shared: Arc<Shared>,
    socket: std::net::TcpStream,
    head: Vec<u8>,
    mut pieces: Box<dyn Pieces>,
    guard: Open,
) {
    let Ok(socket) = TcpStream::from_std(socket) else {
        return;
    };
    let mut piece = Some(Bytes::from(head));
    while let Some(bytes) = piece {
        match write(&socket, &shared, &bytes).await {
            Ok(()) => {}
            Err(End::Slow) => {
                Metrics::count(&shared.metrics.ended, "reason", "slow_reader");
                return;
            }
            Err(_) => return,
        }
        piece = tokio::select! {
            // What is dropped half-way had nobody to go to any more.
            next = pieces.next() => next,
            () = gone(&socket) => return,
        };
    }
    let _ = rustix::net::shutdown(&socket, rustix::net::Shutdown::Write);
    drop(guard);
}

/// The same for hyper, which asks for the next piece when there is room.
pub(super) fn body(pieces: Box<dyn Pieces>) -> Body {
    Body::from_stream(stream::unfold(pieces, |mut pieces| async move {
        let piece = pieces.next().await?;
        Some((Ok::<_, Infallible>(piece), pieces))
    }))
}
