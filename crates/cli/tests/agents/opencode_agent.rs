//! opencode, driven: `opencode serve` by its driver.

use std::{fs, path::Path};

use serde_json::json;
use turnwire_proto::Name;
use turnwire_runner::{Failure, Outcome, Signal, Tell, Verdict};

use crate::{
    anthropic_server,
    cutting::Cutting,
    driving::Driving,
    gateway_agent, promises,
    scripted::{Reply, Scripted},
};

fn script(said: &str, results: usize) -> Reply {
    match results {
        0 if said.contains("TOOL") => {
            let input = json!({"command": "echo from a tool > made.txt; cat made.txt", "description": "Make a file"});
            Reply::Tool("bash", input)
        }
        _ if said.contains("HOLD") => Reply::Held("One half "),
        _ if said.contains("KEY") => {
            Reply::Refuses(401, json!({"type": "authentication_error", "message": "no such key"}))
        }
        _ if said.contains("LONG") => {
            let message = "prompt is too long: 300000 tokens > 200000 maximum";
            Reply::Refuses(400, json!({"type": "invalid_request_error", "message": message}))
        }
        _ => Reply::Text("It is done."),
    }
}

fn opencode() -> (Scripted, Driving) {
    let model = anthropic_server::start(script);
    let driving = Driving::new("opencode", "opencode", |dir| surroundings(dir, &model), |_| {});
    (model, driving)
}

/// Its configuration, and its variables.
fn surroundings(dir: &Path, model: &Scripted) -> Vec<(&'static str, String)> {
    let config = json!({
        "model": "anthropic/claude-sonnet-4-5", "small_model": "anthropic/claude-haiku-4-5",
        "autoupdate": false, "share": "disabled", "permission": {"bash": "ask"},
        "provider": {"anthropic": {
            "options": {"baseURL": format!("{}/v1", model.url), "apiKey": "x"},
            "models": {"claude-sonnet-4-5": {}, "claude-opus-4-1": {}, "claude-haiku-4-5": {}},
        }},
    });
    let home = |name: &str| dir.join("home").join(name).to_str().unwrap().to_owned();
    vec![
        ("OPENCODE_CONFIG_CONTENT", config.to_string()),
        ("OPENCODE_DISABLE_AUTOUPDATE", "1".to_owned()),
        ("OPENCODE_DISABLE_MODELS_FETCH", "1".to_owned()),
        ("XDG_CONFIG_HOME", home("config")),
        ("XDG_DATA_HOME", home("data")),
        ("XDG_CACHE_HOME", home("cache")),
        ("XDG_STATE_HOME", home("state")),
    ]
}

#[tokio::test]
async fn a_turn_is_answered_and_a_new_process_goes_on_with_the_conversation() {
    let (model, mut opencode) = opencode();
    promises::a_turn_is_answered(&mut opencode, 100).await;
    opencode.end().await;
    promises::it_goes_on_with_the_conversation(&mut opencode, &model, "messages").await;
    opencode.end().await;
}

#[tokio::test]
async fn a_tool_runs_when_it_is_approved_and_only_then() {
    let (_model, opencode) = opencode();
    promises::a_tool_runs_when_it_is_approved(opencode, "command", Some("Not today.")).await;
}

#[tokio::test]
async fn an_interrupt_ends_the_turn_and_what_it_asked_and_the_next_turn_is_answered() {
    let (_model, opencode) = opencode();
    promises::an_interrupt_ends_the_turn(opencode).await;
}

#[tokio::test]
async fn another_model_and_agent_count_from_the_next_turn_on() {
    let (model, mut opencode) = opencode();
    opencode.prompt("Say something.").await.unwrap();
    opencode.over().await;
    let refused = opencode
        .driver
        .tell(Tell::Model(Name::new("claude-opus-4-1").unwrap()))
        .await;
    assert!(matches!(refused, Err(Failure::Refused(_))), "{refused:?}");
    opencode
        .driver
        .tell(Tell::Model(Name::new("anthropic/claude-opus-4-1").unwrap()))
        .await
        .unwrap();
    opencode
        .driver
        .tell(Tell::PermissionMode(Name::new("plan").unwrap()))
        .await
        .unwrap();
    opencode.prompt("Say something.").await.unwrap();
    assert_eq!(opencode.over().await, Outcome::Done);
    let asked = model.asked().into_iter().filter(|(_, asked)| asked["tools"].is_array());
    let models: Vec<_> = asked
        .map(|(_, asked)| asked["model"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(models, ["claude-sonnet-4-5", "claude-opus-4-1"]);
    opencode.end().await;
}

#[tokio::test]
async fn a_compaction_is_over_when_it_says_so() {
    let (_model, mut opencode) = opencode();
    let nothing = opencode.driver.tell(Tell::Compact(None)).await;
    assert!(matches!(nothing, Err(Failure::Refused(_))), "{nothing:?}");
    opencode.prompt("Say something.").await.unwrap();
    opencode.over().await;
    opencode.driver.tell(Tell::Compact(None)).await.unwrap();
    assert_eq!(opencode.over().await, Outcome::Done);
    let compacting = opencode.signals.iter().filter_map(|signal| match signal {
        Signal::Compacting(is) => Some(*is),
        _ => None,
    });
    let compacting: Vec<bool> = compacting.collect();
    assert_eq!((compacting.first(), compacting.last()), (Some(&true), Some(&false)));
    opencode.prompt("Say something.").await.unwrap();
    assert_eq!(opencode.over().await, Outcome::Done);
    opencode.end().await;
}

#[tokio::test]
async fn why_a_turn_failed_is_told_by_its_outcome() {
    let (_model, mut opencode) = opencode();
    opencode.prompt("Use another KEY.").await.unwrap();
    assert_eq!(opencode.over().await, Outcome::NeedsLogin);
    opencode.prompt("Say something.").await.unwrap();
    assert_eq!(
        opencode.over().await,
        Outcome::Done,
        "an end that is told twice ends one turn"
    );
    opencode.prompt("Too LONG.").await.unwrap();
    assert_eq!(opencode.over().await, Outcome::PromptTooLong);
    opencode.end().await;
}

#[tokio::test]
async fn behind_a_gateway_it_is_spoken_to_asked_for_and_interrupted() {
    let model = anthropic_server::start(script);
    gateway_agent::answers_asks_and_stops("opencode", "opencode", |dir| surroundings(dir, &model)).await;
}

#[tokio::test]
async fn what_happens_while_its_events_are_cut_off_is_told_once_when_they_are_back() {
    let (_model, mut opencode) = opencode();
    let way = Cutting::default();
    // It tells the driver to go by this way to its port.
    let script = opencode.path("agent");
    let through = format!("| sed -u 's#http://127.0.0.1:#http://{}/#'", way.start());
    let text = fs::read_to_string(&script)
        .unwrap()
        .replace("exec ", "")
        .replace("\"$@\"", &format!("\"$@\" {through}"));
    fs::write(&script, text).unwrap();
    opencode.prompt("Say something.").await.unwrap();
    assert_eq!(opencode.over().await, Outcome::Done);
    opencode.prompt("Use the TOOL.").await.unwrap();
    let (ask, _) = opencode.asks().await;
    // The driver tries again and again, and gets through when the tool has run unseen.
    way.cut_until(&opencode.path("project/made.txt"));
    opencode
        .driver
        .answer(&ask.id, &Verdict::Approved { arguments: None })
        .await
        .unwrap();
    assert_eq!(opencode.over().await, Outcome::Done);
    assert_eq!(opencode.said(), ["It is done.", "It is done."]);
    let calls = opencode.bodies("tool_call");
    let outcomes: Vec<_> = calls.iter().map(|call| (&call["success"], &call["output"])).collect();
    assert_eq!(outcomes, [(&json!(true), &json!("from a tool\n"))]);
    opencode.end().await;
}
