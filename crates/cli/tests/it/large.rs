//! What is large comes whole: an image and a tool's output of megabytes, by every way that an agent's words take.

use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use base64::Engine;
use serde_json::{Value, json};

use crate::{
    raw_api::blob,
    world::{World, serve, stderr, stdout},
};

const SESSION: &str = "63b23c4a-7feb-4ced-b8e3-9f2340f27a71";
/// Bytes of an image, and of an output.
const IMAGE: usize = 2_000_000;
const OUTPUT: usize = 3_000_000;

/// A picture: what it shows does not matter.
fn image() -> Vec<u8> {
    let mut seed = 1_u32;
    let noise = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    });
    [0x89, b'P', b'N', b'G'].into_iter().chain(noise).take(IMAGE).collect()
}

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// What a tool has put out: lines with quotes and letters of several bytes.
fn output(bytes: usize) -> String {
    let line = "une \"ligne\" d'été\\\n";
    line.repeat(bytes / line.len() + 1)
}

fn shown() -> Value {
    json!({ "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": base64(&image()) } })
}

/// A turn as Claude Code tells it, on its standard output or in its file: an image is shown, a tool puts out `content`.
fn turn(content: &Value) -> String {
    let line = |n: u32, value: Value| {
        let mut line = json!({ "session_id": SESSION, "sessionId": SESSION, "uuid": format!("u-{n}"),
            "timestamp": format!("2026-11-20T09:32:3{n}.000Z"), "isSidechain": false });
        line.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        format!("{line}\n")
    };
    let call = json!([{ "type": "tool_use", "id": "toolu_1", "name": "Bash", "input": { "command": "make" } }]);
    let result = json!([{ "type": "tool_result", "tool_use_id": "toolu_1", "content": content }]);
    [
        line(1, json!({ "type": "user", "message": { "role": "user", "content": [{ "type": "text", "text": "look" }, shown()] } })),
        line(2, json!({ "type": "assistant", "message": { "id": "m", "role": "assistant", "model": "x", "content": call } })),
        line(3, json!({ "type": "user", "message": { "role": "user", "content": result },
            "toolUseResult": { "stdout": content, "stderr": "" } })),
    ]
    .concat()
}

fn transcript(world: &World, text: &str) -> PathBuf {
    let dir = world.path("home").join(".claude/projects/-p");
    fs::create_dir_all(&dir).unwrap();
    let file = dir.join(format!("{SESSION}.jsonl"));
    fs::write(&file, text).unwrap();
    file
}

fn events(world: &World) -> Vec<Value> {
    let shown = world.turnwire(&["show", SESSION, "--json"]).output().unwrap();
    assert!(shown.status.success(), "{}", stderr(&shown));
    stdout(&shown)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn ended(events: &[Value]) -> &Value {
    events.iter().find(|event| event["type"] == "tool_call").unwrap()
}

/// Blobs that an event names, with where they stood.
fn blobs(world: &World, event: &Value) -> Vec<(String, Vec<u8>)> {
    let named = event["data"]["turnwire_blobs"].as_array().cloned().unwrap_or_default();
    let read = |blob_ref: &Value| {
        let text = |key: &str| blob_ref[key].as_str().unwrap().to_owned();
        (text("at"), blob(world, &text("hash")))
    };
    named.iter().map(read).collect()
}

/// The image and the output are there, byte for byte, and nothing was cut.
fn whole(world: &World) {
    let events = events(world);
    let of = |at: &str, want: &[u8]| {
        let found = events
            .iter()
            .flat_map(|event| blobs(world, event))
            .any(|(place, bytes)| place.contains(at) && bytes == want);
        assert!(found, "{at}");
    };
    of("/source/data", &image());
    of("/data/output", output(OUTPUT).as_bytes());
    assert!(events.iter().all(|event| event["data"]["truncated"].is_null()));
}

fn given(world: &World, args: &[&str], input: &str) -> Output {
    let mut child = world
        .turnwire(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn import(world: &World) -> Value {
    let output = world
        .turnwire(&["watch", "--all", "--import", "--once", "--json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let summary: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(
        (&summary["rejected"], &summary["left"]),
        (&0.into(), &0.into()),
        "{summary}"
    );
    summary
}

#[test]
fn an_image_and_an_output_of_megabytes_in_a_transcript_come_whole() {
    let world = World::new();
    let _served = serve(&world, &[]);
    transcript(&world, &turn(&output(OUTPUT).into()));
    import(&world);
    whole(&world);
}

#[test]
fn an_image_and_an_output_of_megabytes_of_a_wrapped_agent_come_whole() {
    let world = World::new();
    let _served = serve(&world, &[]);
    let file = transcript(&world, &turn(&output(OUTPUT).into()));
    let script = format!("cat '{}'", file.display());
    let run = world
        .run(&["--adapter", "claude", "--quiet"], &script)
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", stderr(&run));
    whole(&world);
}

#[test]
fn an_image_and_an_output_of_megabytes_of_a_hook_come_whole() {
    let world = World::new();
    let _served = serve(&world, &[]);
    let payload = json!({ "session_id": SESSION, "prompt_id": "p", "hook_event_name": "PostToolUse", "tool_name": "Bash",
        "tool_use_id": "toolu_1", "tool_input": {}, "tool_response": { "stdout": output(OUTPUT), "stderr": "" } });
    let picture = json!({ "session_id": SESSION, "prompt_id": "p", "hook_event_name": "PostToolUse", "tool_name": "Read",
        "tool_use_id": "toolu_2", "tool_input": {},
        "tool_response": { "type": "image", "file": { "base64": base64(&image()), "type": "image/png" } } });
    for payload in [payload, picture] {
        let output = given(&world, &["hook", "claude"], &payload.to_string());
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{}",
            stderr(&output)
        );
    }
    // A hook that has no time sends later.
    let drained = world.turnwire(&["publish", "--drain", "--wait"]).output().unwrap();
    assert!(drained.status.success(), "{}", stderr(&drained));
    let found: Vec<_> = events(&world).iter().flat_map(|event| blobs(&world, event)).collect();
    for (at, want) in [("/data/output", output(OUTPUT).into_bytes()), ("/base64", image())] {
        assert!(
            found.iter().any(|(place, bytes)| place.contains(at) && *bytes == want),
            "{at}"
        );
    }
}

#[test]
fn what_is_large_and_was_in_the_spool_of_a_killed_recorder_comes_whole() {
    let world = World::new();
    let file = transcript(&world, &turn(&output(OUTPUT).into()));
    // It goes on, and says nothing more.
    let script = format!("cat '{}'; exec sleep 600", file.display());
    let mut run = world
        .run(&["--adapter", "claude", "--quiet"], &script)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while !world.has_spooled("\"type\":\"tool_call\"") {
        assert!(Instant::now() < deadline, "nothing is in the spool");
        std::thread::yield_now();
    }
    run.kill().unwrap();
    run.wait().unwrap();
    let _served = serve(&world, &[]);
    let drained = world.turnwire(&["publish", "--drain", "--wait"]).output().unwrap();
    assert!(drained.status.success(), "{}", stderr(&drained));
    whole(&world);
}

#[test]
fn what_has_no_room_even_without_its_blobs_is_cut_and_says_so() {
    let world = World::new();
    let _served = serve(&world, &[]);
    let part = json!({ "type": "text", "text": "x".repeat(1000) });
    transcript(&world, &turn(&vec![part; 3000].into()));
    import(&world);
    let events = events(&world);
    let call = ended(&events);
    let bytes = call["data"]["bytes"].as_u64().unwrap();
    assert!(call["data"]["truncated"] == true && bytes > 3_000_000, "{bytes}");
    assert_eq!(call["data"]["tool_call_id"], "toolu_1");
}

#[test]
fn a_line_longer_than_a_gateway_takes_is_told_as_far_as_it_is_shown_and_what_follows_comes() {
    let world = World::new();
    let _served = serve(&world, &[]);
    let long = json!({ "type": "user", "sessionId": SESSION, "message": { "content": "x".repeat(50_000_000) } });
    transcript(
        &world,
        &format!(
            "{}{long}\n{}",
            turn(&"small".into()),
            turn(&"small".into()).replace("toolu_1", "toolu_2")
        ),
    );
    import(&world);
    let events = events(&world);
    let told = events.iter().find(|event| event["data"]["truncated"] == true).unwrap();
    assert_eq!(told["type"], "raw");
    assert_eq!(
        told["data"]["bytes"].as_u64().unwrap(),
        long.to_string().len() as u64 + 1
    );
    let calls = events.iter().filter(|event| event["type"] == "tool_call").count();
    assert_eq!(calls, 2);
}
