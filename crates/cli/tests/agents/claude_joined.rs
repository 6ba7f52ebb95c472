//! Claude Code that nobody has wrapped, told of by its hooks, its transcript and its telemetry at once: the session is the one that a wrapped run
//! gives, and so it is when all of them tell of a wrapped one.

use serde_json::{Value, json};

use crate::{
    joined::{Agent, Told, run, timeline},
    model_server::{ModelServer, Reply},
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

fn told(told: Told) -> Value {
    let model = model();
    let agent = Agent {
        program: "claude",
        args: &["-p", "Do it.", "--model", "claude-sonnet-4-5", "--allowedTools", "Bash"],
        prints: &["--output-format", "stream-json", "--verbose"],
        connect: "claude",
        hooks: &["--project", "."],
        files: "claude/projects",
        configure: &|world, _| {
            vec![
                ("CLAUDE_CONFIG_DIR", world.path("claude").to_str().unwrap().to_owned()),
                ("ANTHROPIC_BASE_URL", model.url.clone()),
                ("ANTHROPIC_API_KEY", "x".to_owned()),
                ("DISABLE_AUTOUPDATER", "1".to_owned()),
                ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
            ]
        },
        without: &["ANTHROPIC_AUTH_TOKEN", "CLAUDECODE"],
    };
    run(&agent, told)
}

#[test]
fn a_run_that_nobody_wrapped_has_the_timeline_of_one_that_was() {
    let (wrapped, beside, all) = (told(Told::Wrapped), told(Told::Beside), told(Told::Both));
    let three = json!(["claude-hooks", "claude-otlp", "claude-transcript"]);
    assert_eq!(beside["turns"][0]["sources"], three, "{beside:#}");
    assert_eq!(beside["calls"][0]["sources"], three, "{beside:#}");
    assert_eq!(all["turns"][0]["sources"].as_array().unwrap().len(), 4, "{all:#}");
    let same = |seen| {
        let call = ["tool_call_id", "tool", "arguments", "outcome"];
        timeline(seen, &["prompt", "result", "ok", "usage", "cost_usd"], &call)
    };
    assert_eq!(same(&beside), same(&wrapped), "{beside:#}\n{wrapped:#}");
    assert_eq!(same(&all), same(&wrapped), "{all:#}\n{wrapped:#}");
}
