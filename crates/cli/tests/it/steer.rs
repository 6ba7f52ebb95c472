//! `agents`, `order` and `approvals`, with an agent that is played through the real downlink of a real gateway.

use std::process::Stdio;

use serde_json::{Value, json};
use turnwire_client::downlink::Said;

use crate::{
    api::{api, get},
    player::Player,
    serve::serve,
    world::{World, stderr, stdout},
};

/// An agent of the world asks for something.
fn ask(world: &World, id: &str, tool: &str, arguments: &Value) {
    let data = json!({"approval_id": id, "tool": tool, "arguments": arguments});
    let event = json!({"type": "approval_request", "agent": "builder", "session_id": "s", "data": data});
    api(world, "POST", "/api/events", &event);
}

#[test]
fn an_order_is_waited_for_until_the_agent_has_done_it_or_says_why_not() {
    let world = World::new();
    let _served = serve(&world, &[]);
    let mut agent = Player::start(&world, "builder");
    let spawn = |args: &[&str]| {
        let mut command = world.turnwire(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let model = spawn(&["order", "builder", "set-model", "opus"]);
    let order = agent.order();
    assert_eq!(
        (order.action.as_str(), order.args.read::<Value>().unwrap()),
        ("set_model", json!({"model": "opus"}))
    );
    agent.says(&order, Said::Done);
    let done = model.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    assert!(
        stderr(&done).contains("set_model for builder is done"),
        "{}",
        stderr(&done)
    );

    let compact = spawn(&["order", "builder", "compact", "--session", "s", "--json"]);
    let order = agent.order();
    agent.says(&order, Said::Failed("nothing to compact".into()));
    let failed = compact.wait_with_output().unwrap();
    let told: Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!(
        (failed.status.code(), &told["state"], &told["reason"]),
        (Some(1), &json!("failed"), &json!("nothing to compact"))
    );
}

#[test]
fn an_order_that_is_not_done_in_time_stands_and_can_be_taken_back() {
    let world = World::new();
    let _served = serve(&world, &[]);
    let late = world
        .turnwire(&["order", "nobody", "hold", "freeze", "--no-wait"])
        .output()
        .unwrap();
    assert_eq!(late.status.code(), Some(0), "{}", stderr(&late));
    let told = stderr(&late);
    let (_, id) = told.split_once("order ").unwrap();
    let id = id.split(',').next().unwrap();
    let back = world.turnwire(&["order", "--withdraw", id]).output().unwrap();
    assert_eq!(back.status.code(), Some(0), "{}", stderr(&back));
    assert_eq!(get(&world, &format!("/api/commands/{id}"))["state"], "withdrawn");
    let wrong = world.turnwire(&["order", "nobody", "set-model"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        stderr(&wrong).contains("set_model needs its model"),
        "{}",
        stderr(&wrong)
    );
}

#[test]
fn what_waits_is_listed_and_decided_by_the_beginning_of_its_id() {
    let world = World::new();
    let _served = serve(&world, &[]);
    let run = |args: &[&str]| world.turnwire(args).output().unwrap();
    assert!(stderr(&run(&["approvals"])).contains("nothing waits"));
    ask(&world, "aa-1", "Bash", &json!({"command": "rm -rf \u{1b}[2Jbuild"}));
    ask(&world, "ab-2", "Edit", &json!({"file_path": "/etc/hosts"}));
    ask(&world, "ac-3", "Bash", &json!({"command": "ls"}));
    let listed = stdout(&run(&["approvals"]));
    assert!(listed.contains("rm -rf") && listed.contains("/etc/hosts"), "{listed}");
    assert!(!listed.contains('\u{1b}'), "{listed:?}");
    // Which one is meant must be plain.
    let several = run(&["approvals", "approve", "a"]);
    assert_eq!(several.status.code(), Some(2), "{}", stderr(&several));
    let edited = run(&["approvals", "approve", "aa", "--arguments", r#"{"command":"ls"}"#]);
    assert_eq!(edited.status.code(), Some(0), "{}", stderr(&edited));
    let decided = get(&world, "/api/approvals/aa-1");
    assert_eq!(
        (&decided["state"], &decided["updated_arguments"]),
        (&json!("approved"), &json!({"command": "ls"}))
    );
    let denied = run(&["approvals", "deny", "ab", "ac", "--message", "no"]);
    assert_eq!(denied.status.code(), Some(0), "{}", stderr(&denied));
    assert_eq!(get(&world, "/api/approvals/ac-3")["message"], "no");
    // What was decided before stays so.
    let again = run(&["approvals", "approve", "ab-2"]);
    assert_eq!(again.status.code(), Some(1), "{}", stderr(&again));
    let all = stdout(&run(&["approvals", "--all", "--json"]));
    assert_eq!(all.lines().count(), 3, "{all}");
}

#[test]
fn agents_are_listed_with_what_they_are_at() {
    let world = World::new();
    let _served = serve(&world, &[]);
    let run = |args: &[&str]| stdout(&world.turnwire(args).output().unwrap());
    assert_eq!(run(&["agents"]), "");
    let _agent = Player::start(&world, "builder");
    assert!(run(&["agents"]).contains("builder"), "{}", run(&["agents"]));
    let told: Value = serde_json::from_str(run(&["agents", "--json"]).trim()).unwrap();
    assert_eq!((&told["name"], &told["online"]), (&json!("builder"), &json!(true)));
}
