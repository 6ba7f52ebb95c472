//! `send`, to an agent that is played through the real downlink of a real gateway.

use std::{io::Write, process::Stdio};

use serde_json::{Value, json};
use turnwire_client::downlink::{Order, Said};
use turnwire_proto::{Name, Object};

use crate::{
    player::Player,
    serve::serve,
    world::{World, stderr, stdout},
};

/// Does the next order: says this, or that it went wrong.
fn does(agent: &mut Player, ok: bool, reply: &str) -> Order {
    let order = agent.order();
    says(agent, &order, ok, reply);
    order
}

fn says(agent: &Player, order: &Order, ok: bool, reply: &str) {
    let result = json!({"turn_id": order.id, "ok": ok, "reply": reply, "note": reply});
    agent.says(order, Said::DoneWith(Object::of(&result)));
}

#[test]
fn what_is_sent_is_answered_on_standard_output() {
    let world = World::new();
    let _served = serve(&world, &[]);
    let mut agent = Player::start(&world, "builder");
    let send = world
        .turnwire(&["send", "builder", "--session", "s1", "how are you?"])
        .stdout(Stdio::piped())
        .spawn();
    let order = does(&mut agent, true, "Well,\nthank you.");
    let sent = send.unwrap().wait_with_output().unwrap();
    assert_eq!(
        (sent.status.code(), stdout(&sent).as_str()),
        (Some(0), "Well,\nthank you.\n")
    );
    assert_eq!(
        (order.session_id.as_ref().map(Name::as_str), order.action.as_str()),
        (Some("s1"), "message")
    );
    assert_eq!(order.args.read::<Value>().unwrap(), json!({"content": "how are you?"}));
    // Standard input, and the whole answer.
    let mut send = world.turnwire(&["send", "builder", "--json", "-"]);
    let mut send = send.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    send.stdin.take().unwrap().write_all(b"a\nb").unwrap();
    let order = does(&mut agent, true, "c");
    let answer: Value = serde_json::from_slice(&send.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(
        (&answer["echo"], &answer["reply"], &answer["id"]),
        (&json!("a\nb"), &json!("c"), &json!(order.id))
    );
    // A turn that went wrong.
    let send = world
        .turnwire(&["send", "builder", "x"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    does(&mut agent, false, "no model");
    let failed = send.wait_with_output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    assert!(stderr(&failed).contains("no model"), "{}", stderr(&failed));
}

#[test]
fn a_reply_that_is_late_is_had_by_the_id_that_was_told() {
    let world = World::new();
    let _served = serve(&world, &[]);
    let mut agent = Player::start(&world, "builder");
    let late = world
        .turnwire(&["send", "builder", "--wait", "1s", "think"])
        .output()
        .unwrap();
    assert_eq!((late.status.code(), stdout(&late).as_str()), (Some(75), ""));
    let told = stderr(&late);
    let (_, id) = told.split_once("--id ").unwrap();
    let id = id.split(' ').next().unwrap();
    assert_eq!(does(&mut agent, true, "thought").id.to_string(), id);
    let again = world
        .turnwire(&["send", "builder", "--id", id, "think"])
        .output()
        .unwrap();
    assert_eq!(
        (again.status.code(), stdout(&again).as_str()),
        (Some(0), "thought\n"),
        "{}",
        stderr(&again)
    );
    let taken = world
        .turnwire(&["send", "builder", "--no-wait", "later"])
        .output()
        .unwrap();
    assert_eq!((taken.status.code(), stdout(&taken).as_str()), (Some(0), ""));
    let order = agent.order();
    assert!(stderr(&taken).contains(&order.id.to_string()), "{}", stderr(&taken));
    let nobody = world.turnwire(&["send", "nobody", "x"]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(1));
    assert!(
        stderr(&nobody).contains("there is no agent nobody"),
        "{}",
        stderr(&nobody)
    );
}

#[test]
fn a_gateway_that_is_killed_in_a_turn_has_the_message_and_its_reply_when_it_is_back() {
    let world = World::new();
    let served = serve(&world, &[]);
    let mut agent = Player::start(&world, "builder");
    let id = "0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10";
    let send = ["send", "builder", "--session", "s", "--id", id, "work"];
    let waiting = world
        .turnwire(&send)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let order = agent.order();
    // Killed, not ended.
    drop(served);
    let cut = waiting.wait_with_output().unwrap();
    assert_eq!(cut.status.code(), Some(69), "{}", stderr(&cut));
    assert!(stderr(&cut).contains(&format!("--id {id}")), "{}", stderr(&cut));
    let _served = serve(&world, &[]);
    says(&agent, &order, true, "done");
    let again = world.turnwire(&send).output().unwrap();
    assert_eq!(
        (again.status.code(), stdout(&again).as_str()),
        (Some(0), "done\n"),
        "{}",
        stderr(&again)
    );
    let shown = world.turnwire(&["show", "s"]).output().unwrap();
    assert_eq!(stdout(&shown).matches("\n  work\n").count(), 1, "{}", stdout(&shown));
}
