//! A stand-in for a vendor's model: speaks Anthropic's Messages API, streamed, and says what a test has written for it.
//!
//! It keeps no state: which reply is due is told by how many results of tools the conversation has, so that a request
//! that is sent again gets the same answer, and requests beside the conversation (without tools) get a word.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
};

use serde_json::{Value, json};

/// What the model says next.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// It asks for a tool.
    Tool { name: &'static str, input: Value },
    /// It has done.
    Text(&'static str),
}

pub(crate) struct ModelServer {
    pub(crate) url: String,
}

impl ModelServer {
    /// Answers with `replies`, each after the result of the one before.
    pub(crate) fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let replies = Arc::new(replies);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let replies = Arc::clone(&replies);
                std::thread::spawn(move || connection(socket.unwrap(), &replies));
            }
        });
        Self { url }
    }
}

/// One request after another; an end or nonsense ends it.
fn connection(socket: TcpStream, replies: &[Reply]) -> Option<()> {
    let mut reader = BufReader::new(socket.try_clone().ok()?);
    let mut writer = socket;
    loop {
        let (line, body) = request(&mut reader)?;
        let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
        let (kind, answer) = match line.split(['?', ' ']).nth(1) {
            Some("/v1/messages") => ("text/event-stream", sse(&asked, replies)),
            Some("/v1/messages/count_tokens") => ("application/json", json!({"input_tokens": 10}).to_string()),
            _ => ("application/json", "{}".to_owned()),
        };
        let length = answer.len();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n");
        writer.write_all(head.as_bytes()).ok()?;
        if !line.starts_with("HEAD ") {
            writer.write_all(answer.as_bytes()).ok()?;
        }
    }
}

fn request(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let (mut first, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if first.is_empty() {
            first = line;
        } else if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first, body))
}

fn reply(asked: &Value, replies: &[Reply]) -> Reply {
    if asked["tools"].as_array().is_none_or(Vec::is_empty) {
        return Reply::Text("ok");
    }
    let results = asked["messages"].as_array().into_iter().flatten();
    let results = results.flat_map(|message| message["content"].as_array().into_iter().flatten());
    let had = results.filter(|block| block["type"] == "tool_result").count();
    replies.get(had).cloned().unwrap_or(Reply::Text("nothing more"))
}

fn sse(asked: &Value, replies: &[Reply]) -> String {
    let had = reply(asked, replies);
    let number = asked["messages"].as_array().map_or(0, Vec::len);
    let (block, delta, stop) = match &had {
        Reply::Text(text) => (
            json!({"type": "text", "text": ""}),
            json!({"type": "text_delta", "text": text}),
            "end_turn",
        ),
        Reply::Tool { name, input } => (
            json!({"type": "tool_use", "id": format!("toolu_{number:04}"), "name": name, "input": {}}),
            json!({"type": "input_json_delta", "partial_json": input.to_string()}),
            "tool_use",
        ),
    };
    let message = json!({
        "id": format!("msg_{number:04}"), "type": "message", "role": "assistant", "model": asked["model"],
        "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 100, "output_tokens": 1},
    });
    [
        json!({"type": "message_start", "message": message}),
        json!({"type": "content_block_start", "index": 0, "content_block": block}),
        json!({"type": "content_block_delta", "index": 0, "delta": delta}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": null},
               "usage": {"output_tokens": 20}}),
        json!({"type": "message_stop"}),
    ]
    .iter()
    .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()))
    .collect()
}
