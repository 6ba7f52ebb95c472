//! What is SQLite's own; the promises of every log are in `conformance`.

use turnwire_proto::{Json, Kind, Name, Object, Timestamp};

use super::*;
use crate::cached::Cached;

fn note(text: &str, session: Option<&str>) -> NewEvent {
    let data = Object::new(Json::parse(&format!(r#"{{"text":"{text}"}}"#)).unwrap()).unwrap();
    let event = NewEvent::new(Kind::NOTE, Name::new("test").unwrap(), Timestamp::UNIX_EPOCH, data);
    NewEvent {
        session_id: session.map(|s| Name::new(s).unwrap()),
        ..event
    }
}

#[tokio::test]
async fn a_second_process_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let _log = SqliteLog::open(dir.path(), Options::default()).unwrap();
    let error = SqliteLog::open(dir.path(), Options::default()).unwrap_err().to_string();
    assert!(
        error.contains("in use by another turnwire") && error.contains(&std::process::id().to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(SqliteLog::open(dir.path(), Options::default()).unwrap());
    rusqlite::Connection::open(dir.path().join("log.db"))
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = SqliteLog::open(dir.path(), Options::default()).unwrap_err().to_string();
    assert!(error.contains("schema version 99"), "{error}");
}

#[tokio::test]
async fn a_full_disk_is_an_error_that_loses_nothing_and_passes_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        max_pages: Some(40),
        ..Options::default()
    };
    let log = SqliteLog::open(dir.path(), options).unwrap();
    let mut written = 0;
    let error = loop {
        let batch: Vec<_> = (0..10).map(|_| note(&"x".repeat(1000), None)).collect();
        match log.append(&batch).await {
            Ok(appended) => written += appended.written,
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, AppendError::Store(store) if store.retry), "{error}");
    assert!(error.to_string().contains("full"), "{error}");
    let read = log
        .read(&Selector::all(), Seq::ZERO, Limit::events(10_000))
        .await
        .unwrap();
    assert_eq!(
        read.len(),
        written,
        "what was acknowledged is there, what was refused is not"
    );
    drop(log);
    let log = SqliteLog::open(dir.path(), Options::default()).unwrap();
    assert_eq!(log.append(&[note("room", None)]).await.unwrap().written, 1);
    assert_eq!(
        log.read(&Selector::all(), Seq::ZERO, Limit::events(10_000))
            .await
            .unwrap()
            .len(),
        written + 1
    );
}

#[tokio::test]
async fn a_check_fails_from_a_commit_that_failed_until_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        max_pages: Some(40),
        ..Options::default()
    };
    let log = SqliteLog::open(dir.path(), options).unwrap();
    let batch = || (0..10).map(|_| note(&"x".repeat(1000), None)).collect::<Vec<_>>();
    log.check().await.unwrap();
    while log.append(&batch()).await.is_ok() {
        log.check().await.unwrap();
    }
    assert!(log.check().await.unwrap_err().to_string().contains("full"));
    let everything = Retention {
        max_bytes: Some(0),
        ..Retention::default()
    };
    log.trim(&everything).await.unwrap();
    log.check()
        .await
        .expect("there is room again, though nobody has appended");
    log.append(&batch()).await.unwrap();
    let level = |bound: &str| log.levels().into_iter().find(|level| level.bound == bound).unwrap();
    assert_eq!((level("append_queue").used, level("append_queue").limit), (0, 4096));
    assert!(level("wal_bytes").used > 0);
}

#[tokio::test]
async fn a_lost_session_index_is_built_anew_and_reads_are_right_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(dir.path(), Options::default()).unwrap();
    let batch: Vec<_> = (0..100)
        .map(|n| note("x", Some(if n % 10 == 0 { "a" } else { "b" })))
        .collect();
    let last = log.append(&batch).await.unwrap().last;
    log.indexed(last).await;
    drop(log);
    std::fs::write(
        dir.path().join("index.db"),
        b"not a database, but long enough to be taken for a damaged one",
    )
    .unwrap();
    let log = SqliteLog::open(dir.path(), Options::default()).unwrap();
    let a = Selector::session(Name::new("a").unwrap());
    assert_eq!(log.read(&a, Seq::ZERO, Limit::events(1000)).await.unwrap().len(), 10);
    log.indexed(last).await;
    assert_eq!(log.read(&a, Seq::ZERO, Limit::events(1000)).await.unwrap().len(), 10);
    assert_eq!(
        log.read_back(&a, Seq::MAX, Limit::events(1000)).await.unwrap().len(),
        10
    );
}

#[tokio::test]
async fn files_are_readable_by_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(dir.path(), Options::default()).unwrap();
    log.append(&[note("x", None)]).await.unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
}

#[tokio::test]
async fn a_cache_evicts_what_is_over_its_budget_and_every_read_is_still_whole() {
    let dir = tempfile::tempdir().unwrap();
    let log = Cached::new(
        Arc::new(SqliteLog::open(dir.path(), Options::default()).unwrap()),
        50_000,
    )
    .await
    .unwrap();
    for n in 0..500 {
        let session = ["a", "b", "c"][n % 3];
        log.append(&[note(&format!("{n}"), Some(session))]).await.unwrap();
    }
    assert!(log.bytes() <= 50_000, "{}", log.bytes());
    for (what, want) in [
        (Selector::all(), 500),
        (Selector::session(Name::new("b").unwrap()), 167),
    ] {
        let (mut at, mut seen) = (Seq::ZERO, Vec::new());
        loop {
            let page = log.read(&what, at, Limit::events(7)).await.unwrap();
            seen.extend(page.marks.iter().map(|mark| mark.seq));
            if page.cursor <= at {
                break;
            }
            at = page.cursor;
        }
        assert_eq!(seen.len(), want);
        assert!(seen.is_sorted());
    }
}
