//! `POST /api/chat`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    played::Played,
    world::{Reply, World, within},
};

impl World {
    pub(crate) async fn chat_by(&self, token: &str, body: &Value) -> Reply {
        self.send_by(token, "POST", "/api/chat", body).await
    }

    pub(crate) async fn chat(&self, body: &Value) -> Reply {
        self.chat_by(&self.admin, body).await
    }
}

const ID: &str = "0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10";

#[tokio::test]
async fn what_is_said_is_answered_with_what_the_turn_came_to() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let body = json!({"content": "hello", "session_id": "s1"});
    let (reply, command) = tokio::join!(world.chat(&body), agent.turn(&world, "Hello, you."));
    let reply = reply.ok();
    for (field, value) in [
        ("id", command["id"].clone()),
        ("turn_id", command["id"].clone()),
        ("echo", json!("hello")),
        ("reply", json!("Hello, you.")),
        ("session_id", json!("s1")),
        ("agent", json!("a")),
        ("duration_ms", json!(42)),
    ] {
        assert_eq!(reply[field], value, "{field}: {reply}");
    }
    assert_eq!(
        (&reply["usage"]["input_tokens"], &reply["usage"]["output_tokens"]),
        (&json!(10), &json!(5))
    );
    assert!(
        ["phase", "project_tag", "project_id", "cost_usd"]
            .iter()
            .all(|field| reply.get(field).is_none()),
        "{reply}"
    );
    // What was said is among the session's words, once, and names its command.
    let page = world.history("after=0&type=message&session_id=s1").await;
    let said: Vec<_> = page["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["data"])
        .collect();
    assert_eq!(
        *said[0],
        json!({"role": "user", "content": "hello", "message_id": command["id"]})
    );
    assert_eq!((said.len(), &said[1]["content"]), (2, &json!("Hello, you.")));
}

#[tokio::test]
async fn a_reply_is_whole_however_long_it_is() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let long = "a long reply ".repeat(10_000);
    let body = json!({"message": "go on"});
    let (reply, _) = tokio::join!(world.chat(&body), agent.turn(&world, &long));
    assert_eq!(reply.ok()["reply"], long);
}

#[tokio::test]
async fn what_an_agent_says_in_its_result_counts_before_what_is_folded() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let body = json!({"content": "hello", "project_id": "p", "user_id": "u"});
    let said = json!({"turn_id": "t-1", "ok": true, "reply": "short", "usage": {"output_tokens": 1}, "phase": "execute",
        "project_tag": "web", "seed_id": "seed-1", "evaluation_passed": true});
    let turn = async {
        let command = agent.take(&world).await;
        agent.begins(&world, &command).await;
        agent.replies(&world, &command, "long").await;
        agent.ends(&world, &command, &said).await;
        command
    };
    let (reply, command) = tokio::join!(world.chat(&body), turn);
    let reply = reply.ok();
    assert_eq!(
        command["args"],
        json!({"content": "hello", "user_id": "u", "project_id": "p"})
    );
    for (field, value) in said.as_object().unwrap() {
        if field != "ok" {
            assert_eq!(reply[field], *value, "{reply}");
        }
    }
    assert_eq!((&reply["project_id"], &reply["user_id"]), (&json!("p"), &json!("u")));
}

#[tokio::test]
async fn a_message_without_a_session_begins_one_that_the_next_one_can_name() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let body = json!({"content": "1"});
    let (first, _) = tokio::join!(world.chat(&body), agent.turn(&world, "one"));
    let session = first.ok()["session_id"].clone();
    assert!(
        session.as_str().unwrap().parse::<turnwire_proto::EventId>().is_ok(),
        "{session}"
    );
    // Also when another agent is there by now: the session has its own.
    let _other = Played::start(&world, "b").await;
    let body = json!({"content": "2", "session_id": session});
    let (second, _) = tokio::join!(world.chat(&body), agent.turn(&world, "two"));
    assert_eq!(
        (&second.ok()["reply"], &second.ok()["session_id"]),
        (&json!("two"), &session)
    );
    let unsaid = world
        .chat(&json!({"content": "3"}))
        .await
        .refused_field(400, "bad_request", "agent");
    assert_eq!(unsaid["agents"], json!(["a", "b"]));
    let named = json!({"content": "3", "agent": "a"});
    let (third, _) = tokio::join!(world.chat(&named), agent.turn(&world, "three"));
    assert_eq!(third.ok()["reply"], "three");
}

#[tokio::test]
async fn a_wait_that_ends_leaves_the_turn_running_and_the_reply_is_had_by_the_same_id() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let body = json!({"content": "slow", "id": ID, "wait_ms": 50});
    let late = world.chat(&body).await.refused(504, "reply_timeout");
    assert_eq!((&late["id"], &late["agent_online"]), (&json!(ID), &json!(true)));
    let session = late["session_id"].as_str().unwrap().to_owned();
    let command = agent.take(&world).await;
    assert_eq!(command["session_id"], session);
    let late = world.chat(&body).await.refused(504, "reply_timeout");
    assert_eq!(
        (&late["state"], &late["session_id"]),
        (&json!("acked"), &json!(session))
    );
    agent.replies(&world, &command, "at last").await;
    let waiting = json!({"content": "slow", "id": ID});
    let ends = json!({"turn_id": ID, "ok": true});
    let (reply, ()) = tokio::join!(world.chat(&waiting), agent.ends(&world, &command, &ends));
    assert_eq!(reply.ok()["reply"], "at last");
    // As often as it is asked for, with or without the session, and nothing is said twice.
    let again = world
        .chat(&json!({"content": "slow", "id": ID, "session_id": session, "wait_ms": 0}))
        .await
        .ok();
    assert_eq!(again["reply"], "at last");
    assert_eq!(world.told("command").await.len(), 1);
    for other in [
        json!({"content": "other", "id": ID}),
        json!({"content": "slow", "id": ID, "session_id": "other"}),
        json!({"content": "slow", "id": ID, "agent": "b"}),
        json!({"content": "slow", "id": ID, "project_id": "p"}),
    ] {
        world.chat(&other).await.refused_field(409, "conflict", "id");
    }
}

#[tokio::test]
async fn the_same_said_twice_at_once_is_one_message() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let body = json!({"content": "twice", "id": ID});
    let (one, other, _) = tokio::join!(world.chat(&body), world.chat(&body), agent.turn(&world, "once"));
    assert_eq!((&one.ok()["reply"], one.ok()), (&json!("once"), other.ok()));
    assert_eq!(world.told("command").await.len(), 1);
}

#[tokio::test]
async fn who_does_not_want_to_wait_is_told_that_it_was_taken() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let reply = world
        .chat(&json!({"content": "later", "session_id": "s", "wait_ms": 0}))
        .await;
    assert_eq!(reply.status, 202, "{}", reply.text());
    let taken: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(taken["id"], agent.take(&world).await["id"]);
    assert_eq!((&taken["session_id"], &taken["agent"]), (&json!("s"), &json!("a")));
}

#[tokio::test]
async fn a_message_to_an_agent_that_is_offline_waits_for_it_and_one_to_nobody_is_404() {
    let world = World::with(|config| config.limits.agent_silence = Duration::from_millis(1)).await;
    let key = world.key("a").await;
    world.wake(&key, "wait_ms=0").await;
    world.event("agent_offline", 0).await;
    world
        .chat(&json!({"content": "x", "agent": "nobody"}))
        .await
        .refused_field(404, "not_found", "agent");
    let none = world
        .chat(&json!({"content": "x"}))
        .await
        .refused_field(400, "bad_request", "agent");
    assert_eq!(none["agents"], json!([]));
    let late = world.chat(&json!({"content": "x", "agent": "a", "wait_ms": 1})).await;
    assert!(late.text().contains("agent a is offline"), "{}", late.text());
    let late = late.refused(504, "reply_timeout");
    assert_eq!(
        (&late["agent_online"], &late["state"]),
        (&json!(false), &json!("queued"))
    );
    let woken = world.wake(&key, "").await;
    assert_eq!(woken["commands"][0]["id"], late["id"]);
}

#[tokio::test]
async fn a_turn_that_failed_and_a_message_of_which_nothing_came_say_so() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let body = json!({"content": "x", "session_id": "s"});
    let failing = async {
        let command = agent.take(&world).await;
        let result = json!({"turn_id": command["id"], "ok": false, "note": "the model is away"});
        agent.ends(&world, &command, &result).await;
        command
    };
    let (reply, command) = tokio::join!(world.chat(&body), failing);
    let details = reply.refused(502, "turn_failed");
    assert_eq!(
        (&details["note"], &details["turn_id"]),
        (&json!("the model is away"), &command["id"])
    );
    assert_eq!(details["session_id"], "s");
    let refusing = async {
        let command = agent.take(&world).await;
        agent
            .says(&world, &command, &json!({"state": "failed", "reason": "not signed in"}))
            .await;
    };
    let (reply, ()) = tokio::join!(world.chat(&body), refusing);
    let details = reply.refused(502, "turn_failed");
    assert_eq!(
        (&details["state"], &details["reason"]),
        (&json!("failed"), &json!("not signed in"))
    );
    let withdrawing = async {
        let command = world.event("command", world.head_seq().await).await;
        world.withdraw(&command["data"]["command_id"]).await.ok();
    };
    let (reply, ()) = tokio::join!(world.chat(&body), withdrawing);
    assert_eq!(reply.refused(409, "conflict")["state"], "withdrawn");
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_nothing() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let body = json!({"content": "work", "session_id": "s", "id": ID});
    let mut wire = world.wire().await;
    wire.send(world.request("POST", "/api/chat", "application/json", body.to_string()))
        .await;
    let command = agent.take(&world).await;
    drop(wire);
    agent.replies(&world, &command, "done anyway").await;
    agent.ends(&world, &command, &json!({"turn_id": ID, "ok": true})).await;
    assert_eq!(world.chat(&body).await.ok()["reply"], "done anyway");
}

#[tokio::test]
async fn who_may_control_one_session_chats_there_alone() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let token = world.token(&["control:session:s1"]).await;
    let mine = json!({"content": "x", "session_id": "s1", "id": ID});
    let (reply, _) = tokio::join!(world.chat_by(&token, &mine), agent.turn(&world, "yours"));
    assert_eq!(reply.ok()["reply"], "yours");
    for body in [json!({"content": "x", "session_id": "s2"}), json!({"content": "x"})] {
        world
            .chat_by(&token, &body)
            .await
            .refused_field(403, "forbidden", "session_id");
    }
    // Nor is a reply had by the id of another session's message.
    let other = "0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a11";
    let secret = json!({"content": "x", "session_id": "s2", "id": other});
    let (reply, _) = tokio::join!(world.chat(&secret), agent.turn(&world, "theirs"));
    assert_eq!(reply.ok()["reply"], "theirs");
    for body in [
        json!({"content": "x", "id": other}),
        json!({"content": "x", "id": other, "session_id": "s1"}),
    ] {
        world.chat_by(&token, &body).await.refused(403, "forbidden");
    }
    let reader = world.token(&["read"]).await;
    assert_eq!(
        world.chat_by(&reader, &mine).await.refused(403, "forbidden")["needs"],
        "control"
    );
}

#[tokio::test]
async fn what_is_said_wrongly_is_refused_by_its_name() {
    let world = World::with(|config| config.limits.reply_wait = Duration::from_secs(5)).await;
    Played::start(&world, "a").await;
    for (body, field) in [
        (json!({}), "content"),
        (json!({"content": ""}), "content"),
        (json!({"message": ""}), "message"),
        (json!({"content": "a", "message": "a"}), "message"),
        (json!({"content": 1}), "content"),
        (json!({"content": "a", "session": "s"}), "session"),
        (json!({"content": "a", "id": "7"}), "id"),
        (json!({"content": "a", "session_id": ""}), "session_id"),
        (json!({"content": "a", "wait_ms": 5001}), "wait_ms"),
    ] {
        let details = world.chat(&body).await.refused_field(400, "bad_request", field);
        assert!(field != "wait_ms" || details["limit"] == 5000, "{details}");
    }
    assert_eq!(world.told("command").await.len(), 0);
}

#[tokio::test]
async fn a_server_that_stops_leaves_the_message_and_the_next_one_has_the_reply() {
    let mut world = World::with(|config| config.limits.shutdown_grace = Duration::from_secs(1)).await;
    let agent = Played::start(&world, "a").await;
    let body = json!({"content": "x", "session_id": "s", "id": ID});
    let mut wire = world.wire().await;
    wire.send(world.request("POST", "/api/chat", "application/json", body.to_string()))
        .await;
    world.event("command", 0).await;
    let restarting = async {
        world.restart().await;
    };
    let (reply, ()) = tokio::join!(wire.reply(), restarting);
    assert_eq!(reply.refused(503, "shutting_down")["id"], ID);
    let mut agent = within("the agent", agent.again(&world)).await;
    let (reply, _) = tokio::join!(world.chat(&body), agent.turn(&world, "still here"));
    assert_eq!(reply.ok()["reply"], "still here");
}
