//! An agent's side: its downlink frame by frame, its acknowledgements and reports; and the side of who tells it something.

use serde_json::{Value, json};

use crate::world::{Reply, Wire, World};

/// One frame of a downlink.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Frame {
    Retry,
    Comment(String),
    /// With its name, its data and its place.
    Named(String, Value, u64),
    /// Without a place.
    Control(String, Value),
}

/// An open downlink.
pub(crate) struct Line {
    wire: Wire,
    pub(crate) head: Reply,
    text: Vec<u8>,
    /// What it comes back with.
    pub(crate) cursor: u64,
}

impl Line {
    pub(crate) async fn open(world: &World, token: &str, url: &str, cursor: Option<u64>) -> Self {
        let mut wire = world.wire().await;
        let last = cursor.map_or(String::new(), |cursor| format!("Last-Event-ID: {cursor}\r\n"));
        wire.send(format!("{}{last}\r\n", world.head_by(token, "GET", url)))
            .await;
        Self::over(wire).await
    }

    /// The same on a connection that hyper has already.
    pub(crate) async fn open_of_hyper(world: &World, token: &str) -> Self {
        let mut wire = world.wire().await;
        wire.send(format!("{}\r\n", world.head("GET", "/healthz"))).await;
        wire.reply().await.ok();
        wire.send(format!("{}\r\n", world.head_by(token, "GET", "/api/agent/events")))
            .await;
        let line = Self::over(wire).await;
        assert_eq!(line.head.headers["transfer-encoding"], "chunked");
        line
    }

    async fn over(mut wire: Wire) -> Self {
        let head = wire.reply_head().await.expect("an answer");
        assert_eq!(head.status, 200, "{head:?}");
        Self {
            wire,
            head,
            text: Vec::new(),
            cursor: 0,
        }
    }

    /// The next frame; `None` when the downlink has ended.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.text, b"\n\n") {
                let frame: Vec<u8> = self.text.drain(..end + 2).collect();
                return Some(self.parse(std::str::from_utf8(&frame[..end]).unwrap()));
            }
            if self.head.headers.contains_key("transfer-encoding") {
                self.text.extend(self.wire.chunk().await?);
            } else {
                if self.wire.input.is_empty() && !self.wire.fill().await {
                    return None;
                }
                self.text.append(&mut self.wire.input);
            }
        }
    }

    fn parse(&mut self, text: &str) -> Frame {
        let lines: Vec<_> = text.split('\n').collect();
        let data = |line: &str| serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap();
        match *lines {
            [one] if one.starts_with("retry: ") => Frame::Retry,
            [one] if one.starts_with(':') => Frame::Comment(one[1..].trim().to_owned()),
            [name, body] => Frame::Control(name.strip_prefix("event: ").unwrap().to_owned(), data(body)),
            [name, body, id] => {
                let id = id.strip_prefix("id: ").unwrap().parse().unwrap();
                assert!(id >= self.cursor, "{id} comes after {}", self.cursor);
                self.cursor = id;
                Frame::Named(name.strip_prefix("event: ").unwrap().to_owned(), data(body), id)
            }
            _ => panic!("not a frame: {text}"),
        }
    }

    /// The next command, which stands at its own place.
    pub(crate) async fn command(&mut self) -> Value {
        loop {
            match self.frame().await.expect("a command before the end") {
                Frame::Named(name, command, id) if name == "command" => {
                    assert_eq!(command["seq"], id);
                    assert_eq!(command["state"], "delivered");
                    return command;
                }
                Frame::Control(name, body) if name != "hello" => panic!("a command was to come, not {name} {body}"),
                _ => {}
            }
        }
    }

    /// The next frame `sync`: its reason.
    pub(crate) async fn sync(&mut self) -> String {
        loop {
            match self.frame().await.expect("a sync before the end") {
                Frame::Named(name, body, _) if name == "sync" => return body["reason"].as_str().unwrap().to_owned(),
                Frame::Retry | Frame::Comment(_) => {}
                Frame::Control(name, _) if name == "hello" => {}
                other => panic!("`sync` was to come, not {other:?}"),
            }
        }
    }

    /// The last frame, and the end of the connection.
    pub(crate) async fn bye(&mut self) -> Value {
        loop {
            match self.frame().await.expect("bye before the end") {
                Frame::Control(name, body) if name == "bye" => {
                    assert_eq!(self.frame().await, None, "after bye comes nothing");
                    return body;
                }
                _ => {}
            }
        }
    }
}

impl World {
    /// The secret of an agent's key.
    pub(crate) async fn key(&self, agent: &str) -> String {
        self.token(&[&format!("agent:{agent}")]).await
    }

    pub(crate) async fn line(&self, key: &str) -> Line {
        Line::open(self, key, "/api/agent/events", None).await
    }

    /// A downlink that goes on at a cursor.
    pub(crate) async fn line_from(&self, key: &str, cursor: u64) -> Line {
        Line::open(self, key, "/api/agent/events", Some(cursor)).await
    }

    pub(crate) async fn send_by(&self, token: &str, method: &str, url: &str, body: &Value) -> Reply {
        let request = self.request_by(token, method, url, "application/json", body.to_string());
        self.ask(request).await
    }

    pub(crate) async fn order(&self, body: &Value) -> Reply {
        self.send_by(&self.admin, "POST", "/api/commands", body).await
    }

    /// A message to an agent; its command.
    pub(crate) async fn say(&self, agent: &str, text: &str) -> Value {
        let body = json!({"agent": agent, "action": "message", "args": {"content": text}});
        self.order(&body).await.ok()
    }

    pub(crate) async fn command(&self, id: &Value) -> Value {
        self.get(&format!("/api/commands/{}", id.as_str().unwrap())).await.ok()
    }

    pub(crate) async fn withdraw(&self, id: &Value) -> Reply {
        let url = format!("/api/commands/{}", id.as_str().unwrap());
        self.ask(format!("{}\r\n", self.head("DELETE", &url))).await
    }

    pub(crate) async fn ack(&self, key: &str, id: &Value, body: &Value) -> Reply {
        let url = format!("/api/agent/commands/{}", id.as_str().unwrap());
        self.send_by(key, "POST", &url, body).await
    }

    pub(crate) async fn sync(&self, key: &str, report: &Value) -> Value {
        self.send_by(key, "POST", "/api/agent/sync", report).await.ok()
    }

    pub(crate) async fn wake(&self, key: &str, query: &str) -> Value {
        self.get_by(key, &format!("/api/agent/wake?{query}")).await.ok()
    }

    /// The kinds in the log of these, with what matters of each.
    pub(crate) async fn told(&self, kinds: &str) -> Vec<Value> {
        let page = self.history(&format!("limit=1000&after=0&type={kinds}")).await;
        page["events"].as_array().unwrap().clone()
    }

    /// The states in the log that a command went through.
    pub(crate) async fn states(&self, id: &Value) -> Vec<String> {
        let events = self.told("command_state").await;
        let own = events.iter().filter(|event| event["data"]["command_id"] == *id);
        own.map(|event| event["data"]["state"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Returns the first event of this kind behind a place.
    pub(crate) async fn event(&self, kind: &str, after: u64) -> Value {
        let mut stream = self.stream(&format!("/api/events?type={kind}&after={after}")).await;
        stream.event().await
    }
}
