//! Several observers as one.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Metric, Observer, ObserverEvent, Queued, quietly};

/// Tells each of its members everything. A panic in one reaches neither the caller nor the others.
#[derive(Clone, Default)]
pub struct Tee {
    members: Vec<Arc<dyn Observer>>,
}

impl Tee {
    /// Without members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With one more, behind a queue of its own: it may be as slow as it likes.
    ///
    /// # Errors
    /// When the system gives it no thread.
    pub fn and(mut self, observer: impl Observer + 'static) -> io::Result<Self> {
        self.members.push(Arc::new(Queued::new(observer)?));
        Ok(self)
    }

    /// With one more, called by the thread that tells: for one that keeps the contract of [`Observer`] and must not lose
    /// anything to a queue, such as [`super::Turnwire`].
    #[must_use]
    pub fn and_direct(mut self, observer: Arc<dyn Observer>) -> Self {
        self.members.push(observer);
        self
    }

    fn each(&self, call: impl Fn(&dyn Observer)) {
        for member in &self.members {
            quietly(&**member, &call);
        }
    }
}

impl Observer for Tee {
    fn record_event(&self, event: &ObserverEvent) {
        self.each(|member| member.record_event(event));
    }

    fn record_metric(&self, metric: &Metric) {
        self.each(|member| member.record_metric(metric));
    }

    fn flush(&self) {
        self.each(|member| member.flush());
    }

    fn name(&self) -> &'static str {
        "tee"
    }

    fn settle(&self, within: Duration) -> bool {
        // All begin at once, then each is waited for in the time that is left.
        self.flush();
        let until = Instant::now() + within;
        let mut settled = true;
        for member in &self.members {
            let left = until.saturating_duration_since(Instant::now());
            settled &= quietly(&**member, |member| member.settle(left)).unwrap_or(false);
        }
        settled
    }
}

impl std::fmt::Debug for Tee {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.members.iter().map(|member| member.name()).collect();
        f.debug_tuple("Tee").field(&names).finish()
    }
}
