//! Requests on their way to a task that does them one after another.

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use turnwire_log::Level;
use turnwire_proto::Code;

use crate::http::Refusal;

/// Requests that wait for one task.
const WAITING: usize = 1024;
/// How long a request waits at a start until the task has read what there is.
const READY: Duration = Duration::from_secs(5);

/// Work for whoever owns `D`. What it comes to goes to whoever asked, if they are still there: it is done to its end either way.
pub(super) type Work<D> = Box<dyn for<'a> FnOnce(&'a mut D) -> BoxFuture<'a, ()> + Send>;

/// The asking end. Cheap to clone.
#[derive(Debug)]
pub(super) struct Asking<D> {
    /// What is asked about, as a person is told.
    what: &'static str,
    bound: &'static str,
    work: mpsc::Sender<Work<D>>,
    ready: watch::Receiver<bool>,
}

impl<D> Clone for Asking<D> {
    fn clone(&self) -> Self {
        Self {
            what: self.what,
            bound: self.bound,
            work: self.work.clone(),
            ready: self.ready.clone(),
        }
    }
}

/// The doing end.
pub(super) struct Waiting<D> {
    pub(super) work: mpsc::Receiver<Work<D>>,
    ready: watch::Sender<bool>,
}

impl<D> Waiting<D> {
    /// What there is has been read.
    pub(super) fn is_ready(&self) {
        self.ready.send_if_modified(|ready| !std::mem::replace(ready, true));
    }
}

impl<D: Send + 'static> Asking<D> {
    pub(super) fn new(what: &'static str, bound: &'static str) -> (Self, Waiting<D>) {
        let (work, waiting) = mpsc::channel(WAITING);
        let (is_ready, ready) = watch::channel(false);
        let asking = Self {
            what,
            bound,
            work,
            ready,
        };
        let doing = Waiting {
            work: waiting,
            ready: is_ready,
        };
        (asking, doing)
    }

    pub(super) async fn ask<T: Send + 'static>(
        &self,
        work: impl for<'a> FnOnce(&'a mut D) -> BoxFuture<'a, T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let mut ready = self.ready.clone();
        if timeout(READY, ready.wait_for(|ready| *ready)).await.is_err() {
            let text = format!(
                "{} are not read yet, or cannot be: the server's own log says why",
                self.what
            );
            return Err(Refusal::new(Code::StoreUnavailable, text).with("part", "views"));
        }
        let stopping = || Refusal::new(Code::ShuttingDown, "the server is stopping");
        let (tell, told) = oneshot::channel();
        let work: Work<D> = Box::new(move |owner| {
            Box::pin(async move {
                // Whoever has gone is not told.
                let _ = tell.send(work(owner).await);
            })
        });
        self.work.try_send(work).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                let text = format!(
                    "{WAITING} requests about {} wait, as many as the server takes",
                    self.what
                );
                Refusal::new(Code::Overloaded, text).with("limit", WAITING)
            }
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        told.await.map_err(|_| stopping())
    }

    /// How many wait.
    pub(super) fn level(&self) -> Level {
        Level {
            bound: self.bound,
            used: WAITING - self.work.capacity(),
            limit: WAITING,
        }
    }
}
