//! Blobs that no event names any more.

use std::time::Duration;

use turnwire_log::{Log, ReadError, StoreError};

use super::Door;
use crate::views::{Views, blobs};

impl Door {
    /// Removes blobs that were put at least `age` ago and that no event names. How many those were. A process that ends in the middle has
    /// removed some of them.
    ///
    /// # Errors
    /// The log, the views or the directory cannot be read.
    pub(crate) async fn collect(&self, views: &Views, age: Duration) -> Result<u64, StoreError> {
        let files = self.0.files.clone();
        let looked = blocking(move || files.old(age)).await?;
        if looked.is_empty() {
            return Ok(0);
        }
        // In this order: what was named before the files were looked at is known by now; what is named later was put again.
        let head = self.bounds().await.map_err(|ReadError::Store(error)| error)?.head;
        if views.reach(head).await < head {
            // There is time.
            return Ok(0);
        }
        let unnamed = views.read(move |db| blobs::unnamed(db, looked)).await?;
        let files = self.0.files.clone();
        blocking(move || {
            let mut removed = 0;
            for hash in &unnamed {
                removed += u64::from(files.remove(hash)?);
            }
            Ok(removed)
        })
        .await
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other);
    done.and_then(|done| done).map_err(|source| StoreError {
        doing: "keep blobs".to_owned(),
        retry: true,
        source: source.into(),
    })
}
