//! What agents leave on disk may be read again, from any place on: each fact keeps its id.

use std::collections::HashSet;

use turnwire_adapters::{Context, Filed, Subagent, by_name};
use turnwire_proto::{EventId, Kind, NewEvent, ToolCallStart};

use crate::recordings::{Recording, all};

/// The events of a file's lines, each with its line's number.
fn read(recording: &Recording, context: &Context) -> Vec<(usize, NewEvent)> {
    let mut filed = Filed::new("file", by_name(recording.vendor).unwrap(), context.clone());
    let (mut place, mut events, mut out) = (0, Vec::new(), Vec::new());
    for (number, (line, at)) in recording.lines().into_iter().zip(recording.clock()).enumerate() {
        filed.line(place, line, at, &mut out);
        place += line.len() as u64 + 1;
        events.extend(out.drain(..).map(|event| (number, event)));
    }
    // Nothing more comes.
    filed.idle(place, recording.clock()[0], &mut out);
    let lines = recording.lines().len();
    events.extend(out.drain(..).map(|event| (lines, event)));
    events
}

#[test]
fn reading_a_file_again_gives_the_same_ids_and_no_two_events_share_one() {
    for recording in all().iter().filter(|recording| recording.is_file()) {
        let ids = |events: &[(usize, NewEvent)]| events.iter().map(|(_, event)| event.id).collect::<Vec<EventId>>();
        let first = read(recording, &Context::default());
        assert_eq!(
            ids(&first),
            ids(&read(recording, &Context::default())),
            "{}",
            recording.path.display()
        );
        let distinct: HashSet<_> = ids(&first).into_iter().collect();
        assert_eq!(distinct.len(), first.len(), "{}", recording.path.display());
    }
}

#[test]
fn what_comes_when_nothing_does_is_the_same_fact_that_the_next_line_would_tell() {
    let mut rests = 0;
    for recording in all().iter().filter(|recording| recording.vendor == "claude-transcript") {
        let whole: HashSet<_> = read(recording, &Context::default())
            .into_iter()
            .map(|(_, e)| e.id)
            .collect();
        let mut filed = Filed::new("file", by_name(recording.vendor).unwrap(), Context::default());
        let (mut place, mut out) = (0, Vec::new());
        let mut rested = Vec::new();
        for (line, at) in recording.lines().into_iter().zip(recording.clock()) {
            filed.line(place, line, at, &mut out);
            place += line.len() as u64 + 1;
            filed.idle(place, at, &mut rested);
        }
        rests += usize::from(!rested.is_empty());
        assert!(rested.iter().all(|event| whole.contains(&event.id)));
        // Whoever was told at once was told all of it.
        let told: HashSet<_> = out.iter().chain(&rested).map(|event| event.id).collect();
        assert_eq!(told, whole, "{}", recording.path.display());
    }
    assert!(rests > 1, "most say nothing of their end");
}

#[test]
fn a_subagents_events_are_of_the_call_that_started_it() {
    let recording = all().into_iter().find(|it| it.name == "subagent-agent").unwrap();
    let context = Context {
        subagent: Some(Subagent {
            tool_call_id: Some("toolu_mock0000000002".to_owned()),
            agent_type: Some("general-purpose".to_owned()),
        }),
        ..Context::default()
    };
    let events = read(&recording, &context);
    let of = |kind: Kind| {
        events
            .iter()
            .map(|(_, event)| event)
            .find(move |event| event.kind == kind)
            .unwrap()
    };
    let call: ToolCallStart = of(Kind::TOOL_CALL_START).data.read().unwrap();
    assert_eq!(call.parent_tool_call_id.as_deref(), Some("toolu_mock0000000002"));
    let parent = all().into_iter().find(|it| it.name == "subagent").unwrap();
    let parents = read(&parent, &Context::default());
    let (session, turn) = parents
        .iter()
        .find(|(_, event)| event.kind == Kind::TURN_START)
        .map(|(_, event)| (event.session_id.clone(), event.turn_id.clone()))
        .unwrap();
    assert!(
        of(Kind::AGENT_START)
            .data
            .get()
            .contains("\"agent\":\"general-purpose\"")
    );
    assert_eq!(
        (
            of(Kind::TOOL_CALL_START).session_id.clone(),
            of(Kind::TOOL_CALL_START).turn_id.clone()
        ),
        (session, turn)
    );
    let none = [Kind::SESSION_START, Kind::TURN_START, Kind::TURN_END];
    assert!(events.iter().all(|(_, event)| !none.contains(&event.kind)));
}

#[test]
fn what_a_command_makes_the_model_say_is_a_turn_of_its_own_and_what_a_stop_hook_does_is_not() {
    let line = |kind: &str, uuid: &str, more: &str| {
        format!(
            r#"{{"type":"{kind}","uuid":"{uuid}","sessionId":"s","timestamp":"2026-11-20T09:32:38Z","cwd":"/p",{more}}}"#
        )
    };
    let says = |uuid: &str, stop: &str| {
        let message = format!(
            r#""message":{{"id":"{uuid}","role":"assistant","model":"m","stop_reason":"{stop}","content":[{{"type":"text","text":"{uuid}"}}]}}"#
        );
        line("assistant", uuid, &message)
    };
    let asks = |uuid: &str, turn: &str, more: &str, text: &str| {
        let more = format!(r#""promptId":"{turn}",{more}"message":{{"role":"user","content":"{text}"}}"#);
        line("user", uuid, &more)
    };
    let lines = [
        asks("u1", "one", "", "go"),
        says("a1", "end_turn"),
        asks("u2", "one", r#""isMeta":true,"#, "a stop hook wants more"),
        says("a2", "end_turn"),
        asks("u3", "two", "", "<command-name>/review</command-name>"),
        asks("u4", "two", r#""isMeta":true,"#, "what the command says"),
        says("a3", "end_turn"),
        asks("u5", "three", "", "go on"),
        says("a4", "tool_use"),
        asks("u6", "three", "", "[Request interrupted by user]"),
    ];
    let mut filed = Filed::new("file", by_name("claude-transcript").unwrap(), Context::default());
    let mut out = Vec::new();
    for (place, line) in lines.iter().enumerate() {
        let at = turnwire_proto::Timestamp::UNIX_EPOCH;
        filed.line(place as u64, line.as_bytes(), at, &mut out);
    }
    let told: Vec<String> = out
        .iter()
        .filter(|event| [Kind::TURN_START, Kind::TURN_END, Kind::MESSAGE].contains(&event.kind))
        .map(|event| {
            format!(
                "{} {}",
                event.kind,
                event.turn_id.as_ref().map_or("-", |turn| turn.as_str())
            )
        })
        .collect();
    let want = [
        ["turn_start one", "message one", "message one", "turn_end one"].as_slice(),
        &["message one", "message one"],
        &[
            "turn_start two",
            "message two",
            "message two",
            "message two",
            "turn_end two",
        ],
        &["turn_start three", "message three", "message three", "turn_end three"],
    ];
    assert_eq!(told, want.concat());
}
