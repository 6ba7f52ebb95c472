//! Subscribers: one OS thread with its own single-threaded runtime, one small task per connection.

use crate::payload::{Scanner, now_ns};
use crate::target::{Dechunk, Proto, Target, redis_read, resp_end};
use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// What subscriber threads tell the rest of the generator while they run.
#[derive(Default)]
pub struct Shared {
    pub delivered: AtomicU64,
    pub connected: AtomicUsize,
    pub failed: AtomicUsize,
    pub stop: AtomicBool,
}

pub struct Totals {
    pub latency_ns: Histogram<u64>,
    pub received: u64,
    /// Events whose number was not above the last one seen on that connection: late or repeated.
    pub out_of_order: u64,
    /// Events of another session than the subscriber's.
    pub strays: u64,
    /// Connections that ended before the run did.
    pub closed: u64,
}

impl Default for Totals {
    fn default() -> Self {
        let latency_ns = Histogram::new_with_bounds(1, 120_000_000_000, 3).expect("the bounds are in order");
        Self {
            latency_ns,
            received: 0,
            out_of_order: 0,
            strays: 0,
            closed: 0,
        }
    }
}

impl Totals {
    pub fn add(&mut self, other: &Totals) {
        self.latency_ns
            .add(&other.latency_ns)
            .expect("both have the same bounds");
        self.received += other.received;
        self.out_of_order += other.out_of_order;
        self.strays += other.strays;
        self.closed += other.closed;
    }

    pub fn latency_us(&self, quantile: f64) -> f64 {
        self.latency_ns.value_at_quantile(quantile) as f64 / 1e3
    }
}

enum Body {
    Raw,
    Chunked(Dechunk),
}

pub struct Subscription {
    stream: TcpStream,
    body: Body,
    scanner: Scanner,
    /// Bytes read past the response head.
    early: Vec<u8>,
}

/// Connects and waits for the server's word that the subscription stands.
pub async fn subscribe(
    target: &Target,
    addr: SocketAddr,
    source: Option<IpAddr>,
    index: u64,
    from_start: bool,
) -> Result<Subscription> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(ip) = source {
        bind_address_only(&socket, ip)?;
    }
    let mut stream = socket.connect(addr).await.context("connect")?;
    stream.set_nodelay(true)?;
    stream
        .write_all(target.sub_hello(index, from_start)?.as_bytes())
        .await?;
    let mut early = Vec::with_capacity(1024);
    let body = match target.proto {
        Proto::Redis => Body::Raw,
        Proto::Nats | Proto::Jetstream => {
            nats_handshake(&mut stream, &mut early).await?;
            Body::Raw
        }
        Proto::Http => http_handshake(&mut stream, &mut early).await?,
    };
    Ok(Subscription {
        stream,
        body,
        scanner: Scanner::default(),
        early,
    })
}

/// Binds to an address and lets the port be chosen when connecting, per destination: chosen at bind time it would come
/// from one pool for every destination.
fn bind_address_only(socket: &TcpSocket, ip: IpAddr) -> Result<()> {
    let on: libc::c_int = 1;
    let fd = std::os::fd::AsRawFd::as_raw_fd(socket);
    // SAFETY: the descriptor is open, and the value is an int of the length given.
    unsafe {
        libc::setsockopt(
            fd,
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            4,
        );
    }
    Ok(socket.bind(SocketAddr::new(ip, 0))?)
}

async fn nats_handshake(stream: &mut TcpStream, early: &mut Vec<u8>) -> Result<()> {
    loop {
        if let Some(at) = memchr::memmem::find(early, b"PONG\r\n") {
            early.drain(..at + 6);
            return Ok(());
        }
        if let Some(at) = memchr::memmem::find(early, b"-ERR") {
            bail!("nats: {}", String::from_utf8_lossy(&early[at..]));
        }
        if stream.read_buf(early).await? == 0 {
            bail!("closed during the handshake");
        }
    }
}

/// Reads the response head; what came after it stays in `early`.
async fn http_handshake(stream: &mut TcpStream, early: &mut Vec<u8>) -> Result<Body> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 48];
        let mut response = httparse::Response::new(&mut headers);
        if let httparse::Status::Complete(head) = response.parse(early)? {
            if response.code != Some(200) {
                bail!("subscribe refused: {}", String::from_utf8_lossy(early));
            }
            let chunked = response
                .headers
                .iter()
                .any(|h| h.name.eq_ignore_ascii_case("transfer-encoding") && h.value.eq_ignore_ascii_case(b"chunked"));
            early.drain(..head);
            return Ok(if chunked {
                Body::Chunked(Dechunk::default())
            } else {
                Body::Raw
            });
        }
        if stream.read_buf(early).await? == 0 {
            bail!("closed before a response");
        }
    }
}

impl Subscription {
    fn feed(&mut self, bytes: &[u8], event: &mut impl FnMut(u64, u64)) {
        match &mut self.body {
            Body::Raw => self.scanner.feed(bytes, event),
            Body::Chunked(dechunk) => {
                let scanner = &mut self.scanner;
                dechunk.feed(bytes, |data| scanner.feed(data, &mut *event));
            }
        }
    }

    /// Reads until the connection ends; `event` gets every event, `batch` the count after each read.
    pub async fn run(
        &mut self,
        scratch: &RefCell<Vec<u8>>,
        mut event: impl FnMut(u64, u64),
        mut batch: impl FnMut(),
    ) -> Result<()> {
        let early = std::mem::take(&mut self.early);
        self.feed(&early, &mut event);
        drop(early);
        batch();
        loop {
            self.stream.readable().await?;
            let mut scratch = scratch.borrow_mut();
            match self.stream.try_read(&mut scratch) {
                Ok(0) => return Ok(()),
                Ok(n) => {
                    self.feed(&scratch[..n], &mut event);
                    batch();
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Redis Streams: every reply has to be answered by the next XREAD, from the last id seen.
    pub async fn run_redis(&mut self, mut event: impl FnMut(u64, u64), mut batch: impl FnMut()) -> Result<()> {
        let mut buf = std::mem::take(&mut self.early);
        loop {
            while let Some(end) = resp_end(&buf, 0) {
                let reply = &buf[..end];
                if reply[0] == b'-' {
                    bail!("redis: {}", String::from_utf8_lossy(reply));
                }
                self.scanner.feed(reply, &mut event);
                let marker = b"\r\n*2\r\n$1\r\nd\r\n";
                let at = memchr::memmem::rfind(reply, marker).context("an XREAD reply without entries")?;
                let from = memchr::memrchr(b'\n', &reply[..at]).map_or(0, |p| p + 1);
                let next = redis_read(std::str::from_utf8(&reply[from..at])?);
                self.stream.write_all(next.as_bytes()).await?;
                buf.drain(..end);
                batch();
            }
            if self.stream.read_buf(&mut buf).await? == 0 {
                return Ok(());
            }
        }
    }
}

/// Opens `count` subscriptions from this thread and reads them until `shared.stop`.
pub fn subscriber_thread(
    target: &Target,
    first: usize,
    count: usize,
    source: Option<IpAddr>,
    shared: Arc<Shared>,
) -> Result<Totals> {
    let reader = Rc::new(Reader {
        addr: target.sub_addr()?,
        target: target.clone(),
        source,
        totals: RefCell::new(Totals::default()),
        scratch: RefCell::new(vec![0u8; 256 * 1024]),
        gate: tokio::sync::Semaphore::new(64),
        shared,
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        for index in first..first + count {
            let reader = reader.clone();
            tokio::task::spawn_local(async move { reader.read(index as u64).await });
        }
        while !reader.shared.stop.load(Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    drop(local);
    Ok(reader.totals.take())
}

/// What the subscribers of one thread share.
struct Reader {
    addr: SocketAddr,
    target: Target,
    source: Option<IpAddr>,
    totals: RefCell<Totals>,
    scratch: RefCell<Vec<u8>>,
    /// Handshakes at a time: more of them would overflow a server's backlog.
    gate: tokio::sync::Semaphore,
    shared: Arc<Shared>,
}

/// What came since the last batch was counted.
#[derive(Default)]
struct Pending {
    now_ns: u64,
    received: u64,
    out_of_order: u64,
    strays: u64,
}

impl Reader {
    async fn open(&self, index: u64) -> Result<Subscription> {
        let _permit = self.gate.acquire().await?;
        let opening = subscribe(&self.target, self.addr, self.source, index, false);
        tokio::time::timeout(Duration::from_secs(20), opening).await?
    }

    async fn read(&self, index: u64) {
        let mut subscription = match self.open(index).await {
            Ok(subscription) => subscription,
            Err(e) => {
                if self.shared.failed.fetch_add(1, Relaxed) == 0 {
                    eprintln!("subscriber {index}: {e:#}");
                }
                return;
            }
        };
        self.shared.connected.fetch_add(1, Relaxed);
        let (mut next, session) = (0u64, self.target.session(index));
        let pending = RefCell::new(Pending::default());
        let event = |n: u64, t_ns: u64| {
            let mut pending = pending.borrow_mut();
            if pending.received == 0 {
                pending.now_ns = now_ns();
            }
            pending.received += 1;
            pending.out_of_order += u64::from(n < next);
            pending.strays += u64::from(self.target.session(n) != session);
            next = next.max(n + 1);
            let latency = pending.now_ns.saturating_sub(t_ns).max(1);
            self.totals.borrow_mut().latency_ns.saturating_record(latency);
        };
        let batch = || {
            let pending = pending.take();
            let mut totals = self.totals.borrow_mut();
            totals.received += pending.received;
            totals.out_of_order += pending.out_of_order;
            totals.strays += pending.strays;
            self.shared.delivered.fetch_add(pending.received, Relaxed);
        };
        let ended = match self.target.proto {
            Proto::Redis => subscription.run_redis(event, batch).await,
            _ => subscription.run(&self.scratch, event, batch).await,
        };
        self.totals.borrow_mut().closed += 1;
        if let Err(e) = ended {
            eprintln!("subscriber {index}: {e:#}");
        }
    }
}
