//! Claude Code when not all goes well: told of by its hooks, its transcript and its telemetry, with `turnwire run` around it and without,
//! the session is the same.

use std::{
    env, fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use crate::{
    api::get,
    model_server::{Asked, ModelServer, Reply},
    world::{World, serve, stderr},
};

/// What the model says; the path is that of a pipe that a tool may write to.
type Script = fn(&Asked, &Path) -> Reply;

fn bash(command: &str) -> Value {
    json!({"command": command, "description": "Look"})
}

/// Claude Code itself, or `turnwire run` around it.
fn claude(world: &World, wrapped: bool) -> Command {
    let program = PathBuf::from(env::var_os("TURNWIRE_AGENTS").expect("TURNWIRE_AGENTS")).join("claude");
    let mut command = if wrapped {
        world.turnwire(&["run", "--wait", "--", program.to_str().unwrap()])
    } else {
        Command::new(program)
    };
    command.args([
        "-p",
        "Do it.",
        "--model",
        "claude-sonnet-4-5",
        "--allowedTools",
        "Bash,Agent",
    ]);
    if wrapped {
        command.args(["--output-format", "stream-json", "--verbose"]);
    }
    command
}

/// One run in a world of its own, with all that tells of it beside. With `interrupt` it gets Ctrl-C when its tool has written to the pipe.
fn run(script: Script, wrapped: bool, interrupt: bool) -> Value {
    let world = World::new();
    let _served = serve(&world, &[]);
    let (project, transcripts) = (world.path("project"), world.path("claude/projects"));
    fs::create_dir_all(&project).unwrap();
    fs::create_dir_all(&transcripts).unwrap();
    let pipe = world.path("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let path = pipe.clone();
    let model = ModelServer::script(move |asked| script(asked, &path));
    let turnwire = |args: &[&str]| {
        let output = world.turnwire(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        output
    };
    turnwire(&["hooks", "install", "--yes", "--project", project.to_str().unwrap()]);
    let connect: Value = serde_json::from_slice(&turnwire(&["connect", "claude", "--json"]).stdout).unwrap();
    let mut command = claude(&world, wrapped);
    for (name, value) in connect["env"].as_object().unwrap() {
        command.env(name, value.as_str().unwrap());
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
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    let mut child = command.spawn().unwrap();
    if interrupt {
        // Ends when the tool has written and closed it.
        fs::read(&pipe).unwrap();
        let group = Pid::from_raw(child.id().cast_signed()).unwrap();
        kill_process_group(group, Signal::INT).unwrap();
    }
    child.wait().unwrap();
    turnwire(&["watch", "--once", "--import", "--wait", transcripts.to_str().unwrap()]);
    turnwire(&["publish", "--drain"]);
    seen(&world)
}

/// What must be the same whoever tells it, of the only session.
fn seen(world: &World) -> Value {
    let sessions = get(world, "/api/sessions");
    let named = sessions["sessions"].as_array().unwrap().iter();
    let named: Vec<_> = named.filter(|one| one["id"] != "otlp-without-a-session").collect();
    assert_eq!(named.len(), 1, "{sessions}");
    let session = named[0];
    let id = session["id"].as_str().unwrap();
    let part = |part: &str, key: &str, order: &str, fields: &[&str]| {
        let page = get(world, &format!("/api/sessions/{id}/{part}"));
        let mut rows = page[key].as_array().unwrap().clone();
        rows.sort_by_key(|row| row[order].to_string());
        let row = |row: &Value| -> Value {
            let field = |field: &&str| ((*field).to_owned(), row[*field].clone());
            Value::Object(fields.iter().map(field).collect())
        };
        rows.iter().map(row).collect::<Vec<_>>()
    };
    let calls = [
        "tool_call_id",
        "tool",
        "arguments",
        "outcome",
        "error",
        "parent_tool_call_id",
    ];
    let history = get(world, "/api/events/history?limit=1000");
    let unknown = history["events"].as_array().unwrap().iter();
    let unknown: Vec<_> = unknown.filter(|event| event["data"]["unknown"] == true).collect();
    assert!(unknown.is_empty(), "all is understood: {unknown:?}");
    json!({
        "state": session["state"], "title": session["title"], "count": session["turns"], "failures": session["tool_failures"],
        "turns": part("turns", "turns", "started", &["result", "ok", "note"]),
        "calls": part("tool-calls", "tool_calls", "tool_call_id", &calls),
    })
}

/// The same with `turnwire run` around it and without.
fn both(script: Script, interrupt: bool) -> Value {
    let beside = run(script, false, interrupt);
    let all = run(script, true, interrupt);
    assert_eq!(all, beside, "{all:#}\n{beside:#}");
    beside
}

#[test]
fn an_error_of_the_api_is_one() {
    let seen = both(|_, _| Reply::Error(400, "invalid_request_error", "a bad thing"), false);
    assert_eq!(
        (&seen["state"], &seen["count"]),
        (&json!("failed"), &json!(1)),
        "{seen:#}"
    );
    let turn = json!({"result": null, "ok": false, "note": "API Error: 400 a bad thing"});
    assert_eq!(seen["turns"], json!([turn]));
}

#[test]
fn calls_that_run_at_once_are_told_apart() {
    let script: Script = |asked, _| match asked.results {
        0 => Reply::Tools(vec![
            ("toolu_a", "Bash", bash("echo one")),
            ("toolu_b", "Bash", bash("echo two; exit 3")),
            ("toolu_c", "Bash", bash("echo three")),
        ]),
        _ => Reply::Text("Two of three."),
    };
    let seen = both(script, false);
    let told = |n: usize| (seen["calls"][n]["outcome"].clone(), seen["calls"][n]["error"].clone());
    let ok = (json!("ok"), Value::Null);
    assert_eq!(
        [told(0), told(1), told(2)],
        [ok.clone(), (json!("failed"), json!("exit 3")), ok]
    );
    assert_eq!(
        seen["turns"],
        json!([{"result": "Two of three.", "ok": true, "note": null}])
    );
    assert_eq!((&seen["state"], &seen["failures"]), (&json!("done"), &json!(1)));
}

#[test]
fn what_a_subagent_calls_is_within_the_call_that_started_it() {
    let script: Script = |asked, _| {
        let task = json!({"description": "Count", "prompt": "Count things.", "subagent_type": "general-purpose"});
        match (&*asked.prompt, asked.results) {
            ("Do it.", 0) => Reply::Tools(vec![("toolu_task", "Agent", task)]),
            ("Do it.", _) if asked.times == 0 => Reply::Text("It works on it."),
            // What the program says of the subagent's end is not the user's.
            ("Do it.", _) => Reply::Text("It is done."),
            (_, 0) => Reply::Tools(vec![("toolu_inner", "Bash", bash("echo inner"))]),
            _ => Reply::Text("Counted."),
        }
    };
    let seen = both(script, false);
    let parents: Vec<_> = [0, 1].map(|n| &seen["calls"][n]["parent_tool_call_id"]).to_vec();
    assert_eq!(parents, [&json!("toolu_task"), &Value::Null], "{seen:#}");
    // The subagent's end is told to the model, which is a turn of its own.
    let results: Vec<_> = [0, 1].map(|n| &seen["turns"][n]["result"]).to_vec();
    assert_eq!(results, ["It works on it.", "It is done."], "{seen:#}");
}

#[test]
fn a_call_that_ctrl_c_stops_was_interrupted_and_so_was_its_turn() {
    let script: Script = |_, pipe| {
        let command = format!("echo > {}; sleep 600", pipe.display());
        Reply::Tools(vec![("toolu_a", "Bash", bash(&command))])
    };
    // Its place is in the arguments, and another one in each run.
    for wrapped in [false, true] {
        let seen = run(script, wrapped, true);
        let turn = json!({"result": null, "ok": false, "note": "interrupted"});
        assert_eq!(seen["turns"], json!([turn]), "{seen:#}");
        assert_eq!(seen["calls"][0]["error"], "interrupted", "{seen:#}");
        // That its program ended well is known to who has started it alone.
        assert_eq!(seen["state"], if wrapped { "done" } else { "failed" }, "{seen:#}");
    }
}
