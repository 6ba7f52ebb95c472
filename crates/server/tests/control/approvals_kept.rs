//! What is in the log is all there is of an approval: a restart, a lost view and a store that fails change nothing of it.

use std::time::Duration;

use serde_json::{Value, json};
use turnwire_log::faulty::Call;
use turnwire_proto::Timestamp;

use crate::{
    approvals::request,
    restart::faulty,
    world::{World, within},
};

#[tokio::test]
async fn every_approval_is_after_a_restart_what_it_was_before_also_when_the_views_are_lost() {
    let mut world = World::start().await;
    let key = world.key("a").await;
    world.wake(&key, "wait_ms=0").await;
    for n in 0..8 {
        world
            .publish(&request(&format!("s{}", n % 2), &format!("r{n}"), "Bash"))
            .await;
    }
    let edited = json!({"decision": "approve", "arguments": {"command": "true"}, "message": "so", "always": true});
    world.decide("r0", &edited).await.ok();
    world.decide("r1", &json!({"decision": "deny"})).await.ok();
    let withdrawn = json!({"type": "approval_decision", "session_id": "s0", "data": {"approval_id": "r2", "decision": "withdrawn"}});
    world.publish(&withdrawn).await;
    let ended = json!({"type": "tool_call", "session_id": "s1", "data": {"tool": "Bash", "tool_call_id": "call-r3", "success": true}});
    world.publish(&ended).await;
    world.decided("r3").await;
    let everything = async |world: &World| {
        let state = world.get("/api/state").await.ok();
        (
            world.get("/api/approvals").await.ok()["approvals"].clone(),
            state["approvals"].clone(),
            state["agents"].clone(),
        )
    };
    let before = everything(&world).await;
    let ids = |list: &Value| -> Vec<String> {
        let list = list.as_array().unwrap().iter();
        list.map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&before.1), ["r7", "r6", "r5", "r4"], "no prompt of what is decided");
    assert_eq!(before.2[0]["name"], "a");
    world.restart().await;
    assert_eq!(everything(&world).await, before);
    world.restart_without_views().await;
    assert_eq!(everything(&world).await, before);
    assert_eq!(world.pending().await, ids(&before.1));
    for id in ["r0", "r1", "r2", "r3"] {
        assert_eq!(
            world.decisions(id).await.len(),
            1,
            "{id}: nothing was written behind it"
        );
    }
    // And it goes on: who waits is answered by who decides now.
    let (waited, decided) = within("the decision", async {
        tokio::join!(world.decided("r4"), async {
            world.decide("r4", &json!({"decision": "approve"})).await.ok()
        })
    })
    .await;
    assert_eq!(waited, decided);
}

#[tokio::test]
async fn a_replay_shows_the_verdict_behind_the_question() {
    let world = World::start().await;
    world.publish(&request("s", "r", "Bash")).await;
    world
        .decide("r", &json!({"decision": "deny", "message": "no"}))
        .await
        .ok();
    let events = world.told("approval_request,approval_decision").await;
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["approval_request", "approval_decision"]);
    let decision = &events[1];
    assert_eq!(
        (&decision["session_id"], &decision["agent"], &decision["source"]),
        (&json!("s"), &json!("a"), &json!("turnwire"))
    );
    let state = world.get("/api/state").await.ok();
    assert_eq!(state["approvals"], json!([]));
    assert_eq!(world.approval("r").await["decided_seq"], decision["seq"]);
}

#[tokio::test]
async fn a_decision_that_could_not_be_written_has_not_happened() {
    let (world, faults) = faulty().await;
    world
        .publish(&json!([request("s", "r", "Bash"), request("s", "q", "Bash")]))
        .await;
    let approve = json!({"decision": "approve"});
    faults.fail(Call::Append, 1, true);
    world.decide("r", &approve).await.refused(503, "store_unavailable");
    assert_eq!(world.pending().await, ["q", "r"]);
    faults.fail(Call::Append, 1, true);
    let many = json!({"ids": ["r", "q"], "decision": "approve"});
    let results = world.decide_many(&world.admin, &many).await.ok();
    for result in results["results"].as_array().unwrap() {
        assert_eq!(result["error"]["code"], "store_unavailable");
    }
    assert_eq!(world.pending().await, ["q", "r"]);
    assert_eq!(
        world.decide("r", &json!({"decision": "deny"})).await.ok()["state"],
        "denied"
    );
}

#[tokio::test]
async fn a_decision_of_which_nobody_knows_whether_it_was_written_is_found_by_asking_again() {
    let (world, faults) = faulty().await;
    world.publish(&request("s", "r", "Bash")).await;
    faults.tear(1);
    let approve = json!({"decision": "approve"});
    let first = world.decide("r", &approve).await;
    if first.status != 200 {
        first.refused(503, "store_unavailable");
    }
    assert_eq!(world.decide("r", &approve).await.ok()["state"], "approved");
    assert_eq!(world.decisions("r").await.len(), 1);
    let other = world.decide("r", &json!({"decision": "deny"})).await;
    other.refused(409, "conflict");
}

#[tokio::test]
async fn what_time_does_is_written_when_the_store_works_again() {
    let (world, faults) = faulty().await;
    let now = Timestamp::now().millis();
    let mut one = request("s", "r", "Bash");
    one["data"]["expires_at"] = json!(Timestamp::from_millis(now + 3000).unwrap().to_string());
    world.publish(&one).await;
    faults.fail_always(Call::Append, true);
    let before = faults.calls(Call::Append);
    within("a write that fails", async {
        while faults.calls(Call::Append) == before {
            // Only how often it looks; what it waits for is the write.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(world.pending().await, ["r"], "what is not written has not happened");
    faults.heal();
    assert_eq!(world.decided("r").await["state"], "expired");
}
