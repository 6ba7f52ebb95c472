//! The promise of a store of small shared state: tokens, pairing codes, leases.
//!
//! `conformance` is what every store owes; its test names are the promises of [`Kv`].

#[cfg(feature = "conformance")]
pub mod conformance;
mod memory;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use memory::MemoryKv;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteKv;

use async_trait::async_trait;
use tokio::sync::watch;
use turnwire_proto::Timestamp;

use crate::{Level, StoreError};

/// Small shared state by key.
///
/// Create-if-absent and compare-and-set are atomic, also across processes on one store. A key belongs to a bucket. An entry
/// whose time has come is as if it were deleted. A future that is dropped half-way has written all or nothing.
#[async_trait]
pub trait Kv: Send + Sync + 'static {
    /// The entry, if there is one.
    async fn get(&self, bucket: &str, key: &str) -> Result<Option<Entry>, StoreError>;
    /// Writes it whatever was there; answers the new revision.
    async fn put(&self, bucket: &str, key: &str, value: &[u8], expires: Option<Timestamp>) -> Result<u64, StoreError>;
    /// Writes it unless it is there; `None` when it was.
    async fn create(
        &self,
        bucket: &str,
        key: &str,
        value: &[u8],
        expires: Option<Timestamp>,
    ) -> Result<Option<u64>, StoreError>;
    /// Writes it if its revision is still `expected`; `None` when not.
    async fn update(
        &self,
        bucket: &str,
        key: &str,
        value: &[u8],
        expires: Option<Timestamp>,
        expected: u64,
    ) -> Result<Option<u64>, StoreError>;
    /// Deletes it; whether it was there.
    async fn delete(&self, bucket: &str, key: &str) -> Result<bool, StoreError>;
    /// All entries of a bucket, by key.
    async fn list(&self, bucket: &str) -> Result<Vec<(String, Entry)>, StoreError>;
    /// A number that changes after any entry changed, also by another process, within a second: a wake-up, not a queue.
    fn changes(&self) -> watch::Receiver<u64>;
    /// How full its queue is, if it has one. From memory, without waiting.
    fn level(&self) -> Option<Level> {
        None
    }
}

/// A value with its revision, which changes with every write and never comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Vec<u8>,
    /// Its revision.
    pub revision: u64,
    /// When it ends.
    pub expires: Option<Timestamp>,
}
