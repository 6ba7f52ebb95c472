//! Whether a publish has its place in the log's queue.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Set when all events of one publish stand in the log's queue, so that the next publish of the same connection may begin
/// without overtaking it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Queued(Arc<AtomicBool>);

impl Queued {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
