//! Half lines, cut, replaced, renamed and deleted files, restarts: each line once, in its order.

use std::{fs, sync::atomic::Ordering};

use turnwire_watch::stop;

use crate::world::{World, look};

#[test]
fn a_line_is_told_when_it_is_whole_and_never_in_halves() {
    let world = World::new();
    let mut tailer = world.tailer();
    look(&mut tailer);
    for part in ["on", "e\ntw", "o", "\nthree"] {
        world.append("a.jsonl", part);
        look(&mut tailer);
    }
    assert_eq!(world.taken.notes(), ["one", "two"]);
    // A part of an object is none, so one that is whole needs no break; the break that comes later is nothing.
    world.append("a.jsonl", "\n{\"text\":\"fo");
    look(&mut tailer);
    world.append("a.jsonl", "ur\"}");
    look(&mut tailer);
    world.append("a.jsonl", "\nfive\n");
    look(&mut tailer);
    assert_eq!(world.taken.notes(), ["one", "two", "three", "four", "five"]);
}

#[test]
fn what_was_there_before_is_not_told_and_a_line_that_was_half_there_is() {
    let world = World::new();
    world.append("a.jsonl", "old\nhal");
    let mut tailer = world.tailer();
    look(&mut tailer);
    assert!(world.taken.pushed().is_empty());
    world.append("a.jsonl", "f\nnew\n");
    world.append("deep/er/b.jsonl", "appeared\n");
    look(&mut tailer);
    let mut notes = world.taken.notes();
    notes.sort();
    assert_eq!(notes, ["appeared", "half", "new"]);
}

#[test]
fn what_was_there_before_is_told_when_it_is_asked_for_also_later() {
    let world = World::new();
    world.append("a.jsonl", "old\n");
    look(&mut world.tailer());
    world.append("a.jsonl", "new\n");
    look(&mut world.tailer());
    assert_eq!(world.taken.notes(), ["new"]);
    look(&mut world.tailer_of(world.source("lines"), true));
    assert_eq!(world.taken.notes(), ["new", "old"]);
}

#[test]
fn after_a_restart_it_goes_on_where_it_was_and_knows_what_appeared_meanwhile() {
    let world = World::new();
    world.append("a.jsonl", "before\n");
    for round in 0..4 {
        let mut tailer = world.tailer();
        look(&mut tailer);
        world.append("a.jsonl", &format!("a{round}\nhalf"));
        look(&mut tailer);
        drop(tailer);
        world.append("a.jsonl", &format!(" of {round}\n"));
        world.append(&format!("b{round}.jsonl"), &format!("b{round}\n"));
    }
    look(&mut world.tailer());
    let (mut notes, pushed) = (world.taken.notes(), world.taken.pushed().len());
    assert_eq!(pushed, notes.len(), "nothing was even sent twice");
    notes.sort();
    let want = [
        "a0",
        "a1",
        "a2",
        "a3",
        "b0",
        "b1",
        "b2",
        "b3",
        "half of 0",
        "half of 1",
        "half of 2",
        "half of 3",
    ];
    assert_eq!(notes, want);
}

#[test]
fn a_kill_before_the_place_was_noted_tells_the_same_events_again_and_no_others() {
    let world = World::new();
    let state = world.path("../state");
    let mut tailer = world.tailer();
    look(&mut tailer);
    let copy = world.path("../copy");
    for round in 0..3 {
        let _ = fs::remove_dir_all(&copy);
        fs::create_dir(&copy).unwrap();
        for entry in fs::read_dir(&state).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
        world.append("a.jsonl", &format!("{round}\n"));
        look(&mut tailer);
        drop(tailer);
        // As if it had been killed right after the push.
        fs::remove_dir_all(&state).unwrap();
        fs::rename(&copy, &state).unwrap();
        tailer = world.tailer();
        look(&mut tailer);
    }
    assert_eq!(world.taken.notes(), ["0", "1", "2"]);
    assert_eq!(world.taken.pushed().len(), 6);
}

#[test]
fn a_file_that_is_cut_is_read_from_its_start() {
    let world = World::new();
    let mut tailer = world.tailer();
    look(&mut tailer);
    world.append("a.jsonl", "one\ntwo\n");
    look(&mut tailer);
    for (text, more) in [
        ("1\n", ""),
        ("longer than it was before\n", ""),
        ("", "x\n"),
        ("", "y and more\n"),
    ] {
        fs::write(world.path("a.jsonl"), text).unwrap();
        look(&mut tailer);
        world.append("a.jsonl", more);
        look(&mut tailer);
    }
    assert_eq!(
        world.taken.notes(),
        ["one", "two", "1", "longer than it was before", "x", "y and more"]
    );
    // Also while nobody looked.
    drop(tailer);
    fs::write(world.path("a.jsonl"), "z\n").unwrap();
    look(&mut world.tailer());
    assert_eq!(world.taken.notes().last().unwrap(), "z");
}

#[test]
fn half_a_line_that_is_taken_back_was_never_there() {
    let world = World::new();
    let mut tailer = world.tailer();
    look(&mut tailer);
    world.append("a.jsonl", "one\nwro");
    look(&mut tailer);
    fs::OpenOptions::new()
        .write(true)
        .open(world.path("a.jsonl"))
        .unwrap()
        .set_len(4)
        .unwrap();
    look(&mut tailer);
    world.append("a.jsonl", "two\n");
    look(&mut tailer);
    assert_eq!(world.taken.notes(), ["one", "two"]);
}

#[test]
fn a_file_that_is_replaced_is_read_to_its_end_and_the_new_one_from_its_start() {
    let world = World::new();
    let mut tailer = world.tailer();
    look(&mut tailer);
    world.append("a.jsonl", "one\n");
    look(&mut tailer);
    // The last words of the old one come just before the new one takes its place.
    world.append("a.jsonl", "two\n");
    fs::write(world.path("next"), "three\n").unwrap();
    fs::rename(world.path("next"), world.path("a.jsonl")).unwrap();
    look(&mut tailer);
    assert_eq!(world.taken.notes(), ["one", "two", "three"]);
}

#[test]
fn a_file_that_is_written_anew_with_more_at_its_end_goes_on() {
    let world = World::new();
    let mut tailer = world.tailer();
    look(&mut tailer);
    world.append("a.jsonl", "one\ntwo\n");
    look(&mut tailer);
    for (text, _) in [("one\ntwo\nthree\n", 0), ("one\ntwo\nthree\nfour\n", 1)] {
        fs::write(world.path("next"), text).unwrap();
        fs::rename(world.path("next"), world.path("a.jsonl")).unwrap();
        look(&mut tailer);
        drop(tailer);
        tailer = world.tailer();
    }
    look(&mut tailer);
    assert_eq!(world.taken.notes(), ["one", "two", "three", "four"]);
    assert_eq!(world.taken.pushed().len(), 4);
}

#[test]
fn a_rotation_loses_nothing_whatever_the_old_file_is_called_and_whoever_sees_it_first() {
    for (old, down) in [
        ("a.jsonl.1", false),
        ("a.jsonl.1", true),
        ("a-1.jsonl", false),
        ("a-1.jsonl", true),
        ("0.jsonl", true),
    ] {
        let world = World::new();
        let mut tailer = Some(world.tailer());
        look(tailer.as_mut().unwrap());
        world.append("a.jsonl", "one\n");
        look(tailer.as_mut().unwrap());
        if down {
            tailer = None;
        }
        world.append("a.jsonl", "two\n");
        fs::rename(world.path("a.jsonl"), world.path(old)).unwrap();
        world.append("a.jsonl", "three\n");
        let mut tailer = tailer.unwrap_or_else(|| world.tailer());
        look(&mut tailer);
        world.append("a.jsonl", "four\n");
        look(&mut tailer);
        let mut notes = world.taken.notes();
        notes.sort();
        assert_eq!(notes, ["four", "one", "three", "two"], "{old} {down}");
    }
}

#[test]
fn a_file_that_is_renamed_goes_on_under_its_new_name() {
    for down in [false, true] {
        let world = World::new();
        let mut tailer = Some(world.tailer());
        look(tailer.as_mut().unwrap());
        world.append("a.jsonl", "one\n");
        look(tailer.as_mut().unwrap());
        if down {
            tailer = None;
        }
        fs::create_dir(world.path("archive")).unwrap();
        fs::rename(world.path("a.jsonl"), world.path("archive/b.jsonl")).unwrap();
        world.append("archive/b.jsonl", "two\n");
        let mut tailer = tailer.unwrap_or_else(|| world.tailer());
        look(&mut tailer);
        assert_eq!(
            (world.taken.notes(), world.taken.pushed().len()),
            (vec!["one".into(), "two".into()], 2),
            "{down}"
        );
    }
}

#[test]
fn a_file_that_is_deleted_is_told_to_its_end_and_forgotten() {
    let world = World::new();
    let mut tailer = world.tailer();
    look(&mut tailer);
    world.append("a.jsonl", "one\n");
    look(&mut tailer);
    world.append("a.jsonl", "two\nlast words without a break");
    fs::remove_file(world.path("a.jsonl")).unwrap();
    look(&mut tailer);
    assert_eq!(world.taken.notes(), ["one", "two", "last words without a break"]);
    world.append("a.jsonl", "another file\n");
    look(&mut tailer);
    assert_eq!(world.taken.notes().last().unwrap(), "another file");
    drop(tailer);
    look(&mut world.tailer());
    assert_eq!(world.taken.notes().len(), 4);
}

#[test]
fn many_files_that_grow_by_turns_are_all_told_in_their_order() {
    let world = World::new();
    let mut tailer = world.tailer();
    look(&mut tailer);
    // More than have an adapter at a time.
    for round in 0..3 {
        for file in 0..150 {
            world.append(&format!("d{}/f{file}.jsonl", file % 7), &format!("{file:03} {round}\n"));
        }
        look(&mut tailer);
    }
    let mut notes = world.taken.notes();
    assert_eq!(notes.len(), 450);
    notes.sort();
    notes.dedup();
    assert_eq!(notes.len(), 450);
    let of = |file: &str| {
        world
            .taken
            .notes()
            .into_iter()
            .filter(|note| note.starts_with(file))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("042"), ["042 0", "042 1", "042 2"]);
}

#[test]
fn a_line_that_is_too_long_is_told_as_far_as_it_can_be_shown() {
    let world = World::new();
    let mut tailer = world.tailer();
    look(&mut tailer);
    world.append("a.jsonl", &format!("one\n{}", "x".repeat(33 << 20)));
    look(&mut tailer);
    world.append(
        "a.jsonl",
        &format!(
            "{}\ntwo\n{}\nthree\n",
            "x".repeat(10),
            "y".repeat((32 << 20) - (1 << 17))
        ),
    );
    look(&mut tailer);
    let events = world.taken.events();
    let notes = world.taken.notes();
    assert_eq!(
        (&*notes[0], &*notes[1], &**notes.last().unwrap()),
        ("one", "two", "three")
    );
    let raw: Vec<_> = events.iter().filter(|event| event.kind.as_str() == "raw").collect();
    assert_eq!(raw.len(), 1);
    let body: serde_json::Value = raw[0].data.read().unwrap();
    assert_eq!(
        (&body["bytes"], &body["truncated"]),
        (&((33 << 20) + 11).into(), &true.into())
    );
    assert_eq!(raw[0].session_id.as_ref().unwrap().as_str(), "a");
}

#[test]
fn what_cannot_be_taken_is_not_passed_over() {
    let world = World::new();
    let mut tailer = world.tailer();
    look(&mut tailer);
    world.append("a.jsonl", "one\n");
    world.taken.refuses.store(true, Ordering::SeqCst);
    let (stop, stopped) = stop().unwrap();
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| tailer.once(&stopped));
        drop(stop);
        looking.join().unwrap().unwrap();
    });
    drop(tailer);
    world.taken.refuses.store(false, Ordering::SeqCst);
    look(&mut world.tailer());
    assert_eq!(world.taken.notes(), ["one"]);
}

#[test]
fn two_that_follow_the_same_files_tell_each_line_once() {
    let world = World::new();
    let (mut first, mut second) = (world.tailer(), world.tailer());
    look(&mut first);
    look(&mut second);
    for round in 0..5 {
        world.append("a.jsonl", &format!("{round}\n"));
        look(&mut first);
        look(&mut second);
    }
    assert_eq!(world.taken.notes(), ["0", "1", "2", "3", "4"]);
    drop((first, second));
    let pushed = world.taken.pushed().len();
    look(&mut world.tailer());
    assert_eq!(world.taken.pushed().len(), pushed);
}
