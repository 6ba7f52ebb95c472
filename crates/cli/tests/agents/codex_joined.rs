//! Codex that nobody has wrapped, told of by its hooks, its rollout and its telemetry at once: the session is the one that a wrapped run
//! gives, and so it is when all of them tell of a wrapped one.

use std::fs;

use serde_json::{Value, json};

use crate::{
    joined::{Agent, Running, Told, run, timeline},
    openai_server,
    scripted::{Reply, Script},
};

/// Two calls, of which one fails, and a word.
fn script(_: &str, results: usize) -> Reply {
    let run = |command: &str| Reply::Tool("exec_command", json!({"cmd": command}));
    match results {
        0 => run("echo hello"),
        1 => run("ls /does-not-exist"),
        _ => Reply::Text("One of two."),
    }
}

/// Starts it with this model; returns what `then` makes of it.
fn with<T>(script: Script, then: impl FnOnce(&Agent<'_>) -> T) -> T {
    let model = openai_server::start(script);
    let agent = Agent {
        program: "codex",
        args: &[
            "exec",
            "--skip-git-repo-check",
            "--dangerously-bypass-approvals-and-sandbox",
            "--dangerously-bypass-hook-trust",
            "Do it.",
        ],
        prints: &["--json"],
        connect: "codex",
        hooks: &["--codex"],
        files: "home/.codex/sessions",
        configure: &|world, connect| {
            let telemetry = connect.map_or("", |connect| connect["settings"]["text"].as_str().unwrap());
            let config = format!(
                "model = \"gpt-5.1\"\nmodel_provider = \"here\"\n[model_providers.here]\nname = \"here\"\nbase_url = \"{}/v1\"\n\
                 env_key = \"MODEL_KEY\"\nwire_api = \"responses\"\n{telemetry}\n",
                model.url
            );
            let home = world.path("home/.codex");
            fs::write(home.join("config.toml"), config).unwrap();
            vec![
                ("CODEX_HOME", home.to_str().unwrap().to_owned()),
                ("MODEL_KEY", "x".to_owned()),
            ]
        },
        without: &["TURNWIRE_URL"],
    };
    then(&agent)
}

/// A failed request, behind a call.
fn fails(_: &str, results: usize) -> Reply {
    match results {
        0 => Reply::Tool("exec_command", json!({"cmd": "echo hello"})),
        _ => Reply::Refuses(400, json!({"message": "it went wrong"})),
    }
}

/// A call that takes long.
fn takes_long(_: &str, _: usize) -> Reply {
    Reply::Tool("exec_command", json!({"cmd": "sleep 60"}))
}

/// Much, and odd: 4 MB, a line of 200 kB, bytes that are no text, writing from right to left.
fn says_much(_: &str, results: usize) -> Reply {
    let odd = r"printf 'nul:\000 bad:\377 rtl:\xd7\xa9 emoji:\xf0\x9f\x98\x80 esc:\\ud800\n'; head -c 200000 /dev/zero | tr '\000' x; echo";
    match results {
        0 => Reply::Tool("exec_command", json!({"cmd": odd})),
        1 => Reply::Tool(
            "exec_command",
            json!({"cmd": "seq 1 600000", "max_output_tokens": 2_000_000}),
        ),
        _ => Reply::Text("\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{1f600} \u{0}"),
    }
}

/// What must be the same. Each source has its own name for the tool, and one tells the command as a shell is given it.
fn same(seen: &Value) -> Value {
    let mut seen = seen.clone();
    for call in seen["calls"].as_array_mut().unwrap() {
        let told = ["command", "cmd"]
            .iter()
            .find_map(|key| call["arguments"][key].as_str());
        let run = told.map(|told| told.strip_prefix("/bin/bash -lc ").unwrap_or(told).trim_matches('\''));
        call["runs"] = json!(run);
    }
    timeline(
        &seen,
        &["prompt", "result", "ok", "usage", "cost_usd"],
        &["runs", "outcome", "error"],
    )
}

#[test]
fn a_run_that_nobody_wrapped_has_the_timeline_of_one_that_was() {
    let [wrapped, beside, all] =
        [Told::Wrapped, Told::Beside, Told::Both].map(|how| with(script, |agent| run(agent, how)));
    let three = json!(["codex-hooks", "codex-otlp", "codex-rollout"]);
    assert_eq!(beside["turns"][0]["sources"], three, "{beside:#}");
    assert_eq!(beside["calls"][0]["sources"], three, "{beside:#}");
    for rows in [&all["turns"], &all["calls"]] {
        assert_eq!(rows[0]["sources"].as_array().unwrap().len(), 4, "{all:#}");
    }
    assert_eq!(same(&beside), same(&wrapped), "{beside:#}\n{wrapped:#}");
    assert_eq!(same(&all), same(&wrapped), "{all:#}\n{wrapped:#}");
}

#[test]
fn a_run_that_fails_has_failed_whoever_tells_it() {
    for how in [Told::Wrapped, Told::Beside, Told::Both] {
        let (output, seen) = with(fails, |agent| Running::start(agent, how).ended());
        assert!(!output.status.success());
        let turns = seen["turns"].as_array().unwrap();
        assert_eq!((turns.len(), &turns[0]["ok"]), (1, &json!(false)), "{how:?} {seen:#}");
        assert!(
            turns[0]["note"].to_string().contains("it went wrong"),
            "{how:?} {seen:#}"
        );
        let calls = seen["calls"].as_array().unwrap();
        assert_eq!(
            (calls.len(), &calls[0]["outcome"]),
            (1, &json!("ok")),
            "{how:?} {seen:#}"
        );
    }
}

#[test]
fn much_and_odd_text_is_told_once_whoever_tells_it() {
    for how in [Told::Wrapped, Told::Beside, Told::Both] {
        let seen = with(says_much, |agent| run(agent, how));
        let calls = seen["calls"].as_array().unwrap();
        assert_eq!(calls.len(), 2, "{how:?}");
        assert!(calls.iter().all(|call| call["outcome"] == "ok"), "{how:?}");
        assert_eq!(
            seen["turns"][0]["result"], "\u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{1f600} \u{0}",
            "{how:?}"
        );
    }
}

#[test]
fn a_run_that_is_interrupted_is_over() {
    let seen = with(takes_long, |agent| {
        let running = Running::start(agent, Told::Beside);
        running.event("tool_call_start");
        running.signal("INT");
        running.ended().1
    });
    assert_eq!(seen["turns"][0]["ok"], false, "{seen:#}");
    assert_eq!(seen["turns"][0]["note"], "interrupted", "{seen:#}");
    let calls = seen["calls"].as_array().unwrap();
    assert_eq!((calls.len(), &calls[0]["outcome"]), (1, &json!("failed")), "{seen:#}");
}

#[test]
fn a_run_that_is_killed_and_that_nobody_wrapped_is_closed_by_the_gateway() {
    let seen = with(takes_long, |agent| {
        let running = Running::served(agent, Told::Beside, &["--lost-after", "5s"]);
        running.event("tool_call_start");
        running.signal("KILL");
        assert_eq!(running.event("turn_end")["data"]["by"], "server");
        running.ended().1
    });
    assert_eq!(seen["turns"][0]["ok"], false, "{seen:#}");
    assert_eq!(seen["calls"][0]["outcome"], "unfinished", "{seen:#}");
    assert_eq!(seen["session"]["state"], "failed", "{seen:#}");
}
