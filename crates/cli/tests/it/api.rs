//! The gateway's API, as a program asks it that has the data directory's own token.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::Value;

use crate::world::World;

/// One request, and what it is answered with.
pub(crate) fn api(world: &World, method: &str, path: &str, body: &Value) -> Value {
    serde_json::from_slice(&bytes(world, method, path, &body.to_string())).unwrap()
}

/// What the gateway that runs on the world's data directory answers.
pub(crate) fn bytes(world: &World, method: &str, path: &str, body: &str) -> Vec<u8> {
    let file = |name: &str| fs::read_to_string(world.data_dir().join(name)).unwrap();
    let running: Value = serde_json::from_str(&file("server.json")).unwrap();
    let host = running["url"].as_str().unwrap().strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(host).unwrap();
    let token = file("local.token");
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {host}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        token.trim(),
        body.len()
    );
    socket.write_all((head + body).as_bytes()).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let body = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer);
    assert!(
        head.contains(" 200 "),
        "{method} {path}: {head}{}",
        String::from_utf8_lossy(&body)
    );
    body
}

pub(crate) fn get(world: &World, path: &str) -> Value {
    api(world, "GET", path, &Value::Null)
}

/// The question that is asked first, as soon as there is one.
pub(crate) fn question(world: &World) -> Value {
    let mut command = world.turnwire(&[
        "tail",
        "--after",
        "0",
        "--type",
        "approval_request",
        "--count",
        "1",
        "--json",
    ]);
    let output = command.output().unwrap();
    let event: Value = serde_json::from_slice(&output.stdout).unwrap();
    let id = event["data"]["approval_id"].as_str().unwrap();
    get(world, &format!("/api/approvals/{id}?wait_ms=0"))
}

/// Decides it.
pub(crate) fn decide(world: &World, question: &Value, decision: &Value) -> Value {
    let id = question["id"].as_str().unwrap();
    api(world, "POST", &format!("/api/approvals/{id}/decision"), decision)
}
