//! Places in the log, identities of events, and the identity of the log itself.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

/// An event's place in the log: strictly increasing over the whole log, gaps allowed, never reused.
///
/// As a cursor it means "everything up to here is known". Always below 2^53, so that a JavaScript number holds it exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(u64);

impl Seq {
    /// Before the first event; as a cursor: "I have nothing".
    pub const ZERO: Self = Self(0);
    /// The largest place that there can be: 2^53 - 1, JavaScript's `Number.MAX_SAFE_INTEGER`.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// `None` when `value` is above [`Seq::MAX`].
    #[must_use]
    pub const fn new(value: u64) -> Option<Self> {
        if value <= Self::MAX.0 { Some(Self(value)) } else { None }
    }

    /// The plain number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The place after this one, saturating at [`Seq::MAX`].
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 < Self::MAX.0 { Self(self.0 + 1) } else { self }
    }

    /// The place before this one, saturating at [`Seq::ZERO`].
    #[must_use]
    pub const fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is not an id or a cursor, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Not decimal digits, or above 2^53 - 1.
    #[error("a seq is a whole number from 0 to 9007199254740991")]
    Seq,
    /// Not a UUID in its hyphenated form.
    #[error("an id is a UUID in its hyphenated form of 36 characters")]
    Uuid,
}

impl FromStr for Seq {
    type Err = InvalidId;

    /// Digits only: no sign, no space, no leading `+`, at most 16 characters.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.is_empty() || text.len() > 16 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidId::Seq);
        }
        text.parse().ok().and_then(Self::new).ok_or(InvalidId::Seq)
    }
}

impl Serialize for Seq {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Seq {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u64::deserialize(deserializer)?).ok_or_else(|| de::Error::custom(InvalidId::Seq))
    }
}

fn hyphenated(text: &str) -> Result<Uuid, InvalidId> {
    if text.len() != 36 {
        return Err(InvalidId::Uuid);
    }
    Uuid::try_parse(text).map_err(|_| InvalidId::Uuid)
}

macro_rules! uuid_newtype {
    ($name:ident) => {
        impl $name {
            /// The sixteen bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// From sixteen bytes, as a store keeps them.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// Writes the hyphenated lower-case form (36 bytes).
            pub fn encode(self, out: &mut Vec<u8>) {
                let mut text = [0; 36];
                out.extend_from_slice(self.0.hyphenated().encode_lower(&mut text).as_bytes());
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                hyphenated(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?
                    .parse()
                    .map_err(de::Error::custom)
            }
        }
    };
}

/// The producer's identity of an event: appending the same id again writes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Uuid);

impl EventId {
    /// A fresh UUID v7 (RFC 9562), ordered by time of making.
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// An id that the producer already has, such as the UUID on a vendor's line.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl Default for EventId {
    fn default() -> Self {
        Self::new()
    }
}

uuid_newtype!(EventId);

/// The identity of a log's data. It changes only when the data is another, so a cursor from another epoch means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(Uuid);

impl Epoch {
    /// The identity of a log that is made now.
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::new_v4())
    }
}

impl Default for Epoch {
    fn default() -> Self {
        Self::new()
    }
}

uuid_newtype!(Epoch);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seq_is_plain_digits_below_two_to_the_53() {
        assert_eq!("0".parse(), Ok(Seq::ZERO));
        assert_eq!("9007199254740991".parse(), Ok(Seq::MAX));
        for bad in [
            "",
            " 1",
            "+1",
            "-1",
            "1.0",
            "9007199254740992",
            "99999999999999999999",
            "١",
        ] {
            assert_eq!(bad.parse::<Seq>(), Err(InvalidId::Seq), "{bad:?}");
        }
        assert_eq!(Seq::MAX.next(), Seq::MAX);
        assert_eq!(Seq::ZERO.prev(), Seq::ZERO);
    }

    #[test]
    fn an_id_is_a_hyphenated_uuid_and_nothing_else() {
        let id = EventId::new();
        assert_eq!(id.to_string().parse(), Ok(id));
        let mut text = Vec::new();
        id.encode(&mut text);
        assert_eq!(text, id.to_string().as_bytes());
        for bad in [
            "",
            "0199e0a27c1e7b6e9d0f2f6f3c1d9a10",
            "{0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10}",
            "x199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10",
        ] {
            assert_eq!(bad.parse::<EventId>(), Err(InvalidId::Uuid), "{bad:?}");
        }
    }
}
