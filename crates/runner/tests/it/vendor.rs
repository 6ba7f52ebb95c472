//! What a vendor's program may do, played by a script that speaks Claude Code's lines (`docs/protocol.md`, G3, G9 and G11).

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use serde_json::{Value, json};
use turnwire_runner::{Config, Pace, drivers};

use crate::world::World;

/// Answers each prompt by what the file `answers` says in the line of its number, `ok` where there is none.
const SCRIPT: &str = r#"#!/bin/sh
echo "$@" >> started
resume=
for arg; do [ "$last" = --resume ] && resume=$arg; last=$arg; done
[ -f lost ] && [ -n "$resume" ] && {
    echo '{"type":"result","subtype":"error_during_execution","is_error":true,"errors":["No conversation found with session ID: x"]}'
    exit 1
}
id=${resume:-conversation-$$}
fail() {
    echo '{"type":"result","subtype":"success","is_error":true,"result":"'"$1"'","api_error_status":'"$2"',"session_id":"'$id'"}'
}
while read -r line; do
    case $line in
    *'"subtype":"interrupt"'*)
        request=$(echo "$line" | sed 's/.*"request_id":"\([^"]*\)".*/\1/')
        echo '{"type":"control_response","response":{"subtype":"success","request_id":"'$request'","response":{}}}'
        ;;
    *'"type":"user"'*)
        echo x >> asked
        answer=$(sed -n "$(wc -l < asked)p" answers 2>/dev/null)
        echo '{"type":"system","subtype":"init","session_id":"'$id'","model":"m"}'
        case $answer in
        limited) fail 'API Error: 429' 429 ;;
        login) fail 'Not logged in · Please run /login' null ;;
        crash) exit 7 ;;
        *)
            echo '{"type":"assistant","session_id":"'$id'","message":{"id":"m1","role":"assistant","content":[{"type":"text","text":"understood"}]}}'
            echo '{"type":"result","subtype":"success","is_error":false,"result":"understood","session_id":"'$id'"}'
            ;;
        esac
        ;;
    esac
done
"#;

async fn config(world: &World, answers: &[&str]) -> Config {
    let file = world.path("vendor");
    fs::write(&file, SCRIPT).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(world.path("answers"), answers.join("\n") + "\n").unwrap();
    let mut config = world.config("a", "").await;
    config.driver = drivers::by_name("claude").unwrap();
    config.setup.args.clear();
    config.setup.program = Some(file.into());
    config.pace = Pace {
        rate: (Duration::from_millis(1), Duration::from_millis(1)),
        login: Duration::from_millis(1),
        ..Pace::default()
    };
    config
}

fn started(world: &World) -> Vec<String> {
    let text = fs::read_to_string(world.path("started")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn statuses(world: &World) -> Vec<String> {
    let of = world
        .events
        .iter()
        .filter(|event| event.kind.as_str() == "status_changed");
    let status = of.map(|event| {
        event.data.read::<Value>().unwrap()["status"]
            .as_str()
            .unwrap()
            .to_owned()
    });
    status.collect()
}

fn count(world: &World, turn: &Value, kind: &str) -> usize {
    world.turn(turn).iter().filter(|(of, _)| *of == kind).count()
}

#[tokio::test]
async fn a_rate_limit_is_told_and_waited_out_in_one_turn() {
    let mut world = World::start().await;
    let agent = world.run(config(&world, &["limited", "limited", "ok"]).await).await;
    let id = world.say("s", "hello").await;
    assert_eq!(world.end_of(&id).await["result"]["ok"], true, "{:#?}", world.told());
    assert_eq!(count(&world, &id, "turn_start"), 1);
    assert_eq!(count(&world, &id, "turn_end"), 1);
    assert_eq!(statuses(&world), ["online", "rate_limited", "online"]);
    let states = world.turn(&id);
    let limited = states
        .iter()
        .filter(|(kind, body)| *kind == "turn_state_changed" && body["state"] == "rate_limited");
    assert_eq!(limited.count(), 2);
    assert_eq!(started(&world).len(), 1, "the same process");
    agent.stop().await;
}

#[tokio::test]
async fn a_wait_for_a_rate_limit_can_be_cancelled() {
    let mut world = World::start().await;
    let mut config = config(&world, &["limited"]).await;
    config.pace.rate = (Duration::from_secs(3600), Duration::from_secs(3600));
    let agent = world.run(config).await;
    let id = world.say("s", "hello").await;
    world
        .until("the limit", |event| event.data.get().contains("\"rate_limited\""))
        .await;
    let cancel = world.order(Some("s"), "cancel", json!({})).await;
    assert_eq!(world.end_of(&cancel).await["result"]["turn_id"], id);
    let end = world.end_of(&id).await;
    assert_eq!(
        (&end["result"]["ok"], &end["result"]["note"]),
        (&json!(false), &json!("interrupted"))
    );
    let next = world.say("s", "next").await;
    assert_eq!(world.end_of(&next).await["result"]["ok"], true);
    agent.stop().await;
}

#[tokio::test]
async fn without_a_login_one_turn_waits_and_is_tried_again_and_no_other_begins() {
    let mut world = World::start().await;
    let mut config = config(&world, &["login", "login", "ok"]).await;
    // Only a message makes it look.
    (config.pace.login, config.pace.login_least) = (Duration::from_secs(3600), Duration::ZERO);
    let agent = world.run(config).await;
    let first = world.say("s", "hello").await;
    world
        .until("the login", |event| event.data.get().contains("needs_login_idle"))
        .await;
    world
        .event("a report", |event| {
            event.data.get().contains("\"login\":\"needs_login\"")
        })
        .await;
    let second = world.say("t", "another").await;
    // Messages that come while it looks are looked for once.
    world
        .until("the second try", |event| event.kind.as_str() == "error")
        .await;
    let third = world.say("t", "a third").await;
    for id in [&first, &second, &third] {
        assert_eq!(world.end_of(id).await["result"]["ok"], true, "{:#?}", world.told());
        assert_eq!((count(&world, id, "turn_start"), count(&world, id, "turn_end")), (1, 1));
    }
    let place = |kind: &str, id: &Value| {
        let of = world
            .events
            .iter()
            .find(|event| event.kind.as_str() == kind && json!(event.turn_id) == *id);
        of.unwrap().seq
    };
    assert!(place("turn_end", &first) < place("turn_start", &second));
    agent.stop().await;
}

#[tokio::test]
async fn a_program_that_crashes_fails_its_turn_and_the_next_one_resumes_its_conversation() {
    let mut world = World::start().await;
    let agent = world.run(config(&world, &["ok", "crash", "ok"]).await).await;
    let first = world.say("s", "one").await;
    world.end_of(&first).await;
    let second = world.say("s", "two").await;
    let end = world.end_of(&second).await;
    assert_eq!((&end["state"], &end["result"]["ok"]), (&json!("done"), &json!(false)));
    assert_eq!(count(&world, &second, "error"), 1, "{:#?}", world.told());
    assert_eq!(count(&world, &second, "turn_end"), 1);
    let third = world.say("s", "three").await;
    assert_eq!(world.end_of(&third).await["result"]["ok"], true);
    let started = started(&world);
    assert_eq!(started.len(), 2);
    assert!(
        !started[0].contains("--resume") && started[1].contains("--resume conversation-"),
        "{started:?}"
    );
    agent.stop().await;
}

#[tokio::test]
async fn a_conversation_that_is_lost_begins_anew_and_says_so() {
    let mut world = World::start().await;
    let agent = world.run(config(&world, &[]).await).await;
    let first = world.say("s", "one").await;
    world.end_of(&first).await;
    agent.stop().await;
    fs::write(world.path("lost"), "").unwrap();
    let agent = world.run(config(&world, &[]).await).await;
    let second = world.say("s", "two").await;
    assert_eq!(world.end_of(&second).await["result"]["ok"], true, "{:#?}", world.told());
    let notes = world.turn(&second);
    let told = notes.iter().any(|(kind, body)| {
        *kind == "note"
            && body["text"]
                .as_str()
                .is_some_and(|text| text.contains("is not there any more"))
    });
    assert!(told, "{:#?}", world.told());
    assert_eq!(count(&world, &second, "turn_end"), 1);
    agent.stop().await;
}

#[tokio::test]
async fn the_program_that_is_idle_longest_makes_room_and_is_resumed_when_it_is_needed() {
    let mut world = World::start().await;
    let mut config = config(&world, &[]).await;
    config.max_live = 1;
    let agent = world.run(config).await;
    for session in ["s", "t", "s"] {
        let id = world.say(session, "hello").await;
        assert_eq!(world.end_of(&id).await["result"]["ok"], true);
    }
    let started = started(&world);
    assert_eq!(started.len(), 3);
    assert!(started[2].contains("--resume conversation-"), "{started:?}");
    agent.stop().await;
}

#[tokio::test]
async fn a_model_is_kept_and_given_to_every_program_that_is_started() {
    let mut world = World::start().await;
    let agent = world.run(config(&world, &[]).await).await;
    let set = world.order(None, "set_model", json!({"model": "other"})).await;
    assert_eq!(world.end_of(&set).await["state"], "done");
    agent.stop().await;
    let agent = world.run(config(&world, &[]).await).await;
    let id = world.say("s", "hello").await;
    world.end_of(&id).await;
    assert!(started(&world)[0].contains("--model other"), "{:?}", started(&world));
    let report = world
        .event("a report", |event| {
            event.kind.as_str() == "agent_state" && event.data.get().contains("\"model\":\"other\"")
        })
        .await;
    assert_eq!(report.kind.as_str(), "agent_state");
    agent.stop().await;
}
