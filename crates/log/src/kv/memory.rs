//! A [`Kv`] in memory: for tests and for servers that keep nothing.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use tokio::sync::watch;
use turnwire_proto::Timestamp;

use super::{Entry, Kv};
use crate::StoreError;

/// Expired entries are looked for only when there are at least so many entries, so that small maps never pay for it.
const SWEEP_AT_LEAST: usize = 64;

/// A [`Kv`] that lives as long as its last clone. Clones share their entries.
#[derive(Clone, Debug)]
pub struct MemoryKv {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    map: Mutex<Map>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Map {
    entries: BTreeMap<(String, String), Entry>,
    revision: u64,
    sweep_at: usize,
}

impl Map {
    /// The entry if its time has not come.
    fn live(&self, bucket: &str, key: &str) -> Option<&Entry> {
        self.entries
            .get(&(bucket.to_owned(), key.to_owned()))
            .filter(|entry| is_live(entry, Timestamp::now()))
    }

    fn write(&mut self, bucket: &str, key: &str, value: &[u8], expires: Option<Timestamp>) -> u64 {
        self.revision += 1;
        let entry = Entry {
            value: value.to_vec(),
            revision: self.revision,
            expires,
        };
        self.entries.insert((bucket.to_owned(), key.to_owned()), entry);
        if self.entries.len() >= self.sweep_at.max(SWEEP_AT_LEAST) {
            let now = Timestamp::now();
            self.entries.retain(|_, entry| is_live(entry, now));
            self.sweep_at = self.entries.len() * 2;
        }
        self.revision
    }
}

fn is_live(entry: &Entry, now: Timestamp) -> bool {
    entry.expires.is_none_or(|end| end > now)
}

impl Default for MemoryKv {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryKv {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                map: Mutex::default(),
                changes: watch::Sender::new(0),
            }),
        }
    }

    fn read<T>(&self, read: impl FnOnce(&Map) -> T) -> T {
        // Invariant: no holder of the lock can leave the map half-changed, so a panic elsewhere does not spoil it.
        read(&self.shared.map.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs `write`; when it answers something that `changed` takes for a change, wakes those who wait for one.
    fn write<T>(&self, write: impl FnOnce(&mut Map) -> T, changed: impl FnOnce(&T) -> bool) -> T {
        let done = write(&mut self.shared.map.lock().unwrap_or_else(PoisonError::into_inner));
        if changed(&done) {
            self.shared.changes.send_modify(|count| *count += 1);
        }
        done
    }
}

#[async_trait]
impl Kv for MemoryKv {
    async fn get(&self, bucket: &str, key: &str) -> Result<Option<Entry>, StoreError> {
        Ok(self.read(|map| map.live(bucket, key).cloned()))
    }

    async fn put(&self, bucket: &str, key: &str, value: &[u8], expires: Option<Timestamp>) -> Result<u64, StoreError> {
        Ok(self.write(|map| map.write(bucket, key, value, expires), |_| true))
    }

    async fn create(
        &self,
        bucket: &str,
        key: &str,
        value: &[u8],
        expires: Option<Timestamp>,
    ) -> Result<Option<u64>, StoreError> {
        let create = |map: &mut Map| {
            let absent = map.live(bucket, key).is_none();
            absent.then(|| map.write(bucket, key, value, expires))
        };
        Ok(self.write(create, Option::is_some))
    }

    async fn update(
        &self,
        bucket: &str,
        key: &str,
        value: &[u8],
        expires: Option<Timestamp>,
        expected: u64,
    ) -> Result<Option<u64>, StoreError> {
        let update = |map: &mut Map| {
            let same = map.live(bucket, key).is_some_and(|entry| entry.revision == expected);
            same.then(|| map.write(bucket, key, value, expires))
        };
        Ok(self.write(update, Option::is_some))
    }

    async fn delete(&self, bucket: &str, key: &str) -> Result<bool, StoreError> {
        let delete = |map: &mut Map| {
            map.entries
                .remove(&(bucket.to_owned(), key.to_owned()))
                .is_some_and(|entry| is_live(&entry, Timestamp::now()))
        };
        Ok(self.write(delete, |deleted| *deleted))
    }

    async fn list(&self, bucket: &str) -> Result<Vec<(String, Entry)>, StoreError> {
        let now = Timestamp::now();
        Ok(self.read(|map| {
            map.entries
                .range((bucket.to_owned(), String::new())..)
                .take_while(|((in_bucket, _), _)| in_bucket == bucket)
                .filter(|(_, entry)| is_live(entry, now))
                .map(|((_, key), entry)| (key.clone(), entry.clone()))
                .collect()
        }))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::kv_conformance!(memory, {
        let kv = MemoryKv::new();
        move || kv.clone()
    });

    #[tokio::test]
    async fn entries_whose_time_has_come_do_not_pile_up() {
        let kv = MemoryKv::new();
        for key in 0..10_000 {
            kv.put("b", &key.to_string(), b"", Some(Timestamp::UNIX_EPOCH))
                .await
                .unwrap();
        }
        assert!(kv.read(|map| map.entries.len()) <= SWEEP_AT_LEAST);
    }
}
