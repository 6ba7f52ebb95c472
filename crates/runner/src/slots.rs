//! At most so many programs at once: who needs one more asks the one that has been idle longest to end.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tokio::sync::{Notify, watch};
use turnwire_proto::Name;

/// The programs that run.
#[derive(Debug)]
pub(crate) struct Slots {
    most: usize,
    live: Mutex<BTreeMap<Name, Slot>>,
    /// Changes when it is worth asking again. A wake-up, not a queue.
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct Slot {
    idle: Option<Instant>,
    /// It is asked to end.
    leave: Arc<Notify>,
}

impl Slots {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            live: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    pub(crate) fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether the session may have its program run now. If not, another was asked to make room, where one is idle.
    pub(crate) fn take(&self, session: &Name, leave: &Arc<Notify>) -> bool {
        let mut live = self.live();
        if let Some(slot) = live.get_mut(session) {
            slot.idle = None;
            return true;
        }
        if live.len() < self.most {
            let leave = Arc::clone(leave);
            live.insert(session.clone(), Slot { idle: None, leave });
            return true;
        }
        let longest = live
            .values()
            .filter(|slot| slot.idle.is_some())
            .min_by_key(|slot| slot.idle);
        if let Some(slot) = longest {
            slot.leave.notify_one();
        }
        false
    }

    /// Its program runs and has nothing to do.
    pub(crate) fn idle(&self, session: &Name) {
        // Whoever looks because of this must not cause it again.
        let mut live = self.live();
        if let Some(slot) = live.get_mut(session).filter(|slot| slot.idle.is_none()) {
            slot.idle = Some(Instant::now());
            self.changed.send_replace(());
        }
    }

    /// Its program has ended.
    pub(crate) fn free(&self, session: &Name) {
        if self.live().remove(session).is_some() {
            self.changed.send_replace(());
        }
    }

    fn live(&self) -> std::sync::MutexGuard<'_, BTreeMap<Name, Slot>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_was_idle_longest_makes_room_and_who_works_does_not() {
        let slots = Slots::new(2);
        let [a, b, c] = ["a", "b", "c"].map(|name| (Name::new(name).unwrap(), Arc::new(Notify::new())));
        assert!(slots.take(&a.0, &a.1) && slots.take(&b.0, &b.1));
        assert!(!slots.take(&c.0, &c.1), "all work");
        slots.idle(&b.0);
        slots.idle(&a.0);
        assert!(!slots.take(&c.0, &c.1));
        b.1.notified().await;
        slots.free(&b.0);
        assert!(slots.take(&c.0, &c.1));
        assert!(slots.take(&a.0, &a.1), "its own program is still there");
    }
}
