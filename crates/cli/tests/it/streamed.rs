//! A secret that an agent streams in pieces is in no file of the gateway's.

use std::{fs, io::Write, path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};

use crate::{
    api::get,
    raw_api::ingest,
    world::{World, serve, stdout},
};

const SESSION: &str = "0ac00b70-b00c-4902-9c74-9d1c5fca9350";

/// Put together here, so that no scanner of source code takes it for somebody's.
fn secret() -> String {
    format!(
        "sk-ant-{}",
        "api03-R2D2c3po4567_89abcdefGHIJKLMNOPqrstuvwxyz-0123456789abAA"
    )
}

fn line(body: &Value) -> String {
    let mut line = json!({ "session_id": SESSION, "parent_tool_use_id": null });
    line.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    format!("{line}\n")
}

fn streamed(event: &Value) -> String {
    line(&json!({ "type": "stream_event", "event": event }))
}

/// A message, letter by letter, with a ping now and then, and as a whole when it `has_whole`; then a call with the key in what it is given.
fn turn(has_whole: bool) -> Vec<String> {
    let text = format!("The key is {}, keep it.", secret());
    let input = json!({ "path": "a", "key": secret() });
    let mut lines = vec![
        line(&json!({ "type": "system", "subtype": "init", "model": "x", "cwd": "/w", "tools": [] })),
        streamed(
            &json!({ "type": "message_start", "message": { "id": "m1", "role": "assistant", "model": "x", "content": [] } }),
        ),
    ];
    let mut block = |index: u32, start: Value, of: &str, kind: &str, text: &str| {
        lines.push(streamed(
            &json!({ "type": "content_block_start", "index": index, "content_block": start }),
        ));
        for (n, letter) in text.chars().enumerate() {
            let delta = json!({ "type": kind, of: letter.to_string() });
            lines.push(streamed(
                &json!({ "type": "content_block_delta", "index": index, "delta": delta }),
            ));
            if n % 9 == 4 {
                lines.push(streamed(&json!({ "type": "ping" })));
            }
        }
        lines.push(streamed(&json!({ "type": "content_block_stop", "index": index })));
    };
    block(0, json!({ "type": "text", "text": "" }), "text", "text_delta", &text);
    let call = json!({ "type": "tool_use", "id": "toolu_1", "name": "Write", "input": {} });
    block(1, call, "partial_json", "input_json_delta", &input.to_string());
    if has_whole {
        let content = json!([{ "type": "text", "text": text }, { "type": "tool_use", "id": "toolu_1", "name": "Write", "input": input }]);
        lines.push(line(&json!({ "type": "assistant", "message": { "id": "m1", "role": "assistant", "model": "x", "content": content } })));
    }
    lines.push(line(
        &json!({ "type": "result", "subtype": "success", "is_error": false, "result": "done", "duration_ms": 1 }),
    ));
    lines
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all
}

/// No nine characters of the secret that stand together are in any file.
fn nothing_is_kept(world: &World) {
    let secret = secret();
    for path in files(&world.data_dir()) {
        let bytes = fs::read(&path).unwrap();
        for part in secret.as_bytes().windows(9) {
            let shown = memchr::memmem::find(&bytes, part).is_some();
            assert!(!shown, "{} in {}", String::from_utf8_lossy(part), path.display());
        }
    }
}

/// All that the deltas say, put together, by their field.
fn deltas(world: &World, field: &str) -> String {
    let path =
        format!("/api/events/history?session_id={SESSION}&type=text_delta&type=tool_progress&after=0&limit=1000");
    let page = get(world, &path);
    let events = page["events"].as_array().unwrap();
    events
        .iter()
        .filter_map(|event| event["data"][field].as_str())
        .collect()
}

fn run(world: &World, lines: &[String]) {
    let mut child = world
        .run(&["--adapter", "claude", "--quiet"], "cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    for line in lines {
        input.write_all(line.as_bytes()).unwrap();
        input.flush().unwrap();
        // As slow as a model: pieces would go one by one, were nothing held back.
        std::thread::sleep(Duration::from_millis(15));
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_key_that_an_agent_streams_letter_by_letter_is_in_no_file_and_its_message_has_the_marker() {
    let world = World::new();
    let served = serve(&world, &[]);
    run(&world, &turn(true));
    let pieces = deltas(&world, "content") + &deltas(&world, "arguments_delta");
    assert!(pieces.starts_with("The key is "), "{pieces}");
    let shows = |part: &[u8]| memchr::memmem::find(pieces.as_bytes(), part).is_some();
    assert!(!secret().as_bytes().windows(9).any(shows), "{pieces}");
    let said = stdout(&world.turnwire(&["show", SESSION, "--json"]).output().unwrap());
    assert!(said.contains("The key is [redacted:anthropic-key:"), "{said}");
    drop(served);
    nothing_is_kept(&world);
}

#[test]
fn a_key_that_is_streamed_and_never_told_whole_is_a_marker_in_the_pieces() {
    let world = World::new();
    let served = serve(&world, &[]);
    run(&world, &turn(false));
    let text = deltas(&world, "content");
    assert!(
        text.starts_with("The key is [redacted:anthropic-key:") && text.ends_with("], keep it."),
        "{text}"
    );
    let input = deltas(&world, "arguments_delta");
    assert!(input.starts_with("{\"key\":\"[redacted:anthropic-key:"), "{input}");
    drop(served);
    nothing_is_kept(&world);
}

#[test]
fn a_key_in_pieces_that_are_ingested_by_the_gateway_is_a_marker_in_them() {
    let world = World::new();
    let served = serve(&world, &[]);
    let lines = turn(false).concat();
    ingest(&world, "/api/ingest/claude", &lines);
    let text = deltas(&world, "content");
    assert!(
        text.starts_with("The key is [redacted:anthropic-key:") && text.ends_with("], keep it."),
        "{text}"
    );
    drop(served);
    nothing_is_kept(&world);
}
