//! Promises of [`Log::feed`]. A log that has none is not asked for them.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::join_all;
use turnwire_proto::{Selector, Seq};

use super::{
    Subjects,
    append::task,
    check::{Frame, all, append, bounds, fill, page_frames, parse},
    event::{at, name, note, notes},
};
use crate::{
    Log, Page, Retention,
    feed::{Facts, Sink},
};

#[derive(Default)]
struct Heard {
    pages: Mutex<Vec<(Page, Arc<[Facts]>)>>,
    trims: Mutex<Vec<(Seq, bool)>>,
}

impl Sink for Heard {
    fn committed(&self, page: Page, facts: Arc<[Facts]>) {
        self.pages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((page, facts));
    }

    fn trimmed(&self, first: Seq, everything: bool) {
        self.trims
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((first, everything));
    }
}

impl Heard {
    fn head(&self) -> Seq {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.last().map_or(Seq::ZERO, |(page, _)| page.cursor)
    }

    /// All frames, with the promises about pages and facts checked.
    fn frames(&self, mut after: Seq) -> Vec<Frame> {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let mut frames = Vec::new();
        for (page, facts) in pages.iter() {
            assert_eq!(page.len(), facts.len(), "facts of each frame");
            assert!(
                page.marks.iter().all(|mark| mark.seq > after),
                "a page follows the last one"
            );
            assert!(
                page.marks.last().is_some_and(|mark| mark.seq <= page.cursor),
                "a page has something"
            );
            after = page.cursor;
            for (frame, facts) in page_frames(page).into_iter().zip(facts.iter()) {
                let event = parse(&frame);
                assert_eq!(
                    (&event.kind, &event.source, &event.agent, &event.session_id),
                    (&facts.kind, &facts.source, &facts.agent, &facts.session),
                );
                frames.push(frame);
            }
        }
        frames
    }
}

/// In order, whole, from the place on that it was told, by whichever writer.
pub async fn a_feed_has_what_is_committed_before_its_append_returns(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let before = fill(&*log, 5).await;
    // Some writers are under way when the feed begins.
    let early = task(write(log.clone(), None));
    let heard = Arc::new(Heard::default());
    let feed = async {
        tokio::task::yield_now().await;
        log.feed(heard.clone())
    };
    let (_, start) = futures_util::future::join(early, feed).await;
    let Some(start) = start else { return };
    assert!(start >= before[4].0, "what was there before is not said again");
    join_all((0..4).map(|_| task(write(log.clone(), Some(heard.clone()))))).await;
    let known = heard.head();
    append(&*log, &[before[0].1.clone()]).await;
    assert_eq!(heard.head(), known, "a duplicate is not news");
    let mut expected = all(&*log, &Selector::all()).await;
    expected.retain(|(seq, _)| *seq > start);
    assert!(
        heard.frames(start) == expected,
        "everything behind {start}, once and in order"
    );
}

async fn write(log: Arc<dyn Log>, heard: Option<Arc<Heard>>) {
    for n in 0..50 {
        let done = append(&*log, &notes(n..n + 1 + n % 4)).await;
        if let Some(heard) = &heard {
            assert!(heard.head() >= done.last, "what was answered had been handed on");
        }
    }
}

/// Whatever a cache holds of it is to go, too.
pub async fn a_feed_is_told_of_what_goes(subjects: &Subjects) {
    let subject = subjects.subject().await;
    let log = subject.open().await;
    let heard = Arc::new(Heard::default());
    if log.feed(heard.clone()).is_none() {
        return;
    }
    let said = || std::mem::take(&mut *heard.trims.lock().unwrap_or_else(PoisonError::into_inner));
    fill(&*log, 10).await;
    append(&*log, &[note(10).in_session(name("s1"))]).await;
    log.trim(&Retention {
        events_before: Some(at(4)),
        ..Retention::default()
    })
    .await
    .expect("the store can delete");
    let first = bounds(&*log).await.first;
    assert!(
        said().iter().any(|(told, _)| *told == first),
        "where the log begins now"
    );
    log.trim(&Retention {
        session: Some(name("s1")),
        ..Retention::default()
    })
    .await
    .expect("the store can delete");
    assert!(
        said().iter().any(|(_, everything)| *everything),
        "something went in the middle"
    );
}
