//! The observer that takes no notice.

use super::{Metric, Observer, ObserverEvent};

/// Takes no notice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Noop;

impl Observer for Noop {
    fn record_event(&self, _event: &ObserverEvent) {}

    fn record_metric(&self, _metric: &Metric) {}

    fn flush(&self) {}

    fn name(&self) -> &'static str {
        "noop"
    }
}
