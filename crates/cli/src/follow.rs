//! Files that are followed by this process: the tailer on a thread, its spool, and the publisher that drains it.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::{
    sync::{oneshot, watch},
    task::JoinSet,
};
use turnwire_client::{
    publish::{Flushed, Locate, Patience, Publisher, Status, drain_orphans},
    spool::{Limits, Meta, Spool},
};
use turnwire_watch::{Counts, Options, Source, Stop, Tailer, stop};

/// How long the end waits for what earlier processes left, while the gateway takes it.
const ORPHANS: Duration = Duration::from_secs(60);
/// What is written about the spool.
const ABOUT: &str = "watch";

/// Where events go, and where places are kept.
pub(crate) struct Place<'a> {
    pub(crate) spools: &'a Path,
    pub(crate) target: &'a str,
    pub(crate) locate: Arc<dyn Locate>,
}

/// How much is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) import: bool,
    pub(crate) once: bool,
    pub(crate) poll: bool,
}

/// Files that are followed until it is ended.
pub(crate) struct Follower {
    pub(crate) counts: Arc<Counts>,
    pub(crate) spool: Arc<Spool>,
    publisher: Publisher,
    stop: Stop,
    thread: JoinHandle<()>,
    ended: oneshot::Receiver<Result<(), turnwire_watch::Error>>,
    orphans: JoinSet<()>,
}

impl Follower {
    /// Begins.
    pub(crate) fn start(sources: Vec<Source>, how: How, place: &Place<'_>) -> anyhow::Result<Self> {
        let options = Options {
            state: state(place)?,
            import: how.import,
            polling: how.poll,
        };
        let spool = Spool::reuse(place.spools, Meta::new(place.target, ABOUT), Limits::default())?;
        let publisher = Publisher::start(Arc::clone(&spool), Arc::clone(&place.locate));
        let tailer = Tailer::new(sources, &options, Box::new(Arc::clone(&spool)))?;
        let counts = tailer.counts();
        let (stop, stopped) = stop()?;
        let (tell, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name("watch".into()).spawn(move || {
            let mut tailer = tailer;
            let _ = tell.send(if how.once {
                tailer.once(&stopped)
            } else {
                tailer.run(&stopped)
            });
        })?;
        let mut orphans = JoinSet::new();
        let (spools, target, locate) = (
            place.spools.to_owned(),
            place.target.to_owned(),
            Arc::clone(&place.locate),
        );
        orphans.spawn(async move {
            let (status, _) = watch::channel(Status::default());
            drain_orphans(&spools, &target, locate, &status).await;
        });
        Ok(Self {
            counts,
            spool,
            publisher,
            stop,
            thread,
            ended,
            orphans,
        })
    }

    /// Waits until all has been read (`once`), or until nothing more can be done: the gateway refuses the publisher.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<()> {
        let mut status = self.publisher.status();
        tokio::select! {
            ended = &mut self.ended => ended.context("following files ended early")??,
            _ = status.wait_for(|status| status.refused.is_some()) => {}
        }
        Ok(())
    }

    /// Ends, and waits until the gateway has what was read.
    pub(crate) async fn end(mut self, wait: Duration, patience: Patience) -> anyhow::Result<(Flushed, Arc<Spool>)> {
        drop(self.stop);
        let thread = self.thread;
        tokio::task::spawn_blocking(move || thread.join())
            .await?
            .map_err(|_| anyhow::anyhow!("following files ended early"))?;
        let flushed = self.publisher.flush(wait, patience).await;
        if flushed.left == 0 {
            // What those before it had read, and were killed over.
            let _ = tokio::time::timeout(wait.min(ORPHANS), self.orphans.join_next()).await;
        }
        let _ = self.spool.sync();
        drop(self.publisher);
        let _ = self.spool.remove_if_drained();
        Ok((flushed, self.spool))
    }
}

/// Where places are kept of what goes to one gateway: beside its spools.
fn state(place: &Place<'_>) -> anyhow::Result<std::path::PathBuf> {
    let name: String = place
        .target
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' })
        .take(200)
        .collect();
    let beside = place.spools.parent().context("the directory of spools has no parent")?;
    Ok(beside.join("watch").join(name))
}

/// What it came to.
pub(crate) fn summary(counts: &Counts, flushed: &Flushed) -> Value {
    let count = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    json!({
        "files": count(&counts.files),
        "bytes": count(&counts.read),
        "lines": count(&counts.lines),
        "events": count(&counts.events),
        "written": flushed.status.written,
        "duplicates": flushed.status.duplicates,
        "rejected": flushed.status.rejected,
        "left": flushed.left,
    })
}
