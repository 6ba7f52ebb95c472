//! `run` is not there, as far as the command and who reads it can tell; and it records.

use std::{
    io::{Read, Write},
    os::unix::process::ExitStatusExt,
    process::{Child, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{
    gateway::{Answer, Gateway},
    world::{World, notes, stderr, stdout},
};

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Bytes of every value, in an order without a pattern.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn output_passes_through_byte_for_byte_on_both_streams() {
    let world = World::new();
    let (out, err) = (
        noise(10 << 20),
        [&noise(1 << 20)[..], b"no line break at the end"].concat(),
    );
    std::fs::write(world.path("out"), &out).unwrap();
    std::fs::write(world.path("err"), &err).unwrap();
    let script = format!("cat '{0}/out' & cat '{0}/err' >&2; wait", world.path("").display());
    let output = world.run(&["--quiet", "--wait=0"], &script).output().unwrap();
    assert!(output.status.success());
    assert!(output.stdout == out, "standard output differs");
    assert!(output.stderr == err, "standard error differs");
}

#[test]
fn every_line_is_in_the_spool_when_no_gateway_runs_and_the_end_says_so() {
    let world = World::new();
    let output = world
        .run(
            &["--agent", "a", "--session", "s"],
            "seq 1 100000; echo oops >&2; printf last; exit 3",
        )
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let events = world.spooled();
    let mut lines: Vec<String> = (1..=100_000).map(|n| n.to_string()).collect();
    lines.push("last".into());
    assert!(notes(&events) == lines, "{:?}", notes(&events).len());
    assert!(
        events
            .iter()
            .all(|event| event["session_id"] == "s" && event["agent"] == "a")
    );
    let (first, last) = (&events[0], &events[events.len() - 1]);
    assert_eq!(
        (&first["type"], &last["type"]),
        (&"agent_start".into(), &"agent_end".into())
    );
    assert_eq!(last["data"]["exit_code"], 3);
    let stderr_notes: Vec<&Value> = events.iter().filter(|event| event["source"] == "stderr").collect();
    assert_eq!(stderr_notes.len(), 1);
    assert_eq!(
        (&stderr_notes[0]["type"], &stderr_notes[0]["data"]["text"]),
        (&"note".into(), &"oops".into())
    );
    let said = stderr(&output);
    assert!(
        said.contains("are kept in") && said.contains("turnwire serve") && said.lines().count() == 2,
        "{said}"
    );
}

#[test]
fn a_partial_line_passes_at_once_and_standard_input_is_the_commands() {
    let world = World::new();
    let mut child = world
        .run(&["--quiet"], r#"printf 'name? '; read name; printf "hello $name""#)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut prompt = [0; 6];
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut prompt).unwrap();
    assert_eq!(&prompt, b"name? ");
    child.stdin.take().unwrap().write_all(b"you\n").unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "hello you");
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_exit_code_is_the_commands() {
    let world = World::new();
    for code in [0, 1, 2, 69, 255] {
        let status = world.run(&["--quiet"], &format!("exit {code}")).status().unwrap();
        assert_eq!(status.code(), Some(code));
    }
    for (command, code) in [("/nowhere/to/be/found", 127), ("/etc/passwd", 126)] {
        let output = world.turnwire(&["run", "--", command]).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains(command));
    }
}

#[test]
fn a_signal_that_ends_the_command_ends_turnwire_too() {
    let world = World::new();
    for signal in [Signal::TERM, Signal::KILL, Signal::SEGV, Signal::INT] {
        let script = format!("kill -{} $$", signal.as_raw());
        let status = world.run(&["--quiet"], &script).status().unwrap();
        assert_eq!(status.signal(), Some(signal.as_raw()));
        assert!(!status.core_dumped());
    }
    let ends: Vec<Value> = world
        .spooled()
        .into_iter()
        .filter(|event| event["type"] == "agent_end")
        .collect();
    assert_eq!(ends.len(), 4);
    assert!(ends.iter().any(|end| end["data"]["signal"] == 9));
}

#[test]
fn a_signal_to_turnwire_is_the_commands_to_answer() {
    for signal in [
        Signal::TERM,
        Signal::INT,
        Signal::HUP,
        Signal::QUIT,
        Signal::USR1,
        Signal::USR2,
        Signal::WINCH,
    ] {
        let world = World::new();
        let script = format!(
            "trap 'echo got; exit 7' {}; echo ready; while :; do read x; done",
            signal.as_raw()
        );
        let mut child = world
            .run(&["--quiet"], &script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut [0; 6]).unwrap();
        kill_process(pid(&child), signal).unwrap();
        // Some shells run a trap only when the read has returned.
        let _ = child.stdin.as_mut().unwrap().write_all(b"\n");
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert_eq!(
            (rest.as_str(), child.wait().unwrap().code()),
            ("got\n", Some(7)),
            "{signal:?}"
        );
    }
}

#[test]
fn a_signal_that_was_ignored_stays_ignored_for_the_command() {
    let world = World::new();
    let binary = env!("CARGO_BIN_EXE_turnwire");
    let script = format!("trap '' HUP; exec '{binary}' run --quiet -- sh -c 'kill -HUP $$; echo alive'");
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .env("TURNWIRE_DATA_DIR", world.data_dir())
        .output()
        .unwrap();
    assert_eq!(stdout(&output), "alive\n");
}

#[test]
fn a_reader_that_goes_away_ends_the_command_as_it_would_without_us() {
    let world = World::new();
    let mut child = world
        .run(&["--quiet", "--wait=0"], "yes")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0; 100]).unwrap();
    drop(out);
    let status = child.wait().unwrap();
    assert_eq!(
        status.code().or_else(|| status.signal().map(|signal| 128 + signal)),
        Some(128 + 13)
    );
}

#[test]
fn something_left_behind_does_not_hold_the_end_up() {
    let world = World::new();
    let output = world.run(&[], "sleep 1000 & echo $!; exit 4").output().unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr(&output).contains("left behind"), "{}", stderr(&output));
    let left: i32 = stdout(&output).trim().parse().unwrap();
    kill_process(Pid::from_raw(left).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn a_gateway_that_never_answers_costs_the_command_nothing() {
    let world = World::new();
    let gateway = Gateway::new(|_| Answer::Silence);
    let output = world
        .run(&["--url", &gateway.url, "--wait=0.05"], "seq 1 50000")
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(stdout(&output).lines().count(), 50_000);
    assert_eq!(notes(&world.spooled()).len(), 50_000, "nothing was passed over");
    assert!(
        stderr(&output).contains("50002 events are kept in"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn everything_reaches_the_gateway_once_and_the_spool_goes() {
    let world = World::new();
    let gateway = Gateway::new(|request| match request {
        0 => Answer::WriteAndCut,
        1 => Answer::Busy,
        _ => Answer::Take,
    });
    let output = world
        .run(&["--url", &gateway.url, "--session", "a b/c", "--wait"], "seq 1 3000")
        .output()
        .unwrap();
    assert!(output.status.success());
    let events = gateway.stored.events();
    let lines: Vec<String> = (1..=3000).map(|n| n.to_string()).collect();
    assert!(notes(&events) == lines);
    assert!(world.spooled().is_empty());
    let said = stderr(&output);
    assert!(
        said.contains(&format!("recording to {}/#/session/a%20b%2Fc", gateway.url)),
        "{said}"
    );
}

#[test]
fn a_token_that_is_not_known_costs_nothing_but_a_word() {
    let world = World::new();
    let gateway = Gateway::new(|_| Answer::Unauthorized);
    let output = world
        .run(&["--url", &gateway.url, "--wait"], "exit 5")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(5));
    assert!(stderr(&output).contains("unauthorized"), "{}", stderr(&output));
    assert_eq!(world.spooled().len(), 2);
}

#[test]
fn what_was_recorded_when_turnwire_was_killed_goes_out_later_whole_and_once() {
    let world = World::new();
    let script = "i=0; while :; do i=$((i+1)); echo $i; done";
    let mut child = world
        .run(&["--quiet", "--adapter", "lines", "--session", "s"], script)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // What is passed through may be ahead of what is recorded: the kill comes when there is something to find again.
    let mut out = child.stdout.take().unwrap();
    while world.spooled_bytes() < 100_000 {
        assert!(
            out.read(&mut [0; 16 * 1024]).unwrap() > 0,
            "the command ended by itself"
        );
    }
    kill_process(pid(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    drop(out);
    let gateway = Gateway::new(|request| {
        if request == 0 {
            Answer::WriteAndCut
        } else {
            Answer::Take
        }
    });
    // Spools of a gateway on this machine go to the one on this machine: the scripted one takes its place.
    let put = |name: &str, text: &str| std::fs::write(world.data_dir().join(name), text).unwrap();
    put("server.json", &format!(r#"{{"url":"{}"}}"#, gateway.url));
    put("local.token", "t");
    let drained = world.turnwire(&["publish", "--drain", "--wait"]).output().unwrap();
    assert!(drained.status.success(), "{}", stderr(&drained));
    let events = gateway.stored.events();
    let lines: Vec<String> = (1..=notes(&events).len()).map(|n| n.to_string()).collect();
    assert!(notes(&events) == lines && lines.len() > 100, "{}", lines.len());
    assert!(world.spooled().is_empty());
}

#[test]
fn an_unwritable_spool_does_not_stand_between_a_person_and_the_command() {
    let world = World::new();
    std::fs::write(world.data_dir(), "a file where the directory should be").unwrap();
    let output = world.run(&[], "echo hello; exit 6").output().unwrap();
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("hello\n", Some(6)));
    assert!(stderr(&output).contains("nothing is recorded"), "{}", stderr(&output));
}

#[test]
fn standard_error_can_be_left_alone() {
    let world = World::new();
    let output = world.run(&["--no-stderr", "--quiet"], "echo x >&2").output().unwrap();
    assert_eq!(stderr(&output), "x\n");
    assert!(world.spooled().iter().all(|event| event["source"] != "stderr"));
}

#[test]
fn an_agents_own_session_is_the_recordings_and_all_its_lines_pass() {
    let world = World::new();
    let fixture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../adapters/fixtures/claude/basic-tools.jsonl"
    );
    let output = world
        .run(&["--quiet"], &format!("cat {fixture}; echo e >&2"))
        .output()
        .unwrap();
    assert_eq!(output.stdout, std::fs::read(fixture).unwrap());
    let events = world.spooled();
    let session = events.iter().find(|event| event["type"] == "session_start").unwrap();
    assert_eq!(session["source"], "claude-code");
    assert!(events.iter().all(|event| event["session_id"] == session["session_id"]));
    assert!(events.iter().any(|event| event["type"] == "tool_call"));
}

#[test]
fn an_unknown_adapter_is_a_usage_error_that_names_those_there_are() {
    let world = World::new();
    let output = world
        .turnwire(&["run", "--adapter", "x", "--", "true"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("claude, codex"), "{}", stderr(&output));
}
