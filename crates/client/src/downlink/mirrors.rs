//! The addresses at which one server is reached, in the order in which they are tried.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{Endpoint, Error};

/// See the module. Shared by all that asks the server, so that all go to the same address.
#[derive(Debug)]
pub(super) struct Mirrors {
    /// Never empty, and no address twice.
    list: Vec<Endpoint>,
    /// Counts the changes, so that one failure that several have met is one change.
    turn: AtomicUsize,
}

impl Mirrors {
    pub(super) fn new(first: Endpoint, others: Vec<Endpoint>) -> Self {
        let mut list = vec![first];
        for other in others {
            if list.iter().all(|known| known.url() != other.url()) {
                list.push(other);
            }
        }
        Self {
            list,
            turn: AtomicUsize::new(0),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.list.len()
    }

    /// Whom to ask now, and what to tell [`Mirrors::failed`] if that fails.
    pub(super) fn current(&self) -> (usize, Endpoint) {
        let turn = self.turn.load(Ordering::Relaxed);
        (turn, self.list[turn % self.list.len()].clone())
    }

    /// The one of this turn could not be connected to: it is the next one's turn, unless somebody has said so already.
    pub(super) fn failed(&self, turn: usize) {
        let _ = self
            .turn
            .compare_exchange(turn, turn.wrapping_add(1), Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Whether another address of the same server may do better: what stands between us and the server failed, not the server.
pub(super) fn is_of_the_way(error: &Error) -> bool {
    match error {
        Error::Unreachable(_) | Error::Silent(_) | Error::NoServer { .. } | Error::File { .. } => true,
        Error::Refused(refused) => matches!(refused.status, 408 | 502 | 503 | 504),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrors(addresses: &[&str]) -> Mirrors {
        let mut list = addresses
            .iter()
            .map(|address| Endpoint::new(address, None).unwrap())
            .collect::<Vec<_>>();
        Mirrors::new(list.remove(0), list)
    }

    #[test]
    fn mirrors_keep_their_order_and_none_is_there_twice() {
        let mirrors = mirrors(&["http://a", "http://b/x", "http://a/", "http://b/x/", "http://c"]);
        let mut seen = Vec::new();
        for _ in 0..=mirrors.len() {
            let (turn, endpoint) = mirrors.current();
            seen.push(endpoint.url().to_string());
            mirrors.failed(turn);
        }
        assert_eq!(seen, ["http://a/", "http://b/x/", "http://c/", "http://a/"]);
    }

    #[test]
    fn one_failure_that_many_have_met_is_one_change() {
        let mirrors = mirrors(&["http://a", "http://b"]);
        let (turn, _) = mirrors.current();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| mirrors.failed(turn));
            }
        });
        assert_eq!(mirrors.current().1.url().as_str(), "http://b/");
        // Also when it has been all round meanwhile.
        mirrors.failed(mirrors.current().0);
        mirrors.failed(turn);
        assert_eq!(mirrors.current().1.url().as_str(), "http://a/");
    }
}
