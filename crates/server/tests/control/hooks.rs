//! Hooks of agents that were not started here: what they tell is in the log, what they ask is decided.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::world::{Reply, Wire, World, within};

/// What real hooks told, in their order.
fn recorded(name: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/fixtures/claude-hooks");
    let text = fs::read_to_string(folder.join(format!("{name}.hooks.jsonl"))).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn asked(tool: &str) -> Value {
    json!({"session_id": "s", "prompt_id": "p", "hook_event_name": "PermissionRequest",
        "tool_name": tool, "tool_input": {"command": "make"}})
}

fn call(id: &str) -> Value {
    json!({"session_id": "s", "prompt_id": "p", "hook_event_name": "PreToolUse",
        "tool_name": "Bash", "tool_input": {"command": "make"}, "tool_use_id": id})
}

impl World {
    async fn hook(&self, query: &str, payload: impl AsRef<[u8]>) -> Reply {
        self.hook_by(&self.admin, query, payload).await
    }

    async fn hook_by(&self, token: &str, query: &str, payload: impl AsRef<[u8]>) -> Reply {
        let path = format!("/api/hooks/claude{query}");
        self.ask(self.request_by(token, "POST", &path, "application/json", payload))
            .await
    }

    /// A hook whose answer nobody has read yet.
    async fn hook_open(&self, query: &str, payload: &Value) -> Wire {
        let mut wire = self.wire().await;
        let path = format!("/api/hooks/claude{query}");
        wire.send(self.request("POST", &path, "application/json", payload.to_string()))
            .await;
        wire
    }

    /// The question that is open, as soon as there is one.
    async fn question(&self) -> Value {
        let mut stream = self.stream("/api/events?after=0&type=approval_request").await;
        let event = within("a question", stream.event()).await;
        self.approval(event["data"]["approval_id"].as_str().unwrap()).await
    }
}

#[tokio::test]
async fn what_recorded_hooks_told_is_turns_and_calls_and_telling_it_again_writes_nothing_of_them() {
    let world = World::start().await;
    let payloads = recorded("tools");
    for payload in &payloads {
        let reply = world.hook("?agent=ada", payload).await;
        assert_eq!((reply.ok(), reply.text().as_str()), (json!({}), "{}"));
    }
    let session: Value = serde_json::from_str(&payloads[0]).unwrap();
    let url = format!("/api/sessions/{}", session["session_id"].as_str().unwrap());
    let seen = async |part: &str| world.get(&format!("{url}/{part}")).await.ok();
    let turns = seen("turns").await["turns"].clone();
    assert_eq!(turns.as_array().unwrap().len(), 1, "{turns}");
    for (field, value) in [
        ("ok", json!(true)),
        ("prompt", json!("Run a few tools.")),
        ("result", json!("Done.")),
        ("agent", json!("ada")),
    ] {
        assert_eq!(turns[0][field], value, "{turns}");
    }
    let calls = seen("tool-calls").await["tool_calls"].clone();
    let outcomes: Vec<_> = calls.as_array().unwrap().iter().map(|call| &call["outcome"]).collect();
    assert_eq!(outcomes, ["ok", "ok", "failed", "ok", "ok"], "{calls}");
    let count = |kind: &str, events: &[Value]| events.iter().filter(|event| event["type"] == kind).count();
    let before = world.all().await;
    for payload in &payloads {
        world.hook("", payload).await.ok();
    }
    let after = world.all().await;
    for kind in ["turn_start", "turn_end", "message", "tool_call_start", "tool_call"] {
        assert_eq!(count(kind, &after), count(kind, &before), "{kind}");
    }
    assert!(before.iter().all(|event| event["source"] == "claude-hooks"));
}

#[tokio::test]
async fn a_permission_is_answered_with_what_is_decided_first() {
    let world = World::start().await;
    for (decision, answer, sees) in [
        (json!({"decision": "approve"}), json!({"behavior": "allow"}), "approved"),
        (
            json!({"decision": "approve", "arguments": {"command": "make -n"}}),
            json!({"behavior": "allow", "updatedInput": {"command": "make -n"}}),
            "approved",
        ),
        (
            json!({"decision": "deny", "message": "not today"}),
            json!({"behavior": "deny", "message": "Not permitted: not today"}),
            "denied",
        ),
    ] {
        let mut hook = world.hook_open("", &asked("Bash")).await;
        // Its head is sent before anybody has decided.
        let head = within("the head", hook.reply_head()).await.unwrap();
        assert_eq!(
            (head.status, head.headers["content-type"].as_str()),
            (200, "application/json")
        );
        let pending = world.pending().await;
        assert_eq!(pending.len(), 1);
        let approval = world.approval(&pending[0]).await;
        assert_eq!(
            (&approval["tool"], &approval["arguments"], &approval["turn_id"]),
            (&json!("Bash"), &json!({"command": "make"}), &json!("p"))
        );
        assert!(approval["expires_at"].is_string());
        world.decide(&pending[0], &decision).await.ok();
        let mut body = Vec::new();
        while let Some(chunk) = within("the answer", hook.chunk()).await {
            body.extend(chunk);
        }
        let body: Value = serde_json::from_slice(&body).unwrap();
        let wanted = json!({"hookEventName": "PermissionRequest", "decision": answer});
        assert_eq!(body, json!({"hookSpecificOutput": wanted}));
        assert_eq!(world.approval(&pending[0]).await["state"], sees);
    }
}

#[tokio::test]
async fn a_question_that_nobody_decides_is_left_to_the_agents_own_side_and_a_gate_stays_shut() {
    let world = World::start().await;
    let reply = world.hook("?wait_ms=1", asked("Bash").to_string()).await;
    assert_eq!(reply.ok(), json!({}));
    let question = world.question().await;
    assert_eq!(
        world.decided(question["id"].as_str().unwrap()).await["state"],
        "expired"
    );

    let reply = world
        .hook("?wait_ms=1&gate=pre_tool_use", call("t-1").to_string())
        .await
        .ok();
    let answer = &reply["hookSpecificOutput"];
    assert_eq!(
        (&answer["permissionDecision"], &answer["permissionDecisionReason"]),
        (&json!("deny"), &json!("Not permitted: nobody decided in time"))
    );
}

#[tokio::test]
async fn a_gate_asks_about_every_call_and_without_one_none_is_asked_about() {
    let world = World::start().await;
    assert_eq!(world.hook("", call("t-1").to_string()).await.ok(), json!({}));
    let hook = world.hook_open("?gate=pre_tool_use", &call("t-2")).await;
    let question = world.question().await;
    assert_eq!(question["tool_call_id"], "t-2");
    world
        .decide(
            question["id"].as_str().unwrap(),
            &json!({"decision": "approve", "message": "go"}),
        )
        .await
        .ok();
    let mut hook = hook;
    let answer = within("the answer", hook.reply()).await.ok();
    assert_eq!(
        answer["hookSpecificOutput"],
        json!({"hookEventName": "PreToolUse", "permissionDecision": "allow", "permissionDecisionReason": "go"})
    );
}

#[tokio::test]
async fn a_question_whose_asker_has_gone_is_withdrawn() {
    let world = World::start().await;
    let hook = world.hook_open("", &asked("Bash")).await;
    let question = world.question().await;
    assert_eq!(question["state"], "pending");
    drop(hook);
    let decided = within("the withdrawal", world.decided(question["id"].as_str().unwrap())).await;
    assert_eq!(decided["state"], "withdrawn");
    let refused = world
        .decide(question["id"].as_str().unwrap(), &json!({"decision": "approve"}))
        .await;
    refused.refused(409, "conflict");
}

#[tokio::test]
async fn a_question_outlives_a_restart_and_whoever_asks_again_gets_its_answer() {
    let mut world = World::start().await;
    let delivery = "?delivery=0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10";
    let mut hook = world.hook_open(delivery, &asked("Bash")).await;
    let question = world.question().await;
    world.restart().await;
    // Cut off: no answer that could be taken for a decision.
    let rest = within("the end", hook.rest()).await;
    assert!(!rest.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&rest));
    let id = question["id"].as_str().unwrap();
    assert_eq!(world.approval(id).await["state"], "pending");
    let mut again = world.hook_open(delivery, &asked("Bash")).await;
    within("the head", again.reply_head()).await.unwrap();
    assert_eq!(world.pending().await, [id]);
    world.decide(id, &json!({"decision": "deny"})).await.ok();
    let mut body = Vec::new();
    while let Some(chunk) = within("the answer", again.chunk()).await {
        body.extend(chunk);
    }
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        body["hookSpecificOutput"]["decision"]["message"],
        "Not permitted: denied by test"
    );
}

#[tokio::test]
async fn a_hook_is_taken_from_who_may_publish_to_its_session_and_what_is_wrong_is_named() {
    let world = World::start().await;
    let stop = json!({"session_id": "s", "prompt_id": "p", "hook_event_name": "Stop"}).to_string();
    let (reader, own) = (world.token(&["read"]).await, world.token(&["publish:session:s"]).await);
    world.hook_by(&reader, "", &stop).await.refused(403, "forbidden");
    world.hook_by(&own, "", &stop).await.ok();
    let other = stop.replace("\"s\"", "\"t\"");
    world
        .hook_by(&own, "", other)
        .await
        .refused_field(403, "forbidden", "session_id");
    for (query, field) in [
        ("?gate=all", "gate"),
        ("?agent=", "agent"),
        ("?delivery=7", "delivery"),
        ("?wait_ms=-1", "wait_ms"),
        ("?wait_ms=99999999999", "wait_ms"),
        ("?session=x", "session"),
    ] {
        world.hook(query, &stop).await.refused_field(400, "bad_request", field);
    }
    world.hook("", " ").await.refused_field(400, "bad_request", "body");
    let plain = world.request("POST", "/api/hooks/claude", "text/plain", &stop);
    world
        .ask(plain)
        .await
        .refused_field(415, "bad_media_type", "content-type");
    // What is no payload is kept, and private.
    world.hook("", "not json").await.ok();
    world.metric("turnwire_hooks_unknown_total 1").await;
    let raw = world
        .all()
        .await
        .into_iter()
        .find(|event| event["type"] == "raw")
        .unwrap();
    assert_eq!(raw["session_id"], "hooks-without-a-session");
}
