//! Each recording's events, as a person has checked them, in `fixtures/*/NAME.events`. `UPDATE=1` writes them: read the
//! difference line by line before it is committed.
//!
//! One event a line, without its id. `raw` is the number of the recording's line that it is.

use std::fs;

use turnwire_adapters::{Context, Detecting, by_command};
use turnwire_proto::{Json, NewEvent};

use crate::recordings::{Recording, all, run};

fn golden(recording: &Recording) -> String {
    let (events, unknown) = recording.events(recording.vendor, recording.context());
    assert_eq!(
        unknown,
        0,
        "{}: all of a recording is understood",
        recording.path.display()
    );
    let lines: Vec<String> = recording
        .lines()
        .iter()
        .map(|line| Json::from_line(line).get().to_owned())
        .collect();
    let mut read = 0;
    events
        .iter()
        .map(|event| show(event, &lines, &mut read) + "\n")
        .collect()
}

fn show(event: &NewEvent, lines: &[String], read: &mut usize) -> String {
    let mut text = Vec::new();
    event.encode_body(&mut text);
    let text = String::from_utf8(text).unwrap();
    // `,"id":"…",` is always the first field, of 45 bytes.
    let mut text = format!("{{{}", &text[45..]);
    if let Some(raw) = &event.raw {
        let line = lines[*read..].iter().position(|line| line == raw.get());
        let line = line.map(|at| *read + at);
        *read = line.map_or(*read, |at| at + 1);
        text.pop();
        // An object over many lines is the raw of one event, and not one line.
        text.push_str(&line.map_or_else(|| ",\"raw\":\"all\"}".to_owned(), |at| format!(",\"raw\":{}}}", at + 1)));
    }
    text
}

#[test]
fn every_recording_gives_the_events_that_a_person_has_checked() {
    let mut wrong = Vec::new();
    for recording in all().iter().filter(|recording| recording.is_output()) {
        let path = recording.path.with_extension("events");
        let now = golden(recording);
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&path, &now).unwrap();
        }
        let checked = fs::read_to_string(&path).unwrap_or_default();
        let first = checked.lines().zip(now.lines()).find(|(a, b)| a != b);
        if checked != now {
            wrong.push(format!("{}: first difference {first:#?}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}\nUPDATE=1 writes them anew", wrong.join("\n"));
}

#[test]
fn every_recording_is_recognised_by_its_command_line_and_by_its_first_lines() {
    for recording in all().iter().filter(|recording| recording.is_output()) {
        let name = recording.path.display();
        if !recording.argv.is_empty() {
            let command = by_command(&recording.argv).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(command.spec.name, recording.vendor, "{name}");
        }
        // An object over many lines tells nothing line by line.
        if recording.lines()[0] == b"{" || recording.is_file() {
            continue;
        }
        let mut detecting = Detecting::new(Context::default());
        let lines: Vec<_> = recording.lines().into_iter().zip(recording.clock()).collect();
        let detected = run(&mut detecting, &lines, recording.exit);
        assert_eq!(detecting.decided().unwrap().name, recording.vendor, "{name}");
        let (known, _) = recording.events(recording.vendor, Context::default());
        let kinds = |events: &[NewEvent]| {
            events
                .iter()
                .map(|e| (e.kind.clone(), e.data.clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(kinds(&detected), kinds(&known), "{name}: the first lines are not lost");
    }
}
