//! `publish`: lines as they come, through the spool, once.

use std::{
    io::Write,
    process::Stdio,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    gateway::{Answer, Gateway},
    world::{World, notes, stderr, stdout},
};

fn feed(command: &mut std::process::Command, input: &[u8]) -> std::process::Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn lines_are_published_as_they_come_and_not_only_at_the_end() {
    let world = World::new();
    let gateway = Gateway::new(|_| Answer::Take);
    let mut child = world
        .turnwire(&[
            "publish",
            "--adapter",
            "lines",
            "--session",
            "s",
            "--url",
            &gateway.url,
            "--json",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    for n in 1..=3 {
        writeln!(input, "line {n}").unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while notes(&gateway.stored.events()).len() < n {
            assert!(Instant::now() < deadline, "line {n} did not come");
            std::thread::yield_now();
        }
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let summary: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(
        (&summary["rejected"], &summary["left"], &summary["session_id"]),
        (&0.into(), &0.into(), &"s".into())
    );
    assert_eq!(summary["written"], gateway.stored.events().len());
}

#[test]
fn our_own_events_keep_their_ids_so_that_sending_them_again_writes_nothing() {
    let world = World::new();
    let gateway = Gateway::new(|_| Answer::Take);
    let event = br#"{"id":"0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10","type":"note","session_id":"x","data":{"text":"a"}}"#;
    for (written, duplicates) in [(1, 0), (0, 1)] {
        let mut command = world.turnwire(&["publish", "--adapter", "native", "--url", &gateway.url, "--json"]);
        let output = feed(&mut command, event);
        let summary: Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(
            (&summary["written"], &summary["duplicates"]),
            (&written.into(), &duplicates.into()),
            "{summary}"
        );
    }
    assert_eq!(gateway.stored.events().len(), 1);
}

#[test]
fn our_own_events_stay_as_they_are_and_all_else_gets_a_session() {
    let world = World::new();
    let gateway = Gateway::new(|_| Answer::Take);
    for adapter in ["native", "auto"] {
        let args = ["publish", "--adapter", adapter, "--url", &gateway.url, "--wait"];
        let output = feed(
            &mut world.turnwire(&args),
            b"{\"type\":\"deployed\",\"data\":{\"to\":\"x\"}}\n",
        );
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let sessions: Vec<bool> = gateway
        .stored
        .events()
        .iter()
        .map(|event| event["session_id"].is_string())
        .collect();
    assert_eq!((sessions[0], sessions.last()), (false, Some(&true)), "{sessions:?}");
}

#[test]
fn what_could_not_be_sent_is_kept_and_sent_by_the_next_one() {
    let world = World::new();
    let kept = feed(
        &mut world.turnwire(&["publish", "--adapter", "lines", "--json"]),
        b"one\ntwo\n",
    );
    assert_eq!(kept.status.code(), Some(75), "{}", stderr(&kept));
    let summary: Value = serde_json::from_str(&stdout(&kept)).unwrap();
    assert_eq!(summary["left"], summary["events"]);
    assert!(!summary["spool"].as_str().unwrap().is_empty());

    let gateway = Gateway::new(|_| Answer::Take);
    let put = |name: &str, text: &str| std::fs::write(world.data_dir().join(name), text).unwrap();
    put("server.json", &format!(r#"{{"url":"{}"}}"#, gateway.url));
    put("local.token", "t");
    let sent = feed(&mut world.turnwire(&["publish", "--adapter", "lines"]), b"three\n");
    assert!(sent.status.success(), "{}", stderr(&sent));
    let events = gateway.stored.events();
    let mut all = notes(&events);
    all.sort_unstable();
    assert_eq!(all, ["one", "three", "two"]);
    assert!(world.spooled().is_empty());
}

#[test]
fn a_spool_for_one_gateway_never_goes_to_another() {
    let world = World::new();
    let gateway = Gateway::new(|_| Answer::Take);
    let args = ["publish", "--adapter", "lines", "--url", "http://127.0.0.1:1"];
    assert_eq!(feed(&mut world.turnwire(&args), b"secret\n").status.code(), Some(75));
    let output = feed(&mut world.turnwire(&["publish", "--drain", "--url", &gateway.url]), b"");
    assert!(output.status.success());
    assert_eq!(gateway.stored.requests.load(Ordering::SeqCst), 0);
    assert!(!world.spooled().is_empty());
}
