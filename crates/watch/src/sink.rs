//! Where events go: the spool of a publisher.

use turnwire_client::spool::{Limits, Position, Spool};
use turnwire_proto::NewEvent;

/// Bytes that wait for the gateway beyond which no more is read: the rest is safe where it is, in the files.
const WAITING: u64 = 64 << 20;

/// Takes events.
pub trait Sink: Send {
    /// Takes all of them, or none for certain: then the same come again.
    fn push(&self, events: &[NewEvent]) -> bool;

    /// Whether so much waits that it is better to read later.
    fn is_full(&self) -> bool;

    /// Makes what was taken survive a power loss.
    fn sync(&self) -> bool;
}

impl Sink for std::sync::Arc<Spool> {
    fn push(&self, events: &[NewEvent]) -> bool {
        if Spool::push(self, events).lost == 0 {
            return true;
        }
        // They are not lost: they come again.
        let losses = self.take_losses_at_end();
        tracing::warn!(
            "the spool takes nothing: {}",
            losses.map(|it| it.reason).unwrap_or_default()
        );
        false
    }

    fn is_full(&self) -> bool {
        let end = *self.written().borrow();
        between(self.drained(), end) > WAITING
    }

    fn sync(&self) -> bool {
        Spool::sync(self).inspect_err(|error| tracing::warn!("{error}")).is_ok()
    }
}

/// Bytes between two places, as if every segment were full.
fn between(from: Position, to: Position) -> u64 {
    let segments = to.segment.saturating_sub(from.segment);
    (segments * Limits::default().segment + to.offset).saturating_sub(from.offset)
}
