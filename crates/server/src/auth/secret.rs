//! Secrets: made from the system's randomness, kept only as hashes, never shown by accident.

use std::fmt;

use subtle::ConstantTimeEq;

/// How a token begins, so that people and scanners of leaked secrets know one.
pub const TOKEN_PREFIX: &str = "tw_";
/// How a ticket begins.
pub(super) const TICKET_PREFIX: &str = "tk_";
/// Random bytes of a token or ticket.
const BYTES: usize = 32;

/// A token or ticket in the clear. It is shown once, to whom it was made for.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(super) fn token() -> Self {
        Self::new(TOKEN_PREFIX)
    }

    pub(super) fn ticket() -> Self {
        Self::new(TICKET_PREFIX)
    }

    fn new(prefix: &str) -> Self {
        let mut text = prefix.to_owned();
        text.push_str(&hex(&random::<BYTES>()));
        Self(text)
    }

    /// Reads a token, as from a file.
    #[must_use]
    pub fn parse_token(text: &str) -> Option<Self> {
        Hash::of_token(text).map(|_| Self(text.to_owned()))
    }

    /// The secret itself, for the one place that hands it over.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get(..TOKEN_PREFIX.len()).unwrap_or_default())?;
        f.write_str("…")
    }
}

/// Whether a text looks like a token, right or not, so that it must not be where it was found.
pub(super) fn looks_like_token(text: &str) -> bool {
    text.starts_with(TOKEN_PREFIX)
}

/// Bytes that nobody can guess.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("an operating system that runs a server has random bytes");
    bytes
}

/// BLAKE3 of a secret. Of 32 random bytes, a fast hash is as good as a slow one.
#[derive(Clone, Copy)]
pub(super) struct Hash([u8; 32]);

impl Hash {
    /// Of a token's bytes; `None` for what has not the form of one.
    pub(super) fn of_token(text: &str) -> Option<Self> {
        Self::of_prefixed(text, TOKEN_PREFIX)
    }

    /// Of a ticket's bytes; `None` for what has not the form of one.
    pub(super) fn of_ticket(text: &str) -> Option<Self> {
        Self::of_prefixed(text, TICKET_PREFIX)
    }

    /// The bytes are hashed, not the digits: they fit in one block, which halves the time on the path of every request.
    fn of_prefixed(text: &str, prefix: &str) -> Option<Self> {
        let digits: &[u8; BYTES * 2] = text.strip_prefix(prefix)?.as_bytes().try_into().ok()?;
        unhex(digits).map(|bytes| Self::of(&bytes))
    }

    /// Of any bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes).into())
    }

    /// The half by which a map finds it. Nobody can choose a secret by its hash, so how long finding takes tells nothing; the
    /// whole is compared by [`Hash::same`].
    pub(super) fn half(&self) -> u128 {
        let (half, _) = self.0.split_at(16);
        u128::from_le_bytes(half.try_into().expect("half of 32 bytes is 16"))
    }

    /// Compares all of it in the same time whatever it is.
    pub(super) fn same(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    pub(super) fn to_hex(self) -> String {
        hex(&self.0)
    }

    pub(super) fn from_hex(text: &str) -> Option<Self> {
        unhex(text.as_bytes().try_into().ok()?).map(Self)
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// The value of each hexadecimal digit, by its byte. A table, since this is on the path of every request.
const VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut digit = 0;
    while digit < NO_DIGIT {
        let byte = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        values[byte as usize] = digit;
        digit += 1;
    }
    values
};
/// More than any digit's value.
const NO_DIGIT: u8 = 16;

/// Lower-case digits only: a secret has one spelling.
fn unhex(digits: &[u8; BYTES * 2]) -> Option<[u8; BYTES]> {
    let mut bytes = [0; BYTES];
    let mut seen = 0;
    for (byte, [high, low]) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
        let (high, low) = (VALUES[usize::from(*high)], VALUES[usize::from(*low)]);
        seen |= high | low;
        *byte = high << 4 | (low & 15);
    }
    (seen < NO_DIGIT).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown_by_debug() {
        let secret = Secret::token();
        assert_eq!(format!("{secret:?}"), "tw_…");
        assert_eq!(format!("{:?}", Secret::ticket()), "tk_…");
        assert_eq!(secret.expose().len(), 3 + 64);
        assert_ne!(secret, Secret::token());
    }

    #[test]
    fn a_token_has_one_spelling() {
        let secret = Secret::token();
        let hash = Hash::of_token(secret.expose()).unwrap();
        assert!(hash.same(&Hash::from_hex(&hash.to_hex()).unwrap()));
        let digits = &secret.expose()[3..];
        for other in [
            digits.to_owned(),
            format!("tk_{digits}"),
            format!("TW_{digits}"),
            format!("tw_{}", "AB".repeat(32)),
            format!("tw_{digits}0"),
            format!("tw_{digits} "),
            format!("tw_{}", &digits[1..]),
            format!("tw_{}g", &digits[1..]),
            format!("tw_{}é", &digits[2..]),
            String::new(),
        ] {
            assert!(Hash::of_token(&other).is_none(), "{other}");
        }
    }
}
