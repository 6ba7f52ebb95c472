//! Spools whose process is gone: drained by the next one that has the same target.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use tokio::sync::{Notify, watch};

use super::{BATCH_EVENTS, Drain, Locate, Status, Until};
use crate::spool::{Limits, Spool, list};

/// Drains what dead processes left under `root` for `target`, one after the other, as long as the gateway takes it.
///
/// `status` tells how it stands. May be dropped at any time: what is not sent is still there.
pub async fn drain_orphans(root: &Path, target: &str, locate: Arc<dyn Locate>, status: &watch::Sender<Status>) {
    let found = match list(root) {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!("{error}");
            return;
        }
    };
    for orphan in found
        .into_iter()
        .filter(|orphan| !orphan.live && orphan.dir.is_dir() && orphan.meta.target == target)
    {
        let spool = match Spool::adopt(&orphan.dir, Limits::default()) {
            Ok(Some(spool)) => spool,
            Ok(None) => continue,
            Err(error) => {
                tracing::warn!("{error}");
                continue;
            }
        };
        let drain = Drain {
            spool: Arc::clone(&spool),
            locate: Arc::clone(&locate),
            status: status.clone(),
            now: Arc::new(Notify::new()),
            limit: Mutex::new(BATCH_EVENTS),
        };
        drain.run(Until::Empty).await;
        if status.borrow().refused.is_some() {
            break;
        }
        if let Err(error) = spool.remove_if_drained() {
            tracing::warn!("{error}");
        }
    }
}
