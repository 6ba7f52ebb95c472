//! Who asks.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use serde::{Deserialize, Serialize};
use turnwire_proto::{Name, Reach, Scope, Scopes, Timestamp, Visibility};

/// What a token was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// A browser: the secret lives only in its cookie.
    Browser,
    /// The command line on the same machine.
    Local,
    /// A program or a person: whoever was shown the secret.
    Token,
    /// Whoever has a share link: one session is read by it, and nothing else seen.
    Share,
}

/// A last use is kept to the second: a store to shared memory for every request would make the processors' caches wait.
const USE_STEP_MS: i64 = 1000;

/// Who asks: a token, whatever brought it. Shared by all its requests and streams, and told when it ends.
#[derive(Debug)]
pub struct Principal {
    pub(super) id: String,
    pub(super) name: Name,
    pub(super) kind: TokenKind,
    pub(super) scopes: Scopes,
    pub(super) created: Timestamp,
    pub(super) expires: Option<Timestamp>,
    visibility: Option<Visibility>,
    revoked: AtomicBool,
    /// Milliseconds since 1970; zero for never.
    used: AtomicI64,
    /// What of `used` the store has.
    used_stored: AtomicI64,
}

/// What a token may see: of a share link, not even what is public to those who have a token of their own.
fn sees(kind: TokenKind, scopes: &Scopes) -> Option<Visibility> {
    match (kind, scopes.0.as_slice()) {
        (TokenKind::Share, [Scope::Read(Reach::Session(id))]) => Some(Visibility::Only(id.clone())),
        _ => scopes.visibility(),
    }
}

impl Principal {
    pub(super) fn new(id: String, name: Name, kind: TokenKind, scopes: Scopes, created: Timestamp) -> Self {
        Self {
            id,
            name,
            kind,
            visibility: sees(kind, &scopes),
            scopes,
            created,
            expires: None,
            revoked: AtomicBool::new(false),
            used: AtomicI64::new(0),
            used_stored: AtomicI64::new(0),
        }
    }

    /// For a server without authentication: may do everything.
    pub(super) fn anonymous() -> Self {
        let name = Name::new("anonymous").expect("it is short and plain");
        let scopes = Scopes(vec![Scope::Admin]);
        Self::new("anonymous".into(), name, TokenKind::Token, scopes, Timestamp::now())
    }

    /// The token's id, by which it is listed and revoked. No secret.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The name that people gave it.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// What it was made for.
    #[must_use]
    pub const fn kind(&self) -> TokenKind {
        self.kind
    }

    /// What it may do.
    #[must_use]
    pub const fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// What it may see; `None` when nothing.
    #[must_use]
    pub const fn visibility(&self) -> Option<&Visibility> {
        self.visibility.as_ref()
    }

    /// When it was made.
    #[must_use]
    pub const fn created(&self) -> Timestamp {
        self.created
    }

    /// When it ends by itself.
    #[must_use]
    pub const fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// Why it is no more: `token_expired` or `token_revoked`, as a stream's last frame says it. Costs nanoseconds.
    #[must_use]
    pub fn is_ended(&self) -> Option<&'static str> {
        if self.revoked.load(Ordering::Acquire) {
            return Some("token_revoked");
        }
        self.expires
            .is_some_and(|end| end <= Timestamp::now())
            .then_some("token_expired")
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    pub(super) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// Ends it; whether it was not ended before.
    pub(super) fn revoke(&self) -> bool {
        !self.revoked.swap(true, Ordering::AcqRel)
    }

    pub(super) fn touch(&self, now: Timestamp) {
        let used = self.used.load(Ordering::Relaxed);
        if now.millis() - used >= USE_STEP_MS {
            self.used.store(now.millis(), Ordering::Relaxed);
        }
    }

    /// When it was last used, to the second.
    #[must_use]
    pub fn last_used(&self) -> Option<Timestamp> {
        let used = self.used.load(Ordering::Relaxed);
        (used != 0).then(|| Timestamp::from_millis(used)).flatten()
    }

    /// The store says that it was used then, by another process perhaps.
    pub(super) fn used_by_store(&self, at: Option<Timestamp>) {
        let at = at.map_or(0, Timestamp::millis);
        self.used.fetch_max(at, Ordering::Relaxed);
        self.used_stored.fetch_max(at, Ordering::Relaxed);
    }

    /// The last use that the store does not know of yet.
    pub(super) fn unstored_use(&self) -> Option<Timestamp> {
        let stored = self.used_stored.load(Ordering::Relaxed);
        self.last_used().filter(|used| used.millis() > stored)
    }
}
