//! Claude Code that nobody of ours has started: its hooks, as `turnwire hooks install` puts them, tell the gateway and ask it.

use std::{
    env, fs,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use serde_json::{Value, json};

use crate::{
    api::{decide, get, question},
    model_server::{ModelServer, Reply},
    world::{World, serve, stderr, stdout},
};

/// `claude -p …` in the world's project, which knows this machine only.
fn claude(world: &World, model: &ModelServer, args: &[&str]) -> Child {
    let programs = env::var_os("TURNWIRE_AGENTS").expect("TURNWIRE_AGENTS: `cargo xtask test` installs and names them");
    let mut command = Command::new(PathBuf::from(programs).join("claude"));
    command
        .args(["-p", "Do it.", "--model", "claude-sonnet-4-5"])
        .args(args)
        .current_dir(world.path("project"))
        .env("HOME", world.path("home"))
        .env("CLAUDE_CONFIG_DIR", world.path("claude"))
        .env("ANTHROPIC_BASE_URL", &model.url)
        .env("ANTHROPIC_API_KEY", "x")
        .env("NO_PROXY", "127.0.0.1")
        .env_remove("ANTHROPIC_AUTH_TOKEN")
        .env_remove("CLAUDECODE")
        .env_remove("TURNWIRE_URL")
        .env_remove("TURNWIRE_DATA_DIR")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Ok(token) = fs::read_to_string(world.data_dir().join("local.token")) {
        command.env("TURNWIRE_TOKEN", token.trim());
    }
    for quiet in [
        "DISABLE_AUTOUPDATER",
        "DISABLE_TELEMETRY",
        "DISABLE_ERROR_REPORTING",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
    ] {
        command.env(quiet, "1");
    }
    command.spawn().unwrap()
}

fn install(world: &World, args: &[&str]) {
    let project = world.path("project");
    fs::create_dir_all(&project).unwrap();
    let all = [
        &["hooks", "install", "--yes", "--project", project.to_str().unwrap()],
        args,
    ]
    .concat();
    let output = world.turnwire(&all).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

fn ended(child: Child) -> Output {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    output
}

/// Writes a file, which nobody has allowed beforehand.
fn writes(world: &World) -> ModelServer {
    let path = world.path("project").join("out.txt");
    let input = json!({"file_path": path, "content": "data\n"});
    ModelServer::start(vec![Reply::Tool { name: "Write", input }, Reply::Text("So be it.")])
}

fn runs() -> ModelServer {
    let input = json!({"command": "echo hello > said.txt", "description": "Say hello"});
    ModelServer::start(vec![Reply::Tool { name: "Bash", input }, Reply::Text("It said hello.")])
}

/// What the gateway has of the only session: its turns and its calls.
fn seen(world: &World) -> (Value, Value) {
    let sessions = get(world, "/api/sessions");
    assert_eq!(sessions["sessions"].as_array().unwrap().len(), 1, "{sessions}");
    let session = sessions["sessions"][0]["id"].as_str().unwrap();
    let part = |part: &str| get(world, &format!("/api/sessions/{session}/{part}"));
    (part("turns")["turns"].clone(), part("tool-calls")["tool_calls"].clone())
}

#[test]
fn a_session_that_was_not_started_here_shows_its_turn_and_its_call() {
    let world = World::new();
    let _served = serve(&world, &[]);
    install(&world, &[]);
    ended(claude(&world, &runs(), &["--allowedTools", "Bash"]));
    let (turns, calls) = seen(&world);
    assert_eq!(turns.as_array().unwrap().len(), 1, "{turns}");
    for (field, value) in [
        ("prompt", json!("Do it.")),
        ("result", json!("It said hello.")),
        ("ok", json!(true)),
        ("agent", json!("claude-code")),
    ] {
        assert_eq!(turns[0][field], value, "{turns}");
    }
    assert_eq!(calls.as_array().unwrap().len(), 1, "{calls}");
    assert_eq!(
        (&calls[0]["tool"], &calls[0]["outcome"]),
        (&json!("Bash"), &json!("ok"))
    );
    let history = get(&world, "/api/events/history?limit=1000");
    let events = history["events"].as_array().unwrap();
    let unknown = events.iter().filter(|event| event["data"]["unknown"] == true);
    assert_eq!(unknown.count(), 0, "all is understood: {history}");
    let starts = events.iter().filter(|event| event["type"] == "session_start").count();
    assert_eq!(starts, 1, "{history}");
}

#[test]
fn a_permission_is_decided_at_the_gateway_by_command_and_by_http_hooks() {
    for way in [&[][..], &["--http"]] {
        for (decision, outcome, error, written) in [
            (json!({"decision": "approve"}), "ok", Value::Null, true),
            (
                json!({"decision": "deny", "message": "not today"}),
                "failed",
                json!("denied"),
                false,
            ),
        ] {
            let world = World::new();
            let _served = serve(&world, &[]);
            install(&world, way);
            let working = claude(&world, &writes(&world), &[]);
            let question = question(&world);
            assert_eq!(
                (&question["tool"], &question["state"]),
                (&json!("Write"), &json!("pending"))
            );
            decide(&world, &question, &decision);
            ended(working);
            assert_eq!(
                world.path("project").join("out.txt").exists(),
                written,
                "{way:?} {decision}"
            );
            let (turns, calls) = seen(&world);
            assert_eq!(
                (&calls[0]["outcome"], &calls[0]["error"]),
                (&json!(outcome), &error),
                "{calls}"
            );
            assert_eq!(turns[0]["result"], "So be it.");
        }
    }
}

#[test]
fn a_gate_asks_about_what_the_agent_itself_allows() {
    let world = World::new();
    let _served = serve(&world, &[]);
    install(&world, &["--gate"]);
    let working = claude(&world, &runs(), &["--allowedTools", "Bash"]);
    let question = question(&world);
    assert!(question["tool_call_id"].is_string(), "{question}");
    decide(&world, &question, &json!({"decision": "approve"}));
    ended(working);
    assert!(world.path("project").join("said.txt").exists());
}

#[test]
fn a_gate_is_shut_while_the_gateway_is_away_and_the_log_says_so_later() {
    let world = World::new();
    install(&world, &["--gate"]);
    ended(claude(&world, &runs(), &["--allowedTools", "Bash"]));
    assert!(!world.path("project").join("said.txt").exists());
    let _served = serve(&world, &[]);
    assert!(
        world
            .turnwire(&["publish", "--drain"])
            .output()
            .unwrap()
            .status
            .success()
    );
    let (turns, calls) = seen(&world);
    assert_eq!(
        (&calls[0]["outcome"], &calls[0]["error"]),
        (&json!("failed"), &json!("denied")),
        "{calls}"
    );
    assert_eq!(turns[0]["ok"], true);
    let approval = get(&world, "/api/approvals")["approvals"][0].clone();
    assert_eq!(
        (&approval["state"], &approval["by"]),
        (&json!("denied"), &json!("hook"))
    );
}
