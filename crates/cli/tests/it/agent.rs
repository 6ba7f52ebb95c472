//! `agent`: what it says, what it leaves behind (nothing), and how it ends.

use std::{
    fs,
    io::{BufRead, BufReader, Lines},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};
use serde_json::Value;

use crate::{
    serve::serve,
    world::{World, stderr, stdout},
};

/// Leaves something running that is in no group or session of its own, and says so.
const LEAVES: &str = "read x; setsid sh -c 'echo $$ > left.new; mv left.new left; exec sleep 1000' & \
                      while [ ! -f left ]; do :; done; echo $x;";

struct Agent {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Agent {
    /// `turnwire agent --name a --adapter lines -- sh -c SCRIPT`, connected.
    fn start(world: &World, script: &str) -> Self {
        let mut command = command(world, script);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut agent = Self { child, lines };
        agent.until(|line| line["link"] == "connected");
        agent
    }

    /// Reads on until a line is as it is to be.
    fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut lines = self
            .lines
            .by_ref()
            .map(|line| serde_json::from_str(&line.unwrap()).unwrap());
        lines.find(wanted).expect("the agent has ended")
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed()).unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(world: &World, script: &str) -> Command {
    let mut command = world.turnwire(&[
        "agent",
        "--name",
        "a",
        "--json",
        "--adapter",
        "lines",
        "--",
        "sh",
        "-c",
        script,
    ]);
    fs::create_dir_all(world.path("work")).unwrap();
    command.current_dir(world.path("work"));
    command
}

/// The process that the script has left running.
fn left(world: &World) -> Pid {
    let text = fs::read_to_string(world.path("work").join("left")).unwrap();
    Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}

fn is_there(pid: Pid) -> bool {
    PathBuf::from(format!("/proc/{pid}")).exists()
}

/// The first event of a kind, waited for.
fn first(world: &World, kind: &str) -> Value {
    let mut tail = world.turnwire(&["tail", "--after", "0", "--type", kind, "--count", "1", "--json"]);
    serde_json::from_str(&stdout(&tail.output().unwrap())).unwrap()
}

/// Sends a message without waiting for its answer.
fn say(world: &World, text: &str) {
    let output = world.turnwire(&["send", "a", "--no-wait", text]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn what_is_sent_is_answered_by_the_program_and_what_it_left_running_has_ended_with_it() {
    let world = World::new();
    let _served = serve(&world, &[]);
    let agent = Agent::start(&world, LEAVES);
    let sent = world.turnwire(&["send", "a", "hello"]).output().unwrap();
    assert_eq!(
        (stdout(&sent).as_str(), sent.status.code()),
        ("hello\n", Some(0)),
        "{}",
        stderr(&sent)
    );
    assert!(!is_there(left(&world)));
    drop(agent);
}

#[test]
fn an_agent_that_is_killed_takes_all_that_its_program_started_with_it() {
    let world = World::new();
    let _served = serve(&world, &[]);
    let mut agent = Agent::start(&world, &format!("{LEAVES} mkfifo never; read y < never"));
    say(&world, "hello");
    agent.until(|line| line["state"] == "began");
    first(&world, "text_delta");
    let pid = left(&world);
    let left = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    agent.child.kill().unwrap();
    agent.child.wait().unwrap();
    let mut fds = [PollFd::new(&left, PollFlags::IN)];
    let wait = Timespec { tv_sec: 60, tv_nsec: 0 };
    assert_eq!(poll(&mut fds, Some(&wait)).unwrap(), 1, "it is left");
}

#[test]
fn a_signal_ends_an_agent_whose_turn_is_closed_and_whose_program_is_gone() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let world = World::new();
        let _served = serve(&world, &[]);
        let mut agent = Agent::start(&world, &format!("{LEAVES} mkfifo never; read y < never"));
        say(&world, "hello");
        agent.until(|line| line["state"] == "began");
        first(&world, "text_delta");
        kill_process(agent.pid(), signal).unwrap();
        agent.until(|line| line["state"] == "ended" && line["ok"] == false);
        assert!(agent.child.wait().unwrap().success());
        assert!(!is_there(left(&world)));
        let end = first(&world, "turn_end");
        assert_eq!(end["data"]["ok"], false);
    }
}

#[test]
fn an_agent_that_cannot_begin_says_why() {
    let world = World::new();
    for (args, code, why) in [
        (&["--adapter", "lines"][..], 2, "name the program"),
        (
            &["--adapter", "lines", "--", "no-such-program"],
            127,
            "no-such-program is not installed",
        ),
        (
            &["--adapter", "claude", "--program", "/no/claude"],
            127,
            "/no/claude is not installed",
        ),
        (&["--adapter", "lines", "--", "true"], 69, "no gateway"),
    ] {
        let mut all = vec!["agent", "--name", "a"];
        all.extend(args);
        let output = world.turnwire(&all).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
        let said = stderr(&output);
        assert!(
            said.contains(why) || (code == 69 && said.contains("find a server")),
            "{args:?}: {said}"
        );
    }
}

#[test]
fn a_key_of_the_agents_is_all_that_it_needs() {
    let world = World::new();
    let _served = serve(&world, &[]);
    let made = [
        "token",
        "create",
        "--name",
        "a",
        "--scope",
        "agent:a,publish",
        "--quiet",
    ];
    let key = stdout(&world.turnwire(&made).output().unwrap());
    let running: Value =
        serde_json::from_str(&fs::read_to_string(world.data_dir().join("server.json")).unwrap()).unwrap();
    let mut command = command(&world, "read x; echo $x");
    command
        .env("TURNWIRE_URL", running["url"].as_str().unwrap())
        .env("TURNWIRE_TOKEN", key.trim())
        .stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut agent = Agent { child, lines };
    agent.until(|line| line["link"] == "connected");
    let sent = world.turnwire(&["send", "a", "hello"]).output().unwrap();
    assert_eq!(
        (stdout(&sent).as_str(), sent.status.code()),
        ("hello\n", Some(0)),
        "{}",
        stderr(&sent)
    );
}
