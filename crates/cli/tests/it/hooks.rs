//! `turnwire hook`, as an agent calls it, and `turnwire hooks`, as a person does.

use std::{
    fs,
    io::Write,
    process::{Child, Output, Stdio},
};

use serde_json::{Value, json};

use crate::{
    api::{decide, get, question},
    serve::serve,
    world::{World, stderr, stdout},
};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../adapters/fixtures/claude-hooks");

fn recorded(name: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("{FIXTURES}/{name}.hooks.jsonl")).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn asked() -> String {
    json!({"session_id": "s", "prompt_id": "p", "hook_event_name": "PermissionRequest", "tool_name": "Bash",
        "tool_input": {"command": "make"}})
    .to_string()
}

/// A hook that has its payload.
fn begin(world: &World, args: &[&str], payload: &str) -> Child {
    let all = [&["hook", "claude"], args].concat();
    let mut child = world
        .turnwire(&all)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(payload.as_bytes()).unwrap();
    child
}

fn hook(world: &World, args: &[&str], payload: &str) -> Output {
    begin(world, args, payload).wait_with_output().unwrap()
}

fn answer(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stdout(output)))
}

#[test]
fn what_hooks_tell_is_in_the_log_and_the_agent_is_told_nothing() {
    let world = World::new();
    let _served = serve(&world, &[]);
    let payloads = recorded("tools");
    for payload in &payloads {
        let output = hook(&world, &[], payload);
        assert_eq!(
            (output.status.code(), stdout(&output).as_str()),
            (Some(0), ""),
            "{}",
            stderr(&output)
        );
    }
    let session: Value = serde_json::from_str(&payloads[0]).unwrap();
    let session = session["session_id"].as_str().unwrap();
    let turns = get(&world, &format!("/api/sessions/{session}/turns"));
    assert_eq!(
        (&turns["turns"][0]["result"], &turns["turns"][0]["agent"]),
        (&json!("Done."), &json!("claude-code"))
    );
    assert!(world.spooled().is_empty());
}

#[test]
fn without_a_gateway_nothing_fails_or_is_lost_and_it_is_sent_in_its_order_when_there_is_one() {
    let world = World::new();
    let (before, after) = (recorded("tools"), recorded("permission-denied"));
    for payload in &before {
        let output = hook(&world, &[], payload);
        assert_eq!(
            (output.status.code(), stdout(&output).as_str()),
            (Some(0), ""),
            "{}",
            stderr(&output)
        );
    }
    let spools = fs::read_dir(world.data_dir().join("spool")).unwrap().count();
    assert_eq!(spools, 1, "one spool, not one a call");
    assert!(!world.spooled().is_empty());
    let _served = serve(&world, &[]);
    hook(&world, &[], &after[0]);
    assert!(world.spooled().is_empty());
    let session: Value = serde_json::from_str(&before[0]).unwrap();
    let session = session["session_id"].as_str().unwrap();
    let history = get(&world, &format!("/api/events/history?session_id={session}&limit=1000"));
    let kinds: Vec<&str> = history["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        (kinds[0], kinds.last()),
        ("session_start", Some(&"session_end")),
        "{kinds:?}"
    );
    let turns = get(&world, &format!("/api/sessions/{session}/turns"));
    assert_eq!(turns["turns"][0]["ok"], true);
}

#[test]
fn a_permission_waits_for_a_decision_and_is_answered_in_the_vendors_words() {
    let world = World::new();
    let _served = serve(&world, &[]);
    let waiting = begin(&world, &["--agent", "ada"], &asked());
    let question = question(&world);
    assert_eq!(
        (&question["agent"], &question["state"]),
        (&json!("ada"), &json!("pending"))
    );
    decide(
        &world,
        &question,
        &json!({"decision": "approve", "arguments": {"command": "make -n"}}),
    );
    let answered = answer(&waiting.wait_with_output().unwrap());
    let decision = json!({"behavior": "allow", "updatedInput": {"command": "make -n"}});
    assert_eq!(
        answered,
        json!({"hookSpecificOutput": {"hookEventName": "PermissionRequest", "decision": decision}})
    );
}

#[test]
fn a_gate_holds_a_call_until_it_is_decided() {
    let world = World::new();
    let _served = serve(&world, &[]);
    let calls = recorded("tools");
    let call = calls.iter().find(|payload| payload.contains("\"PreToolUse\"")).unwrap();
    let waiting = begin(&world, &["--gate"], call);
    let question = question(&world);
    decide(&world, &question, &json!({"decision": "deny", "message": "not today"}));
    let answered = answer(&waiting.wait_with_output().unwrap());
    assert_eq!(
        answered["hookSpecificOutput"],
        json!({"hookEventName": "PreToolUse", "permissionDecision": "deny",
            "permissionDecisionReason": "Not permitted: not today"})
    );
}

#[test]
fn a_question_is_denied_when_the_gateway_cannot_be_asked_and_that_is_told_later() {
    let world = World::new();
    let answered = answer(&hook(&world, &["--wait", "1s"], &asked()));
    let decision = &answered["hookSpecificOutput"]["decision"];
    assert_eq!(decision["behavior"], "deny");
    let message = decision["message"].as_str().unwrap();
    assert!(message.contains("no gateway runs on this machine"), "{message}");
    let _served = serve(&world, &[]);
    hook(&world, &[], &recorded("tools")[0]);
    let list = get(&world, "/api/approvals");
    let approval = &list["approvals"][0];
    assert_eq!(
        (&approval["state"], &approval["by"]),
        (&json!("denied"), &json!("hook"))
    );
}

#[test]
fn a_question_is_denied_at_once_when_the_gateway_does_not_know_who_asks() {
    let world = World::new();
    let served = serve(&world, &[]);
    let url = served.ready["url"].as_str().unwrap();
    let answered = answer(&hook(&world, &["--url", url, "--token", "wrong"], &asked()));
    assert_eq!(answered["hookSpecificOutput"]["decision"]["behavior"], "deny");
}

#[test]
fn wrong_arguments_and_payloads_are_no_verdict_to_an_agent() {
    let world = World::new();
    let wrong = hook(&world, &["--made-up"], "{}");
    assert_eq!(wrong.status.code(), Some(1), "2 would block the agent");
    let nonsense = hook(&world, &[], "not json");
    assert_eq!((nonsense.status.code(), stdout(&nonsense).as_str()), (Some(0), ""));
    assert_eq!(world.spooled()[0]["type"], "raw");
}

#[test]
fn hooks_are_put_into_settings_shown_and_taken_out_and_all_else_stays() {
    let world = World::new();
    let dir = world.path("home").join(".claude");
    fs::create_dir_all(&dir).unwrap();
    let file = dir.join("settings.json");
    let mine = "{\n    \"model\": \"opus\",\n    \"hooks\": {\"Stop\": [{\"hooks\": [{\"type\": \"command\", \"command\": \"say done\"}]}]}\n}\n";
    fs::write(&file, mine).unwrap();
    let run = |args: &[&str]| {
        let mut command = world.turnwire(&[&["hooks"], args].concat());
        command.env_remove("CLAUDE_CONFIG_DIR").output().unwrap()
    };
    let unasked = run(&["install"]);
    assert!(
        !unasked.status.success() && stderr(&unasked).contains("--yes"),
        "{}",
        stderr(&unasked)
    );
    assert!(stdout(&unasked).contains("+ "), "it shows what it would change");
    assert_eq!(fs::read_to_string(&file).unwrap(), mine);

    assert!(run(&["install", "--yes"]).status.success());
    let with = fs::read_to_string(&file).unwrap();
    let settings: Value = serde_json::from_str(&with).unwrap();
    assert_eq!(settings["hooks"]["Stop"][0]["hooks"][0]["command"], "say done");
    let hook = &settings["hooks"]["PermissionRequest"][0]["hooks"][0];
    let command = hook["command"].as_str().unwrap();
    assert!(command.contains("turnwire hook claude --data-dir "), "{command}");
    assert_eq!((&hook["type"], &hook["timeout"]), (&json!("command"), &json!(600)));
    assert!(run(&["install", "--yes"]).status.success());
    assert_eq!(fs::read_to_string(&file).unwrap(), with, "twice is once");
    assert!(stdout(&run(&["show"])).contains("PermissionRequest"));

    assert!(run(&["install", "--gate", "--http", "--yes"]).status.success());
    let http: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let hook = &http["hooks"]["PreToolUse"][0]["hooks"][0];
    assert_eq!(
        (&hook["url"], &hook["headers"], &hook["allowedEnvVars"]),
        (
            &json!("http://127.0.0.1:8876/api/hooks/claude?gate=pre_tool_use"),
            &json!({"Authorization": "Bearer $TURNWIRE_TOKEN"}),
            &json!(["TURNWIRE_TOKEN"])
        )
    );
    assert!(http["hooks"]["SessionStart"].is_null());

    assert!(run(&["uninstall", "--yes"]).status.success());
    assert_eq!(fs::read_to_string(&file).unwrap(), mine);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "no copy is left");
    assert_eq!(run(&["show"]).status.code(), Some(1));
}

#[test]
fn settings_that_were_not_there_are_not_there_again() {
    let world = World::new();
    let project = world.path("project");
    fs::create_dir_all(&project).unwrap();
    let at = project.to_str().unwrap();
    let run = |args: &[&str]| world.turnwire(&[&["hooks"], args].concat()).output().unwrap();
    let installed = run(&["install", "--project", at, "--yes"]);
    assert!(installed.status.success(), "{}", stderr(&installed));
    let file = project.join(".claude/settings.json");
    assert!(fs::read_to_string(&file).unwrap().contains("hook claude"));
    assert!(run(&["uninstall", "--project", at, "--yes"]).status.success());
    assert!(!file.exists());
    fs::write(&file, "{ // mine\n}").unwrap();
    let refused = run(&["install", "--project", at, "--yes"]);
    assert!(
        !refused.status.success() && stderr(&refused).contains("was not changed"),
        "{}",
        stderr(&refused)
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "{ // mine\n}");
}
