//! Agents that nobody of ours has started and nobody has changed: told by what `turnwire connect` prints, they report by OpenTelemetry.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

use crate::{
    api::get,
    gemini_server,
    model_server::{self, ModelServer},
    openai_server,
    scripted::Reply,
    world::{World, serve, stderr, stdout},
};

/// What `turnwire connect WHO` says.
fn told(world: &World, who: &str) -> Value {
    let output = world
        .turnwire(&["connect", who, "--json", "--agent", "tester"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The agent's own program, in the world's project, with these variables and those that `connect` says.
fn run(world: &World, agent: &str, args: &[&str], variables: &[(&str, &str)], told: &Value) -> Output {
    let programs = env::var_os("TURNWIRE_AGENTS").expect("TURNWIRE_AGENTS: `cargo xtask test` installs and names them");
    fs::create_dir_all(world.path("project")).unwrap();
    let mut command = Command::new(PathBuf::from(programs).join(agent));
    command
        .args(args)
        .current_dir(world.path("project"))
        .env("HOME", world.path("home"))
        .env("NO_PROXY", "127.0.0.1")
        .env_remove("CLAUDECODE")
        .env_remove("ANTHROPIC_AUTH_TOKEN")
        .envs(variables.iter().copied())
        .stdin(Stdio::null());
    for (name, value) in told["env"].as_object().unwrap() {
        command.env(name, value.as_str().unwrap());
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    output
}

/// The only session, its tool calls, and all of its events.
fn seen(world: &World) -> (Value, Vec<Value>, Vec<Value>) {
    let sessions = get(world, "/api/sessions");
    let sessions = sessions["sessions"].as_array().unwrap();
    // A line that an agent logs of its own affairs may come in a request of its own, where nothing says whose it is.
    let named: Vec<&Value> = sessions
        .iter()
        .filter(|session| session["id"] != "otlp-without-a-session")
        .collect();
    assert_eq!(named.len(), 1, "{sessions:?}");
    let session = named[0].clone();
    let id = session["id"].as_str().unwrap();
    let calls = get(world, &format!("/api/sessions/{id}/tool-calls"));
    let events = get(world, "/api/events/history?limit=1000");
    let list = |value: &Value| value.as_array().unwrap().clone();
    let events = list(&events["events"]);
    let unknown: Vec<&Value> = events.iter().filter(|event| event["data"]["unknown"] == true).collect();
    assert!(unknown.is_empty(), "all is understood: {unknown:?}");
    (session, list(&calls["tool_calls"]), events)
}

fn said(events: &[Value], role: &str) -> Vec<String> {
    let messages = events
        .iter()
        .filter(|event| event["type"] == "message" && event["data"]["role"] == role);
    messages
        .map(|event| event["data"]["content"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn claude_code_reports_by_its_environment_alone() {
    let world = World::new();
    let _served = serve(&world, &[]);
    let input = json!({"command": "echo hello", "description": "Say hello"});
    let model = ModelServer::start(vec![
        model_server::Reply::Tool { name: "Bash", input },
        model_server::Reply::Text("It said hello."),
    ]);
    let config = world.path("claude");
    run(
        &world,
        "claude",
        &["-p", "Do it.", "--model", "claude-sonnet-4-5", "--allowedTools", "Bash"],
        &[
            ("CLAUDE_CONFIG_DIR", config.to_str().unwrap()),
            ("ANTHROPIC_BASE_URL", &model.url),
            ("ANTHROPIC_API_KEY", "x"),
            ("DISABLE_AUTOUPDATER", "1"),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ],
        &told(&world, "claude"),
    );
    let (session, calls, events) = seen(&world);
    assert_eq!(
        (&session["source"], &session["agent"]),
        (&json!("claude-otlp"), &json!("tester")),
        "{session}"
    );
    assert_eq!(
        (&session["turns"], &session["title"]),
        (&json!(1), &json!("Do it.")),
        "{session}"
    );
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!(
        (&calls[0]["tool"], &calls[0]["outcome"]),
        (&json!("Bash"), &json!("ok"))
    );
    let call = events.iter().find(|event| event["type"] == "tool_call").unwrap();
    assert_eq!(call["data"]["arguments"]["command"], "echo hello", "{call}");
    assert_eq!(said(&events, "assistant"), ["It said hello."]);
    let requests = events.iter().filter(|event| event["type"] == "usage").count();
    assert_eq!(requests, 2, "one for each request to the model");
}

#[test]
fn codex_reports_by_the_lines_in_its_settings() {
    let world = World::new();
    let _served = serve(&world, &[]);
    let model = openai_server::start(|_, results| match results {
        0 => Reply::Tool("exec_command", json!({"cmd": "echo hello"})),
        _ => Reply::Text("It said hello."),
    });
    let told = told(&world, "codex");
    let home = world.path("codex");
    fs::create_dir_all(&home).unwrap();
    let config = format!(
        "model = \"gpt-5.1\"\nmodel_provider = \"here\"\n[model_providers.here]\nname = \"here\"\nbase_url = \"{}/v1\"\n\
         env_key = \"MODEL_KEY\"\nwire_api = \"responses\"\n{}\n",
        model.url,
        told["settings"]["text"].as_str().unwrap()
    );
    fs::write(home.join("config.toml"), config).unwrap();
    run(
        &world,
        "codex",
        &[
            "exec",
            "--skip-git-repo-check",
            "--dangerously-bypass-approvals-and-sandbox",
            "Do it.",
        ],
        &[("CODEX_HOME", home.to_str().unwrap()), ("MODEL_KEY", "x")],
        &told,
    );
    let (session, calls, events) = seen(&world);
    assert_eq!(
        (&session["source"], &session["agent"]),
        (&json!("codex-otlp"), &json!("tester")),
        "{session}"
    );
    assert_eq!(session["usage"]["output_tokens"], 40, "{session}");
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!(
        (&calls[0]["tool"], &calls[0]["outcome"]),
        (&json!("exec_command"), &json!("ok"))
    );
    assert_eq!(said(&events, "user"), ["Do it."]);
}

#[test]
fn gemini_cli_reports_by_its_environment_alone() {
    let world = World::new();
    let _served = serve(&world, &[]);
    let model = gemini_server::start(|_, results| match results {
        0 => Reply::Tool(
            "run_shell_command",
            json!({"command": "echo hello", "description": "Say hello"}),
        ),
        _ => Reply::Text("It said hello."),
    });
    let settings = json!({
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "general": {"disableAutoUpdate": true}, "privacy": {"usageStatisticsEnabled": false},
    });
    let home = world.path("home").join(".gemini");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("settings.json"), settings.to_string()).unwrap();
    run(
        &world,
        "gemini",
        &[
            "-p",
            "Do it.",
            "-m",
            "gemini-2.5-pro",
            "--approval-mode",
            "yolo",
            "--skip-trust",
        ],
        &[("GOOGLE_GEMINI_BASE_URL", &model.url), ("GEMINI_API_KEY", "x")],
        &told(&world, "gemini"),
    );
    let (session, calls, events) = seen(&world);
    assert_eq!(
        (&session["source"], &session["agent"]),
        (&json!("gemini-otlp"), &json!("tester")),
        "{session}"
    );
    assert_eq!(
        (&session["turns"], &session["title"]),
        (&json!(1), &json!("Do it.")),
        "{session}"
    );
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!(
        (&calls[0]["tool"], &calls[0]["outcome"]),
        (&json!("run_shell_command"), &json!("ok"))
    );
    assert_eq!(said(&events, "assistant"), ["It said hello."]);
}
