//! Stand-ins for vendors' models: an HTTP server on this machine that says what a test's script does. One file a wire.
//!
//! It keeps no state: the script is asked with what was said last and with how many results of tools have come since, so that a
//! request that is sent again gets the same answer. An answer that is held goes out in half and stays so until its reader leaves.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use serde_json::Value;

/// What the model says next.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// It asks for a tool.
    Tool(&'static str, Value),
    /// It asks for several at once.
    Tools(Vec<(&'static str, Value)>),
    /// It has done.
    Text(&'static str),
    /// It says this, and then nothing more.
    Held(&'static str),
    /// It refuses, with this status.
    Refuses(u16, Value),
}

/// What is said when `said` was said last and has had so many results of tools.
pub(crate) type Script = fn(said: &str, results: usize) -> Reply;

/// What goes out: status, content type, body, and whether the connection stays open behind it.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) kind: &'static str,
    pub(crate) body: String,
    pub(crate) held: bool,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            kind: "application/json",
            body: body.to_string(),
            held: false,
        }
    }

    pub(crate) fn events(body: String, held: bool) -> Self {
        Self {
            status: 200,
            kind: "text/event-stream",
            body,
            held,
        }
    }
}

/// A server that speaks one wire.
pub(crate) struct Scripted {
    pub(crate) url: String,
    /// Requests to the model, by their path and body.
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Scripted {
    pub(crate) fn start(script: Script, wire: fn(&str, &Value, Script) -> Option<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let log = Arc::clone(&log);
                std::thread::spawn(move || connection(socket.unwrap(), script, wire, &log));
            }
        });
        Self { url, asked }
    }

    pub(crate) fn asked(&self) -> Vec<(String, Value)> {
        self.asked.lock().unwrap().clone()
    }
}

/// One request after another; an end or nonsense ends it.
fn connection(
    socket: TcpStream,
    script: Script,
    wire: fn(&str, &Value, Script) -> Option<Answer>,
    log: &Mutex<Vec<(String, Value)>>,
) -> Option<()> {
    let mut reader = BufReader::new(socket.try_clone().ok()?);
    let mut writer = socket;
    loop {
        let (path, body) = request(&mut reader)?;
        let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
        let answer = wire(&path, &asked, script);
        if answer.is_some() {
            log.lock().unwrap().push((path, asked));
        }
        let answer = answer.unwrap_or_else(|| Answer::json(200, &serde_json::json!({})));
        let length = match answer.held {
            true => String::new(),
            false => format!("content-length: {}\r\n", answer.body.len()),
        };
        let (status, kind) = (answer.status, answer.kind);
        let head = format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{length}\r\n");
        writer.write_all(head.as_bytes()).ok()?;
        writer.write_all(answer.body.as_bytes()).ok()?;
        if answer.held {
            let _ = reader.read_to_end(&mut Vec::new());
            return None;
        }
    }
}

fn request(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let (mut path, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if path.is_none() {
            path = line.split([' ']).nth(1).map(str::to_owned);
        } else if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((path?, body))
}
