//! Gemini CLI that nobody has wrapped, told of by its hooks, its chat file and its telemetry at once: the session is the one that a wrapped run
//! gives, and so it is when all of them tell of a wrapped one. Its hooks and its telemetry have no ids of calls.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    api::get,
    gemini_server,
    joined::{Agent, Running, Told, run, timeline},
    scripted::{Reply, Script, Scripted},
    world::{World, serve},
};

const ARGS: &[&str] = &[
    "-p",
    "Do it.",
    "-m",
    "gemini-2.5-pro",
    "--skip-trust",
    "--approval-mode",
    "yolo",
];

fn shell(command: &str) -> (&'static str, Value) {
    ("run_shell_command", json!({"command": command, "description": "Look"}))
}

/// Its settings, and the variables that make it ask the model server.
fn configure(world: &World, model: &Scripted) -> Vec<(&'static str, String)> {
    let settings = json!({
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "general": {"enableAutoUpdate": false}, "privacy": {"usageStatisticsEnabled": false},
    });
    fs::create_dir_all(world.path("home/.gemini")).unwrap();
    fs::write(world.path("home/.gemini/settings.json"), settings.to_string()).unwrap();
    [
        ("HOME", world.path("home").to_str().unwrap()),
        ("GOOGLE_GEMINI_BASE_URL", &model.url),
        ("GEMINI_API_KEY", "x"),
        ("GEMINI_CLI_TRUST_WORKSPACE", "true"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .to_vec()
}

/// Calls what is to be called with an agent that asks this model.
fn with_agent<T>(script: Script, call: impl FnOnce(&Agent<'_>) -> T) -> T {
    let model = gemini_server::start(script);
    call(&Agent {
        program: "gemini",
        args: ARGS,
        prints: &["--output-format", "stream-json"],
        connect: "gemini",
        hooks: &["--gemini"],
        files: "home/.gemini/tmp",
        configure: &|world, _| configure(world, &model),
        without: &["TURNWIRE_URL"],
    })
}

/// The same run three times: what each has told.
fn told(script: Script) -> [Value; 3] {
    [Told::Wrapped, Told::Beside, Told::Both].map(|told| with_agent(script, |agent| run(agent, told)))
}

/// What must be the same, with these fields of the calls.
fn same(seen: &Value, call: &[&str]) -> Value {
    timeline(seen, &["prompt", "result", "ok", "usage", "cost_usd"], call)
}

fn assert_same(script: Script, call: &[&str]) -> [Value; 3] {
    let [wrapped, beside, all] = told(script);
    let three = json!(["gemini-chat", "gemini-hooks", "gemini-otlp"]);
    assert_eq!(beside["turns"][0]["sources"], three, "{beside:#}");
    for call in beside["calls"].as_array().unwrap() {
        assert_eq!(call["sources"], three, "{beside:#}");
    }
    for row in [&all["turns"][0], &all["calls"][0]] {
        assert_eq!(row["sources"].as_array().unwrap().len(), 4, "{all:#}");
    }
    assert_eq!(same(&beside, call), same(&wrapped, call), "{beside:#}\n{wrapped:#}");
    assert_eq!(same(&all, call), same(&wrapped, call), "{all:#}\n{wrapped:#}");
    [wrapped, beside, all]
}

#[test]
fn a_run_that_nobody_wrapped_has_the_timeline_of_one_that_was() {
    let script: Script = |_, results| match results {
        0 => {
            let (tool, input) = shell("echo hello");
            Reply::Tool(tool, input)
        }
        1 => Reply::Tool("read_file", json!({"file_path": "nothing.txt"})),
        _ => Reply::Text("One of two."),
    };
    // What is printed of a call that failed is as long as what the others tell; ids differ from run to run.
    let [_, beside, _] = assert_same(script, &["tool", "arguments", "outcome", "error", "output"]);
    let calls = beside["calls"].as_array().unwrap();
    let id = |call: &Value| call["tool_call_id"].as_str().unwrap_or_default().to_owned();
    assert!(
        calls
            .iter()
            .all(|call| id(call).starts_with(call["tool"].as_str().unwrap())),
        "{beside:#}"
    );
}

#[test]
fn two_calls_that_are_alike_are_two_whoever_tells_of_them() {
    let script: Script = |_, results| match results {
        0 => Reply::Tools(vec![shell("echo same"), shell("echo same")]),
        _ => Reply::Text("Both the same."),
    };
    let seen = assert_same(script, &["tool", "arguments", "outcome"]);
    assert!(
        seen.iter().all(|seen| seen["calls"].as_array().unwrap().len() == 2),
        "{seen:#?}"
    );
}

#[test]
fn a_command_that_failed_has_failed_where_anything_but_its_output_is_known() {
    let script: Script = |_, results| match results {
        0 => {
            let (tool, input) = shell("echo no; exit 3");
            Reply::Tool(tool, input)
        }
        _ => Reply::Text("It failed."),
    };
    let [wrapped, beside, all] = told(script);
    // What it prints says `success`, whatever the exit code was.
    assert_eq!(wrapped["calls"][0]["outcome"], "ok", "{wrapped:#}");
    for seen in [&beside, &all] {
        assert_eq!(
            (&seen["calls"][0]["outcome"], &seen["calls"][0]["error"]),
            (&json!("failed"), &json!("exit 3")),
            "{seen:#}"
        );
        assert_eq!(seen["session"]["tool_failures"], 1, "{seen:#}");
    }
}

#[test]
fn a_session_that_is_resumed_has_two_turns_and_each_has_its_own_calls_and_tokens() {
    let script: Script = |_, results| match results {
        0 => {
            let (tool, input) = shell("echo hello");
            Reply::Tool(tool, input)
        }
        _ => Reply::Text("Done."),
    };
    with_agent(script, |agent| {
        let mut running = Running::start(agent, Told::Beside);
        assert!(running.child.wait().unwrap().success());
        let args = [ARGS, &["--resume", "latest"]].concat();
        running.child = running.command(&args, false).spawn().unwrap();
        let (output, seen) = running.ended();
        assert!(output.status.success(), "{output:?}");
        let (turns, calls) = (seen["turns"].as_array().unwrap(), seen["calls"].as_array().unwrap());
        assert_eq!((turns.len(), calls.len()), (2, 2), "{seen:#}");
        for turn in turns {
            assert_eq!(turn["usage"]["input_tokens"], 200, "{seen:#}");
            assert_eq!(
                turn["sources"],
                json!(["gemini-chat", "gemini-hooks", "gemini-otlp"]),
                "{seen:#}"
            );
        }
        let of = |call: &Value| call["turn_id"].clone();
        assert_ne!(of(&calls[0]), of(&calls[1]), "{seen:#}");
    });
}

/// Waits until nothing is open any more, however long that takes.
fn closed(world: &World) -> Value {
    loop {
        let sessions = get(world, "/api/sessions");
        let id = sessions["sessions"][0]["id"].as_str().unwrap_or_default();
        let turns = match id {
            "" => Value::Null,
            id => get(world, &format!("/api/sessions/{id}/turns")),
        };
        if turns["turns"][0]["ended"].is_string() {
            let calls = get(world, &format!("/api/sessions/{id}/tool-calls"));
            return json!({"state": sessions["sessions"][0]["state"], "turn": turns["turns"][0], "calls": calls["tool_calls"]});
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_run_that_is_killed_in_a_call_is_not_for_ever_running() {
    let model = gemini_server::start(|_, _| {
        // It ends with the directory that it works in, which nobody who is killed can end.
        let (tool, input) = shell("touch begun; while test -e begun; do sleep 0.1; done");
        Reply::Tool(tool, input)
    });
    let world = World::new();
    let served = serve(&world, &[]);
    fs::create_dir_all(world.path("project")).unwrap();
    let variables = configure(&world, &model);
    let mut install = world.turnwire(&["hooks", "install", "--yes", "--gemini"]);
    assert!(install.output().unwrap().status.success());
    let program = PathBuf::from(env::var_os("TURNWIRE_AGENTS").expect("TURNWIRE_AGENTS")).join("gemini");
    let mut running = Command::new(program)
        .args(ARGS)
        .current_dir(world.path("project"))
        .envs(variables)
        .envs([("NO_PROXY", "127.0.0.1"), ("GEMINI_CLI_NO_RELAUNCH", "true")])
        .env_remove("TURNWIRE_URL")
        .env_remove("TURNWIRE_DATA_DIR")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !world.path("project/begun").exists() {
        assert!(running.try_wait().unwrap().is_none(), "it has ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    running.kill().unwrap();
    running.wait().unwrap();
    // What its hooks have told is there: nobody will tell more.
    drop(served);
    let _served = serve(&world, &["--lost-after", "1"]);
    let closed = closed(&world);
    fs::remove_file(world.path("project/begun")).unwrap();
    assert_eq!(closed["state"], "failed", "{closed:#}");
    assert_eq!(closed["turn"]["ok"], false, "{closed:#}");
    assert_eq!(closed["calls"][0]["outcome"], "unfinished", "{closed:#}");
}
