//! Agents' own files: their sessions are known wherever reading begins.

use std::{fs, path::Path};

use turnwire_adapters::{Filed, by_name};
use turnwire_proto::{Kind, NewEvent, RunComplete, TaskStart, Timestamp, ToolCallStart};
use turnwire_watch::{Known, Source, known};

use crate::world::{World, look};

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../adapters/fixtures")
        .join(name);
    fs::read_to_string(path).unwrap()
}

fn kinds(events: &[NewEvent]) -> Vec<&str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}

/// All events of a file that is read at once.
fn all_of(adapter: &str, text: &str) -> Vec<NewEvent> {
    let mut filed = Filed::new("", by_name(adapter).unwrap(), turnwire_adapters::Context::default());
    let mut out = Vec::new();
    let mut place = 0;
    for line in text.lines() {
        filed.line(place, line.as_bytes(), Timestamp::UNIX_EPOCH, &mut out);
        place += line.len() as u64 + 1;
    }
    out
}

#[test]
fn a_transcript_that_is_followed_from_its_middle_has_its_session_and_its_turn() {
    let text = fixture("claude-transcript/basic-tools.jsonl");
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let world = World::new();
    world.append("s.jsonl", &lines[..30].concat());
    let mut tailer = world.tailer_of(Source::new(&world.path(""), "*.jsonl", None).unwrap(), false);
    look(&mut tailer);
    assert!(world.taken.pushed().is_empty());
    for line in &lines[30..] {
        world.append("s.jsonl", line);
        look(&mut tailer);
        // As if it had been killed and started again at each line.
        tailer = world.tailer_of(Source::new(&world.path(""), "*.jsonl", None).unwrap(), false);
    }
    look(&mut tailer);
    let events = world.taken.events();
    assert_eq!(kinds(&events)[..2], ["session_start", "turn_start"]);
    assert_eq!(kinds(&events).iter().filter(|kind| **kind == "turn_end").count(), 1);
    let session = "29b53855-5c92-464e-a713-95c75e0d9d84";
    assert!(
        events
            .iter()
            .all(|event| event.session_id.as_ref().unwrap().as_str() == session)
    );
    // No event but those that the whole file has, and the calls know what began before.
    let whole = all_of("claude-transcript", &text);
    for event in events.iter().filter(|event| event.kind != Kind::RAW) {
        let same = whole
            .iter()
            .find(|it| it.id == event.id)
            .unwrap_or_else(|| panic!("{event:?}"));
        assert_eq!(same.data, event.data);
    }
}

#[test]
fn a_subagents_file_is_nested_under_the_call_that_started_it() {
    let world = World::new();
    let mut tailer = world.tailer_of(
        Source::new(&world.path(""), "**/*.jsonl", by_name("claude-transcript")).unwrap(),
        false,
    );
    look(&mut tailer);
    world.append("p/s.jsonl", &fixture("claude-transcript/subagent.jsonl"));
    world.append(
        "p/s/subagents/agent-a5ea8a8cd0010e06c.meta.json",
        r#"{"agentType":"general-purpose","toolUseId":"toolu_mock0000000002"}"#,
    );
    world.append(
        "p/s/subagents/agent-a5ea8a8cd0010e06c.jsonl",
        &fixture("claude-transcript/subagent-agent.jsonl"),
    );
    look(&mut tailer);
    let events = world.taken.events();
    let mut calls: Vec<(String, Option<String>)> = events
        .iter()
        .filter(|event| event.kind == Kind::TOOL_CALL_START)
        .map(|event| event.data.read::<ToolCallStart>().unwrap())
        .map(|call| (call.tool, call.parent_tool_call_id))
        .collect();
    calls.sort();
    assert_eq!(
        calls,
        [
            ("Agent".to_owned(), None),
            ("Bash".to_owned(), Some("toolu_mock0000000002".to_owned()))
        ]
    );
    let sessions: std::collections::HashSet<_> = events.iter().map(|event| event.session_id.clone()).collect();
    assert_eq!(sessions.len(), 1);
    let count = |kind: Kind| events.iter().filter(|event| event.kind == kind).count();
    assert_eq!(
        (
            count(Kind::TURN_START),
            count(Kind::TURN_END),
            count(Kind::AGENT_START),
            count(Kind::AGENT_END)
        ),
        (1, 1, 1, 1)
    );
}

#[test]
fn two_runs_of_waza_at_once_are_two_sessions_each_complete_once() {
    let world = World::new();
    let mut tailer = world.tailer_of(known(Known::Waza, Some(&world.path("")), |_| None).unwrap(), false);
    look(&mut tailer);
    let (first, second) = (fixture("waza/three-tasks.jsonl"), fixture("waza/three-tries.jsonl"));
    let (mut a, mut b) = (first.split_inclusive('\n'), second.split_inclusive('\n'));
    loop {
        let (one, two) = (a.next(), b.next());
        if one.is_none() && two.is_none() {
            break;
        }
        world.append("20261120T070000Z-session.jsonl", one.unwrap_or_default());
        world.append("20261120T071500Z-session.jsonl", two.unwrap_or_default());
        look(&mut tailer);
    }
    let events = world.taken.events();
    let of = |session: &str| -> Vec<NewEvent> {
        events
            .iter()
            .filter(|it| it.session_id.as_ref().unwrap().as_str() == session)
            .cloned()
            .collect()
    };
    for (session, total, passed) in [("20261120T070000Z-session", 3, 1), ("20261120T071500Z-session", 1, 1)] {
        let events = of(session);
        let complete: Vec<RunComplete> = events
            .iter()
            .filter(|it| it.kind == Kind::RUN_COMPLETE)
            .map(|it| it.data.read().unwrap())
            .collect();
        assert_eq!(complete.len(), 1);
        assert_eq!((complete[0].total, complete[0].passed), (Some(total), Some(passed)));
        let start: TaskStart = events
            .iter()
            .find(|it| it.kind == Kind::TASK_START)
            .unwrap()
            .data
            .read()
            .unwrap();
        assert_eq!((start.number, start.total), (Some(1), Some(total)));
    }
    assert_eq!(
        of("20261120T070000Z-session").len() + of("20261120T071500Z-session").len(),
        events.len()
    );
}

#[test]
fn agents_keep_their_files_where_their_own_variables_say_or_at_home() {
    let root = |agent, vars: &'static [(&str, &str)]| {
        let env = |name: &str| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into());
        known(agent, None, env).map(|source| source.root().to_owned())
    };
    let home: &[(&str, &str)] = &[("HOME", "/h")];
    assert_eq!(root(Known::Claude, home).unwrap(), Path::new("/h/.claude/projects"));
    assert_eq!(root(Known::Codex, home).unwrap(), Path::new("/h/.codex/sessions"));
    assert_eq!(root(Known::Gemini, home).unwrap(), Path::new("/h/.gemini/tmp"));
    assert_eq!(
        root(Known::Codex, &[("CODEX_HOME", "/c"), ("HOME", "/h")]).unwrap(),
        Path::new("/c/sessions")
    );
    assert_eq!(
        root(Known::Claude, &[("CLAUDE_CONFIG_DIR", "/c")]).unwrap(),
        Path::new("/c/projects")
    );
    assert!(root(Known::Claude, &[]).is_err());
}
