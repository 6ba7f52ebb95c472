//! Codex and Gemini CLI that nobody of ours has started: their hooks, as `turnwire hooks install` puts them, tell the gateway and ask it.

use std::{
    env, fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    api::{decide, get, question},
    gemini_server, openai_server,
    scripted::{Reply, Scripted},
    world::{World, serve, stderr, stdout},
};

/// Makes a file, which nobody has to allow.
fn script(vendor: &Vendor, results: usize) -> Reply {
    let command = "echo hello > said.txt; cat said.txt";
    match (results, vendor) {
        (0, Vendor::Codex) => Reply::Tool("exec_command", json!({"cmd": command})),
        (0, Vendor::Gemini) => Reply::Tool(
            "run_shell_command",
            json!({"command": command, "description": "Say hello"}),
        ),
        _ => Reply::Text("So be it."),
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Vendor {
    Codex,
    Gemini,
}

impl Vendor {
    fn model(self) -> Scripted {
        match self {
            Self::Codex => openai_server::start(|_, results| script(&Vendor::Codex, results)),
            Self::Gemini => gemini_server::start(|_, results| script(&Vendor::Gemini, results)),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Codex => "--codex",
            Self::Gemini => "--gemini",
        }
    }

    /// Where its settings are, and what they are before anything is installed.
    fn settings(self, world: &World) -> PathBuf {
        match self {
            Self::Codex => world.path("home/.codex/hooks.json"),
            Self::Gemini => world.path("home/.gemini/settings.json"),
        }
    }

    /// Its own configuration, which knows this machine only.
    fn configure(self, world: &World, model: &Scripted) {
        let dir = self.settings(world);
        fs::create_dir_all(dir.parent().unwrap()).unwrap();
        fs::create_dir_all(world.path("project")).unwrap();
        match self {
            Self::Codex => {
                let config = format!(
                    "model = \"gpt-5.1\"\nmodel_provider = \"here\"\n[model_providers.here]\nname = \"here\"\nbase_url = \"{}/v1\"\n\
                     env_key = \"MODEL_KEY\"\nwire_api = \"responses\"\n",
                    model.url
                );
                fs::write(dir.with_file_name("config.toml"), config).unwrap();
            }
            Self::Gemini => {
                let settings = json!({
                    "security": {"auth": {"selectedType": "gemini-api-key"}},
                    "general": {"enableAutoUpdate": false}, "privacy": {"usageStatisticsEnabled": false},
                });
                fs::write(dir, settings.to_string()).unwrap();
            }
        }
    }

    /// It works in the world's project.
    fn start(self, world: &World, model: &Scripted) -> Child {
        let programs =
            env::var_os("TURNWIRE_AGENTS").expect("TURNWIRE_AGENTS: `cargo xtask test` installs and names them");
        let (program, args): (_, &[&str]) = match self {
            Self::Codex => (
                "codex",
                &[
                    "exec",
                    "--skip-git-repo-check",
                    "--dangerously-bypass-approvals-and-sandbox",
                    "--dangerously-bypass-hook-trust",
                    "Do it.",
                ],
            ),
            Self::Gemini => (
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
            ),
        };
        Command::new(PathBuf::from(programs).join(program))
            .args(args)
            .current_dir(world.path("project"))
            .env("HOME", world.path("home"))
            .env("CODEX_HOME", world.path("home/.codex"))
            .env("MODEL_KEY", "x")
            .env("GOOGLE_GEMINI_BASE_URL", &model.url)
            .env("GEMINI_API_KEY", "x")
            .env("GEMINI_CLI_TRUST_WORKSPACE", "true")
            .env("NO_PROXY", "127.0.0.1")
            .env_remove("TURNWIRE_URL")
            .env_remove("TURNWIRE_DATA_DIR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

fn hooks(world: &World, vendor: Vendor, args: &[&str]) {
    let all = [&["hooks"], args, &["--yes", vendor.word()]].concat();
    let mut command = world.turnwire(&all);
    command
        .env("HOME", world.path("home"))
        .env("CODEX_HOME", world.path("home/.codex"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

fn ended(child: Child) {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
}

/// What the gateway has of the only session: its turns and its calls.
fn seen(world: &World) -> (Value, Value) {
    let sessions = get(world, "/api/sessions");
    assert_eq!(sessions["sessions"].as_array().unwrap().len(), 1, "{sessions}");
    let session = sessions["sessions"][0]["id"].as_str().unwrap();
    let part = |part: &str| get(world, &format!("/api/sessions/{session}/{part}"));
    (part("turns")["turns"].clone(), part("tool-calls")["tool_calls"].clone())
}

fn tells(vendor: Vendor) {
    let world = World::new();
    let _served = serve(&world, &[]);
    let model = vendor.model();
    vendor.configure(&world, &model);
    hooks(&world, vendor, &["install"]);
    ended(vendor.start(&world, &model));
    let (turns, calls) = seen(&world);
    assert_eq!(turns.as_array().unwrap().len(), 1, "{turns}");
    for (field, value) in [
        ("prompt", json!("Do it.")),
        ("result", json!("So be it.")),
        ("ok", json!(true)),
    ] {
        assert_eq!(turns[0][field], value, "{turns}");
    }
    assert_eq!(calls.as_array().unwrap().len(), 1, "{calls}");
    assert_eq!(calls[0]["outcome"], "ok", "{calls}");
    assert!(
        calls[0]["arguments"]["command"].as_str().unwrap().contains("said.txt"),
        "{calls}"
    );
    assert!(calls[0]["output"].to_string().contains("hello"), "{calls}");
    let history = get(&world, "/api/events/history?limit=1000");
    let unknown = history["events"].as_array().unwrap().iter();
    assert_eq!(
        unknown.filter(|event| event["data"]["unknown"] == true).count(),
        0,
        "{history}"
    );
}

fn asks(vendor: Vendor) {
    for (decision, runs) in [
        (json!({"decision": "approve"}), true),
        (json!({"decision": "deny", "message": "not today"}), false),
    ] {
        let world = World::new();
        let _served = serve(&world, &[]);
        let model = vendor.model();
        vendor.configure(&world, &model);
        hooks(&world, vendor, &["install", "--gate"]);
        let working = vendor.start(&world, &model);
        let question = question(&world);
        assert_eq!(question["state"], "pending");
        decide(&world, &question, &decision);
        ended(working);
        assert_eq!(world.path("project").join("said.txt").exists(), runs, "{decision}");
        let (turns, calls) = seen(&world);
        let (outcome, error) = if runs {
            ("ok", Value::Null)
        } else {
            ("failed", json!("denied"))
        };
        assert_eq!(
            (&calls[0]["outcome"], &calls[0]["error"]),
            (&json!(outcome), &error),
            "{calls}"
        );
        assert_eq!(calls.as_array().unwrap().len(), 1, "{calls}");
        assert_eq!(turns[0]["result"], "So be it.");
        if !runs {
            assert!(
                model
                    .asked()
                    .iter()
                    .any(|(_, asked)| asked.to_string().contains("Not permitted: not today"))
            );
        }
    }
}

fn is_shut_while_nobody_can_be_asked(vendor: Vendor) {
    let world = World::new();
    let model = vendor.model();
    vendor.configure(&world, &model);
    let before = fs::read_to_string(vendor.settings(&world)).ok();
    hooks(&world, vendor, &["install", "--gate"]);
    ended(vendor.start(&world, &model));
    assert!(!world.path("project").join("said.txt").exists());
    hooks(&world, vendor, &["uninstall"]);
    assert_eq!(
        fs::read_to_string(vendor.settings(&world)).ok(),
        before,
        "it is what it was"
    );
}

#[test]
fn codex_that_was_not_started_here_shows_its_turn_and_its_call() {
    tells(Vendor::Codex);
}

#[test]
fn gemini_that_was_not_started_here_shows_its_turn_and_its_call() {
    tells(Vendor::Gemini);
}

#[test]
fn a_gate_of_codex_runs_what_is_approved_and_nothing_else() {
    asks(Vendor::Codex);
}

#[test]
fn a_gate_of_gemini_runs_what_is_approved_and_nothing_else() {
    asks(Vendor::Gemini);
}

#[test]
fn a_gate_of_codex_is_shut_while_the_gateway_is_away() {
    is_shut_while_nobody_can_be_asked(Vendor::Codex);
}

#[test]
fn a_gate_of_gemini_is_shut_while_the_gateway_is_away() {
    is_shut_while_nobody_can_be_asked(Vendor::Gemini);
}
