//! Tickets: short-lived proofs for a URL, where a header cannot be.
//!
//! They live in the memory of this process: a restart ends them, and the page makes others. A ticket is bound to one resource
//! and to whom it was made for; it ends with that one's token.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Deserialize;
use tokio::time::Instant;

use super::{
    denied::Denied,
    principal::Principal,
    secret::{Hash, Secret},
};

/// How long a ticket waits for its first use.
pub const FIRST_USE: Duration = Duration::from_secs(30);
/// How long a stream's ticket waits for the stream to come back.
pub const RECONNECT: Duration = Duration::from_mins(5);
/// Tickets that there may be: about 200 bytes each.
pub const MAX_TICKETS: usize = 16_384;
/// Tickets of one principal, so that one cannot take them all.
pub const MAX_TICKETS_EACH: usize = MAX_TICKETS / 4;

/// How often a ticket may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TicketKind {
    /// Once: a WebSocket, a download.
    Once,
    /// A stream and its own reconnections: an `EventSource` comes back with the URL that it was given.
    Stream,
}

/// There are as many tickets as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are {limit} tickets already, the limit")]
pub struct TooManyTickets {
    /// The limit that was met.
    pub limit: usize,
}

#[derive(Debug, Default)]
pub(super) struct Tickets {
    live: Mutex<HashMap<u128, Ticket>>,
}

struct Ticket {
    hash: Hash,
    resource: Hash,
    kind: TicketKind,
    principal: Arc<Principal>,
    /// Until when the next use must come, unless one is open.
    until: Instant,
    /// Alive while a stream is open by this ticket. The ticket itself holds one of them.
    open: Arc<()>,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket")
            .field("kind", &self.kind)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

impl Ticket {
    fn is_live(&self, now: Instant) -> bool {
        (now < self.until || Arc::strong_count(&self.open) > 1) && self.principal.is_ended().is_none()
    }
}

/// A stream that is open by a ticket. While it lives, so does the ticket; from its end on, the ticket waits [`RECONNECT`].
#[derive(Debug)]
pub(super) struct Lease {
    half: u128,
    tickets: std::sync::Weak<Tickets>,
    /// Only counted.
    _open: Arc<()>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(tickets) = self.tickets.upgrade()
            && let Some(ticket) = tickets.live().get_mut(&self.half)
        {
            ticket.until = Instant::now() + RECONNECT;
        }
    }
}

impl Tickets {
    // Invariant: every change of the map is one call, so a panic elsewhere does not spoil it.
    fn live(&self) -> MutexGuard<'_, HashMap<u128, Ticket>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self) -> usize {
        self.live().len()
    }

    pub(super) fn issue(
        &self,
        principal: &Arc<Principal>,
        resource: Hash,
        kind: TicketKind,
    ) -> Result<Secret, TooManyTickets> {
        let now = Instant::now();
        let mut live = self.live();
        // Counted by walking: at most some ten thousand, and tickets are made by people's pages.
        let theirs = |live: &HashMap<u128, Ticket>| live.values().filter(|t| t.principal.id == principal.id).count();
        if live.len() >= MAX_TICKETS_EACH {
            live.retain(|_, ticket| ticket.is_live(now));
            if live.len() >= MAX_TICKETS {
                return Err(TooManyTickets { limit: MAX_TICKETS });
            }
            if theirs(&live) >= MAX_TICKETS_EACH {
                return Err(TooManyTickets {
                    limit: MAX_TICKETS_EACH,
                });
            }
        }
        let secret = Secret::ticket();
        let hash = Hash::of_ticket(secret.expose()).expect("a ticket was just made");
        let ticket = Ticket {
            hash,
            resource,
            kind,
            principal: Arc::clone(principal),
            until: now + FIRST_USE,
            open: Arc::new(()),
        };
        live.insert(hash.half(), ticket);
        Ok(secret)
    }

    /// Uses a ticket. A ticket for something else is not used up by the attempt.
    pub(super) fn redeem(
        self: &Arc<Self>,
        secret: &str,
        resource: Hash,
    ) -> Result<(Arc<Principal>, Option<Arc<Lease>>), Denied> {
        let now = Instant::now();
        let hash = Hash::of_ticket(secret).ok_or(Denied::Ticket)?;
        let half = hash.half();
        let mut live = self.live();
        let ticket = live
            .get_mut(&half)
            .filter(|ticket| ticket.hash.same(&hash))
            .ok_or(Denied::Ticket)?;
        if !ticket.resource.same(&resource) {
            return Err(Denied::TicketElsewhere);
        }
        let principal = Arc::clone(&ticket.principal);
        if !ticket.is_live(now) {
            live.remove(&half);
            return Err(match principal.is_ended() {
                Some("token_revoked") => Denied::Revoked,
                Some(_) => Denied::Expired,
                None => Denied::Ticket,
            });
        }
        match ticket.kind {
            TicketKind::Once => {
                live.remove(&half);
                Ok((principal, None))
            }
            TicketKind::Stream => {
                ticket.until = now + RECONNECT;
                let lease = Lease {
                    half,
                    tickets: Arc::downgrade(self),
                    _open: Arc::clone(&ticket.open),
                };
                Ok((principal, Some(Arc::new(lease))))
            }
        }
    }

    /// Forgets tickets that can no longer be used.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        self.live().retain(|_, ticket| ticket.is_live(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup() -> (Arc<Tickets>, Arc<Principal>, Hash) {
        (
            Arc::default(),
            Arc::new(Principal::anonymous()),
            Hash::of(b"/api/events"),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_for_once_serves_once() {
        let (tickets, who, what) = setup();
        let ticket = tickets.issue(&who, what, TicketKind::Once).unwrap();
        assert!(tickets.redeem(ticket.expose(), what).is_ok());
        assert_eq!(tickets.redeem(ticket.expose(), what).unwrap_err(), Denied::Ticket);
        assert_eq!(tickets.count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_waits_half_a_minute_for_its_first_use() {
        let (tickets, who, what) = setup();
        for kind in [TicketKind::Once, TicketKind::Stream] {
            let [early, late] = [(); 2].map(|()| tickets.issue(&who, what, kind).unwrap());
            tokio::time::advance(FIRST_USE - Duration::from_millis(1)).await;
            assert!(tickets.redeem(early.expose(), what).is_ok());
            tokio::time::advance(Duration::from_millis(1)).await;
            assert_eq!(tickets.redeem(late.expose(), what).unwrap_err(), Denied::Ticket);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_streams_ticket_serves_its_reconnections_for_as_long_as_none_is_late() {
        let (tickets, who, what) = setup();
        let ticket = tickets.issue(&who, what, TicketKind::Stream).unwrap();
        let (_, open) = tickets.redeem(ticket.expose(), what).unwrap();
        // A stream may be open for days: the gap begins when it ends.
        tokio::time::advance(RECONNECT * 300).await;
        tickets.sweep();
        drop(open);
        tokio::time::advance(RECONNECT - Duration::from_millis(1)).await;
        let (_, open) = tickets.redeem(ticket.expose(), what).unwrap();
        // The old connection may be noticed as dead only after the new one is there.
        let (_, second) = tickets.redeem(ticket.expose(), what).unwrap();
        drop(open);
        tokio::time::advance(RECONNECT * 2).await;
        let (_, third) = tickets.redeem(ticket.expose(), what).unwrap();
        drop((second, third));
        tokio::time::advance(RECONNECT).await;
        assert_eq!(tickets.redeem(ticket.expose(), what).unwrap_err(), Denied::Ticket);
        assert_eq!(tickets.count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_serves_one_resource_and_a_try_elsewhere_does_not_use_it_up() {
        let (tickets, who, what) = setup();
        let ticket = tickets.issue(&who, what, TicketKind::Once).unwrap();
        let other = Hash::of(b"/api/events?session_id=other");
        assert_eq!(
            tickets.redeem(ticket.expose(), other).unwrap_err(),
            Denied::TicketElsewhere
        );
        assert!(tickets.redeem(ticket.expose(), what).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_ticket_ends_with_its_token() {
        let (tickets, who, what) = setup();
        let ticket = tickets.issue(&who, what, TicketKind::Stream).unwrap();
        let _open = tickets.redeem(ticket.expose(), what).unwrap();
        who.revoke();
        assert_eq!(tickets.redeem(ticket.expose(), what).unwrap_err(), Denied::Revoked);
    }

    #[tokio::test(start_paused = true)]
    async fn tickets_are_bounded_and_those_that_were_not_used_make_room() {
        let (tickets, who, what) = setup();
        let first = tickets.issue(&who, what, TicketKind::Stream).unwrap();
        for _ in 1..MAX_TICKETS_EACH {
            tickets.issue(&who, what, TicketKind::Once).unwrap();
        }
        let full = tickets.issue(&who, what, TicketKind::Once).unwrap_err();
        assert_eq!(full.limit, MAX_TICKETS_EACH);
        let _open = tickets.redeem(first.expose(), what).unwrap();
        tokio::time::advance(FIRST_USE).await;
        assert!(tickets.issue(&who, what, TicketKind::Once).is_ok());
        assert_eq!(tickets.count(), 2, "the open one is kept");
    }
}
