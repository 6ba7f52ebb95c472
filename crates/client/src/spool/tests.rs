//! The spool: what is written is there after a crash, in order, once, within its bound.

use std::{io::Write, os::unix::fs::FileExt};

use turnwire_proto::{Code, ErrorReply, Incoming, Json, Kind, Name, NewEvent, Object, limits};

use super::*;

fn event(kind: Kind, text: &str) -> NewEvent {
    let data = Object::of(&serde_json::json!({ "text": text }));
    NewEvent::new(kind, Name::new("test").unwrap(), Timestamp::UNIX_EPOCH, data)
}

fn note(text: &str) -> NewEvent {
    event(Kind::NOTE, text)
}

fn make(root: &Path) -> Arc<Spool> {
    Spool::create(root, Meta::new("local", "a test"), Limits::default()).unwrap()
}

fn texts(batch: &Batch) -> Vec<String> {
    (0..batch.len())
        .map(|at| {
            let line = batch.lines(at..at + 1);
            let event = Incoming::parse(line.strip_suffix(b"\n").unwrap()).unwrap();
            let body: serde_json::Value = event.data.read().unwrap();
            body["text"].as_str().unwrap().to_owned()
        })
        .collect()
}

fn adopt(root: &Path) -> Arc<Spool> {
    let found = list(root).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    Spool::adopt(&found[0].dir, Limits::default()).unwrap().unwrap()
}

#[test]
fn what_was_pushed_is_read_in_order_with_the_ids_that_it_had() {
    let root = tempfile::tempdir().unwrap();
    let spool = make(root.path());
    let events = [note("a"), note("b\nc"), note("d")];
    assert_eq!(spool.push(&events), Pushed { kept: 3, lost: 0 });
    let batch = spool.read(10, 1 << 20).unwrap();
    assert_eq!(texts(&batch), ["a", "b\nc", "d"]);
    let first = Incoming::parse(batch.lines(0..1).trim_ascii_end()).unwrap();
    assert_eq!(first.id, Some(events[0].id));
    assert_eq!(spool.backlog(), 3);
}

#[test]
fn a_batch_is_bounded_by_events_and_by_bytes_but_never_empty_before_the_end() {
    let root = tempfile::tempdir().unwrap();
    let spool = make(root.path());
    spool.push(&[note("a"), note(&"b".repeat(5000)), note("c")]);
    assert_eq!(spool.read(2, 1 << 20).unwrap().len(), 2);
    assert_eq!(texts(&spool.read(10, 300).unwrap()), ["a"]);
    spool.advance(spool.read(1, 1 << 20).unwrap().next, 1).unwrap();
    assert_eq!(
        spool.read(10, 300).unwrap().len(),
        1,
        "one line longer than the bound is still read"
    );
}

#[test]
fn a_drained_spool_goes_on_where_it_was_after_its_process_is_gone() {
    let root = tempfile::tempdir().unwrap();
    let spool = make(root.path());
    spool.push(&[note("a"), note("b"), note("c")]);
    let next = spool.read(2, 1 << 20).unwrap().next;
    spool.advance(next, 2).unwrap();
    assert!(!spool.remove_if_drained().unwrap());
    drop(spool);
    let spool = adopt(root.path());
    assert_eq!((spool.backlog(), spool.meta().target.as_str()), (1, "local"));
    let batch = spool.read(10, 1 << 20).unwrap();
    assert_eq!(texts(&batch), ["c"]);
    spool.advance(batch.next, 1).unwrap();
    assert!(spool.remove_if_drained().unwrap());
    assert_eq!(list(root.path()).unwrap().len(), 0);
}

#[test]
fn a_spool_has_one_holder() {
    let root = tempfile::tempdir().unwrap();
    let spool = make(root.path());
    let found = list(root.path()).unwrap();
    assert!(found[0].live);
    assert!(Spool::adopt(&found[0].dir, Limits::default()).unwrap().is_none());
    drop(spool);
    let adopted = adopt(root.path());
    assert!(Spool::adopt(adopted.dir(), Limits::default()).unwrap().is_none());
}

#[test]
fn a_torn_last_line_is_cut_and_one_without_its_line_break_is_completed() {
    let mut whole = Vec::new();
    note("b").encode_line(&mut whole);
    for (tail, want) in [
        (&whole[..], &["a", "b", "c"][..]),
        (&whole[..whole.len() - 1], &["a", "c"]),
        (&whole[..1], &["a", "c"]),
        (b"\0\0\0\0", &["a", "c"]),
        (b"", &["a", "c"]),
    ] {
        let root = tempfile::tempdir().unwrap();
        let spool = make(root.path());
        spool.push(&[note("a")]);
        let path = files::segment(spool.dir(), 1);
        drop(spool);
        let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(tail).unwrap();
        let spool = adopt(root.path());
        spool.push(&[note("c")]);
        assert_eq!(texts(&spool.read(10, 1 << 20).unwrap()), want, "{tail:?}");
    }
}

#[test]
fn a_torn_line_longer_than_one_step_back_is_cut_too() {
    let root = tempfile::tempdir().unwrap();
    let spool = make(root.path());
    spool.push(&[note("a")]);
    let (path, end) = (files::segment(spool.dir(), 1), spool.written().borrow().offset);
    drop(spool);
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&vec![b'x'; 200_000], end).unwrap();
    assert_eq!(adopt(root.path()).written().borrow().offset, end);
}

#[test]
fn segments_are_deleted_as_they_are_drained() {
    let root = tempfile::tempdir().unwrap();
    let limits = Limits {
        segment: 1000,
        ..Limits::default()
    };
    let spool = Spool::create(root.path(), Meta::default(), limits).unwrap();
    for number in 0..100 {
        spool.push(&[note(&number.to_string())]);
    }
    let mut seen = Vec::new();
    loop {
        let batch = spool.read(7, 1 << 20).unwrap();
        if batch.is_empty() {
            break;
        }
        seen.extend(texts(&batch));
        spool.advance(batch.next, batch.len() as u64).unwrap();
    }
    assert_eq!(seen, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
    let left = std::fs::read_dir(spool.dir()).unwrap().filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .path()
            .extension()
            .is_some_and(|e| e == "ndjson")
    });
    assert!(left.count() <= 2);
    assert_eq!(spool.backlog(), 0);
}

#[test]
fn a_full_spool_gives_up_deltas_first_then_counts_what_it_could_not_take_and_tells_it_when_there_is_room() {
    let root = tempfile::tempdir().unwrap();
    let limits = Limits {
        bytes: 200_000,
        segment: 20_000,
    };
    let spool = Spool::create(root.path(), Meta::default(), limits).unwrap();
    let text = "x".repeat(1000);
    let push = |kind: &Kind| spool.push(&[event(kind.clone(), &text)]);
    while push(&Kind::TEXT_DELTA).kept == 1 {}
    assert_eq!(push(&Kind::NOTE).kept, 1, "a delta has no room, a note has");
    while push(&Kind::NOTE).kept == 1 {}
    assert!(spool.take_losses().is_none(), "there is no room yet to tell it");
    assert_eq!(spool.push_told(&note("told")).kept, 1);
    loop {
        let batch = spool.read(100, 1 << 20).unwrap();
        if batch.is_empty() {
            break;
        }
        spool.advance(batch.next, batch.len() as u64).unwrap();
    }
    let losses = spool.take_losses().unwrap();
    assert_eq!((losses.deltas, losses.events), (1, 1));
    assert!(spool.take_losses().is_none());
    assert_eq!(push(&Kind::TEXT_DELTA).kept, 1);
}

#[test]
fn an_event_that_is_too_large_is_cut_instead_of_lost() {
    let root = tempfile::tempdir().unwrap();
    let spool = make(root.path());
    let big = "é".repeat(limits::INCOMING / 2);
    let list = serde_json::json!({ "items": vec![1; 800_000] });
    let with_raw = NewEvent {
        raw: Some(Json::of(&big)),
        ..note("small")
    };
    let many = NewEvent {
        data: Object::of(&list),
        ..note("")
    };
    spool.push(&[with_raw, note(&big), many]);
    let batch = spool.read(10, 8 << 20).unwrap();
    assert_eq!(batch.len(), 3);
    let read = |at: usize| Incoming::parse(batch.lines(at..at + 1).trim_ascii_end()).unwrap();
    let raw = format!(r#"{{"truncated":true,"bytes":{}}}"#, big.len() + 2);
    assert!(read(0).raw.is_some_and(
        |cut| cut.read::<serde_json::Value>().unwrap() == serde_json::from_str::<serde_json::Value>(&raw).unwrap()
    ));
    assert!(read(0).data.get().contains("small"));
    assert!(
        read(1)
            .data
            .get()
            .contains(&format!("<cut: {} bytes in all>", big.len()))
    );
    for cut in [read(1), read(2)] {
        assert!(cut.data.get().contains("\"truncated\":true"));
    }
    assert!(read(2).data.get().contains("\"preview\":"));
}

#[test]
fn a_large_event_is_whole_also_when_its_writer_was_killed_before_its_line_break() {
    let root = tempfile::tempdir().unwrap();
    let spool = make(root.path());
    let big = "x".repeat(limits::INCOMING - 100);
    spool.push(&[note("before"), note(&big)]);
    let dir = spool.dir().to_owned();
    drop(spool);
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(dir.join("000001.ndjson"))
        .unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    let adopted = Spool::adopt(&dir, Limits::default()).unwrap().unwrap();
    let first = adopted.read(10, 1 << 20).unwrap();
    assert_eq!(first.len(), 1);
    adopted.advance(first.next, 1).unwrap();
    let batch = adopted.read(10, 1 << 20).unwrap();
    let read = Incoming::parse_within(batch.bytes.trim_ascii_end(), limits::INCOMING).unwrap();
    assert!(batch.len() == 1 && read.data.get().contains(&big));
}

#[test]
fn what_was_set_aside_is_kept_with_its_reason_after_the_spool_is_gone() {
    let root = tempfile::tempdir().unwrap();
    let spool = make(root.path());
    spool.push(&[note("bad")]);
    let batch = spool.read(1, 1 << 20).unwrap();
    spool
        .set_aside(&batch.bytes, &ErrorReply::new(Code::TooLarge, "too much"))
        .unwrap();
    spool.advance(batch.next, 1).unwrap();
    assert!(spool.remove_if_drained().unwrap());
    let found = list(root.path()).unwrap();
    assert_eq!((found.len(), found[0].rejected, found[0].events), (1, 1, 0));
    let mut path = found[0].dir.clone().into_os_string();
    path.push(".rejected");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(
        text.contains("too_large") && text.contains("\"text\":\"bad\""),
        "{text}"
    );
}

#[test]
fn a_program_of_one_event_goes_on_with_the_spool_of_the_one_before_and_never_with_another() {
    let root = tempfile::tempdir().unwrap();
    let reuse = |target: &str| Spool::reuse(root.path(), Meta::new(target, "hooks"), Limits::default()).unwrap();
    let other = Spool::create(root.path(), Meta::new("local", "a run"), Limits::default()).unwrap();
    other.push(&[note("of a run")]);
    drop(other);
    let first = reuse("local");
    first.push(&[note("a")]);
    let dir = first.dir().to_owned();
    let beside = reuse("local");
    assert_ne!(beside.dir(), dir, "one that is held is another's");
    drop(first);
    let second = reuse("local");
    assert_eq!(second.dir(), dir);
    second.push(&[note("b")]);
    assert_eq!(texts(&second.read(10, 1 << 20).unwrap()), ["a", "b"]);
    assert_ne!(reuse("http://elsewhere").dir(), dir);
}
