//! The observer that tells the gateway.
//!
//! An event is a line in a spool on disk before the call returns, and a thread of its own publishes from there, so that it
//! works in any program, with a runtime or without. A gateway that is slow, away or not yet started costs nothing but room
//! on disk; what is still there when the program ends is sent by the next one that records for the same gateway.
//!
//! Metrics are not events and have no place in the log: they are passed over.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc as sync,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::{mpsc, watch};
use turnwire_proto::{ErrorBody, Name};

use super::{About, Metric, Observer, ObserverEvent, What};
use crate::{
    locate::{Finder, Place},
    publish::{Locate, Patience, Publisher, Status, drain_orphans},
    spool::{Limits, Losses, Meta, Spool, SpoolError},
};

/// Requests to hurry that wait while one is under way. What is over it is as good as done by those before it.
const ASKS: usize = 16;

/// How [`Turnwire`] records.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which gateway.
    pub place: Place,
    /// The directory of spools; the usual one of that gateway when absent.
    pub spool_dir: Option<PathBuf>,
    /// Bounds of the spool.
    pub limits: Limits,
    /// What made the events, where the gateway shows it.
    pub source: Name,
    /// The worker of events that name none.
    pub agent: Option<Name>,
}

/// Why it could not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Where the gateway is to be.
    #[error(transparent)]
    Place(#[from] crate::Error),
    /// Where events would wait.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// No thread.
    #[error("failed to start the publisher's thread: {0}")]
    Thread(#[from] io::Error),
}

/// Tells the gateway, through a spool on disk: nothing is lost.
#[derive(Debug)]
pub struct Turnwire {
    spool: Arc<Spool>,
    source: Name,
    agent: Option<Name>,
    lost: AtomicU64,
    status: watch::Receiver<Status>,
    asks: Option<mpsc::Sender<Ask>>,
    thread: Option<JoinHandle<()>>,
}

/// To hurry, and to say whether all is gone.
struct Ask {
    within: Duration,
    gone: sync::SyncSender<bool>,
}

impl Turnwire {
    /// Begins. The gateway need not be there.
    ///
    /// # Errors
    /// When the spool cannot be made, or the address or token cannot be one.
    pub fn start(options: Options) -> Result<Self, StartError> {
        if options.place.url.is_some() {
            // What is wrong for good is said now, not after the first event.
            options.place.endpoint()?;
        }
        let root = match options.spool_dir {
            Some(dir) => dir,
            None => options.place.spool_root()?,
        };
        let target = options.place.target();
        let meta = Meta::new(&target, options.source.as_str());
        let spool = Spool::create(&root, meta, options.limits)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (asks, asked) = mpsc::channel(ASKS);
        let (sender, status) = watch::channel(Status::default());
        let drain = Draining {
            spool: Arc::clone(&spool),
            root,
            target,
            locate: Arc::new(Finder::new(options.place)),
            asked,
            status: sender,
        };
        let thread = thread::Builder::new()
            .name("turnwire-publish".into())
            .spawn(move || runtime.block_on(drain.run()))?;
        Ok(Self {
            spool,
            source: options.source,
            agent: options.agent,
            lost: AtomicU64::new(0),
            status,
            asks: Some(asks),
            thread: Some(thread),
        })
    }

    /// How publishing stands.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Events that are in the spool, and not yet with the gateway.
    #[must_use]
    pub fn backlog(&self) -> u64 {
        self.spool.backlog()
    }

    /// Events that the spool had no room for, or that the disk refused. The log is told of them when there is room.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// `None` when there are so many requests already that another changes nothing.
    fn ask(&self, within: Duration) -> Option<sync::Receiver<bool>> {
        let (gone, answer) = sync::sync_channel(1);
        let asks = self.asks.as_ref()?;
        asks.try_send(Ask { within, gone }).ok()?;
        Some(answer)
    }

    fn tell(&self, losses: &Losses) {
        let message = format!(
            "{} events and {} deltas since {} were not recorded: {}",
            losses.events, losses.deltas, losses.since, losses.reason
        );
        let event = ObserverEvent::new(
            About::everyone(),
            What::Error(ErrorBody {
                component: "observer".into(),
                message,
                retry: None,
            }),
        );
        self.spool.push_told(&event.to_event(&self.source, self.agent.as_ref()));
    }
}

impl Observer for Turnwire {
    /// One write(2) into a file, which neither waits for the gateway nor for the disk to be synced.
    fn record_event(&self, event: &ObserverEvent) {
        let event = event.to_event(&self.source, self.agent.as_ref());
        let lost = self.spool.push(std::slice::from_ref(&event)).lost;
        if lost > 0 && self.lost.fetch_add(lost, Ordering::Relaxed) == 0 {
            tracing::error!(
                "an event could not be recorded: the spool at {} takes no more",
                self.spool.dir().display()
            );
        }
        if let Some(losses) = self.spool.take_losses() {
            self.tell(&losses);
        }
    }

    fn record_metric(&self, _metric: &Metric) {}

    fn flush(&self) {
        self.ask(Duration::ZERO);
    }

    fn name(&self) -> &'static str {
        "turnwire"
    }

    fn settle(&self, within: Duration) -> bool {
        // The spool is safe in any case: a gateway that cannot be reached is not waited for.
        self.ask(within)
            .is_some_and(|answer| answer.recv_timeout(within).unwrap_or(false))
            || self.backlog() == 0
    }
}

impl Drop for Turnwire {
    /// Stops publishing. What is not with the gateway stays in the spool.
    fn drop(&mut self) {
        if let Some(losses) = self.spool.take_losses_at_end() {
            self.tell(&losses);
        }
        self.asks = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The publisher's thread.
struct Draining {
    spool: Arc<Spool>,
    root: PathBuf,
    target: String,
    locate: Arc<dyn Locate>,
    asked: mpsc::Receiver<Ask>,
    status: watch::Sender<Status>,
}

impl Draining {
    async fn run(mut self) {
        let publisher = Publisher::start(Arc::clone(&self.spool), Arc::clone(&self.locate));
        let orphans = async {
            let status = watch::Sender::new(Status::default());
            drain_orphans(&self.root, &self.target, Arc::clone(&self.locate), &status).await;
            // It has nothing more to do; the program goes on.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = orphans => {}
            () = answer(&mut self.asked, &publisher) => {}
            () = watch_over(publisher.status(), &self.status, &self.spool) => {}
        }
        drop(publisher);
        if let Err(error) = self.spool.remove_if_drained() {
            tracing::warn!("{error}");
        }
    }
}

/// Until nobody can ask any more.
async fn answer(asked: &mut mpsc::Receiver<Ask>, publisher: &Publisher) {
    while let Some(ask) = asked.recv().await {
        let flushed = publisher.flush(ask.within, Patience::OneTry).await;
        // Whoever asked may have stopped waiting.
        let _ = ask.gone.try_send(flushed.left == 0);
    }
}

/// Says once in the program's log that its events are refused; they are kept.
async fn watch_over(mut from: watch::Receiver<Status>, to: &watch::Sender<Status>, spool: &Spool) {
    let mut told = false;
    while from.changed().await.is_ok() {
        let status = from.borrow_and_update().clone();
        if let Some(refused) = status.refused.as_ref().filter(|_| !told) {
            told = true;
            let kept = spool.dir().display();
            tracing::error!(
                "the gateway refuses what is recorded: {}; it is kept in {kept}",
                refused.error.message
            );
        }
        to.send_replace(status);
    }
    std::future::pending::<()>().await;
}
