//! A stand-in for a gateway that does what a test says: writes each id once, or answers nothing at all.

use std::{
    collections::HashSet,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::Value;

#[derive(Default)]
pub(crate) struct Stored {
    ids: Mutex<HashSet<String>>,
    events: Mutex<Vec<Value>>,
    pub(crate) requests: AtomicUsize,
}

impl Stored {
    pub(crate) fn events(&self) -> Vec<Value> {
        self.events.lock().unwrap().clone()
    }
}

/// What it does with a request, counted from 0.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    /// Writes, and says so.
    Take,
    /// Writes, and closes the connection without a word.
    WriteAndCut,
    /// Says that it has too much to do.
    Busy,
    /// Reads, and never answers.
    Silence,
    /// Does not know the token.
    Unauthorized,
}

pub(crate) struct Gateway {
    pub(crate) url: String,
    pub(crate) stored: Arc<Stored>,
}

impl Gateway {
    pub(crate) fn new(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stored = Arc::new(Stored::default());
        let (shared, answer) = (Arc::clone(&stored), Arc::new(answer));
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let (shared, answer) = (Arc::clone(&shared), Arc::clone(&answer));
                std::thread::spawn(move || connection(socket.unwrap(), &shared, &*answer));
            }
        });
        Self { url, stored }
    }
}

fn connection(mut socket: TcpStream, stored: &Stored, answer: &dyn Fn(usize) -> Answer) {
    let mut input = Vec::new();
    while let Some(body) = request(&mut socket, &mut input) {
        let number = stored.requests.fetch_add(1, Ordering::SeqCst);
        let (status, reply) = match answer(number) {
            Answer::Take => (200, write(stored, &body)),
            Answer::WriteAndCut => {
                write(stored, &body);
                return;
            }
            Answer::Busy => (503, error("overloaded", true)),
            Answer::Silence => loop {
                std::thread::park();
            },
            Answer::Unauthorized => (401, error("unauthorized", false)),
        };
        let length = reply.len();
        let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nretry-after: 0\r\n\r\n{reply}");
        if socket.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

fn error(code: &str, retry: bool) -> String {
    format!(r#"{{"error":{{"code":"{code}","message":"{code}","retry":{retry},"details":{{}}}}}}"#)
}

fn write(stored: &Stored, body: &str) -> String {
    let (mut written, mut duplicates) = (0, 0);
    for line in body.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        if stored
            .ids
            .lock()
            .unwrap()
            .insert(event["id"].as_str().unwrap().to_owned())
        {
            written += 1;
            stored.events.lock().unwrap().push(event);
        } else {
            duplicates += 1;
        }
    }
    format!(r#"{{"written":{written},"duplicates":{duplicates}}}"#)
}

fn request(socket: &mut TcpStream, input: &mut Vec<u8>) -> Option<String> {
    loop {
        let head = input.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&input[..head]).to_lowercase();
            let length = text
                .lines()
                .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let end = head + length.unwrap_or(0_usize);
            if input.len() >= end {
                let body = String::from_utf8(input[head..end].to_vec()).unwrap();
                input.drain(..end);
                return Some(body);
            }
        }
        let mut part = vec![0; 1 << 16];
        match socket.read(&mut part) {
            Ok(read) if read > 0 => input.extend_from_slice(&part[..read]),
            _ => return None,
        }
    }
}
