//! All tokens, in memory, kept like the store.
//!
//! A request looks only here. What changes the store changes the memory in the same step; what another process changed is
//! read when the store tells of it, and once more when a token comes that is not known.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex, watch},
    time::Instant,
};
use turnwire_log::{Kv, StoreError};
use turnwire_proto::{Name, Scopes, Timestamp};

use super::{
    denied::Denied,
    principal::{Principal, TokenKind},
    record::{BUCKET, Record},
    secret::{Hash, Secret, hex, random},
};

/// Tokens that there may be, revoked ones that are remembered among them: each costs about half a kilobyte of memory.
pub const MAX_TOKENS: usize = 10_000;
/// The least time between two readings of the store that unknown tokens cause. Whoever tries tokens waits for it.
const MISS_PAUSE: Duration = Duration::from_millis(100);
/// A compare-and-set that fails so often in a row meets something other than competition.
const TRIES: usize = 16;

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// For people.
    pub name: Name,
    /// What it is for.
    pub kind: TokenKind,
    /// What it may do.
    pub scopes: Scopes,
    /// When it ends by itself.
    pub expires: Option<Timestamp>,
}

/// A token that was made, with its secret for the one time that it is shown.
#[derive(Clone, Debug)]
pub struct Minted {
    /// The secret.
    pub secret: Secret,
    /// Who it is.
    pub principal: Arc<Principal>,
}

/// Why tokens or pairing codes could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The store could not do it: nothing was changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There are as many as there may be.
    #[error("there are {limit} {what} already, the limit")]
    Full {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// There is no token of this id.
    #[error("there is no such token")]
    NotFound,
    /// It was revoked before.
    #[error("the token was revoked before")]
    Gone,
    /// The server runs without authentication.
    #[error("authentication is off (--no-auth)")]
    Off,
}

pub(super) struct Registry {
    pub(super) kv: Arc<dyn Kv>,
    known: RwLock<Known>,
    /// Held over each change of the store and the change of `known` that follows, so that no reading of the store from before
    /// a change is applied after it.
    turn: Mutex<()>,
    /// When an unknown token last caused a reading.
    missed: Mutex<Option<Instant>>,
    /// Readings begun.
    readings: AtomicU64,
    revisions: watch::Sender<u64>,
}

#[derive(Default)]
struct Known {
    rows: HashMap<u128, Row>,
    halves: HashMap<String, u128>,
}

struct Row {
    hash: Hash,
    revision: u64,
    principal: Arc<Principal>,
}

impl Known {
    fn of_id(&self, id: &str) -> Option<&Row> {
        self.rows.get(self.halves.get(id)?)
    }

    fn insert(&mut self, row: Row) {
        self.halves.insert(row.principal.id.clone(), row.hash.half());
        self.rows.insert(row.hash.half(), row);
    }

    fn remove(&mut self, id: &str) {
        if let Some(half) = self.halves.remove(id) {
            self.rows.remove(&half);
        }
    }
}

impl Registry {
    pub(super) async fn open(kv: Arc<dyn Kv>) -> Result<Self, StoreError> {
        let registry = Self {
            kv,
            known: RwLock::default(),
            turn: Mutex::default(),
            missed: Mutex::default(),
            readings: AtomicU64::new(0),
            revisions: watch::Sender::new(0),
        };
        registry.refresh().await?;
        Ok(registry)
    }

    // Invariant: nothing panics while it holds the lock for writing, so a poisoned one is as good as any.
    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn revisions(&self) -> watch::Receiver<u64> {
        self.revisions.subscribe()
    }

    /// Tells all streams to look at their principals.
    pub(super) fn bump(&self) {
        self.revisions.send_modify(|revision| *revision += 1);
    }

    /// Who a secret is of. On the path of every request: no waiting, one short lock for reading.
    pub(super) fn authenticate(&self, secret: &str, now: Timestamp) -> Result<Arc<Principal>, Denied> {
        let hash = Hash::of_token(secret).ok_or(Denied::Malformed)?;
        let found = self
            .known()
            .rows
            .get(&hash.half())
            .filter(|row| row.hash.same(&hash))
            .map(|row| Arc::clone(&row.principal));
        let principal = found.ok_or(Denied::Unknown)?;
        if principal.is_revoked() {
            return Err(Denied::Revoked);
        }
        if principal.has_expired(now) {
            return Err(Denied::Expired);
        }
        principal.touch(now);
        Ok(principal)
    }

    /// The same, and when the token is not known, reads the store once: another process may have made it a moment ago.
    pub(super) async fn authenticate_or_read(&self, secret: &str) -> Result<Arc<Principal>, Denied> {
        match self.authenticate(secret, Timestamp::now()) {
            Err(Denied::Unknown) => {
                if let Err(error) = self.read_for_miss().await {
                    tracing::warn!(%error, "an unknown token could not be looked for in the store");
                    return Err(Denied::Store(error.to_string()));
                }
                self.authenticate(secret, Timestamp::now())
            }
            known => known,
        }
    }

    /// Returns after a reading that began after the call. However many wait, there is one reading each [`MISS_PAUSE`].
    async fn read_for_miss(&self) -> Result<(), StoreError> {
        let asked = self.readings.load(Ordering::Acquire);
        let mut missed = self.missed.lock().await;
        if self.readings.load(Ordering::Acquire) > asked {
            return Ok(());
        }
        if let Some(last) = *missed {
            tokio::time::sleep_until(last + MISS_PAUSE).await;
        }
        *missed = Some(Instant::now());
        self.refresh().await
    }

    /// Makes the memory like the store.
    pub(super) async fn refresh(&self) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        self.readings.fetch_add(1, Ordering::AcqRel);
        let entries = self.kv.list(BUCKET).await?;
        // Worked out beside the lock for writing: reading ten thousand records takes longer than a request may wait.
        let mut changed = Vec::new();
        let mut gone = Vec::new();
        {
            let known = self.known();
            let listed: HashSet<_> = entries.iter().map(|(id, _)| id.as_str()).collect();
            gone.extend(known.halves.keys().filter(|id| !listed.contains(id.as_str())).cloned());
            for (id, entry) in &entries {
                let old = known.of_id(id);
                if old.is_some_and(|row| row.revision == entry.revision) {
                    continue;
                }
                match Record::read(entry) {
                    Ok((record, hash)) => changed.push((id.clone(), record, hash, entry.revision)),
                    Err(why) => {
                        tracing::warn!(id, %why, "a token's record is not used");
                        gone.extend(old.map(|_| id.clone()));
                    }
                }
            }
        }
        self.apply(changed, &gone);
        Ok(())
    }

    fn apply(&self, changed: Vec<(String, Record, Hash, u64)>, gone: &[String]) {
        let mut ended = false;
        let mut known = self.known_mut();
        for id in gone {
            ended |= known.of_id(id).is_some_and(|row| row.principal.revoke());
            known.remove(id);
        }
        for (id, record, hash, revision) in changed {
            let half = known.halves.get(&id).copied();
            if let Some(row) = half.and_then(|half| known.rows.get_mut(&half)) {
                if row.hash.same(&hash) && record.describes(&row.principal) {
                    row.revision = revision;
                    row.principal.used_by_store(record.last_used);
                    if record.revoked.is_some() {
                        ended |= row.principal.revoke();
                    }
                    continue;
                }
                // It may now do something else, which its streams did not ask for when they opened.
                ended |= row.principal.revoke();
                known.remove(&id);
            }
            let principal = Arc::new(record.principal(id));
            known.insert(Row {
                hash,
                revision,
                principal,
            });
        }
        drop(known);
        if ended {
            self.bump();
        }
    }

    pub(super) async fn create(&self, new: NewToken) -> Result<Minted, ChangeError> {
        let _turn = self.turn.lock().await;
        self.make_room().await?;
        let secret = Secret::token();
        let hash = Hash::of_token(secret.expose()).expect("a token was just made");
        let mut record = Record::new(hash, new.name, new.kind, new.scopes, Timestamp::now());
        record.expires = new.expires;
        let (value, kept_until) = (record.value(), record.kept_until());
        for _ in 0..TRIES {
            // 48 bits: short enough to type, and one that is taken is not used again.
            let id = hex(&random::<6>());
            if let Some(revision) = self.kv.create(BUCKET, &id, &value, kept_until).await? {
                let principal = Arc::new(record.principal(id));
                tracing::info!(id = principal.id, name = %principal.name, kind = ?principal.kind, "token made");
                self.known_mut().insert(Row {
                    hash,
                    revision,
                    principal: Arc::clone(&principal),
                });
                return Ok(Minted { secret, principal });
            }
        }
        Err(busy("make a token").into())
    }

    /// Forgets the oldest token that has ended when there are as many as there may be.
    async fn make_room(&self) -> Result<(), ChangeError> {
        if self.count() < MAX_TOKENS {
            return Ok(());
        }
        let now = Timestamp::now();
        let oldest = {
            let known = self.known();
            let ended = known
                .rows
                .values()
                .map(|row| &row.principal)
                .filter(|p| p.is_revoked() || p.has_expired(now));
            ended
                .min_by_key(|principal| principal.created)
                .map(|principal| principal.id.clone())
        };
        let full = ChangeError::Full {
            what: "tokens",
            limit: MAX_TOKENS,
        };
        let id = oldest.ok_or(full)?;
        self.kv.delete(BUCKET, &id).await?;
        self.known_mut().remove(&id);
        Ok(())
    }

    /// Ends a token. When it returns, no request with it is let in by this process, and its streams have been told.
    pub(super) async fn revoke(&self, id: &str) -> Result<(), ChangeError> {
        let _turn = self.turn.lock().await;
        for _ in 0..TRIES {
            let entry = self.kv.get(BUCKET, id).await?.ok_or(ChangeError::NotFound)?;
            let (mut record, hash) = Record::read(&entry).map_err(|_| ChangeError::NotFound)?;
            if record.revoked.is_some() {
                return Err(ChangeError::Gone);
            }
            record.revoked = Some(Timestamp::now());
            let written = self
                .kv
                .update(BUCKET, id, &record.value(), record.kept_until(), entry.revision)
                .await?;
            if let Some(revision) = written {
                tracing::info!(id, name = %record.name, "token revoked");
                self.apply(vec![(id.to_owned(), record, hash, revision)], &[]);
                return Ok(());
            }
        }
        Err(busy("revoke a token").into())
    }

    /// All tokens but revoked ones, oldest first, as the store has them now.
    pub(super) async fn list(&self) -> Result<Vec<Arc<Principal>>, StoreError> {
        self.refresh().await?;
        let mut tokens: Vec<_> = self.living().collect();
        tokens.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        Ok(tokens)
    }

    pub(super) fn count(&self) -> usize {
        self.known().rows.len()
    }

    fn living(&self) -> impl Iterator<Item = Arc<Principal>> {
        let known = self.known();
        let living: Vec<_> = known
            .rows
            .values()
            .map(|row| &row.principal)
            .filter(|p| !p.is_revoked())
            .cloned()
            .collect();
        living.into_iter()
    }

    /// Whether a token has expired after `since`, and when the next one will.
    pub(super) fn expiries(&self, since: Timestamp, now: Timestamp) -> (bool, Option<Timestamp>) {
        let ends = || self.living().filter_map(|principal| principal.expires);
        (
            ends().any(|end| since < end && end <= now),
            ends().filter(|end| *end > now).min(),
        )
    }

    /// Writes last uses. Not on the path of any request; what fails is tried again the next time.
    pub(super) async fn flush_uses(&self) -> Result<(), StoreError> {
        for principal in self.living() {
            let Some(used) = principal.unstored_use() else { continue };
            let _turn = self.turn.lock().await;
            let Some(entry) = self.kv.get(BUCKET, &principal.id).await? else {
                continue;
            };
            let Ok((mut record, _)) = Record::read(&entry) else {
                continue;
            };
            record.last_used = record.last_used.max(Some(used));
            // Lost to another writer: that one's change is read soon, and the use is written the next time.
            let written = self
                .kv
                .update(
                    BUCKET,
                    &principal.id,
                    &record.value(),
                    record.kept_until(),
                    entry.revision,
                )
                .await?;
            if written.is_some() {
                principal.used_by_store(Some(used));
            }
        }
        Ok(())
    }
}

fn busy(doing: &str) -> StoreError {
    StoreError {
        doing: doing.to_owned(),
        retry: true,
        source: format!("it was changed by others {TRIES} times meanwhile").into(),
    }
}
