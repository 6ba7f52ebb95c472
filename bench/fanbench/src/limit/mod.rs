//! The physical limit: a server that does nothing but the system calls that the work cannot do without.
//! POST appends events (optionally write + fdatasync, one commit for all requests that are ready), GET
//! subscribes. One thread, one epoll loop. `--coalesce` sends each subscriber everything that is ready in
//! one write, where the plain loop makes one write(2) per event and subscriber.

mod replay;

use crate::raw;
use anyhow::Result;
use clap::{Args, ValueEnum};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum Store {
    /// Frames kept ready to send, copied from file to socket.
    File,
    /// Rows read from SQLite and framed one by one.
    Sqlite,
}

#[derive(Args)]
pub struct LimitArgs {
    #[arg(long, default_value = "127.0.0.1:9100")]
    listen: SocketAddr,
    /// One write per connection for everything that is ready, events or replies, instead of one for each.
    #[arg(long)]
    coalesce: bool,
    /// Leave Nagle's algorithm on, so that the kernel merges small writes while data is unacknowledged.
    #[arg(long)]
    nagle: bool,
    /// Send at most once in this many microseconds: latency for fewer, larger writes.
    #[arg(long, default_value_t = 0)]
    tick_us: u64,
    /// Append events to this file before they are acknowledged or sent.
    #[arg(long)]
    log: Option<PathBuf>,
    /// fdatasync the log before acknowledging.
    #[arg(long)]
    sync: bool,
    /// Commit on a thread of its own, so that requests are read while the disk works, into a log file written
    /// beforehand, so that a commit changes no file size.
    #[arg(long)]
    overlap: bool,
    /// Serve this many stored events on GET /replay (made at the start, in --dir).
    #[arg(long, default_value_t = 0)]
    replay_events: u64,
    #[arg(long, value_enum, default_value = "file")]
    replay_from: Store,
    #[arg(long, default_value = ".")]
    dir: PathBuf,
}

const SSE_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

struct Conn {
    socket: TcpStream,
    inbuf: Vec<u8>,
    /// What the socket would not take yet.
    backlog: Vec<u8>,
    subscriber: bool,
}

impl Conn {
    /// False once the connection is broken.
    fn send(&mut self, bytes: &[u8]) -> bool {
        if !self.backlog.is_empty() {
            self.backlog.extend_from_slice(bytes);
            return true;
        }
        match self.socket.write(bytes) {
            Ok(n) => self.backlog.extend_from_slice(&bytes[n..]),
            Err(e) if e.kind() == ErrorKind::WouldBlock => self.backlog.extend_from_slice(bytes),
            Err(_) => return false,
        }
        true
    }

    fn flush(&mut self) -> bool {
        let backlog = std::mem::take(&mut self.backlog);
        backlog.is_empty() || self.send(&backlog)
    }
}

/// What one round of the loop, or one commit, has gathered.
#[derive(Default)]
struct Batch {
    /// Log records, one line each.
    records: Vec<u8>,
    /// SSE frames, and where each one ends.
    frames: Vec<u8>,
    ends: Vec<usize>,
    /// Connections owed a reply, once per request.
    acks: Vec<usize>,
}

impl Batch {
    fn add(&mut self, seq: u64, record: &[u8], logged: bool) {
        frame(&mut self.frames, seq, record);
        self.ends.push(self.frames.len());
        if logged {
            self.records.extend_from_slice(record);
            self.records.push(b'\n');
        }
    }

    fn append(&mut self, mut other: Batch) {
        let base = self.frames.len();
        self.frames.append(&mut other.frames);
        self.ends.extend(other.ends.iter().map(|end| base + end));
        self.acks.append(&mut other.acks);
    }
}

struct Log {
    file: File,
    sync: bool,
    left: u64,
    prepared: u64,
}

impl Log {
    fn open(path: &Path, args: &LimitArgs) -> Result<Log> {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
        let prepared = if args.overlap { raw::PREALLOC_MB << 20 } else { u64::MAX };
        if args.overlap {
            raw::preallocate(&mut file)?;
        }
        Ok(Log {
            file,
            sync: args.sync,
            left: prepared,
            prepared,
        })
    }

    fn commit(&mut self, records: &[u8]) -> Result<()> {
        if self.left < records.len() as u64 {
            self.file.rewind()?;
            self.left = self.prepared;
        }
        self.left -= records.len() as u64;
        self.file.write_all(records)?;
        if self.sync {
            self.file.sync_data()?;
        }
        Ok(())
    }
}

/// Commits whatever has come in while the last commit ran, in one go.
fn committer(mut log: Log, todo: &Receiver<Batch>, done: &Sender<Batch>, waker: &Waker) -> Result<()> {
    while let Ok(mut batch) = todo.recv() {
        for mut more in todo.try_iter() {
            batch.records.append(&mut more.records);
            batch.append(more);
        }
        log.commit(&batch.records)?;
        if done.send(batch).is_err() {
            break;
        }
        waker.wake()?;
    }
    Ok(())
}

const LISTENER: Token = Token(0);
const COMMITTED: Token = Token(usize::MAX);

enum Request {
    Subscribe,
    Replay,
    /// Length of the body at the front of the buffer, after the head.
    Publish {
        head: usize,
        body: usize,
    },
}

fn parse(buf: &[u8]) -> Result<Option<(Request, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(buf)? else {
        return Ok(None);
    };
    if request.method == Some("GET") {
        let replay = request.path.is_some_and(|p| p.starts_with("/replay"));
        return Ok(Some((if replay { Request::Replay } else { Request::Subscribe }, head)));
    }
    let length = request
        .headers
        .iter()
        .find(|h| h.name.eq_ignore_ascii_case("content-length"));
    let body: usize = length
        .and_then(|h| std::str::from_utf8(h.value).ok())
        .and_then(|v| v.trim().parse().ok())
        .unwrap_or(0);
    Ok((buf.len() >= head + body).then_some((Request::Publish { head, body }, head + body)))
}

/// Runs until it is killed.
pub fn serve(args: &LimitArgs) -> Result<()> {
    let mut server = Server::new(args)?;
    let mut events = Events::with_capacity(1024);
    let tick = Duration::from_micros(args.tick_us);
    let mut sent_at = Instant::now();
    loop {
        let timeout = (!server.ready.ends.is_empty()).then(|| tick.saturating_sub(sent_at.elapsed()));
        match server.poll.poll(&mut events, timeout) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            match event.token() {
                LISTENER => server.accept()?,
                COMMITTED => {
                    while let Ok(batch) = server.committed.try_recv() {
                        server.ready.append(batch);
                    }
                }
                Token(id) => server.serve(id, event.is_readable(), event.is_writable())?,
            }
        }
        server.commit()?;
        server.acknowledge();
        if tick.is_zero() || sent_at.elapsed() >= tick {
            sent_at = Instant::now();
            server.deliver();
        }
    }
}

struct Server<'a> {
    args: &'a LimitArgs,
    /// Where stored events are.
    store: PathBuf,
    poll: Poll,
    listener: TcpListener,
    /// None while a thread of its own commits, or where nothing is logged.
    log: Option<Log>,
    logged: bool,
    to_committer: Sender<Batch>,
    committed: Receiver<Batch>,
    conns: Vec<Option<Conn>>,
    free: Vec<usize>,
    subscribers: Vec<usize>,
    scratch: Vec<u8>,
    /// What this round has read.
    fresh: Batch,
    /// What may be acknowledged and sent.
    ready: Batch,
    seq: u64,
}

impl<'a> Server<'a> {
    fn new(args: &'a LimitArgs) -> Result<Self> {
        let store = replay::make_store(args)?;
        let mut log = args.log.as_deref().map(|path| Log::open(path, args)).transpose()?;
        let logged = log.is_some();
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(args.listen)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let (to_committer, todo) = channel();
        let (done, committed) = channel();
        if let Some(log) = log.take_if(|_| args.overlap) {
            let waker = Waker::new(poll.registry(), COMMITTED)?;
            std::thread::spawn(move || committer(log, &todo, &done, &waker));
        }
        Ok(Self {
            args,
            store,
            poll,
            listener,
            log,
            logged,
            to_committer,
            committed,
            conns: vec![None],
            free: Vec::new(),
            subscribers: Vec::new(),
            scratch: vec![0u8; 256 * 1024],
            fresh: Batch::default(),
            ready: Batch::default(),
            seq: 0,
        })
    }

    fn accept(&mut self) -> Result<()> {
        while let Ok((mut socket, _)) = self.listener.accept() {
            socket.set_nodelay(!self.args.nagle)?;
            let slot = self.free.pop().unwrap_or_else(|| {
                self.conns.push(None);
                self.conns.len() - 1
            });
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, Token(slot), both)?;
            self.conns[slot] = Some(Conn {
                socket,
                inbuf: Vec::new(),
                backlog: Vec::new(),
                subscriber: false,
            });
        }
        Ok(())
    }

    /// Does what a connection is ready for.
    fn serve(&mut self, id: usize, readable: bool, writable: bool) -> Result<()> {
        let Some(mut conn) = self.conns[id].take() else {
            return Ok(());
        };
        let mut alive = !writable || conn.flush();
        while alive && readable {
            match conn.socket.read(&mut self.scratch) {
                Ok(0) => alive = false,
                Ok(n) => conn.inbuf.extend_from_slice(&self.scratch[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(_) => alive = false,
            }
        }
        let mut used = 0;
        while alive {
            let rest = &conn.inbuf[used..];
            match parse(rest) {
                Ok(Some((Request::Subscribe, len))) => {
                    used += len;
                    conn.subscriber = true;
                    self.subscribers.push(id);
                    alive = conn.send(SSE_HEAD);
                }
                Ok(Some((Request::Replay, _))) => {
                    self.free.push(id);
                    return self.hand_over(conn.socket);
                }
                Ok(Some((Request::Publish { head, body }, len))) => {
                    let (fresh, logged) = (&mut self.fresh, self.logged);
                    for record in rest[head..head + body].split(|b| *b == b'\n').filter(|r| !r.is_empty()) {
                        self.seq += 1;
                        fresh.add(self.seq, record, logged);
                    }
                    fresh.acks.push(id);
                    used += len;
                }
                Ok(None) => break,
                Err(_) => alive = false,
            }
        }
        if alive {
            conn.inbuf.drain(..used);
            self.conns[id] = Some(conn);
        } else {
            if conn.subscriber {
                self.subscribers.retain(|s| *s != id);
            }
            self.free.push(id);
        }
        Ok(())
    }

    /// A replay blocks, so it gets a thread.
    fn hand_over(&self, mut socket: TcpStream) -> Result<()> {
        self.poll.registry().deregister(&mut socket)?;
        let (store, kind) = (self.store.clone(), self.args.replay_from);
        std::thread::spawn(move || replay::replay(&store, kind, socket));
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        if self.fresh.acks.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.fresh);
        if self.logged && self.log.is_none() {
            self.to_committer.send(batch)?;
            return Ok(());
        }
        if let Some(log) = &mut self.log {
            log.commit(&batch.records)?;
        }
        self.ready.append(batch);
        Ok(())
    }

    fn acknowledge(&mut self) {
        for same in self.ready.acks.chunk_by(|a, b| a == b) {
            let Some(conn) = self.conns[same[0]].as_mut() else {
                continue;
            };
            if self.args.coalesce {
                conn.send(&OK.repeat(same.len()));
            } else {
                for _ in same {
                    conn.send(OK);
                }
            }
        }
        self.ready.acks.clear();
    }

    fn deliver(&mut self) {
        let ready = &mut self.ready;
        if self.args.coalesce {
            ready.ends.drain(..ready.ends.len().saturating_sub(1));
        }
        let mut start = 0;
        for end in ready.ends.drain(..) {
            for id in &self.subscribers {
                if let Some(conn) = self.conns[*id].as_mut() {
                    conn.send(&ready.frames[start..end]);
                }
            }
            start = end;
        }
        ready.frames.clear();
    }
}

fn frame(out: &mut Vec<u8>, seq: u64, record: &[u8]) {
    write!(out, "id: {seq}\ndata: ").expect("a Vec takes all bytes");
    out.extend_from_slice(record);
    out.extend_from_slice(b"\n\n");
}
