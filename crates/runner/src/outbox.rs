//! Events on their way to the gateway: one spool, which the next runner of this agent goes on with.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};
use turnwire_client::{
    publish::{Locate, Patience, Publisher},
    spool::{self, Limits, Losses, Meta, Spool, SpoolError},
};
use turnwire_proto::{ErrorBody, Kind, Name, NewEvent, Object, Timestamp};

/// What made the events that are not of a vendor's line.
pub(crate) const OURS: &str = "turnwire";

/// A spool and who drains it.
#[derive(Debug)]
pub(crate) struct Outbox {
    agent: Name,
    spool: Arc<Spool>,
    publisher: Publisher,
}

impl Outbox {
    /// The spool that the runner before left, with what is not with the gateway yet, or a new one.
    pub(crate) fn open(root: &Path, target: &str, agent: &Name, locate: Arc<dyn Locate>) -> Result<Self, SpoolError> {
        let mut left = None;
        if root.is_dir() {
            for found in spool::list(root)?
                .into_iter()
                .filter(|found| !found.live && found.dir.is_dir())
            {
                if found.meta.target == target {
                    left = Spool::adopt(&found.dir, Limits::default())?;
                }
                if left.is_some() {
                    break;
                }
            }
        }
        let spool = match left {
            Some(spool) => spool,
            None => Spool::create(root, Meta::new(target, &format!("agent {agent}")), Limits::default())?,
        };
        Ok(Self {
            agent: agent.clone(),
            publisher: Publisher::start(Arc::clone(&spool), locate),
            spool,
        })
    }

    /// An event that the runner makes itself.
    pub(crate) fn event<T: serde::Serialize>(&self, kind: Kind, session: Option<&Name>, body: &T) -> NewEvent {
        // Invariant: the source is a literal that is a name.
        let source = Name::new(OURS).expect("a source is a name");
        NewEvent {
            agent: Some(self.agent.clone()),
            session_id: session.cloned(),
            ..NewEvent::new(kind, source, Timestamp::now(), Object::of(body))
        }
    }

    /// Writes events. Never waits for the gateway; what there was no room for is told when there is.
    pub(crate) fn push(&self, events: &[NewEvent]) {
        let Some(first) = events.first() else { return };
        self.spool.push(events);
        if let Some(losses) = self.spool.take_losses() {
            let told = self.event(Kind::ERROR, first.session_id.as_ref(), &lost(&losses));
            self.spool.push_told(&told);
        }
    }

    /// Waits until what was pushed before is with the gateway, at most `within`. Whether it is.
    pub(crate) async fn published(&self, within: Duration) -> bool {
        let target = *self.spool.written().borrow();
        let deadline = Instant::now() + within;
        let mut status = self.publisher.status();
        loop {
            status.borrow_and_update();
            if self.spool.drained() >= target {
                return true;
            }
            if !matches!(timeout_at(deadline, status.changed()).await, Ok(Ok(()))) {
                return false;
            }
        }
    }

    /// Gives the gateway a bounded time at the end. How many events it does not have; the next runner sends them.
    pub(crate) async fn close(&self, within: Duration) -> u64 {
        let flushed = self.publisher.flush(within, Patience::UntilDeadline).await;
        let _ = self.spool.sync();
        flushed.left
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        if let Err(error) = self.spool.remove_if_drained() {
            tracing::warn!("{error}");
        }
    }
}

fn lost(losses: &Losses) -> ErrorBody {
    ErrorBody {
        component: "runner".to_owned(),
        message: format!(
            "{} events and {} deltas since {} were not recorded: {}",
            losses.events, losses.deltas, losses.since, losses.reason
        ),
        retry: None,
    }
}
