//! Notification, as a webhook and an ntfy server on this machine receive it.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
    task::JoinSet,
};
use turnwire_server::config::Token;

use crate::{
    approvals::request,
    world::{World, within},
};

/// One request that was received.
#[derive(Clone, Debug)]
struct Got {
    line: String,
    headers: HashMap<String, String>,
    body: Value,
}

/// Of a [`Receiver`]: answer 503 when the test says so.
const HOLD: u16 = 0;

/// A server that takes down what it is told and answers what it was told to, else 200.
struct Receiver {
    at: SocketAddr,
    release: Arc<Notify>,
    answers: Arc<Mutex<VecDeque<u16>>>,
    got: mpsc::Receiver<Got>,
    // Ends with it.
    _tasks: JoinSet<()>,
}

impl Receiver {
    async fn start(answers: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (tell, got) = mpsc::channel(64);
        let answers: Arc<Mutex<VecDeque<u16>>> = Arc::new(Mutex::new(answers.iter().copied().collect()));
        let (script, release) = (answers.clone(), Arc::<Notify>::default());
        let released = release.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Some((mut stream, one)) = read(stream).await else {
                    continue;
                };
                let mut status = script.lock().unwrap().pop_front().unwrap_or(200);
                let _ = tell.send(one).await;
                if status == HOLD {
                    released.notified().await;
                    status = 503;
                }
                let reply = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let _ = stream.write_all(reply.as_bytes()).await;
            }
        });
        Self {
            at,
            release,
            answers,
            got,
            _tasks: tasks,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    async fn next(&mut self) -> Got {
        within("a notification", self.got.recv()).await.unwrap()
    }

    /// Nothing more has come than was taken.
    fn nothing(&mut self) {
        assert!(self.got.try_recv().is_err());
    }
}

async fn read(mut stream: TcpStream) -> Option<(TcpStream, Got)> {
    let mut input = Vec::new();
    let end = loop {
        if let Some(at) = input.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at;
        }
        (stream.read_buf(&mut input).await.ok()? > 0).then_some(())?;
    };
    let head = String::from_utf8(input.drain(..end + 4).collect()).ok()?;
    let mut lines = head.lines();
    let line = lines.next()?.to_owned();
    let headers: HashMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers.get("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
    while input.len() < length {
        (stream.read_buf(&mut input).await.ok()? > 0).then_some(())?;
    }
    let body = serde_json::from_slice(&input).unwrap_or(Value::Null);
    Some((stream, Got { line, headers, body }))
}

async fn world(change: impl FnOnce(&mut turnwire_server::config::NotifyConfig)) -> World {
    World::with(|config| {
        config.notify.public_url = Some("https://agents.example.org/wire/".into());
        change(&mut config.notify);
    })
    .await
}

#[tokio::test]
async fn a_webhook_is_told_of_what_waits_and_of_how_it_ended() {
    let mut hook = Receiver::start(&[]).await;
    let world = world(|notify| {
        notify.webhook = Some(hook.url("/hook?key=1"));
        notify.webhook_token = Some(Token::new("sesame".into()));
    })
    .await;
    let prompt =
        json!({"type": "turn_start", "session_id": "s 1/é", "turn_id": "t", "data": {"body": "Fix the\ntests"}});
    world.publish(&json!([prompt, request("s 1/é", "r?1", "Bash")])).await;
    let asked = hook.next().await;
    assert_eq!(asked.line, "POST /hook?key=1 HTTP/1.1");
    assert_eq!(asked.headers["authorization"], "Bearer sesame");
    assert_eq!(asked.headers["content-type"], "application/json");
    let list = world.get("/api/approvals").await.ok();
    let link = "https://agents.example.org/wire/#/session/s%201%2F%C3%A9?approval=r%3F1";
    assert_eq!(
        asked.body,
        json!({"kind": "approval_request", "approval": list["approvals"][0], "session": "Fix the tests", "link": link})
    );
    let many = json!({"ids": ["r?1"], "decision": "deny", "message": "no"});
    let decided = world.decide_many(&world.admin, &many).await.ok();
    let over = hook.next().await;
    assert_eq!(over.body["kind"], "approval_decision");
    assert_eq!(over.body["approval"], decided["results"][0]["approval"]);
    world
        .metric("turnwire_notifications_sent_total{to=\"webhook\"} 1")
        .await;
    hook.nothing();
}

#[tokio::test]
async fn ntfy_shows_what_would_run_and_takes_it_back_when_it_is_over() {
    let mut ntfy = Receiver::start(&[]).await;
    let world = world(|notify| {
        notify.ntfy = Some(ntfy.url("/push/topic"));
        notify.ntfy_token = Some(Token::new("tk_1".into()));
    })
    .await;
    let mut one = request("s", "r", "Bash");
    one["data"]["arguments"] = json!({"description": "d", "command": "cargo test\nrm -rf /"});
    world.publish(&one).await;
    let asked = ntfy.next().await;
    assert_eq!(
        asked.line, "POST /push HTTP/1.1",
        "its JSON goes to the server, not to the topic"
    );
    assert_eq!(asked.headers["authorization"], "Bearer tk_1");
    let sequence = asked.body["sequence_id"].as_str().unwrap().to_owned();
    assert!(sequence.len() <= 64 && sequence.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    assert_eq!(
        asked.body,
        json!({
            "topic": "topic", "title": "s", "message": "Bash: cargo test", "priority": 4, "sequence_id": sequence,
            "click": "https://agents.example.org/wire/#/session/s?approval=r",
        })
    );
    let mut two = request("s", "r2", "Bash");
    two["data"]["expires_at"] = json!("2020-01-01T00:00:00Z");
    world.publish(&two).await;
    world.decide("r", &json!({"decision": "approve"})).await.ok();
    let over = ntfy.next().await;
    assert_eq!(over.line, format!("PUT /push/topic/{sequence}/clear HTTP/1.1"));
    assert_eq!(over.headers["authorization"], "Bearer tk_1");
    // What was over when it was come to was never told.
    world.decided("r2").await;
    world.publish(&request("s", "r3", "Write")).await;
    assert_eq!(ntfy.next().await.body["message"], "Write: make");
}

#[tokio::test]
async fn what_a_target_could_not_take_is_told_again_unless_it_is_over_by_then() {
    let mut hook = Receiver::start(&[401, HOLD]).await;
    let world = world(|notify| notify.webhook = Some(hook.url("/"))).await;
    world.publish(&request("s", "first", "Bash")).await;
    for _ in 0..2 {
        assert_eq!(hook.next().await.body["approval"]["id"], "first");
    }
    // Before the next try both are decided, and another is asked.
    world.publish(&request("s", "second", "Bash")).await;
    let many = json!({"ids": ["first", "second"], "decision": "deny"});
    world.decide_many(&world.admin, &many).await.ok();
    world.publish(&request("s", "third", "Bash")).await;
    hook.release.notify_one();
    let next = hook.next().await.body;
    assert_eq!(
        (&next["kind"], &next["approval"]["id"]),
        (&json!("approval_request"), &json!("third"))
    );
    world
        .metric("turnwire_notifications_failed_total{to=\"webhook\"} 2")
        .await;
    // One that will never be taken is passed over.
    hook.answers.lock().unwrap().push_back(400);
    world
        .publish(&json!([request("s", "fourth", "Bash"), request("s", "fifth", "Bash")]))
        .await;
    assert_eq!(hook.next().await.body["approval"]["id"], "fourth");
    assert_eq!(hook.next().await.body["approval"]["id"], "fifth");
}

#[tokio::test]
async fn a_restart_tells_what_was_not_told_and_takes_back_what_was() {
    let mut hook = Receiver::start(&[]).await;
    let mut world = world(|notify| notify.webhook = Some(hook.url("/"))).await;
    world.publish(&request("s", "told", "Bash")).await;
    assert_eq!(hook.next().await.body["approval"]["id"], "told");
    world
        .metric("turnwire_notifications_sent_total{to=\"webhook\"} 1")
        .await;
    hook.answers.lock().unwrap().push_back(HOLD);
    world.publish(&request("s", "not told", "Bash")).await;
    assert_eq!(hook.next().await.body["approval"]["id"], "not told");
    // It ends while it waits for the answer.
    world.restart_without_views().await;
    hook.release.notify_one();
    let again = hook.next().await.body;
    assert_eq!(again["approval"]["id"], "not told", "and not what was told before");
    world.decide("told", &json!({"decision": "deny"})).await.ok();
    let over = hook.next().await.body;
    assert_eq!(
        (&over["kind"], &over["approval"]["id"]),
        (&json!("approval_decision"), &json!("told"))
    );
    hook.nothing();
}

#[tokio::test]
async fn a_target_that_never_answers_costs_publishing_and_deciding_nothing() {
    // It takes the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = silent.local_addr().unwrap();
    let mut hook = Receiver::start(&[]).await;
    let world = world(|notify| {
        notify.ntfy = Some(format!("http://{at}/topic"));
        notify.webhook = Some(hook.url("/"));
    })
    .await;
    world.publish(&request("s", "r", "Bash")).await;
    let (_held, _) = within("the connection", silent.accept()).await.unwrap();
    assert_eq!(
        hook.next().await.body["approval"]["id"],
        "r",
        "the other target is told"
    );
    world.decide("r", &json!({"decision": "approve"})).await.ok();
    assert_eq!(hook.next().await.body["kind"], "approval_decision");
}
