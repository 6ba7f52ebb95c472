//! Runs of Codex, as four sources told of them: what it printed, which has ids of its own for turns and calls, its hooks, its rollout and its
//! telemetry. Whichever of them there are, and however they come one among the other, each turn and call is there once.

use std::{fs, path::Path};

use serde_json::{Value, json};
use turnwire_adapters::{Context, by_name, hooks, otlp};
use turnwire_proto::{NewEvent, Timestamp};

use crate::{
    joined::{Dice, in_session, shuffled, told, value},
    world::{World, lines},
};

/// What is expected of a recording, whichever sources tell of it.
struct Run {
    name: &'static str,
    prompts: &'static [&'static str],
    /// Whether each turn went well; `None` where nobody says.
    ok: &'static [Option<bool>],
    /// What is run, and what came of it. The last ones only the rollout and the telemetry know.
    calls: &'static [(&'static str, &'static str)],
    known_to_few: usize,
    exit: i32,
}

/// Subsets of the four: a bit each, in the order in which [`four`] has them.
const PRINTED: usize = 1;
const HOOKS: usize = 2;
const ROLLOUT: usize = 4;
const TELEMETRY: usize = 8;

const TWIN: (&str, &str) = ("echo same; pwd", "ok");
const RUNS: &[Run] = &[
    Run {
        name: "twins",
        prompts: &["Do it."],
        ok: &[Some(true)],
        calls: &[
            TWIN,
            TWIN,
            ("a.txt", "ok"),
            ("ls /does-not-exist", "failed"),
            ("", "failed"),
        ],
        known_to_few: 1,
        exit: 0,
    },
    Run {
        name: "resume",
        prompts: &["Do it.", "Again."],
        ok: &[Some(true), Some(true)],
        calls: &[("echo hello", "ok"), ("echo hello", "ok")],
        known_to_few: 0,
        exit: 0,
    },
    Run {
        name: "model-error",
        prompts: &["Do it."],
        ok: &[Some(false)],
        calls: &[("echo hello", "ok")],
        known_to_few: 0,
        exit: 1,
    },
    Run {
        name: "interrupted",
        prompts: &["Do it."],
        ok: &[Some(false)],
        calls: &[("touch started; sleep 30", "failed")],
        known_to_few: 0,
        exit: 1,
    },
    Run {
        name: "odd-text",
        prompts: &["Do it."],
        ok: &[Some(true)],
        calls: &[("head -c 3000", "ok")],
        known_to_few: 0,
        exit: 0,
    },
];

fn fixture(path: &str) -> String {
    fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../adapters/fixtures")
            .join(path),
    )
    .unwrap()
}

fn millis(event: &NewEvent) -> i64 {
    event.timestamp.millis()
}

/// When lines come of which some begin a turn, and some end it: evenly spread over their turn.
fn moments(turns: &[(i64, i64)], lines: &[&str], begins: &str, ends: [&str; 2]) -> Vec<Timestamp> {
    let starts: Vec<_> = (0..lines.len()).filter(|n| lines[*n].contains(begins)).collect();
    let of = |n: usize| starts.iter().rposition(|start| *start <= n);
    let each = (0..lines.len()).map(|n| {
        let turn = of(n);
        let (from, to) = turns[turn.unwrap_or(0)];
        let of_it: Vec<_> = (0..lines.len()).filter(|other| of(*other) == turn).collect();
        let end = of_it
            .iter()
            .position(|n| ends.iter().any(|end| lines[*n].contains(end)));
        let count = end.unwrap_or(of_it.len()).max(1);
        let place = (n - of_it[0]).min(count);
        let part = i64::try_from(place).unwrap() * (to - from) / i64::try_from(count).unwrap();
        Timestamp::from_millis(if turn.is_some() { from + part } else { from }).unwrap()
    });
    each.collect()
}

fn rollout(run: &Run) -> Vec<NewEvent> {
    let mut adapter = (by_name("codex-rollout").unwrap().make)(Context::default());
    let mut events = Vec::new();
    for line in fixture(&format!("codex-rollout/{}.jsonl", run.name)).lines() {
        adapter.line(line.as_bytes(), Timestamp::UNIX_EPOCH, &mut events);
    }
    events
}

/// Each process of it has an adapter of its own, which knows the prompt.
fn printed(run: &Run, turns: &[(i64, i64)]) -> Vec<NewEvent> {
    let text = fixture(&format!("codex/{}.jsonl", run.name));
    let lines: Vec<_> = text.lines().collect();
    let moments = moments(
        turns,
        &lines,
        "\"turn.started\"",
        ["\"turn.completed\"", "\"turn.failed\""],
    );
    let mut events = Vec::new();
    let mut process = 0;
    let mut adapter: Option<Box<dyn turnwire_adapters::Adapter>> = None;
    for (line, at) in lines.iter().zip(&moments) {
        if line.contains("\"thread.started\"") {
            if let Some(mut before) = adapter.take() {
                before.end(Some(0), *at, &mut events);
            }
            adapter = Some((by_name("codex").unwrap().make)(Context {
                prompt: Some(run.prompts[process].to_owned()),
                resumed: process > 0,
                ..Context::default()
            }));
            process += 1;
        }
        adapter.as_mut().unwrap().line(line.as_bytes(), *at, &mut events);
    }
    let end = Timestamp::from_millis(turns.last().unwrap().1).unwrap();
    adapter.unwrap().end(Some(run.exit), end, &mut events);
    events
}

fn hooked(run: &Run, turns: &[(i64, i64)]) -> Vec<NewEvent> {
    let text = fixture(&format!("codex-hooks/{}.hooks.jsonl", run.name));
    let lines: Vec<_> = text.lines().collect();
    let moments = moments(turns, &lines, "\"UserPromptSubmit\"", ["\"Stop\"", "\"SessionEnd\""]);
    let payloads = lines.iter().zip(&moments);
    let told = payloads.flat_map(|(line, at)| hooks::codex(line.as_bytes(), &hooks::Delivery::new(*at)).events);
    told.collect()
}

fn reported(run: &Run) -> Vec<NewEvent> {
    let body = fixture(&format!("codex-otlp/{}/001-logs.json", run.name));
    let told = otlp::read(
        otlp::Signal::Logs,
        otlp::Encoding::Json,
        body.as_bytes(),
        Timestamp::UNIX_EPOCH,
    );
    told.unwrap().events
}

/// What the four tell, as if it happened an hour ago.
fn four(run: &Run) -> [Vec<Value>; 4] {
    let rollout = rollout(run);
    let of = |kind: &str| -> Vec<i64> {
        let of = rollout.iter().filter(|event| event.kind.as_str() == kind);
        of.map(millis).collect()
    };
    let turns: Vec<_> = of("turn_start").into_iter().zip(of("turn_end")).collect();
    let by = Timestamp::now().millis() - 3_600_000 - turns[0].0;
    let all = [printed(run, &turns), hooked(run, &turns), rollout, reported(run)];
    all.map(|events| {
        let shift = |event: NewEvent| {
            let mut value = value(&event);
            let at = Timestamp::from_millis(millis(&event) + by).unwrap();
            value["timestamp"] = json!(at.to_string());
            // Another session's facts have other ids.
            value.as_object_mut().unwrap().remove("id");
            value
        };
        events.into_iter().map(shift).collect()
    })
}

fn check(run: &Run, told: &Value, subset: usize, context: &str) {
    let rows = |key: &str| told[key].as_array().unwrap().clone();
    let turns = rows("turns");
    assert_eq!(turns.len(), run.prompts.len(), "{context}");
    for ((turn, prompt), ok) in turns.iter().zip(run.prompts).zip(run.ok) {
        assert_eq!(turn["prompt"], *prompt, "{context}");
        if let (Some(ok), Some(told)) = (ok, turn.get("ok")) {
            assert_eq!(told, ok, "{context}");
        }
    }
    // Telemetry was cut off before it told with what the call was made: nobody else's word says that it is the one that was printed.
    if subset == PRINTED + TELEMETRY && run.exit != 0 {
        return;
    }
    let known = run.calls.len() - if subset >= 4 { 0 } else { run.known_to_few };
    let calls = rows("tool_calls");
    assert_eq!(calls.len(), known, "{context}");
    // Hooks alone do not tell how a patch ended, nor do they or a telemetry that was cut off what was interrupted.
    let ends = subset & (PRINTED + ROLLOUT) != 0 || (subset != HOOKS && run.exit == 0);
    if !ends {
        return;
    }
    assert_eq!(told["count of calls"], known, "{context}");
    let failed = run.calls[..known].iter().filter(|(_, outcome)| *outcome == "failed");
    assert_eq!(told["tool_failures"], failed.count(), "{context}");
    for (does, outcome) in &run.calls[..known] {
        let is = |call: &&Value| call["arguments"].to_string().contains(does) && call["outcome"] == *outcome;
        assert!(calls.iter().any(|call| is(&call)), "{does}: {context}");
    }
}

/// What must not depend on the order: of two calls that look alike, which of one source is which of the other's does not matter.
fn essence(run: &Run, told: &Value) -> Value {
    let mut told = told.clone();
    if run.exit != 0 {
        // Whoever knows the exit code says `failed`, whoever does not `done`: the last word counts.
        told.as_object_mut().unwrap().remove("state");
    }
    for call in told["tool_calls"].as_array_mut().unwrap() {
        call.as_object_mut()
            .unwrap()
            .retain(|key, _| !matches!(key.as_str(), "started" | "ended" | "duration_ms"));
    }
    for turn in told["turns"].as_array_mut().unwrap() {
        turn.as_object_mut().unwrap().remove("tools");
    }
    let calls = told["tool_calls"].as_array_mut().unwrap();
    calls.sort_by_key(|call| call["tool_call_id"].to_string());
    // Two texts of one millisecond: either is the last.
    told.as_object_mut()
        .unwrap()
        .retain(|key, _| key != "tools" && key != "last_text");
    told
}

#[tokio::test]
async fn a_call_whose_source_made_its_id_is_told_once_whichever_sources_tell_of_it_and_in_whatever_order() {
    let world = World::start().await;
    let mut dice = Dice(20_261_122);
    for run in RUNS {
        let four = four(run);
        for subset in 1..16_usize {
            let chosen = (0..4).filter(|bit| subset >> bit & 1 == 1);
            let sources: Vec<_> = chosen.map(|bit| four[bit].clone()).collect();
            let orders = if sources.len() == 1 { 1 } else { 5 };
            let mut first = None;
            for order in 0..orders {
                let session = format!("{}-{subset}-{order}", run.name);
                let events = match order {
                    0 => sources.concat(),
                    1 => sources.iter().rev().flatten().cloned().collect(),
                    _ => shuffled(sources.clone(), &mut dice),
                };
                let events = in_session(events, &session);
                world
                    .post("application/x-ndjson", lines(&Value::Array(events)))
                    .await
                    .ok();
                let told = json!(told(&world, &session).await);
                let context = format!("{} {subset:04b}, order {order}: {told:#}", run.name);
                // Telemetry alone knows no turns.
                if subset != TELEMETRY {
                    check(run, &told, subset, &context);
                }
                let told = essence(run, &told);
                let first = first.get_or_insert_with(|| told.clone());
                assert_eq!(&told, first, "{context}");
            }
        }
    }
}

#[tokio::test]
async fn what_two_sources_used_outside_of_turns_is_counted_once_in_whatever_order() {
    let world = World::start().await;
    let from = Timestamp::now().millis() - 60_000;
    let event = |source: &str, at: i64, kind: &str, data: Value| {
        let at = Timestamp::from_millis(from + at).unwrap().to_string();
        json!({"type": kind, "source": source, "timestamp": at, "data": data})
    };
    let used = |source: &str, at: i64| event(source, at, "usage", json!({"input_tokens": 10, "output_tokens": 5}));
    let mut turn = [
        event("printed", 5_000, "turn_start", json!({"from": "user", "body": "do it"})),
        event(
            "printed",
            9_000,
            "turn_end",
            json!({"ok": true, "usage": {"input_tokens": 10, "output_tokens": 5}}),
        ),
    ];
    turn.iter_mut().for_each(|event| event["turn_id"] = json!("t-1"));
    let [start, end] = turn;
    // Before the turn both tell of one request; of the turn's own, telemetry tells without saying so.
    let told = vec![
        vec![used("printed", 1_000), start, end],
        vec![used("telemetry", 1_000), used("telemetry", 7_000)],
    ];
    let mut dice = Dice(20_261_123);
    for order in 0..12 {
        let session = format!("loose-{order}");
        let events = in_session(shuffled(told.clone(), &mut dice), &session);
        world
            .post("application/x-ndjson", lines(&Value::Array(events)))
            .await
            .ok();
        let seen = json!(self::told(&world, &session).await);
        assert_eq!(seen["usage"]["input_tokens"], 20, "{order}: {seen:#}");
        assert_eq!(seen["totals"]["output_tokens"], 10, "{order}: {seen:#}");
        assert_eq!(seen["turns"][0]["usage"]["input_tokens"], 10, "{order}: {seen:#}");
    }
}
