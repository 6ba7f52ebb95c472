//! Notification: tells people where they are that an agent waits for them, and takes it back when that is over.
//!
//! Each target has a task and a durable cursor of its own: the queue is the log, so nothing is lost while a target is away, nothing
//! is kept in memory for it, and publishing never hears of it. What is told is what an approval is at that moment: one that was
//! decided meanwhile is not told, and one that was told is taken back. After a crash the last one may be told twice.

mod note;
mod send;

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use turnwire_log::{Log, StoreError, kv::Kv};
use turnwire_proto::{Epoch, Seq, Timestamp, approval::State};

pub use send::{InvalidTarget, Token};

use crate::{
    config::Limits,
    observe::Metrics,
    shutdown::Tasks,
    views::{
        Views,
        approvals::{self, News},
    },
};
use note::Note;
use send::{Failure, Target};

/// Where in the small state the cursors are.
const BUCKET: &str = "notify";
/// Changes of approvals that are read at once.
const PAGE: usize = 64;
/// Approvals that were told and not yet taken back; of more, the oldest are not taken back.
const TOLD: usize = 1000;
/// How long after a failure the next try is, at first and at the most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// How often it is looked for what there is at the least: time alone does not change an approval, but views may have been late.
const LOOK: Duration = Duration::from_secs(30);

/// Whom to tell. Nobody, by default.
#[derive(Clone, Default)]
pub struct NotifyConfig {
    /// Gets each as JSON.
    pub webhook: Option<String>,
    /// What the webhook is shown as `Authorization: Bearer`.
    pub webhook_token: Option<Token>,
    /// An ntfy topic.
    pub ntfy: Option<String>,
    /// What ntfy is shown.
    pub ntfy_token: Option<Token>,
    /// Under which URL people reach this server; by default where it listens.
    pub public_url: Option<String>,
}

impl std::fmt::Debug for NotifyConfig {
    /// The URLs are as good as passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NotifyConfig")
            .field("webhook", &self.webhook.is_some())
            .field("ntfy", &self.ntfy.is_some())
            .finish_non_exhaustive()
    }
}

impl NotifyConfig {
    /// Who is told.
    ///
    /// # Errors
    /// A URL is none, or none of what it is for.
    pub(crate) fn targets(&self, listening: &str) -> Result<Vec<Target>, InvalidTarget> {
        let public = send::base(self.public_url.as_deref().unwrap_or(listening))?;
        let webhook = self
            .webhook
            .as_deref()
            .map(|url| Target::webhook(url, self.webhook_token.clone(), &public));
        let ntfy = self
            .ntfy
            .as_deref()
            .map(|url| Target::ntfy(url, self.ntfy_token.clone(), &public));
        webhook.into_iter().chain(ntfy).collect()
    }
}

/// What the tasks stand on.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) views: Views,
    pub(crate) kv: Arc<dyn Kv>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) epoch: Epoch,
    pub(crate) limits: Limits,
}

/// Begins to tell each target.
pub(crate) fn start(targets: Vec<Target>, parts: &Parts, tasks: &Tasks) {
    for target in targets {
        let teller = Teller {
            parts: parts.clone(),
            target,
            kept: Kept::new(parts.epoch),
            told: None,
        };
        tasks.spawn_until_stop("notify", teller.run());
    }
}

/// What a target has been told, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Kept {
    epoch: Epoch,
    /// Every change of an approval up to here was looked at.
    cursor: Seq,
    /// Where the requests stand that were told and are not over, oldest first.
    told: Vec<Seq>,
}

impl Kept {
    const fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            cursor: Seq::ZERO,
            told: Vec::new(),
        }
    }
}

struct Teller {
    parts: Parts,
    target: Target,
    kept: Kept,
    /// What the store has.
    told: Option<Kept>,
}

impl Teller {
    async fn run(mut self) {
        let mut changed = self.parts.views.approvals();
        let mut pause = RETRY.0;
        loop {
            changed.mark_unchanged();
            let wait = match self.step().await {
                Ok(true) => {
                    pause = RETRY.0;
                    continue;
                }
                Ok(false) => {
                    pause = RETRY.0;
                    // Cancel-safe: a change that was not waited for to its end is seen by the next look.
                    let _ = tokio::time::timeout(LOOK, changed.changed()).await;
                    continue;
                }
                Err(Problem::Target(failure)) => {
                    Metrics::count(&self.parts.metrics.notifications_failed, "to", self.target.name());
                    tracing::warn!(to = self.target.name(), host = self.target.host(), %failure, "nobody could be notified");
                    failure.after.unwrap_or(pause).max(pause).min(RETRY.1)
                }
                Err(Problem::Store(error)) => {
                    tracing::error!(%error, "what to notify of could not be read");
                    pause
                }
            };
            tokio::time::sleep(wait).await;
            pause = (2 * pause).min(RETRY.1);
        }
    }

    /// Tells what is next. Whether there may be more.
    async fn step(&mut self) -> Result<bool, Problem> {
        if self.told.is_none() {
            self.load().await?;
        }
        let bounds = self.parts.log.bounds().await;
        let head = bounds.map_err(|turnwire_log::ReadError::Store(e)| e)?.head;
        // A log that has gone back, from a backup perhaps.
        self.kept.cursor = self.kept.cursor.min(head);
        if self.parts.views.reach(head).await < head {
            return Ok(false);
        }
        let (after, wait) = (self.kept.cursor, self.parts.limits.approval_wait);
        let news = self
            .parts
            .views
            .read(move |db| approvals::news(db, after, wait, Timestamp::now(), PAGE));
        let news = news.await?;
        let more = !news.is_empty();
        for one in &news {
            // Each is looked at anew after a failure: it may be over by then.
            let done = self.tell(one).await;
            if done.is_ok() {
                self.kept.cursor = one.changed;
            }
            self.store().await;
            done.map_err(Problem::Target)?;
        }
        Ok(more)
    }

    async fn tell(&mut self, news: &News) -> Result<(), Failure> {
        let (approval, place) = (&news.standing.approval, news.standing.approval.seq);
        let told = self.kept.told.binary_search(&place);
        let waits = approval.state == State::Pending && news.standing.next.is_none();
        match told {
            Err(at) if waits => {
                let note = Note::new(news, self.kept.epoch);
                if self.target.asked(&note).await? {
                    Metrics::count(&self.parts.metrics.notifications_sent, "to", self.target.name());
                    self.kept.told.insert(at, place);
                    if self.kept.told.len() > TOLD {
                        self.kept.told.remove(0);
                    }
                }
            }
            Ok(at) if approval.state != State::Pending => {
                self.target.over(&Note::new(news, self.kept.epoch)).await?;
                self.kept.told.remove(at);
            }
            _ => {}
        }
        Ok(())
    }

    async fn load(&mut self) -> Result<(), StoreError> {
        let found = self.parts.kv.get(BUCKET, self.target.name()).await?;
        let kept: Option<Kept> = found.and_then(|entry| serde_json::from_slice(&entry.value).ok());
        // What was told of another log says nothing of this one.
        if let Some(kept) = kept.filter(|kept| kept.epoch == self.parts.epoch) {
            self.kept = kept;
        }
        self.told = Some(self.kept.clone());
        Ok(())
    }

    /// Keeps how far it is. Without, the next start tells again what was told since.
    async fn store(&mut self) {
        if self.told.as_ref() == Some(&self.kept) {
            return;
        }
        let value = serde_json::to_vec(&self.kept).unwrap_or_default();
        match self.parts.kv.put(BUCKET, self.target.name(), &value, None).await {
            Ok(_) => self.told = Some(self.kept.clone()),
            Err(error) => tracing::warn!(%error, "what was notified of could not be stored"),
        }
    }
}

enum Problem {
    Target(Failure),
    Store(StoreError),
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
