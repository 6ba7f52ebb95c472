//! Ids of events that are made of what identifies the fact in its source: who reads the same again writes nothing twice.

use sha2::{Digest, Sha256};
use turnwire_proto::EventId;

/// A UUID v8 (RFC 9562, 5.8) of these parts' hash. The domain keeps sources apart that name things alike.
pub(crate) fn id<'a>(domain: &str, parts: impl IntoIterator<Item = &'a &'a str>) -> EventId {
    let mut hash = Sha256::new();
    hash.update(domain.as_bytes());
    for part in parts {
        // Each with its length, so that no two lists of parts look the same.
        hash.update(part.len().to_le_bytes());
        hash.update(part.as_bytes());
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    EventId::from_bytes(bytes)
}
