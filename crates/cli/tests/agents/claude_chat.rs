//! Chats with Claude Code through a gateway, over POST and over a WebSocket (`docs/protocol.md`, X).

use std::{fs, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};
use turnwire_proto::Code;

use crate::{
    claude_agent::{agent, tool},
    gateway::Gateway,
    model_server::{Gate, ModelServer, Reply},
};

/// As for a gateway's events.
const DEADLINE: Duration = Duration::from_secs(90);

/// A page that chats.
struct Socket {
    ws: WebSocketStream<TcpStream>,
    /// Everything up to here has come.
    cursor: u64,
}

impl Socket {
    async fn open(gateway: &Gateway, query: &str) -> Self {
        let host = gateway.endpoint.url().authority().to_owned();
        let token = fs::read_to_string(gateway.world.data_dir().join("local.token")).unwrap();
        let mut request = format!("ws://{host}/api/chat/stream?{query}")
            .into_client_request()
            .unwrap();
        let bearer = format!("Bearer {}", token.trim());
        request.headers_mut().insert("authorization", bearer.parse().unwrap());
        let socket = TcpStream::connect(&host).await.unwrap();
        let (ws, _) = client_async(request, socket).await.unwrap();
        let mut this = Self { ws, cursor: 0 };
        this.until("hello").await;
        this
    }

    async fn send(&mut self, frame: Value) {
        self.ws.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// All frames up to the first one of this type, itself among them.
    async fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let next = timeout(DEADLINE, self.ws.next()).await;
            let next = next.unwrap_or_else(|_| panic!("waited in vain for {kind}; there was {all:#?}"));
            let Message::Text(text) = next.expect("a frame before the end").unwrap() else {
                continue;
            };
            let frame: Value = serde_json::from_str(&text).unwrap();
            if let Some(seq) = frame["seq"].as_u64() {
                assert!(seq > self.cursor, "{seq} comes after {}: {frame}", self.cursor);
                self.cursor = seq;
            }
            all.push(frame);
            if all.last().unwrap()["type"] == kind {
                return all;
            }
        }
    }

    async fn one(&mut self, kind: &str) -> Value {
        self.until(kind).await.pop().unwrap()
    }
}

/// What the agent says in these frames, as a page puts it together.
fn words(frames: &[Value]) -> String {
    let tokens = frames.iter().filter(|frame| frame["type"] == "token");
    tokens.map(|token| token["content"].as_str().unwrap()).collect()
}

/// A model that says half of an answer, and the rest when the gate is opened.
fn halves() -> (ModelServer, std::sync::mpsc::Sender<()>) {
    let (gate, opener) = Gate::new();
    let model = ModelServer::script(move |_| Reply::Halves("first, ", "then", gate.clone()));
    (model, opener)
}

#[tokio::test]
async fn a_reply_over_post_is_the_turns_and_is_had_again_by_its_id_when_it_was_late() {
    let (model, opener) = halves();
    let gateway = Gateway::start(&[]);
    let agent = agent(&gateway, &model);
    let id = "0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10";
    let asked =
        json!({"agent": "a", "session_id": "s", "message": "slowly", "id": id, "wait_ms": 1, "project_id": "p"});
    let late = gateway.refused("/api/chat", asked.clone()).await;
    assert_eq!(late, Some(Code::ReplyTimeout), "the turn goes on");
    opener.send(()).unwrap();
    let mut again = asked;
    again.as_object_mut().unwrap().remove("wait_ms");
    let answer = gateway.post("/api/chat", again).await;
    assert_eq!(answer["reply"], "first, then", "{answer}");
    for (field, value) in [
        ("id", id),
        ("turn_id", id),
        ("echo", "slowly"),
        ("session_id", "s"),
        ("project_id", "p"),
    ] {
        assert_eq!(answer[field], value, "{answer}");
    }
    assert!(
        answer["duration_ms"].is_u64() && answer["usage"]["output_tokens"].as_u64() > Some(0),
        "{answer}"
    );
    assert_eq!(model.asked().len(), 1, "said once");
    agent.stop();
}

#[tokio::test]
async fn a_socket_has_a_turn_as_it_comes_and_decides_what_its_tool_waits_for() {
    let model = ModelServer::script(tool);
    let gateway = Gateway::start(&[]);
    let agent = agent(&gateway, &model);
    let mut socket = Socket::open(&gateway, "session_id=s").await;
    socket
        .send(json!({"type": "message", "agent": "a", "content": "use a tool"}))
        .await;
    let accepted = socket.one("accepted").await;
    let asked = socket.one("approval_request").await;
    assert_eq!(
        (&asked["tool_name"], &asked["turn_id"]),
        (&json!("Bash"), &accepted["id"]),
        "{asked}"
    );
    let made = gateway.world.path("project").join("asked-for");
    assert!(!made.exists(), "before anybody has said so");
    let answer = json!({"type": "approval_response", "approval_id": asked["approval_id"], "decision": "approve"});
    socket.send(answer).await;
    let rest = socket.until("done").await;
    let of = |kind: &str| {
        rest.iter()
            .find(|frame| frame["type"] == kind)
            .cloned()
            .unwrap_or_default()
    };
    assert_eq!(of("approval_resolved")["decision"], "approved");
    assert_eq!(of("tool_end")["is_error"], false, "{rest:#?}");
    let done = rest.last().unwrap();
    assert_eq!(
        (&done["ok"], &done["reply"]),
        (&json!(true), &json!("it is done")),
        "{done}"
    );
    assert_eq!(done["tool_calls"][0]["tool_name"], "Bash", "{done}");
    assert!(made.exists() && words(&rest).contains("it is done"));
    agent.stop();
}

#[tokio::test]
async fn a_viewer_that_goes_in_the_midst_of_a_turn_stops_nothing_and_misses_nothing_when_it_is_back() {
    let (model, opener) = halves();
    let mut gateway = Gateway::start(&[]);
    let agent = agent(&gateway, &model);
    let mut socket = Socket::open(&gateway, "session_id=s").await;
    socket
        .send(json!({"type": "message", "agent": "a", "content": "slowly"}))
        .await;
    let id = socket.one("accepted").await["id"].clone();
    let before = socket.until("token").await;
    let cursor = socket.cursor;
    drop(socket);
    opener.send(()).unwrap();
    assert_eq!(gateway.end_of(&id).await["result"]["ok"], true);
    let mut back = Socket::open(&gateway, &format!("session_id=s&after={cursor}")).await;
    let after = back.until("done").await;
    assert_eq!(words(&before) + &words(&after), "first, then", "{after:#?}");
    agent.stop();
}

#[tokio::test]
async fn a_socket_of_a_gateway_that_is_killed_in_a_turn_goes_on_with_the_next_one() {
    let (model, opener) = halves();
    let mut gateway = Gateway::start(&[]);
    let agent = agent(&gateway, &model);
    let mut socket = Socket::open(&gateway, "session_id=s").await;
    socket
        .send(json!({"type": "message", "agent": "a", "content": "slowly"}))
        .await;
    socket.one("accepted").await;
    let before = socket.until("token").await;
    let cursor = socket.cursor;
    gateway.kill();
    opener.send(()).unwrap();
    gateway.serve_again();
    let mut back = Socket::open(&gateway, &format!("session_id=s&after={cursor}")).await;
    let after = back.until("done").await;
    assert_eq!(words(&before) + &words(&after), "first, then", "{after:#?}");
    assert_eq!(after.last().unwrap()["reply"], "first, then");
    agent.stop();
}
