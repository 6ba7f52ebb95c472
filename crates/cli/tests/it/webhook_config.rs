//! Sections of webhooks: which of them a gateway takes. `docs/protocol.md`, W12.

use std::fs;

use serde_json::Value;

use crate::{
    webhook::{SECRET, configure},
    world::{World, stderr, stdout},
};

/// W12: nothing starts with a webhook that could not be served, and no secret is said.
#[test]
fn a_section_that_cannot_be_served_ends_the_start_with_its_name_and_the_field() {
    let world = World::new();
    let signed = |more: &str| format!("[[webhook]]\nname = \"x\"\nsignature = {{ header = \"s\", {more} }}\n");
    let file = "secret_file = \"SECRET\"";
    for (text, secret, why) in [
        (
            signed("secret_env = \"TURNWIRE_NO_SUCH\""),
            "",
            "[[webhook]] x: `signature`: the variable TURNWIRE_NO_SUCH",
        ),
        (signed("secret_file = \"/none/such\""), "", "`secret_file` /none/such"),
        (signed(""), "", "`secret_env` or `secret_file`"),
        (signed(file), "too short", "fewer than 16 bytes"),
        (signed("secret = \"in the open\""), "", "unknown field `secret`"),
        (
            signed(&format!("{file}, signed = \"{{timestamp}}.{{body}}\"")),
            SECRET,
            "`signed` has `{timestamp}`",
        ),
        (signed(&format!("{file}, encoding = \"rot13\"")), SECRET, "rot13"),
        ("[[webhook]]\nname = \"x\"\nnam = 1\n".into(), "", "unknown field `nam`"),
        ("[[webhook]]\nname = \"a/b\"\n".into(), "", "`name`"),
        (
            "[[webhook]]\nname = \"x\"\n[[webhook]]\nname = \"x\"\n".into(),
            "",
            "`name`: another section",
        ),
        (
            "[[webhook]]\nname = \"x\"\nmap = { text = \"a\" }\n".into(),
            "",
            "`map`: `text`",
        ),
        ("[[webhook]]\nname = \"observability\"\n".into(), "", "`source`"),
        (
            format!("{}token = {{ header = \"t\", {file} }}\n", signed(file)),
            SECRET,
            "`signature` and `token`",
        ),
    ] {
        configure(&world, &text, secret);
        let ended = world.turnwire(&["serve", "--listen", "127.0.0.1:0"]).output().unwrap();
        let said = stderr(&ended);
        assert_eq!(ended.status.code(), Some(2), "{text}: {said}");
        assert!(said.contains("turnwire.toml") && said.contains(why), "{text}: {said}");
        assert!(secret.is_empty() || !said.contains(secret), "{said}");
        assert!(!world.data_dir().join("log.db").exists(), "{text}");
    }
}

#[test]
fn the_doctor_says_which_webhook_has_no_secret() {
    let world = World::new();
    let text = "[[webhook]]\nname = \"a\"\ntoken = { header = \"t\", secret_env = \"TURNWIRE_NO_SUCH\" }\n\
                [[webhook]]\nname = \"b\"\ntoken = { header = \"t\", secret_file = \"SECRET\" }\n\
                [[webhook]]\nname = \"c\"\ntoken = { header = \"t\", secret_file = \"/none/such\" }\n";
    configure(&world, text, SECRET);
    let told = world
        .turnwire(&["doctor", "--json", "--listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    assert_eq!(told.status.code(), Some(1));
    let checks: Vec<Value> = stdout(&told)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of: Vec<_> = checks.iter().filter(|check| check["check"] == "webhook").collect();
    let states: Vec<_> = of.iter().map(|check| check["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["warn", "ok", "fail"], "{of:?}");
    assert!(
        of[0]["found"].as_str().unwrap().contains("TURNWIRE_NO_SUCH")
            && of[2]["found"].as_str().unwrap().contains("/none/such")
    );
    assert!(!stdout(&told).contains(SECRET));
}

/// W12: what the documentation shows is what a gateway takes.
#[test]
fn every_section_of_the_documentation_can_be_served() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/webhooks.md");
    let page = fs::read_to_string(page).unwrap();
    let blocks = page
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap());
    let text = blocks
        .collect::<String>()
        .replace("\"/etc/turnwire/gitlab-token\"", "\"SECRET\"");
    let world = World::new();
    configure(&world, &text, SECRET);
    let mut command = world.turnwire(&["doctor", "--json", "--listen", "127.0.0.1:0"]);
    let secrets = ["GITHUB_WEBHOOK_SECRET", "SLACK_SIGNING_SECRET", "STRIPE_WEBHOOK_SECRET"];
    command.envs(secrets.map(|name| (name, SECRET)));
    let told = command
        .env("STANDARD_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .output()
        .unwrap();
    let checks: Vec<Value> = stdout(&told)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let webhooks: Vec<_> = checks.iter().filter(|check| check["check"] == "webhook").collect();
    assert!(
        webhooks.len() == 7 && webhooks.iter().all(|check| check["state"] == "ok"),
        "{checks:?}"
    );
    assert!(checks.iter().all(|check| check["check"] != "config"), "{checks:?}");
}
