//! The publisher against a gateway that a script plays, so that each fault comes when it is asked for.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use turnwire_proto::{EventId, Incoming, Kind, Name, NewEvent, Object, Timestamp};

use super::*;
use crate::spool::{Limits, Meta};

/// What a scripted gateway does with the next request; when the script is over it takes everything.
enum Step {
    /// Answers this without writing anything.
    Say(u16, &'static str, &'static str),
    /// Writes all, and closes the connection instead of answering.
    WriteAndCut,
}

/// A stand-in for a gateway with faults: writes an id once, refuses what contains `poison`.
#[derive(Default)]
struct Scripted {
    script: Mutex<VecDeque<Step>>,
    stored: Mutex<Vec<(EventId, String)>>,
    requests: AtomicUsize,
    token: &'static str,
}

impl Scripted {
    async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut connections = JoinSet::new();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let me = Arc::clone(&self);
            connections.spawn(async move { me.connection(socket).await });
        }
    }

    async fn connection(&self, mut socket: TcpStream) {
        let mut input = Vec::new();
        while let Some((head, body)) = request(&mut socket, &mut input).await {
            self.requests.fetch_add(1, Ordering::SeqCst);
            let step = lock(&self.script).pop_front();
            let (status, extra, reply) = match step {
                Some(Step::Say(status, extra, reply)) => (status, extra.to_owned(), reply.to_owned()),
                Some(Step::WriteAndCut) => {
                    self.write(&body);
                    return;
                }
                None if !self.token.is_empty() && !head.contains(&format!("Bearer {}", self.token)) => {
                    (401, String::new(), error("unauthorized", "no token"))
                }
                None if body.contains("poison") => (400, String::new(), error("bad_request", "poison")),
                None if body.contains("secret") => (403, String::new(), error("forbidden", "not yours")),
                None => {
                    let (written, duplicates) = self.write(&body);
                    let reply = format!(r#"{{"written":{written},"duplicates":{duplicates}}}"#);
                    (200, String::new(), reply)
                }
            };
            let text = format!(
                "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{extra}\r\n{reply}",
                reply.len()
            );
            socket.write_all(text.as_bytes()).await.unwrap();
        }
    }

    fn write(&self, body: &str) -> (u64, u64) {
        let mut stored = lock(&self.stored);
        let (mut written, mut duplicates) = (0, 0);
        for line in body.lines() {
            let event = Incoming::parse(line.as_bytes()).unwrap();
            let id = event.id.unwrap();
            if stored.iter().any(|(other, _)| *other == id) {
                duplicates += 1;
            } else {
                stored.push((id, event.data.get().to_owned()));
                written += 1;
            }
        }
        (written, duplicates)
    }

    fn texts(&self) -> Vec<String> {
        lock(&self.stored).iter().map(|(_, text)| text.clone()).collect()
    }
}

fn error(code: &str, message: &str) -> String {
    format!(r#"{{"error":{{"code":"{code}","message":"{message}","retry":false,"details":{{}}}}}}"#)
}

async fn request(socket: &mut TcpStream, input: &mut Vec<u8>) -> Option<(String, String)> {
    loop {
        let text = String::from_utf8_lossy(input).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            let length: usize = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok())
                .unwrap();
            if rest.len() >= length {
                input.drain(..head.len() + 4 + length);
                return Some((head.to_owned(), rest[..length].to_owned()));
            }
        }
        let mut part = vec![0; 1 << 16];
        match socket.read(&mut part).await {
            Ok(read) if read > 0 => input.extend_from_slice(&part[..read]),
            _ => return None,
        }
    }
}

struct Bench {
    server: Arc<Scripted>,
    addr: SocketAddr,
    root: tempfile::TempDir,
    _tasks: JoinSet<()>,
}

impl Bench {
    async fn new(script: Vec<Step>) -> Self {
        Self::with(Scripted {
            script: Mutex::new(script.into()),
            ..Scripted::default()
        })
        .await
    }

    async fn with(server: Scripted) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (server, addr) = (Arc::new(server), listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&server).serve(listener));
        Self {
            server,
            addr,
            root: tempfile::tempdir().unwrap(),
            _tasks: tasks,
        }
    }

    fn endpoint(&self, token: Option<&str>) -> Arc<Endpoint> {
        Arc::new(Endpoint::new(&format!("http://{}", self.addr), token).unwrap())
    }

    fn spool(&self) -> Arc<Spool> {
        Spool::create(self.root.path(), Meta::new("t", ""), Limits::default()).unwrap()
    }
}

fn note(text: &str) -> NewEvent {
    let data = Object::of(&serde_json::json!({ "t": text }));
    NewEvent::new(Kind::NOTE, Name::new("test").unwrap(), Timestamp::UNIX_EPOCH, data)
}

fn numbers(range: std::ops::Range<u32>) -> Vec<NewEvent> {
    range.map(|n| note(&n.to_string())).collect()
}

fn bodies(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!(r#"{{"t":"{n}"}}"#)).collect()
}

/// A bound for what would hang if a promise broke; nothing measures against it.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn everything_arrives_once_and_in_order_through_faults() {
    let bench = Bench::new(vec![
        Step::Say(503, "retry-after: 0\r\n", ""),
        Step::WriteAndCut,
        Step::Say(200, "", "<html>a captive portal</html>"),
        Step::Say(429, "retry-after: 0\r\n", ""),
    ])
    .await;
    let spool = bench.spool();
    spool.push(&numbers(0..2500));
    let publisher = Publisher::start(Arc::clone(&spool), bench.endpoint(None));
    let flushed = publisher.flush(LONG, Patience::UntilDeadline).await;
    assert_eq!(flushed.left, 0, "{flushed:?}");
    assert_eq!(bench.server.texts(), bodies(0..2500));
    assert_eq!((flushed.status.written, flushed.status.duplicates), (1500, 1000));
    assert_eq!(flushed.status.failures, 4);
    assert!(spool.remove_if_drained().unwrap());
}

#[tokio::test]
async fn what_is_pushed_while_it_runs_is_sent_without_being_asked_for() {
    let bench = Bench::new(vec![]).await;
    let spool = bench.spool();
    let publisher = Publisher::start(Arc::clone(&spool), bench.endpoint(None));
    let mut status = publisher.status();
    for n in 0..50 {
        spool.push(&numbers(n..n + 1));
        let sent = status.wait_for(|status| status.written == u64::from(n) + 1);
        tokio::time::timeout(LONG, sent).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_poisoned_event_is_set_aside_and_the_rest_flows() {
    let bench = Bench::new(vec![]).await;
    let spool = bench.spool();
    spool.push(&numbers(0..700));
    spool.push(&[note("poison")]);
    spool.push(&numbers(700..1500));
    let publisher = Publisher::start(Arc::clone(&spool), bench.endpoint(None));
    let flushed = publisher.flush(LONG, Patience::OneTry).await;
    assert_eq!((flushed.left, flushed.status.rejected), (0, 1), "{flushed:?}");
    assert_eq!(bench.server.texts(), bodies(0..1500));
    let mut path = spool.dir().as_os_str().to_owned();
    path.push(".rejected");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(
        text.contains("bad_request") && text.contains(r#""t":"poison""#),
        "{text}"
    );
}

#[tokio::test]
async fn an_event_larger_than_this_gateway_takes_is_cut_and_says_so() {
    const TOO_LARGE: &str = r#"{"error":{"code":"too_large","message":"x","retry":false,"details":{"limit":2097152}}}"#;
    let bench = Bench::new(vec![Step::Say(413, "", TOO_LARGE)]).await;
    let spool = bench.spool();
    spool.push(&[note(&"x".repeat(3 << 20))]);
    let publisher = Publisher::start(Arc::clone(&spool), bench.endpoint(None));
    let flushed = publisher.flush(LONG, Patience::OneTry).await;
    assert_eq!(
        (flushed.left, flushed.status.rejected, flushed.status.written),
        (0, 0, 1)
    );
    let text = &bench.server.texts()[0];
    assert!(
        text.len() < 1 << 20 && text.contains("\"truncated\":true") && text.contains("\"bytes\":3145736"),
        "{}",
        text.len()
    );
}

#[tokio::test]
async fn where_the_gateway_names_the_bad_line_it_is_found_at_once() {
    const HINT: &str = r#"{"error":{"code":"bad_request","message":"x","retry":false,"details":{"line":301}}}"#;
    let bench = Bench::new(vec![Step::Say(400, "", HINT)]).await;
    let spool = bench.spool();
    spool.push(&numbers(0..300));
    spool.push(&[note("poison")]);
    let publisher = Publisher::start(Arc::clone(&spool), bench.endpoint(None));
    let flushed = publisher.flush(LONG, Patience::OneTry).await;
    assert_eq!((flushed.left, flushed.status.rejected), (0, 1));
    assert_eq!(bench.server.requests.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_token_without_permission_stops_it_and_keeps_every_event() {
    let bench = Bench::new(vec![]).await;
    let spool = bench.spool();
    spool.push(&[note("secret 1"), note("secret 2")]);
    let publisher = Publisher::start(Arc::clone(&spool), bench.endpoint(None));
    let flushed = publisher.flush(LONG, Patience::UntilDeadline).await;
    assert_eq!((flushed.left, flushed.status.rejected), (2, 0));
    assert_eq!(flushed.status.refused.unwrap().code(), Code::Forbidden);
}

#[tokio::test]
async fn an_event_of_a_forbidden_session_is_set_aside_when_others_are_taken() {
    let bench = Bench::new(vec![]).await;
    let spool = bench.spool();
    spool.push(&[note("1"), note("secret"), note("2")]);
    let publisher = Publisher::start(Arc::clone(&spool), bench.endpoint(None));
    let flushed = publisher.flush(LONG, Patience::UntilDeadline).await;
    assert_eq!((flushed.left, flushed.status.rejected), (0, 1), "{flushed:?}");
    assert_eq!(bench.server.texts(), bodies(1..3));
}

#[tokio::test]
async fn a_wrong_token_stops_it_and_a_new_one_is_looked_for() {
    let bench = Bench::with(Scripted {
        token: "new",
        ..Scripted::default()
    })
    .await;
    let spool = bench.spool();
    spool.push(&numbers(0..3));
    let publisher = Publisher::start(Arc::clone(&spool), bench.endpoint(Some("old")));
    let flushed = publisher.flush(LONG, Patience::UntilDeadline).await;
    assert_eq!(flushed.left, 3);
    assert_eq!(flushed.status.refused.unwrap().code(), Code::Unauthorized);
    drop(publisher);

    let data = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(data.path().join(name), text).unwrap();
    put("server.json", &format!(r#"{{"url":"http://{}"}}"#, bench.addr));
    put("local.token", "old");
    let endpoint = Endpoint::local(data.path()).unwrap();
    put("local.token", "new");
    let publisher = Publisher::start(Arc::clone(&spool), Arc::new(endpoint));
    assert_eq!(publisher.flush(LONG, Patience::UntilDeadline).await.left, 0);
}

#[tokio::test]
async fn a_gateway_that_is_not_there_costs_the_flush_one_try() {
    let bench = Bench::new(vec![]).await;
    let spool = bench.spool();
    spool.push(&numbers(0..3));
    struct Nowhere;
    impl Locate for Nowhere {
        fn locate(&self) -> Result<Endpoint, String> {
            Err("no gateway runs".into())
        }
    }
    let publisher = Publisher::start(Arc::clone(&spool), Arc::new(Nowhere));
    let flushed = publisher.flush(LONG, Patience::OneTry).await;
    assert_eq!(flushed.left, 3);
    assert_eq!(flushed.status.trouble.as_deref(), Some("no gateway runs"));
}

#[tokio::test]
async fn orphans_of_the_same_target_are_drained_by_the_next_process_and_their_spools_deleted() {
    let bench = Bench::new(vec![]).await;
    for (target, range) in [("t", 0..3), ("elsewhere", 3..4), ("t", 4..6)] {
        let spool = Spool::create(bench.root.path(), Meta::new(target, ""), Limits::default()).unwrap();
        spool.push(&numbers(range));
    }
    let live = bench.spool();
    live.push(&numbers(9..10));
    let status = watch::Sender::new(Status::default());
    drain_orphans(bench.root.path(), "t", bench.endpoint(None), &status).await;
    assert_eq!(status.borrow().written, 5);
    let mut left: Vec<_> = crate::spool::list(bench.root.path())
        .unwrap()
        .into_iter()
        .map(|found| (found.live, found.meta.target, found.events))
        .collect();
    left.sort();
    assert_eq!(left, [(false, "elsewhere".into(), 1), (true, "t".into(), 1)]);
}
