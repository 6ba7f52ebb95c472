//! Claude Code that nobody has wrapped, told of by its hooks, its transcript and its telemetry at once: the session is the one that a wrapped run
//! gives, and so it is when all of them tell of a wrapped one.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    api::get,
    model_server::{ModelServer, Reply},
    world::{World, serve, stderr, stdout},
};

/// Two calls, of which one fails, and a word.
fn model() -> ModelServer {
    let bash = |command: &str| Reply::Tool {
        name: "Bash",
        input: json!({"command": command, "description": "Look"}),
    };
    ModelServer::start(vec![
        bash("echo hello"),
        bash("ls /does-not-exist"),
        Reply::Text("One of two."),
    ])
}

/// What a run is told of by, and whether it is wrapped.
struct Told {
    wrapped: bool,
    beside: bool,
}

/// One run in a world of its own: what the gateway has of its only session.
fn run(told: &Told) -> Value {
    let world = World::new();
    let _served = serve(&world, &[]);
    let model = model();
    let (project, transcripts) = (world.path("project"), world.path("claude/projects"));
    fs::create_dir_all(&project).unwrap();
    fs::create_dir_all(&transcripts).unwrap();
    let turnwire = |args: &[&str]| {
        let output = world.turnwire(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        output
    };
    let program = PathBuf::from(env::var_os("TURNWIRE_AGENTS").expect("TURNWIRE_AGENTS")).join("claude");
    let asked = ["-p", "Do it.", "--model", "claude-sonnet-4-5", "--allowedTools", "Bash"];
    let mut command = match told.wrapped {
        true => {
            let mut command = world.turnwire(&["run", "--wait", "--", program.to_str().unwrap()]);
            command
                .args(asked)
                .args(["--output-format", "stream-json", "--verbose"]);
            command
        }
        false => {
            let mut command = Command::new(program);
            command.args(asked);
            command
        }
    };
    let mut following = None;
    if told.beside {
        turnwire(&["hooks", "install", "--yes", "--project", project.to_str().unwrap()]);
        let connect: Value = serde_json::from_slice(&turnwire(&["connect", "claude", "--json"]).stdout).unwrap();
        for (name, value) in connect["env"].as_object().unwrap() {
            command.env(name, value.as_str().unwrap());
        }
        let mut watch = world.turnwire(&["watch", transcripts.to_str().unwrap()]);
        following = Some(watch.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    }
    command
        .current_dir(&project)
        .env("CLAUDE_CONFIG_DIR", world.path("claude"))
        .env("ANTHROPIC_BASE_URL", &model.url)
        .env("ANTHROPIC_API_KEY", "x")
        .env("NO_PROXY", "127.0.0.1")
        .env_remove("ANTHROPIC_AUTH_TOKEN")
        .env_remove("CLAUDECODE")
        .env("DISABLE_AUTOUPDATER", "1")
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
        .stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    if let Some(mut following) = following {
        // Whatever it has not read yet is read from where it was.
        following.kill().unwrap();
        following.wait().unwrap();
        turnwire(&["watch", "--once", "--import", "--wait", transcripts.to_str().unwrap()]);
        turnwire(&["publish", "--drain"]);
    }
    seen(&world)
}

fn seen(world: &World) -> Value {
    let sessions = get(world, "/api/sessions");
    let named = sessions["sessions"].as_array().unwrap().iter();
    let named: Vec<_> = named.filter(|one| one["id"] != "otlp-without-a-session").collect();
    assert_eq!(named.len(), 1, "{sessions}");
    let session = named[0];
    let id = session["id"].as_str().unwrap();
    let part = |part: &str, key: &str| {
        let mut rows = get(world, &format!("/api/sessions/{id}/{part}"))[key]
            .as_array()
            .unwrap()
            .clone();
        rows.reverse();
        rows
    };
    let usage = get(world, &format!("/api/usage?session_id={id}"));
    json!({"session": session, "turns": part("turns", "turns"), "calls": part("tool-calls", "tool_calls"), "totals": usage["totals"]})
}

/// What must be the same whoever tells it.
fn timeline(seen: &Value) -> Value {
    let rows = |key: &str, fields: &[&str]| -> Vec<Value> {
        let row = |row: &Value| fields.iter().map(|field| row[*field].clone()).collect();
        seen[key].as_array().unwrap().iter().map(row).collect()
    };
    let fields = [
        "turns",
        "tool_calls",
        "tool_failures",
        "usage",
        "cost_usd",
        "state",
        "title",
    ];
    let session = fields.map(|field| seen["session"][field].clone());
    json!({
        "turns": rows("turns", &["prompt", "result", "ok", "usage", "cost_usd"]),
        "calls": rows("calls", &["tool_call_id", "tool", "arguments", "outcome"]),
        "totals": seen["totals"],
        "session": session.as_slice(),
    })
}

#[test]
fn a_run_that_nobody_wrapped_has_the_timeline_of_one_that_was() {
    let wrapped = run(&Told {
        wrapped: true,
        beside: false,
    });
    let beside = run(&Told {
        wrapped: false,
        beside: true,
    });
    let all = run(&Told {
        wrapped: true,
        beside: true,
    });
    let three = json!(["claude-hooks", "claude-otlp", "claude-transcript"]);
    assert_eq!(beside["turns"][0]["sources"], three, "{beside:#}");
    assert_eq!(beside["calls"][0]["sources"], three, "{beside:#}");
    assert_eq!(all["turns"][0]["sources"].as_array().unwrap().len(), 4, "{all:#}");
    assert_eq!(timeline(&beside), timeline(&wrapped), "{beside:#}\n{wrapped:#}");
    assert_eq!(timeline(&all), timeline(&wrapped), "{all:#}\n{wrapped:#}");
}
