//! Between a driver and an HTTP server that its program is: a way that can be cut.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

/// Passes requests on to the server on the port that is the path's first part. One request a connection.
#[derive(Clone, Default)]
pub(crate) struct Cutting {
    /// There are no events until this file is there.
    cut_until: Arc<Mutex<Option<PathBuf>>>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Cutting {
    /// Returns where it listens.
    pub(crate) fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let this = self.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let this = this.clone();
                std::thread::spawn(move || this.pass(socket.unwrap()));
            }
        });
        address
    }

    /// Ends streams of events, and begins none until this file is there.
    pub(crate) fn cut_until(&self, file: &Path) {
        *self.cut_until.lock().unwrap() = Some(file.to_owned());
        for stream in self.streams.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).unwrap();
        }
    }

    fn is_cut(&self) -> bool {
        self.cut_until
            .lock()
            .unwrap()
            .as_ref()
            .is_some_and(|file| !file.exists())
    }

    fn pass(&self, mut from: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(from.try_clone().ok()?);
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            if line.trim().is_empty() {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let (method, rest) = head.split_once(" /")?;
        let (port, path) = rest.split_once('/')?;
        let is_events = path.starts_with("event ");
        if is_events && self.is_cut() {
            return None;
        }
        let mut to = TcpStream::connect(("127.0.0.1", port.parse().ok()?)).ok()?;
        if is_events {
            self.streams.lock().unwrap().push(from.try_clone().ok()?);
        }
        write!(to, "{method} /{path}connection: close\r\n\r\n").ok()?;
        to.write_all(&body).ok()?;
        // Who asks is told, too, that this connection is for this request alone.
        let mut answer = BufReader::new(to);
        let mut status = String::new();
        answer.read_line(&mut status).ok()?;
        write!(from, "{status}connection: close\r\n").ok()?;
        std::io::copy(&mut answer, &mut from).ok()?;
        from.shutdown(Shutdown::Both).ok()
    }
}
