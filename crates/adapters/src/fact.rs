//! Ids of events that are made of what identifies the fact in its source: who reads the same again writes nothing twice.

use sha2::{Digest, Sha256};
use turnwire_proto::EventId;

/// The first bytes of an id: those of what its event stands near, its session or its file.
///
/// A store keeps ids in order. Ids that begin alike stand together in it, so that a thousand lines of a file touch a few pages of the
/// index of ids; with ids that are random from their first bit, each line touches one of its own.
#[derive(Clone, Copy)]
pub(crate) struct Near([u8; 6]);

impl Near {
    pub(crate) fn to(what: &str) -> Self {
        let mut near = [0; 6];
        near.copy_from_slice(&Sha256::digest(what)[..6]);
        Self(near)
    }
}

/// A UUID v8 (RFC 9562, 5.8) of these parts' hash. The domain keeps sources apart that name things alike.
pub(crate) fn id<'a>(near: &str, domain: &str, parts: impl IntoIterator<Item = &'a str>) -> EventId {
    let mut hash = Sha256::new();
    hash.update(domain.as_bytes());
    for part in parts {
        // Each with its length, so that no two lists of parts look the same.
        hash.update(part.len().to_le_bytes());
        hash.update(part.as_bytes());
    }
    of(Near::to(near), &hash.finalize())
}

/// The id of a hash: 74 bits of it.
pub(crate) fn of(near: Near, hash: &[u8]) -> EventId {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&near.0);
    bytes[6..].copy_from_slice(&hash[..10]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    EventId::from_bytes(bytes)
}

/// Whether an id is one of these.
pub(crate) const fn is_one(id: &EventId) -> bool {
    id.as_bytes()[6] >> 4 == 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_session_stand_together_and_differ() {
        let (a, b) = (id("s", "d", ["x", "y"]), id("s", "d", ["xy"]));
        assert!(a != b && a.as_bytes()[..6] == b.as_bytes()[..6] && is_one(&a));
        assert!(a.as_bytes()[..6] != id("t", "d", ["x", "y"]).as_bytes()[..6]);
    }
}
