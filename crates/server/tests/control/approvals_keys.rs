//! Who may see, wait for and decide approvals.

use serde_json::{Value, json};

use crate::{approvals::request, world::World};

#[tokio::test]
async fn who_controls_one_session_sees_and_decides_there_alone() {
    let world = World::start().await;
    world
        .publish(&json!([request("s1", "own", "Bash"), request("s2", "other", "Bash")]))
        .await;
    let one = world.token(&["control:session:s1"]).await;
    let ids = async |query: &str| -> Vec<Value> {
        let list = world.get_by(&one, &format!("/api/approvals?{query}")).await.ok();
        let list = list["approvals"].as_array().unwrap().iter();
        list.map(|one| one["id"].clone()).collect()
    };
    assert_eq!(ids("").await, ["own"]);
    assert_eq!(ids("state=pending&limit=1").await, ["own"]);
    assert_eq!(ids("agent=a&session_id=s1").await, ["own"]);
    world
        .get_by(&one, "/api/approvals?session_id=s2")
        .await
        .refused_field(403, "forbidden", "session_id");
    for url in ["/api/approvals/other", "/api/approvals/other?wait_ms=30000"] {
        let refused = world.get_by(&one, url).await;
        refused.refused_field(403, "forbidden", "id");
        assert!(!refused.text().contains("make"), "{}", refused.text());
    }
    let approve = json!({"decision": "approve"});
    let refused = world.decide_by(&one, "other", &approve).await;
    refused.refused_field(403, "forbidden", "id");
    let many = json!({"ids": ["other", "own"], "decision": "deny"});
    let results = world.decide_many(&one, &many).await.ok();
    assert_eq!(results["results"][0]["error"]["code"], "forbidden");
    assert!(!results["results"][0].to_string().contains("make"));
    assert_eq!(results["results"][1]["approval"]["state"], "denied");
    assert_eq!(world.pending().await, ["other"]);
    world.decide("other", &approve).await.ok();
    // What was decided is told no more than what was asked.
    let refused = world.decide_by(&one, "other", &approve).await;
    refused.refused_field(403, "forbidden", "id");
    assert!(refused.refused(403, "forbidden").get("approval").is_none());
}

#[tokio::test]
async fn who_may_publish_to_a_session_waits_there_and_decides_nothing() {
    let world = World::start().await;
    world
        .publish(&json!([request("s1", "own", "Bash"), request("s2", "other", "Bash")]))
        .await;
    let runner = world.token(&["publish:session:s1"]).await;
    let own = world.get_by(&runner, "/api/approvals/own?wait_ms=1").await.ok();
    assert_eq!((&own["id"], &own["state"]), (&json!("own"), &json!("pending")));
    world
        .get_by(&runner, "/api/approvals/other?wait_ms=30000")
        .await
        .refused_field(403, "forbidden", "id");
    for (method, url, body) in [
        ("POST", "/api/approvals/own/decision", json!({"decision": "approve"})),
        (
            "POST",
            "/api/approvals/decisions",
            json!({"ids": ["own"], "decision": "approve"}),
        ),
    ] {
        let refused = world.send_by(&runner, method, url, &body).await;
        assert_eq!(refused.refused(403, "forbidden")["needs"], "control");
    }
    assert_eq!(
        world.get_by(&runner, "/api/approvals").await.refused(403, "forbidden")["needs"],
        "control"
    );
    assert_eq!(world.pending().await, ["other", "own"]);
}

#[tokio::test]
async fn who_only_reads_or_is_an_agent_neither_lists_waits_nor_decides() {
    let world = World::start().await;
    world.publish(&request("s", "r", "Bash")).await;
    for scopes in [&["read"][..], &["agent:a"], &["read:session:s"]] {
        let token = world.token(scopes).await;
        let refused = world.get_by(&token, "/api/approvals/r").await;
        assert_eq!(refused.refused(403, "forbidden")["needs"], "control or publish");
        let refused = world.get_by(&token, "/api/approvals").await;
        assert_eq!(refused.refused(403, "forbidden")["needs"], "control");
        let refused = world.decide_by(&token, "r", &json!({"decision": "approve"})).await;
        assert_eq!(refused.refused(403, "forbidden")["needs"], "control");
    }
    // A reader sees the inbox of what it may read, and of nothing else.
    world.publish(&request("t", "other", "Bash")).await;
    let reader = world.token(&["read:session:s"]).await;
    let state = world.get_by(&reader, "/api/state").await.ok();
    let ids: Vec<_> = state["approvals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| &a["id"])
        .collect();
    assert_eq!(ids, ["r"]);
    let page = world.get_by(&reader, "/api/events/history?after=0").await;
    assert!(!page.text().contains("other"), "{}", page.text());
}
