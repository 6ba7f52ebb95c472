//! An agent's downlink: the one connection, opened from the agent's side, over which orders reach it, through NAT and proxies.
//!
//! - Every order is given out once and in order, through any number of connections: a [`Downlink`] comes back to where it was.
//!   An agent that keeps [`Downlink::position`] with what it has taken on goes on from there when it is started again.
//! - A stream on which nothing comes for 40 s (a server sends something every 15 s) is dead. After three streams in a row that
//!   came to nothing the network does not let streams through, and the downlink waits for the same orders by long-poll; after
//!   five minutes it tries a stream again.
//! - It comes back after growing, spread waits, not before the server wants it (`retry:`, `Retry-After`). What coming back does
//!   not mend ends it: a token that is not known, or not this agent's any more; see [`Ended`].
//! - A server may have several addresses ([`Builder::mirrors`]): when one cannot be connected to, the next one is tried. The one
//!   that worked is the one that is asked from then on; a stream that is lost later comes back to it first.
//!
//! An order is a request. The agent says what becomes of it with [`Downlink::ack`]: [`Said::Acked`] before it begins, and only
//! when that [stands](Verdict::Stands) does it begin, for the order may have been withdrawn meanwhile; then [`Said::Done`] or
//! [`Said::Failed`].
//!
//! ```no_run
//! use turnwire_client::{
//!     Endpoint, Error,
//!     downlink::{Downlink, Item, Said, Verdict},
//! };
//!
//! # async fn obey() -> Result<(), Error> {
//! let endpoint = Endpoint::new("https://turnwire.example.org", Some("the agent's token"))?;
//! let mut link = Downlink::builder(endpoint).connect();
//! while let Some(item) = link.next().await {
//!     match item {
//!         Item::Order(order) if order.action == "hold" => {
//!             if link.ack(order.id, Said::Acked).await? == Verdict::Stands {
//!                 // … hold, and then
//!                 let _ = link.ack(order.id, Said::Done).await?;
//!             }
//!         }
//!         Item::Order(order) => {
//!             let _ = link.ack(order.id, Said::Failed("this agent cannot do that".into())).await?;
//!         }
//!         _ => {}
//!     }
//! }
//! eprintln!("{}", link.ended().await);
//! # Ok(())
//! # }
//! ```

mod answer;
mod handle;
mod health;
mod link;
mod mirrors;
mod order;
mod seen;
mod state;

use std::{fmt, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use turnwire_proto::{Epoch, EventId, Name, Seq};

use crate::{Endpoint, Error};
use handle::Shared;
use link::{Link, Place};
use mirrors::Mirrors;

pub use handle::{Handle, Said, Verdict};
pub use order::{Item, Order};
pub use state::{Ended, State};

/// Silence after which a connection is dead: two heartbeats (15 s each) lost, and some.
const LIVENESS: Duration = Duration::from_secs(40);
/// How long to poll before a stream is tried again: networks change when machines move.
const POLL_FOR: Duration = Duration::from_secs(300);
/// Orders that have come and are not asked for yet. The rest waits in the server's log.
const AHEAD: usize = 16;

/// How a downlink is to be. See [`Downlink::builder`].
#[must_use]
#[derive(Debug)]
pub struct Builder {
    endpoint: Endpoint,
    mirrors: Vec<Endpoint>,
    agent: Option<Name>,
    place: Place,
    liveness: Duration,
    poll_for: Duration,
}

impl Builder {
    /// More addresses of the same server, in the order in which they are tried. One that is there already is not added again.
    pub fn mirrors(mut self, mirrors: impl IntoIterator<Item = Endpoint>) -> Self {
        self.mirrors.extend(mirrors);
        self
    }

    /// Which agent this is, for a token that may be several; any other token says it itself.
    pub fn agent(mut self, name: Name) -> Self {
        self.agent = Some(name);
        self
    }

    /// Goes on behind this place: what [`Downlink::position`] was. Without it, all that is open comes.
    pub const fn after(mut self, after: Seq, epoch: Option<Epoch>) -> Self {
        self.place = Place {
            after: Some(after),
            epoch,
        };
        self
    }

    /// A connection is dead after this much silence instead of 40 s. Long-polls last five eighths of it, at most 25 s.
    pub const fn liveness(mut self, silence: Duration) -> Self {
        self.liveness = silence;
        self
    }

    /// A stream is tried again after so much polling instead of five minutes.
    pub const fn poll_for(mut self, poll_for: Duration) -> Self {
        self.poll_for = poll_for;
        self
    }

    /// Opens the downlink, which stays open until it is closed, dropped, or [ended](Ended) by the server.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn connect(self) -> Downlink {
        let shared = Arc::new(Shared {
            mirrors: Mirrors::new(self.endpoint, self.mirrors),
            agent: self.agent,
            state: watch::Sender::new(State::Connecting),
            heard: watch::Sender::new(None),
            closing: watch::Sender::new(false),
        });
        let (sender, items) = mpsc::channel(AHEAD);
        let link = Link::new(Arc::clone(&shared), sender, self.place, self.liveness, self.poll_for);
        let handle = Handle(Arc::clone(&shared));
        let mut tasks = JoinSet::new();
        // Made here, since a task that is aborted before it runs makes nothing.
        let last = Last(shared);
        tasks.spawn(async move {
            let mut closing = last.0.closing.subscribe();
            let why = tokio::select! {
                // Both may be dropped anywhere: what was not given out comes again to the next downlink.
                biased;
                _ = closing.wait_for(|closing| *closing) => Ended::Closed,
                why = Box::pin(link.run()) => why,
            };
            last.0.stands(State::Ended { why });
        });
        Downlink {
            handle,
            items,
            place: self.place,
            _tasks: tasks,
        }
    }
}

/// The end is told however it comes about: when the downlink is dropped, too.
struct Last(Arc<Shared>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.stands(State::Ended { why: Ended::Closed });
    }
}

/// An agent's downlink. It is read in the background until it is dropped; see [the module](self).
pub struct Downlink {
    handle: Handle,
    items: mpsc::Receiver<(Item, Place)>,
    /// Of what was given out last.
    place: Place,
    _tasks: JoinSet<()>,
}

impl Downlink {
    /// A downlink to the server at `endpoint`, as the agent whose token that has.
    pub const fn builder(endpoint: Endpoint) -> Builder {
        Builder {
            endpoint,
            mirrors: Vec::new(),
            agent: None,
            place: Place {
                after: None,
                epoch: None,
            },
            liveness: LIVENESS,
            poll_for: POLL_FOR,
        }
    }

    /// The next item; `None` when the downlink has ended, which [`Downlink::ended`] explains. Cancel-safe: a call that is dropped
    /// loses nothing.
    pub async fn next(&mut self) -> Option<Item> {
        let item = self.items.recv().await;
        if let Some((item, place)) = item
            && !*self.handle.0.closing.borrow()
        {
            self.place = place;
            return Some(item);
        }
        self.ended().await;
        None
    }

    /// The place up to which everything was given out by [`Downlink::next`], and the log that it is a place in, where that is
    /// known: what a later downlink goes on behind ([`Builder::after`]). `None` until there is one.
    #[must_use]
    pub const fn position(&self) -> Option<(Seq, Option<Epoch>)> {
        match self.place.after {
            Some(after) => Some((after, self.place.epoch)),
            None => None,
        }
    }

    /// For other tasks, and for all that is not here.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.handle.state()
    }

    /// [`Handle::ack`].
    ///
    /// # Errors
    /// What saying it again does not mend.
    pub async fn ack(&self, id: EventId, said: Said) -> Result<Verdict, Error> {
        self.handle.ack(id, said).await
    }

    /// [`Handle::sync`].
    ///
    /// # Errors
    /// As there.
    pub async fn sync<R: Serialize + ?Sized>(&self, report: &R) -> Result<Vec<Item>, Error> {
        self.handle.sync(report).await
    }

    /// [`Handle::close`].
    pub fn close(&self) {
        self.handle.close();
    }

    /// [`Handle::ended`].
    pub async fn ended(&self) -> Ended {
        self.handle.ended().await
    }
}

impl fmt::Debug for Downlink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Downlink")
            .field("handle", &self.handle)
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}
