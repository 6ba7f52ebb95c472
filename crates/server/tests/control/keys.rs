//! Who may order, and whose downlink it is.

use serde_json::json;
use turnwire_proto::Timestamp;

use crate::world::World;

#[tokio::test]
async fn an_agents_key_opens_its_own_downlink_and_no_other() {
    let world = World::start().await;
    let (a, b) = (world.key("a").await, world.key("b").await);
    let command = world.say("a", "1").await;
    world.wake(&b, "wait_ms=0").await;
    for url in [
        "/api/agent/events?agent=a",
        "/api/internal/agent/events?agent=a",
        "/api/agent/wake?agent=a&wait_ms=0",
    ] {
        world.get_by(&b, url).await.refused_field(403, "forbidden", "agent");
    }
    let report = world.send_by(&b, "POST", "/api/agent/sync?agent=a", &json!({})).await;
    report.refused_field(403, "forbidden", "agent");
    let done = json!({"state": "done"});
    assert_eq!(
        world.wake(&a, "wait_ms=0").await["commands"].as_array().unwrap().len(),
        1
    );
    world
        .ack(&b, &command["id"], &done)
        .await
        .refused_field(403, "forbidden", "id");
    assert_eq!(world.states(&command["id"]).await, ["delivered"]);
    world.ack(&a, &command["id"], &done).await.ok();
}

#[tokio::test]
async fn a_key_of_several_agents_has_to_say_which() {
    let world = World::start().await;
    let key = world.token(&["agent:a", "agent:b"]).await;
    let command = world.say("b", "1").await;
    for token in [&key, &world.admin] {
        let refused = world.get_by(token, "/api/agent/wake?wait_ms=0").await;
        refused.refused_field(400, "bad_request", "agent");
        let woken = world.wake(token, "wait_ms=0&agent=b").await;
        assert_eq!(woken["commands"][0]["id"], command["id"]);
    }
    world.ack(&key, &command["id"], &json!({"state": "acked"})).await.ok();
}

#[tokio::test]
async fn a_key_that_is_missing_unknown_expired_revoked_or_for_something_else_is_told_apart() {
    let world = World::start().await;
    let unknown = format!("tw_{}", "0a".repeat(32));
    let urls = ["/api/agent/events", "/api/internal/agent/events", "/api/agent/wake"];
    let (id, revoked) = world.token_until(&["agent:a"], None).await;
    world.server().auth().revoke(&id).await.unwrap();
    let past = Timestamp::from_millis(Timestamp::now().millis() - 1000);
    let (_, expired) = world.token_until(&["agent:a"], past).await;
    let all_but_agent = world.token(&["read", "publish", "control"]).await;
    for url in urls {
        assert_eq!(
            world.get_by(&unknown, url).await.refused(401, "unauthorized")["reason"],
            "token_unknown"
        );
        assert_eq!(
            world.get_by(&expired, url).await.refused(401, "unauthorized")["reason"],
            "token_expired"
        );
        assert_eq!(
            world.get_by(&revoked, url).await.refused(410, "gone")["reason"],
            "token_revoked"
        );
        assert_eq!(
            world.get_by(&all_but_agent, url).await.refused(403, "forbidden")["needs"],
            "agent:NAME"
        );
    }
    for url in [
        "/api/agent/sync",
        "/api/agent/commands/0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10",
    ] {
        let body = json!({"state": "done"});
        world
            .send_by(&unknown, "POST", url, &body)
            .await
            .refused(401, "unauthorized");
        world.send_by(&revoked, "POST", url, &body).await.refused(410, "gone");
        world
            .send_by(&all_but_agent, "POST", url, &body)
            .await
            .refused(403, "forbidden");
    }
}

#[tokio::test]
async fn a_downlink_ends_with_its_key_and_says_so() {
    let world = World::start().await;
    let (id, key) = world.token_until(&["agent:a"], None).await;
    let mut line = world.line(&key).await;
    line.sync().await;
    world.server().auth().revoke(&id).await.unwrap();
    assert_eq!(line.bye().await, json!({"reason": "token_revoked"}));
}

#[tokio::test]
async fn an_agents_key_neither_orders_nor_reads_nor_publishes() {
    let world = World::start().await;
    let key = world.key("a").await;
    let order = json!({"agent": "a", "action": "hold"});
    assert_eq!(
        world
            .send_by(&key, "POST", "/api/commands", &order)
            .await
            .refused(403, "forbidden")["needs"],
        "control"
    );
    for (url, needs) in [
        ("/api/commands", "control"),
        ("/api/agents", "read"),
        ("/api/events", "read"),
    ] {
        assert_eq!(world.get_by(&key, url).await.refused(403, "forbidden")["needs"], needs);
    }
    let note = json!({"type": "note", "agent": "a", "data": {}});
    assert_eq!(
        world
            .send_by(&key, "POST", "/api/events", &note)
            .await
            .refused(403, "forbidden")["needs"],
        "publish"
    );
}

#[tokio::test]
async fn who_controls_one_session_orders_sees_and_withdraws_there_alone() {
    let world = World::start().await;
    let one = world.token(&["control:session:s1"]).await;
    let order = |session: Option<&str>| match session {
        Some(session) => json!({"agent": "a", "session_id": session, "action": "cancel"}),
        None => json!({"agent": "a", "action": "cancel"}),
    };
    let own = world
        .send_by(&one, "POST", "/api/commands", &order(Some("s1")))
        .await
        .ok();
    for session in [Some("s2"), None] {
        let refused = world.send_by(&one, "POST", "/api/commands", &order(session)).await;
        refused.refused_field(403, "forbidden", "session_id");
        let other = world.order(&order(session)).await.ok();
        let url = format!("/api/commands/{}", other["id"].as_str().unwrap());
        world.get_by(&one, &url).await.refused_field(403, "forbidden", "id");
        let withdraw = format!("{}\r\n", world.head_by(&one, "DELETE", &url));
        world.ask(withdraw).await.refused_field(403, "forbidden", "id");
        assert_eq!(world.command(&other["id"]).await["state"], "queued");
    }
    let list = world.get_by(&one, "/api/commands").await.ok();
    let ids: Vec<_> = list["commands"].as_array().unwrap().iter().map(|c| &c["id"]).collect();
    assert_eq!(ids, [&own["id"]]);
    world
        .get_by(&one, "/api/commands?session_id=s2")
        .await
        .refused_field(403, "forbidden", "session_id");
    // What is said in a session is read by its readers alone.
    let reader = world.token(&["read:session:s2"]).await;
    let page = world
        .get_by(&reader, "/api/events/history?type=command&after=0")
        .await
        .ok();
    let sessions: Vec<_> = page["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["session_id"].as_str())
        .collect();
    assert_eq!(sessions, [Some("s2"), None]);
}
