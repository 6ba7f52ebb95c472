//! Coming back.

use serde_json::{Value, json};

use crate::{
    played::Played,
    tab::{Tab, of, words},
    world::World,
};

/// Takes a message on and streams the beginning of its answer.
async fn half(world: &World, agent: &mut Played) -> Value {
    let command = agent.take(world).await;
    agent.begins(world, &command).await;
    for piece in ["one ", "two "] {
        agent
            .tell(
                world,
                &command,
                "text_delta",
                &json!({"content": piece, "message_id": "m"}),
            )
            .await;
    }
    command
}

/// Streams the rest, and ends.
async fn rest(world: &World, agent: &Played, command: &Value) {
    agent
        .tell(
            world,
            command,
            "text_delta",
            &json!({"content": "three", "message_id": "m"}),
        )
        .await;
    let whole = json!({"role": "assistant", "content": "one two three", "message_id": "m"});
    agent.tell(world, command, "message", &whole).await;
    agent
        .ends(world, command, &json!({"turn_id": command["id"], "ok": true}))
        .await;
}

#[tokio::test]
async fn a_socket_that_was_cut_in_a_turn_resumes_with_nothing_lost_or_doubled() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let mut tab = Tab::open(&world, "").await;
    tab.send(&json!({"type": "message", "content": "count"})).await;
    let accepted = tab.one("accepted").await;
    let session = accepted["session_id"].as_str().unwrap();
    let command = half(&world, &mut agent).await;
    let mut frames = tab.until("token").await;
    frames.extend(tab.until("token").await);
    let cursor = tab.cursor;
    drop(tab);
    rest(&world, &agent, &command).await;
    // Once by the address, once by a frame; both hear the rest alone.
    let mut by_url = Tab::open(&world, &format!("?session_id={session}&after={cursor}")).await;
    by_url.cursor = cursor;
    assert_eq!(by_url.one("hello").await["after"], cursor);
    let mut by_frame = Tab::open(&world, "").await;
    by_frame
        .send(&json!({"type": "resume", "session_id": session, "after": cursor}))
        .await;
    by_frame.cursor = cursor;
    assert_eq!(by_frame.frame().await["after"], cursor);
    for tab in [&mut by_url, &mut by_frame] {
        let mut all = frames.clone();
        all.extend(tab.until("done").await);
        assert_eq!(words(&all), "one two three");
        assert_eq!(of(&all, "done").len(), 1);
        assert_eq!(of(&all, "done")[0]["reply"], "one two three");
    }
}

#[tokio::test]
async fn wherever_a_socket_is_cut_its_pages_show_the_same() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let mut tab = Tab::of(&world, "s").await;
    tab.send(&json!({"type": "message", "content": "count"})).await;
    let command = half(&world, &mut agent).await;
    rest(&world, &agent, &command).await;
    let all: Vec<_> = tab
        .until("done")
        .await
        .into_iter()
        .filter(|frame| frame["seq"].is_u64())
        .collect();
    for (at, frame) in all.iter().enumerate().take(all.len() - 1) {
        let mut again = Tab::open(&world, &format!("?session_id=s&after={}", frame["seq"])).await;
        let hello = again.frame().await;
        assert_eq!((&hello["type"], &hello["after"]), (&json!("hello"), &frame["seq"]));
        assert_eq!(again.until("done").await, all[at + 1..], "cut behind {frame}");
    }
}

#[tokio::test]
async fn what_was_only_half_streamed_is_told_whole_in_its_place() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let mut first = Tab::of(&world, "s").await;
    first.send(&json!({"type": "message", "content": "count"})).await;
    let command = half(&world, &mut agent).await;
    // It begins now: the beginning of the text it has never had.
    let mut late = Tab::of(&world, "s").await;
    rest(&world, &agent, &command).await;
    let frames = late.until("done").await;
    let tokens = of(&frames, "token");
    assert_eq!(
        (&tokens[0]["content"], &tokens[0]["whole"]),
        (&json!("three"), &Value::Null)
    );
    assert_eq!(
        (&tokens[1]["content"], &tokens[1]["whole"]),
        (&json!("one two three"), &json!(true))
    );
    assert_eq!(words(&first.until("done").await), "one two three");
}

#[tokio::test]
async fn a_socket_resumes_after_a_restart_in_the_middle_of_a_turn() {
    let mut world = World::with(|config| config.limits.shutdown_grace = std::time::Duration::from_secs(1)).await;
    let mut agent = Played::start(&world, "a").await;
    let mut tab = Tab::of(&world, "s").await;
    tab.send(&json!({"type": "message", "content": "count"})).await;
    let command = half(&world, &mut agent).await;
    let mut frames = tab.until("token").await;
    frames.extend(tab.until("token").await);
    let cursor = tab.cursor;
    let (end, ()) = tokio::join!(tab.end(), world.restart());
    assert_eq!(end, Some((1012, "shutdown".to_owned())));
    let agent = agent.again(&world).await;
    let mut tab = Tab::open(&world, &format!("?session_id=s&after={cursor}")).await;
    rest(&world, &agent, &command).await;
    frames.extend(tab.until("done").await);
    assert_eq!(words(&frames), "one two three");
    tab.send(&json!({"type": "message", "content": "again", "id": command["id"]}))
        .await;
    assert_eq!(
        tab.one("error").await["details"]["field"],
        "id",
        "the same id is the same message"
    );
    tab.send(&json!({"type": "message", "content": "count", "id": command["id"]}))
        .await;
    assert_eq!(tab.one("accepted").await["state"], "done");
}

#[tokio::test]
async fn a_message_that_is_sent_again_on_another_socket_is_one_message() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let said = json!({"type": "message", "content": "x", "id": "0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10"});
    let mut tab = Tab::open(&world, "").await;
    tab.send(&said).await;
    let first = tab.one("accepted").await;
    drop(tab);
    // Not knowing whether it was taken, the page says it again.
    let mut tab = Tab::open(&world, "").await;
    tab.send(&said).await;
    let again = tab.one("accepted").await;
    assert_eq!(
        (&again["id"], &again["session_id"]),
        (&first["id"], &first["session_id"])
    );
    agent.turn(&world, "once").await;
    assert_eq!(tab.one("done").await["reply"], "once");
    assert_eq!(world.told("command").await.len(), 1);
}

#[tokio::test]
async fn a_cursor_of_another_log_is_told_so() {
    let world = World::start().await;
    world.publish(&crate::world::note("s", "1")).await;
    let other = "5b1e4f0e-7f1c-4f3a-9a55-0d7f1f1f9b7e";
    let mut tab = Tab::open(&world, &format!("?session_id=s&after=1&epoch={other}")).await;
    let hello = tab.frame().await;
    assert_ne!(hello["epoch"], other);
    let gap = tab.frame().await;
    assert_eq!((&gap["type"], &gap["reason"]), (&json!("gap"), &json!("other_epoch")));
    assert_eq!(tab.one("note").await["text"], "1");
    tab.send(&json!({"type": "resume", "after": 999_999})).await;
    assert_eq!(tab.one("gap").await["reason"], "beyond_head");
}
