//! Claude Code, from its first line to the gateway's log.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    model_server::{ModelServer, Reply},
    world::{World, stderr, stdout},
};

/// `turnwire run -- claude -p … --output-format stream-json --verbose`, which knows this machine only.
fn claude(world: &World, run: &[&str], model: &ModelServer) -> Command {
    let programs = env::var_os("TURNWIRE_AGENTS").expect("TURNWIRE_AGENTS: `cargo xtask test` installs and names them");
    let program = PathBuf::from(programs).join("claude");
    let mut args = vec!["run"];
    args.extend(run);
    args.extend([
        "--",
        program.to_str().unwrap(),
        "-p",
        "Say hello.",
        "--output-format",
        "stream-json",
    ]);
    args.extend(["--verbose", "--model", "claude-sonnet-4-5", "--allowedTools", "Bash"]);
    let mut command = world.turnwire(&args);
    fs::create_dir_all(world.path("project")).unwrap();
    command
        .current_dir(world.path("project"))
        .env("CLAUDE_CONFIG_DIR", world.path("claude"))
        .env("ANTHROPIC_BASE_URL", &model.url)
        .env("ANTHROPIC_API_KEY", "x")
        .env("NO_PROXY", "127.0.0.1")
        .env_remove("ANTHROPIC_AUTH_TOKEN")
        .env_remove("CLAUDECODE");
    for quiet in [
        "DISABLE_AUTOUPDATER",
        "DISABLE_TELEMETRY",
        "DISABLE_ERROR_REPORTING",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
    ] {
        command.env(quiet, "1");
    }
    command
}

fn model() -> ModelServer {
    let input = json!({"command": "echo hello from a tool", "description": "Say hello"});
    ModelServer::start(vec![Reply::Tool { name: "Bash", input }, Reply::Text("It said hello.")])
}

#[test]
fn all_that_claude_code_prints_is_understood_and_reaches_the_gateway() {
    let world = World::new();
    let mut served = world
        .turnwire(&["serve", "--listen", "127.0.0.1:0", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(served.stdout.as_mut().unwrap())
        .read_line(&mut ready)
        .unwrap();
    let model = model();
    let output = claude(&world, &["--wait"], &model).output().unwrap();
    let shown = world.turnwire(&["show", "last", "--json"]).output().unwrap();
    served.kill().unwrap();
    served.wait().unwrap();
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));

    // What it printed: JSON lines, as without us.
    let printed = stdout(&output);
    let lines: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let result = lines.iter().find(|line| line["type"] == "result").unwrap();
    assert_eq!(result["result"], "It said hello.");

    // What the gateway has.
    let shown = stdout(&shown);
    let events: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let one = |kind: &str| {
        let mut found = events.iter().filter(|event| event["type"] == kind);
        let event = found.next().unwrap_or_else(|| panic!("no {kind} among {kinds:?}"));
        assert!(found.next().is_none(), "{kind} more than once: {kinds:?}");
        event
    };
    assert!(!kinds.contains(&"raw"), "not understood: {shown}");
    assert!(events.iter().all(|event| event["session_id"] == result["session_id"]));
    let version = Command::new(PathBuf::from(env::var_os("TURNWIRE_AGENTS").unwrap()).join("claude"))
        .arg("--version")
        .output()
        .unwrap();
    let start = &one("session_start")["data"];
    assert!(
        stdout(&version).starts_with(start["version"].as_str().unwrap_or("none")),
        "{start}"
    );
    let (began, ended) = (&one("tool_call_start")["data"], &one("tool_call")["data"]);
    assert_eq!((&began["tool"], &ended["tool"]), (&json!("Bash"), &json!("Bash")));
    assert_eq!(began["tool_call_id"], ended["tool_call_id"]);
    assert_eq!(
        (&ended["success"], &ended["output"]),
        (&json!(true), &json!("hello from a tool"))
    );
    assert!(ended["duration_ms"].is_u64(), "{ended}");
    let said = events.iter().filter(|event| event["type"] == "message");
    let said: Vec<&Value> = said.map(|event| &event["data"]["content"]).collect();
    assert_eq!(said, ["Say hello.", "It said hello."]);
    let turn = one("turn_end");
    assert_eq!(turn["data"]["ok"], true);
    assert_eq!(turn["data"]["cost_usd"], result["total_cost_usd"]);
    let tokens = |field: &str| {
        let usage = events.iter().filter(|event| event["type"] == "usage");
        usage
            .map(|event| event["data"][field].as_u64().unwrap_or(0))
            .sum::<u64>()
    };
    assert_eq!(tokens("input_tokens"), 200, "{shown}");
    assert_eq!(tokens("output_tokens"), 40, "{shown}");
    assert_eq!(turn["turn_id"], one("turn_start")["turn_id"]);
}
