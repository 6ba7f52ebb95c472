//! What every [`Kv`] owes. [`kv_conformance!`](crate::kv_conformance) makes a test of each promise, named like it.
//!
//! A store is given as a function that opens a further handle on the same entries: a clone, or the same file once more. Every
//! promise is checked across two handles, so that two processes on one file are covered by it.

#![expect(clippy::unwrap_used, reason = "a promise that is not kept ends its test")]

use std::{collections::BTreeSet, future::Future, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinSet};
use turnwire_proto::Timestamp;

use super::Kv;

/// Opens a further handle on the same entries.
pub trait Open: Fn() -> Self::Store {
    /// The store.
    type Store: Kv;
}

impl<F: Fn() -> K, K: Kv> Open for F {
    type Store = K;
}

/// Far longer than the second that [`Kv::changes`] has, so that only a lost wake-up fails, never a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes a module of tests, one for each promise of a [`Kv`], from an expression that answers an [`Open`].
#[macro_export]
macro_rules! kv_conformance {
    ($module:ident, $open:expr) => {
        $crate::kv_conformance!(@ $module, $open,
            an_entry_is_read_back_as_it_was_written
            buckets_and_keys_do_not_mix
            a_bucket_is_listed_by_key
            an_entry_is_created_once
            an_update_needs_the_revision_that_it_saw
            a_revision_never_comes_back
            a_delete_says_whether_it_was_there
            an_entry_ends_when_its_time_has_come
            of_concurrent_creates_one_succeeds
            of_concurrent_updates_none_is_lost
            a_change_wakes_who_waits_through_any_handle
            what_changes_nothing_wakes_nobody
            a_dropped_call_wrote_all_or_nothing
        );
    };
    (@ $module:ident, $open:expr, $($promise:ident)*) => {
        mod $module {
            use super::*;
            $(
                #[tokio::test]
                async fn $promise() {
                    $crate::kv::conformance::$promise(&{ $open }).await;
                }
            )*
        }
    };
}

fn past() -> Option<Timestamp> {
    Timestamp::from_millis(Timestamp::now().millis() - 1)
}

fn in_an_hour() -> Option<Timestamp> {
    Timestamp::from_millis(Timestamp::now().millis() + 3_600_000)
}

/// Waits for a change, but not for ever.
async fn changed(changes: &mut watch::Receiver<u64>) {
    tokio::time::timeout(PATIENCE, changes.changed())
        .await
        .expect("nobody was woken")
        .expect("the store is there");
}

/// [`Kv::put`], [`Kv::get`].
pub async fn an_entry_is_read_back_as_it_was_written(open: &impl Open) {
    let (one, two) = (open(), open());
    assert_eq!(one.get("b", "k").await.unwrap(), None);
    let every_byte: Vec<u8> = (0..=255).collect();
    let end = in_an_hour();
    let revision = one.put("b", "k", &every_byte, end).await.unwrap();
    for kv in [&one, &two] {
        let entry = kv.get("b", "k").await.unwrap().expect("it was written");
        assert_eq!(entry.value, every_byte);
        assert_eq!(entry.revision, revision);
        assert_eq!(entry.expires, end);
    }
    two.put("b", "k", b"", None).await.unwrap();
    let entry = one.get("b", "k").await.unwrap().expect("it was written");
    assert_eq!((entry.value.as_slice(), entry.expires), (&b""[..], None));
}

/// Every method takes a bucket and a key apart.
pub async fn buckets_and_keys_do_not_mix(open: &impl Open) {
    let kv = open();
    for (bucket, key) in [
        ("a", "bc"),
        ("ab", "c"),
        ("a", "\u{10ffff}"),
        ("a'--", "%"),
        ("A", "BC"),
    ] {
        kv.put(bucket, key, format!("{bucket}|{key}").as_bytes(), None)
            .await
            .unwrap();
    }
    let entry = kv.get("ab", "c").await.unwrap().expect("it was written");
    assert_eq!(entry.value, b"ab|c");
    let keys = |list: Vec<(String, super::Entry)>| list.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    assert_eq!(keys(kv.list("a").await.unwrap()), ["bc", "\u{10ffff}"]);
    assert_eq!(keys(kv.list("a'--").await.unwrap()), ["%"]);
    assert!(kv.list("none").await.unwrap().is_empty());
    assert!(kv.delete("A", "BC").await.unwrap());
    assert!(kv.get("a", "bc").await.unwrap().is_some());
}

/// [`Kv::list`].
pub async fn a_bucket_is_listed_by_key(open: &impl Open) {
    let (one, two) = (open(), open());
    for key in ["b", "a", "c", "B", "ä"] {
        one.put("list", key, key.as_bytes(), None).await.unwrap();
    }
    one.put("list", "gone", b"", past()).await.unwrap();
    let list = two.list("list").await.unwrap();
    let keys: Vec<_> = list.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(
        keys,
        ["B", "a", "b", "c", "ä"],
        "in order of bytes, without what has ended"
    );
    assert!(list.iter().all(|(key, entry)| key.as_bytes() == entry.value));
}

/// [`Kv::create`].
pub async fn an_entry_is_created_once(open: &impl Open) {
    let (one, two) = (open(), open());
    let revision = one.create("b", "k", b"first", None).await.unwrap();
    assert!(revision.is_some());
    assert_eq!(two.create("b", "k", b"second", None).await.unwrap(), None);
    let entry = two.get("b", "k").await.unwrap().expect("it was created");
    assert_eq!(
        (entry.value.as_slice(), Some(entry.revision)),
        (&b"first"[..], revision)
    );
    assert!(two.delete("b", "k").await.unwrap());
    assert!(two.create("b", "k", b"third", None).await.unwrap() > revision);
    one.put("b", "ended", b"", past()).await.unwrap();
    assert!(two.create("b", "ended", b"new", None).await.unwrap().is_some());
    assert_eq!(
        one.get("b", "ended").await.unwrap().expect("it was created").value,
        b"new"
    );
}

/// [`Kv::update`].
pub async fn an_update_needs_the_revision_that_it_saw(open: &impl Open) {
    let (one, two) = (open(), open());
    let first = one.put("b", "k", b"1", None).await.unwrap();
    let second = two.update("b", "k", b"2", None, first).await.unwrap();
    assert!(second.is_some_and(|second| second > first));
    assert_eq!(one.update("b", "k", b"3", None, first).await.unwrap(), None);
    assert_eq!(one.get("b", "k").await.unwrap().expect("it is there").value, b"2");
    assert_eq!(one.update("b", "absent", b"", None, first).await.unwrap(), None);
    assert_eq!(one.update("b", "absent", b"", None, 0).await.unwrap(), None);
    let ended = one.put("b", "k", b"4", past()).await.unwrap();
    assert_eq!(two.update("b", "k", b"5", None, ended).await.unwrap(), None);
}

/// [`Entry::revision`](super::Entry::revision).
pub async fn a_revision_never_comes_back(open: &impl Open) {
    let mut seen = BTreeSet::new();
    for round in 0..20 {
        let kv = open();
        let revision = if round % 2 == 0 {
            kv.put("b", "k", b"", None).await.unwrap()
        } else {
            kv.create("b", "k", b"", None).await.unwrap().expect("it was deleted")
        };
        assert!(seen.insert(revision), "{revision} came back");
        assert_eq!(seen.last(), Some(&revision), "a revision grows");
        kv.delete("b", "k").await.unwrap();
    }
}

/// [`Kv::delete`].
pub async fn a_delete_says_whether_it_was_there(open: &impl Open) {
    let (one, two) = (open(), open());
    one.put("b", "k", b"", None).await.unwrap();
    assert!(two.delete("b", "k").await.unwrap());
    assert!(!one.delete("b", "k").await.unwrap());
    assert_eq!(one.get("b", "k").await.unwrap(), None);
    one.put("b", "k", b"", past()).await.unwrap();
    assert!(!two.delete("b", "k").await.unwrap(), "it had ended");
}

/// An entry whose time has come is as if it were deleted.
pub async fn an_entry_ends_when_its_time_has_come(open: &impl Open) {
    let (one, two) = (open(), open());
    let end = Timestamp::from_millis(Timestamp::now().millis() + 200).expect("a moment of this century");
    one.put("b", "k", b"", Some(end)).await.unwrap();
    loop {
        let before = Timestamp::now();
        let found = two.get("b", "k").await.unwrap().is_some();
        let listed = !two.list("b").await.unwrap().is_empty();
        let after = Timestamp::now();
        assert!(found || after >= end, "it ended too early");
        assert!(!listed || before < end, "it was listed after its end");
        if !found {
            break;
        }
        assert!(before < end, "it was there after its end");
        tokio::task::yield_now().await;
    }
}

/// Runs `work` in so many tasks over the handles, and answers what each answered.
async fn race<K: Kv, F>(handles: &[Arc<K>], tasks: u64, work: impl Fn(Arc<K>, u64) -> F) -> Vec<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let mut set = JoinSet::new();
    for (task, kv) in (0..tasks).zip(handles.iter().cycle()) {
        set.spawn(work(Arc::clone(kv), task));
    }
    set.join_all().await
}

/// [`Kv::create`] is atomic.
pub async fn of_concurrent_creates_one_succeeds(open: &impl Open) {
    let handles = [Arc::new(open()), Arc::new(open())];
    for round in 0..8 {
        let key = format!("k{round}");
        let work = |kv: Arc<_>, task: u64| {
            let key = key.clone();
            async move {
                let won = Kv::create(&*kv, "b", &key, &task.to_be_bytes(), None).await;
                won.unwrap().map(|_| task)
            }
        };
        let winners: Vec<u64> = race(&handles, 16, work).await.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1, "{winners:?}");
        let entry = handles[0].get("b", &key).await.unwrap().expect("one has won");
        assert_eq!(entry.value, winners[0].to_be_bytes());
    }
}

/// [`Kv::update`] is atomic.
pub async fn of_concurrent_updates_none_is_lost(open: &impl Open) {
    let handles = [Arc::new(open()), Arc::new(open())];
    handles[0].put("b", "n", &0_u64.to_be_bytes(), None).await.unwrap();
    async fn count_to_five<K: Kv>(kv: Arc<K>) {
        for _ in 0..5 {
            loop {
                let entry = kv.get("b", "n").await.unwrap().expect("it is there");
                let next = u64::from_be_bytes(entry.value.try_into().expect("eight bytes")) + 1;
                let done = kv.update("b", "n", &next.to_be_bytes(), None, entry.revision).await;
                if done.unwrap().is_some() {
                    break;
                }
            }
        }
    }
    race(&handles, 8, |kv, _| count_to_five(kv)).await;
    let entry = handles[1].get("b", "n").await.unwrap().expect("it is there");
    assert_eq!(entry.value, 40_u64.to_be_bytes());
}

/// [`Kv::changes`].
pub async fn a_change_wakes_who_waits_through_any_handle(open: &impl Open) {
    let (one, two) = (open(), open());
    let mut here = one.changes();
    let mut there = two.changes();
    let mut revision = 0;
    for round in 0..4_u8 {
        here.mark_unchanged();
        there.mark_unchanged();
        match round {
            0 => revision = one.put("b", "k", b"", None).await.unwrap(),
            1 => assert!(one.update("b", "k", b"2", None, revision).await.unwrap().is_some()),
            2 => assert!(one.delete("b", "k").await.unwrap()),
            _ => assert!(one.create("b", "k", b"", None).await.unwrap().is_some()),
        }
        assert!(
            here.has_changed().unwrap(),
            "round {round}: a change of one's own is known at once"
        );
        changed(&mut there).await;
        // What woke is what the other handle did, so it must be seen now.
        assert_eq!(two.get("b", "k").await.unwrap().is_some(), round != 2);
    }
}

/// [`Kv::changes`] is no heartbeat.
pub async fn what_changes_nothing_wakes_nobody(open: &impl Open) {
    let kv = open();
    let revision = kv.put("b", "k", b"", None).await.unwrap();
    let changes = kv.changes();
    kv.get("b", "k").await.unwrap();
    kv.list("b").await.unwrap();
    assert_eq!(kv.create("b", "k", b"", None).await.unwrap(), None);
    assert_eq!(kv.update("b", "k", b"", None, revision + 1).await.unwrap(), None);
    assert!(!kv.delete("b", "other").await.unwrap());
    assert!(!changes.has_changed().unwrap());
}

/// A call whose future is dropped after its first poll, or before.
pub async fn a_dropped_call_wrote_all_or_nothing(open: &impl Open) {
    let (one, two) = (open(), open());
    for round in 0..32_u32 {
        let key = format!("k{round}");
        let put = one.put("b", &key, b"whole", None);
        if round % 2 == 0 {
            tokio::select! { biased; _ = put => {}, () = std::future::ready(()) => {} }
        } else {
            drop(put);
        }
    }
    one.put("b", "last", b"whole", None).await.unwrap();
    let list = two.list("b").await.unwrap();
    assert!(list.iter().all(|(_, entry)| entry.value == b"whole"));
    assert!(list.iter().any(|(key, _)| key == "last"));
}
