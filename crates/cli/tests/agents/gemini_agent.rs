//! Gemini CLI, driven: `gemini --acp` by the driver of ACP.

use std::{fs, path::Path};

use serde_json::json;
use turnwire_proto::Name;
use turnwire_runner::{Failure, Outcome, Signal, Tell};

use crate::{
    driving::Driving,
    gateway_agent, gemini_server, promises,
    scripted::{Reply, Scripted},
};

fn script(said: &str, results: usize) -> Reply {
    match results {
        0 if said.contains("TOOL") => {
            let input = json!({"command": "echo from a tool > made.txt; cat made.txt", "description": "Make a file"});
            Reply::Tool("run_shell_command", input)
        }
        _ if said.contains("HOLD") => Reply::Held("One half "),
        _ if said.contains("KEY") => Reply::Refuses(
            401,
            json!({"code": 401, "message": "API key not valid", "status": "UNAUTHENTICATED"}),
        ),
        _ if said.contains("LONG") => {
            let message = "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).";
            Reply::Refuses(
                400,
                json!({"code": 400, "message": message, "status": "INVALID_ARGUMENT"}),
            )
        }
        _ => Reply::Text("It is done."),
    }
}

fn gemini() -> (Scripted, Driving) {
    drive("gemini", &[])
}

fn drive(driver: &str, args: &[&str]) -> (Scripted, Driving) {
    let model = gemini_server::start(script);
    let driving = Driving::new(
        driver,
        "gemini",
        |dir| surroundings(dir, &model),
        |setup| setup.args = args.iter().map(Into::into).collect(),
    );
    (model, driving)
}

/// Its configuration, and its variables.
fn surroundings(dir: &Path, model: &Scripted) -> Vec<(&'static str, String)> {
    let settings = json!({
        "security": {"auth": {"selectedType": "gemini-api-key"}},
        "general": {"disableAutoUpdate": true}, "privacy": {"usageStatisticsEnabled": false},
    });
    fs::create_dir_all(dir.join("home/.gemini")).unwrap();
    fs::write(dir.join("home/.gemini/settings.json"), settings.to_string()).unwrap();
    vec![
        ("GOOGLE_GEMINI_BASE_URL", model.url.clone()),
        ("GEMINI_API_KEY", "x".to_owned()),
        ("GEMINI_CLI_TRUST_WORKSPACE", "true".to_owned()),
    ]
}

#[tokio::test]
async fn a_turn_is_answered_and_a_new_process_goes_on_with_the_conversation() {
    let (model, mut gemini) = gemini();
    promises::a_turn_is_answered(&mut gemini, 100).await;
    let conversation = gemini.signals.iter().find_map(|signal| match signal {
        Signal::Conversation(conversation) => Some(conversation.clone()),
        _ => None,
    });
    gemini.end().await;

    // Of a conversation that was begun in the same minute it keeps nothing: this one was begun before.
    let chats = gemini.path("home/.gemini/tmp/project/chats");
    let of = conversation.as_ref().unwrap().split('-').next().unwrap();
    let mut files = fs::read_dir(&chats).unwrap().map(|entry| entry.unwrap().path());
    let chat = files.find(|path| path.to_str().unwrap().contains(of)).unwrap();
    fs::rename(chat, chats.join(format!("session-2026-01-01T00-00-{of}.jsonl"))).unwrap();
    gemini.again("gemini", |setup| setup.conversation = conversation);
    promises::it_goes_on_with_the_conversation(&mut gemini, &model, "contents").await;
    assert_eq!(
        gemini.said(),
        ["It is done.", "It is done."],
        "what was told is not told again"
    );
    gemini.end().await;
}

#[tokio::test]
async fn a_tool_runs_when_it_is_approved_and_only_then() {
    let (_model, gemini) = gemini();
    promises::a_tool_runs_when_it_is_approved(gemini, "title", None).await;
}

#[tokio::test]
async fn an_interrupt_ends_the_turn_and_what_it_asked_and_the_next_turn_is_answered() {
    let (_model, gemini) = gemini();
    promises::an_interrupt_ends_the_turn(gemini).await;
}

#[tokio::test]
async fn another_model_and_mode_count_from_the_next_turn_on() {
    let (model, mut gemini) = gemini();
    gemini.prompt("Say something.").await.unwrap();
    gemini.over().await;
    gemini
        .driver
        .tell(Tell::Model(Name::new("gemini-2.5-flash").unwrap()))
        .await
        .unwrap();
    gemini
        .driver
        .tell(Tell::PermissionMode(Name::new("yolo").unwrap()))
        .await
        .unwrap();
    gemini.prompt("Use the TOOL.").await.unwrap();
    assert_eq!(gemini.over().await, Outcome::Done, "it asks nobody");
    assert!(gemini.path("project/made.txt").exists());
    let (path, _) = model
        .asked()
        .into_iter()
        .rfind(|(path, _)| path.contains(":stream"))
        .unwrap();
    assert!(path.contains("gemini-2.5-flash"), "{path}");
    let compacted = gemini.driver.tell(Tell::Compact(None)).await;
    assert!(matches!(compacted, Err(Failure::Unsupported(_))), "{compacted:?}");
    gemini.end().await;
}

#[tokio::test]
async fn why_a_turn_failed_is_told_by_its_outcome() {
    let (_model, mut gemini) = gemini();
    gemini.prompt("Too LONG.").await.unwrap();
    assert_eq!(gemini.over().await, Outcome::PromptTooLong);
    gemini.prompt("Use another KEY.").await.unwrap();
    assert_eq!(gemini.over().await, Outcome::NeedsLogin);
    gemini.end().await;
}

#[tokio::test]
async fn any_agent_that_speaks_acp_is_driven_by_its_command() {
    let (_model, mut agent) = drive("acp", &["--acp"]);
    agent.prompt("Say something.").await.unwrap();
    assert_eq!(agent.over().await, Outcome::Done);
    assert_eq!(agent.said(), ["It is done."]);
    agent.end().await;
}

#[tokio::test]
async fn behind_a_gateway_it_is_spoken_to_asked_for_and_interrupted() {
    let model = gemini_server::start(script);
    gateway_agent::answers_asks_and_stops("gemini", "gemini", |dir| surroundings(dir, &model)).await;
}
