//! Codex that nobody has wrapped, told of by its hooks, its rollout and its telemetry at once: the session is the one that a wrapped run
//! gives, and so it is when all of them tell of a wrapped one.

use std::fs;

use serde_json::{Value, json};

use crate::{
    joined::{Agent, Told, run, timeline},
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

fn told(script: Script, told: Told) -> Value {
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
    run(&agent, told)
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
    let [wrapped, beside, all] = [Told::Wrapped, Told::Beside, Told::Both].map(|how| told(script, how));
    let three = json!(["codex-hooks", "codex-otlp", "codex-rollout"]);
    assert_eq!(beside["turns"][0]["sources"], three, "{beside:#}");
    assert_eq!(beside["calls"][0]["sources"], three, "{beside:#}");
    for rows in [&all["turns"], &all["calls"]] {
        assert_eq!(rows[0]["sources"].as_array().unwrap().len(), 4, "{all:#}");
    }
    assert_eq!(same(&beside), same(&wrapped), "{beside:#}\n{wrapped:#}");
    assert_eq!(same(&all), same(&wrapped), "{all:#}\n{wrapped:#}");
}
