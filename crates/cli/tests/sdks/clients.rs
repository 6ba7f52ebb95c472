//! Each client reports the same turn by each wire that its SDK has.

use std::{
    env,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;

use crate::{
    api::get,
    world::{Served, World, serve, stderr, stdout},
};

fn sdks() -> PathBuf {
    let dir = env::var_os("TURNWIRE_SDKS").expect("TURNWIRE_SDKS: `cargo xtask test` installs them and names it");
    PathBuf::from(dir)
}

fn source(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/sdks").join(name)
}

/// A client's program, as it is started.
fn client(language: &str) -> Command {
    match language {
        "python" => {
            let mut python = Command::new(sdks().join("venv/bin/python"));
            python.arg(source("client.py"));
            python
        }
        "node" => {
            let mut node = Command::new("node");
            node.arg(source("client.mjs"));
            node
        }
        _ => Command::new(sdks().join("rust/debug/sdk-client")),
    }
}

/// What `turnwire connect otel` says to set.
fn variables(world: &World) -> Vec<(String, String)> {
    let output = world.turnwire(&["connect", "otel", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let env = told["env"].as_object().unwrap();
    env.iter()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
        .collect()
}

fn report(world: &World, gateway: &Served, language: &str, wire: &str, more: &[(&str, &str)]) -> Output {
    let mut command = client(language);
    command
        .args([wire, &format!("{language}-{wire}")])
        .envs(variables(world))
        .env("TURNWIRE_SDKS", sdks())
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1");
    if wire == "grpc" {
        command.env(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            gateway.ready["otlp_grpc"].as_str().unwrap(),
        );
        command.env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    }
    command.envs(more.iter().copied()).output().unwrap()
}

#[test]
fn every_sdk_reports_the_same_turn_by_each_of_its_wires_packed_or_not() {
    let world = World::new();
    let gateway = serve(&world, &["--otlp-grpc", "127.0.0.1:0"]);
    let gzip: &[_] = &[("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")];
    for (language, wire, more) in [
        ("python", "http", gzip),
        ("python", "grpc", &[]),
        ("node", "proto", &[]),
        ("node", "http", gzip),
        ("node", "grpc", gzip),
        ("rust", "http", gzip),
        ("rust", "json", &[]),
        ("rust", "grpc", gzip),
    ] {
        let output = report(&world, &gateway, language, wire, more);
        assert!(
            output.status.success(),
            "{language} {wire}: {} {}",
            stdout(&output),
            stderr(&output)
        );
        let session = format!("{language}-{wire}");
        let events = get(&world, &format!("/api/events/history?session_id={session}&limit=100"));
        let events = events["events"].as_array().unwrap().clone();
        let one = |kind: &str| -> &Value {
            let mut of_kind = events.iter().filter(|event| event["type"] == kind);
            let first = of_kind
                .next()
                .unwrap_or_else(|| panic!("{session} has no {kind}: {events:?}"));
            assert!(of_kind.next().is_none(), "{session} has two of {kind}");
            &first["data"]
        };
        assert_eq!(one("turn_start")["body"], "How long is it?", "{session}");
        assert_eq!(one("turn_end")["ok"], true, "{session}");
        assert_eq!(one("usage")["output_tokens"], 7, "{session}");
        assert_eq!(one("message")["content"], "Seven ☃.", "{session}");
        assert_eq!(one("llm_request")["request_id"], "r1", "{session}");
        assert_eq!(one("tool_call")["tool_call_id"], "call_1", "{session}");
        assert_eq!(one("note")["text"], "the tape is short", "{session}");
        let metrics: Vec<&Value> = events.iter().map(|event| &event["data"]["metric"]).collect();
        for metric in ["client.calls", "client.times"] {
            assert!(metrics.contains(&&Value::from(metric)), "{session}: {metrics:?}");
        }
        assert!(events.iter().all(|event| event["source"] == "otlp"), "{session}");
    }
}

#[test]
fn an_sdk_is_told_that_its_token_may_not_and_nothing_is_written() {
    let world = World::new();
    let gateway = serve(&world, &["--otlp-grpc", "127.0.0.1:0"]);
    let wrong = format!("Authorization=Bearer%20tw_{}", "0".repeat(64));
    for (language, wire) in [
        ("python", "http"),
        ("python", "grpc"),
        ("node", "http"),
        ("rust", "grpc"),
    ] {
        let output = report(
            &world,
            &gateway,
            language,
            wire,
            &[("OTEL_EXPORTER_OTLP_HEADERS", &wrong)],
        );
        assert!(!output.status.success(), "{language} {wire}: {}", stderr(&output));
    }
    let events = get(&world, "/api/events/history");
    assert_eq!(events["events"].as_array().unwrap().len(), 0, "{events}");
}
