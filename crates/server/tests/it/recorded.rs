//! Real runs of agents, as they were recorded: what is told of their turns and calls is what a person finds in the recording, and
//! in no order of their events is anything lost or an error.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::{Value, json};

use crate::{
    state::answers,
    world::{World, lines},
};

/// The events of a recording.
fn recording(vendor: &str, name: &str) -> Vec<Value> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/fixtures");
    let text = fs::read_to_string(fixtures.join(vendor).join(name).with_extension("events")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every recording there is.
fn all() -> Vec<(String, Vec<Value>)> {
    let mut all = Vec::new();
    for vendor in ["claude", "codex", "gemini", "opencode"] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../adapters/fixtures")
            .join(vendor);
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        names.sort();
        for path in names
            .iter()
            .filter(|path| path.extension().is_some_and(|ext| ext == "events"))
        {
            let name = path.file_stem().unwrap().to_str().unwrap();
            all.push((format!("{vendor}-{name}"), recording(vendor, name)));
        }
    }
    assert!(all.len() >= 20, "{}", all.len());
    all
}

/// The same as another session.
fn renamed(events: &[Value], session: &str) -> Vec<Value> {
    let mut events = events.to_vec();
    events.iter_mut().for_each(|event| event["session_id"] = json!(session));
    events
}

async fn publish(world: &World, events: Vec<Value>) {
    world
        .post("application/x-ndjson", lines(&Value::Array(events)))
        .await
        .ok();
}

/// A session's turns or calls, the first begun first.
async fn rows(world: &World, session: &str, what: &str) -> Vec<Value> {
    let page = world
        .get(&format!("/api/sessions/{session}/{what}?limit=1000"))
        .await
        .ok();
    let mut rows = page[what.replace('-', "_")].as_array().unwrap().clone();
    rows.reverse();
    rows
}

/// The fields of a row that a person looks at.
fn pick(row: &Value, fields: &[&str]) -> Vec<Value> {
    fields.iter().map(|field| row[*field].clone()).collect()
}

#[tokio::test]
async fn a_run_of_each_vendor_is_told_as_a_person_reads_its_recording() {
    let world = World::start().await;
    for vendor in ["claude", "codex", "gemini", "opencode"] {
        publish(&world, renamed(&recording(vendor, "basic-tools"), vendor)).await;
    }
    let prompt = "Print hello, read notes.txt, write summary.md, then list a missing folder.";
    let used = |calls: u64, failed: u64, ms: u64| json!({"calls": calls, "failed": failed, "duration_ms": ms});
    for (vendor, result, ms, tokens, cost, tools) in [
        (
            "claude",
            "I printed hello, read notes.txt and wrote summary.md; the last command failed because the folder does not exist.",
            436,
            (1515, 253, 8848, 900),
            0.014_369_4,
            json!({"Bash": used(2, 1, 75), "Read": used(1, 0, 26), "Write": used(1, 0, 18)}),
        ),
        (
            "codex",
            "Done; the last command failed because the folder does not exist.",
            12,
            (2323, 253, 4992, 0),
            0.0,
            json!({"command_execution": used(3, 1, 3), "file_change": used(1, 0, 1)}),
        ),
        (
            "gemini",
            "Done; the last command failed because the folder does not exist.",
            327,
            (5260, 288, 1024, 0),
            0.0,
            json!({"run_shell_command": used(2, 0, 78), "read_file": used(1, 0, 14), "write_file": used(1, 0, 9)}),
        ),
        (
            "opencode",
            "Done; the last command failed because the folder does not exist.",
            418,
            (5260, 288, 1024, 0),
            0.005_938_4,
            json!({"bash": used(2, 1, 144), "read": used(1, 0, 20), "write": used(1, 0, 16)}),
        ),
    ] {
        let turns = rows(&world, vendor, "turns").await;
        assert_eq!(turns.len(), 1, "{vendor}");
        let turn = &turns[0];
        let told = pick(turn, &["prompt", "result", "ok", "duration_ms", "from", "note"]);
        assert_eq!(
            told,
            [
                json!(prompt),
                json!(result),
                json!(true),
                json!(ms),
                json!("user"),
                Value::Null
            ]
        );
        let (input, output, read, written) = tokens;
        let usage = json!({
            "input_tokens": input, "output_tokens": output, "cache_read_input_tokens": read, "cache_creation_input_tokens": written
        });
        assert_eq!((&turn["usage"], &turn["cost_usd"]), (&usage, &json!(cost)), "{vendor}");
        assert_eq!(turn["tools"], tools, "{vendor}");
        let session = world.get(&format!("/api/sessions/{vendor}")).await.ok();
        assert_eq!(
            (&session["usage"], &session["cost_usd"]),
            (&usage, &json!(cost)),
            "{vendor}"
        );
        assert_eq!(
            pick(&session, &["state", "turns", "tool_calls", "title"]),
            [json!("done"), json!(1), json!(4), json!(prompt)]
        );
    }
}

#[tokio::test]
async fn a_vendors_calls_are_told_with_what_went_in_and_what_came_out() {
    let world = World::start().await;
    for (vendor, name) in [
        ("claude", "basic-tools"),
        ("claude", "control-permission"),
        ("codex", "basic-tools"),
        ("gemini", "tool-not-allowed"),
        ("opencode", "edit-and-todos"),
    ] {
        publish(&world, renamed(&recording(vendor, name), &format!("{vendor}-{name}"))).await;
    }
    let fields = &["tool", "arguments", "outcome", "output", "error", "duration_ms"];
    let told = async |session: &str| -> Vec<Vec<Value>> {
        let calls = rows(&world, session, "tool-calls").await;
        calls.iter().map(|call| pick(call, fields)).collect()
    };
    let calls = told("claude-basic-tools").await;
    let first = [
        json!("Bash"),
        json!({"command": "echo hello", "description": "Print hello"}),
        json!("ok"),
        json!("hello"),
        Value::Null,
        json!(51),
    ];
    assert_eq!(calls[0], first);
    assert_eq!(
        calls[3],
        [
            json!("Bash"),
            json!({"command": "ls /does-not-exist && echo unreachable", "description": "List a missing folder"}),
            json!("failed"),
            json!("Exit code 2\nls: cannot access '/does-not-exist': No such file or directory"),
            json!("exit 2"),
            json!(24),
        ]
    );
    let calls = told("claude-control-permission").await;
    assert_eq!(
        (&calls[0][2], &calls[1][2], &calls[1][4]),
        (&json!("ok"), &json!("failed"), &json!("denied"))
    );
    assert_eq!(calls[1][3], "The user said no.");
    let calls = told("codex-basic-tools").await;
    assert_eq!(
        calls[2][1],
        json!({"changes": [{"path": "/workspace/project/summary.md", "kind": "add"}]})
    );
    assert_eq!(
        (&calls[2][2], &calls[2][3]),
        (&json!("ok"), &Value::Null),
        "it answered nothing"
    );
    let calls = told("gemini-tool-not-allowed").await;
    assert_eq!(
        (calls.len(), &calls[0][0], &calls[0][2]),
        (1, &json!("write_file"), &json!("failed"))
    );
    let calls = told("opencode-edit-and-todos").await;
    let tools: Vec<_> = calls.iter().map(|call| call[0].as_str().unwrap()).collect();
    assert_eq!(tools, ["todowrite", "read", "edit"]);
}

#[tokio::test]
async fn turns_of_one_conversation_follow_each_other() {
    let world = World::start().await;
    publish(
        &world,
        renamed(&recording("claude", "input-stream-multi-turn"), "claude"),
    )
    .await;
    publish(&world, renamed(&recording("codex", "multi-turn-resume"), "codex")).await;
    let told = async |session: &str| -> Vec<Vec<Value>> {
        let turns = rows(&world, session, "turns").await;
        turns
            .iter()
            .map(|turn| pick(turn, &["prompt", "result", "ok"]))
            .collect()
    };
    assert_eq!(
        told("claude").await,
        [
            [json!("First question: run echo one."), json!("Ran it."), json!(true)],
            [
                json!("Second question: what did it print?"),
                json!("It printed one."),
                json!(true)
            ],
        ]
    );
    // What was asked is not in that recording.
    assert_eq!(
        told("codex").await,
        [
            [Value::Null, json!("Hello."), json!(true)],
            [Value::Null, json!("Hello again."), json!(true)]
        ]
    );
}

/// Xorshift: the same orders in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % n
    }

    fn shuffle(&mut self, events: &mut [Value]) {
        for at in (1..events.len()).rev() {
            events.swap(at, self.below(at + 1));
        }
    }
}

/// Which ids have a start and which have an end among these events, and which there are.
#[derive(Debug, Default, PartialEq)]
struct Pairs {
    starts: BTreeSet<String>,
    ends: BTreeSet<String>,
    all: BTreeSet<String>,
}

impl Pairs {
    fn of_turns(events: &[Value]) -> Self {
        let mut pairs = Self::default();
        for event in events {
            let (Some(turn), kind) = (event["turn_id"].as_str(), event["type"].as_str().unwrap()) else {
                continue;
            };
            match kind {
                "turn_start" => drop(pairs.starts.insert(turn.to_owned())),
                "turn_end" => drop(pairs.ends.insert(turn.to_owned())),
                "tool_call" | "tool_call_start" | "usage" | "message" => {}
                _ => continue,
            }
            pairs.all.insert(turn.to_owned());
        }
        pairs
    }

    fn of_calls(events: &[Value]) -> Self {
        let mut pairs = Self::default();
        for event in events {
            let ids = match event["type"].as_str().unwrap() {
                "tool_call_start" => &mut pairs.starts,
                "tool_call" => &mut pairs.ends,
                _ => continue,
            };
            let id = event["data"]["tool_call_id"].as_str().unwrap();
            ids.insert(id.to_owned());
            pairs.all.insert(id.to_owned());
        }
        pairs
    }

    /// The same of rows, each of which is there once.
    fn of_rows(rows: &[Value], id: &str) -> Self {
        let mut pairs = Self::default();
        for row in rows {
            let id = row[id].as_str().unwrap().to_owned();
            if row["start_seq"].is_u64() {
                pairs.starts.insert(id.clone());
            }
            if row["end_seq"].is_u64() {
                pairs.ends.insert(id.clone());
                assert!(row["ended"].is_string(), "{row}");
            }
            assert_eq!(row["start_seq"].is_u64(), row["started"].is_string(), "{row}");
            assert!(row["first_seq"].as_u64() <= row["last_seq"].as_u64(), "{row}");
            assert!(pairs.all.insert(id), "two rows: {row}");
        }
        pairs
    }
}

/// What a row says that no order of events changes, by its id.
fn facts(rows: &[Value], id: &str, fields: &[&str]) -> BTreeMap<String, Vec<Value>> {
    rows.iter()
        .map(|row| (row[id].as_str().unwrap().to_owned(), pick(row, fields)))
        .collect()
}

const TURN: [&str; 6] = ["ok", "note", "duration_ms", "usage", "cost_usd", "tools"];
const CALL: [&str; 8] = [
    "tool",
    "turn_id",
    "arguments",
    "output",
    "error",
    "outcome",
    "duration_ms",
    "parent_tool_call_id",
];

#[tokio::test]
async fn in_any_order_a_recorded_run_has_the_same_turns_and_calls() {
    let (world, mut dice) = (World::start().await, Dice(0x2545_f491_4f6c_dd1d));
    let recordings = all();
    for (name, events) in &recordings {
        publish(&world, renamed(events, name)).await;
        let mut shuffled = events.clone();
        for n in 0..6 {
            dice.shuffle(&mut shuffled);
            publish(&world, renamed(&shuffled, &format!("{name}-{n}"))).await;
        }
    }
    for (name, events) in recordings {
        let session = world.get(&format!("/api/sessions/{name}")).await.ok();
        let turns = facts(&rows(&world, &name, "turns").await, "turn_id", &TURN);
        let calls = facts(&rows(&world, &name, "tool-calls").await, "tool_call_id", &CALL);
        for n in 0..6 {
            let other = format!("{name}-{n}");
            let rows_of = (
                rows(&world, &other, "turns").await,
                rows(&world, &other, "tool-calls").await,
            );
            assert_eq!(
                Pairs::of_rows(&rows_of.0, "turn_id"),
                Pairs::of_turns(&events),
                "{other}"
            );
            assert_eq!(
                Pairs::of_rows(&rows_of.1, "tool_call_id"),
                Pairs::of_calls(&events),
                "{other}"
            );
            assert_eq!(facts(&rows_of.0, "turn_id", &TURN), turns, "{other}");
            assert_eq!(facts(&rows_of.1, "tool_call_id", &CALL), calls, "{other}");
            let told = world.get(&format!("/api/sessions/{other}")).await.ok();
            let fields = [
                "usage",
                "cost_usd",
                "events",
                "turns",
                "tool_calls",
                "tool_failures",
                "errors",
            ];
            assert_eq!(pick(&told, &fields), pick(&session, &fields), "{other}");
        }
    }
}

#[tokio::test]
async fn of_any_part_of_a_recorded_run_starts_and_ends_are_paired() {
    let (world, mut dice) = (World::start().await, Dice(0x9e37_79b9_7f4a_7c15));
    let mut parts = Vec::new();
    for (name, events) in all() {
        for n in 0..12 {
            let mut part = events.clone();
            // A part in order, as of a log that was trimmed or an agent that died, and one in no order.
            let (from, to) = (dice.below(part.len()), dice.below(part.len()) + 1);
            if n % 3 == 0 {
                dice.shuffle(&mut part);
            }
            part.truncate(from.max(to));
            part.drain(..from.min(to - 1));
            let session = format!("{name}-{n}");
            publish(&world, renamed(&part, &session)).await;
            parts.push((session, part));
        }
    }
    for (session, part) in parts {
        let (turns, calls) = (
            rows(&world, &session, "turns").await,
            rows(&world, &session, "tool-calls").await,
        );
        assert_eq!(Pairs::of_rows(&turns, "turn_id"), Pairs::of_turns(&part), "{session}");
        assert_eq!(
            Pairs::of_rows(&calls, "tool_call_id"),
            Pairs::of_calls(&part),
            "{session}"
        );
        for call in &calls {
            assert_eq!(call["outcome"] == "running", call["ended"].is_null(), "{call}");
        }
        let ended = part.last().is_some_and(|event| event["type"] == "session_end");
        let open = turns.iter().chain(&calls).filter(|row| row["ended"].is_null()).count();
        assert!(
            !ended || open == 0,
            "after its session's end nothing is open: {session}"
        );
        let closed: BTreeSet<_> = turns
            .iter()
            .filter(|turn| turn["ended"].is_string())
            .map(|turn| turn["turn_id"].as_str())
            .collect();
        let wrong = calls
            .iter()
            .find(|call| call["ended"].is_null() && closed.contains(&call["turn_id"].as_str()));
        assert_eq!(wrong, None, "a call is not open in a turn that has ended: {session}");
    }
    let flying = world.get("/api/state?limit=1000").await.ok();
    assert!(
        flying["turns"]
            .as_array()
            .unwrap()
            .iter()
            .all(|turn| turn["ended"].is_null())
    );
}

#[tokio::test]
async fn views_are_the_same_wherever_their_pages_began() {
    let (mut world, mut dice) = (World::start().await, Dice(0xd1b5_4a32_d192_ed03));
    let mut sessions = Vec::new();
    for (name, mut events) in all().into_iter().step_by(2) {
        for n in 0..4 {
            dice.shuffle(&mut events);
            let mut some = events.clone();
            some.truncate(dice.below(events.len()) + 1);
            // Some say of which turn and call they are, others do not.
            for event in &mut some {
                if n % 2 == 0 && dice.below(2) == 0 {
                    event.as_object_mut().unwrap().remove("turn_id");
                }
                if n == 3 && dice.below(2) == 0 {
                    event["data"].as_object_mut().unwrap().remove("tool_call_id");
                }
            }
            // Turns of two runs in one session.
            sessions.push(format!("{}-{n}", &name[..2]));
            let some = renamed(&some, sessions.last().unwrap());
            for events in some.chunks(dice.below(9) + 1) {
                publish(&world, events.to_vec()).await;
                // It is folded before the next ones come.
                world.get("/api/sessions?limit=1").await.ok();
            }
        }
    }
    sessions.sort();
    sessions.dedup();
    let names: Vec<_> = sessions.iter().map(String::as_str).collect();
    let before = answers(&world, &names).await;
    world.restart_without_views().await;
    assert_eq!(before, answers(&world, &names).await);
}
