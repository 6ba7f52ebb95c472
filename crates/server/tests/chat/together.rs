//! Several at once: tabs, sessions, messages; and whoever leaves.

use serde_json::{Value, json};

use crate::{
    played::Played,
    tab::{Tab, of, words},
    world::{World, note},
};

fn message(text: &str) -> Value {
    json!({"type": "message", "content": text})
}

/// Streams a text in pieces and then tells it whole, with a tool in between.
async fn streamed_turn(world: &World, agent: &mut Played, pieces: &[&str]) -> Value {
    let command = agent.take(world).await;
    agent.begins(world, &command).await;
    let id = format!("m-{}", command["id"]);
    for piece in pieces {
        agent
            .tell(
                world,
                &command,
                "text_delta",
                &json!({"content": piece, "message_id": id}),
            )
            .await;
    }
    let whole = json!({"role": "assistant", "content": pieces.concat(), "message_id": id});
    agent.tell(world, &command, "message", &whole).await;
    agent
        .ends(
            world,
            &command,
            &json!({"turn_id": command["id"], "ok": true, "phase": "execute"}),
        )
        .await;
    command
}

#[tokio::test]
async fn a_message_is_answered_piece_by_piece_and_then_as_a_whole() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let mut tab = Tab::open(&world, "").await;
    tab.send(&message("hello")).await;
    let mut frames = tab.until("accepted").await;
    let accepted = frames.last().unwrap().clone();
    let command = streamed_turn(&world, &mut agent, &["Hel", "lo, ", "you."]).await;
    assert_eq!(
        (&accepted["id"], &accepted["session_id"]),
        (&command["id"], &command["session_id"])
    );
    frames.extend(tab.until("done").await);
    let said = of(&frames, "message");
    assert_eq!(
        (said.len(), &said[0]["content"]),
        (1, &json!("hello")),
        "the turn is there from its first word"
    );
    assert_eq!(said[0]["message_id"], command["id"]);
    assert_eq!(words(&frames), "Hello, you.", "nothing twice: {frames:#?}");
    let done = frames.last().unwrap();
    for (field, value) in [
        ("session_id", &command["session_id"]),
        ("turn_id", &command["id"]),
        ("ok", &json!(true)),
        ("reply", &json!("Hello, you.")),
        ("phase", &json!("execute")),
        ("duration_ms", &json!(42)),
        ("tool_calls", &json!([])),
    ] {
        assert_eq!(done[field], *value, "{field}: {done}");
    }
    assert_eq!(done["usage"]["output_tokens"], 5);
    // What was not streamed comes as one piece.
    tab.send(&message("again")).await;
    agent.turn(&world, "Whole.").await;
    let frames = tab.until("done").await;
    assert_eq!((words(&frames).as_str(), of(&frames, "token").len()), ("Whole.", 1));
}

#[tokio::test]
async fn two_tabs_of_a_session_see_the_same_and_those_of_another_theirs() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let mut tabs = [Tab::of(&world, "s1").await, Tab::of(&world, "s1").await];
    let mut other = Tab::of(&world, "s2").await;
    tabs[0].send(&message("in the first")).await;
    agent.turn(&world, "to both").await;
    other.send(&message("in the other")).await;
    agent.turn(&world, "to the other").await;
    tabs[1].send(&message("in the second")).await;
    agent.turn(&world, "to both again").await;
    for tab in &mut tabs {
        let mut frames = tab.until("done").await;
        frames.extend(tab.until("done").await);
        let shown = of(&frames, "message");
        let shown: Vec<_> = shown.iter().map(|frame| frame["content"].as_str().unwrap()).collect();
        assert_eq!(shown, ["in the first", "in the second"]);
        assert_eq!(words(&frames), "to bothto both again");
        assert!(!json!(frames).to_string().contains("other"), "{frames:#?}");
    }
    let frames = other.until("done").await;
    assert_eq!(words(&frames), "to the other");
    assert!(!json!(frames).to_string().contains("both"), "{frames:#?}");
}

#[tokio::test]
async fn nothing_of_another_session_ever_reaches_a_socket_also_before_the_first_reply() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let mut unnamed = Tab::open(&world, "").await;
    let mut named = Tab::of(&world, "mine").await;
    let noise = || async {
        let events = json!([
            note("secret", "secret"),
            {"type": "tool_call_start", "session_id": "secret", "data": {"tool": "secret", "tool_call_id": "secret"}},
            {"type": "reasoning", "session_id": "secret", "data": {"content": "secret"}},
            {"type": "text_delta", "session_id": "secret", "data": {"content": "secret"}},
            {"type": "note", "data": {"text": "secret, of no session"}},
            {"type": "note", "source": "observability", "session_id": "secret", "data": {"text": "secret, and public"}},
        ]);
        world.publish(&events).await;
    };
    noise().await;
    for tab in [&mut unnamed, &mut named] {
        tab.send(&message("first")).await;
        noise().await;
        let command = agent.take(&world).await;
        noise().await;
        agent.begins(&world, &command).await;
        noise().await;
        agent.replies(&world, &command, "mine").await;
        agent
            .ends(&world, &command, &json!({"turn_id": command["id"], "ok": true}))
            .await;
        noise().await;
        tab.send(&json!({"type": "ping"})).await;
        let mut frames = tab.until("done").await;
        frames.extend(if of(&frames, "pong").is_empty() {
            tab.until("pong").await
        } else {
            Vec::new()
        });
        assert!(!json!(frames).to_string().contains("secret"), "{frames:#?}");
        assert_eq!(words(&frames), "mine");
    }
}

#[tokio::test]
async fn two_messages_before_the_first_reply_both_get_theirs_in_order() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let mut tab = Tab::open(&world, "").await;
    tab.send(&message("1")).await;
    tab.send(&message("2")).await;
    let first = tab.one("accepted").await;
    let second = tab.one("accepted").await;
    assert_eq!(first["session_id"], second["session_id"]);
    assert_eq!(agent.turn(&world, "one").await["id"], first["id"]);
    assert_eq!(agent.turn(&world, "two").await["id"], second["id"]);
    for (sent, reply) in [(first, "one"), (second, "two")] {
        let done = tab.one("done").await;
        assert_eq!((&done["turn_id"], &done["reply"]), (&sent["id"], &json!(reply)));
    }
}

#[tokio::test]
async fn a_viewer_who_leaves_takes_nothing_with_them() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let mut tab = Tab::open(&world, "").await;
    tab.send(&message("work")).await;
    let accepted = tab.one("accepted").await;
    let command = agent.take(&world).await;
    agent.begins(&world, &command).await;
    tab.one("state").await;
    drop(tab);
    world.metric("turnwire_chat_sockets_open 0").await;
    agent.replies(&world, &command, "done without you").await;
    agent
        .ends(&world, &command, &json!({"turn_id": command["id"], "ok": true}))
        .await;
    assert_eq!(world.command(&accepted["id"]).await["state"], "done");
    let session = accepted["session_id"].as_str().unwrap();
    let page = world
        .history(&format!("after=0&type=message&session_id={session}"))
        .await;
    let said: Vec<_> = page["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["data"]["content"])
        .collect();
    assert_eq!(said, ["work", "done without you"]);
    // Who comes back later sees all of it.
    let mut again = Tab::open(&world, &format!("?session_id={session}&after=0")).await;
    let frames = again.until("done").await;
    assert_eq!(
        (words(&frames).as_str(), of(&frames, "message").len()),
        ("done without you", 1)
    );
}

#[tokio::test]
async fn a_socket_that_is_far_behind_gets_everything_in_order() {
    let world = World::start().await;
    let mut tab = Tab::of(&world, "s").await;
    for batch in 0..5 {
        let notes: Vec<_> = (0..2000)
            .map(|n| note("s", &format!("{:0200}", batch * 2000 + n)))
            .collect();
        world.publish(&json!(notes)).await;
    }
    // It has read nothing so far; what it has not taken waits in the log.
    for n in 0..10_000 {
        assert_eq!(tab.one("note").await["text"], format!("{n:0200}"));
    }
}

#[tokio::test]
async fn the_end_of_a_turn_tells_what_its_tools_did() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let mut tab = Tab::of(&world, "s").await;
    tab.send(&message("work")).await;
    let command = agent.take(&world).await;
    agent.begins(&world, &command).await;
    let start = json!({"tool": "Bash", "tool_call_id": "t1", "arguments": {"command": "ls", "n": 1.50}});
    agent.tell(&world, &command, "tool_call_start", &start).await;
    agent
        .tell(
            &world,
            &command,
            "tool_progress",
            &json!({"tool_call_id": "t1", "content": "half"}),
        )
        .await;
    let end =
        json!({"tool": "Bash", "tool_call_id": "t1", "success": false, "duration_ms": 7, "output": "x".repeat(600)});
    agent.tell(&world, &command, "tool_call", &end).await;
    let memory = json!({"action": "recall", "query": "ls", "count": 2, "source": "notes"});
    agent.tell(&world, &command, "memory", &memory).await;
    agent.tell(&world, &command, "made_tomorrow", &json!({"x": 1})).await;
    agent
        .ends(&world, &command, &json!({"turn_id": command["id"], "ok": true}))
        .await;
    let frames = tab.until("done").await;
    let start = of(&frames, "tool_start")[0];
    assert_eq!(
        (&start["tool_name"], &start["tool_call_id"]),
        (&json!("Bash"), &json!("t1"))
    );
    assert_eq!(start["tool_args"], json!({"command": "ls", "n": 1.50}));
    assert_eq!(of(&frames, "tool_progress")[0]["progress"], "half");
    let end = of(&frames, "tool_end")[0];
    assert_eq!((&end["is_error"], &end["duration_ms"]), (&json!(true), &json!(7)));
    let summary = format!("{}…", "x".repeat(500));
    assert_eq!(end["output_summary"], summary);
    assert_eq!(of(&frames, "memory")[0]["count"], 2);
    assert_eq!(of(&frames, "event")[0]["event"]["data"], json!({"x": 1}));
    let calls = json!([{"tool_name": "Bash", "tool_call_id": "t1", "is_error": true, "duration_ms": 7,
        "output_summary": summary}]);
    assert_eq!(frames.last().unwrap()["tool_calls"], calls);
}

#[tokio::test]
async fn a_turn_that_no_message_caused_ends_with_all_it_came_to() {
    let world = World::start().await;
    let mut tab = Tab::of(&world, "s").await;
    let event = |kind: &str, data: Value| json!({"type": kind, "session_id": "s", "turn_id": "t", "data": data});
    world
        .publish(&json!([
            event("turn_start", json!({"from": "user", "body": "by hand", "unread": 0})),
            event("message", json!({"role": "assistant", "content": "By itself."})),
            event("turn_end", json!({"ok": false, "note": "stopped", "duration_ms": 3})),
        ]))
        .await;
    let frames = tab.until("done").await;
    let done = frames.last().unwrap();
    assert_eq!((&done["turn_id"], &done["reply"]), (&json!("t"), &json!("By itself.")));
    assert_eq!((&done["ok"], &done["note"]), (&json!(false), &json!("stopped")));
    assert_eq!(words(&frames), "By itself.");
}

#[tokio::test]
async fn a_message_of_which_nothing_came_ends_in_an_error_that_names_it() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let mut tab = Tab::of(&world, "s").await;
    tab.send(&message("x")).await;
    let id = tab.one("accepted").await["id"].clone();
    let command = agent.take(&world).await;
    agent
        .says(&world, &command, &json!({"state": "failed", "reason": "no such model"}))
        .await;
    let error = tab.one("error").await;
    assert_eq!((&error["id"], &error["code"]), (&id, &json!("turn_failed")));
    assert_eq!(error["details"]["reason"], "no such model");
    tab.send(&message("y")).await;
    let id = tab.one("accepted").await["id"].clone();
    world.withdraw(&id).await;
    // It had been handed over or not; either way it is withdrawn.
    let error = tab.one("error").await;
    assert_eq!((&error["id"], &error["code"]), (&id, &json!("conflict")));
}

#[tokio::test]
async fn what_a_message_is_about_comes_back_by_both_ways() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let about = json!({"content": "x", "session_id": "s", "project_id": "p", "user_id": "u"});
    let (reply, command) = tokio::join!(world.chat(&about), agent.turn(&world, "1"));
    assert_eq!(
        command["args"],
        json!({"content": "x", "project_id": "p", "user_id": "u"})
    );
    assert_eq!(
        (&reply.ok()["project_id"], &reply.ok()["user_id"]),
        (&json!("p"), &json!("u"))
    );
    let mut tab = Tab::of(&world, "s").await;
    let mut frame = about.clone();
    frame["type"] = json!("message");
    tab.send(&frame).await;
    let command = agent.turn(&world, "2").await;
    assert_eq!(
        command["args"],
        json!({"content": "x", "project_id": "p", "user_id": "u"})
    );
    let done = tab.one("done").await;
    assert_eq!((&done["project_id"], &done["user_id"]), (&json!("p"), &json!("u")));
}

#[tokio::test]
async fn an_order_goes_by_the_socket_too_and_everybody_sees_what_becomes_of_it() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let mut tabs = [Tab::of(&world, "s").await, Tab::of(&world, "s").await];
    tabs[0]
        .send(&json!({"type": "command", "action": "cancel", "args": {"turn_id": "t"}}))
        .await;
    let accepted = tabs[0].one("accepted").await;
    let command = agent.take(&world).await;
    assert_eq!(
        (&command["id"], &command["args"]),
        (&accepted["id"], &json!({"turn_id": "t"}))
    );
    agent.says(&world, &command, &json!({"state": "done"})).await;
    for state in ["queued", "delivered", "acked", "done"] {
        let frame = tabs[1].one("command_state").await;
        assert_eq!(
            (&frame["command_id"], &frame["state"]),
            (&accepted["id"], &json!(state))
        );
    }
    tabs[0]
        .send(&json!({"type": "command", "action": "cancel", "args": {"turn": "t"}}))
        .await;
    assert_eq!(tabs[0].one("error").await["details"]["field"], "args.turn");
}

#[tokio::test]
async fn sockets_come_and_go_and_idle_ones_stay() {
    let world = World::with(|config| {
        config.limits.socket_ping = std::time::Duration::from_millis(20);
        config.limits.idle_time = std::time::Duration::from_millis(50);
        config.limits.head_time = std::time::Duration::from_millis(50);
    })
    .await;
    let mut idle = Tab::of(&world, "s").await;
    for _ in 0..20 {
        let mut tab = Tab::open(&world, "").await;
        tab.ws.close(None).await.unwrap();
        drop(Tab::of(&world, "s").await);
    }
    // Many times as long as a connection without a request may be.
    while idle.pings < 20 {
        idle.send(&json!({"type": "ping"})).await;
        idle.one("pong").await;
    }
    world.publish(&note("s", "still here")).await;
    assert_eq!(idle.one("note").await["text"], "still here");
}

#[tokio::test]
async fn an_approval_is_asked_and_decided_on_the_socket_once() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let mut tabs = [Tab::of(&world, "s").await, Tab::of(&world, "s").await];
    let mut other = Tab::of(&world, "other").await;
    tabs[0].send(&message("delete it")).await;
    let command = agent.take(&world).await;
    agent.begins(&world, &command).await;
    let asked =
        json!({"approval_id": "ap-1", "tool": "Bash", "tool_call_id": "t1", "arguments": {"command": "rm -r x"}});
    agent.tell(&world, &command, "approval_request", &asked).await;
    for tab in &mut tabs {
        let request = tab.one("approval_request").await;
        assert_eq!(
            (&request["approval_id"], &request["tool_name"]),
            (&json!("ap-1"), &json!("Bash"))
        );
        assert_eq!(request["tool_args"], json!({"command": "rm -r x"}));
    }
    let deny = json!({"type": "approval_response", "approval_id": "ap-1", "decision": "deny", "message": "not that"});
    // A socket decides in its own session alone.
    other.send(&deny).await;
    assert_eq!(other.one("error").await["details"]["field"], "approval_id");
    tabs[0].send(&deny).await;
    let resolved = tabs[1].one("approval_resolved").await;
    assert_eq!(
        (&resolved["approval_id"], &resolved["decision"]),
        (&json!("ap-1"), &json!("denied"))
    );
    assert_eq!(resolved["message"], "not that");
    tabs[0].one("accepted").await;
    tabs[1]
        .send(&json!({"type": "approval_response", "approval_id": "ap-1", "decision": "approve"}))
        .await;
    let error = tabs[1].one("error").await;
    assert_eq!(
        (&error["code"], &error["of"]),
        (&json!("conflict"), &json!("approval_response"))
    );
}

/// X17. The second source has the turn's id, or one of its own for the same prompt.
#[tokio::test]
async fn a_turns_end_that_another_source_tells_too_is_no_second_done() {
    for other_id in ["t", "vendor-1"] {
        let world = World::start().await;
        let mut tab = Tab::of(&world, "s").await;
        let event = |source: &str, turn: &str, kind: &str, data: Value| json!({"type": kind, "session_id": "s", "source": source, "turn_id": turn, "data": data});
        let start = json!({"from": "user", "body": "by hand", "unread": 0});
        let end = json!({"ok": true, "duration_ms": 3});
        world
            .publish(&json!([
                event("claude-code", "t", "turn_start", start.clone()),
                event("claude-hooks", other_id, "turn_start", start),
                event(
                    "claude-code",
                    "t",
                    "message",
                    json!({"role": "assistant", "content": "Yes."})
                ),
                event("claude-code", "t", "turn_end", end.clone()),
            ]))
            .await;
        let mut frames = tab.until("done").await;
        let told = world
            .publish(&json!([
                event("claude-hooks", other_id, "turn_end", end),
                event("claude-code", "t", "after", json!({})),
            ]))
            .await;
        frames.extend(tab.until("event").await);
        assert_eq!(of(&frames, "done").len(), 1, "{other_id}: {frames:?}");
        let second = frames.iter().find(|frame| frame["seq"] == told["first_seq"]).unwrap();
        assert_eq!(second["type"], "state", "{other_id}: {second}");
    }
}

/// X17, of a turn that a message caused: its command's end is the one.
#[tokio::test]
async fn the_end_of_a_messages_turn_is_told_once_whoever_tells_it_too() {
    let world = World::start().await;
    let mut agent = Played::start(&world, "a").await;
    let mut tab = Tab::of(&world, "s").await;
    tab.send(&message("x")).await;
    let command = agent.take(&world).await;
    agent.begins(&world, &command).await;
    let hook = |kind: &str, turn: &Value, data: Value| json!({"type": kind, "session_id": "s", "source": "claude-hooks", "turn_id": turn, "data": data});
    let (own, vendors) = (&command["id"], json!("vendor-1"));
    world
        .publish(&json!([
            hook(
                "turn_start",
                &vendors,
                json!({"from": "user", "body": "x", "unread": 0})
            ),
            hook("turn_end", &vendors, json!({"ok": true})),
            hook("turn_end", own, json!({"ok": true})),
        ]))
        .await;
    agent.replies(&world, &command, "Yes.").await;
    agent.ends(&world, &command, &json!({"turn_id": own, "ok": true})).await;
    world.publish(&hook("turn_end", &vendors, json!({"ok": true}))).await;
    world.publish(&hook("after", own, json!({}))).await;
    let frames = tab.until("event").await;
    let done = of(&frames, "done");
    assert_eq!(done.len(), 1, "{frames:?}");
    assert_eq!((&done[0]["turn_id"], &done[0]["reply"]), (own, &json!("Yes.")));
}
