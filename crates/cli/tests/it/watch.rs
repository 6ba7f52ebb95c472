//! `watch`: files of agents that nobody started through us, in a real gateway, once, whatever is killed.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    api::get,
    opencode_db::{Written, rows},
    raw_api::metric,
    world::{Served, World, notes, serve, stderr, stdout},
};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../adapters/fixtures");
/// Lines of the large import. `TURNWIRE_IMPORT_LINES=1000000` is the whole of it.
const LINES: usize = 50_000;

fn append(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn fixture(name: &str) -> String {
    fs::read_to_string(Path::new(FIXTURES).join(name)).unwrap()
}

/// The events of a session, as they are.
pub(crate) fn events(world: &World, session: &str) -> Vec<Value> {
    let output = world.turnwire(&["show", session, "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(crate) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !is() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

/// How many events a session has; none while it is not there.
pub(crate) fn count(world: &World, session: &str) -> u64 {
    let sessions = get(world, "/api/sessions");
    let found = sessions["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["id"] == session)
        .cloned();
    found.map_or(0, |session| session["events"].as_u64().unwrap())
}

/// A watch that is killed when it is no longer needed.
pub(crate) struct Watching(Child);

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn watching(world: &World, args: &[&str]) -> Watching {
    let mut all = vec!["watch"];
    all.extend(args);
    Watching(
        world
            .turnwire(&all)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    )
}

/// How many have found all that was there before: what comes from now on is new.
pub(crate) fn begun(world: &World) -> usize {
    let Ok(journals) = fs::read_dir(world.data_dir().join("watch/local")) else {
        return 0;
    };
    let found = |path: &Path| fs::read_to_string(path).is_ok_and(|text| text.contains("\"source\""));
    journals
        .filter(|it| it.as_ref().is_ok_and(|it| found(&it.path())))
        .count()
}

/// What agents leave in a home directory.
fn home(world: &World) {
    let home = world.path("home");
    let (claude, session) = (home.join(".claude/projects/-p"), "63b23c4a-7feb-4ced-b8e3-9f2340f27a70");
    append(
        &claude.join(format!("{session}.jsonl")),
        &fixture("claude-transcript/subagent.jsonl"),
    );
    let sub = claude.join(session).join("subagents");
    append(
        &sub.join("agent-a5ea8a8cd0010e06c.jsonl"),
        &fixture("claude-transcript/subagent-agent.jsonl"),
    );
    append(
        &sub.join("agent-a5ea8a8cd0010e06c.meta.json"),
        r#"{"toolUseId":"toolu_mock0000000002"}"#,
    );
    append(
        &home.join(".codex/sessions/2026/11/20/rollout-x.jsonl"),
        &fixture("codex-rollout/basic-tools.jsonl"),
    );
    append(
        &home.join(".gemini/tmp/p/chats/session-x.jsonl"),
        &fixture("gemini-chat/basic-tools.jsonl"),
    );
    let opencode = Written::new(&home.join(".local/share/opencode/opencode.db"));
    rows("subagent").iter().for_each(|row| opencode.add(row));
}

#[test]
fn what_agents_left_behind_is_imported_once_when_it_is_asked_for() {
    let world = World::new();
    let _served = serve(&world, &[]);
    home(&world);
    let run = |args: &[&str]| -> Value {
        let output = world
            .turnwire(&[&["watch", "--all", "--once", "--json"], args].concat())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_str(&stdout(&output)).unwrap()
    };
    assert_eq!(run(&[])["events"], 0, "nobody asked");
    let first = run(&["--import"]);
    assert_eq!(
        (&first["files"], &first["left"], &first["rejected"]),
        (&5.into(), &0.into(), &0.into())
    );
    assert_eq!((&first["written"], &first["duplicates"]), (&first["events"], &0.into()));
    assert_eq!(run(&["--import"])["events"], 0, "{first}");
    let sessions = get(&world, "/api/sessions");
    let sessions = sessions["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 4);
    let calls = get(&world, "/api/sessions/63b23c4a-7feb-4ced-b8e3-9f2340f27a70/tool-calls");
    let parents: Vec<&Value> = calls["tool_calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|call| &call["parent_tool_call_id"])
        .collect();
    assert_eq!(parents, [&Value::from("toolu_mock0000000002"), &Value::Null]);
    for session in sessions {
        let turns = get(
            &world,
            &format!("/api/sessions/{}/turns", session["id"].as_str().unwrap()),
        );
        assert_eq!(turns["turns"].as_array().unwrap().len(), 1, "{turns}");
    }
}

#[test]
fn a_session_that_is_written_is_seen_while_it_is() {
    let world = World::new();
    let _served = serve(&world, &[]);
    let (dir, text) = (world.path("results"), fixture("waza/three-tasks.jsonl"));
    let _watching = watching(&world, &["--waza", dir.to_str().unwrap()]);
    let file = dir.join("20261120T070000Z-session.jsonl");
    until("the watch begins", || begun(&world) == 1);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        append(&file, line);
        until("a line comes", || {
            count(&world, "20261120T070000Z-session") > number as u64
        });
    }
    let runs = get(&world, "/api/runs");
    let run = &runs["runs"][0];
    assert_eq!(
        (&run["total"], &run["passed"], &run["errors"]),
        (&3.into(), &1.into(), &1.into()),
        "{runs}"
    );
}

/// The gateway's head.
fn head(world: &World) -> u64 {
    metric(world, "turnwire_log_head")
}

/// Waits until the views know all that is written, however much that is, as long as they go on.
fn folded(world: &World) {
    let mut behind = u64::MAX;
    while behind > 0 {
        let mut now = behind;
        until("the views go on", || {
            now = metric(world, "turnwire_views_lag");
            now < behind
        });
        behind = now;
    }
}

#[test]
fn a_large_import_that_is_killed_ten_times_is_complete_and_repeats_nothing() {
    let world = World::new();
    let _served: Served = serve(&world, &[]);
    let lines = std::env::var("TURNWIRE_IMPORT_LINES")
        .ok()
        .map_or(LINES, |lines| lines.parse().unwrap());
    let (dir, files) = (world.path("logs"), 5);
    let each = lines / files;
    for file in 0..files {
        let text: String = (0..each)
            .map(|n| format!("{{\"text\":\"file {file}, line {n}\"}}\n"))
            .collect();
        append(&dir.join(format!("f{file}.jsonl")), &text);
    }
    let args = [
        "watch",
        dir.to_str().unwrap(),
        "--adapter",
        "lines",
        "--import",
        "--once",
        "--json",
    ];
    let mut random = std::process::id() as usize;
    for kill in 0..10 {
        // Anywhere in its tenth of the whole.
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let at = (lines / 11 * kill + (random >> 33) % (lines / 11)) as u64;
        let mut child = world
            .turnwire(&args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("the import goes on", || head(&world) >= at || child_ended(&mut child));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let output = world.turnwire(&args).output().unwrap();
    let summary: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert!(
        output.status.success() && summary["left"] == 0,
        "{summary} {}",
        stderr(&output)
    );
    folded(&world);
    for file in 0..files {
        let events = events(&world, &format!("f{file}"));
        let want: Vec<String> = (0..each).map(|n| format!("file {file}, line {n}")).collect();
        assert!(notes(&events) == want, "file {file}: {} of {each} lines", events.len());
    }
}

fn child_ended(child: &mut Child) -> bool {
    child.try_wait().unwrap().is_some()
}

#[test]
fn two_that_watch_the_same_files_and_a_gateway_that_is_away_tell_each_line_once() {
    let world = World::new();
    let served = serve(&world, &[]);
    let dir = world.path("logs");
    fs::create_dir_all(&dir).unwrap();
    let args = [dir.to_str().unwrap(), "--adapter", "lines"];
    let (_first, _second) = (watching(&world, &args), watching(&world, &args));
    until("both begin", || begun(&world) == 2);
    append(&dir.join("f.jsonl"), "one\n");
    until("the first line comes", || count(&world, "f") == 1);
    drop(served);
    append(&dir.join("f.jsonl"), "two\n");
    let _served = serve(&world, &[]);
    append(&dir.join("f.jsonl"), "three\n");
    until("the others come", || count(&world, "f") == 3);
    assert_eq!(notes(&events(&world, "f")), ["one", "two", "three"]);
}

#[test]
fn a_gateway_follows_what_its_configuration_says() {
    let world = World::new();
    let dir = world.path("logs");
    fs::create_dir_all(world.data_dir()).unwrap();
    let config = format!(
        "[[watch]]\ndir = {dir:?}\npattern = \"*.log\"\nadapter = \"mapped\"\nagent = \"my-agent\"\n\
         map = {{ type = \"/kind\", text = \"/body/say\", session_id = \"/run\", kinds = {{ said = \"message\" }} }}\n"
    );
    fs::write(world.data_dir().join("turnwire.toml"), config).unwrap();
    let mut served = None;
    for round in 0..2 {
        // The one before is killed.
        drop(served.take());
        served = Some(serve(&world, &[]));
        until("the watch begins", || begun(&world) == 1);
        append(
            &dir.join("a.log"),
            &format!("{{\"kind\":\"said\",\"run\":\"r\",\"body\":{{\"say\":\"hello {round}\"}}}}\n"),
        );
        until("a line comes", || count(&world, "r") == round + 1);
    }
    let events = events(&world, "r");
    let said: Vec<_> = events
        .iter()
        .map(|event| (&event["type"], &event["agent"], &event["data"]["content"]))
        .collect();
    let (kind, agent) = (Value::from("message"), Value::from("my-agent"));
    assert_eq!(
        said,
        [(&kind, &agent, &"hello 0".into()), (&kind, &agent, &"hello 1".into())]
    );
}

#[test]
fn what_cannot_be_followed_is_said_before_anything_begins() {
    let world = World::new();
    for (args, want) in [
        (&["watch"][..], "name a directory"),
        (&["watch", ".", "--pattern", "[a"], "the pattern `[a`"),
    ] {
        let output = world.turnwire(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(want), "{}", stderr(&output));
    }
    fs::create_dir_all(world.data_dir()).unwrap();
    fs::write(world.data_dir().join("turnwire.toml"), "[[watch]]\nfolder = '/x'\n").unwrap();
    let output = world.turnwire(&["serve", "--listen", "127.0.0.1:0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("folder"), "{}", stderr(&output));
}
