//! A server with the routes of authentication and one of events, and a client that says exactly what it is told to.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use axum::{Router, extract::FromRef, routing::get};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tower::Layer;
use turnwire_log::kv::MemoryKv;
use turnwire_proto::{Epoch, Scopes, path};
use turnwire_server::{
    auth::{Auth, CODE_TTL, Grant, Publish, Read},
    http::{
        guard::{Guard, Policy},
        pair, tickets, tokens,
    },
};

#[derive(Clone)]
struct App {
    auth: Auth,
    epoch: Epoch,
}

impl FromRef<App> for Auth {
    fn from_ref(app: &App) -> Self {
        app.auth.clone()
    }
}

impl FromRef<App> for Epoch {
    fn from_ref(app: &App) -> Self {
        app.epoch
    }
}

/// A server on a port of its own, and a client of it.
pub(crate) struct Server {
    pub(crate) at: SocketAddr,
    pub(crate) auth: Auth,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(Auth::open(Arc::new(MemoryKv::new())).await.unwrap()).await
    }

    pub(crate) async fn with(auth: Auth) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let app = App {
            auth: auth.clone(),
            epoch: Epoch::new(),
        };
        let events = get(async |grant: Grant<Read>| grant.principal().id().to_owned())
            .post(async |grant: Grant<Publish>| grant.principal().id().to_owned());
        let router = Router::new()
            .route(path::EVENTS, events)
            .merge(pair::router())
            .merge(tokens::router())
            .merge(tickets::router())
            .with_state(app);
        let guarded = Guard::new(Policy::new(at)).layer(router);
        let service =
            axum::ServiceExt::<axum::extract::Request>::into_make_service_with_connect_info::<SocketAddr>(guarded);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, service).await.unwrap() });
        Self {
            at,
            auth,
            _tasks: tasks,
        }
    }

    /// A pairing code of these scopes.
    pub(crate) async fn code(&self, scopes: &[&str]) -> String {
        let code = self
            .auth
            .new_pairing_code(None, scope_list(scopes), CODE_TTL)
            .await
            .unwrap();
        code.code().to_owned()
    }

    /// A token of these scopes, by pairing.
    pub(crate) async fn token(&self, scopes: &[&str]) -> Client<'_> {
        let body = json!({ "code": self.code(scopes).await, "want": "token" });
        let reply = self.post(path::PAIR).json(&body).await.ok();
        Client {
            server: self,
            id: reply["id"].as_str().unwrap().to_owned(),
            token: reply["token"].as_str().unwrap().to_owned(),
        }
    }

    pub(crate) fn request(&self, method: &str, url: &str) -> Request {
        Request {
            at: self.at,
            line: format!("{method} {url} HTTP/1.1"),
            host: Some(self.at.to_string()),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(crate) fn get(&self, url: &str) -> Request {
        self.request("GET", url)
    }

    pub(crate) fn post(&self, url: &str) -> Request {
        self.request("POST", url)
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.at)
    }
}

fn scope_list(scopes: &[&str]) -> Scopes {
    Scopes(scopes.iter().map(|scope| scope.parse().unwrap()).collect())
}

/// Somebody with a token.
pub(crate) struct Client<'a> {
    pub(crate) server: &'a Server,
    pub(crate) id: String,
    pub(crate) token: String,
}

impl Client<'_> {
    pub(crate) fn request(&self, method: &str, url: &str) -> Request {
        let bearer = format!("Bearer {}", self.token);
        self.server.request(method, url).header("Authorization", &bearer)
    }

    pub(crate) fn get(&self, url: &str) -> Request {
        self.request("GET", url)
    }

    pub(crate) fn post(&self, url: &str) -> Request {
        self.request("POST", url)
    }

    pub(crate) async fn ticket(&self, path: &str, kind: &str) -> String {
        let body = json!({ "path": path, "kind": kind });
        let reply = self.post(path::TICKETS).json(&body).await.ok();
        reply["ticket"].as_str().unwrap().to_owned()
    }
}

pub(crate) struct Request {
    at: SocketAddr,
    line: String,
    host: Option<String>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn host(mut self, host: Option<&str>) -> Self {
        self.host = host.map(str::to_owned);
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) async fn json(self, body: &Value) -> Reply {
        self.header("Content-Type", "application/json")
            .body(body.to_string())
            .send()
            .await
    }

    pub(crate) async fn send(self) -> Reply {
        let mut head = format!(
            "{}\r\nConnection: close\r\nContent-Length: {}\r\n",
            self.line,
            self.body.len()
        );
        let host = self.host.map(|host| ("Host".to_owned(), host));
        for (name, value) in host.into_iter().chain(self.headers) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // A server that has answered already may have closed its half.
        let _ = stream.write_all(&self.body).await;
        let mut reply = Vec::new();
        let _ = stream.read_to_end(&mut reply).await;
        Reply::parse(&String::from_utf8(reply).unwrap())
    }
}

#[derive(Debug)]
pub(crate) struct Reply {
    status: u16,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) text: String,
}

impl Reply {
    fn parse(reply: &str) -> Self {
        let (head, text) = reply.split_once("\r\n\r\n").expect("a whole head");
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        Self {
            status,
            headers,
            text: text.to_owned(),
        }
    }

    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        serde_json::from_str(&self.text).unwrap_or_else(|_| json!(self.text))
    }

    /// Who asked, as the test's own routes answer it: an id, which may look like a number.
    #[track_caller]
    pub(crate) fn who(&self) -> &str {
        assert_eq!(self.status, 200, "{self:?}");
        &self.text
    }

    /// An error of the one shape; its details.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/json");
        let body: Value = serde_json::from_str(&self.text).unwrap();
        let error = body["error"].as_object().unwrap();
        assert_eq!(body.as_object().unwrap().len(), 1);
        let mut keys: Vec<_> = error.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["code", "details", "message", "retry"]);
        assert_eq!(error["code"], code, "{self:?}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()));
        assert_eq!(self.headers.contains_key("www-authenticate"), status == 401);
        error["details"].clone()
    }

    /// `name=value` of the cookie that it sets.
    pub(crate) fn cookie(&self) -> &str {
        self.headers["set-cookie"].split(';').next().unwrap()
    }
}
