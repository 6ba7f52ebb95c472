//! Codex, driven: `codex app-server` by its driver.

use std::{fs, path::Path};

use serde_json::json;
use turnwire_proto::Name;
use turnwire_runner::{Failure, Outcome, Signal, Tell};

use crate::{
    driving::Driving,
    gateway_agent, openai_server, promises,
    scripted::{Reply, Scripted},
};

fn script(said: &str, results: usize) -> Reply {
    match results {
        0 if said.contains("TOOL") => {
            let command = "echo from a tool > made.txt; cat made.txt";
            let input =
                json!({"cmd": command, "sandbox_permissions": "require_escalated", "justification": "It is needed."});
            Reply::Tool("exec_command", input)
        }
        _ if said.contains("HOLD") => Reply::Held("One half "),
        _ if said.contains("LONG") => {
            Reply::Refuses(200, json!({"code": "context_length_exceeded", "message": "too long"}))
        }
        _ if said.contains("LIMIT") => {
            let error = json!({"type": "usage_limit_reached", "message": "limit", "resets_in_seconds": 3600});
            Reply::Refuses(429, error)
        }
        _ => Reply::Text("It is done."),
    }
}

fn codex() -> (Scripted, Driving) {
    drive("codex")
}

fn drive(driver: &str) -> (Scripted, Driving) {
    let model = openai_server::start(script);
    let driving = Driving::new(
        driver,
        "codex",
        |dir| surroundings(dir, &model),
        |setup| setup.model = Some(Name::new("gpt-5.1").unwrap()),
    );
    (model, driving)
}

/// Its configuration, and its variables.
fn surroundings(dir: &Path, model: &Scripted) -> Vec<(&'static str, String)> {
    let config = format!(
        "model = \"gpt-5.1\"\nmodel_provider = \"here\"\nsandbox_mode = \"read-only\"\napproval_policy = \"on-request\"\n\
         [model_providers.here]\nname = \"here\"\nbase_url = \"{}/v1\"\nenv_key = \"MODEL_KEY\"\nwire_api = \"responses\"\n",
        model.url
    );
    let home = dir.join("codex");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("config.toml"), config).unwrap();
    vec![
        ("CODEX_HOME", home.to_str().unwrap().to_owned()),
        ("MODEL_KEY", "x".to_owned()),
    ]
}

#[tokio::test]
async fn a_turn_is_answered_and_a_new_process_goes_on_with_the_conversation() {
    let (model, mut codex) = codex();
    promises::a_turn_is_answered(&mut codex, 90).await;
    codex.end().await;
    promises::it_goes_on_with_the_conversation(&mut codex, &model, "input").await;
    codex.end().await;
}

#[tokio::test]
async fn a_tool_runs_when_it_is_approved_and_only_then() {
    let (_model, codex) = codex();
    promises::a_tool_runs_when_it_is_approved(codex, "command", None).await;
}

#[tokio::test]
async fn an_interrupt_ends_the_turn_and_what_it_asked_and_the_next_turn_is_answered() {
    let (_model, codex) = codex();
    promises::an_interrupt_ends_the_turn(codex).await;
}

#[tokio::test]
async fn another_model_and_policy_count_from_the_next_turn_on() {
    let (model, mut codex) = codex();
    codex.prompt("Say something.").await.unwrap();
    codex.over().await;
    codex
        .driver
        .tell(Tell::Model(Name::new("gpt-5.1-codex").unwrap()))
        .await
        .unwrap();
    for mode in [
        "untrusted",
        "workspace-write",
        "danger-full-access",
        "read-only",
        "never",
    ] {
        codex
            .driver
            .tell(Tell::PermissionMode(Name::new(mode).unwrap()))
            .await
            .unwrap();
        codex.prompt("Say something.").await.unwrap();
        assert_eq!(codex.over().await, Outcome::Done, "{mode}");
    }
    let models: Vec<_> = model
        .asked()
        .iter()
        .map(|(_, asked)| asked["model"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((models[0].as_str(), models[1].as_str()), ("gpt-5.1", "gpt-5.1-codex"));
    let refused = codex
        .driver
        .tell(Tell::PermissionMode(Name::new("maybe").unwrap()))
        .await;
    assert!(matches!(refused, Err(Failure::Refused(_))), "{refused:?}");
    codex.end().await;
}

#[tokio::test]
async fn a_compaction_is_over_when_it_says_so() {
    let (_model, mut codex) = codex();
    codex.prompt("Say something.").await.unwrap();
    codex.over().await;
    codex.driver.tell(Tell::Compact(None)).await.unwrap();
    assert_eq!(codex.over().await, Outcome::Done);
    let compacting: Vec<bool> = codex
        .signals
        .iter()
        .filter_map(|signal| match signal {
            Signal::Compacting(is) => Some(*is),
            _ => None,
        })
        .collect();
    assert_eq!(compacting, [true, false]);
    codex.prompt("Say something.").await.unwrap();
    assert_eq!(codex.over().await, Outcome::Done);
    codex.end().await;
}

#[tokio::test]
async fn why_a_turn_failed_is_told_by_its_outcome() {
    let (_model, mut codex) = codex();
    codex.prompt("Too LONG.").await.unwrap();
    assert_eq!(codex.over().await, Outcome::PromptTooLong);
    codex.end().await;
    let (_model, mut codex) = self::codex();
    codex.prompt("At the LIMIT.").await.unwrap();
    assert!(matches!(codex.over().await, Outcome::RateLimited(_)));
    codex.end().await;
}

#[tokio::test]
async fn a_program_that_has_no_app_server_is_said_so() {
    let (_model, mut codex) = codex();
    fs::write(codex.path("agent"), "#!/bin/sh\necho no such command >&2\nexit 2\n").unwrap();
    let failure = codex.prompt("Say something.").await.unwrap_err();
    let text = failure.to_string();
    assert!(
        text.contains("codex-exec") && text.contains("no such command"),
        "{text}"
    );
}

#[tokio::test]
async fn a_process_a_turn_goes_on_with_the_conversation_asks_nobody_and_can_be_stopped() {
    let (model, mut codex) = drive("codex-exec");
    codex.prompt("Say something.").await.unwrap();
    assert_eq!(codex.over().await, Outcome::Done);
    let exited = |signal: &Signal, _: &[_]| matches!(signal, Signal::Exited(_)).then_some(());
    codex.until(exited).await;
    assert_eq!(codex.said(), ["It is done."]);
    assert_eq!(codex.bodies("turn_start").len(), 1);
    codex.again_adapter();
    codex.prompt("HOLD it.").await.unwrap();
    codex
        .until(|signal, _| {
            matches!(signal, Signal::Line(line) if line.starts_with(b"{\"type\":\"turn.started\"")).then_some(())
        })
        .await;
    codex.driver.tell(Tell::Interrupt).await.unwrap();
    assert_eq!(codex.over().await, Outcome::Interrupted);
    codex.until(exited).await;
    codex.again_adapter();
    promises::it_goes_on_with_the_conversation(&mut codex, &model, "input").await;
    codex.end().await;
}

#[tokio::test]
async fn behind_a_gateway_it_is_spoken_to_asked_for_and_interrupted() {
    let model = openai_server::start(script);
    gateway_agent::answers_asks_and_stops("codex", "codex", |dir| surroundings(dir, &model)).await;
}
