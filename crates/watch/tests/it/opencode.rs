//! opencode's database: its sessions are told as files are, however often it is looked at, and whatever is wrong with it.

use std::{collections::HashSet, fs, time::Duration};

use turnwire_proto::{Kind, NewEvent, ToolCall, ToolCallStart};
use turnwire_watch::{Known, Tailer, known};

use crate::{
    opencode_db::{Written, rows},
    world::{World, look},
};

fn tailer(world: &World, import: bool) -> Tailer {
    world.tailer_of(known(Known::Opencode, Some(&world.path("")), |_| None).unwrap(), import)
}

fn database(world: &World) -> Written {
    Written::new(&world.path("opencode.db"))
}

/// A database of all these rows.
fn filled(world: &World, names: &[&str]) -> Written {
    let db = database(world);
    names.iter().flat_map(|name| rows(name)).for_each(|row| db.add(&row));
    db
}

fn count(events: &[NewEvent], kind: &Kind) -> usize {
    events.iter().filter(|event| event.kind == *kind).count()
}

/// What an import of all these rows tells.
fn imported(names: &[&str]) -> Vec<NewEvent> {
    let world = World::new();
    let _db = filled(&world, names);
    look(&mut tailer(&world, true));
    let events = world.taken.events();
    assert_eq!(events.len(), world.taken.pushed().len());
    events
}

const ALL: [&str; 4] = ["basic-tools", "subagent", "api-error", "interrupted"];

#[test]
fn a_session_that_grows_is_told_as_one_that_is_imported_also_by_one_that_starts_anew_at_each_row() {
    let whole = imported(&ALL);
    for restarts in [false, true] {
        let world = World::new();
        let mut following = tailer(&world, false);
        look(&mut following);
        let db = database(&world);
        for row in ALL.iter().flat_map(|name| rows(name)) {
            db.add(&row);
            look(&mut following);
            if restarts {
                following = tailer(&world, false);
            }
        }
        look(&mut following);
        let told = |events: &[NewEvent]| -> Vec<_> {
            let line = |event: &NewEvent| (event.id, event.kind.clone(), event.turn_id.clone(), event.data.clone());
            events
                .iter()
                .filter(|event| event.kind != Kind::SESSION_END)
                .map(line)
                .collect()
        };
        let known: HashSet<_> = told(&whole).into_iter().map(|(id, ..)| id).collect();
        let events = world.taken.events();
        // What an import closes because nothing came for an hour is still open.
        let closed = |event: &&NewEvent| {
            let end = [Kind::TURN_END, Kind::TOOL_CALL, Kind::AGENT_END].contains(&event.kind);
            end && !events.iter().any(|told| told.id == event.id)
        };
        let open = whole.iter().filter(closed).count();
        assert_eq!(told(&events).len() + open, known.len(), "{restarts}");
        for event in told(&events) {
            assert!(told(&whole).contains(&event), "{restarts}: {event:?}");
        }
        if !restarts {
            assert_eq!(world.taken.pushed().len(), events.len(), "nothing was even sent twice");
        }
    }
}

#[test]
fn a_part_that_changes_while_it_is_followed_is_one_call_that_starts_at_once_and_ends_once() {
    let world = World::new();
    let mut following = tailer(&world, false);
    look(&mut following);
    let db = database(&world);
    let mut seen = Vec::new();
    for row in rows("basic-tools") {
        db.add(&row);
        look(&mut following);
        let events = world.taken.events();
        let counts = (count(&events, &Kind::TOOL_CALL_START), count(&events, &Kind::TOOL_CALL));
        if seen.last() != Some(&counts) {
            seen.push(counts);
        }
    }
    assert_eq!(seen[..3], [(0, 0), (1, 0), (1, 1)], "it is seen while it runs");
    let events = world.taken.events();
    let calls = events.iter().filter(|event| event.kind == Kind::TOOL_CALL);
    let calls: Vec<ToolCall> = calls.map(|event| event.data.read().unwrap()).collect();
    let outcomes: Vec<_> = calls.iter().map(|call| (call.tool.as_str(), call.success)).collect();
    assert_eq!(outcomes, [("bash", true), ("read", false), ("bash", false)]);
    assert!(calls[0].duration_ms.unwrap() > 0);
}

#[test]
fn what_was_there_before_is_not_told_and_of_what_grows_its_session_and_turn_are() {
    let world = World::new();
    let db = database(&world);
    let all = rows("basic-tools");
    let ran = all.iter().position(|row| row.contains("\"running\"")).unwrap();
    all[..ran].iter().for_each(|row| db.add(row));
    rows("api-error").iter().for_each(|row| db.add(row));
    look(&mut tailer(&world, false));
    assert!(world.taken.pushed().is_empty());
    let mut following = tailer(&world, false);
    db.add(&all[ran]);
    look(&mut following);
    let kinds: Vec<_> = world.taken.events().iter().map(|event| event.kind.clone()).collect();
    assert_eq!(kinds, [Kind::SESSION_START, Kind::TURN_START, Kind::TOOL_CALL_START]);
    // A session that begins later is told from its start, also when it began while nobody followed.
    drop(following);
    rows("subagent").iter().for_each(|row| db.add(row));
    look(&mut tailer(&world, false));
    let whole: HashSet<_> = imported(&["subagent"]).into_iter().map(|event| event.id).collect();
    let told: HashSet<_> = world.taken.events().into_iter().map(|event| event.id).collect();
    assert!(whole.iter().filter(|id| told.contains(id)).count() > 30);
}

#[test]
fn all_of_it_is_told_when_it_is_asked_for_and_again_when_its_places_are_lost() {
    let world = World::new();
    let _db = filled(&world, &ALL);
    look(&mut tailer(&world, false));
    assert!(world.taken.pushed().is_empty());
    look(&mut tailer(&world, true));
    let first = world.taken.events();
    assert_eq!(count(&first, &Kind::SESSION_START), 4);
    assert_eq!(count(&first, &Kind::TURN_START), count(&first, &Kind::TURN_END));
    look(&mut tailer(&world, true));
    assert_eq!(
        world.taken.pushed().len(),
        first.len(),
        "it is known how far it was told"
    );
    fs::remove_dir_all(world.path("../state")).unwrap();
    look(&mut tailer(&world, true));
    assert_eq!(world.taken.events().len(), first.len());
    assert_eq!(world.taken.pushed().len(), 2 * first.len());
}

#[test]
fn a_subagents_session_is_nested_under_the_call_that_started_it() {
    let events = imported(&["subagent"]);
    let sessions: HashSet<_> = events.iter().map(|event| event.session_id.clone()).collect();
    assert_eq!(sessions.len(), 1);
    let calls = events.iter().filter(|event| event.kind == Kind::TOOL_CALL_START);
    let calls: Vec<ToolCallStart> = calls.map(|event| event.data.read().unwrap()).collect();
    let (task, within) = calls.split_first().unwrap();
    assert_eq!((task.tool.as_str(), &task.parent_tool_call_id), ("task", &None));
    assert_eq!(within.len(), 3);
    for call in within {
        assert_eq!(call.parent_tool_call_id.as_ref(), Some(&task.tool_call_id));
    }
    let of = |kind| count(&events, &kind);
    assert_eq!((of(Kind::TURN_START), of(Kind::TURN_END)), (1, 1));
    assert_eq!((of(Kind::AGENT_START), of(Kind::AGENT_END)), (1, 1));
}

#[test]
fn what_is_not_understood_is_kept_as_raw_and_the_rest_is_told() {
    let world = World::new();
    let db = filled(&world, &["basic-tools"]);
    let last: serde_json::Value = serde_json::from_str(rows("basic-tools").last().unwrap()).unwrap();
    let next = last["seq"].as_i64().unwrap() + 1;
    let large = "x".repeat(33 << 20);
    for (number, (kind, data)) in [
        ("session.thought.2", serde_json::json!({"sessionID": last["session"]})),
        (
            "message.part.updated.1",
            serde_json::json!({"part": {"type": "hologram", "id": "prt_z"}}),
        ),
        ("message.part.updated.1", "no JSON".into()),
        ("message.part.updated.1", large.into()),
    ]
    .into_iter()
    .enumerate()
    {
        let row = serde_json::json!({
            "id": format!("evt_z{number}"), "session": last["session"], "seq": next + i64::try_from(number).unwrap(),
            "type": kind, "data": data,
        });
        db.add(&row.to_string());
    }
    look(&mut tailer(&world, true));
    let events = world.taken.events();
    let unknown = events
        .iter()
        .filter(|event| event.data.get().contains("\"unknown\":true"));
    let unknown: Vec<_> = unknown
        .map(|event| event.raw.as_ref().unwrap().get().to_owned())
        .collect();
    assert_eq!(unknown.len(), 4, "{unknown:?}");
    assert!(unknown[0].contains("session.thought.2") && unknown[1].contains("hologram"));
    assert!(unknown[2].contains("no JSON") && unknown[3].contains("\"bytes\":34603008"));
    assert_eq!(count(&events, &Kind::TURN_END), 2);
}

#[test]
fn what_is_no_database_of_opencodes_breaks_nothing_and_one_that_takes_its_place_is_followed() {
    let world = World::new();
    let path = world.path("opencode.db");
    let mut following = tailer(&world, false);
    look(&mut following);
    fs::write(
        &path,
        "no database at all, but long enough to be looked at as one ".repeat(40),
    )
    .unwrap();
    look(&mut following);
    fs::remove_file(&path).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .execute_batch("PRAGMA journal_mode = wal; CREATE TABLE event_sequence (x); CREATE TABLE session (y)")
        .unwrap();
    look(&mut following);
    drop(other);
    assert!(world.taken.pushed().is_empty());
    fs::remove_file(&path).unwrap();
    let _db = filled(&world, &["basic-tools"]);
    look(&mut following);
    assert_eq!(count(&world.taken.events(), &Kind::TURN_END), 2);
}

#[test]
fn a_database_that_is_being_made_is_left_alone_until_it_has_a_log() {
    let world = World::new();
    let db = filled(&world, &["api-error"]);
    db.0.pragma_update(None, "journal_mode", "delete").unwrap();
    let mut following = tailer(&world, true);
    // A writer that shuts everybody out, as one does that gives it its log, meets nobody.
    db.0.busy_timeout(Duration::ZERO).unwrap();
    db.0.execute_batch("BEGIN EXCLUSIVE").unwrap();
    look(&mut following);
    db.0.execute_batch("COMMIT").unwrap();
    look(&mut following);
    assert!(world.taken.pushed().is_empty());
    db.0.pragma_update(None, "journal_mode", "wal").unwrap();
    look(&mut following);
    assert_eq!(count(&world.taken.events(), &Kind::TURN_END), 1);
    // Who looks holds nothing: it is written to all the same.
    rows("basic-tools").iter().for_each(|row| db.add(row));
    look(&mut following);
    assert_eq!(count(&world.taken.events(), &Kind::TURN_END), 3);
}

#[test]
fn what_a_session_had_open_that_is_deleted_is_closed() {
    let world = World::new();
    let mut following = tailer(&world, false);
    look(&mut following);
    let db = database(&world);
    let all = rows("basic-tools");
    let ran = all.iter().position(|row| row.contains("\"running\"")).unwrap();
    all[..=ran].iter().for_each(|row| db.add(row));
    look(&mut following);
    db.0.execute("DELETE FROM event_sequence", []).unwrap();
    look(&mut following);
    let events = world.taken.events();
    assert_eq!(
        (count(&events, &Kind::TOOL_CALL), count(&events, &Kind::TURN_END)),
        (1, 1)
    );
}
