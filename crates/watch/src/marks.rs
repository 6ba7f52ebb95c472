//! Whether a file is still the one whose beginning was read: its identity, its first bytes, and the last that were read.

use std::{
    fs::{File, Metadata},
    os::unix::fs::{FileExt, MetadataExt},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Bytes at the start that are compared: agents' first lines have an id or a time within them.
const HEAD: u64 = 1024;
/// Bytes before the place that are compared.
const TAIL: u64 = 256;

/// A file whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Identity {
    dev: u64,
    ino: u64,
}

impl From<&Metadata> for Identity {
    fn from(data: &Metadata) -> Self {
        Self {
            dev: data.dev(),
            ino: data.ino(),
        }
    }
}

/// What stood before a place in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Marks {
    at: u64,
    hash: String,
}

impl Marks {
    /// Of all before `at`; empty when it cannot be read.
    pub(crate) fn of(file: &File, at: u64) -> Self {
        Self {
            at,
            hash: hash(file, at).unwrap_or_default(),
        }
    }

    /// The place.
    pub(crate) const fn at(&self) -> u64 {
        self.at
    }

    /// Whether the file has the same there. What was never marked may be anything.
    pub(crate) fn hold(&self, file: &File) -> bool {
        self.at == 0 || self.hash.is_empty() || hash(file, self.at).is_some_and(|now| now == self.hash)
    }
}

/// `None` when the file is shorter.
fn hash(file: &File, at: u64) -> Option<String> {
    let mut hash = Sha256::new();
    for (from, to) in [(0, at.min(HEAD)), (at.saturating_sub(TAIL), at)] {
        let mut bytes = vec![0; usize::try_from(to - from).ok()?];
        file.read_exact_at(&mut bytes, from).ok()?;
        hash.update(&bytes);
    }
    Some(hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect())
}
