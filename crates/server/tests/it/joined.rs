//! One run of an agent that several sources tell of: what the vendor prints, its hooks, its transcript, its telemetry. Whichever of
//! them there are, and however they come one among the other, each turn, call and token is there once.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::world::{World, lines};

/// Whole numbers that look random, the same for the same seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }
}

/// A call of the run.
struct Call {
    id: &'static str,
    tool: &'static str,
    ok: bool,
}

/// A turn of the run: the same prompt comes twice, and one has no calls.
struct Turn {
    /// The vendor's id.
    id: &'static str,
    prompt: &'static str,
    said: [&'static str; 2],
    calls: &'static [Call],
    tokens: u64,
    cost: f64,
}

const RUN: &[Turn] = &[
    Turn {
        id: "0a5e6c1e-1111-4c7e-9a53-6e5a2f7f0c11",
        prompt: "continue",
        said: ["First.", "One is done."],
        calls: &[
            Call {
                id: "toolu_1",
                tool: "Bash",
                ok: true,
            },
            Call {
                id: "toolu_2",
                tool: "Read",
                ok: false,
            },
        ],
        tokens: 100,
        cost: 0.25,
    },
    Turn {
        id: "9b5e6c1e-2222-4c7e-9a53-6e5a2f7f0c22",
        prompt: "what is new?",
        said: ["Well.", "Nothing."],
        calls: &[],
        tokens: 7,
        cost: 0.125,
    },
    Turn {
        id: "3c5e6c1e-3333-4c7e-9a53-6e5a2f7f0c33",
        prompt: "continue",
        said: ["Again.", "Two is done."],
        calls: &[Call {
            id: "toolu_3",
            tool: "Bash",
            ok: true,
        }],
        tokens: 30,
        cost: 0.5,
    },
];

const SOURCES: [&str; 4] = ["claude-code", "claude-hooks", "claude-transcript", "claude-otlp"];

/// What one source tells of the run. All but the first have the vendor's ids of turns; what each knows is its own.
struct Teller {
    source: &'static str,
    /// Milliseconds since 1970 when the run began.
    from: i64,
    /// Milliseconds that it is behind.
    behind: i64,
    events: Vec<Value>,
}

impl Teller {
    fn tell(&mut self, at: i64, turn: Option<&str>, kind: &str, data: &Value) {
        let at = turnwire_proto::Timestamp::from_millis(self.from + at + self.behind).unwrap();
        let mut event = json!({"type": kind, "source": self.source, "timestamp": at.to_string(), "data": data});
        if let Some(turn) = turn {
            event["turn_id"] = json!(turn);
        }
        self.events.push(event);
    }

    fn is(&self, source: &str) -> bool {
        self.source == source
    }

    fn run(source: &'static str, from: i64) -> Vec<Value> {
        let behind = i64::try_from(SOURCES.iter().position(|own| *own == source).unwrap()).unwrap();
        let mut teller = Self {
            source,
            from,
            behind,
            events: Vec::new(),
        };
        if !teller.is("claude-otlp") {
            teller.tell(0, None, "session_start", &json!({"model": "m"}));
        }
        for (number, turn) in RUN.iter().enumerate() {
            teller.turn(number, turn);
        }
        if teller.is("claude-code") || teller.is("claude-hooks") {
            teller.tell(60_000, None, "session_end", &json!({"exit_code": 0}));
        }
        teller.events
    }

    fn turn(&mut self, number: usize, turn: &Turn) {
        let own = format!("t-1eef44ce-{}", number + 1);
        let id = if self.is("claude-code") { &*own } else { turn.id };
        let at = i64::try_from(number).unwrap() * 10_000 + 100;
        self.tell(
            at,
            Some(id),
            "turn_start",
            &json!({"from": "user", "body": turn.prompt, "unread": 0}),
        );
        self.tell(
            at,
            Some(id),
            "message",
            &json!({"role": "user", "content": turn.prompt}),
        );
        self.tell(
            at + 500,
            Some(id),
            "message",
            &json!({"role": "assistant", "content": turn.said[0], "message_id": "msg_1"}),
        );
        for (number, call) in turn.calls.iter().enumerate() {
            self.call(at + 1000 + i64::try_from(number).unwrap() * 1000, id, call);
        }
        self.tell(
            at + 4000,
            Some(id),
            "message",
            &json!({"role": "assistant", "content": turn.said[1], "message_id": "msg_2"}),
        );
        let half = json!({"input_tokens": turn.tokens, "output_tokens": 2 * turn.tokens});
        let mut whole = json!({"input_tokens": 2 * turn.tokens, "output_tokens": 4 * turn.tokens});
        match self.source {
            "claude-code" => {
                let told = json!({"ok": true, "duration_ms": 4200, "usage": whole, "cost_usd": turn.cost});
                whole["cost_usd"] = json!(turn.cost);
                self.tell(at + 4300, Some(id), "usage", &whole);
                self.tell(at + 4300, Some(id), "turn_end", &told);
            }
            "claude-hooks" => self.tell(at + 4200, Some(id), "turn_end", &json!({"ok": true})),
            "claude-transcript" => {
                self.tell(at + 4100, Some(id), "usage", &half);
                self.tell(at + 4200, Some(id), "usage", &half);
                self.tell(at + 4250, Some(id), "turn_end", &json!({"ok": true, "usage": whole}));
            }
            _ => {
                for _ in 0..2 {
                    let mut half = half.clone();
                    half["cost_usd"] = json!(turn.cost / 2.0);
                    self.tell(at + 4200, Some(id), "usage", &half);
                }
            }
        }
    }

    fn call(&mut self, at: i64, turn: &str, call: &Call) {
        let mut end = json!({"tool": call.tool, "tool_call_id": call.id, "success": call.ok});
        if !call.ok {
            end["error"] = json!(if self.is("claude-otlp") { "error" } else { "exit 2" });
        }
        let arguments = json!({"command": format!("do {}", call.id)});
        let mut started = json!({"tool": call.tool, "tool_call_id": call.id});
        match self.source {
            "claude-otlp" => {
                end["duration_ms"] = json!(30);
                end["arguments"] = arguments;
            }
            "claude-hooks" => {
                started["arguments"] = arguments;
                end["duration_ms"] = json!(40);
                end["output"] = json!({"stdout": call.id, "stderr": ""});
            }
            _ => {
                started["arguments"] = arguments;
                end["duration_ms"] = json!(55);
                end["output"] = json!(call.id);
            }
        }
        self.tell(at, Some(turn), "tool_call_start", &started);
        self.tell(at + 60, Some(turn), "tool_call", &end);
    }
}

/// Each source's events in its own order, the sources one among the other as the dice say.
pub(crate) fn shuffled(mut told: Vec<Vec<Value>>, dice: &mut Dice) -> Vec<Value> {
    told.iter_mut().for_each(|events| events.reverse());
    let mut all = Vec::new();
    while !told.is_empty() {
        let one = dice.below(told.len());
        // Now and then a source has much to say at once.
        for _ in 0..=dice.below(3) * dice.below(12) {
            all.extend(told[one].pop());
        }
        told.retain(|events| !events.is_empty());
    }
    all
}

pub(crate) fn in_session(mut events: Vec<Value>, session: &str) -> Vec<Value> {
    events.iter_mut().for_each(|event| event["session_id"] = json!(session));
    events
}

/// What is told of a session, but for places, which differ with the order.
pub(crate) async fn told(world: &World, session: &str) -> BTreeMap<&'static str, Value> {
    let mut told = BTreeMap::new();
    for (what, key) in [("turns", "turns"), ("tool-calls", "tool_calls")] {
        let page = world
            .get(&format!("/api/sessions/{session}/{what}?limit=1000"))
            .await
            .ok();
        let mut rows = page[key].as_array().unwrap().clone();
        for row in &mut rows {
            row.as_object_mut()
                .unwrap()
                .retain(|key, _| !key.ends_with("_seq") && key != "session_id");
        }
        rows.sort_by_key(|row| row["started"].as_str().map(str::to_owned));
        told.insert(key, Value::Array(rows));
    }
    let one = world.get(&format!("/api/sessions/{session}")).await.ok();
    let usage = world.get(&format!("/api/usage?session_id={session}")).await.ok();
    for key in [
        "state",
        "turns",
        "tool_calls",
        "tool_failures",
        "usage",
        "cost_usd",
        "last_text",
        "title",
        "model",
    ] {
        told.insert(
            match key {
                "turns" => "count of turns",
                "tool_calls" => "count of calls",
                key => key,
            },
            one[key].clone(),
        );
    }
    told.insert("totals", usage["totals"].clone());
    told.insert("tools", usage["tools"].clone());
    told
}

#[tokio::test]
async fn a_run_is_told_once_whichever_sources_tell_of_it_and_in_whatever_order() {
    let world = World::start().await;
    let from = turnwire_proto::Timestamp::now().millis() - 3_600_000;
    let mut dice = Dice(20_261_121);
    for subset in 1..16_usize {
        let sources: Vec<_> = (0..4)
            .filter(|bit| subset >> bit & 1 == 1)
            .map(|bit| SOURCES[bit])
            .collect();
        let orders = if sources.len() == 1 { 1 } else { 8 };
        let mut first = None;
        for order in 0..orders {
            let session = format!("s{subset}-{order}");
            let all = sources.iter().map(|source| Teller::run(source, from)).collect();
            let events = in_session(shuffled(all, &mut dice), &session);
            world
                .post("application/x-ndjson", lines(&Value::Array(events)))
                .await
                .ok();
            let told = told(&world, &session).await;
            whole(&told, &sources);
            let first = first.get_or_insert_with(|| told.clone());
            assert_eq!(&told, first, "{sources:?}, order {order}");
        }
    }
}

/// What any one source is enough to know, and what some of them know alone.
fn whole(told: &BTreeMap<&'static str, Value>, sources: &[&str]) {
    let has = |source: &str| sources.contains(&source);
    let context = format!("{sources:?}: {told:#?}");
    let turns = told["turns"].as_array().unwrap();
    assert_eq!(turns.len(), RUN.len(), "{context}");
    let mut calls = told["tool_calls"].as_array().unwrap().iter();
    for (row, turn) in turns.iter().zip(RUN) {
        assert_eq!(row["prompt"], turn.prompt, "{context}");
        assert_eq!(row["result"], turn.said[1], "{context}");
        let vendors = sources != ["claude-code"];
        assert_eq!(row["turn_id"] == turn.id, vendors, "{context}");
        for call in turn.calls {
            let row = calls.next().unwrap_or_else(|| panic!("{context}"));
            assert_eq!(row["tool_call_id"], call.id, "{context}");
            assert_eq!(row["outcome"], if call.ok { "ok" } else { "failed" }, "{context}");
            assert_eq!(row["turn_id"] == turn.id, vendors, "{context}");
            assert_eq!(row["sources"].as_array().unwrap().len(), sources.len(), "{context}");
            assert_eq!(row["arguments"]["command"], format!("do {}", call.id), "{context}");
            assert_eq!(row.get("output").is_some(), sources != ["claude-otlp"], "{context}");
            let took = if has("claude-otlp") {
                30
            } else if has("claude-hooks") {
                40
            } else {
                55
            };
            assert_eq!(row["duration_ms"], took, "{context}");
        }
    }
    assert!(calls.next().is_none(), "{context}");
    assert_eq!(
        (&told["count of turns"], &told["count of calls"]),
        (&json!(3), &json!(3)),
        "{context}"
    );
    assert_eq!(told["tool_failures"], 1, "{context}");
    assert_eq!(
        (&told["totals"]["turns"], &told["totals"]["tool_calls"]),
        (&json!(3), &json!(3)),
        "{context}"
    );
    let ends = has("claude-code") || has("claude-hooks");
    assert_eq!(told["state"] == "done", ends, "{context}");
    if has("claude-code") || has("claude-transcript") || (has("claude-otlp") && has("claude-hooks")) {
        let tokens: u64 = RUN.iter().map(|turn| 2 * turn.tokens).sum();
        assert_eq!(told["usage"]["input_tokens"], tokens, "{context}");
        assert_eq!(told["totals"]["input_tokens"], tokens, "{context}");
        let cost: f64 = RUN.iter().map(|turn| turn.cost).sum();
        let known = has("claude-code") || has("claude-otlp");
        assert_eq!(told["cost_usd"], if known { cost } else { 0.0 }, "{context}");
    }
}

/// A real run, as Claude Code printed it and as its hooks told it at the same time.
fn recorded() -> [Vec<Value>; 2] {
    let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/fixtures");
    let printed = std::fs::read_to_string(fixtures.join("claude/hook-events-in-stream.jsonl")).unwrap();
    let hooks = std::fs::read_to_string(fixtures.join("claude-hooks/in-stream.hooks.jsonl")).unwrap();
    let from = turnwire_proto::Timestamp::now().millis() - 60_000;
    let at = |n: usize| turnwire_proto::Timestamp::from_millis(from + i64::try_from(n).unwrap()).unwrap();
    let mut stream = Vec::new();
    let mut adapter = (turnwire_adapters::by_name("claude").unwrap().make)(turnwire_adapters::Context::default());
    for (n, line) in printed.lines().enumerate() {
        adapter.line(line.as_bytes(), at(n), &mut stream);
    }
    adapter.end(Some(0), at(1000), &mut stream);
    let payloads = hooks.lines().enumerate();
    let told = payloads.flat_map(|(n, payload)| {
        let delivery = turnwire_adapters::hooks::Delivery::new(at(n));
        turnwire_adapters::hooks::claude(payload.as_bytes(), &delivery).events
    });
    let values = |events: Vec<turnwire_proto::NewEvent>| events.iter().map(value).collect();
    [values(stream), values(told.collect())]
}

/// An event as it is published.
pub(crate) fn value(event: &turnwire_proto::NewEvent) -> Value {
    let mut value = json!({"id": event.id.to_string(), "type": event.kind.as_str(), "source": event.source.as_str(),
        "timestamp": event.timestamp.to_string(), "data": event.data.read::<Value>().unwrap()});
    for (key, name) in [("session_id", &event.session_id), ("turn_id", &event.turn_id)] {
        if let Some(name) = name {
            value[key] = json!(name.as_str());
        }
    }
    value
}

#[tokio::test]
async fn a_recorded_run_and_its_hooks_are_one_run() {
    let mut dice = Dice(7);
    for order in 0..6 {
        let world = World::start().await;
        let [stream, hooks] = recorded();
        let session = hooks[0]["session_id"].as_str().unwrap().to_owned();
        let told = match order {
            0 => [stream, hooks].concat(),
            1 => [hooks, stream].concat(),
            _ => shuffled(vec![stream, hooks], &mut dice),
        };
        world
            .post("application/x-ndjson", lines(&Value::Array(told)))
            .await
            .ok();
        let told = self::told(&world, &session).await;
        let (turns, calls) = (
            told["turns"].as_array().unwrap(),
            told["tool_calls"].as_array().unwrap(),
        );
        assert_eq!((turns.len(), calls.len()), (1, 1), "{told:#?}");
        assert_eq!(turns[0]["prompt"], "Run echo hooked.");
        assert_eq!(turns[0]["result"], "Done.");
        assert_eq!(turns[0]["sources"], json!(["claude-code", "claude-hooks"]));
        assert_eq!(turns[0]["turn_id"], "6b9b2928-7c2c-446b-a687-e571f33633ca");
        assert_eq!(calls[0]["sources"], turns[0]["sources"]);
        assert_eq!(
            (&calls[0]["duration_ms"], &calls[0]["output"]["stdout"]),
            (&json!(26), &json!("hooked"))
        );
        assert_eq!(
            (&told["usage"]["input_tokens"], &told["cost_usd"]),
            (&json!(250), &json!(0.002025))
        );
        assert_eq!(
            (&told["count of turns"], &told["count of calls"]),
            (&json!(1), &json!(1))
        );
    }
}
