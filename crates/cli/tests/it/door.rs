//! What is kept out of the log, and what leaves events for files, with the real program and real kills.

use std::{
    fs,
    io::Write,
    process::{Output, Stdio},
};

use serde_json::{Value, json};

use crate::world::{World, serve, stderr, stdout};

fn given(world: &World, args: &[&str], text: &str) -> Output {
    let mut child = world
        .turnwire(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn the_self_test_of_redaction_is_right_and_a_text_shows_what_would_be_written() {
    let world = World::new();
    let table = given(&world, &["doctor", "redaction"], "");
    assert!(table.status.success(), "{}", stdout(&table));
    assert!(stdout(&table).lines().count() > 40 && stdout(&table).contains("github-token"));
    let lines = stdout(&given(&world, &["doctor", "redaction", "--json"], ""));
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["ok"], true, "{line}");
    }
    fs::create_dir_all(world.data_dir()).unwrap();
    fs::write(
        world.data_dir().join("turnwire.toml"),
        "[[redact]]\nname = \"badge\"\npattern = 'B-\\d+'\n",
    )
    .unwrap();
    let text = format!("key AKIA{} of badge B-12, and sk-learn\n", "Q3EGRZ7EXAMPLE42");
    let shown = stdout(&given(&world, &["doctor", "redaction", "-"], &text));
    assert!(
        shown.starts_with("key [redacted:aws-key:") && shown.ends_with("], and sk-learn\n"),
        "{shown}"
    );
    let shown: Value =
        serde_json::from_str(&stdout(&given(&world, &["doctor", "redaction", "-", "--json"], &text))).unwrap();
    assert_eq!(
        (&shown["replaced"], &shown["kinds"]),
        (&json!(2), &json!(["aws-key", "badge"]))
    );
    // With the key of a gateway's directory, markers are those of its log.
    let before = shown["text"].clone();
    drop(serve(&world, &[]));
    let shown: Value =
        serde_json::from_str(&stdout(&given(&world, &["doctor", "redaction", "-", "--json"], &text))).unwrap();
    assert_ne!(shown["text"], before);
}

#[test]
fn a_bad_pattern_or_key_in_the_configuration_ends_the_start_with_its_name() {
    let world = World::new();
    let file = world.path("my.toml");
    for (text, why) in [
        ("[[redact]]\nname = \"open\"\npattern = '('\n", "`open`"),
        ("[[redact]]\nname = \"x\"\npatern = 'y'\n", "patern"),
        ("[redacted]\n", "redacted"),
    ] {
        fs::write(&file, text).unwrap();
        let ended = world
            .turnwire(&["serve", "--listen", "127.0.0.1:0", "--config", file.to_str().unwrap()])
            .output()
            .unwrap();
        assert_eq!(ended.status.code(), Some(2));
        assert!(stderr(&ended).contains(why), "{}", stderr(&ended));
    }
}

#[test]
fn a_kill_between_a_blob_and_its_event_leaves_no_event_that_names_a_missing_blob() {
    let world = World::new();
    for round in 0..3_usize {
        let mut served = serve(&world, &[]);
        let publishing = (0..2_usize).map(|lane| {
            let events: String = (0..20)
                .map(|n| {
                    let text = format!("{round} {lane} {n} {}", "long ".repeat(20_000));
                    format!(
                        "{}\n",
                        json!({"type": "note", "session_id": "s", "data": {"text": text}})
                    )
                })
                .collect();
            let mut child = world
                .turnwire(&["publish", "--adapter", "native", "--wait"])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let mut input = child.stdin.take().unwrap();
            let writing = std::thread::spawn(move || drop(input.write_all(events.as_bytes())));
            (child, writing)
        });
        let mut publishing: Vec<_> = publishing.collect();
        // Amid the writing, at another moment each time: when so many blobs are there, or all is written.
        let folder = world.data_dir().join("blobs");
        let many = || fs::read_dir(&folder).map_or(0, Iterator::count);
        let before = many();
        while many() < before + 3 + 7 * round
            && publishing
                .iter_mut()
                .any(|(child, _)| child.try_wait().unwrap().is_none())
        {
            std::thread::yield_now();
        }
        served.child.kill().unwrap();
        served.child.wait().unwrap();
        for (mut child, writing) in publishing {
            // What it could not send is in its spool; this round's is of no more interest.
            let _ = child.kill();
            child.wait().unwrap();
            writing.join().unwrap();
        }
        drop(served);
        let served = serve(&world, &[]);
        let tail = world.turnwire(&["show", "s", "--json"]).output().unwrap();
        let mut named = 0;
        for line in stdout(&tail).lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            for blob in event["data"]["turnwire_blobs"].as_array().into_iter().flatten() {
                let hash = blob["hash"].as_str().unwrap();
                let size = fs::metadata(folder.join(&hash[..2]).join(&hash[2..])).unwrap().len();
                assert_eq!(size, blob["bytes"].as_u64().unwrap());
                named += 1;
            }
        }
        assert!(named > 0 || round == 0, "{}", stderr(&tail));
        drop(served);
    }
}

#[test]
fn a_session_that_is_shown_in_full_has_the_texts_that_left_it_and_names_its_images() {
    let world = World::new();
    let _served = serve(&world, &[]);
    let output: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
    let image = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=";
    let told = [
        json!({"tool_call_id": "a", "tool": "Bash", "success": true, "output": output}),
        json!({"tool_call_id": "b", "tool": "Read", "success": true, "output": {"media_type": "image/png", "data": image}}),
    ];
    let lines: String = told
        .iter()
        .map(|data| json!({"type": "tool_call", "source": "x", "session_id": "s", "data": data}).to_string() + "\n")
        .collect();
    let published = given(&world, &["publish", "--wait"], &lines);
    assert!(published.status.success(), "{}", stderr(&published));
    let show = |words: &[&str]| {
        let output = given(&world, &[&["show", "s"], words].concat(), "");
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let (heads, full) = (show(&[]), show(&["--full"]));
    let size = format!("{} bytes in all (--full shows them)", output.len());
    assert!(heads.contains(&size) && !heads.contains("line 19999"), "{heads}");
    assert!(full.contains("  line 19999\n") && !full.contains("in all"), "{full}");
    assert!(full.contains("  image/png, 68 bytes: /api/blobs/"), "{full}");
    let whole = show(&["--full", "--json"]);
    let call: Value = serde_json::from_str(whole.lines().find(|line| line.contains("\"a\"")).unwrap()).unwrap();
    assert_eq!(call["data"]["output"], output);
    assert!(call["data"].get("turnwire_blobs").is_none(), "{}", call["data"]);
}
