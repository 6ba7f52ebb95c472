//! Events and selectors to test with.

use std::{collections::BTreeSet, fmt::Write};

use proptest::{prelude::*, sample, strategy::ValueTree, test_runner::TestRunner};
use turnwire_proto::{EventId, Json, Kind, Name, NewEvent, Object, PUBLIC_SOURCE, Selector, Timestamp, Visibility};

/// Names that an encoder may stumble over.
pub(super) const SESSIONS: [&str; 4] = ["s1", "s2", "8c3c…", "a\"b\\c d/é"];
const AGENTS: [&str; 3] = ["builder", "re\"viewer", "b\\2"];
const SOURCES: [&str; 3] = ["claude-code", "codex", PUBLIC_SOURCE];
const KINDS: [&str; 7] = [
    "note",
    "message",
    "text_delta",
    "reasoning_delta",
    "tool_progress",
    "tool_call",
    "made_up_2",
];

pub(super) fn name(text: &str) -> Name {
    Name::new(text).expect("tests use valid names")
}

pub(super) fn kind(text: &str) -> Kind {
    Kind::new(text).expect("tests use valid kinds")
}

/// So many seconds after a moment that lies well in the past of every clock.
pub(super) fn at(secs: i64) -> Timestamp {
    Timestamp::from_millis(1_600_000_000_000 + secs * 1000).expect("tests use moments of this century")
}

/// A note that happened in second `n` and says so.
pub(super) fn note(n: usize) -> NewEvent {
    let body = Json::parse(&format!(r#"{{"n":{n}}}"#)).expect("this is JSON");
    let when = at(i64::try_from(n).expect("tests count in thousands"));
    NewEvent::new(
        Kind::NOTE,
        name("test"),
        when,
        Object::new(body).expect("this is an object"),
    )
}

pub(super) fn notes(numbers: std::ops::Range<usize>) -> Vec<NewEvent> {
    numbers.map(note).collect()
}

/// A note with a body of so many bytes.
pub(super) fn big(n: usize, bytes: usize) -> NewEvent {
    let mut text = String::with_capacity(bytes);
    // What JSON is made of, so that an encoder that escapes again is seen.
    while text.len() + 12 < bytes {
        write!(text, "{:x}\\\"é\\u0000", text.len() % 7).expect("a string takes all");
    }
    let body = Json::parse(&format!(r#"{{"text":"{text}"}}"#)).expect("this is JSON");
    NewEvent {
        data: Object::new(body).expect("this is an object"),
        ..note(n)
    }
}

/// One value of `strategy`: the same run gives the same values.
pub(super) fn draw<S: Strategy>(runner: &mut TestRunner, strategy: &S) -> S::Value {
    strategy.new_tree(runner).expect("nothing is filtered out").current()
}

/// An event of any kind, about anybody, that happened in the first thousand seconds.
pub(super) fn any_event() -> impl Strategy<Value = NewEvent> {
    let body = prop_oneof![
        Just(r#"{"n":1.50,"big":12345678901234567890.10,"s":"a\u0000\nb"}"#.to_owned()),
        Just("{}".to_owned()),
        any::<String>().prop_map(|text| format!(r#"{{"text":{}}}"#, Json::of(&text).get())),
        ("[a-z]{300,900}").prop_map(|text| format!(r#"{{ "text" : "{text}" }}"#)),
    ];
    let raw = sample::select(vec![
        None,
        Some(r#"{"type":"x", "seq":9,"id":null}"#),
        Some(r#""not JSON {""#),
        Some("1.50"),
    ]);
    let about = (
        sample::select(&KINDS[..]),
        sample::select(&SOURCES[..]),
        option(&AGENTS),
        option(&SESSIONS),
        proptest::option::of(Just("t-7")),
    );
    (any::<[u8; 16]>(), 0..1000_i64, about, body, raw).prop_map(
        |(id, secs, (k, source, agent, session, turn), body, raw)| NewEvent {
            id: EventId::from_bytes(id),
            kind: kind(k),
            timestamp: at(secs),
            source: name(source),
            agent: agent.map(name),
            session_id: session.map(name),
            turn_id: turn.map(name),
            data: Object::new(Json::parse(&body).expect("this is JSON")).expect("this is an object"),
            raw: raw.map(|raw| Json::parse(raw).expect("this is JSON")),
        },
    )
}

/// A selector that such events meet now and then.
pub(super) fn any_selector() -> impl Strategy<Value = Selector> {
    let sessions = || sample::subsequence(&SESSIONS[..], 0..=SESSIONS.len());
    let visible = prop_oneof![
        3 => Just(Visibility::All),
        2 => sessions().prop_map(|granted| Visibility::Sessions(granted.into_iter().map(name).collect::<BTreeSet<_>>())),
        1 => sample::select(&SESSIONS[..]).prop_map(|only| Visibility::Only(name(only))),
    ];
    (
        visible,
        option(&SESSIONS),
        few(&AGENTS),
        few(&KINDS),
        few(&SOURCES),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(visible, session, agents, kinds, sources, deltas, raw)| Selector {
            visible,
            session: session.map(name),
            agents: agents.into_iter().map(name).collect(),
            kinds: kinds.into_iter().map(kind).collect(),
            sources: sources.into_iter().map(name).collect(),
            deltas,
            raw,
        })
}

fn option(of: &'static [&'static str]) -> impl Strategy<Value = Option<&'static str>> {
    proptest::option::of(sample::select(of))
}

/// Mostly none, which means any.
fn few(of: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    prop_oneof![2 => Just(Vec::new()), 1 => sample::subsequence(of, 1..=of.len())]
}
