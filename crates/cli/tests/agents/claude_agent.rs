//! Claude Code behind a gateway: what people tell it, and what comes of it (`docs/protocol.md`, G; approvals are G10).

use std::{env, path::PathBuf, process::Command};

use serde_json::{Value, json};

use crate::{
    gateway::{Agent, Gateway, processes, wait_for_end},
    model_server::{Asked, Gate, ModelServer, Reply},
    world::{stderr, stdout},
};

/// `turnwire agent --adapter claude`, which knows this machine only.
pub(crate) fn agent(gateway: &Gateway, model: &ModelServer) -> Agent {
    let programs = env::var_os("TURNWIRE_AGENTS").expect("TURNWIRE_AGENTS: `cargo xtask test` installs and names them");
    let program = PathBuf::from(programs).join("claude");
    let args = [
        "--adapter",
        "claude",
        "--model",
        "claude-sonnet-4-5",
        "--program",
        program.to_str().unwrap(),
    ];
    gateway.agent(&args, |command| surroundings(command, gateway, model))
}

fn surroundings(command: &mut Command, gateway: &Gateway, model: &ModelServer) {
    command
        .env("CLAUDE_CONFIG_DIR", gateway.world.path("claude"))
        .env("ANTHROPIC_BASE_URL", &model.url)
        .env("ANTHROPIC_API_KEY", "x")
        .env("NO_PROXY", "127.0.0.1")
        .env("CLAUDE_CODE_MAX_RETRIES", "1")
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
}

fn echo() -> ModelServer {
    ModelServer::script(|_| Reply::Text("understood"))
}

#[tokio::test]
async fn a_message_is_answered_live_in_the_turn_of_its_order_and_the_conversation_goes_on() {
    let (gate, opener) = Gate::new();
    let model = ModelServer::script(move |asked| match asked.prompt.as_str() {
        "slowly" => Reply::Halves("first, ", "then", gate.clone()),
        _ => Reply::Text("understood"),
    });
    let mut gateway = Gateway::start(&[]);
    let agent = agent(&gateway, &model);
    let id = gateway.say("s", "slowly").await;
    let delta = gateway.of_turn(&id, "text_delta").await;
    assert_eq!(delta["content"], "first, ", "while the model still speaks");
    opener.send(()).unwrap();
    let end = gateway.end_of(&id).await;
    assert_eq!(
        end["result"],
        json!({"turn_id": id, "session_id": "s", "ok": true}),
        "{end}"
    );
    assert_eq!(gateway.said(&id), ["first, then"]);
    let kinds = gateway.kinds(&id);
    assert_eq!(kinds.iter().filter(|kind| **kind == "turn_start").count(), 1);
    assert_eq!(kinds.iter().filter(|kind| **kind == "turn_end").count(), 1);
    let next = gateway.say("s", "and now?").await;
    gateway.end_of(&next).await;
    let asked = model.asked();
    assert!(
        asked.last().unwrap().messages > 1,
        "it remembers what was said: {asked:?}"
    );
    agent.stop();
    let odd = gateway
        .events
        .iter()
        .any(|event| event.data.get().contains("\"unknown\":true"));
    assert!(!odd, "{:#?}", gateway.told());
}

pub(crate) fn tool(asked: &Asked) -> Reply {
    match asked.results {
        0 => Reply::Tool {
            name: "Bash",
            input: json!({"command": "touch asked-for; echo as it asked", "description": "Make a file"}),
        },
        _ => Reply::Text("it is done"),
    }
}

async fn approval(gateway: &mut Gateway, turn: &Value) -> String {
    let asked = gateway.of_turn(turn, "approval_request").await;
    asked["approval_id"].as_str().unwrap().to_owned()
}

fn result(gateway: &Gateway, turn: &Value) -> Value {
    let of = gateway
        .events
        .iter()
        .find(|event| json!(event.turn_id) == *turn && event.kind.as_str() == "tool_call");
    of.unwrap().data.read().unwrap()
}

#[tokio::test]
async fn a_tool_runs_when_a_person_says_so_as_they_say_and_not_when_they_say_no() {
    let model = ModelServer::script(tool);
    let mut gateway = Gateway::start(&[]);
    let agent = agent(&gateway, &model);
    let file = |name: &str| gateway_file(&gateway, name);
    let (asked_for, edited) = (file("asked-for"), file("edited"));

    for (text, decision, success, output) in [
        (
            "deny it",
            json!({"decision": "deny", "message": "not that"}),
            false,
            "not that",
        ),
        (
            "change it",
            json!({"decision": "approve", "arguments": {"command": "touch edited; echo as it was told", "description": "x"}}),
            true,
            "as it was told",
        ),
        ("do it", json!({"decision": "approve"}), true, "as it asked"),
    ] {
        let turn = gateway.say("s", text).await;
        let id = approval(&mut gateway, &turn).await;
        assert!(!asked_for.exists(), "{text}");
        gateway.post(&format!("/api/approvals/{id}/decision"), decision).await;
        let end = gateway.end_of(&turn).await;
        assert_eq!(end["result"]["ok"], true, "{text}: {end}");
        let call = result(&gateway, &turn);
        assert_eq!(
            (&call["success"], &call["output"]),
            (&json!(success), &json!(output)),
            "{text}"
        );
        let decisions = gateway.events.iter().filter(|event| {
            let body: Value = event.data.read().unwrap();
            event.kind.as_str() == "approval_decision" && body["approval_id"] == id
        });
        assert_eq!(decisions.count(), 1, "told once: {:#?}", gateway.told());
    }
    assert!(asked_for.exists() && edited.exists());
    agent.stop();
}

fn gateway_file(gateway: &Gateway, name: &str) -> PathBuf {
    gateway.world.path("project").join(name)
}

#[tokio::test]
async fn a_tool_that_nobody_decides_on_does_not_run_and_the_turn_goes_on() {
    let model = ModelServer::script(tool);
    let mut gateway = Gateway::start(&["--approval-wait", "1s"]);
    let agent = agent(&gateway, &model);
    let turn = gateway.say("s", "do it").await;
    let end = gateway.end_of(&turn).await;
    assert_eq!(end["result"]["ok"], true, "{end}");
    assert_eq!(result(&gateway, &turn)["output"], "nobody decided in time");
    assert!(!gateway_file(&gateway, "asked-for").exists());
    agent.stop();
}

#[tokio::test]
async fn an_approved_tool_is_not_let_go_while_the_agent_is_held() {
    let model = ModelServer::script(tool);
    let mut gateway = Gateway::start(&[]);
    let agent = agent(&gateway, &model);
    let turn = gateway.say("s", "do it").await;
    let id = approval(&mut gateway, &turn).await;
    let hold = gateway.order(None, "hold", json!({})).await;
    gateway.end_of(&hold).await;
    gateway
        .post(&format!("/api/approvals/{id}/decision"), json!({"decision": "approve"}))
        .await;
    // Whatever is told to it is told behind the decision.
    let nothing = gateway.order(Some("s"), "custom", json!({"name": "mcp_status"})).await;
    assert_eq!(gateway.end_of(&nothing).await["state"], "done");
    assert!(!gateway_file(&gateway, "asked-for").exists());
    gateway.order(None, "release", json!({})).await;
    assert_eq!(gateway.end_of(&turn).await["result"]["ok"], true);
    assert!(gateway_file(&gateway, "asked-for").exists());
    agent.stop();
}

#[tokio::test]
async fn an_interrupt_ends_the_turn_and_the_next_message_is_answered_by_the_same_process() {
    let (gate, _opener) = Gate::new();
    let model = ModelServer::script(move |asked| match asked.prompt.as_str() {
        "slowly" => Reply::Halves("first, ", "never", gate.clone()),
        "a tool" => tool(asked),
        _ => Reply::Text("understood"),
    });
    let mut gateway = Gateway::start(&[]);
    let agent = agent(&gateway, &model);
    let turn = gateway.say("s", "slowly").await;
    gateway.of_turn(&turn, "text_delta").await;
    let before = processes(&gateway.world.path("claude"));
    let stop = gateway.order(Some("s"), "interrupt", json!({"turn_id": turn})).await;
    assert_eq!(gateway.end_of(&stop).await["result"]["turn_id"], turn);
    let end = gateway.end_of(&turn).await;
    assert_eq!(
        end["result"],
        json!({"turn_id": turn, "session_id": "s", "ok": false, "note": "interrupted"})
    );
    // One that waits for a person does not wait any more.
    let turn = gateway.say("s", "a tool").await;
    let id = approval(&mut gateway, &turn).await;
    gateway.order(Some("s"), "interrupt", json!({})).await;
    assert_eq!(gateway.end_of(&turn).await["result"]["ok"], false);
    let decided = gateway
        .event("a withdrawal", |event| {
            let body: Value = event.data.read().unwrap();
            event.kind.as_str() == "approval_decision" && body["approval_id"] == id
        })
        .await;
    assert_eq!(decided.data.read::<Value>().unwrap()["decision"], "withdrawn");
    let next = gateway.say("s", "hello").await;
    assert_eq!(gateway.end_of(&next).await["result"]["ok"], true);
    let after = processes(&gateway.world.path("claude"));
    assert!(
        before.iter().all(|process| after.contains(process)),
        "it was started anew"
    );
    agent.stop();
}

#[tokio::test]
async fn a_model_is_used_from_the_next_turn_on_and_after_a_restart() {
    let model = echo();
    let mut gateway = Gateway::start(&[]);
    let first = agent(&gateway, &model);
    let used = |model: &ModelServer| model.asked().last().unwrap().model.clone();
    let id = gateway.say("s", "one").await;
    gateway.end_of(&id).await;
    assert_eq!(used(&model), "claude-sonnet-4-5");
    let set = gateway
        .order(None, "set_model", json!({"model": "claude-haiku-4-5"}))
        .await;
    assert_eq!(gateway.end_of(&set).await["state"], "done");
    let id = gateway.say("s", "two").await;
    assert_eq!(gateway.end_of(&id).await["result"]["ok"], true);
    assert_eq!(used(&model), "claude-haiku-4-5");
    first.stop();
    let second = agent(&gateway, &model);
    for session in ["s", "another"] {
        let id = gateway.say(session, "three").await;
        assert_eq!(gateway.end_of(&id).await["result"]["ok"], true, "{:#?}", gateway.told());
        assert_eq!(used(&model), "claude-haiku-4-5");
    }
    second.stop();
}

#[tokio::test]
async fn a_new_session_knows_nothing_and_a_restarted_agent_knows_what_was_said() {
    let model = echo();
    let mut gateway = Gateway::start(&[]);
    let first = agent(&gateway, &model);
    let known = |model: &ModelServer| model.asked().last().unwrap().messages;
    let id = gateway.order(None, "message", json!({"content": "one"})).await;
    let session = gateway.end_of(&id).await["result"]["session_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let alone = known(&model);
    first.stop();
    let second = agent(&gateway, &model);
    let id = gateway.order(None, "message", json!({"content": "two"})).await;
    assert_eq!(gateway.end_of(&id).await["result"]["session_id"], session.as_str());
    assert!(known(&model) > alone);
    let new = gateway.order(None, "new_session", json!({"prompt": "three"})).await;
    let end = gateway.end_of(&new).await;
    assert_eq!(end["result"]["ok"], true);
    assert_ne!(end["result"]["session_id"], session.as_str());
    assert_eq!(known(&model), alone);
    second.stop();
}

#[tokio::test]
async fn an_agent_that_is_killed_leaves_no_process_and_the_next_one_closes_its_turn_and_goes_on() {
    let (gate, _opener) = Gate::new();
    let model = ModelServer::script(move |asked| match asked.prompt.as_str() {
        "slowly" => Reply::Halves("first, ", "never", gate.clone()),
        _ => Reply::Text("understood"),
    });
    let mut gateway = Gateway::start(&[]);
    let first = agent(&gateway, &model);
    // Claude Code has written down what it is to resume when a turn has ended.
    let before = gateway.say("s", "remember this").await;
    assert_eq!(gateway.end_of(&before).await["result"]["ok"], true);
    let turn = gateway.say("s", "slowly").await;
    gateway.of_turn(&turn, "text_delta").await;
    let running = processes(&gateway.world.path("claude"));
    // The agent, its supervisor, and Claude Code.
    assert!(running.len() >= 3, "{running:?}");
    first.kill();
    wait_for_end(&running);
    assert!(processes(&gateway.world.path("claude")).is_empty());
    let second = agent(&gateway, &model);
    let end = gateway.end_of(&turn).await;
    assert_eq!(
        end["result"],
        json!({"turn_id": turn, "session_id": "s", "ok": false, "note": "the runner ended"})
    );
    assert_eq!(gateway.of_turn(&turn, "turn_end").await["ok"], false);
    let next = gateway.say("s", "hello").await;
    assert_eq!(gateway.end_of(&next).await["result"]["ok"], true);
    assert!(model.asked().last().unwrap().messages > 1, "it resumed");
    second.stop();
}

#[tokio::test]
async fn a_gateway_that_is_killed_in_the_midst_of_a_turn_has_all_of_it_in_the_end() {
    let (gate, opener) = Gate::new();
    let model = ModelServer::script(move |_| Reply::Halves("first, ", "then", gate.clone()));
    let mut gateway = Gateway::start(&[]);
    let agent = agent(&gateway, &model);
    let turn = gateway.say("s", "slowly").await;
    gateway.of_turn(&turn, "text_delta").await;
    gateway.kill();
    opener.send(()).unwrap();
    gateway.serve_again();
    assert_eq!(gateway.end_of(&turn).await["result"]["ok"], true);
    assert_eq!(gateway.said(&turn), ["first, then"]);
    let kinds = gateway.kinds(&turn);
    for once in ["turn_start", "message", "turn_end"] {
        assert_eq!(
            kinds.iter().filter(|kind| **kind == once).count(),
            1,
            "{once}: {kinds:?}"
        );
    }
    agent.stop();
}

#[tokio::test]
async fn a_prompt_that_is_too_long_is_tried_once_more_with_a_shorter_context() {
    let model = ModelServer::script(|asked| match (asked.prompt.as_str(), asked.times) {
        // The program tries once more by itself.
        ("long", 0 | 1) => Reply::Error(
            400,
            "invalid_request_error",
            "prompt is too long: 200001 tokens > 200000 maximum",
        ),
        _ => Reply::Text("understood"),
    });
    let mut gateway = Gateway::start(&[]);
    let agent = agent(&gateway, &model);
    let first = gateway.say("s", "hello").await;
    gateway.end_of(&first).await;
    let turn = gateway.say("s", "long").await;
    let end = gateway.end_of(&turn).await;
    assert_eq!(end["result"]["ok"], true, "{:#?}", gateway.told());
    let kinds = gateway.kinds(&turn);
    for once in ["turn_start", "turn_end"] {
        assert_eq!(
            kinds.iter().filter(|kind| **kind == once).count(),
            1,
            "{once}: {kinds:?}"
        );
    }
    let told = gateway.events.iter().any(|event| {
        event
            .data
            .get()
            .contains("the context is made shorter, then it is tried once more")
    });
    assert!(told, "{:#?}", gateway.told());
    agent.stop();
}

#[tokio::test]
async fn who_is_not_signed_in_is_told_and_a_cancel_ends_the_wait() {
    let model = ModelServer::script(|_| Reply::Error(401, "authentication_error", "invalid x-api-key"));
    let mut gateway = Gateway::start(&[]);
    let agent = agent(&gateway, &model);
    let turn = gateway.say("s", "hello").await;
    let status = gateway
        .event("a status", |event| event.data.get().contains("needs_login_idle"))
        .await;
    assert_eq!(status.kind.as_str(), "status_changed");
    let waiting = gateway.say("s", "another").await;
    let cancel = gateway.order(Some("s"), "cancel", json!({})).await;
    assert_eq!(gateway.end_of(&cancel).await["state"], "done");
    assert_eq!(gateway.end_of(&turn).await["result"]["ok"], false);
    assert_eq!(gateway.end_of(&waiting).await["state"], "failed");
    agent.stop();
}

#[tokio::test]
async fn what_is_sent_from_a_command_line_is_answered_there() {
    let model = echo();
    let gateway = Gateway::start(&[]);
    let agent = agent(&gateway, &model);
    let sent = gateway.world.turnwire(&["send", "a", "hello"]).output().unwrap();
    assert_eq!(
        (stdout(&sent).as_str(), sent.status.code()),
        ("understood\n", Some(0)),
        "{}",
        stderr(&sent)
    );
    agent.stop();
}
