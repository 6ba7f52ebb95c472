//! The door: the one way into the log. What is appended by anyone, a producer, a person, the server itself, passes here first.
//!
//! It is a [`Log`] around the log, and the server keeps no other handle of what is inside: whoever forgets the door has nothing to
//! append to.

mod collect;
mod extract;
mod files;
mod key;

use std::{borrow::Cow, path::Path, sync::Arc};

use async_trait::async_trait;
use tokio::sync::watch;
use turnwire_log::{
    AppendError, Appended, Bounds, Level, Limit, Log, Page, ReadError, Retention, StoreError, Trimmed, feed::Sink,
};
use turnwire_proto::{NewEvent, Object, Selector, Seq, limits};
use turnwire_redact::{BadPattern, OwnPattern, Redactor};

use crate::observe::Metrics;
use files::Pins;

pub(crate) use extract::listed;
pub(crate) use files::Files;
pub use key::known_markers_key;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Door(Arc<Parts>);

struct Parts {
    log: Arc<dyn Log>,
    redactor: Redactor,
    files: Files,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}

/// Why there is no door.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// A pattern of the configuration.
    #[error(transparent)]
    Pattern(#[from] BadPattern),
    /// The key of the markers.
    #[error("{0}: {1}")]
    Key(String, #[source] std::io::Error),
    /// The directory of blobs.
    #[error("open blobs: {0}")]
    Blobs(#[source] std::io::Error),
}

/// A batch that may be written: only the door makes one.
#[derive(Debug)]
pub(crate) struct Admitted<'a> {
    events: Cow<'a, [NewEvent]>,
    /// What the events name stays until they are written.
    _pins: Option<Pins>,
}

impl Admitted<'_> {
    /// The first event that is larger than one may be, and how large it is.
    pub(crate) fn too_large(&self) -> Option<(usize, usize)> {
        let sizes = self.events.iter().map(NewEvent::size);
        sizes.enumerate().find(|(_, size)| *size > limits::EVENT)
    }
}

impl Door {
    /// In front of `log`, with what `dir` keeps for it.
    ///
    /// # Errors
    /// See [`DoorError`].
    pub(crate) fn open(
        log: Arc<dyn Log>,
        dir: &Path,
        own: &[OwnPattern],
        metrics: Arc<Metrics>,
    ) -> Result<Self, DoorError> {
        let file = dir.join(key::FILE);
        let key = key::open(dir).map_err(|source| DoorError::Key(format!("open {}", file.display()), source))?;
        Ok(Self(Arc::new(Parts {
            log,
            redactor: Redactor::new(key, own)?,
            files: Files::open(dir).map_err(DoorError::Blobs)?,
            metrics,
        })))
    }

    /// What may be written of a batch: without its secrets, and with what is large in files of their own, which are on disk by then.
    /// Where nothing is large, this is done when it is first polled.
    ///
    /// # Errors
    /// A file could not be written.
    pub(crate) async fn admit<'a>(&self, batch: &'a [NewEvent]) -> Result<Admitted<'a>, StoreError> {
        let (mut events, kinds) = self.0.redactor.batch(batch);
        self.count(&kinds);
        let mut blobs = Vec::new();
        for at in 0..events.len() {
            if let Some((smaller, left)) = extract::extract(&events[at]) {
                events.to_mut()[at] = smaller;
                blobs.extend(left);
            }
        }
        if blobs.is_empty() {
            return Ok(Admitted { events, _pins: None });
        }
        let (files, count) = (self.0.files.clone(), blobs.len() as u64);
        let pins = collect::blocking(move || files.put(&blobs)).await?;
        self.0.metrics.blobs.inc_by(count);
        Ok(Admitted {
            events,
            _pins: Some(pins),
        })
    }

    /// The files of blobs.
    pub(crate) fn files(&self) -> &Files {
        &self.0.files
    }

    /// Appends what was admitted.
    pub(crate) fn append<'a>(
        &'a self,
        admitted: &'a Admitted<'_>,
    ) -> impl Future<Output = Result<Appended, AppendError>> + Send + 'a {
        self.0.log.append(&admitted.events)
    }

    /// A part of a body as the log will have it, for what is also kept in memory. Counted when it is written.
    pub(crate) fn without_secrets(&self, part: Object) -> Object {
        let clean = self.0.redactor.json(part.get());
        clean.map_or(part, |(clean, _)| Object::new(clean).unwrap_or_else(Object::empty))
    }

    /// The same of a text.
    pub(crate) fn text_without_secrets(&self, text: String) -> String {
        self.0.redactor.text(&text).map_or(text, |(clean, _)| clean)
    }

    /// Whether something of this JSON would be replaced.
    pub(crate) fn has_secrets(&self, json: &str) -> bool {
        self.0.redactor.json(json).is_some()
    }

    fn count(&self, kinds: &[Arc<str>]) {
        for kind in kinds {
            let label = [("kind", kind.to_string())];
            self.0.metrics.redacted.get_or_create(&label).inc();
        }
    }
}

#[async_trait]
impl Log for Door {
    async fn append(&self, batch: &[NewEvent]) -> Result<Appended, AppendError> {
        let admitted = self.admit(batch).await?;
        Self::append(self, &admitted).await
    }

    async fn read(&self, what: &Selector, after: Seq, limit: Limit) -> Result<Page, ReadError> {
        self.0.log.read(what, after, limit).await
    }

    async fn read_back(&self, what: &Selector, before: Seq, limit: Limit) -> Result<Page, ReadError> {
        self.0.log.read_back(what, before, limit).await
    }

    async fn tail(&self, what: &Selector) -> Result<watch::Receiver<Seq>, ReadError> {
        self.0.log.tail(what).await
    }

    async fn bounds(&self) -> Result<Bounds, ReadError> {
        self.0.log.bounds().await
    }

    async fn trim(&self, policy: &Retention) -> Result<Trimmed, StoreError> {
        self.0.log.trim(policy).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.0.log.check().await
    }

    fn levels(&self) -> Vec<Level> {
        self.0.log.levels()
    }

    fn feed(&self, sink: Arc<dyn Sink>) -> Option<Seq> {
        self.0.log.feed(sink)
    }
}
