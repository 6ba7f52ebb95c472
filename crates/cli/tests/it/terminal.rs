//! `run` at a terminal: a real one, of the kernel's, with a foreground group.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};

use crate::world::World;

/// A command in a session of its own at a terminal of its own, and the terminal's other end.
fn at_a_terminal(command: &Command) -> (Child, File) {
    let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let open = || Stdio::from(File::options().read(true).write(true).open(&name).unwrap());
    let mut session = Command::new("setsid");
    session
        .args(["--ctty", "--wait"])
        .arg(command.get_program())
        .args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => session.env(key, value),
            None => session.env_remove(key),
        };
    }
    let child = session.stdin(open()).stdout(open()).stderr(open()).spawn().unwrap();
    (child, File::from(master))
}

/// What has come, waited for at most as long as nothing ever takes; nothing when the last one has closed the terminal (an
/// error, EIO, on Linux).
fn some(terminal: &mut File) -> String {
    let patience = Timespec { tv_sec: 60, tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(terminal, PollFlags::IN)], Some(&patience)).unwrap();
    assert!(ready > 0, "nothing comes");
    let mut part = [0; 1024];
    let read = terminal.read(&mut part).unwrap_or(0);
    String::from_utf8_lossy(&part[..read]).into_owned()
}

/// Reads until `text` has come.
fn until(terminal: &mut File, seen: &mut String, text: &str) {
    while !seen.contains(text) {
        let came = some(terminal);
        assert!(!came.is_empty(), "the end after {seen:?}");
        seen.push_str(&came);
    }
}

/// The rest.
fn rest(terminal: &mut File, seen: &mut String) {
    loop {
        let came = some(terminal);
        if came.is_empty() {
            return;
        }
        seen.push_str(&came);
    }
}

#[test]
fn a_command_that_nothing_is_known_about_keeps_the_terminal() {
    let world = World::new();
    let command = world.run(&[], "test -t 0 && test -t 1 && test -t 2 && echo all mine; exit 4");
    let (mut child, mut terminal) = at_a_terminal(&command);
    let mut seen = String::new();
    rest(&mut terminal, &mut seen);
    assert_eq!(child.wait().unwrap().code(), Some(4), "{seen}");
    assert!(
        seen.contains("all mine") && seen.contains("keeps the terminal"),
        "{seen}"
    );
    let kinds: Vec<_> = world
        .spooled()
        .iter()
        .map(|event| event["type"].as_str().unwrap().to_owned())
        .collect();
    let ours: Vec<_> = kinds.iter().filter(|kind| kind.starts_with("agent_")).collect();
    assert_eq!(ours, ["agent_start", "agent_end"], "{kinds:?}");
}

#[test]
fn control_c_reaches_the_command_once() {
    for adapter in ["lines", "auto"] {
        let world = World::new();
        let script = "trap 'n=$((n+1)); echo got $n' INT; echo ready; read a; read b; echo end $n; exit 5";
        let command = world.run(&["--quiet", "--adapter", adapter], script);
        let (mut child, mut terminal) = at_a_terminal(&command);
        let mut seen = String::new();
        until(&mut terminal, &mut seen, "ready");
        terminal.write_all(b"\x03").unwrap();
        // Some shells run a trap only when the read has returned.
        terminal.write_all(b"\n").unwrap();
        until(&mut terminal, &mut seen, "got 1");
        terminal.write_all(b"\n\n").unwrap();
        until(&mut terminal, &mut seen, "end");
        rest(&mut terminal, &mut seen);
        assert!(seen.contains("end 1"), "{seen}");
        assert_eq!(child.wait().unwrap().code(), Some(5));
    }
}

#[test]
fn control_z_stops_both_and_the_shell_continues_both() {
    for adapter in ["lines", "auto"] {
        let world = World::new();
        let mut bash = world.turnwire(&[]);
        let binary = bash.get_program().to_owned().into_string().unwrap();
        let envs: Vec<_> = bash
            .get_envs()
            .map(|(key, value)| (key.to_owned(), value.map(ToOwned::to_owned)))
            .collect();
        bash = Command::new("bash");
        bash.args(["--norc", "--noprofile", "-i"]).env("PS1", "@prompt@");
        for (key, value) in envs {
            match value {
                Some(value) => bash.env(key, value),
                None => bash.env_remove(key),
            };
        }
        let (mut child, mut terminal) = at_a_terminal(&bash);
        let mut seen = String::new();
        until(&mut terminal, &mut seen, "@prompt@");
        // The quotes keep what is typed apart from what is printed.
        let script = "echo rea''dy; read x; echo g''ot $x";
        let run = format!(
            "'{binary}' run --quiet --adapter {adapter} -- sh -c \"{}\"",
            script.replace('$', "\\$")
        );
        terminal.write_all(format!("{run}\n").as_bytes()).unwrap();
        until(&mut terminal, &mut seen, "ready");
        seen.clear();
        terminal.write_all(b"\x1a").unwrap();
        until(&mut terminal, &mut seen, "@prompt@");
        assert!(seen.contains("Stopped"), "{seen}");
        seen.clear();
        terminal.write_all(b"fg\n").unwrap();
        // The shell says what it continues, and then takes no more input itself.
        until(&mut terminal, &mut seen, " -- sh -c");
        terminal.write_all(b"it\n").unwrap();
        until(&mut terminal, &mut seen, "got it");
        terminal.write_all(b"exit 3\n").unwrap();
        rest(&mut terminal, &mut seen);
        assert_eq!(child.wait().unwrap().code(), Some(3), "{seen}");
    }
}
