//! `turnwire connect`: what it prints is enough, and no more than is needed is allowed by it.

use std::process::Command;

use serde_json::Value;

use crate::{
    api::get,
    world::{World, serve, stderr, stdout},
};

fn printed(world: &World, args: &[&str]) -> String {
    let output = world.turnwire(&[&["connect"], args].concat()).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

fn told(world: &World, args: &[&str]) -> Value {
    serde_json::from_str(&printed(world, &[args, &["--json"]].concat())).unwrap()
}

/// The token in what was printed.
fn token(text: &str) -> String {
    let at = text.find("tw_").expect("a token");
    text[at..].chars().take(3 + 64).collect()
}

#[test]
fn what_is_printed_is_read_by_a_shell_and_its_token_may_publish_and_nothing_else() {
    let world = World::new();
    let served = serve(&world, &[]);
    let lines = printed(&world, &["claude", "--agent", "it's me"]);
    let show =
        "printf '%s|' \"$OTEL_EXPORTER_OTLP_ENDPOINT\" \"$OTEL_EXPORTER_OTLP_HEADERS\" \"$OTEL_RESOURCE_ATTRIBUTES\"";
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!("{lines}\n{show}"))
        .output()
        .unwrap();
    let url = served.ready["url"].as_str().unwrap();
    let token = token(&lines);
    let want = format!("{url}|Authorization=Bearer {token}|turnwire.agent=it%27s%20me|");
    assert_eq!(stdout(&output), want, "{}", stderr(&output));
    let tokens = get(&world, "/api/tokens");
    let made = tokens["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .find(|token| token["name"] == "otlp claude");
    assert_eq!(made.unwrap()["scopes"], serde_json::json!(["publish"]), "{tokens}");
}

#[test]
fn each_agent_is_told_in_its_own_words_and_the_token_is_not_said_elsewhere() {
    let world = World::new();
    let served = serve(&world, &[]);
    let url = served.ready["url"].as_str().unwrap();
    for (who, variable) in [
        ("claude", "OTEL_EXPORTER_OTLP_ENDPOINT"),
        ("gemini", "GEMINI_TELEMETRY_OTLP_ENDPOINT"),
        ("otel", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    ] {
        assert_eq!(told(&world, &[who])["env"][variable], url, "{who}");
    }
    let settings = told(&world, &["codex"])["settings"]["text"]
        .as_str()
        .unwrap()
        .to_owned();
    let table: toml::Table = settings.parse().unwrap();
    let exporter = &table["otel"]["exporter"]["otlp-http"];
    assert_eq!(exporter["endpoint"].as_str(), Some(&*format!("{url}/v1/logs")));
    assert_eq!(
        exporter["headers"]["authorization"].as_str(),
        Some(&*format!("Bearer {}", token(&settings)))
    );
    let content = |args: &[&str]| told(&world, args)["env"]["OTEL_LOG_USER_PROMPTS"].clone();
    assert_eq!(
        (content(&["claude"]), content(&["claude", "--no-content"])),
        ("1".into(), Value::Null)
    );
    let output = world.turnwire(&["connect", "otel", "-v"]).output().unwrap();
    assert!(
        stdout(&output).contains("tw_") && !stderr(&output).contains("tw_"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_token_of_ones_own_is_printed_without_asking_and_without_authentication_there_is_none() {
    let world = World::new();
    let own = format!("tw_{}", "a".repeat(64));
    // Nothing listens there.
    let text = printed(
        &world,
        &[
            "otel",
            "--url",
            "https://agents.example.org/",
            "--token",
            &own,
            "--shell",
            "fish",
        ],
    );
    assert!(
        text.contains("set -gx OTEL_EXPORTER_OTLP_ENDPOINT 'https://agents.example.org'\n"),
        "{text}"
    );
    assert!(text.contains(&format!("'Authorization=Bearer%20{own}'")), "{text}");
    let output = world.turnwire(&["connect", "otel"]).output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(69),
        "there is no gateway: {}",
        stderr(&output)
    );
    let _served = serve(&world, &["--no-auth"]);
    let env = told(&world, &["claude"])["env"].clone();
    assert!(env.get("OTEL_EXPORTER_OTLP_HEADERS").is_none(), "{env}");
}
