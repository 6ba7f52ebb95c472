//! The long-poll: the same queue and cursor for networks that hold streams back.

use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn a_wait_is_answered_by_what_there_is_and_goes_on_at_its_cursor() {
    let world = World::start().await;
    let key = world.key("a").await;
    let (one, two) = (world.say("a", "1").await, world.say("a", "2").await);
    let first = world.wake(&key, "").await;
    let ids: Vec<_> = first["commands"].as_array().unwrap().iter().map(|c| &c["id"]).collect();
    assert_eq!(ids, [&one["id"], &two["id"]]);
    assert_eq!(first["cursor"], two["seq"]);
    let after = format!("after={}&wait_ms=0", first["cursor"]);
    let epoch = json!(world.server().ready().epoch);
    let nothing = json!({"cursor": first["cursor"], "epoch": epoch, "commands": []});
    assert_eq!(world.wake(&key, &after).await, nothing);
    let three = world.say("a", "3").await;
    assert_eq!(world.wake(&key, &after).await["commands"][0]["id"], three["id"]);
    // Without its cursor it gets all that is open.
    assert_eq!(
        world.wake(&key, "wait_ms=0").await["commands"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
}

#[tokio::test]
async fn a_wait_ends_when_a_command_comes() {
    let world = World::start().await;
    let key = world.key("a").await;
    let head = world.head_seq().await;
    // The agent is online once its wait has begun; the order comes after that.
    let order = async {
        world.event("agent_online", head).await;
        world.say("a", "1").await
    };
    let (woken, command) = tokio::join!(world.wake(&key, "wait_ms=60000"), order);
    assert_eq!(woken["commands"][0]["id"], command["id"]);
}

#[tokio::test]
async fn a_wait_and_a_stream_of_one_agent_are_one_downlink_and_the_newest_is_it() {
    let world = World::start().await;
    let key = world.key("a").await;
    let mut line = world.line(&key).await;
    line.sync().await;
    world.wake(&key, "wait_ms=0").await;
    assert_eq!(line.bye().await, json!({"reason": "replaced"}));
    let head = world.head_seq().await;
    let key_b = world.key("b").await;
    let stream = async {
        world.event("agent_online", head).await;
        world.line(&key_b).await
    };
    let (woken, _line) = tokio::join!(world.wake(&key_b, "wait_ms=60000"), stream);
    let epoch = json!(world.server().ready().epoch);
    assert_eq!(
        woken,
        json!({"cursor": 0, "epoch": epoch, "commands": [], "replaced": true})
    );
}

#[tokio::test]
async fn a_wait_is_bounded_and_says_so() {
    let world = World::start().await;
    let key = world.key("a").await;
    let refused = world.get_by(&key, "/api/agent/wake?wait_ms=60001").await;
    assert_eq!(refused.refused_field(400, "bad_request", "wait_ms")["limit"], 60_000);
}
