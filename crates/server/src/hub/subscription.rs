//! A reader. Its whole state is a cursor: it cannot lag, only be behind.

use std::sync::Arc;

use tokio::sync::watch;
use turnwire_log::{Bounds, Limit, Log, Page, ReadError};
use turnwire_proto::{ControlFrame, Epoch, GapReason, Selector, Seq};

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what comes from now on.
    Live,
    /// After a place, which is of this epoch when that is known.
    After(Seq, Option<Epoch>),
    /// With the last so many events.
    Tail(usize),
}

/// A cursor and what it is about. The order *mark, read, wait* is the whole proof that nothing is lost between history and
/// live: whatever is committed after the mark wakes the wait.
#[derive(Debug)]
pub struct Subscription {
    log: Arc<dyn Log>,
    what: Selector,
    after: Seq,
    tail: watch::Receiver<Seq>,
    /// The reader knows that no deltas before this place are kept; zero while it was told of none.
    told_deltas: Seq,
    /// Told before anything else.
    opening: Vec<ControlFrame>,
}

impl Subscription {
    pub(super) async fn open(
        log: Arc<dyn Log>,
        what: Selector,
        start: Start,
        tail: watch::Receiver<Seq>,
    ) -> Result<Self, ReadError> {
        // The tail is held already, so nothing falls between these bounds and the first read.
        let bounds = log.bounds().await?;
        let Bounds { first, head, epoch, .. } = bounds;
        let mut opening = vec![ControlFrame::Hello { epoch, first, head }];
        let (after, gaps) = match start {
            Start::Live => (head, Vec::new()),
            Start::Tail(count) => (tail_cursor(&*log, &what, head, count).await?, Vec::new()),
            Start::After(after, of) => cursor(&what, after, of, &bounds),
        };
        let told_deltas = gaps.iter().find_map(|gap| match gap {
            ControlFrame::Gap {
                next,
                reason: GapReason::DeltasTrimmed,
                ..
            } => Some(*next),
            _ => None,
        });
        opening.extend(gaps);
        Ok(Self {
            log,
            what,
            after,
            tail,
            told_deltas: told_deltas.unwrap_or(Seq::ZERO),
            opening,
        })
    }

    /// The gaps that are known from the start.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = GapReason> {
        self.opening.iter().filter_map(|frame| {
            if let ControlFrame::Gap { reason, .. } = frame {
                Some(*reason)
            } else {
                None
            }
        })
    }

    /// What is to be told before the first event: hello, and the gaps that are known.
    pub(crate) fn opening(&mut self) -> Vec<ControlFrame> {
        std::mem::take(&mut self.opening)
    }

    /// Marks what is known, so that [`Subscription::woken`] waits for what is newer. Comes before [`Subscription::read`].
    pub(crate) fn mark(&mut self) {
        self.tail.mark_unchanged();
    }

    /// The next page, which may be empty. `true` beside it: there may be more at once.
    ///
    /// Cancel-safe: the cursor moves only with the answer.
    pub(crate) async fn read(&mut self, limit: Limit) -> Result<(Page, bool), ReadError> {
        let page = self.log.read(&self.what, self.after, limit).await?;
        let more = page.cursor > self.after;
        Ok((page, more))
    }

    /// Takes a page as read. Gaps are answered when events before it, or deltas that it would have had, are no longer kept.
    pub(crate) fn advance(&mut self, page: &Page) -> Vec<ControlFrame> {
        let mut after = self.after;
        self.after = page.cursor.max(after);
        // Almost always empty, and then it is not allocated.
        let mut gaps = Vec::new();
        if page.first > after.next() {
            gaps.push(ControlFrame::Gap {
                after,
                next: page.first,
                reason: GapReason::Trimmed,
            });
            after = page.first.prev();
            self.after = self.after.max(after);
        }
        if page.first_delta > after.next() && page.first_delta > self.told_deltas && wants_deltas(&self.what) {
            gaps.push(ControlFrame::Gap {
                after: after.max(self.told_deltas.prev()),
                next: page.first_delta,
                reason: GapReason::DeltasTrimmed,
            });
            self.told_deltas = page.first_delta;
        }
        gaps
    }

    /// Waits until there may be more. `false`: the log is gone.
    ///
    /// Cancel-safe: a change that was not waited for to its end is seen by the next wait.
    pub(crate) async fn woken(&mut self) -> bool {
        self.tail.changed().await.is_ok()
    }

    /// The next page that is not empty, and the gaps before it.
    ///
    /// # Errors
    /// The log could not be read; the cursor stays where it was.
    pub async fn next(&mut self) -> Result<(Vec<ControlFrame>, Page), ReadError> {
        loop {
            self.mark();
            let (page, more) = self.read(Limit::RUN).await?;
            let gaps = self.advance(&page);
            if !gaps.is_empty() || !page.is_empty() {
                return Ok((gaps, page));
            }
            if !more && !self.woken().await {
                // The log is gone; there will be nothing more.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Everything up to here was read.
    #[must_use]
    pub const fn cursor(&self) -> Seq {
        self.after
    }
}

/// Where to begin after a cursor that a client brought, and what cannot be had.
fn cursor(what: &Selector, after: Seq, of: Option<Epoch>, bounds: &Bounds) -> (Seq, Vec<ControlFrame>) {
    let Bounds {
        first,
        first_delta,
        head,
        epoch,
    } = *bounds;
    let gap = |after, next, reason| vec![ControlFrame::Gap { after, next, reason }];
    if of.is_some_and(|of| of != epoch) {
        // What the client has is of another log: it gets all of this one.
        return (first.prev(), gap(Seq::ZERO, first, GapReason::OtherEpoch));
    }
    if after > head {
        return (head, gap(after, head.next(), GapReason::BeyondHead));
    }
    if after.next() < first {
        return (first.prev(), gap(after, first, GapReason::Trimmed));
    }
    if wants_deltas(what) && after.next() < first_delta {
        return (after, gap(after, first_delta, GapReason::DeltasTrimmed));
    }
    (after, Vec::new())
}

fn wants_deltas(what: &Selector) -> bool {
    what.deltas && (what.kinds.is_empty() || what.kinds.iter().any(turnwire_proto::Kind::is_delta))
}

/// The cursor before the last `count` events.
async fn tail_cursor(log: &dyn Log, what: &Selector, head: Seq, count: usize) -> Result<Seq, ReadError> {
    let (mut before, mut left) = (head.next(), count);
    while left > 0 {
        let page = log.read_back(what, before, Limit::events(left)).await?;
        left = left.saturating_sub(page.len());
        if page.cursor <= page.first || page.cursor >= before {
            return Ok(page.first.prev());
        }
        before = page.cursor;
    }
    Ok(before.prev())
}

#[cfg(test)]
mod tests {
    use std::{sync::Mutex, time::Duration};

    use async_trait::async_trait;
    use turnwire_log::{AppendError, Appended, Retention, StoreError, Trimmed, memory::MemoryLog};
    use turnwire_proto::{Kind, Name, NewEvent, Object, Timestamp};

    use super::*;

    /// A log to which an event is appended right behind a read, before its reader hears of the read.
    #[derive(Default)]
    struct Behind {
        inner: MemoryLog,
        next: Mutex<Option<NewEvent>>,
    }

    #[async_trait]
    impl Log for Behind {
        async fn append(&self, batch: &[NewEvent]) -> Result<Appended, AppendError> {
            self.inner.append(batch).await
        }

        async fn read(&self, what: &Selector, after: Seq, limit: Limit) -> Result<Page, ReadError> {
            let page = self.inner.read(what, after, limit).await?;
            let next = self.next.lock().unwrap().take();
            if let Some(event) = next {
                self.inner.append(&[event]).await.unwrap();
            }
            Ok(page)
        }

        async fn read_back(&self, what: &Selector, before: Seq, limit: Limit) -> Result<Page, ReadError> {
            self.inner.read_back(what, before, limit).await
        }

        async fn tail(&self, what: &Selector) -> Result<watch::Receiver<Seq>, ReadError> {
            self.inner.tail(what).await
        }

        async fn bounds(&self) -> Result<Bounds, ReadError> {
            self.inner.bounds().await
        }

        async fn trim(&self, policy: &Retention) -> Result<Trimmed, StoreError> {
            self.inner.trim(policy).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_committed_between_a_read_and_the_wait_behind_it_is_read_next() {
        let log = Arc::new(Behind::default());
        let source = Name::new("test").unwrap();
        let note = || NewEvent::new(Kind::NOTE, source.clone(), Timestamp::UNIX_EPOCH, Object::empty());
        let tail = log.tail(&Selector::all()).await.unwrap();
        let mut reader = Subscription::open(log.clone(), Selector::all(), Start::Live, tail)
            .await
            .unwrap();
        for place in 1..=3 {
            *log.next.lock().unwrap() = Some(note());
            // The clock stands while anything can run: the time passes only when nothing would ever come.
            let next = tokio::time::timeout(Duration::from_secs(1), reader.next()).await;
            let (gaps, page) = next.expect("the reader was woken").unwrap();
            assert_eq!((gaps.len(), page.cursor.get()), (0, place));
        }
    }
}
