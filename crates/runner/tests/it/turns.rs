//! A message, and the turn that comes of it (`docs/protocol.md`, G3, G4, G5 and G8).

use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn a_message_becomes_one_turn_with_its_id_which_is_there_when_the_order_is_done() {
    let mut world = World::start().await;
    let agent = world.agent("read x; echo \"it said $x\"; echo more >&2").await;
    let id = world.say("s", "hello").await;
    let end = world.end_of(&id).await;
    assert_eq!(end["state"], "done", "{end}");
    assert_eq!(end["result"], json!({"turn_id": id, "session_id": "s", "ok": true}));
    // All of the turn stands before the word that it is done.
    let turn = world.turn(&id);
    let kinds: Vec<_> = turn
        .iter()
        .map(|(kind, _)| *kind)
        .filter(|kind| *kind != "text_delta" && *kind != "note")
        .collect();
    assert_eq!(kinds, ["turn_start", "message", "turn_end"], "{:#?}", world.told());
    assert_eq!(turn[0].1, json!({"from": "user", "body": "hello", "unread": 0}));
    let said = turn.iter().find(|(kind, _)| *kind == "message").unwrap();
    assert_eq!(said.1["content"], "it said hello");
    assert!(
        turn.iter()
            .any(|(kind, body)| *kind == "note" && body["text"] == "more")
    );
    assert_eq!(turn.last().unwrap().1["ok"], true);
    agent.stop().await;
}

#[tokio::test]
async fn messages_of_a_session_take_turns_in_their_order_and_say_how_many_wait() {
    let mut world = World::start().await;
    let texts = ["one", "two", "three"];
    for text in texts {
        world.gate(text);
    }
    let agent = world.agent("read x; read y < $x; echo $x").await;
    let mut ids = Vec::new();
    for text in texts {
        ids.push(world.say("s", text).await);
    }
    for text in texts {
        world.open(text).await;
    }
    for id in &ids {
        world.end_of(id).await;
    }
    let starts: Vec<_> = world
        .events
        .iter()
        .filter(|event| event.kind.as_str() == "turn_start")
        .collect();
    let order: Vec<_> = starts.iter().map(|event| json!(event.turn_id)).collect();
    assert_eq!(order, ids);
    let places = |kind: &str| {
        let of = world.events.iter().filter(|event| event.kind.as_str() == kind);
        of.map(|event| event.seq).collect::<Vec<_>>()
    };
    let (starts, ends) = (places("turn_start"), places("turn_end"));
    assert!(ends[0] < starts[1] && ends[1] < starts[2], "one turn at a time");
    agent.stop().await;
}

#[tokio::test]
async fn sessions_work_at_once_but_no_more_than_may() {
    let mut world = World::start().await;
    for gate in ["one", "two"] {
        world.gate(gate);
    }
    let mut config = world.config("a", "read x; read y < $x; echo done").await;
    config.max_live = 1;
    let agent = world.run(config).await;
    let first = world.say("s1", "one").await;
    world.until("a turn", |event| event.kind.as_str() == "turn_start").await;
    let second = world.say("s2", "two").await;
    world.open("one").await;
    world.end_of(&first).await;
    world.open("two").await;
    assert_eq!(world.end_of(&second).await["result"]["ok"], true);
    let place = |kind: &str, turn: &serde_json::Value| {
        let of = world
            .events
            .iter()
            .find(|event| event.kind.as_str() == kind && json!(event.turn_id) == *turn);
        of.unwrap().seq
    };
    assert!(
        place("turn_end", &first) < place("turn_start", &second),
        "the second had no room"
    );
    agent.stop().await;

    let agent = world.agent("read x; read y < $x; echo done").await;
    let ids = [world.say("s1", "one").await, world.say("s2", "two").await];
    // Both are at their gates, so that the later one may go first.
    world.open("two").await;
    world.end_of(&ids[1]).await;
    world.open("one").await;
    world.end_of(&ids[0]).await;
    agent.stop().await;
}

#[tokio::test]
async fn a_program_that_fails_fails_its_turn_and_the_next_message_is_answered() {
    let mut world = World::start().await;
    let agent = world.agent("read x; echo half; if [ $x = die ]; then exit 3; fi").await;
    let (bad, good) = (world.say("s", "die").await, world.say("s", "live").await);
    let end = world.end_of(&bad).await;
    assert_eq!(end["state"], "done");
    assert_eq!(
        end["result"],
        json!({"turn_id": bad, "session_id": "s", "ok": false, "note": "exited with code 3"})
    );
    let turn = world.turn(&bad);
    assert!(turn.iter().any(|(kind, _)| *kind == "error"), "{:#?}", world.told());
    assert_eq!(turn.last().unwrap().0, "turn_end");
    assert_eq!(world.end_of(&good).await["result"]["ok"], true);
    agent.stop().await;
}

#[tokio::test]
async fn a_program_that_is_not_there_fails_the_order_without_a_turn() {
    let mut world = World::start().await;
    let mut config = world.config("a", "").await;
    config.setup.args = vec!["/nowhere/at-all".into()];
    let agent = world.run(config).await;
    let id = world.say("s", "hello").await;
    let end = world.end_of(&id).await;
    assert_eq!(end["state"], "failed");
    assert!(
        end["reason"]
            .as_str()
            .unwrap()
            .contains("/nowhere/at-all is not installed"),
        "{end}"
    );
    assert!(!world.events.iter().any(|event| event.kind.as_str() == "turn_start"));
    agent.stop().await;
}

#[tokio::test]
async fn a_message_without_a_session_goes_to_the_agents_own_which_a_new_session_replaces() {
    let mut world = World::start().await;
    let agent = world.agent("read x; echo $x").await;
    let session = |end: &serde_json::Value| end["result"]["session_id"].as_str().unwrap().to_owned();
    let mut at = Vec::new();
    for text in ["one", "two"] {
        let id = world.order(None, "message", json!({"content": text})).await;
        at.push(session(&world.end_of(&id).await));
        let message = world.events.iter().find(|event| {
            let body: serde_json::Value = event.data.read().unwrap();
            event.kind.as_str() == "message" && body["message_id"] == id
        });
        let message = message.expect("the runner writes down what nobody else has");
        assert_eq!(message.session_id.as_ref().unwrap().as_str(), at.last().unwrap());
    }
    assert_eq!(at[0], at[1]);
    let new = world.order(None, "new_session", json!({})).await;
    let opened = session(&world.end_of(&new).await);
    assert_ne!(opened, at[0]);
    let id = world.order(None, "message", json!({"content": "three"})).await;
    assert_eq!(session(&world.end_of(&id).await), opened);
    let id = world.order(None, "new_session", json!({"prompt": "four"})).await;
    let end = world.end_of(&id).await;
    assert_eq!((&end["result"]["turn_id"], &end["result"]["ok"]), (&id, &json!(true)));
    assert_ne!(session(&end), opened);
    agent.stop().await;
}
