//! What the runner and its sessions share.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{sync::watch, task::JoinSet};
use turnwire_adapters::Spec as AdapterSpec;
use turnwire_client::{
    downlink::{Handle, Said, State as Link},
    publish::Locate,
};
use turnwire_proto::{EventId, Name, Object};

use crate::{
    config::{Pace, Tell},
    drivers::{Setup, Spec},
    login::Login,
    outbox::Outbox,
    slots::Slots,
    state::{End, StateError, Store},
};

/// What happens, for whoever runs the runner.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// How the downlink stands.
    Link(Link),
    /// An order has come to its end.
    Order {
        /// Which.
        id: EventId,
        /// `done`, or why not.
        end: Result<(), String>,
    },
    /// A turn has begun.
    TurnBegan {
        /// In this session.
        session: Name,
        /// With this id.
        turn: Name,
    },
    /// A turn has ended.
    TurnEnded {
        /// In this session.
        session: Name,
        /// With this id.
        turn: Name,
        /// As it should.
        ok: bool,
        /// What is to be said beside.
        note: Option<String>,
    },
    /// A session's agent is online, rate limited, or needs a login.
    Status {
        /// The session.
        session: Name,
        /// In the word of `status_changed`.
        status: &'static str,
    },
    /// Something that a person should know.
    Trouble(String),
}

/// What a session does, for the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doing {
    pub state: &'static str,
    pub model: Option<Name>,
}

/// Shared by all.
pub(crate) struct Shared {
    pub agent: Name,
    pub spec: &'static Spec,
    pub setup: Setup,
    pub pace: Pace,
    pub store: Store,
    pub outbox: Outbox,
    pub link: Handle,
    pub locate: Arc<dyn Locate>,
    pub slots: Slots,
    pub login: Login,
    /// A setting has changed: a hold, a model. A wake-up.
    pub settings: watch::Sender<()>,
    /// The report would be another one now. A wake-up.
    pub reported: watch::Sender<()>,
    pub stop: watch::Sender<bool>,
    doing: Mutex<BTreeMap<Name, Doing>>,
    /// Of the vendor's program, as it says it.
    version: Mutex<Option<Name>>,
    /// Results on their way to the gateway: at most one an open order.
    errands: Mutex<JoinSet<()>>,
    tell: Tell,
}

impl Shared {
    pub(crate) fn new(config: &crate::Config, store: Store, outbox: Outbox, link: Handle) -> Self {
        Self {
            agent: config.agent.clone(),
            spec: config.driver,
            setup: config.setup.clone(),
            pace: config.pace,
            store,
            outbox,
            link,
            locate: Arc::clone(&config.locate),
            slots: Slots::new(config.max_live),
            login: Login::new(config.pace.login, config.pace.login_least),
            settings: watch::Sender::new(()),
            reported: watch::Sender::new(()),
            stop: watch::Sender::new(false),
            doing: Mutex::default(),
            version: Mutex::default(),
            errands: Mutex::default(),
            tell: Arc::clone(&config.tell),
        }
    }

    pub(crate) fn tell(&self, notice: Notice) {
        (self.tell)(notice);
    }

    pub(crate) fn adapter(&self, name: &str) -> &'static AdapterSpec {
        // Invariant: a driver names one of ours; a test holds every driver to it.
        turnwire_adapters::by_name(name).expect("a driver's adapter is one of ours")
    }

    /// A session does something else.
    pub(crate) fn does(&self, session: &Name, doing: Doing) {
        let mut all = self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        if all.get(session) != Some(&doing) {
            all.insert(session.clone(), doing);
            drop(all);
            self.reported.send_replace(());
        }
    }

    /// The vendor's program says which version it is.
    pub(crate) fn runs(&self, version: Option<Name>) {
        let mut known = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        if version.is_some() && *known != version {
            *known = version;
            self.reported.send_replace(());
        }
    }

    pub(crate) fn version(&self) -> Option<Name> {
        self.version.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn forget(&self, session: &Name) {
        self.doing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(session);
    }

    pub(crate) fn doing(&self) -> BTreeMap<Name, Doing> {
        self.doing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes down what came of an order, and tells the gateway once the events before it are there.
    pub(crate) async fn finish(self: &Arc<Self>, id: EventId, end: End) -> Result<(), StateError> {
        self.store.change(|state| state.finish(id, end.clone())).await?;
        self.tell_end(id, end);
        Ok(())
    }

    /// Tells the gateway, in the background.
    pub(crate) fn tell_end(self: &Arc<Self>, id: EventId, end: End) {
        let shared = Arc::clone(self);
        self.errand(async move {
            shared.outbox.published(shared.pace.published).await;
            let (said, told) = match end {
                End::Done(None) => (Said::Done, Ok(())),
                End::Done(Some(result)) => (Said::DoneWith(result), Ok(())),
                End::Failed(why) => (Said::Failed(why.clone()), Err(why)),
            };
            match shared.link.ack(id, said).await {
                Ok(_) => shared.tell(Notice::Order { id, end: told }),
                // It is tried again by the next runner, unless the server will never take it.
                Err(error) if error.retry() => return,
                Err(error) => shared.tell(Notice::Trouble(format!("order {id}: {error}"))),
            }
            if let Err(error) = shared.store.change(|state| state.told(id)).await {
                shared.tell(Notice::Trouble(error.to_string()));
            }
        });
    }

    /// Refuses an order that was not taken on.
    pub(crate) fn refuse(self: &Arc<Self>, id: EventId, why: &str) {
        let (shared, why) = (Arc::clone(self), why.to_owned());
        self.errand(async move {
            let told = shared.link.ack(id, Said::Failed(why.clone())).await;
            match told {
                Ok(_) => shared.tell(Notice::Order { id, end: Err(why) }),
                Err(error) => shared.tell(Notice::Trouble(format!("order {id}: {error}"))),
            }
        });
    }

    pub(crate) fn errand(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut errands = self.errands.lock().unwrap_or_else(PoisonError::into_inner);
        while errands.try_join_next().is_some() {}
        errands.spawn(work);
    }

    /// Waits until every errand is done.
    pub(crate) async fn errands(&self) {
        loop {
            let mut taken = std::mem::take(&mut *self.errands.lock().unwrap_or_else(PoisonError::into_inner));
            if taken.is_empty() {
                return;
            }
            while taken.join_next().await.is_some() {}
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}

/// The result of a turn.
pub(crate) fn result(session: &Name, turn: &Name, ok: bool, note: Option<&str>) -> Object {
    #[derive(serde::Serialize)]
    struct Result<'a> {
        turn_id: &'a Name,
        session_id: &'a Name,
        ok: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<&'a str>,
    }
    Object::of(&Result {
        turn_id: turn,
        session_id: session,
        ok,
        note: note.map(|note| &note[..note.floor_char_boundary(turnwire_proto::limits::REASON)]),
    })
}
