//! How a store hands on what it has just committed, so that a cache need not read it back.

use std::sync::Arc;

use turnwire_proto::{Kind, Name, NewEvent, Seq, Subject};

use crate::Page;

/// What selectors look at, kept beside a frame.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its `type`.
    pub kind: Kind,
    /// What made it.
    pub source: Name,
    /// The named worker.
    pub agent: Option<Name>,
    /// The conversation.
    pub session: Option<Name>,
}

impl Facts {
    /// Of an event that goes in.
    #[must_use]
    pub fn of(event: &NewEvent) -> Self {
        Self {
            kind: event.kind.clone(),
            source: event.source.clone(),
            agent: event.agent.clone(),
            session: event.session_id.clone(),
        }
    }

    /// What a selector is asked about.
    #[must_use]
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            kind: self.kind.as_str(),
            source: self.source.as_str(),
            agent: self.agent.as_ref().map(Name::as_str),
            session: self.session.as_ref().map(Name::as_str),
        }
    }
}

/// Takes what was committed. Called from the store's own thread: it must be quick and must not call the store.
pub trait Sink: Send + Sync {
    /// `page` is durable and follows the last one without a hole; `facts` has one entry a frame. Called before any append of
    /// it returns.
    fn committed(&self, page: Page, facts: Arc<[Facts]>);

    /// Everything before `first` was deleted; `everything` when events in the middle were deleted, too.
    fn trimmed(&self, first: Seq, everything: bool);
}
