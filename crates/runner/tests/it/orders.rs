//! Orders other than messages (`docs/protocol.md`, G6 and G7).

use serde_json::{Value, json};

use crate::world::World;

#[tokio::test]
async fn a_hold_begins_no_turn_until_it_is_released() {
    let mut world = World::start().await;
    let agent = world.agent("read x; echo $x").await;
    let hold = world.order(None, "hold", json!({})).await;
    assert_eq!(world.end_of(&hold).await["state"], "done");
    let id = world.say("s", "hello").await;
    // What is given after it is done before it: nothing of the message has happened then.
    let model = world.order(None, "interrupt", json!({})).await;
    world.end_of(&model).await;
    assert!(!world.events.iter().any(|event| event.kind.as_str() == "turn_start"));
    let release = world.order(None, "release", json!({})).await;
    world.end_of(&id).await;
    let place = |id: &Value| {
        let of = world.events.iter().position(|event| {
            let body: Value = event.data.read().unwrap();
            body["command_id"] == *id && body["state"] == "acked"
        });
        of.unwrap()
    };
    assert!(place(&release) < place(&id));
    agent.stop().await;
}

#[tokio::test]
async fn a_cancel_ends_the_turn_and_drops_what_waited_and_an_interrupt_ends_the_turn_alone() {
    for (action, rest) in [("cancel", "failed"), ("interrupt", "done")] {
        let mut world = World::start().await;
        world.gate("never");
        let agent = world
            .agent("read x; if [ $x = wait ]; then echo waiting; read y < never; fi; echo $x")
            .await;
        let first = world.say("s", "wait").await;
        let second = world.say("s", "more").await;
        world
            .until("the first turn", |event| event.kind.as_str() == "text_delta")
            .await;
        let stop = world.order(Some("s"), action, json!({})).await;
        let end = world.end_of(&stop).await;
        assert_eq!(
            (&end["state"], &end["result"]),
            (&json!("done"), &json!({"turn_id": first}))
        );
        let end = world.end_of(&first).await;
        assert_eq!(end["result"]["ok"], false);
        assert_eq!(end["result"]["note"], "interrupted");
        assert_eq!(world.end_of(&second).await["state"], rest);
        let third = world.say("s", "third").await;
        assert_eq!(world.end_of(&third).await["result"]["ok"], true);
        agent.stop().await;
    }
}

#[tokio::test]
async fn an_interrupt_of_another_turn_ends_none() {
    let mut world = World::start().await;
    world.gate("go");
    let agent = world.agent("read x; echo waiting; read y < go").await;
    let id = world.say("s", "hello").await;
    world
        .until("the turn", |event| event.kind.as_str() == "text_delta")
        .await;
    let late = world.order(Some("s"), "interrupt", json!({"turn_id": "another"})).await;
    let end = world.end_of(&late).await;
    assert_eq!(
        (&end["state"], &end["reason"]),
        (&json!("failed"), &json!("turn another is not running"))
    );
    world.open("go").await;
    assert_eq!(world.end_of(&id).await["result"]["ok"], true);
    agent.stop().await;
}

#[tokio::test]
async fn what_the_driver_cannot_do_is_refused_and_not_reported() {
    let mut world = World::start().await;
    let agent = world.agent("read x; echo $x").await;
    let id = world.order(None, "set_model", json!({"model": "m"})).await;
    let end = world.end_of(&id).await;
    assert_eq!(
        (&end["state"], &end["reason"]),
        (&json!("failed"), &json!("this agent cannot do set_model"))
    );
    let report = world
        .event("a report", |event| event.kind.as_str() == "agent_state")
        .await;
    let report: Value = report.data.read().unwrap();
    let can: Vec<_> = report["capabilities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|can| can.as_str().unwrap())
        .collect();
    assert_eq!(
        can,
        ["message", "cancel", "interrupt", "hold", "release", "new_session"]
    );
    agent.stop().await;
}
