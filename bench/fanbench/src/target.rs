//! What is measured and how to talk to it: bytes in, bytes out, no I/O here.

use crate::payload::write_event;
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use std::net::{SocketAddr, ToSocketAddrs};

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum Proto {
    /// POST to publish, SSE GET to subscribe.
    Http,
    /// Core NATS: no storage, no acknowledgement.
    Nats,
    /// NATS JetStream, file storage, one ephemeral push consumer per subscriber.
    Jetstream,
    /// Redis Streams: XADD, XREAD BLOCK.
    Redis,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum BatchStyle {
    Ndjson,
    Array,
}

#[derive(Args, Clone, Debug)]
pub struct Target {
    #[arg(long, value_enum, default_value = "http")]
    pub proto: Proto,
    /// Where to POST events (http).
    #[arg(long, default_value = "")]
    pub pub_url: String,
    /// Where to GET the event stream (http); {s} is the subscriber's session.
    #[arg(long, default_value = "")]
    pub sub_url: String,
    /// HOST:PORT (nats, jetstream, redis).
    #[arg(long, default_value = "")]
    pub addr: String,
    /// Bearer token, sent with publish and subscribe requests.
    #[arg(long)]
    pub token: Option<String>,
    /// Extra header for publish requests, "Name: value". Repeatable.
    #[arg(long)]
    pub pub_header: Vec<String>,
    /// Extra header for subscribe requests, "Name: value". Repeatable.
    #[arg(long)]
    pub sub_header: Vec<String>,
    #[arg(long, default_value = "application/json")]
    pub content_type: String,
    /// One event in a publish body: {p} payload, {j} payload escaped for a JSON string, {u} URL-encoded, {s} session.
    #[arg(long, default_value = "{p}")]
    pub item: String,
    /// How several events share one POST.
    #[arg(long, value_enum, default_value = "ndjson")]
    pub batch_style: BatchStyle,
    /// How many sessions {s} names, in turn: event n and subscriber n belong to session n modulo this.
    #[arg(long, default_value_t = 1)]
    pub sessions: u64,
    /// Where a JetStream publisher gets its acknowledgements; one per connection.
    #[arg(skip = "_INBOX.bench.ack".to_string())]
    pub ack_inbox: String,
}

pub struct Url {
    pub host: String,
    pub path: String,
}

pub fn parse_url(url: &str) -> Result<Url> {
    let rest = url
        .strip_prefix("http://")
        .with_context(|| format!("not an http:// URL: {url:?}"))?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    Ok(Url {
        host: host.into(),
        path: if path.is_empty() { "/".into() } else { path.into() },
    })
}

fn resolve(host: &str) -> Result<SocketAddr> {
    let addr = host
        .to_socket_addrs()?
        .next()
        .with_context(|| format!("no address for {host}"))?;
    ensure!(addr.ip().is_loopback(), "{addr} is not a loopback address");
    Ok(addr)
}

const SUBJECT: &str = "bench.t";
const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n";
pub const REDIS_KEY: &str = "bench";

impl Target {
    pub fn pub_addr(&self) -> Result<SocketAddr> {
        match self.proto {
            Proto::Http => resolve(&parse_url(&self.pub_url)?.host),
            _ => resolve(&self.addr),
        }
    }

    pub fn sub_addr(&self) -> Result<SocketAddr> {
        match self.proto {
            Proto::Http => resolve(&parse_url(&self.sub_url)?.host),
            _ => resolve(&self.addr),
        }
    }

    fn common_headers(&self, extra: &[String]) -> String {
        let mut headers: String = extra.iter().map(|h| format!("{h}\r\n")).collect();
        if let Some(token) = &self.token {
            headers += &format!("Authorization: Bearer {token}\r\n");
        }
        headers
    }

    /// Sent once on a publisher's connection.
    pub fn pub_hello(&self) -> String {
        match self.proto {
            Proto::Http | Proto::Redis => String::new(),
            Proto::Nats => CONNECT.into(),
            Proto::Jetstream => format!("{CONNECT}SUB {} 1\r\n", self.ack_inbox),
        }
    }

    /// Sent once before a workload: JetStream needs its stream before anyone can subscribe.
    pub fn setup(&self) -> Option<String> {
        let stream = format!(
            r#"{{"name":"bench","subjects":["{SUBJECT}"],"storage":"file","retention":"limits","max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"discard":"old","num_replicas":1}}"#
        );
        (self.proto == Proto::Jetstream).then(|| {
            format!(
                "{CONNECT}PUB $JS.API.STREAM.CREATE.bench {}\r\n{stream}\r\n",
                stream.len()
            )
        })
    }

    /// The session that event `n`, or subscriber `n`, belongs to.
    pub fn session(&self, n: u64) -> u64 {
        n % self.sessions.max(1)
    }

    /// Sent once on a connection of subscriber `index`.
    pub fn sub_hello(&self, index: u64, from_start: bool) -> Result<String> {
        Ok(match self.proto {
            Proto::Http => {
                let url = parse_url(&self.sub_url.replace("{s}", &format!("s{}", self.session(index))))?;
                format!(
                    "GET {} HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n{}\r\n",
                    url.path,
                    url.host,
                    self.common_headers(&self.sub_header)
                )
            }
            Proto::Nats => format!("{CONNECT}SUB {SUBJECT} 1\r\nPING\r\n"),
            Proto::Jetstream => {
                let inbox = format!("_INBOX.bench.{}.{index}", std::process::id());
                let policy = if from_start { "all" } else { "new" };
                let consumer = format!(
                    r#"{{"stream_name":"bench","config":{{"deliver_subject":"{inbox}","deliver_policy":"{policy}","ack_policy":"none","replay_policy":"instant","mem_storage":true}}}}"#
                );
                format!(
                    "{CONNECT}SUB {inbox} 1\r\nPUB $JS.API.CONSUMER.CREATE.bench {inbox} {}\r\n{consumer}\r\nPING\r\n",
                    consumer.len()
                )
            }
            Proto::Redis => redis_read(if from_start { "0" } else { "$" }),
        })
    }

    /// Appends one publish request that carries events `first..first + count`.
    pub fn encode(&self, out: &mut Vec<u8>, first: u64, count: u64, t_ns: u64) {
        let mut event = Vec::with_capacity(320);
        match self.proto {
            Proto::Http => {
                let mut body = Vec::with_capacity(320 * count as usize);
                let array = self.batch_style == BatchStyle::Array && count > 1;
                for n in first..first + count {
                    if n > first {
                        body.push(if array { b',' } else { b'\n' });
                    } else if array {
                        body.push(b'[');
                    }
                    event.clear();
                    write_event(&mut event, n, t_ns);
                    fill(&mut body, &self.item, &event, self.session(n));
                }
                if array {
                    body.push(b']');
                }
                let url = parse_url(&self.pub_url).expect("checked by pub_addr");
                let head = format!(
                    "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}\r\n",
                    url.path,
                    url.host,
                    self.content_type,
                    body.len(),
                    self.common_headers(&self.pub_header)
                );
                out.extend_from_slice(head.as_bytes());
                out.extend_from_slice(&body);
            }
            Proto::Nats | Proto::Jetstream => {
                let reply = if self.proto == Proto::Jetstream {
                    &self.ack_inbox
                } else {
                    ""
                };
                for n in first..first + count {
                    event.clear();
                    write_event(&mut event, n, t_ns);
                    out.extend_from_slice(format!("PUB {SUBJECT} {reply} {}\r\n", event.len()).as_bytes());
                    out.extend_from_slice(&event);
                    out.extend_from_slice(b"\r\n");
                }
            }
            Proto::Redis => {
                for n in first..first + count {
                    event.clear();
                    write_event(&mut event, n, t_ns);
                    out.extend_from_slice(
                        format!(
                            "*5\r\n$4\r\nXADD\r\n${}\r\n{REDIS_KEY}\r\n$1\r\n*\r\n$1\r\nd\r\n${}\r\n",
                            REDIS_KEY.len(),
                            event.len()
                        )
                        .as_bytes(),
                    );
                    out.extend_from_slice(&event);
                    out.extend_from_slice(b"\r\n");
                }
            }
        }
    }

    /// Replies that one publish request of `batch` events earns.
    pub fn replies_per_request(&self, batch: u64) -> u64 {
        match self.proto {
            Proto::Http => 1,
            Proto::Nats => 0,
            Proto::Jetstream | Proto::Redis => batch,
        }
    }

    /// Takes the complete replies off the front of `buf` and counts them; a refusal is an error.
    pub fn take_replies(&self, buf: &mut Vec<u8>) -> Result<u64> {
        let mut used = 0;
        let mut replies = 0;
        loop {
            let rest = &buf[used..];
            let step = match self.proto {
                Proto::Http => http_reply(rest)?,
                Proto::Nats | Proto::Jetstream => nats_reply(rest)?,
                Proto::Redis => {
                    ensure!(rest.first() != Some(&b'-'), "redis: {}", String::from_utf8_lossy(rest));
                    resp_end(rest, 0).map(|end| (end, 1))
                }
            };
            let Some((len, count)) = step else { break };
            used += len;
            replies += count;
        }
        buf.drain(..used);
        Ok(replies)
    }
}

pub fn redis_read(after: &str) -> String {
    format!(
        "*8\r\n$5\r\nXREAD\r\n$5\r\nCOUNT\r\n$4\r\n1000\r\n$5\r\nBLOCK\r\n$1\r\n0\r\n$7\r\nSTREAMS\r\n${}\r\n{REDIS_KEY}\r\n${}\r\n{after}\r\n",
        REDIS_KEY.len(),
        after.len()
    )
}

fn fill(out: &mut Vec<u8>, template: &str, event: &[u8], session: u64) {
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at..];
        let skip = match rest.get(..3) {
            Some("{p}") => {
                out.extend_from_slice(event);
                3
            }
            Some("{j}") => {
                for &b in event {
                    if b == b'"' || b == b'\\' {
                        out.push(b'\\');
                    }
                    out.push(b);
                }
                3
            }
            Some("{u}") => {
                for &b in event {
                    if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
                        out.push(b);
                    } else {
                        out.extend_from_slice(format!("%{b:02X}").as_bytes());
                    }
                }
                3
            }
            Some("{s}") => {
                out.extend_from_slice(format!("s{session}").as_bytes());
                3
            }
            _ => {
                out.push(b'{');
                1
            }
        };
        rest = &rest[skip..];
    }
    out.extend_from_slice(rest.as_bytes());
}

/// Length of the first complete HTTP response in `buf`.
fn http_reply(buf: &[u8]) -> Result<Option<(usize, u64)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(buf)? else {
        return Ok(None);
    };
    let code = response.code.unwrap_or(0);
    ensure!(
        (200..300).contains(&code),
        "publish refused: {}",
        String::from_utf8_lossy(&buf[..buf.len().min(600)])
    );
    let header = |name: &str| {
        response
            .headers
            .iter()
            .find(|h| h.name.eq_ignore_ascii_case(name))
            .map(|h| String::from_utf8_lossy(h.value).to_ascii_lowercase())
    };
    let end = if let Some(length) = header("content-length") {
        head + length.trim().parse::<usize>()?
    } else if header("transfer-encoding").is_some_and(|v| v.contains("chunked")) {
        let mut dechunk = Dechunk::default();
        let used = dechunk.feed(&buf[head..], |_| ());
        if !dechunk.done {
            return Ok(None);
        }
        head + used
    } else if code == 204 {
        head
    } else {
        bail!("reply without a length: {}", String::from_utf8_lossy(&buf[..head]));
    };
    Ok((buf.len() >= end).then_some((end, 1)))
}

/// One NATS protocol line, with its payload if it has one.
fn nats_reply(buf: &[u8]) -> Result<Option<(usize, u64)>> {
    let Some(eol) = memchr::memmem::find(buf, b"\r\n") else {
        return Ok(None);
    };
    let line = &buf[..eol];
    ensure!(!line.starts_with(b"-ERR"), "nats: {}", String::from_utf8_lossy(line));
    if !line.starts_with(b"MSG ") {
        return Ok(Some((eol + 2, 0)));
    }
    let size: usize = std::str::from_utf8(line)?.rsplit(' ').next().unwrap_or("").parse()?;
    let end = eol + 2 + size + 2;
    if buf.len() < end {
        return Ok(None);
    }
    let body = &buf[eol + 2..end];
    ensure!(
        memchr::memmem::find(body, b"\"error\"").is_none(),
        "jetstream: {}",
        String::from_utf8_lossy(body)
    );
    Ok(Some((end, 1)))
}

/// End of the RESP value that starts at `at`, or None while it is incomplete.
pub fn resp_end(buf: &[u8], at: usize) -> Option<usize> {
    let eol = at + memchr::memmem::find(buf.get(at..)?, b"\r\n")?;
    let kind = *buf.get(at)?;
    let number = || std::str::from_utf8(&buf[at + 1..eol]).ok()?.parse::<i64>().ok();
    match kind {
        b'$' => {
            let end = eol + 2 + number().filter(|n| *n >= 0).map_or(0, |n| n as usize + 2);
            (buf.len() >= end).then_some(end)
        }
        b'*' => (0..number()?.max(0)).try_fold(eol + 2, |at, _| resp_end(buf, at)),
        _ => Some(eol + 2),
    }
}

/// Strips HTTP/1.1 chunk framing from a stream of any split.
#[derive(Default)]
pub struct Dechunk {
    left: usize,
    line: Vec<u8>,
    in_data: bool,
    last: bool,
    pub done: bool,
}

impl Dechunk {
    /// Hands the data in `buf` to `data` and returns how many bytes it used (all, unless the body ended).
    pub fn feed(&mut self, buf: &[u8], mut data: impl FnMut(&[u8])) -> usize {
        let mut at = 0;
        while at < buf.len() && !self.done {
            if self.in_data {
                let take = self.left.min(buf.len() - at);
                data(&buf[at..at + take]);
                at += take;
                self.left -= take;
                self.in_data = self.left > 0;
                continue;
            }
            // A line: the CRLF after data (empty), a size, or a trailer.
            let eol = memchr::memchr(b'\n', &buf[at..]);
            let end = eol.map_or(buf.len(), |p| at + p);
            self.line.extend_from_slice(&buf[at..end]);
            at = if eol.is_some() { end + 1 } else { end };
            if eol.is_none() {
                break;
            }
            let line = std::mem::take(&mut self.line);
            let text = line.split(|b| *b == b'\r' || *b == b';').next().unwrap_or(b"");
            if text.is_empty() {
                self.done = self.last;
            } else if !self.last {
                let size = std::str::from_utf8(text)
                    .ok()
                    .and_then(|s| usize::from_str_radix(s.trim(), 16).ok());
                self.left = size.unwrap_or(0);
                self.last = self.left == 0;
                self.in_data = self.left > 0;
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dechunks_at_every_split() {
        let stream = b"5\r\nhello\r\nA;x=y\r\n, chunked!\r\n0\r\n\r\nNEXT";
        for cut in 0..stream.len() {
            let mut dechunk = Dechunk::default();
            let mut body = Vec::new();
            let mut used = dechunk.feed(&stream[..cut], |d| body.extend_from_slice(d));
            used += dechunk.feed(&stream[used.min(cut)..], |d| body.extend_from_slice(d));
            assert_eq!(body, b"hello, chunked!", "cut at {cut}");
            assert_eq!(&stream[used..], b"NEXT", "cut at {cut}");
        }
    }

    #[test]
    fn reads_resp_values() {
        let value = b"*2\r\n$3\r\nabc\r\n*1\r\n:7\r\n+OK\r\n";
        assert_eq!(resp_end(value, 0), Some(value.len() - 5));
        assert_eq!(resp_end(&value[..10], 0), None);
        assert_eq!(resp_end(b"*-1\r\n", 0), Some(5));
    }

    #[test]
    fn fills_templates() {
        let mut out = Vec::new();
        fill(&mut out, r#"{"c":"data: {j}\n","s":"{s}"}&d={u}"#, br#"{"a":1}"#, 7);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"c":"data: {\"a\":1}\n","s":"s7"}&d=%7B%22a%22%3A1%7D"#
        );
    }

    #[test]
    fn counts_http_replies() {
        let target = Target {
            proto: Proto::Http,
            pub_url: String::new(),
            sub_url: String::new(),
            addr: String::new(),
            token: None,
            pub_header: vec![],
            sub_header: vec![],
            content_type: String::new(),
            item: String::new(),
            batch_style: BatchStyle::Ndjson,
            sessions: 1,
            ack_inbox: String::new(),
        };
        let mut buf = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nHTTP/1.1 2".to_vec();
        assert_eq!(target.take_replies(&mut buf).unwrap(), 3);
        assert_eq!(buf, b"HTTP/1.1 2");
        assert!(
            target
                .take_replies(&mut b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n".to_vec())
                .is_err()
        );
    }
}
