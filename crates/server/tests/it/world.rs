//! A server on a port of its own, and clients that say byte for byte what they are told to.

use std::{collections::HashMap, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use turnwire_log::Log;
use turnwire_proto::{Name, Scopes, Timestamp};
use turnwire_server::{
    Config, Server,
    auth::{NewToken, TokenKind},
};

pub(crate) use crate::stream::{Frame, Stream};

/// What never takes this long has failed: a busy machine needs a second now and then.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Ends the test when `work` does not end.
pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    timeout(DEADLINE, work)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// A server and its data.
pub(crate) struct World {
    pub(crate) server: Option<Server>,
    pub(crate) at: SocketAddr,
    /// The secret of a token that may do everything.
    pub(crate) admin: String,
    config: Config,
    _dir: TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::over(change, |_| None).await
    }

    /// Over a log of the test's own, which is given the data directory.
    pub(crate) async fn over(
        change: impl FnOnce(&mut Config),
        log: impl FnOnce(&Path) -> Option<Arc<dyn Log>>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path().to_owned());
        config.listen.set_port(0);
        change(&mut config);
        let server = match log(dir.path()) {
            Some(log) => Server::start_with(config.clone(), log).await.unwrap(),
            None => Server::start(config.clone()).await.unwrap(),
        };
        let mut world = Self {
            at: address(&server),
            server: Some(server),
            admin: String::new(),
            config,
            _dir: dir,
        };
        world.admin = world.token(&["admin"]).await;
        world
    }

    /// Stops the server and starts another on the same data.
    pub(crate) async fn restart(&mut self) {
        self.restart_after(|_| {}).await;
    }

    /// The same; the views are gone in between.
    pub(crate) async fn restart_without_views(&mut self) {
        self.restart_after(|data| {
            std::fs::remove_file(data.join("views.db")).unwrap();
            // These are there or not.
            for file in ["views.db-wal", "views.db-shm"] {
                let _ = std::fs::remove_file(data.join(file));
            }
        })
        .await;
    }

    /// The same, with something done to its data while no server runs.
    pub(crate) async fn restart_after(&mut self, between: impl FnOnce(&Path)) {
        within("the server to stop", self.server.take().unwrap().stop()).await;
        between(&self.config.data_dir);
        let server = Server::start(self.config.clone()).await.unwrap();
        self.at = address(&server);
        self.server = Some(server);
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    /// The secret of a new token.
    pub(crate) async fn token(&self, scopes: &[&str]) -> String {
        self.token_until(scopes, None).await.1
    }

    /// The id and the secret of a new token that ends by itself.
    pub(crate) async fn token_until(&self, scopes: &[&str], expires: Option<Timestamp>) -> (String, String) {
        let new = NewToken {
            name: Name::new("test").unwrap(),
            kind: TokenKind::Token,
            scopes: Scopes(scopes.iter().map(|scope| scope.parse().unwrap()).collect()),
            expires,
        };
        let minted = self.server().auth().create_token(new).await.unwrap();
        (minted.principal.id().to_owned(), minted.secret.expose().to_owned())
    }

    pub(crate) async fn wire(&self) -> Wire {
        Wire::new(TcpStream::connect(self.at).await.unwrap())
    }

    /// A connection that holds little of what it is sent.
    pub(crate) async fn narrow_wire(&self) -> Wire {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Wire::new(socket.connect(self.at).await.unwrap())
    }

    /// The head of a request by the administrator, without its end.
    pub(crate) fn head(&self, method: &str, url: &str) -> String {
        self.head_by(&self.admin, method, url)
    }

    pub(crate) fn head_by(&self, token: &str, method: &str, url: &str) -> String {
        format!(
            "{method} {url} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n",
            self.at
        )
    }

    /// A whole request by the administrator.
    pub(crate) fn request(&self, method: &str, url: &str, media_type: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
        self.request_by(&self.admin, method, url, media_type, body)
    }

    pub(crate) fn request_by(
        &self,
        token: &str,
        method: &str,
        url: &str,
        media_type: &str,
        body: impl AsRef<[u8]>,
    ) -> Vec<u8> {
        let (head, body) = (self.head_by(token, method, url), body.as_ref());
        let mut request = format!(
            "{head}Content-Type: {media_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        request
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, request: impl AsRef<[u8]>) -> Reply {
        let mut wire = self.wire().await;
        wire.send(request).await;
        wire.reply().await
    }

    pub(crate) async fn get(&self, url: &str) -> Reply {
        self.get_by(&self.admin, url).await
    }

    pub(crate) async fn get_by(&self, token: &str, url: &str) -> Reply {
        self.ask(format!("{}\r\n", self.head_by(token, "GET", url))).await
    }

    pub(crate) async fn post(&self, media_type: &str, body: impl AsRef<[u8]>) -> Reply {
        self.ask(self.request("POST", "/api/events", media_type, body)).await
    }

    /// Publishes as JSON; the answer.
    pub(crate) async fn publish(&self, body: &Value) -> Value {
        self.post("application/json", body.to_string()).await.ok()
    }

    /// A stream on a bare socket.
    pub(crate) async fn stream(&self, url: &str) -> Stream {
        self.stream_by(&self.admin, url).await
    }

    pub(crate) async fn stream_by(&self, token: &str, url: &str) -> Stream {
        let mut wire = self.wire().await;
        wire.send(format!("{}\r\n", self.head_by(token, "GET", url))).await;
        Stream::open(wire).await
    }

    /// A stream on a connection that hyper has already, so that hyper writes it.
    pub(crate) async fn stream_of_hyper(&self, url: &str) -> Stream {
        self.stream_of_hyper_by(&self.admin, url).await
    }

    pub(crate) async fn stream_of_hyper_by(&self, token: &str, url: &str) -> Stream {
        let mut wire = self.wire().await;
        wire.send(format!("{}\r\n", self.head("GET", "/healthz"))).await;
        wire.reply().await.ok();
        wire.send(format!("{}\r\n", self.head_by(token, "GET", url))).await;
        let stream = Stream::open(wire).await;
        assert_eq!(stream.head.headers["transfer-encoding"], "chunked");
        stream
    }

    /// A page of history.
    pub(crate) async fn history(&self, query: &str) -> Value {
        self.get(&format!("/api/events/history?{query}")).await.ok()
    }

    /// Every event there is.
    pub(crate) async fn all(&self) -> Vec<Value> {
        let (mut all, mut after) = (Vec::new(), json!(0));
        loop {
            let page = self.history(&format!("limit=1000&after={after}")).await;
            let events = page["events"].as_array().unwrap();
            if events.is_empty() {
                return all;
            }
            all.extend_from_slice(events);
            after = page["next"].clone();
        }
    }

    pub(crate) async fn head_seq(&self) -> u64 {
        self.server().log().bounds().await.unwrap().head.get()
    }

    /// Returns when a line of the metrics begins with this.
    pub(crate) async fn metric(&self, line: &str) {
        within(line, async {
            loop {
                let text = self.get("/metrics").await.text();
                if text.lines().any(|one| one.starts_with(line)) {
                    return;
                }
                // Only how often it looks; what it waits for is the line.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
}

fn address(server: &Server) -> SocketAddr {
    server.ready().url.strip_prefix("http://").unwrap().parse().unwrap()
}

/// An event with this text.
pub(crate) fn note(session: &str, text: &str) -> Value {
    json!({"type": "note", "session_id": session, "data": {"text": text}})
}

/// `count` notes of one session.
pub(crate) fn notes(session: &str, count: usize) -> Value {
    (0..count).map(|n| note(session, &n.to_string())).collect()
}

pub(crate) fn lines(events: &Value) -> String {
    events
        .as_array()
        .unwrap()
        .iter()
        .map(|event| format!("{event}\n"))
        .collect()
}

pub(crate) fn seqs(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["seq"].as_u64().unwrap()).collect()
}

/// The texts of a page's events.
pub(crate) fn texts(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["data"]["text"].as_str().unwrap())
        .collect()
}

/// One connection.
pub(crate) struct Wire {
    stream: TcpStream,
    pub(crate) input: Vec<u8>,
}

impl Wire {
    fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            input: Vec::new(),
        }
    }

    /// Writes. A server that has answered already may have closed its half, so an error is none.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        within("room to write", self.stream.write_all(bytes.as_ref()))
            .await
            .is_ok()
    }

    /// Says that nothing more comes.
    pub(crate) async fn end(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Reads what there is. `false`: there is no more.
    pub(crate) async fn fill(&mut self) -> bool {
        let read = within("bytes", self.stream.read_buf(&mut self.input)).await;
        read.is_ok_and(|count| count > 0)
    }

    /// Everything until the server closes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.input)
    }

    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.input.windows(end.len()).position(|bytes| bytes == end) {
                return Some(self.input.drain(..at + end.len()).collect());
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    pub(crate) async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.input.len() < count {
            assert!(self.fill().await, "the connection ended within a body");
        }
        self.input.drain(..count).collect()
    }

    /// The next answer's head.
    pub(crate) async fn reply_head(&mut self) -> Option<Reply> {
        let head = String::from_utf8(self.until(b"\r\n\r\n").await?).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        Some(Reply {
            status,
            headers,
            body: Vec::new(),
        })
    }

    /// The next answer.
    pub(crate) async fn reply(&mut self) -> Reply {
        let mut reply = self.reply_head().await.expect("an answer before the end");
        reply.body = match reply.headers.get("content-length") {
            Some(length) => self.exactly(length.parse().unwrap()).await,
            None => {
                let mut body = Vec::new();
                while let Some(chunk) = self.chunk().await {
                    body.extend(chunk);
                }
                body
            }
        };
        reply
    }

    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = self.until(b"\r\n").await?;
        let size = usize::from_str_radix(std::str::from_utf8(&size).unwrap().trim(), 16).unwrap();
        // One that is cut is none, like what is cut of any frame.
        while self.input.len() < size + 2 {
            if !self.fill().await {
                return None;
            }
        }
        let mut chunk: Vec<u8> = self.input.drain(..size + 2).collect();
        chunk.truncate(size);
        (size > 0).then_some(chunk)
    }
}

/// A body in chunks, its end among them.
pub(crate) fn chunked<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
        out.extend(format!("{:x}\r\n", piece.len()).into_bytes());
        out.extend_from_slice(piece);
        out.extend(b"\r\n");
    }
    out.extend(b"0\r\n\r\n");
    out
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }

    /// An error of the one shape; its details.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> Value {
        let text = self.text();
        assert_eq!(self.status, status, "{text}");
        assert_eq!(self.headers["content-type"], "application/json", "{text}");
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(body.as_object().unwrap().len(), 1, "{text}");
        let error = body["error"].as_object().unwrap();
        let mut keys: Vec<_> = error.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["code", "details", "message", "retry"], "{text}");
        assert_eq!(error["code"], code, "{text}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
        assert!(error["details"].is_object());
        let waits = [429, 503].contains(&status);
        assert_eq!(
            self.headers.contains_key("retry-after"),
            waits || status == 408,
            "{self:?}"
        );
        assert_eq!(error["retry"], waits || status == 408, "{text}");
        error["details"].clone()
    }

    /// An error that names its field.
    #[track_caller]
    pub(crate) fn refused_field(&self, status: u16, code: &str, field: &str) -> Value {
        let details = self.refused(status, code);
        assert_eq!(details["field"], field, "{}", self.text());
        details
    }
}
