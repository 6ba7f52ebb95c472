//! What every adapter promises of any input: the recordings of its vendor and of the others, and broken ones.

use std::collections::HashMap;

use proptest::prelude::*;
use turnwire_adapters::{ADAPTERS, Adapter, Context, Detecting, by_name};
use turnwire_proto::{Defaults, Incoming, Kind, NewEvent, Timestamp, TurnEnd, Usage, limits};

use crate::recordings::{VENDORS, all, run};

fn adapter(name: &str) -> Box<dyn Adapter> {
    match name {
        "detecting" => Box::new(Detecting::new(Context::default())),
        name => (by_name(name).unwrap().make)(Context::default()),
    }
}

fn names() -> impl Iterator<Item = &'static str> {
    ADAPTERS.iter().map(|spec| spec.name).chain(["detecting"])
}

/// Runs an adapter over lines and checks all that it owes.
fn check(name: &str, lines: &[Vec<u8>]) -> Vec<NewEvent> {
    let at = |n: usize| Timestamp::from_millis(1_795_165_200_000 + i64::try_from(n).unwrap() * 10).unwrap();
    let timed: Vec<_> = lines.iter().enumerate().map(|(n, line)| (&**line, at(n))).collect();
    let mut adapter = adapter(name);
    let events = run(&mut *adapter, &timed, Some(137));
    for event in &events {
        publishable(name, event);
    }
    kept(name, lines, &events);
    if VENDORS.contains(&name) {
        assert!(
            events.iter().all(|e| e.session_id.is_some()),
            "{name}: an event without a session is public"
        );
        paired(name, &events);
    }
    events
}

pub(crate) fn publishable(name: &str, event: &NewEvent) {
    assert!(event.fits(), "{name}: {} bytes", event.size());
    let mut line = Vec::new();
    event.encode_line(&mut line);
    assert!(!line.contains(&b'\n'), "{name}");
    let read = Incoming::parse_within(&line, limits::INCOMING)
        .unwrap_or_else(|e| panic!("{name}: {e}: {}", String::from_utf8_lossy(&line)));
    assert_eq!(
        &read.into_event(&Defaults::new("other", Timestamp::UNIX_EPOCH)),
        event,
        "{name}"
    );
}

/// Every line is in an event's `raw`, or is the text of a note, or is an event itself.
fn kept(name: &str, lines: &[Vec<u8>], events: &[NewEvent]) {
    let mut all = String::new();
    for event in events {
        if let Some(raw) = &event.raw {
            all.push_str(raw.get());
            all.push('\n');
            all.push_str(&raw.read::<String>().unwrap_or_default());
            all.push('\n');
        }
        if let Ok(note) = event.data.read::<turnwire_proto::Note>() {
            all.push_str(&note.text);
            all.push('\n');
        }
    }
    for line in lines {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
        if line.len() > limits::EVENT / 2 {
            let head: String = text.chars().take(100).collect();
            let cut = events.iter().any(|e| {
                let text = |json: &str| json.contains("\"truncated\":true");
                text(e.data.get()) || e.raw.as_ref().is_some_and(|raw| text(raw.get()))
            });
            assert!(all.contains(&head) || cut, "{name}: a large line is lost");
            continue;
        }
        // An array is kept item by item.
        let items: Vec<&serde_json::value::RawValue> = serde_json::from_str(text).unwrap_or_default();
        let items_kept = !items.is_empty() && items.iter().all(|item| all.contains(item.get()));
        let event = Incoming::parse(text.as_bytes()).ok();
        let is_event = event.is_some_and(|event| events.iter().any(|e| e.kind == event.kind && e.data == event.data));
        assert!(all.contains(text) || items_kept || is_event, "{name}: lost: {text}");
    }
}

/// Starts and ends pair, in order, and a turn's usage is the sum of what was told in it.
fn paired(name: &str, events: &[NewEvent]) {
    let mut turns: HashMap<String, (usize, usize)> = HashMap::new();
    let mut calls: HashMap<String, (usize, usize)> = HashMap::new();
    let mut questions: HashMap<String, (usize, usize)> = HashMap::new();
    let mut agents = (0, 0);
    let mut used: HashMap<String, u64> = HashMap::new();
    for event in events {
        let body: serde_json::Value = event.data.read().unwrap();
        let id = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
        let turn = event
            .turn_id
            .as_ref()
            .map(|turn| turn.as_str().to_owned())
            .unwrap_or_default();
        match event.kind.as_str() {
            "turn_start" => turns.entry(turn).or_default().0 += 1,
            "turn_end" => {
                let pair = turns.entry(turn.clone()).or_default();
                pair.1 += 1;
                assert_eq!(*pair, (1, 1), "{name}: a turn ends once, after its start");
                let told = event.data.read::<TurnEnd>().unwrap().usage.unwrap_or_default();
                assert_eq!(tokens(&told), used.get(&turn).copied().unwrap_or(0), "{name}: {turn}");
            }
            "usage" => {
                let usage: Usage = event.data.read().unwrap();
                let sum = used.entry(turn).or_default();
                *sum = sum.saturating_add(tokens(&usage));
            }
            "tool_call_start" => calls.entry(id("tool_call_id")).or_default().0 += 1,
            "tool_call" => {
                let pair = calls.entry(id("tool_call_id")).or_default();
                pair.1 += 1;
                assert!(pair.1 == 1 && pair.0 <= 1, "{name}: a call ends once, after its start");
                assert!(
                    body["success"].as_bool().unwrap() || body["error"].is_string(),
                    "{name}: a failure has a reason"
                );
            }
            "agent_start" => agents.0 += 1,
            "agent_end" => agents.1 += 1,
            "approval_request" => questions.entry(id("approval_id")).or_default().0 += 1,
            "approval_decision" => questions.entry(id("approval_id")).or_default().1 += 1,
            _ => {}
        }
    }
    assert_eq!(agents.0, agents.1, "{name}: subagents");
    assert!(turns.values().all(|pair| *pair == (1, 1)), "{name}: turns {turns:?}");
    assert!(
        calls.values().all(|pair| pair.1 == 1 && pair.0 <= 1),
        "{name}: calls {calls:?}"
    );
    assert!(
        questions.values().all(|pair| pair.0 == pair.1),
        "{name}: questions {questions:?}"
    );
}

fn tokens(usage: &Usage) -> u64 {
    let counts = [usage.input_tokens, usage.output_tokens, usage.cache_read_input_tokens];
    counts.into_iter().flatten().fold(0, u64::saturating_add)
}

fn owned(lines: &[&[u8]]) -> Vec<Vec<u8>> {
    lines.iter().map(|line| line.to_vec()).collect()
}

#[test]
fn every_adapter_keeps_its_promises_over_every_vendors_recordings() {
    for recording in all() {
        for name in names() {
            check(name, &owned(&recording.lines()));
        }
    }
}

#[test]
fn a_run_that_is_killed_at_any_line_or_byte_leaves_nothing_open_or_lost() {
    for recording in all().iter().filter(|recording| recording.is_output()) {
        let lines = owned(&recording.lines());
        for end in 0..lines.len() {
            check(recording.vendor, &lines[..end]);
            let mut cut = lines[..=end].to_vec();
            let half = cut[end].len() / 2;
            cut[end].truncate(half);
            check(recording.vendor, &cut);
        }
    }
}

#[test]
fn a_killed_run_says_how_it_ended() {
    for recording in all()
        .iter()
        .filter(|r| r.is_output() && r.lines().len() > 4 && r.name == "basic-tools")
    {
        // Files begin with what their program keeps for itself.
        let lines = if recording.is_file() {
            recording.lines().len() / 2
        } else {
            4
        };
        let events = check(recording.vendor, &owned(&recording.lines()[..lines]));
        let end = events.iter().find(|event| event.kind == Kind::TURN_END).unwrap();
        let end: TurnEnd = end.data.read().unwrap();
        assert!(!end.ok && end.note.unwrap().contains("killed by signal 9"));
        assert_eq!(events.last().unwrap().kind, Kind::SESSION_END);
        assert_eq!(
            events.last().unwrap().data.get(),
            r#"{"exit_code":137,"reason":"killed"}"#
        );
    }
}

#[test]
fn two_runs_of_one_session_have_no_turn_in_common() {
    for recording in all().iter().filter(|r| r.is_output() && !r.is_file()) {
        let lines = recording.lines();
        let turns = |shift: i64, uuid: &str| {
            let lines: Vec<String> = lines
                .iter()
                // A vendor that has UUIDs makes new ones in each run; others have the time.
                .map(|line| String::from_utf8_lossy(line).replace("\"uuid\":\"", &format!("\"uuid\":\"{uuid}")))
                .map(|line| {
                    line.replace("17951653", uuid)
                        .replace("2026-11-2", &format!("203{uuid}-11-2"))
                })
                .collect();
            let at = Timestamp::from_millis(1_795_165_200_000 + shift).unwrap();
            let timed: Vec<_> = lines.iter().map(|line| (line.as_bytes(), at)).collect();
            let mut adapter = (by_name(recording.vendor).unwrap().make)(Context::default());
            let events = run(&mut *adapter, &timed, Some(0));
            events
                .into_iter()
                .filter_map(|event| event.turn_id)
                .collect::<std::collections::BTreeSet<_>>()
        };
        let (first, second) = (turns(0, "1"), turns(1, "2"));
        assert!(
            !first.is_empty() && first.is_disjoint(&second),
            "{}: {first:?} {second:?}",
            recording.path.display()
        );
    }
}

#[test]
fn odd_lines_are_kept() {
    let odd: Vec<Vec<u8>> = [
        &b""[..],
        b"   ",
        b"\r",
        b"plain text",
        b"\xff\xfe invalid UTF-8",
        b"nul \0 and \x1b[31mescape\x1b[0m",
        "line\u{2028}separator {\u{2029}}".as_bytes(),
        b"{\"type\":\"system\",\"subtype\":\"made_up\",\"session_id\":\"s\"}\r",
        b"{\"type\":null}",
        b"{\"type\":[]}",
        b"{\"type\":\"assistant\",\"message\":{\"content\":[7,null,{},{\"type\":\"odd\"}]}}",
        b"{\"type\":\"assistant\",\"message\":{\"content\":\"just text \\ud83d\"}}",
        b"{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"never started\"}]}}",
        b"{\"type\":\"result\"}",
        b"{\"type\":\"result\",\"is_error\":\"yes\",\"usage\":[],\"modelUsage\":{\"m\":1},\"total_cost_usd\":1e400}",
        b"{\"type\":\"item.completed\",\"item\":{\"type\":\"odd\"}}",
        b"{\"type\":\"item.completed\"}",
        b"{\"type\":\"turn.completed\",\"usage\":{\"input_tokens\":-5,\"cached_input_tokens\":18446744073709551615}}",
        b"{\"type\":\"tool_use\",\"part\":{\"state\":{\"status\":\"completed\"}}}",
        b"{\"type\":\"message\",\"delta\":true,\"role\":\"assistant\"}",
        b"{",
        b"  \"cut\": 1",
        b"{\"type\":\"turn.started\"}",
        b"{",
        b"[{\"type\":\"turn.started\"},{\"type\":\"x\"}]",
        b"[1,2]",
        b"[]",
        b"\"a string\"",
        b"7",
    ]
    .iter()
    .map(|line| line.to_vec())
    .collect();
    for name in names() {
        check(name, &odd);
    }
    let deep = [b"[".repeat(5000), b"]".repeat(5000)].concat();
    let deep = [
        b"{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"tool_use\",\"id\":\"a\",\"input\":",
        &*deep,
        b"}]}}",
    ]
    .concat();
    for name in names() {
        check(name, std::slice::from_ref(&deep));
    }
}

#[test]
fn large_lines_come_whole_and_larger_ones_than_are_taken_are_cut_and_say_so() {
    let text = |wrap: fn(&str) -> String, fill: &str, bytes: usize| wrap(&fill.repeat(bytes / fill.len())).into_bytes();
    let claude: fn(&str) -> String = |x| {
        format!(r#"{{"type":"assistant","session_id":"s","message":{{"content":[{{"type":"text","text":"{x}"}}]}}}}"#)
    };
    let gemini: fn(&str) -> String =
        |x| format!(r#"{{"type":"message","role":"assistant","delta":true,"content":"{x}"}}"#);
    let codex: fn(&str) -> String = |x| {
        format!(
            r#"{{"type":"item.completed","item":{{"id":"i","type":"command_execution","aggregated_output":"{x}"}}}}"#
        )
    };
    let opencode: fn(&str) -> String =
        |x| format!(r#"{{"type":"text","sessionID":"s","part":{{"type":"text","text":"{x}"}}}}"#);
    let plain: fn(&str) -> String = str::to_owned;
    let shows = |events: &[NewEvent]| {
        events.iter().any(|event| {
            let raw = event.raw.as_ref().map_or("", |raw| raw.get());
            [event.data.get(), raw]
                .iter()
                .any(|json| json.contains("\"truncated\":true"))
        })
    };
    for (name, wrap) in [
        ("claude", claude),
        ("gemini", gemini),
        ("codex", codex),
        ("opencode", opencode),
        ("lines", plain),
    ] {
        for fill in ["x", "é", "\\u0000"] {
            assert!(
                !shows(&check(name, &[text(wrap, fill, limits::EVENT * 11 / 10)])),
                "{name}"
            );
        }
        assert!(shows(&check(name, &[text(wrap, "é", limits::BATCH_BYTES)])), "{name}");
    }
    for name in names() {
        assert!(!shows(&check(name, &[vec![0; limits::EVENT * 3 / 4]])), "{name}");
    }
}

#[test]
fn more_calls_and_lines_than_are_remembered_still_pair() {
    let mut lines = vec![br#"{"type":"turn.started"}"#.to_vec()];
    for n in 0..3000 {
        let item = format!(r#"{{"type":"item.started","item":{{"id":"item_{n}","type":"command_execution"}}}}"#);
        lines.push(item.into_bytes());
    }
    let events = check("codex", &lines);
    assert_eq!(
        events.iter().filter(|event| event.kind == Kind::TOOL_CALL).count(),
        3000
    );
    assert!(
        events
            .iter()
            .any(|event| event.data.get().contains("too many calls are open"))
    );
}

/// One way of spoiling lines.
#[derive(Clone, Debug)]
pub(crate) enum Spoil {
    Cut(usize, usize),
    Flip(usize, usize, u8),
    Splice(usize, usize, usize),
    Drop(usize),
    Twice(usize),
    Swap(usize, usize),
    Insert(usize, Vec<u8>),
    Swell(usize, usize),
}

pub(crate) fn spoil() -> impl Strategy<Value = Spoil> {
    let n = || 0..10_000_usize;
    prop_oneof![
        (n(), n()).prop_map(|(a, b)| Spoil::Cut(a, b)),
        (n(), n(), any::<u8>()).prop_map(|(a, b, c)| Spoil::Flip(a, b, c)),
        (n(), n(), n()).prop_map(|(a, b, c)| Spoil::Splice(a, b, c)),
        n().prop_map(Spoil::Drop),
        n().prop_map(Spoil::Twice),
        (n(), n()).prop_map(|(a, b)| Spoil::Swap(a, b)),
        (n(), proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(a, b)| Spoil::Insert(a, b)),
        (n(), 0..40_000_usize).prop_map(|(a, b)| Spoil::Swell(a, b)),
    ]
}

pub(crate) fn apply(spoil: &Spoil, lines: &mut Vec<Vec<u8>>) {
    if lines.is_empty() {
        return;
    }
    let count = lines.len();
    match spoil {
        Spoil::Cut(line, at) => {
            let line = &mut lines[line % count];
            line.truncate(at % (line.len() + 1));
        }
        Spoil::Flip(line, at, to) => {
            let line = &mut lines[line % count];
            let at = at % line.len().max(1);
            if let Some(byte) = line.get_mut(at).filter(|_| *to != b'\n') {
                *byte = *to;
            }
        }
        Spoil::Splice(a, b, at) => {
            let tail = lines[b % count].clone();
            let line = &mut lines[a % count];
            line.truncate(at % (line.len() + 1));
            line.extend_from_slice(&tail[tail.len() / 2..]);
        }
        Spoil::Drop(line) => drop(lines.remove(line % count)),
        Spoil::Twice(line) => lines.insert(line % count, lines[line % count].clone()),
        Spoil::Swap(a, b) => lines.swap(a % count, b % count),
        Spoil::Insert(line, bytes) => {
            lines.insert(
                line % count,
                bytes.iter().copied().filter(|byte| *byte != b'\n').collect(),
            );
        }
        Spoil::Swell(line, size) => {
            // A string in the line grows, where there is one.
            let line = &mut lines[line % count];
            let at = line.iter().rposition(|byte| *byte == b'"').unwrap_or(line.len());
            line.splice(at..at, std::iter::repeat_n(b'y', *size));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_adapter_keeps_its_promises_over_spoilt_recordings(
        which in 0..1000_usize,
        other in 0..1000_usize,
        spoils in proptest::collection::vec(spoil(), 1..12),
    ) {
        let recordings = all();
        let mut lines = owned(&recordings[which % recordings.len()].lines());
        if other % 4 == 0 {
            lines.extend(owned(&recordings[other % recordings.len()].lines()));
        }
        for spoil in &spoils {
            apply(spoil, &mut lines);
        }
        for name in names() {
            check(name, &lines);
        }
    }
}
