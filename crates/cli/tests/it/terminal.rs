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
    termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize},
};

use crate::world::{World, notes};

/// At a terminal of its own, on a pipe, and on our terminal.
const WAYS: [[&str; 4]; 4] = [
    ["--quiet", "--pty", "--adapter", "lines"],
    ["--quiet", "--pty", "--adapter", "auto"],
    ["--quiet", "--no-pty", "--adapter", "lines"],
    ["--quiet", "--no-pty", "--adapter", "auto"],
];

/// A command in a session of its own at a terminal of its own, and the terminal's other end.
fn at_a_terminal(command: &Command) -> (Child, File) {
    let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    tcsetwinsize(&master, size(37, 91)).unwrap();
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
    String::from_utf8_lossy(&bytes(terminal).unwrap_or_default()).into_owned()
}

fn bytes(terminal: &mut File) -> Option<Vec<u8>> {
    let patience = Timespec { tv_sec: 60, tv_nsec: 0 };
    let ready = poll(&mut [PollFd::new(terminal, PollFlags::IN)], Some(&patience)).unwrap();
    assert!(ready > 0, "nothing comes");
    let mut part = vec![0; 1024];
    let read = terminal.read(&mut part).unwrap_or(0);
    part.truncate(read);
    (read > 0).then_some(part)
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

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

/// What of a terminal's settings a person notices.
fn modes(terminal: &File) -> String {
    let Termios {
        input_modes,
        output_modes,
        control_modes,
        local_modes,
        ..
    } = tcgetattr(terminal).unwrap();
    format!("{input_modes:?} {output_modes:?} {control_modes:?} {local_modes:?}")
}

#[test]
fn a_command_at_a_terminal_has_one_of_its_own_like_ours() {
    let world = World::new();
    let script = "test -t 0 && test -t 1 && test -t 2 && stty size && tty && printf '\\033[31mred\\033[0m\\n'; exit 4";
    let (mut child, mut terminal) = at_a_terminal(&world.run(&["--session", "s"], script));
    let mut seen = String::new();
    rest(&mut terminal, &mut seen);
    assert_eq!(child.wait().unwrap().code(), Some(4), "{seen}");
    assert!(seen.starts_with("37 91\r\n/dev/pts/"), "{seen}");
    assert!(seen.contains("\x1b[31mred\x1b[0m\r\n"), "{seen}");
    let events = world.spooled();
    let notes = notes(&events);
    assert_eq!((notes[0], notes[2]), ("37 91", "red"));
    let ours = ptsname(&terminal, Vec::new()).unwrap();
    assert_ne!(notes[1], ours.to_str().unwrap());
}

#[test]
fn a_change_of_size_reaches_the_command() {
    let world = World::new();
    let script = "trap 'stty size; exit 5' WINCH; echo ready; while :; do sleep 0.01; done";
    let (mut child, mut terminal) = at_a_terminal(&world.run(&["--quiet"], script));
    let mut seen = String::new();
    until(&mut terminal, &mut seen, "ready");
    tcsetwinsize(&terminal, size(50, 132)).unwrap();
    rest(&mut terminal, &mut seen);
    assert!(seen.contains("50 132"), "{seen}");
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn the_terminal_is_raw_meanwhile_and_then_as_it_was_however_the_command_ends() {
    for (end, code) in [
        ("exit 3", 3),
        ("kill -KILL $$", 128 + 9),
        // To turnwire, which hands it on.
        ("kill -TERM $PPID; read x", 128 + 15),
        ("kill -HUP $PPID; read x", 128 + 1),
        ("stty -echo -icanon; exit 0", 0),
    ] {
        let world = World::new();
        let script = format!("echo ready; read x; {end}");
        // A shell that says how it ended, and holds the terminal so long.
        let run = world.run(&["--quiet"], &script);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "\"$@\"; echo \"ended $?\"; read x", "sh"])
            .arg(run.get_program())
            .args(run.get_args());
        for (key, value) in run.get_envs() {
            shell.env(key, value.unwrap_or_default());
        }
        let (mut child, mut terminal) = at_a_terminal(&shell);
        let before = modes(&terminal);
        let mut seen = String::new();
        until(&mut terminal, &mut seen, "ready");
        let raw = tcgetattr(&terminal).unwrap();
        assert!(
            !raw.local_modes
                .intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
        );
        terminal.write_all(b"\r").unwrap();
        until(&mut terminal, &mut seen, "ended");
        until(&mut terminal, &mut seen, &format!("ended {code}\r\n"));
        assert_eq!(modes(&terminal), before, "{end}");
        terminal.write_all(b"\n").unwrap();
        rest(&mut terminal, &mut seen);
        child.wait().unwrap();
    }
}

#[test]
fn a_command_hears_that_our_terminal_is_gone() {
    let world = World::new();
    let script = format!(
        "trap 'echo heard > {}; exit 7' HUP; echo ready; while :; do sleep 0.01; done",
        world.path("hup").display()
    );
    let (mut child, mut terminal) = at_a_terminal(&world.run(&["--quiet", "--wait=0"], &script));
    until(&mut terminal, &mut String::new(), "ready");
    drop(terminal);
    assert_eq!(child.wait().unwrap().code(), Some(7));
    assert_eq!(std::fs::read_to_string(world.path("hup")).unwrap(), "heard\n");
    assert!(world.spooled().iter().any(|event| event["data"]["exit_code"] == 7));
}

#[test]
fn a_vendors_lines_are_understood_through_a_terminal() {
    let world = World::new();
    let fixture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../adapters/fixtures/claude/basic-tools.jsonl"
    );
    let (mut child, mut terminal) = at_a_terminal(&world.run(&["--quiet"], &format!("cat {fixture}")));
    let mut seen = Vec::new();
    while let Some(part) = bytes(&mut terminal) {
        seen.extend(part);
    }
    assert!(child.wait().unwrap().success());
    let lines = std::fs::read_to_string(fixture).unwrap();
    assert!(String::from_utf8(seen).unwrap() == lines.replace('\n', "\r\n"));
    let raws: Vec<_> = world.spooled().iter().map(|event| event["raw"].clone()).collect();
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(raws.contains(&line), "{line}");
    }
    assert!(world.spooled().iter().any(|event| event["type"] == "tool_call"));
    assert!(world.spooled().iter().all(|event| event["type"] != "raw"));
}

#[test]
fn what_is_typed_reaches_the_command_whole() {
    let world = World::new();
    // Lines as long as a terminal takes, more of them than it holds.
    let script =
        "stty -echo; echo ready; n=0; while read x && test \"$x\" != end; do n=$((n+${#x})); done; echo had $n";
    let (mut child, mut terminal) = at_a_terminal(&world.run(&["--quiet"], script));
    let mut seen = String::new();
    until(&mut terminal, &mut seen, "ready");
    let mut typed = terminal.try_clone().unwrap();
    let typing = std::thread::spawn(move || {
        let line = [vec![b'x'; 2000], b"\n".to_vec()].concat();
        (0..100).for_each(|_| typed.write_all(&line).unwrap());
        typed.write_all(b"end\n").unwrap();
    });
    rest(&mut terminal, &mut seen);
    typing.join().unwrap();
    assert!(seen.contains("had 200000\r\n"), "{seen}");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_terminal_can_be_had_where_there_is_none() {
    let world = World::new();
    let output = world
        .run(&["--quiet", "--pty"], "test -t 1 && stty size <&1; cat; exit 3")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "24 80\r\n");
    assert_eq!(output.status.code(), Some(3));
    let mut child = world
        .run(&["--quiet", "--pty", "--wait=0"], "yes")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0; 100]).unwrap();
    drop(out);
    assert!(!child.wait().unwrap().success(), "its terminal was hung up");
}

#[test]
fn a_command_that_cannot_be_run_leaves_the_terminal_as_it_was() {
    let world = World::new();
    let (mut child, mut terminal) = at_a_terminal(&world.turnwire(&["run", "--", "/nowhere/to/be/found"]));
    let mut seen = String::new();
    rest(&mut terminal, &mut seen);
    assert_eq!(child.wait().unwrap().code(), Some(127), "{seen}");
    assert!(seen.contains("/nowhere/to/be/found: No such file"), "{seen}");
}

#[test]
fn a_command_that_nothing_is_known_about_keeps_the_terminal() {
    let world = World::new();
    let command = world.run(
        &["--no-pty"],
        "test -t 0 && test -t 1 && test -t 2 && echo all mine; exit 4",
    );
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
    for args in WAYS {
        let world = World::new();
        let script = "trap 'n=$((n+1)); echo got $n' INT; echo ready; read a; read b; echo end $n; exit 5";
        let command = world.run(&args, script);
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
    for args in WAYS {
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
            "'{binary}' run {} -- sh -c \"{}\"",
            args.join(" "),
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
        // What is typed while the command still has the terminal is for the command.
        until(&mut terminal, &mut seen, "@prompt@");
        terminal.write_all(b"exit 3\n").unwrap();
        rest(&mut terminal, &mut seen);
        assert_eq!(child.wait().unwrap().code(), Some(3), "{seen}");
    }
}
