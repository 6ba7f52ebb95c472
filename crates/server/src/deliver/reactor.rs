//! The runtime that writes streams: one thread, so that publishing has the other cores to itself.

use std::{sync::Arc, thread::JoinHandle, time::Duration};

use tokio::{
    runtime::{Builder, Handle},
    sync::watch,
};
use turnwire_proto::Seq;

use super::{
    frames::{jitter, retry_ms},
    pieces, stream,
};
use crate::{auth::Auth, config::Limits, observe::Metrics, shutdown::Tasks};

/// What every stream needs to know. One for all of them.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) metrics: Arc<Metrics>,
    pub(super) limits: Limits,
    pub(super) tasks: Tasks,
    /// Changes when a token has ended or the server stops: then each stream looks whether it is meant.
    pub(super) control: watch::Sender<u64>,
}

impl Shared {
    /// Why a stream must end now, and when it may come back.
    pub(super) fn must_end(&self, standing: &crate::auth::Standing) -> Option<(&'static str, Option<Duration>)> {
        if let Some(reason) = standing.is_ended() {
            return Some((reason, None));
        }
        self.tasks
            .stopping()
            .is_cancelled()
            .then(|| ("shutdown", Some(Duration::from_millis(retry_ms()))))
    }

    /// How long a stream goes on after the server was told to stop, so that clients do not all come back at once.
    pub(super) fn spread(&self) -> Duration {
        // Half of the grace: the other half is for writing the last frames.
        let grace = u64::try_from(self.limits.shutdown_grace.as_millis()).unwrap_or(u64::MAX) / 2;
        Duration::from_millis(jitter(grace.max(1)))
    }
}

/// The delivery runtime. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Reactor {
    pub(super) shared: Arc<Shared>,
    handle: Handle,
    bell: watch::Receiver<Seq>,
    thread: Option<JoinHandle<()>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Reactor {
    /// Starts the thread. `head` is the log's own tail: it is heard here once and rung for all readers.
    pub(crate) fn start(
        mut head: watch::Receiver<Seq>,
        auth: &Auth,
        metrics: Arc<Metrics>,
        limits: Limits,
        tasks: Tasks,
    ) -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (ring, bell) = watch::channel(*head.borrow());
        let control = watch::Sender::new(0);
        let shared = Arc::new(Shared {
            metrics,
            limits,
            tasks,
            control,
        });
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (mut revisions, told) = (auth.revisions(), shared.clone());
        let work = async move {
            let ringing = async {
                while head.changed().await.is_ok() {
                    let head = *head.borrow_and_update();
                    ring.send_replace(head);
                }
            };
            let controlling = async {
                while revisions.changed().await.is_ok() {
                    told.control.send_modify(|n| *n += 1);
                }
                std::future::pending::<()>().await;
            };
            let stopping = async {
                told.tasks.stopping().cancelled().await;
                told.control.send_modify(|n| *n += 1);
                std::future::pending::<()>().await;
            };
            // The first to end is either the log's tail or the order to stop; nothing here holds anything half-way.
            tokio::select! {
                () = ringing => {}
                () = controlling => {}
                () = stopping => {}
                _ = stopped => {}
            }
        };
        let thread = std::thread::Builder::new().name("deliver".into()).spawn(move || {
            runtime.block_on(work);
            // What is still open gets no more events: the log is gone, or the grace is over.
            runtime.shutdown_timeout(Duration::from_millis(100));
        })?;
        Ok(Self {
            shared,
            handle,
            bell,
            thread: Some(thread),
            stop: Some(stop),
        })
    }

    pub(crate) fn bell(&self) -> watch::Receiver<Seq> {
        self.bell.clone()
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Hands a socket over. `head` is what is to be written before the stream.
    pub(super) fn adopt(
        &self,
        socket: std::net::TcpStream,
        head: Vec<u8>,
        ready: super::Ready,
        guard: super::accept::Open,
    ) {
        let shared = self.shared.clone();
        let tasks = &self.shared.tasks;
        match ready {
            super::Ready::Events(events) => {
                let work = stream::run(shared, socket, head, *events, guard);
                tasks.spawn_on("stream", &self.handle, work);
            }
            super::Ready::Pieces(made) => {
                let work = pieces::run(shared, socket, head, made, guard);
                tasks.spawn_on("downlink", &self.handle, work);
            }
        }
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has said so if it panicked.
            let _ = thread.join();
        }
    }
}
