//! How the process ends: every task is known, every task is told.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Spawns tasks and remembers them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Tasks {
    /// Runs `work` on this runtime. A panic in it is logged and ends it alone.
    pub(crate) fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(caught(name, work));
    }

    /// Runs `work` on another runtime.
    pub(crate) fn spawn_on(
        &self,
        name: &'static str,
        runtime: &Handle,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        self.tracker.spawn_on(caught(name, work), runtime);
    }

    /// Runs `work` until it ends or everything is told to stop.
    pub(crate) fn spawn_until_stop(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.spawn(name, async move {
            stop.run_until_cancelled(work).await;
        });
    }

    /// Becomes ready when everything is told to stop.
    pub(crate) const fn stopping(&self) -> &CancellationToken {
        &self.stop
    }

    /// Tells all tasks to stop and waits for them, at the most `grace`. Whether all have ended.
    pub(crate) async fn stop(&self, grace: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(grace, self.tracker.wait()).await.is_ok()
    }
}

async fn caught(name: &'static str, work: impl Future<Output = ()>) {
    if let Err(panic) = AssertUnwindSafe(work).catch_unwind().await {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        tracing::error!(task = name, panic = text.unwrap_or("?"), "a task panicked");
    }
}
