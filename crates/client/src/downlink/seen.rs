//! Which orders have been had, in bounded memory.

use std::collections::{HashSet, VecDeque};

use turnwire_proto::EventId;

/// A server repeats what is still open, at most 256 orders for one agent: sixteen times that.
const REMEMBERED: usize = 4096;

/// The newest ids.
#[derive(Debug, Default)]
pub(super) struct Seen {
    known: HashSet<EventId>,
    order: VecDeque<EventId>,
}

impl Seen {
    pub(super) fn has(&self, id: EventId) -> bool {
        self.known.contains(&id)
    }

    /// Whether it is new; it is not any more.
    pub(super) fn is_new(&mut self, id: EventId) -> bool {
        if !self.known.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_once_and_only_the_newest_are_remembered() {
        let mut seen = Seen::default();
        let ids: Vec<_> = (0..=REMEMBERED).map(|_| EventId::new()).collect();
        assert!(ids.iter().all(|id| seen.is_new(*id)));
        assert!(ids[1..].iter().all(|id| !seen.is_new(*id)));
        assert_eq!((seen.known.len(), seen.order.len()), (REMEMBERED, REMEMBERED));
        assert!(seen.is_new(ids[0]), "forgotten");
    }
}
