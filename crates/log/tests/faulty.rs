//! What `Faulty` does when it is told to, and what the cache makes of a store that misbehaves.

#![expect(clippy::unwrap_used, reason = "this is all test: what fails ends it")]

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::poll_immediate};
use turnwire_log::{
    AppendError, Limit, Log, Page, Retention, StoreError,
    cached::Cached,
    faulty::{Call, Demanded, Faults, Faulty, Gate},
    memory::MemoryLog,
};
use turnwire_proto::{Kind, Name, NewEvent, Object, Selector, Seq, Timestamp};

/// How long anything may take before the test says that it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

fn note() -> NewEvent {
    NewEvent::new(
        Kind::NOTE,
        Name::new("test").unwrap(),
        Timestamp::UNIX_EPOCH,
        Object::empty(),
    )
}

fn seq(place: u64) -> Seq {
    Seq::new(place).unwrap()
}

async fn read(log: &impl Log, after: Seq) -> Page {
    log.read(&Selector::all(), after, Limit::RUN).await.unwrap()
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it hangs")
}

/// The error of a call, if it fails.
async fn fails(log: &impl Log, call: Call) -> Option<StoreError> {
    let what = Selector::all();
    match call {
        Call::Append => match log.append(&[note()]).await {
            Err(AppendError::Store(error)) => Some(error),
            other => {
                other.unwrap();
                None
            }
        },
        Call::Read => log.read(&what, Seq::ZERO, Limit::RUN).await.err().map(store),
        Call::ReadBack => log.read_back(&what, Seq::MAX, Limit::RUN).await.err().map(store),
        Call::Tail => log.tail(&what).await.err().map(store),
        Call::Bounds => log.bounds().await.err().map(store),
        Call::Trim => log.trim(&Retention::default()).await.err(),
        Call::Check => log.check().await.err(),
    }
}

fn store(error: turnwire_log::ReadError) -> StoreError {
    let turnwire_log::ReadError::Store(error) = error;
    error
}

#[tokio::test]
async fn each_call_fails_as_often_as_it_was_told_and_does_nothing() {
    for call in Call::ALL {
        let (log, faults) = Faulty::new(MemoryLog::new());
        faults.fail(call, 2, true);
        for _ in 0..2 {
            let error = fails(&log, call).await.unwrap();
            assert!(error.retry && error.source.is::<Demanded>(), "{error}");
        }
        assert_eq!(
            log.inner().bounds().await.unwrap().head,
            Seq::ZERO,
            "the inner log has not heard of it"
        );
        assert!(fails(&log, call).await.is_none(), "{call:?} works again");
        faults.fail_always(call, false);
        for _ in 0..10 {
            assert!(!fails(&log, call).await.unwrap().retry);
        }
        for other in Call::ALL.into_iter().filter(|other| *other != call) {
            assert!(fails(&log, other).await.is_none(), "{other:?} is not {call:?}");
        }
        faults.heal();
        assert!(fails(&log, call).await.is_none());
        assert!(faults.calls(call) >= 14, "each of them was counted");
    }
}

#[tokio::test]
async fn a_full_queue_writes_nothing() {
    let (log, faults) = Faulty::new(MemoryLog::new());
    faults.busy(1);
    assert!(matches!(log.append(&[note()]).await, Err(AppendError::Busy { .. })));
    assert_eq!(log.append(&[note()]).await.unwrap().first, seq(1));
}

#[tokio::test]
async fn a_torn_acknowledgement_is_found_out_by_trying_again() {
    let (log, faults) = Faulty::new(MemoryLog::new());
    faults.tear(1);
    let batch = [note(), note()];
    assert!(matches!(log.append(&batch).await, Err(AppendError::Unknown)));
    assert_eq!(log.bounds().await.unwrap().head, seq(2), "it was written all the same");
    let again = log.append(&batch).await.unwrap();
    assert_eq!((again.written, again.duplicates, again.last), (0, 2, seq(2)));
}

#[tokio::test]
async fn a_held_call_waits_until_it_is_released() {
    let (log, faults) = Faulty::new(MemoryLog::new());
    let batch = [note()];
    faults.hold(Call::Append, Gate::Call);
    let mut held = log.append(&batch);
    assert!(poll_immediate(&mut held).await.is_none());
    soon(faults.held(Call::Append, Gate::Call, 1)).await;
    assert_eq!(
        log.bounds().await.unwrap().head,
        Seq::ZERO,
        "the inner log has not heard of it"
    );
    faults.release(Call::Append, Gate::Call);
    assert_eq!(soon(held).await.unwrap().first, seq(1));
}

#[tokio::test]
async fn a_caller_that_does_not_wait_for_a_held_answer_has_written() {
    let (log, faults) = Faulty::new(MemoryLog::new());
    faults.hold(Call::Append, Gate::Answer);
    let batch = [note()];
    assert!(poll_immediate(log.append(&batch)).await.is_none());
    assert_eq!(log.bounds().await.unwrap().head, seq(1));
    faults.heal();
    assert_eq!(soon(log.append(&batch)).await.unwrap().duplicates, 1);
}

#[tokio::test]
async fn a_held_tail_hears_of_everything_in_one_wake_up() {
    let (log, faults) = Faulty::new(MemoryLog::new());
    let mut tail = log.tail(&Selector::all()).await.unwrap();
    faults.hold_tails();
    for _ in 0..5 {
        log.append(&[note()]).await.unwrap();
    }
    // Its turn has come and gone for every other task.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(tail.changed().now_or_never().is_none(), "nothing was told");
    faults.release_tails();
    soon(tail.changed()).await.unwrap();
    assert_eq!(*tail.borrow_and_update(), seq(5));
}

#[tokio::test]
async fn a_nudge_wakes_every_tail_though_nothing_is_new() {
    let (log, faults) = Faulty::new(MemoryLog::new());
    log.append(&[note()]).await.unwrap();
    let mut tails = [
        log.tail(&Selector::all()).await.unwrap(),
        log.tail(&Selector::all()).await.unwrap(),
    ];
    faults.nudge();
    for tail in &mut tails {
        soon(tail.changed()).await.unwrap();
        assert_eq!(*tail.borrow_and_update(), seq(1));
    }
}

#[tokio::test]
async fn pages_are_cut_short_and_left_empty_within_the_promises() {
    let (log, faults) = Faulty::new(MemoryLog::new());
    let session = Name::new("s").unwrap();
    let batch: Vec<_> = (0..99)
        .map(|_| note())
        .chain([note().in_session(session.clone())])
        .collect();
    log.append(&batch).await.unwrap();
    faults.short_pages(Some(7));
    assert_eq!(read(&log, Seq::ZERO).await.cursor, seq(7));
    faults.heal();
    faults.hollow_pages(true);
    let what = Selector::session(session);
    let (mut after, mut empty) = (Seq::ZERO, 0);
    loop {
        let page = log.read(&what, after, Limit::RUN).await.unwrap();
        assert!(page.cursor > after);
        if !page.is_empty() {
            break;
        }
        after = page.cursor;
        empty += 1;
    }
    assert!(empty > 0, "at least one was empty");
}

fn cached_over(faults: &Faults) -> impl Future<Output = Cached> {
    let log = Arc::new(Faulty::with(MemoryLog::new(), faults.clone()));
    async { Cached::new(log, 1 << 20).await.unwrap() }
}

#[tokio::test]
async fn a_cache_tells_of_events_that_its_store_could_not_read_at_first() {
    let faults = Faults::default();
    let log = cached_over(&faults).await;
    let mut tail = log.tail(&Selector::all()).await.unwrap();
    faults.fail(Call::Read, 2, true);
    log.append(&[note()]).await.unwrap();
    soon(tail.wait_for(|known| *known == seq(1))).await.unwrap();
    assert_eq!(read(&log, Seq::ZERO).await.len(), 1);
}

#[tokio::test]
async fn what_was_erased_does_not_come_back_through_a_cache() {
    let faults = Faults::default();
    let log = cached_over(&faults).await;
    let mut tail = log.tail(&Selector::all()).await.unwrap();
    let session = Name::new("erased").unwrap();
    // The cache is in the middle of reading the event while it is erased.
    faults.hold(Call::Read, Gate::Answer);
    log.append(&[note().in_session(session.clone())]).await.unwrap();
    soon(faults.held(Call::Read, Gate::Answer, 1)).await;
    let policy = Retention {
        session: Some(session),
        ..Retention::default()
    };
    assert_eq!(log.trim(&policy).await.unwrap().events, 1);
    faults.release(Call::Read, Gate::Answer);
    let kept = log.append(&[note()]).await.unwrap();
    soon(tail.wait_for(|known| *known >= kept.first)).await.unwrap();
    let places: Vec<_> = read(&log, Seq::ZERO).await.marks.iter().map(|mark| mark.seq).collect();
    assert_eq!(places, [kept.first]);
}
