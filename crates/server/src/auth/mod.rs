//! Who asks, and what they may.
//!
//! [`Auth`] is the one handle. A request proves itself by a token (header or cookie) or by a ticket made with one, and becomes a
//! [`Grant`], without which nothing of the hub can be reached. Tokens live in the store ([`turnwire_log::Kv`]), so that the
//! command line can make and revoke them beside a running server; secrets are kept only as hashes.

pub(crate) mod cookie;
mod denied;
mod grant;
pub mod local;
mod pairing;
mod principal;
mod record;
mod registry;
mod resource;
mod secret;
mod service;
mod ticket;

use std::{
    fmt,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderValue};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use turnwire_log::{Kv, Level, StoreError};
use turnwire_proto::{Epoch, Name, Scopes, Timestamp};

pub use cookie::COOKIE;
pub use denied::Denied;
pub use grant::{Action, Admin, Agent, Anyone, Attend, Chat, Control, Grant, Publish, Read, Standing, Via};
pub use pairing::{CODE_TTL, LOCKED_OUT, MAX_CODES, PairingCode, TRIES, TRIES_OF_ALL};
pub use principal::{Principal, TokenKind};
pub use registry::{ChangeError, MAX_TOKENS, Minted, NewToken};
pub use resource::InvalidResource;
pub use secret::{Secret, TOKEN_PREFIX};
pub(crate) use service::{Called, Service};
pub use service::{Encoding, InvalidProof, Proof, Signing};
pub use ticket::{FIRST_USE, MAX_TICKETS, MAX_TICKETS_EACH, RECONNECT, TicketKind, TooManyTickets};

use pairing::{Lockout, Offer};
use registry::Registry;
use ticket::Tickets;

/// How often last uses are written: at most so often for each token.
const FLUSH: Duration = Duration::from_mins(1);
/// The least time between two readings of the store that changes cause.
const REFRESH_PAUSE: Duration = Duration::from_millis(100);
/// How soon the store is read again after it could not be.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How often the clock is looked at for expiries at the least: it may have been set meanwhile, or the machine have slept.
const CLOCK: Duration = Duration::from_secs(30);

/// Who may do what on this server. Cheap to clone.
#[derive(Clone)]
pub struct Auth {
    inner: Arc<Inner>,
    /// The name of its cookie.
    cookie: Arc<str>,
}

struct Inner {
    mode: Mode,
    tickets: Arc<Tickets>,
    lockout: Lockout,
    locked_out: AtomicU64,
}

enum Mode {
    Tokens(Box<Registry>),
    /// Everybody is this one, who may do everything.
    Off {
        anonymous: Arc<Principal>,
        never: watch::Sender<u64>,
    },
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("disabled", &self.is_disabled())
            .finish_non_exhaustive()
    }
}

/// Somebody who types a pairing code.
#[derive(Clone)]
pub struct Pairing<'a> {
    /// What they typed.
    pub code: &'a str,
    /// The name that they want the token to have; else it is the code's.
    pub name: Option<Name>,
    /// What they seem to come with, for when nobody has named the token.
    pub device: Option<Name>,
    /// What the token is for.
    pub kind: TokenKind,
    /// Where they come from.
    pub from: IpAddr,
}

impl fmt::Debug for Pairing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pairing")
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

/// Why a pairing code gave no token.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// The code is wrong, was used, or is too old.
    #[error("the code is wrong, was used, or is too old; tries left: {left}")]
    Wrong {
        /// Tries that are left.
        left: u32,
    },
    /// Too many wrong codes.
    #[error("too many wrong codes: pairing is closed for {} seconds", wait.as_secs().max(1))]
    LockedOut {
        /// For how long.
        wait: Duration,
    },
    /// The token could not be made.
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Figures for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Tokens in memory, revoked ones that are remembered among them; at most [`MAX_TOKENS`].
    pub tokens: usize,
    /// Tickets in memory.
    pub tickets: usize,
    /// Pairing attempts that were refused unseen.
    pub locked_out: u64,
    /// How full the store's queue is.
    pub queue: Option<Level>,
}

impl Auth {
    /// Reads the tokens of a store. [`Auth::keep`] keeps them up to date.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn open(kv: Arc<dyn Kv>) -> Result<Self, StoreError> {
        Ok(Self::of(Mode::Tokens(Box::new(Registry::open(kv).await?))))
    }

    /// No authentication: everybody may do everything. For `--no-auth`, on loopback only.
    #[must_use]
    pub fn disabled() -> Self {
        tracing::warn!("AUTHENTICATION IS OFF: whoever reaches this server may read, write and administer everything");
        Self::of(Mode::Off {
            anonymous: Arc::new(Principal::anonymous()),
            never: watch::Sender::new(0),
        })
    }

    fn of(mode: Mode) -> Self {
        Self {
            inner: Arc::new(Inner {
                mode,
                tickets: Arc::default(),
                lockout: Lockout::default(),
                locked_out: AtomicU64::new(0),
            }),
            cookie: COOKIE.into(),
        }
    }

    /// The same with a cookie of its own among those of other gateways on this host, which see one another's.
    #[must_use]
    pub fn of_log(self, epoch: Epoch) -> Self {
        let cookie = cookie::name(epoch).into();
        Self { cookie, ..self }
    }

    /// The token in the cookie, if there is one.
    pub(crate) fn cookie<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        cookie::session(headers, &self.cookie)
    }

    pub(crate) fn set_cookie(&self, secret: &Secret, secure: bool) -> HeaderValue {
        cookie::set(&self.cookie, secret, secure)
    }

    pub(crate) fn remove_cookie(&self, secure: bool) -> HeaderValue {
        cookie::remove(&self.cookie, secure)
    }

    /// Whether there is no authentication.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.anonymous().is_some()
    }

    fn anonymous(&self) -> Option<&Arc<Principal>> {
        match &self.inner.mode {
            Mode::Tokens(_) => None,
            Mode::Off { anonymous, .. } => Some(anonymous),
        }
    }

    fn registry(&self) -> Result<&Registry, ChangeError> {
        match &self.inner.mode {
            Mode::Tokens(registry) => Ok(registry),
            Mode::Off { .. } => Err(ChangeError::Off),
        }
    }

    fn tickets(&self) -> &Arc<Tickets> {
        &self.inner.tickets
    }

    /// Keeps the memory like the store, writes last uses, and tells streams when a token expires. Runs until it is dropped: give
    /// it to a task. Without it, another process's revocations are not seen.
    pub async fn keep(self) {
        let Ok(registry) = self.registry() else {
            return std::future::pending().await;
        };
        let mut changes = registry.kv.changes();
        // What changed between `open` and now.
        changes.mark_changed();
        let mut looked = Timestamp::now();
        let mut flush = Instant::now() + FLUSH;
        let mut refresh = None;
        loop {
            let now = Timestamp::now();
            let (expired, next) = registry.expiries(looked, now);
            looked = now;
            if expired {
                registry.bump();
            }
            let until_next = next.map_or(CLOCK, |next| {
                Duration::from_millis(u64::try_from(next.millis() - now.millis()).unwrap_or(0))
            });
            // Each branch is cancel-safe: none holds anything.
            tokio::select! {
                changed = changes.changed(), if refresh.is_none() => {
                    if changed.is_err() {
                        return; // The store is gone, and with it the server.
                    }
                    refresh = Some(Instant::now());
                }
                () = sleep_until(refresh.unwrap_or(flush)), if refresh.is_some() => {
                    refresh = match registry.refresh().await {
                        // Whatever changes meanwhile is read together.
                        Ok(()) if changes.has_changed().unwrap_or(false) => Some(Instant::now() + REFRESH_PAUSE),
                        Ok(()) => None,
                        Err(error) => {
                            tracing::warn!(%error, "tokens cannot be read: changes by other processes are not seen");
                            Some(Instant::now() + RETRY_PAUSE)
                        }
                    };
                }
                () = sleep(until_next.min(CLOCK)) => {}
                () = sleep_until(flush) => {
                    self.flush().await;
                    self.tickets().sweep();
                    flush = Instant::now() + FLUSH;
                }
            }
        }
    }

    /// Writes last uses now: at shutdown.
    pub async fn flush(&self) {
        if let Ok(registry) = self.registry()
            && let Err(error) = registry.flush_uses().await
        {
            tracing::warn!(%error, "when tokens were last used cannot be written");
        }
    }

    /// Who a token is of. No waiting: for the path of every request.
    ///
    /// # Errors
    /// It is not known, has expired or was revoked.
    pub fn authenticate(&self, secret: &str) -> Result<Arc<Principal>, Denied> {
        match &self.inner.mode {
            Mode::Tokens(registry) => registry.authenticate(secret, Timestamp::now()),
            Mode::Off { anonymous, .. } => Ok(Arc::clone(anonymous)),
        }
    }

    /// The same; a token that is not known is looked for in the store, at a bounded pace, before it is refused.
    ///
    /// # Errors
    /// It is not known, has expired or was revoked, or the store cannot say.
    pub async fn authenticate_or_read(&self, secret: &str) -> Result<Arc<Principal>, Denied> {
        match &self.inner.mode {
            Mode::Tokens(registry) => registry.authenticate_or_read(secret).await,
            Mode::Off { anonymous, .. } => Ok(Arc::clone(anonymous)),
        }
    }

    /// A number that changes whenever any token has ended. All streams may wait on one, and look at their own principal
    /// when it changes.
    #[must_use]
    pub fn revisions(&self) -> watch::Receiver<u64> {
        match &self.inner.mode {
            Mode::Tokens(registry) => registry.revisions(),
            Mode::Off { never, .. } => never.subscribe(),
        }
    }

    /// Makes a token.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn create_token(&self, new: NewToken) -> Result<Minted, ChangeError> {
        self.registry()?.create(new).await
    }

    /// Ends a token at once: when it returns, no request with it is let in, and its streams have been told. Other processes
    /// know within a second.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn revoke(&self, id: &str) -> Result<(), ChangeError> {
        self.registry()?.revoke(id).await
    }

    /// All tokens but revoked ones, oldest first.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn tokens(&self) -> Result<Vec<Arc<Principal>>, StoreError> {
        match &self.inner.mode {
            Mode::Tokens(registry) => registry.list().await,
            Mode::Off { .. } => Ok(Vec::new()),
        }
    }

    /// Makes a pairing code: whoever types it within `ttl` gets a token of these scopes, once.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn new_pairing_code(
        &self,
        name: Option<Name>,
        scopes: Scopes,
        ttl: Duration,
    ) -> Result<PairingCode, ChangeError> {
        self.new_pairing_code_until(name, scopes, ttl, None).await
    }

    pub(crate) async fn new_pairing_code_until(
        &self,
        name: Option<Name>,
        scopes: Scopes,
        ttl: Duration,
        token_expires: Option<Timestamp>,
    ) -> Result<PairingCode, ChangeError> {
        let kv = &self.registry()?.kv;
        let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        let expires = Timestamp::from_millis(Timestamp::now().millis().saturating_add(ttl));
        let offer = Offer {
            name,
            scopes,
            // Beyond the year 9999 is for ever.
            expires: expires.unwrap_or_else(Timestamp::now),
            token_expires,
        };
        pairing::offer(&**kv, &offer).await
    }

    /// Turns a pairing code into a token.
    ///
    /// # Errors
    /// See [`PairError`].
    pub async fn pair(&self, pairing: Pairing<'_>) -> Result<Minted, PairError> {
        let registry = self.registry()?;
        let from = pairing.from;
        let left = self.inner.lockout.begin(from).map_err(|wait| {
            self.inner.locked_out.fetch_add(1, Ordering::Relaxed);
            PairError::LockedOut { wait }
        })?;
        let taken = pairing::take(&*registry.kv, pairing.code, Timestamp::now()).await;
        let (hash, offer) = match taken {
            Ok(Some(taken)) => taken,
            Ok(None) => {
                tracing::warn!(%from, left, "a wrong pairing code was tried");
                return Err(PairError::Wrong { left });
            }
            Err(error) => {
                self.inner.lockout.undecided(from);
                return Err(ChangeError::from(error).into());
            }
        };
        self.inner.lockout.right(from);
        let default = || Name::new("paired").expect("it is short and plain");
        let new = NewToken {
            name: pairing
                .name
                .or_else(|| offer.name.clone())
                .or(pairing.device)
                .unwrap_or_else(default),
            kind: pairing.kind,
            scopes: offer.scopes.clone(),
            expires: offer.token_expires,
        };
        let made = registry.create(new).await;
        if made.is_err() {
            // The code has given nothing yet. If the store does not take it back, another has to be made.
            let _ = pairing::put_back(&*registry.kv, hash, &offer).await;
        }
        Ok(made?)
    }

    /// Makes a ticket for a path and query, which waits [`FIRST_USE`] for its first use.
    ///
    /// # Errors
    /// The resource is none, or there are too many tickets.
    pub fn issue_ticket(
        &self,
        principal: &Arc<Principal>,
        path_and_query: &str,
        kind: TicketKind,
    ) -> Result<Secret, TicketError> {
        let (path, query) = path_and_query
            .split_once('?')
            .map_or((path_and_query, None), |(path, query)| (path, Some(query)));
        let resource = resource::canonical(path, query)?;
        Ok(self.tickets().issue(principal, resource, kind)?)
    }

    /// Figures for the metrics.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            tokens: self.registry().map_or(0, Registry::count),
            tickets: self.tickets().count(),
            locked_out: self.inner.locked_out.load(Ordering::Relaxed),
            queue: self.registry().ok().and_then(|registry| registry.kv.level()),
        }
    }

    /// Looks whether the store of tokens can be read now.
    ///
    /// # Errors
    /// It cannot.
    pub async fn check(&self) -> Result<(), StoreError> {
        match self.registry() {
            Ok(registry) => registry.kv.get("check", "none").await.map(drop),
            Err(_) => Ok(()),
        }
    }
}

/// Why there is no ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// What it is for is no path and query.
    #[error(transparent)]
    Resource(#[from] InvalidResource),
    /// There are too many.
    #[error(transparent)]
    TooMany(#[from] TooManyTickets),
}

#[cfg(test)]
mod tests;
