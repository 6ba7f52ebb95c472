//! The process-wide hook: whoever is installed hears what any part of the program tells.
//!
//! It is a set, not a chain: one more does not hide those that are there, and each guard takes out its own, in whatever
//! order they go and on whatever thread.

use std::{
    sync::{
        Arc, LazyLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{Metric, Observer, ObserverEvent, Tee};

/// Replaced as a whole, so that telling holds no lock: an observer may install another.
static HOOKS: LazyLock<RwLock<Hooks>> = LazyLock::new(RwLock::default);
static NEXT: AtomicU64 = AtomicU64::new(0);

#[derive(Default)]
struct Hooks {
    installed: Vec<(u64, Arc<dyn Observer>)>,
    everyone: Arc<Everyone>,
}

impl Hooks {
    fn change(change: impl FnOnce(&mut Vec<(u64, Arc<dyn Observer>)>)) {
        let before = {
            let mut hooks = HOOKS.write().unwrap_or_else(PoisonError::into_inner);
            change(&mut hooks.installed);
            let all = hooks.installed.iter();
            let tee = all.fold(Tee::new(), |tee, (_, observer)| tee.and_direct(Arc::clone(observer)));
            std::mem::replace(&mut hooks.everyone, Arc::new(Everyone(tee)))
        };
        // Whoever goes with it goes after the lock.
        drop(before);
    }
}

/// All that were installed at one moment.
#[derive(Debug, Default)]
struct Everyone(Tee);

impl Observer for Everyone {
    fn record_event(&self, event: &ObserverEvent) {
        self.0.record_event(event);
    }

    fn record_metric(&self, metric: &Metric) {
        self.0.record_metric(metric);
    }

    fn flush(&self) {
        self.0.flush();
    }

    fn name(&self) -> &'static str {
        "hook"
    }

    fn settle(&self, within: Duration) -> bool {
        self.0.settle(within)
    }
}

/// Installs an observer for the whole process until the guard is dropped.
///
/// ```
/// use std::sync::Arc;
/// use turnwire_client::observe::{self, About, Noop, ObserverEvent, What, ErrorBody};
///
/// let first = observe::hook(Arc::new(Noop));
/// let second = observe::hook(Arc::new(Noop));
/// drop(first); // `second` still hears everything.
/// observe::record_event(&ObserverEvent::new(About::session("s-1"), What::Error(ErrorBody::default())));
/// drop(second);
/// ```
#[must_use = "dropping the guard removes the observer"]
pub fn hook(observer: Arc<dyn Observer>) -> HookGuard {
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    Hooks::change(|installed| installed.push((id, observer)));
    HookGuard { id }
}

/// Takes one observer out of the process-wide hook when it is dropped.
#[derive(Debug)]
pub struct HookGuard {
    id: u64,
}

impl Drop for HookGuard {
    fn drop(&mut self) {
        let mut gone = None;
        Hooks::change(|installed| {
            if let Some(at) = installed.iter().position(|(id, _)| *id == self.id) {
                gone = Some(installed.remove(at));
            }
        });
        drop(gone);
    }
}

/// All that are installed now, as one observer.
#[must_use]
pub fn current() -> Arc<dyn Observer> {
    let hooks = HOOKS.read().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(&hooks.everyone) as Arc<dyn Observer>
}

/// Tells all that are installed now.
pub fn record_event(event: &ObserverEvent) {
    current().record_event(event);
}

/// Tells all that are installed now.
pub fn record_metric(metric: &Metric) {
    current().record_metric(metric);
}
