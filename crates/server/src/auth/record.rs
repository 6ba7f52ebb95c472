//! A token as the store keeps it.

use serde::{Deserialize, Serialize};
use turnwire_log::kv::Entry;
use turnwire_proto::{Name, Scopes, Timestamp};

use super::{
    principal::{Principal, TokenKind},
    secret::Hash,
};

/// The bucket of tokens, by id.
pub(super) const BUCKET: &str = "tokens";
/// The form of [`Record`]. A record of another is of a newer Turnwire: it is left alone, and its token is not known.
const VERSION: u32 = 1;
/// How long a revoked token is remembered, so that who still has it is told 410 and not 401: a quarter.
const REVOKED_MS: i64 = 90 * 86_400_000;
/// How long an expired token is listed: a month, so that people see what has stopped working.
const EXPIRED_MS: i64 = 30 * 86_400_000;

/// A token as the store keeps it: all but the secret.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    version: u32,
    hash: String,
    pub(super) name: Name,
    pub(super) kind: TokenKind,
    pub(super) scopes: Scopes,
    pub(super) created: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_used: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) revoked: Option<Timestamp>,
}

/// Why a record is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("it cannot be read: {0}")]
    Damaged(#[from] serde_json::Error),
    #[error("its version is {0}, and this Turnwire knows {VERSION}")]
    Version(u32),
    #[error("its hash is none")]
    Hash,
}

impl Record {
    pub(super) fn new(hash: Hash, name: Name, kind: TokenKind, scopes: Scopes, created: Timestamp) -> Self {
        Self {
            version: VERSION,
            hash: hash.to_hex(),
            name,
            kind,
            scopes,
            created,
            expires: None,
            last_used: None,
            revoked: None,
        }
    }

    pub(super) fn read(entry: &Entry) -> Result<(Self, Hash), Unusable> {
        let record: Self = serde_json::from_slice(&entry.value)?;
        if record.version != VERSION {
            return Err(Unusable::Version(record.version));
        }
        let hash = Hash::from_hex(&record.hash).ok_or(Unusable::Hash)?;
        Ok((record, hash))
    }

    pub(super) fn value(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record is plain data")
    }

    /// When the store may forget it.
    pub(super) fn kept_until(&self) -> Option<Timestamp> {
        let after = |at: Timestamp, ms| Timestamp::from_millis(at.millis().saturating_add(ms));
        self.revoked
            .and_then(|at| after(at, REVOKED_MS))
            .or_else(|| self.expires.and_then(|at| after(at, EXPIRED_MS)))
    }

    pub(super) fn principal(self, id: String) -> Principal {
        let mut principal = Principal::new(id, self.name, self.kind, self.scopes, self.created);
        principal.expires = self.expires;
        principal.used_by_store(self.last_used);
        if self.revoked.is_some() {
            principal.revoke();
        }
        principal
    }

    /// Whether it still says of a token what the principal was made of.
    pub(super) fn describes(&self, principal: &Principal) -> bool {
        self.name == principal.name
            && self.kind == principal.kind
            && self.scopes == principal.scopes
            && self.expires == principal.expires
            && (self.revoked.is_some() || !principal.is_revoked())
    }
}
