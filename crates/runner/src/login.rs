//! Whether somebody is signed in to the vendor. While nobody is, one turn waits and is tried again now and then; no other begins.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use turnwire_proto::Name;

/// How it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    #[default]
    Unknown,
    Ok,
    Needed,
    InProgress,
}

impl Standing {
    /// The report's word.
    pub(crate) const fn word(self) -> Option<&'static str> {
        match self {
            Self::Unknown => None,
            Self::Ok => Some("ok"),
            Self::Needed => Some("needs_login"),
            Self::InProgress => Some("in_progress"),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Login {
    standing: watch::Sender<Standing>,
    tries: Mutex<Tries>,
    every: Duration,
    least: Duration,
}

#[derive(Debug, Default)]
struct Tries {
    last: Option<Instant>,
    /// A new message is a reason to look sooner.
    wanted: bool,
    /// The sessions whose turns wait for a login and are tried again.
    waiting: BTreeSet<Name>,
}

impl Login {
    /// Tried every so often, and not before `least` has passed when a message comes.
    pub(crate) fn new(every: Duration, least: Duration) -> Self {
        Self {
            standing: watch::Sender::default(),
            tries: Mutex::default(),
            every,
            least,
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        *self.standing.borrow()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// Whether it changed.
    pub(crate) fn set(&self, standing: Standing) -> bool {
        self.standing
            .send_if_modified(|now| std::mem::replace(now, standing) != standing)
    }

    /// A turn is tried now; until its end is known no other is.
    pub(crate) fn trying(&self) {
        let mut tries = self.tries();
        tries.last = Some(Instant::now());
        tries.wanted = false;
    }

    /// A session's turn waits for a login.
    pub(crate) fn waits(&self, session: &Name) {
        self.tries().waiting.insert(session.clone());
    }

    /// It does not wait any more, however that came about.
    pub(crate) fn waits_no_more(&self, session: &Name) {
        if self.tries().waiting.remove(session) {
            self.standing.send_modify(|_| {});
        }
    }

    /// Whether a new turn may begin as far as a login is concerned: while one is needed, only when no other turn finds it out.
    pub(crate) fn may_begin(&self) -> bool {
        match self.standing() {
            Standing::Unknown | Standing::Ok => true,
            Standing::Needed | Standing::InProgress => self.not_before().is_none() && self.tries().waiting.is_empty(),
        }
    }

    /// A message has come.
    pub(crate) fn wanted(&self) {
        if matches!(self.standing(), Standing::Needed | Standing::InProgress) {
            self.tries().wanted = true;
            // All look at when the next try is.
            self.standing.send_modify(|_| {});
        }
    }

    /// When a turn may be tried; `None` for now.
    pub(crate) fn not_before(&self) -> Option<Instant> {
        if matches!(self.standing(), Standing::Unknown | Standing::Ok) {
            return None;
        }
        let tries = self.tries();
        let wait = if tries.wanted { self.least } else { self.every };
        tries.last.map(|last| last + wait).filter(|at| *at > Instant::now())
    }

    fn tries(&self) -> std::sync::MutexGuard<'_, Tries> {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
