//! A server that says exactly what a test wrote, byte by byte, and fails on demand.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

/// How a connection ends.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    /// As it should.
    Close,
    /// Not at all, until the test ends.
    Hold,
}

/// What one connection gets, in the order in which connections come.
pub(crate) struct Reply {
    bytes: Vec<u8>,
    then: Then,
    before: Option<Box<dyn FnOnce() + Send>>,
    more: Option<Receiver<String>>,
}

impl Reply {
    pub(crate) fn new(bytes: impl Into<Vec<u8>>, then: Then) -> Self {
        Self {
            bytes: bytes.into(),
            then,
            before: None,
            more: None,
        }
    }

    /// More of it, piece by piece when the test says so, until it drops the sender. Connections after this one wait.
    pub(crate) fn more(mut self) -> (Self, Sender<String>) {
        let (say, more) = channel();
        self.more = Some(more);
        (self, say)
    }

    /// Something that happens when the request has come and is not answered yet.
    pub(crate) fn after(mut self, before: impl FnOnce() + Send + 'static) -> Self {
        self.before = Some(Box::new(before));
        self
    }
}

/// A 200 with an event stream that ends with its connection.
pub(crate) fn stream(body: impl AsRef<[u8]>, then: Then) -> Reply {
    let mut bytes =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\n".to_vec();
    bytes.extend_from_slice(body.as_ref());
    Reply::new(bytes, then)
}

/// An answer without a stream. `head` is what stands between the status line and the length.
pub(crate) fn answer(status: &str, head: &str, body: &str) -> Reply {
    Reply::new(
        format!(
            "HTTP/1.1 {status}\r\n{head}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ),
        Then::Close,
    )
}

pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    requests: Receiver<String>,
    written: Receiver<()>,
    _held: Receiver<TcpStream>,
}

impl Scripted {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The head of the next request that was made, and its body.
    pub(crate) fn request(&self) -> String {
        self.requests.recv_timeout(Duration::from_secs(30)).expect("a request")
    }

    /// Waits until the next reply has been written.
    pub(crate) fn written(&self) {
        self.written.recv_timeout(Duration::from_secs(30)).expect("a reply");
    }

    /// Whether all requests that came have been looked at.
    pub(crate) fn no_more_requests(&self) -> bool {
        self.requests.try_recv().is_err()
    }
}

/// Serves these replies, one a connection, and then refuses connections.
pub(crate) fn serve(replies: Vec<Reply>) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
    let address = listener.local_addr().expect("a bound socket has an address");
    let (to_requests, requests) = channel();
    let (hold, held) = channel();
    let (wrote, written) = channel();
    thread::spawn(move || run(&listener, replies, &to_requests, &wrote, &hold));
    Scripted {
        address,
        requests,
        written,
        _held: held,
    }
}

fn run(
    listener: &TcpListener,
    replies: Vec<Reply>,
    requests: &Sender<String>,
    wrote: &Sender<()>,
    hold: &Sender<TcpStream>,
) {
    for reply in replies {
        let Ok((mut connection, _)) = listener.accept() else {
            return;
        };
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && connection.read(&mut byte).is_ok_and(|n| n == 1) {
            head.push(byte[0]);
        }
        // A body that was left unread would cost the client its answer.
        let mut body = vec![0; length(&head)];
        if connection.read_exact(&mut body).is_ok() {
            head.extend_from_slice(&body);
        }
        if let Some(before) = reply.before {
            before();
        }
        let _ = requests.send(String::from_utf8_lossy(&head).into_owned());
        // In small pieces, so that lines and UTF-8 sequences are cut.
        for piece in reply.bytes.chunks(if reply.bytes.len() > 4096 { 4096 } else { 7 }) {
            if connection.write_all(piece).and_then(|()| connection.flush()).is_err() {
                break;
            }
        }
        let _ = wrote.send(());
        for piece in reply.more.iter().flatten() {
            if connection.write_all(piece.as_bytes()).is_err() {
                break;
            }
        }
        if matches!(reply.then, Then::Hold) {
            let _ = hold.send(connection);
        }
    }
}

/// The `Content-Length` of a head; 0 without one.
fn length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_lowercase();
    let value = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    value.map_or(0, |value| value.trim().parse().expect("a length"))
}
