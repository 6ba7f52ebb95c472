//! The same stream as the body of a response that hyper writes.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use turnwire_log::Limit;

use super::{Events, frames, reactor::Shared};
use crate::observe::Metrics;

struct State {
    shared: Arc<Shared>,
    ready: Events,
    control: watch::Receiver<u64>,
    written: Instant,
    /// When a stream that was told of the shutdown ends.
    until: Option<Instant>,
    opened: bool,
    ended: bool,
    _open: Open,
}

/// Counts the stream for as long as its body lives.
struct Open(Arc<Metrics>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.streams.dec();
    }
}

/// The body of a stream. Each piece is one page; hyper asks for the next when the reader has room.
pub(super) fn body(shared: Arc<Shared>, ready: Events) -> Body {
    shared.metrics.streams.inc();
    let open = Open(shared.metrics.clone());
    let control = shared.control.subscribe();
    let state = State {
        shared,
        ready,
        control,
        written: Instant::now(),
        until: None,
        opened: false,
        ended: false,
        _open: open,
    };
    Body::from_stream(stream::unfold(state, |mut state| async move {
        let piece = state.piece().await?;
        state.written = Instant::now();
        Some((Ok::<_, Infallible>(piece), state))
    }))
}

impl State {
    async fn piece(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        if !self.opened {
            self.opened = true;
            return Some(frames::opening(&mut self.ready.subscription).into());
        }
        loop {
            self.control.mark_unchanged();
            self.ready.subscription.mark();
            if let Some((reason, retry)) = self.shared.must_end(&self.ready.standing) {
                let until = *self.until.get_or_insert_with(|| Instant::now() + self.shared.spread());
                if reason != "shutdown" || until <= Instant::now() {
                    return Some(self.bye(reason, retry));
                }
            }
            let (page, more) = match self.ready.subscription.read(Limit::RUN).await {
                Ok(read) => read,
                Err(error) => {
                    tracing::error!(%error, "a stream could not be read");
                    self.shared.metrics.read_errors.inc();
                    return Some(self.bye("store_unavailable", Some(Duration::from_secs(2))));
                }
            };
            let gaps = self.ready.subscription.advance(&page);
            if !gaps.is_empty() {
                let mut piece = frames::gaps(&gaps, &self.shared.metrics);
                piece.extend_from_slice(&page.run);
                return Some(piece.into());
            }
            if !page.is_empty() {
                self.shared.metrics.delivered_pages.inc();
                self.shared.metrics.delivered_bytes.inc_by(page.run.len() as u64);
                return Some(page.run);
            }
            if more {
                continue;
            }
            let heartbeat = self.written + self.shared.limits.heartbeat;
            let due = self.until.map_or(heartbeat, |until| until.min(heartbeat));
            tokio::select! {
                // Each branch is cancel-safe.
                woken = self.ready.subscription.woken() => if !woken {
                    return Some(self.bye("shutdown", Some(Duration::from_secs(1))));
                },
                _ = self.control.changed() => {}
                () = sleep_until(due) => if heartbeat <= Instant::now() {
                    return Some(frames::heartbeat(self.ready.subscription.cursor()).into());
                },
            }
        }
    }

    fn bye(&mut self, reason: &'static str, retry: Option<Duration>) -> Bytes {
        self.ended = true;
        Metrics::count(&self.shared.metrics.ended, "reason", reason);
        frames::bye(self.ready.subscription.cursor(), reason, retry).into()
    }
}
