//! Ordering, listing and withdrawing.

use serde_json::{Value, json};

use crate::world::World;

#[tokio::test]
async fn a_command_is_what_was_ordered_and_stands_in_the_log() {
    let world = World::start().await;
    let command = world
        .order(
            &json!({"agent": "builder", "session_id": "s1", "action": "message", "args": {"content": "hello"},
            "expires_in_ms": 60_000}),
        )
        .await
        .ok();
    for (field, value) in [
        ("agent", json!("builder")),
        ("session_id", json!("s1")),
        ("action", json!("message")),
        ("args", json!({"content": "hello"})),
        ("actor", json!("test")),
        ("state", json!("queued")),
    ] {
        assert_eq!(command[field], value, "{command}");
    }
    let moment = |field: &str| {
        let at: turnwire_proto::Timestamp = command[field].as_str().unwrap().parse().unwrap();
        at.millis()
    };
    assert_eq!(moment("expires") - moment("issued"), 60_000);
    assert_eq!(world.command(&command["id"]).await, command);
    let events = world.told("command").await;
    let event = &events[0];
    assert_eq!(events.len(), 1);
    assert_eq!((&event["seq"], &event["source"]), (&command["seq"], &json!("turnwire")));
    assert_eq!(
        (&event["agent"], &event["session_id"]),
        (&json!("builder"), &json!("s1"))
    );
    let data = json!({"command_id": command["id"], "action": "message", "arguments": {"content": "hello"},
        "actor": "test", "expires_at": command["expires"]});
    assert_eq!(event["data"], data);
}

#[tokio::test]
async fn every_action_takes_its_own_arguments_and_no_others() {
    let world = World::start().await;
    for (action, good, bad, field) in [
        ("message", json!({"content": "x"}), json!({}), "args.content"),
        ("cancel", json!({"turn_id": "t"}), json!({"turn": "t"}), "args.turn"),
        ("interrupt", json!({}), json!({"turn_id": ""}), "args.turn_id"),
        ("hold", json!({"reason": "lunch"}), json!({"reason": 1}), "args.reason"),
        ("release", json!({}), json!({"model": "x"}), "args.model"),
        (
            "compact",
            json!({"instructions": "keep names"}),
            json!({"instructions": []}),
            "args.instructions",
        ),
        (
            "set_model",
            json!({"model": "large"}),
            json!({"model": null}),
            "args.model",
        ),
        (
            "new_session",
            json!({"prompt": "hi", "model": "small"}),
            json!({"prompt": 1}),
            "args.prompt",
        ),
        ("set_permission_mode", json!({"mode": "plan"}), json!({}), "args.mode"),
        (
            "stop_task",
            json!({"task_id": "7"}),
            json!({"task_id": 7}),
            "args.task_id",
        ),
        (
            "custom",
            json!({"name": "deploy", "args": {"to": ["a"]}}),
            json!({"name": "x", "args": 1}),
            "args.args",
        ),
    ] {
        let order = |args: Value| json!({"agent": "a", "action": action, "args": args});
        let command = world.order(&order(good.clone())).await.ok();
        assert_eq!((&command["action"], &command["args"]), (&json!(action), &good));
        let refused = world.order(&order(bad)).await;
        refused.refused_field(400, "bad_request", field);
    }
    for (body, field) in [
        (json!({"agent": "a", "action": "dance"}), "action"),
        (json!({"agent": "", "action": "hold"}), "agent"),
        (json!({"agent": "a", "action": "hold", "now": true}), "now"),
        (json!({"agent": "a", "action": "hold", "id": "7"}), "id"),
        (
            json!({"agent": "a", "action": "hold", "expires_in_ms": 0}),
            "expires_in_ms",
        ),
        (
            json!({"agent": "a", "action": "hold", "expires_in_ms": 2_592_000_001_u64}),
            "expires_in_ms",
        ),
        (
            json!({"agent": "a", "action": "message", "args": {"content": ""}}),
            "args.content",
        ),
    ] {
        world.order(&body).await.refused_field(400, "bad_request", field);
    }
}

#[tokio::test]
async fn a_message_has_at_most_64_kib_and_is_one_line_that_every_client_takes() {
    let world = World::start().await;
    let key = world.key("a").await;
    let order = |content: &str| json!({"agent": "a", "action": "message", "args": {"content": content}});
    // Each of these has two bytes as JSON, and six where who sends it escapes all it can.
    let content = "\"".repeat(64 * 1024);
    let escaped = order("-").to_string().replace('-', &"\\u0022".repeat(64 * 1024));
    let request = world.request("POST", "/api/commands", "application/json", escaped);
    let command = world.ask(request).await.ok();
    assert_eq!(command["args"]["content"], content);
    assert_eq!(world.line(&key).await.command().await["id"], command["id"]);
    assert!(command.to_string().len() < turnwire_proto::limits::SSE_LINE - "data: ".len());
    let details = world.order(&order(&"\u{1}".repeat(64 * 1024))).await;
    assert_eq!(details.refused_field(413, "too_large", "args")["limit"], 192 * 1024);
    let long = world.order(&order(&"x".repeat(64 * 1024 + 1))).await;
    let details = long.refused_field(413, "too_large", "args.content");
    assert_eq!(details["limit"], 64 * 1024);
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let deep: Value = serde_json::from_str(&deep).unwrap();
    let order = json!({"agent": "a", "action": "custom", "args": {"name": "x", "args": {"deep": deep}}});
    world.order(&order).await.refused_field(400, "bad_request", "args.args");
}

#[tokio::test]
async fn an_order_said_twice_under_one_id_is_one_command() {
    let world = World::start().await;
    let id = "0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10";
    let order = json!({"agent": "a", "action": "hold", "id": id});
    let (one, two) = tokio::join!(world.order(&order), world.order(&order));
    assert_eq!(one.ok(), two.ok());
    assert_eq!(world.told("command").await.len(), 1);
    let other = json!({"agent": "b", "action": "hold", "id": id});
    world.order(&other).await.refused_field(409, "conflict", "id");
    // Also when it has come to its end, and is known to the views alone.
    world.withdraw(&json!(id)).await.ok();
    world.get("/api/commands").await.ok();
    assert_eq!(world.order(&order).await.ok()["state"], "withdrawn");
    assert_eq!(world.told("command").await.len(), 1);
}

#[tokio::test]
async fn commands_are_listed_newest_first_in_pages_and_by_filters() {
    let world = World::start().await;
    let mut ids = Vec::new();
    for n in 0..7 {
        let agent = if n % 2 == 0 { "even" } else { "odd" };
        let order = json!({"agent": agent, "session_id": format!("s{}", n % 3), "action": "message",
            "args": {"content": n.to_string()}});
        ids.push(world.order(&order).await.ok()["id"].clone());
    }
    world.withdraw(&ids[3]).await.ok();
    let list = async |query: &str| {
        let page = world.get(&format!("/api/commands?{query}")).await.ok();
        let found: Vec<_> = page["commands"]
            .as_array()
            .unwrap()
            .iter()
            .map(|c| c["id"].clone())
            .collect();
        (found, page["next"].clone())
    };
    let newest: Vec<_> = ids.iter().rev().cloned().collect();
    assert_eq!(list("").await, (newest.clone(), Value::Null));
    let (mut all, mut query) = (Vec::new(), "limit=3".to_owned());
    loop {
        let (page, next) = list(&query).await;
        all.extend(page);
        if next.is_null() {
            break;
        }
        query = format!("limit=3&before={next}");
    }
    assert_eq!(all, newest, "following `next` misses and repeats nothing");
    let pick = |want: fn(usize) -> bool| -> Vec<Value> {
        let wanted = (0..7).rev().filter(|n| want(*n));
        wanted.map(|n| ids[n].clone()).collect()
    };
    assert_eq!(list("agent=odd").await.0, pick(|n| n % 2 == 1));
    assert_eq!(list("session_id=s0").await.0, pick(|n| n % 3 == 0));
    assert_eq!(list("state=withdrawn").await.0, pick(|n| n == 3));
    assert_eq!(list("state=queued,withdrawn&agent=odd").await.0, pick(|n| n % 2 == 1));
    for (query, field) in [("state=lost", "state"), ("limit=1001", "limit"), ("actor=x", "actor")] {
        let refused = world.get(&format!("/api/commands?{query}")).await;
        refused.refused_field(400, "bad_request", field);
    }
}

#[tokio::test]
async fn a_withdrawn_command_is_never_delivered_and_says_who_withdrew_it() {
    let world = World::start().await;
    let key = world.key("a").await;
    let (first, second) = (world.say("a", "1").await, world.say("a", "2").await);
    let withdrawn = world.withdraw(&first["id"]).await.ok();
    assert_eq!(
        (&withdrawn["state"], &withdrawn["by"]),
        (&json!("withdrawn"), &json!("test"))
    );
    assert_eq!(world.withdraw(&first["id"]).await.ok(), withdrawn, "twice is once");
    assert_eq!(world.line(&key).await.command().await["id"], second["id"]);
    assert_eq!(world.states(&first["id"]).await, ["withdrawn"]);
    // Delivered, it can still be taken back, and the agent hears of it when it wants to begin.
    world.withdraw(&second["id"]).await.ok();
    let refused = world.ack(&key, &second["id"], &json!({"state": "acked"})).await;
    assert_eq!(refused.refused(409, "conflict")["state"], "withdrawn");
    // What the agent has begun is its own.
    let third = world.say("a", "3").await;
    world.wake(&key, "").await;
    world.ack(&key, &third["id"], &json!({"state": "acked"})).await.ok();
    assert_eq!(
        world.withdraw(&third["id"]).await.refused(409, "conflict")["state"],
        "acked"
    );
}

#[tokio::test]
async fn a_command_that_there_is_not_is_404_and_what_is_no_id_400() {
    let world = World::start().await;
    let id = json!("0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10");
    world
        .get(&format!("/api/commands/{}", id.as_str().unwrap()))
        .await
        .refused_field(404, "not_found", "id");
    world.withdraw(&id).await.refused_field(404, "not_found", "id");
    world
        .get("/api/commands/7")
        .await
        .refused_field(400, "bad_request", "id");
}

#[tokio::test]
async fn a_full_queue_of_one_agent_is_429_and_another_agents_has_room() {
    let world = World::with(|config| config.limits.agent_queue = 2).await;
    let first = world.say("a", "1").await;
    world.say("a", "2").await;
    let order = json!({"agent": "a", "action": "cancel"});
    let details = world.order(&order).await.refused_field(429, "queue_full", "agent");
    assert_eq!(details["limit"], 2);
    world.say("b", "1").await;
    world.withdraw(&first["id"]).await.ok();
    world.order(&order).await.ok();
}

#[tokio::test]
async fn a_newer_word_on_the_same_thing_withdraws_the_older_one_for_the_same_target_alone() {
    let world = World::start().await;
    let model = async |agent: &str, session: Option<&str>, model: &str| {
        let mut order = json!({"agent": agent, "action": "set_model", "args": {"model": model}});
        if let Some(session) = session {
            order["session_id"] = json!(session);
        }
        world.order(&order).await.ok()["id"].clone()
    };
    let old = model("a", None, "small").await;
    let of_session = model("a", Some("s"), "small").await;
    let of_other = model("b", None, "small").await;
    let hold = world.order(&json!({"agent": "a", "action": "hold"})).await.ok()["id"].clone();
    let message = world.say("a", "x").await["id"].clone();
    let new = model("a", None, "large").await;
    let release = world.order(&json!({"agent": "a", "action": "release"})).await.ok()["id"].clone();
    for id in [&old, &hold] {
        let command = world.command(id).await;
        assert_eq!(
            (&command["state"], &command["reason"]),
            (&json!("withdrawn"), &json!("superseded"))
        );
    }
    for id in [&of_session, &of_other, &message, &new, &release] {
        assert_eq!(world.command(id).await["state"], "queued");
    }
}

#[tokio::test]
async fn a_command_that_nobody_takes_on_in_time_expires_and_is_not_delivered() {
    let world = World::start().await;
    let key = world.key("a").await;
    let order = json!({"agent": "a", "action": "hold", "expires_in_ms": 1});
    let command = world.order(&order).await.ok();
    let event = world.event("command_state", command["seq"].as_u64().unwrap()).await;
    assert_eq!(event["data"], json!({"command_id": command["id"], "state": "expired"}));
    assert_eq!(world.command(&command["id"]).await["state"], "expired");
    assert_eq!(world.wake(&key, "wait_ms=0").await["commands"], json!([]));
    world.withdraw(&command["id"]).await.refused(409, "conflict");
}

#[tokio::test]
async fn nobody_else_writes_what_the_server_says_of_commands_and_agents() {
    let world = World::start().await;
    for kind in [
        "command",
        "command_state",
        "agent_online",
        "agent_offline",
        "agent_state",
    ] {
        let event = json!({"type": kind, "agent": "a", "data": {}}).to_string();
        let refused = world.post("application/json", event).await;
        refused.refused_field(400, "bad_request", "type");
    }
}

#[tokio::test]
async fn the_short_forms_give_the_commands_that_they_are_short_for() {
    let world = World::start().await;
    for (short, action, body, args) in [
        ("model", "set_model", json!({"model": "m"}), json!({"model": "m"})),
        ("new-session", "new_session", json!({}), json!({})),
        ("cancel", "cancel", json!({"turn_id": "t"}), json!({"turn_id": "t"})),
        (
            "compact",
            "compact",
            json!({"instructions": "i"}),
            json!({"instructions": "i"}),
        ),
        ("hold", "hold", json!({}), json!({})),
        ("release", "release", json!({}), json!({})),
    ] {
        let (mut body, url) = (body, format!("/api/agents/the%20agent/{short}"));
        body["session_id"] = json!("s");
        body["expires_in_ms"] = json!(50_000);
        let command = world.send_by(&world.admin, "POST", &url, &body).await.ok();
        assert_eq!(
            (&command["agent"], &command["session_id"]),
            (&json!("the agent"), &json!("s"))
        );
        assert_eq!((&command["action"], &command["args"]), (&json!(action), &args));
    }
    for (short, body, field) in [
        ("model", json!({}), "model"),
        ("hold", json!({"until": 1}), "until"),
        ("cancel", json!({"session_id": 1}), "session_id"),
    ] {
        let refused = world
            .send_by(&world.admin, "POST", &format!("/api/agents/a/{short}"), &body)
            .await;
        refused.refused_field(400, "bad_request", field);
    }
}
