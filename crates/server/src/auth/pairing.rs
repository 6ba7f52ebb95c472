//! Pairing codes: short enough to type, good for one token, and closed to whoever guesses.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use turnwire_log::{Kv, StoreError};
use turnwire_proto::{Name, Scopes, Timestamp};

use super::{
    registry::ChangeError,
    secret::{Hash, random},
};

/// How long a code is good unless said otherwise.
pub const CODE_TTL: Duration = Duration::from_mins(10);
/// Wrong codes from one address before it is locked out.
pub const TRIES: u32 = 5;
/// Wrong codes from all addresses together before pairing is closed to all: with 40 bits a code, guessing one at this pace takes
/// thousands of years.
pub const TRIES_OF_ALL: u32 = 50;
/// How long who guessed is locked out.
pub const LOCKED_OUT: Duration = Duration::from_mins(5);
/// How long a wrong code counts: the life of a code.
const COUNTED: Duration = CODE_TTL;
/// Codes that may wait to be used.
pub const MAX_CODES: usize = 64;

/// The bucket of codes, by hash.
const BUCKET: &str = "pairing";
/// Crockford's base 32: no I, L, O or U, so that no code is misread and few are words.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of a code: 40 bits.
const LENGTH: usize = 8;

/// A code, for the one time that it is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PairingCode {
    code: String,
    /// Until when it is good.
    pub expires: Timestamp,
}

impl PairingCode {
    /// As people type it: `ABCD-EFGH`.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }
}

impl fmt::Debug for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PairingCode")
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// What a code is good for, as the store keeps it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Offer {
    /// The name of the token, unless who pairs says another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Name>,
    pub(super) scopes: Scopes,
    pub(super) expires: Timestamp,
    /// When the token ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token_expires: Option<Timestamp>,
}

/// Makes a code for `offer`.
pub(super) async fn offer(kv: &dyn Kv, offer: &Offer) -> Result<PairingCode, ChangeError> {
    if kv.list(BUCKET).await?.len() >= MAX_CODES {
        return Err(ChangeError::Full {
            what: "pairing codes",
            limit: MAX_CODES,
        });
    }
    // 256 is a multiple of 32, so every character is equally likely.
    let code: String = random::<LENGTH>()
        .map(|byte| char::from(ALPHABET[usize::from(byte & 31)]))
        .iter()
        .collect();
    put_back(kv, Hash::of(code.as_bytes()), offer).await?;
    let (front, back) = code.split_at(LENGTH / 2);
    Ok(PairingCode {
        code: format!("{front}-{back}"),
        expires: offer.expires,
    })
}

pub(super) async fn put_back(kv: &dyn Kv, hash: Hash, offer: &Offer) -> Result<(), StoreError> {
    let value = serde_json::to_vec(offer).expect("an offer is plain data");
    kv.put(BUCKET, &hash.to_hex(), &value, Some(offer.expires)).await?;
    Ok(())
}

/// Takes the offer of a code away, so that it is taken once; `None` when the code is wrong, used or too old.
pub(super) async fn take(kv: &dyn Kv, typed: &str, now: Timestamp) -> Result<Option<(Hash, Offer)>, StoreError> {
    let hash = Hash::of(&normal(typed));
    let mut found = None;
    // All of them, each in constant time.
    for (key, entry) in kv.list(BUCKET).await? {
        let Some(other) = Hash::from_hex(&key) else { continue };
        if other.same(&hash) {
            found = serde_json::from_slice::<Offer>(&entry.value).ok();
        }
    }
    let Some(offer) = found.filter(|offer| offer.expires > now) else {
        return Ok(None);
    };
    // Of several that come at once, or to several processes, one deletes it.
    let taken = kv.delete(BUCKET, &hash.to_hex()).await?;
    Ok(taken.then_some((hash, offer)))
}

/// The code behind what was typed: case, dashes and spaces do not matter, and what looks alike is alike.
fn normal(typed: &str) -> Vec<u8> {
    typed
        .bytes()
        .filter(|byte| !matches!(byte, b'-' | b' '))
        .map(|byte| match byte.to_ascii_uppercase() {
            b'O' => b'0',
            b'I' | b'L' => b'1',
            other => other,
        })
        .collect()
}

/// Who has guessed too often.
#[derive(Debug, Default)]
pub(super) struct Lockout {
    guesses: Mutex<Guesses>,
}

/// Wrong codes. An address is in the map only with a guess that also counts for all, so it never has more than about twice
/// [`TRIES_OF_ALL`] entries.
#[derive(Debug, Default)]
struct Guesses {
    all: Count,
    each: HashMap<IpAddr, Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    wrong: u32,
    /// When the counting ends, or the lockout.
    until: Option<Instant>,
    locked: bool,
}

impl Count {
    fn is_over(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    fn locked(&self, now: Instant) -> Option<Duration> {
        self.until.filter(|_| self.locked).map(|until| until - now)
    }

    fn add(&mut self, now: Instant, limit: u32) {
        if self.wrong == 0 {
            self.until = Some(now + COUNTED);
        }
        self.wrong += 1;
        if self.wrong >= limit {
            self.locked = true;
            self.until = Some(now + LOCKED_OUT);
        }
    }

    fn take_back(&mut self, limit: u32) {
        self.wrong = self.wrong.saturating_sub(1);
        self.locked &= self.wrong >= limit;
    }
}

impl Lockout {
    // Invariant: a panic cannot leave more than one guess uncounted.
    fn guesses(&self) -> MutexGuard<'_, Guesses> {
        self.guesses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a try as wrong before it is looked at, so that many at once are no more than their number. Answers how many are
    /// left, or for how long there are none.
    pub(super) fn begin(&self, from: IpAddr) -> Result<u32, Duration> {
        let now = Instant::now();
        let mut guesses = self.guesses();
        guesses.each.retain(|_, count| !count.is_over(now));
        if guesses.all.is_over(now) {
            guesses.all = Count::default();
        }
        let from = network(from);
        let theirs = guesses.each.get(&from).copied().unwrap_or_default();
        let waits = [guesses.all.locked(now), theirs.locked(now)];
        if let Some(wait) = waits.into_iter().flatten().max() {
            return Err(wait);
        }
        guesses.all.add(now, TRIES_OF_ALL);
        let theirs = guesses.each.entry(from).or_default();
        theirs.add(now, TRIES);
        Ok(TRIES - theirs.wrong)
    }

    /// The try was right: all of this address's are forgiven.
    pub(super) fn right(&self, from: IpAddr) {
        let mut guesses = self.guesses();
        guesses.each.remove(&network(from));
        guesses.all.take_back(TRIES_OF_ALL);
    }

    /// The try could not be looked at: it does not count.
    pub(super) fn undecided(&self, from: IpAddr) {
        let mut guesses = self.guesses();
        if let Some(theirs) = guesses.each.get_mut(&network(from)) {
            theirs.take_back(TRIES);
        }
        guesses.all.take_back(TRIES_OF_ALL);
    }

    #[cfg(test)]
    fn addresses(&self) -> usize {
        self.guesses().each.len()
    }
}

/// Whom an address stands for: one client commonly has a whole /64 of version 6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use turnwire_log::kv::MemoryKv;

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn some_offer(expires: Timestamp) -> Offer {
        Offer {
            name: None,
            scopes: Scopes::default(),
            expires,
            token_expires: None,
        }
    }

    fn later(ms: i64) -> Timestamp {
        Timestamp::from_millis(Timestamp::now().millis() + ms).unwrap()
    }

    #[tokio::test]
    async fn a_code_is_taken_once_however_it_is_typed() {
        let kv = MemoryKv::new();
        let now = Timestamp::now();
        for typed in [
            |code: &str| code.to_owned(),
            |code: &str| code.to_lowercase().replace('-', ""),
            |code: &str| format!(" {} ", code.replace('-', " ").replace('0', "o").replace('1', "l")),
        ] {
            let code = offer(&kv, &some_offer(later(60_000))).await.unwrap();
            let typed = typed(code.code());
            assert!(take(&kv, "0000-0000", now).await.unwrap().is_none());
            assert!(take(&kv, &typed, now).await.unwrap().is_some(), "{typed}");
            assert!(take(&kv, &typed, now).await.unwrap().is_none(), "{typed}");
        }
    }

    #[tokio::test]
    async fn a_code_is_good_until_its_end() {
        let kv = MemoryKv::new();
        let end = later(60_000);
        let code = offer(&kv, &some_offer(end)).await.unwrap();
        assert_eq!(code.expires, end);
        assert!(take(&kv, code.code(), end).await.unwrap().is_none());
        let just_before = Timestamp::from_millis(end.millis() - 1).unwrap();
        assert!(take(&kv, code.code(), just_before).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_code_is_neither_stored_nor_shown_by_debug() {
        let kv = MemoryKv::new();
        let code = offer(&kv, &some_offer(later(60_000))).await.unwrap();
        let plain = code.code().replace('-', "");
        let stored = format!("{:?}", kv.list(BUCKET).await.unwrap());
        for text in [stored, format!("{code:?}")] {
            assert!(!text.contains(code.code()) && !text.contains(&plain), "{text}");
        }
    }

    #[tokio::test]
    async fn codes_that_wait_are_bounded() {
        let kv = MemoryKv::new();
        for _ in 0..MAX_CODES {
            offer(&kv, &some_offer(later(60_000))).await.unwrap();
        }
        let error = offer(&kv, &some_offer(later(60_000))).await.unwrap_err();
        assert!(matches!(error, ChangeError::Full { limit: MAX_CODES, .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn five_wrong_codes_lock_their_address_out_for_five_minutes() {
        let lockout = Lockout::default();
        for left in (0..TRIES).rev() {
            assert_eq!(lockout.begin(address(1)), Ok(left));
        }
        assert_eq!(lockout.begin(address(1)), Err(LOCKED_OUT));
        assert_eq!(lockout.begin(address(2)), Ok(TRIES - 1), "others are not");
        tokio::time::advance(LOCKED_OUT - Duration::from_secs(1)).await;
        assert_eq!(lockout.begin(address(1)), Err(Duration::from_secs(1)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(lockout.begin(address(1)), Ok(TRIES - 1));
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_codes_are_forgotten_after_a_while_and_forgiven_by_a_right_one() {
        let lockout = Lockout::default();
        for _ in 1..TRIES {
            lockout.begin(address(1)).unwrap();
        }
        tokio::time::advance(COUNTED).await;
        for _ in 1..TRIES {
            lockout.begin(address(1)).unwrap();
        }
        assert_eq!(lockout.begin(address(1)), Ok(0));
        lockout.right(address(1));
        assert_eq!(lockout.begin(address(1)), Ok(TRIES - 1));
        for _ in 0..TRIES * 2 {
            lockout.begin(address(2)).unwrap();
            lockout.undecided(address(2));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn guessing_from_many_addresses_closes_pairing_and_costs_no_memory() {
        let lockout = Lockout::default();
        let mut let_in = 0;
        for last in 0..=255 {
            for _ in 0..4 {
                let_in += u32::from(lockout.begin(address(last)).is_ok());
            }
        }
        assert_eq!(let_in, TRIES_OF_ALL);
        assert!(lockout.addresses() <= TRIES_OF_ALL as usize);
        tokio::time::advance(LOCKED_OUT).await;
        assert!(lockout.begin(address(200)).is_ok());
    }

    #[test]
    fn a_client_of_version_6_is_its_network() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
