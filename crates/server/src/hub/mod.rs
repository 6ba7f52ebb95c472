//! The hub: what requests do to the log. Each way in takes a [`Grant`], so that nothing gets here unauthorised.

mod queued;
mod subscription;

use std::{path::PathBuf, sync::Arc, task::Poll};

use futures_util::poll;
use tokio::sync::watch;
use turnwire_log::{AppendError, Appended, Bounds, Limit, Log, Page, ReadError};
use turnwire_proto::{Code, Kind, Name, NewEvent, Object, Selector, Seq, SessionRenamed, Timestamp, limits};

pub(crate) use queued::Queued;
pub use subscription::{Start, Subscription};

use crate::{
    auth::{Admin, Chat, Grant, Publish, Read},
    door::Door,
    http::Refusal,
    observe::Metrics,
    retention,
    views::{Views, blobs},
};

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Hub {
    log: Arc<dyn Log>,
    /// What is published goes through it by hand: its place in the log's queue is told before it is written.
    door: Door,
    metrics: Arc<Metrics>,
    /// Wakes readers of everything; rung once for all of them. See `deliver::bell`.
    bell: watch::Receiver<Seq>,
}

impl Hub {
    pub(crate) fn new(door: Door, metrics: Arc<Metrics>, bell: watch::Receiver<Seq>) -> Self {
        let log = Arc::new(door.clone());
        Self {
            log,
            door,
            metrics,
            bell,
        }
    }

    /// Appends a batch, all or none of it. `queued` is set when the batch has its place behind those before it.
    ///
    /// # Errors
    /// An event's session is not granted, or the log refuses.
    pub async fn publish(
        &self,
        grant: &Grant<Publish>,
        batch: &[NewEvent],
        queued: &Queued,
    ) -> Result<Appended, Refusal> {
        if !grant.may_publish_everything() {
            for (at, event) in batch.iter().enumerate() {
                let session = event.session_id.as_ref().map(AsRef::as_ref);
                if !grant.may_publish(session) {
                    let text = format!("this token may not publish to session {}", session.unwrap_or("(none)"));
                    return Err(Refusal::new(Code::Forbidden, text)
                        .with("field", "session_id")
                        .with("index", at));
                }
            }
        }
        let admitted = self.door.admit(batch).await.map_err(AppendError::Store)?;
        if let Some((at, size)) = admitted.too_large() {
            let limit = limits::EVENT;
            let text = format!(
                "`data` and `raw` have {size} bytes together, more than the limit of {limit}, without what became blobs"
            );
            return Err(Refusal::new(Code::TooLarge, text)
                .with("field", "data")
                .with("limit", limit)
                .with("index", at));
        }
        let mut append = std::pin::pin!(self.door.append(&admitted));
        let first = poll!(append.as_mut());
        queued.set();
        let appended = match first {
            Poll::Ready(appended) => appended,
            Poll::Pending => append.await,
        };
        match appended {
            Ok(appended) => {
                self.metrics.published.inc_by(appended.written as u64);
                self.metrics.duplicates.inc_by(appended.duplicates as u64);
                Ok(appended)
            }
            Err(error) => {
                self.metrics.append_errors.inc();
                Err(error.into())
            }
        }
    }

    /// Narrows a selector to what may be seen.
    ///
    /// # Errors
    /// It names a session that is not granted.
    pub fn within(grant: &Grant<Read>, what: Selector) -> Result<Selector, Refusal> {
        let visible = grant.visibility().clone();
        if let Some(session) = &what.session
            && !visible.allows_session(session.as_str())
        {
            let text = format!("this token may not read session {session}");
            return Err(Refusal::new(Code::Forbidden, text).with("field", "session_id"));
        }
        Ok(Selector { visible, ..what })
    }

    /// Opens a subscription.
    ///
    /// # Errors
    /// What is asked for may not be read, or the log cannot be.
    pub async fn subscribe(&self, grant: &Grant<Read>, what: Selector, start: Start) -> Result<Subscription, Refusal> {
        let what = Self::within(grant, what)?;
        let tail = if what.session.is_some() {
            self.log.tail(&what).await?
        } else {
            self.bell.clone()
        };
        Ok(Subscription::open(self.log.clone(), what, start, tail).await?)
    }

    /// The next page after a place.
    ///
    /// # Errors
    /// What is asked for may not be read, or the log cannot be.
    pub async fn after(&self, grant: &Grant<Read>, what: Selector, after: Seq, limit: Limit) -> Result<Page, Refusal> {
        let what = Self::within(grant, what)?;
        let mut at = after;
        // A page may come back empty with progress: a person asked for events, so the search goes on to the head.
        loop {
            let page = self.log.read(&what, at, limit).await?;
            if !page.is_empty() || page.cursor <= at {
                return Ok(page);
            }
            at = page.cursor;
        }
    }

    /// One read after a place, found something or not.
    ///
    /// # Errors
    /// What is asked for may not be read, or the log cannot be.
    pub(crate) async fn after_once(
        &self,
        grant: &Grant<Read>,
        what: Selector,
        after: Seq,
        limit: Limit,
    ) -> Result<Page, Refusal> {
        Ok(self.log.read(&Self::within(grant, what)?, after, limit).await?)
    }

    /// The last page before a place.
    ///
    /// # Errors
    /// What is asked for may not be read, or the log cannot be.
    pub async fn before(
        &self,
        grant: &Grant<Read>,
        what: Selector,
        before: Seq,
        limit: Limit,
    ) -> Result<Page, Refusal> {
        let what = Self::within(grant, what)?;
        let mut at = before;
        loop {
            let page = self.log.read_back(&what, at, limit).await?;
            if !page.is_empty() || page.cursor <= page.first || page.cursor >= at {
                return Ok(page);
            }
            at = page.cursor;
        }
    }

    /// Gives a session another title. Where that is said.
    ///
    /// # Errors
    /// The session is not granted, or the log refuses.
    pub async fn rename(&self, grant: &Grant<Chat>, session: &Name, title: &str) -> Result<Seq, Refusal> {
        if !grant.may_chat(session.as_str()) {
            let text = format!("this token may not both read and control session {session}");
            return Err(Refusal::new(Code::Forbidden, text).with("needs", "read and control"));
        }
        let body = SessionRenamed {
            title: title.to_owned(),
            by: Some(grant.principal().name().to_string()),
        };
        let source = Name::new("turnwire").expect("a literal name");
        let event = NewEvent::new(Kind::SESSION_RENAMED, source, Timestamp::now(), Object::of(&body));
        let appended = self.log.append(&[event.in_session(session.clone())]).await;
        let appended = appended.inspect_err(|_| {
            self.metrics.append_errors.inc();
        })?;
        Ok(appended.last)
    }

    /// Deletes a session with all that is in it. How many events that were, and where it is said.
    ///
    /// # Errors
    /// The log cannot; what was deleted before stays deleted.
    pub async fn erase(&self, _grant: &Grant<Admin>, session: &Name) -> Result<(u64, Seq), Refusal> {
        Ok(retention::erase(&*self.log, session, &self.metrics).await?)
    }

    /// Where the log begins and ends.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn bounds(&self, _grant: &Grant<Read>) -> Result<Bounds, ReadError> {
        self.log.bounds().await
    }

    /// What a blob is and where, if an event names it that may be seen.
    ///
    /// # Errors
    /// The views cannot be read.
    pub(crate) async fn blob(
        &self,
        grant: &Grant<Read>,
        views: &Views,
        hash: String,
    ) -> Result<Option<(PathBuf, String)>, Refusal> {
        let Some(path) = self.door.files().path(&hash) else {
            return Ok(None);
        };
        views.reach(self.log.bounds().await?.head).await;
        let visible = grant.visibility().clone();
        let known = views.read(move |db| blobs::media_type(db, &hash, &visible)).await?;
        Ok(known.map(|media_type| (path, media_type)))
    }

    pub(crate) const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }
}
