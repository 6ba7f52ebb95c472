//! A driver that does what none should: panics, or does not end a turn that it was told to end.

use std::{future, time::Duration};

use async_trait::async_trait;
use serde_json::json;
use turnwire_proto::{Name, Object, command::Action};
use turnwire_runner::{Driver, Failure, Prompt, Setup, Signal, Spec, Tell, Verdict};

use crate::world::World;

struct Faulty;

#[async_trait]
impl Driver for Faulty {
    fn adapter(&self) -> &'static str {
        "lines"
    }

    fn can_also(&self) -> &'static [Action] {
        &[]
    }

    async fn prompt(&mut self, prompt: &Prompt) -> Result<(), Failure> {
        assert_ne!(prompt.text, "panic", "as it was told");
        match prompt.text.as_str() {
            "refuse" => Err(Failure::Gone("not today".to_owned())),
            _ => Ok(()),
        }
    }

    async fn next(&mut self) -> Signal {
        future::pending().await
    }

    async fn tell(&mut self, _what: Tell) -> Result<Option<Object>, Failure> {
        Ok(None)
    }

    async fn answer(&mut self, _id: &Name, _verdict: &Verdict) -> Result<(), Failure> {
        Ok(())
    }

    async fn end(&mut self) {}
}

const FAULTY: &Spec = &Spec {
    name: "faulty",
    description: "does what no driver should",
    program: None,
    make: |_: Setup| Box::new(Faulty),
};

#[tokio::test]
async fn whatever_a_driver_does_every_turn_ends_and_the_next_message_is_taken() {
    let mut world = World::start().await;
    let mut config = world.config("a", "").await;
    config.driver = FAULTY;
    config.pace.interrupt = Duration::from_millis(1);
    let agent = world.run(config).await;

    let hold = world.order(None, "hold", json!({})).await;
    world.end_of(&hold).await;
    let broken = world.say("s", "panic").await;
    let refused = world.say("s", "refuse").await;
    world.order(None, "release", json!({})).await;
    let end = world.end_of(&broken).await;
    assert_eq!((&end["state"], &end["result"]["ok"]), (&json!("done"), &json!(false)));
    assert!(world.turn(&broken).iter().any(|(kind, _)| *kind == "turn_end"));

    // It waited while that happened.
    let end = world.end_of(&refused).await;
    assert_eq!((&end["state"], &end["reason"]), (&json!("failed"), &json!("not today")));

    // It does not stop though it was told to.
    let endless = world.say("s", "go on").await;
    world
        .until("the turn", |event| {
            event.kind.as_str() == "turn_start" && json!(event.turn_id) == endless
        })
        .await;
    world.order(Some("s"), "interrupt", json!({})).await;
    let end = world.end_of(&endless).await;
    assert_eq!(
        (&end["result"]["ok"], &end["result"]["note"]),
        (&json!(false), &json!("interrupted"))
    );
    agent.stop().await;
}
