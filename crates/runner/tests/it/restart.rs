//! What outlives a runner, and what does not (`docs/protocol.md`, G1, G2, G7 and G9).

use std::{fs, process::Command, sync::Arc, time::Duration};

use serde_json::{Value, json};
use turnwire_client::{Endpoint, publish::Locate};

use crate::world::{World, within};

/// Appends to a file of the world each time it is run, so that what is done twice shows.
const COUNTED: &str = "read x; echo $x >> done; if [ $x = wait ]; then echo waiting; read y < never; fi; echo $x";

fn done(world: &World) -> Vec<String> {
    let text = fs::read_to_string(world.path("done")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn what_waits_when_a_runner_ends_is_done_once_by_the_next_one() {
    let mut world = World::start().await;
    let agent = world.agent(COUNTED).await;
    let first = world.say("s", "one").await;
    world.end_of(&first).await;
    agent.stop().await;
    let second = world.say("s", "two").await;
    let agent = world.agent(COUNTED).await;
    assert_eq!(world.end_of(&second).await["result"]["ok"], true);
    agent.stop().await;
    let agent = world.agent(COUNTED).await;
    let third = world.say("s", "three").await;
    world.end_of(&third).await;
    assert_eq!(done(&world), ["one", "two", "three"]);
    agent.stop().await;
}

#[tokio::test]
async fn a_turn_that_is_open_when_a_runner_is_told_to_end_is_closed_and_its_program_ends() {
    let mut world = World::start().await;
    world.gate("never");
    let agent = world.agent(&format!("echo $$ > pid; {COUNTED}")).await;
    let id = world.say("s", "wait").await;
    world
        .until("the turn", |event| event.kind.as_str() == "text_delta")
        .await;
    let stopped = agent.stop().await;
    assert_eq!(stopped.kept, 0, "the gateway has everything");
    let end = world.end_of(&id).await;
    assert_eq!((&end["state"], &end["result"]["ok"]), (&json!("done"), &json!(false)));
    let turn = world.turn(&id);
    assert_eq!(turn.iter().filter(|(kind, _)| *kind == "turn_end").count(), 1);
    let pid = fs::read_to_string(world.path("pid")).unwrap();
    assert!(
        !Command::new("kill")
            .args(["-0", pid.trim()])
            .output()
            .unwrap()
            .status
            .success()
    );
    let offline = world.events.iter().any(|event| {
        let body: Value = event.data.read().unwrap();
        event.kind.as_str() == "status_changed" && body["status"] == "offline"
    });
    assert!(offline, "{:#?}", world.told());
}

#[tokio::test]
async fn a_turn_that_is_open_when_a_runner_vanishes_is_closed_by_the_next_and_not_done_again() {
    let mut world = World::start().await;
    world.gate("never");
    let agent = world.agent(COUNTED).await;
    let id = world.say("s", "wait").await;
    world
        .until("the turn", |event| event.kind.as_str() == "text_delta")
        .await;
    agent.vanish().await;
    let agent = world.agent(COUNTED).await;
    let end = world.end_of(&id).await;
    assert_eq!(
        end["result"],
        json!({"turn_id": id, "session_id": "s", "ok": false, "note": "the runner ended"})
    );
    let ends = world
        .turn(&id)
        .into_iter()
        .filter(|(kind, _)| *kind == "turn_end")
        .count();
    assert_eq!(ends, 1);
    let next = world.say("s", "next").await;
    assert_eq!(world.end_of(&next).await["result"]["ok"], true);
    assert_eq!(done(&world), ["wait", "next"]);
    agent.stop().await;
}

/// No gateway for events.
struct Nowhere;

impl Locate for Nowhere {
    fn locate(&self) -> Result<Endpoint, String> {
        Err("nowhere".to_owned())
    }
}

#[tokio::test]
async fn an_order_that_comes_again_to_the_next_runner_is_not_done_again() {
    let mut world = World::start().await;
    world.gate("never");
    let agent = world.agent(COUNTED).await;
    let id = world.say("s", "wait").await;
    world
        .until("the turn", |event| event.kind.as_str() == "text_delta")
        .await;
    agent.vanish().await;
    let mut config = world.config("a", COUNTED).await;
    // The end of the turn does not reach the gateway, so the order is open there when the runner asks for what is.
    config.locate = Arc::new(Nowhere);
    config.pace.published = Duration::from_millis(500);
    let agent = world.run(config).await;
    let next = world.say("s", "next").await;
    assert_eq!(world.end_of(&id).await["result"]["ok"], false);
    assert_eq!(world.end_of(&next).await["result"]["ok"], true);
    assert_eq!(done(&world), ["wait", "next"]);
    agent.vanish().await;
}

#[tokio::test]
async fn a_gateway_that_is_away_in_the_midst_of_a_turn_loses_nothing_of_it() {
    let mut world = World::start().await;
    world.gate("go");
    let agent = world.agent("read x; echo before; read y < go; echo after").await;
    let id = world.say("s", "hello").await;
    world
        .until("the turn", |event| event.kind.as_str() == "text_delta")
        .await;
    world.stop_server().await;
    world.open("go").await;
    world.start_server().await;
    assert_eq!(world.end_of(&id).await["result"]["ok"], true);
    let turn = world.turn(&id);
    let said = turn.iter().find(|(kind, _)| *kind == "message").unwrap();
    assert_eq!(said.1["content"], "before\nafter");
    agent.stop().await;
}

#[tokio::test]
async fn a_second_runner_on_the_same_state_is_refused() {
    let world = World::start().await;
    let agent = world.agent("cat").await;
    let config = world.config("a", "cat").await;
    let error = within("an answer", turnwire_runner::Runner::start(config))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("another runner uses"), "{error}");
    agent.stop().await;
}

#[tokio::test]
async fn a_hold_outlives_the_runner() {
    let mut world = World::start().await;
    let agent = world.agent(COUNTED).await;
    let hold = world.order(Some("s"), "hold", json!({})).await;
    world.end_of(&hold).await;
    agent.stop().await;
    let agent = world.agent(COUNTED).await;
    let (held, other) = (world.say("s", "held").await, world.say("t", "other").await);
    world.end_of(&other).await;
    assert_eq!(done(&world), ["other"]);
    world.order(Some("s"), "release", json!({})).await;
    world.end_of(&held).await;
    agent.stop().await;
}
