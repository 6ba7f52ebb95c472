//! A real gateway: started, recorded to, read from, killed, restarted, ended.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{ChildStdin, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub(crate) use crate::world::{Served, serve};
use crate::world::{World, notes, stderr, stdout};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../adapters/fixtures");

impl Served {
    fn url(&self) -> &str {
        self.ready["url"].as_str().unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

fn line(from: &mut impl BufRead) -> Value {
    let mut text = String::new();
    from.read_line(&mut text).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_start_is_told_in_one_line_and_a_signal_ends_it() {
    let world = World::new();
    let mut served = serve(&world, &[]);
    let mut keys: Vec<_> = served.ready.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    assert_eq!(keys, ["data_dir", "epoch", "pid", "url"]);
    assert_eq!(served.ready["pid"], served.child.id());
    served.signal(Signal::TERM);
    let mut rest = String::new();
    served.child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
    assert_eq!((served.child.wait().unwrap().code(), rest.as_str()), (Some(0), ""));
    assert!(!world.data_dir().join("server.json").exists());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let world = World::new();
    let mut served = serve(&world, &[]);
    // A reader that takes nothing would be waited for.
    let mut reader = world
        .turnwire(&["tail", "--after", "0"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    world
        .run(&["--quiet", "--wait"], "echo x")
        .stdout(Stdio::null())
        .status()
        .unwrap();
    kill_process(Pid::from_child(&reader), Signal::STOP).unwrap();
    served.signal(Signal::TERM);
    served.signal(Signal::TERM);
    let code = served.child.wait().unwrap().code();
    assert!(matches!(code, Some(143 | 0)), "{code:?}");
    reader.kill().unwrap();
    reader.wait().unwrap();
}

#[test]
fn an_agents_run_is_in_the_log_and_can_be_followed_listed_and_shown() {
    let world = World::new();
    let served = serve(&world, &[]);
    let fixture = format!("{FIXTURES}/claude/basic-tools.jsonl");
    let run = world
        .run(&["--agent", "builder", "--wait"], &format!("cat {fixture}"))
        .output()
        .unwrap();
    assert_eq!(run.stdout, std::fs::read(&fixture).unwrap());
    let said = stderr(&run);
    assert!(
        said.contains(&format!("recording to {}/#/session/", served.url())),
        "{said}"
    );

    let listed = world.turnwire(&["sessions", "--json"]).output().unwrap();
    let sessions = lines(&stdout(&listed));
    assert_eq!(sessions.len(), 1, "{}", stderr(&listed));
    let id = sessions[0]["id"].as_str().unwrap();
    assert_eq!(
        (&sessions[0]["agent"], &sessions[0]["turns"]),
        (&"builder".into(), &1.into())
    );
    let table = stdout(&world.turnwire(&["sessions"]).output().unwrap());
    assert!(table.contains(&id[..13]) && table.contains("builder"), "{table}");

    let shown = stdout(&world.turnwire(&["show", &id[..8]]).output().unwrap());
    assert!(
        shown.contains("Bash ") && shown.contains("turn_end ok") && !shown.contains('\x1b'),
        "{shown}"
    );
    let events = lines(&stdout(&world.turnwire(&["show", "last", "--json"]).output().unwrap()));
    let count = events.len().to_string();
    let tail = world
        .turnwire(&["tail", "--after", "0", "--session", id, "--json", "--count", &count])
        .output()
        .unwrap();
    assert_eq!(lines(&stdout(&tail)), events);
    let seqs: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b));
    let calls = world
        .turnwire(&["tail", "--after", "0", "--type", "tool_call", "--count", "4"])
        .output()
        .unwrap();
    assert!(
        stdout(&calls).lines().all(|line| line.contains("tool_call")),
        "{}",
        stdout(&calls)
    );
}

fn say(to: &mut ChildStdin, range: std::ops::RangeInclusive<u32>) {
    for n in range {
        writeln!(to, "{n}").unwrap();
    }
}

#[test]
fn a_gateway_that_is_killed_and_restarted_elsewhere_loses_nothing_and_repeats_nothing() {
    let world = World::new();
    let served = serve(&world, &[]);
    let mut run = world
        .turnwire(&[
            "run",
            "--quiet",
            "--adapter",
            "lines",
            "--session",
            "s",
            "--wait",
            "--",
            "cat",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut tail = world
        .turnwire(&["tail", "--after", "0", "--type", "note", "--json", "--count", "3000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = run.stdin.take().unwrap();
    let mut seen = BufReader::new(tail.stdout.take().unwrap());
    say(&mut input, 1..=1000);
    let mut events = vec![line(&mut seen)];
    let epoch = served.ready["epoch"].clone();
    drop(served);
    say(&mut input, 1001..=2000);
    let served = serve(&world, &[]);
    assert_eq!(served.ready["epoch"], epoch);
    say(&mut input, 2001..=3000);
    drop(input);
    assert!(run.wait().unwrap().success());
    events.extend((1..3000).map(|_| line(&mut seen)));
    assert!(tail.wait().unwrap().success());
    let wanted: Vec<String> = (1..=3000).map(|n| n.to_string()).collect();
    assert!(notes(&events) == wanted);
    assert!(world.spooled().is_empty());
}

#[test]
fn a_token_is_made_beside_the_gateway_works_at_once_and_ends_at_once() {
    let world = World::new();
    let served = serve(&world, &[]);
    let make = |scope: &str| {
        let args = ["token", "create", "--name", "t", "--scope", scope, "--quiet"];
        let made = world.turnwire(&args).output().unwrap();
        assert!(made.status.success(), "{}", stderr(&made));
        stdout(&made).trim_end().to_owned()
    };
    let ask = |token: &str| {
        let args = ["sessions", "--url", served.url(), "--token", token];
        world.turnwire(&args).output().unwrap().status.code()
    };
    let (reader, writer) = (make("read"), make("publish"));
    assert!(reader.starts_with("tw_") && !reader.contains(char::is_whitespace));
    assert_eq!((ask(&reader), ask(&writer), ask("tw_x")), (Some(0), Some(77), Some(77)));
    let listed = lines(&stdout(&world.turnwire(&["token", "list", "--json"]).output().unwrap()));
    let of_reader = listed
        .iter()
        .find(|token| token["scopes"] == serde_json::json!(["read"]))
        .unwrap();
    let id = of_reader["id"].as_str().unwrap();
    assert!(
        world
            .turnwire(&["token", "revoke", &id[..10]])
            .status()
            .unwrap()
            .success()
    );
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while ask(&reader) != Some(77) {
        assert!(std::time::Instant::now() < deadline, "it is still let in");
    }
}

#[test]
fn tokens_can_be_made_before_there_is_a_gateway() {
    let world = World::new();
    let args = [
        "token",
        "create",
        "--name",
        "t",
        "--scope",
        "read,publish",
        "--expires",
        "30d",
        "--json",
    ];
    let made: Value = serde_json::from_str(&stdout(&world.turnwire(&args).output().unwrap())).unwrap();
    assert!(made["token"].is_string() && made["expires"].is_string(), "{made}");
    let served = serve(&world, &[]);
    let token = made["token"].as_str().unwrap();
    let asked = world
        .turnwire(&["sessions", "--url", served.url(), "--token", token])
        .output()
        .unwrap();
    assert!(asked.status.success(), "{}", stderr(&asked));
}

#[test]
fn a_pairing_link_is_for_the_page() {
    let world = World::new();
    let served = serve(&world, &[]);
    let paired = world
        .turnwire(&["pair", "--name", "phone", "--scope", "read", "--json"])
        .output()
        .unwrap();
    let paired: Value = serde_json::from_str(&stdout(&paired)).unwrap();
    let url = format!("{}/#pair={}", served.url(), paired["code"].as_str().unwrap());
    assert_eq!(paired["url"], url);
}

#[test]
fn without_a_gateway_the_exit_code_says_so() {
    let world = World::new();
    for args in [
        &["tail"][..],
        &["sessions"],
        &["show", "x"],
        &["pair"],
        &["tail", "--url", "http://127.0.0.1:1"],
    ] {
        let output = world.turnwire(args).output().unwrap();
        assert_eq!(output.status.code(), Some(69), "{args:?}: {}", stderr(&output));
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
    }
}

#[test]
fn a_reader_that_goes_away_ends_tail_quietly() {
    let world = World::new();
    let _served = serve(&world, &[]);
    let binary = env!("CARGO_BIN_EXE_turnwire");
    assert!(
        world
            .run(&["--quiet", "--wait"], "seq 1 20000")
            .stdout(Stdio::null())
            .status()
            .unwrap()
            .success()
    );
    let script = format!("'{binary}' tail --after 0 --json | head -n 3");
    let mut head = std::process::Command::new("sh");
    let output = head
        .args(["-c", &script])
        .env("TURNWIRE_DATA_DIR", world.data_dir())
        .output()
        .unwrap();
    assert_eq!((stdout(&output).lines().count(), stderr(&output).as_str()), (3, ""));
}

#[test]
fn what_would_be_unsafe_or_impossible_is_refused_with_what_to_do() {
    let world = World::new();
    for (args, code, why) in [
        (&["serve", "--listen", "0.0.0.0:0"][..], 2, "--allow-remote"),
        (&["serve", "--listen", "0.0.0.0:0", "--no-auth"], 2, "loopback"),
        (&["serve", "--allow-host", "a b"], 2, "--allow-host"),
        (&["serve", "--allow-origin", "example.org"], 2, "--allow-origin"),
        (&["serve", "--head-bytes", "1"], 2, "--head-bytes"),
    ] {
        let output = world.turnwire(args).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
    }
    let by_variable = world
        .turnwire(&["serve"])
        .env("TURNWIRE_HEARTBEAT", "never")
        .output()
        .unwrap();
    assert_eq!(by_variable.status.code(), Some(2));
    assert!(
        stderr(&by_variable).contains("'never' for '--heartbeat"),
        "{}",
        stderr(&by_variable)
    );
    let _served = serve(&world, &[]);
    let second = world.turnwire(&["serve", "--listen", "127.0.0.1:0"]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(
        stderr(&second).contains("in use by another turnwire"),
        "{}",
        stderr(&second)
    );
}

#[test]
fn without_authentication_the_command_line_needs_no_token() {
    let world = World::new();
    let _served = serve(&world, &["--no-auth"]);
    assert!(world.run(&["--quiet", "--wait"], "echo x").status().unwrap().success());
    assert!(world.spooled().is_empty());
    let shown = stdout(&world.turnwire(&["show", "last"]).output().unwrap());
    assert!(shown.contains("note x"), "{shown}");
}

#[test]
fn the_demo_shows_every_agent_and_leaves_nothing_behind() {
    let world = World::new();
    std::fs::create_dir(world.path("tmp")).unwrap();
    let mut demo = world
        .turnwire(&["demo", "--json", "--once", "--speed", "100"])
        .env("TMPDIR", world.path("tmp"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let ready = line(&mut BufReader::new(demo.stdout.as_mut().unwrap()));
    assert!(ready["pair"].as_str().unwrap().contains("/#pair="));
    let dir = ready["data_dir"].as_str().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(100);
    loop {
        let listed = stdout(
            &world
                .turnwire(&["sessions", "--json", "--data-dir", dir])
                .output()
                .unwrap(),
        );
        let sessions = lines(&listed);
        let all = ["claude", "codex", "gemini", "opencode"]
            .iter()
            .all(|agent| sessions.iter().any(|session| session["agent"] == *agent));
        if all {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{listed}");
    }
    kill_process(Pid::from_child(&demo), Signal::INT).unwrap();
    assert!(demo.wait().unwrap().success());
    assert_eq!(std::fs::read_dir(world.path("tmp")).unwrap().count(), 0);
}

fn doctor(world: &World, args: &[&str]) -> (Option<i32>, Vec<Value>) {
    let mut all = vec!["doctor", "--json"];
    all.extend(args);
    let output = world.turnwire(&all).output().unwrap();
    (output.status.code(), lines(&stdout(&output)))
}

fn state(checks: &[Value], check: &str) -> Vec<String> {
    let of = checks.iter().filter(|found| found["check"] == check);
    of.map(|found| found["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_doctor_finds_what_is_wrong_and_says_what_to_do() {
    let world = World::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, checks) = doctor(&world, &["--listen", &address]);
    assert_eq!(
        (code, state(&checks, "port"), state(&checks, "data")),
        (Some(1), vec!["fail".into()], vec!["warn".into()])
    );
    assert!(
        checks
            .iter()
            .all(|check| check["state"] == "ok" || check["todo"].is_string())
    );

    let served = serve(&world, &[]);
    let (code, checks) = doctor(&world, &[]);
    assert_eq!(code, Some(0), "{checks:?}");
    for check in ["data", "gateway", "clock", "token", "spool"] {
        assert_eq!(state(&checks, check), ["ok"], "{check}: {checks:?}");
    }
    drop(served);
    world
        .run(&["--quiet"], "echo x")
        .stdout(Stdio::null())
        .status()
        .unwrap();
    let (code, checks) = doctor(&world, &["--listen", "127.0.0.1:0"]);
    assert_eq!(
        (code, state(&checks, "stores")),
        (Some(0), vec!["ok".into()]),
        "{checks:?}"
    );
    assert_eq!(
        (state(&checks, "gateway"), state(&checks, "spool")),
        (vec!["warn".into()], vec!["warn".into()])
    );

    std::fs::write(world.data_dir().join("state.db"), [7; 5000]).unwrap();
    let (code, checks) = doctor(&world, &["--listen", "127.0.0.1:0"]);
    assert_eq!((code, state(&checks, "stores")), (Some(1), vec!["fail".into()]));
}

#[test]
fn completions_and_the_manual_are_made_from_the_same_definition() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = world.turnwire(&["completions", shell]).output().unwrap();
        assert!(stdout(&output).contains("publish"), "{shell}");
    }
    assert!(stdout(&world.turnwire(&["man"]).output().unwrap()).contains(".TH turnwire"));
    let dir = world.path("man");
    assert!(
        world
            .turnwire(&["man", "--dir", dir.to_str().unwrap()])
            .status()
            .unwrap()
            .success()
    );
    assert!(dir.join("turnwire-token-create.1").exists() && dir.join("turnwire.1").exists());
}
