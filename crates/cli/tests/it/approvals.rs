//! Approvals of a gateway that is killed, and settings of those who are told of them.

use serde_json::{Value, json};

use crate::{
    api::{api, decide, get},
    world::{World, serve, stderr},
};

#[test]
fn a_gateway_that_is_killed_keeps_its_questions_and_its_verdicts() {
    let world = World::new();
    let request =
        |id: &str| json!({"type": "approval_request", "session_id": "s", "data": {"approval_id": id, "tool": "Bash"}});
    let served = serve(&world, &[]);
    let questions = json!([request("open"), request("approved"), request("denied")]);
    api(&world, "POST", "/api/events", &questions);
    let verdicts: Vec<Value> = [("approved", "approve"), ("denied", "deny")]
        .iter()
        .map(|(id, decision)| {
            let decision = json!({"decision": decision, "message": "so"});
            decide(&world, &json!({"id": id}), &decision)
        })
        .collect();
    // Dropped, it is killed.
    drop(served);
    let _served = serve(&world, &[]);
    for verdict in &verdicts {
        let url = format!("/api/approvals/{}", verdict["id"].as_str().unwrap());
        assert_eq!(get(&world, &url), *verdict);
    }
    let state = get(&world, "/api/state");
    let open: Vec<_> = state["approvals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["id"])
        .collect();
    assert_eq!(open, ["open"], "no prompt of what is decided");
    let decided = decide(&world, &json!({"id": "open"}), &json!({"decision": "approve"}));
    assert_eq!(decided["state"], "approved");
}

#[test]
fn who_cannot_be_told_is_refused_at_the_start_without_repeating_the_url() {
    let world = World::new();
    for (flag, url, why) in [
        (
            "--notify-webhook",
            "secret.example/hook",
            "--notify-webhook must be an http or https URL",
        ),
        ("--notify-ntfy", "https://secret.example/", "the URL of a topic"),
        (
            "--public-url",
            "secret.example",
            "--public-url must be an http or https URL",
        ),
    ] {
        let output = world
            .turnwire(&["serve", "--listen", "127.0.0.1:0", flag, url])
            .output()
            .unwrap();
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(why) && !told.contains("secret"), "{told}");
    }
}
