//! opencode that nobody has wrapped, told of by its database: the session is the one that a wrapped run gives, and so it is when both tell of
//! one run.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    anthropic_server,
    api::get,
    scripted::Reply,
    world::{World, serve, stderr, stdout},
};

/// Two calls, of which one fails, and a word.
fn script(_: &str, results: usize) -> Reply {
    let bash = |command: &str| Reply::Tool("bash", json!({"command": command, "description": "Look"}));
    match results {
        0 => bash("echo hello"),
        1 => bash("ls /does-not-exist"),
        _ => Reply::Text("One of two."),
    }
}

/// A watch that ends with its test.
struct Watching(Child);

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !is() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

/// One run in a world of its own: what the gateway has of its only session.
fn run(wrapped: bool, watched: bool) -> Value {
    let world = World::new();
    let _served = serve(&world, &[]);
    let model = anthropic_server::start(script);
    let project = world.path("project");
    fs::create_dir_all(&project).unwrap();
    let share = world.path("home/data");
    let watch = |args: &[&str]| {
        let mut command = world.turnwire(&[&["watch", "--opencode"], args].concat());
        command.env("XDG_DATA_HOME", &share);
        command
    };
    let watching = watched.then(|| {
        let mut watch = watch(&[]);
        Watching(watch.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    });
    until("it follows", || !watched || begun(&world.data_dir()));
    let mut command = opencode(&world, wrapped);
    command.current_dir(&project).stdin(Stdio::null());
    for (name, value) in surroundings(&world, &model.url) {
        command.env(name, value);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    if watched {
        // It is told as it happens, not when somebody looks again.
        until("the watch has told of the turn's end", || {
            let sessions = get(&world, "/api/sessions");
            let Some(session) = sessions["sessions"].get(0) else {
                return false;
            };
            let turns = get(
                &world,
                &format!("/api/sessions/{}/turns", session["id"].as_str().unwrap()),
            );
            let turn = &turns["turns"][0];
            let sources = turn["sources"].as_array();
            turn["ok"] == true && sources.is_some_and(|it| it.iter().any(|it| it == "opencode-session"))
        });
        drop(watching);
        // Whatever is still on its way.
        assert!(watch(&["--once", "--wait"]).output().unwrap().status.success());
        assert!(
            world
                .turnwire(&["publish", "--drain"])
                .output()
                .unwrap()
                .status
                .success()
        );
    }
    seen(&world)
}

/// Whether what was there before has been found: what comes from now on is new.
fn begun(data: &Path) -> bool {
    let journals = fs::read_dir(data.join("watch/local")).into_iter().flatten();
    let mut texts = journals.filter_map(|it| fs::read_to_string(it.ok()?.path()).ok());
    texts.any(|text| text.contains("\"source\""))
}

fn opencode(world: &World, wrapped: bool) -> Command {
    let program = PathBuf::from(env::var_os("TURNWIRE_AGENTS").expect("TURNWIRE_AGENTS")).join("opencode");
    if wrapped {
        let mut command = world.turnwire(&["run", "--wait", "--", program.to_str().unwrap()]);
        command.args(["run", "--format", "json", "Do it now."]);
        return command;
    }
    let mut command = Command::new(program);
    command.args(["run", "Do it now."]);
    command
}

fn surroundings(world: &World, model: &str) -> Vec<(&'static str, String)> {
    let config = json!({
        "model": "anthropic/claude-sonnet-4-5", "small_model": "anthropic/claude-haiku-4-5",
        "autoupdate": false, "share": "disabled", "permission": "allow",
        "provider": {"anthropic": {
            "options": {"baseURL": format!("{model}/v1"), "apiKey": "x"},
            "models": {"claude-sonnet-4-5": {}, "claude-haiku-4-5": {}},
        }},
    });
    let home = |name: &str| world.path("home").join(name).to_str().unwrap().to_owned();
    vec![
        ("OPENCODE_CONFIG_CONTENT", config.to_string()),
        ("OPENCODE_DISABLE_AUTOUPDATE", "1".to_owned()),
        ("OPENCODE_DISABLE_MODELS_FETCH", "1".to_owned()),
        ("NO_PROXY", "127.0.0.1".to_owned()),
        ("HOME", home("")),
        ("XDG_CONFIG_HOME", home("config")),
        ("XDG_DATA_HOME", home("data")),
        ("XDG_CACHE_HOME", home("cache")),
        ("XDG_STATE_HOME", home("state")),
    ]
}

fn seen(world: &World) -> Value {
    let sessions = get(world, "/api/sessions");
    assert_eq!(sessions["sessions"].as_array().unwrap().len(), 1, "{sessions}");
    let session = sessions["sessions"][0].clone();
    let id = session["id"].as_str().unwrap();
    let part = |part: &str, key: &str| get(world, &format!("/api/sessions/{id}/{part}"))[key].clone();
    let usage = get(world, &format!("/api/usage?session_id={id}"));
    json!({"session": session, "turns": part("turns", "turns"), "calls": part("tool-calls", "tool_calls"), "totals": usage["totals"]})
}

/// What must be the same whoever tells it.
fn timeline(seen: &Value) -> Value {
    let rows = |key: &str, fields: &[&str]| -> Vec<Value> {
        let row = |row: &Value| fields.iter().map(|field| row[*field].clone()).collect();
        seen[key].as_array().unwrap().iter().map(row).collect()
    };
    let fields = ["turns", "tool_calls", "tool_failures", "usage", "cost_usd", "title"];
    json!({
        "turns": rows("turns", &["prompt", "result", "ok", "usage", "cost_usd"]),
        "calls": rows("calls", &["tool_call_id", "tool", "arguments", "output", "outcome", "error"]),
        "totals": seen["totals"],
        "session": fields.map(|field| seen["session"][field].clone()),
    })
}

#[test]
fn a_run_that_nobody_wrapped_has_the_timeline_of_one_that_was() {
    let wrapped = run(true, false);
    let watched = run(false, true);
    let both = run(true, true);
    assert_eq!(
        watched["calls"][0]["sources"],
        json!(["opencode-session"]),
        "{watched:#}"
    );
    assert_eq!(
        both["calls"][0]["sources"],
        json!(["opencode", "opencode-session"]),
        "{both:#}"
    );
    assert_eq!(timeline(&wrapped)["calls"].as_array().unwrap().len(), 2, "{wrapped:#}");
    assert_eq!(timeline(&watched), timeline(&wrapped), "{watched:#}\n{wrapped:#}");
    assert_eq!(timeline(&both), timeline(&wrapped), "{both:#}\n{wrapped:#}");
}
