//! Ids of events whose producer gives none, made of what is known to be the same when it is sent again.

use turnwire_proto::EventId;

/// Makes one id after another. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    /// What all of them begin with, so that they stand together in the store's index of ids.
    near: [u8; 6],
    told: blake3::Hasher,
    number: u64,
}

impl Ids {
    /// Of these words; others give other ids.
    pub(super) fn of(words: &[&str]) -> Self {
        let mut told = blake3::Hasher::new_derive_key("turnwire ids of events 1");
        for word in words {
            part(&mut told, word.as_bytes());
        }
        let mut near = [0; 6];
        near.copy_from_slice(&told.finalize().as_bytes()[..6]);
        Self { near, told, number: 0 }
    }

    /// Takes one more line of the body in: the ids of what follows depend on all that came before.
    pub(super) fn line(&mut self, line: &[u8]) {
        part(&mut self.told, line);
    }

    /// The next one.
    pub(super) fn next(&mut self) -> EventId {
        self.number += 1;
        let mut hash = self.told.clone();
        hash.update(&self.number.to_le_bytes());
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&self.near);
        bytes[6..].copy_from_slice(&hash.finalize().as_bytes()[..10]);
        // RFC 9562, 5.8: version 8.
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        EventId::from_bytes(bytes)
    }

    /// Some digits of the next one, for a name: its last ones, for it begins as all of them do.
    pub(super) fn digits(&mut self) -> String {
        self.next().to_string().chars().filter(|c| *c != '-').skip(20).collect()
    }
}

/// Each with its length, so that no two lists of parts look the same.
fn part(hash: &mut blake3::Hasher, bytes: &[u8]) {
    hash.update(&(bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}
