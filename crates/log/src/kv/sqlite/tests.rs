//! The suite on a file, and what only a file can get wrong.

use std::process::{Command, Stdio};

use super::*;

crate::kv_conformance!(sqlite, {
    let dir = tempfile::tempdir().unwrap();
    move || SqliteKv::open(dir.path()).unwrap()
});

#[tokio::test]
async fn entries_are_there_after_it_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let kv = SqliteKv::open(dir.path()).unwrap();
    let revision = kv.put("b", "k", b"kept", None).await.unwrap();
    drop(kv);
    let kv = SqliteKv::open(dir.path()).unwrap();
    assert_eq!(kv.get("b", "k").await.unwrap().unwrap().revision, revision);
    assert!(kv.put("b", "k", b"", None).await.unwrap() > revision);
}

#[cfg(unix)]
#[tokio::test]
async fn its_files_are_readable_by_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(FILE);
    fs::write(&file, b"").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let kv = SqliteKv::open(dir.path()).unwrap();
    kv.put("b", "k", b"", None).await.unwrap();
    let mut seen = 0;
    for entry in fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(
            entry.metadata().unwrap().permissions().mode() & 0o777,
            0o600,
            "{entry:?}"
        );
        seen += 1;
    }
    assert_eq!(seen, 3, "the file, its log and that one's index");
}

#[test]
fn a_file_of_a_newer_version_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(SqliteKv::open(dir.path()).unwrap());
    let connection = Connection::open(dir.path().join(FILE)).unwrap();
    connection.pragma_update(None, "user_version", VERSION + 1).unwrap();
    let error = SqliteKv::open(dir.path()).unwrap_err();
    assert!(!error.retry);
    assert!(error.to_string().contains("newer Turnwire"), "{error}");
}

#[test]
fn what_is_no_database_is_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join(FILE),
        b"not a database, and long enough to be read as one".repeat(20),
    )
    .unwrap();
    let error = SqliteKv::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains(FILE), "{error}");
    assert!(!error.retry);
}

#[test]
fn entries_whose_time_has_come_are_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let mut owner = Owner::new(open(&dir.path().join(FILE)).unwrap(), watch::Sender::new(0)).unwrap();
    let end = Timestamp::now();
    for (key, expires) in [("ended", Some(end)), ("kept", None)] {
        let written = Written::new("b", key, b"", expires);
        owner
            .write(|tx, revision| written.insert(tx, revision, i64::MAX).map(Some))
            .unwrap();
    }
    owner.sweep().unwrap();
    let left: i64 = owner
        .connection
        .query_row("SELECT count(*) FROM entries", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 1);
}

#[test]
fn many_may_open_an_empty_directory_at_once() {
    let dir = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        let opened: Vec<_> = (0..8).map(|_| scope.spawn(|| SqliteKv::open(dir.path()))).collect();
        for one in opened {
            one.join().unwrap().unwrap();
        }
    });
}

/// Not a test by itself: the other process of the next one.
#[tokio::test]
async fn child() {
    let Ok(dir) = std::env::var("TURNWIRE_TEST_KV_DIR") else {
        return;
    };
    let kv = SqliteKv::open(Path::new(&dir)).unwrap();
    let mut won = 0_u64;
    for key in 0..100 {
        won += u64::from(
            kv.create("race", &key.to_string(), b"child", None)
                .await
                .unwrap()
                .is_some(),
        );
    }
    kv.put("done", "child", &won.to_be_bytes(), None).await.unwrap();
}

#[tokio::test]
async fn another_process_shares_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let kv = SqliteKv::open(dir.path()).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kv::sqlite::tests::child"])
        .env("TURNWIRE_TEST_KV_DIR", dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut won = 0;
    for key in 0..100 {
        won += u64::from(
            kv.create("race", &key.to_string(), b"parent", None)
                .await
                .unwrap()
                .is_some(),
        );
    }
    let mut changes = kv.changes();
    let theirs = loop {
        if let Some(entry) = kv.get("done", "child").await.unwrap() {
            break u64::from_be_bytes(entry.value.try_into().unwrap());
        }
        tokio::time::timeout(Duration::from_secs(60), changes.changed())
            .await
            .expect("the other process's change wakes")
            .unwrap();
    };
    assert!(child.wait().unwrap().success());
    assert_eq!(won + theirs, 100, "each entry was created by exactly one");
    assert_eq!(kv.list("race").await.unwrap().len(), 100);
}
