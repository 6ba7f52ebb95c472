//! A gateway, agents on it, and a reader of all that happens.

use std::{path::PathBuf, process::Command, sync::Arc, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinSet, time::timeout};
use turnwire_client::{Endpoint, Item, Query, Subscriber};
use turnwire_proto::{Event, Name, Scopes};
use turnwire_runner::{Config, Error, Pace, Runner, Setup, Stopped, drivers};
use turnwire_server::{
    Server,
    auth::{NewToken, TokenKind},
};

/// What never takes this long has failed: a busy machine needs a second now and then.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    timeout(DEADLINE, work)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

pub(crate) struct World {
    pub(crate) server: Option<Server>,
    config: turnwire_server::Config,
    pub(crate) endpoint: Endpoint,
    reader: Subscriber,
    /// All that has happened, as far as it was waited for.
    pub(crate) events: Vec<Event>,
    dir: tempfile::TempDir,
}

/// An agent that runs.
pub(crate) struct Agent {
    stop: oneshot::Sender<()>,
    tasks: JoinSet<Result<Stopped, Error>>,
}

impl Agent {
    /// As a signal does it.
    pub(crate) async fn stop(mut self) -> Stopped {
        self.stop.send(()).unwrap();
        within("the agent to end", self.tasks.join_next())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
    }

    /// Gone from one moment to the next, as far as a program can do that to itself.
    pub(crate) async fn vanish(mut self) {
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn token(server: &Server, scopes: &[&str]) -> String {
    let new = NewToken {
        name: Name::new("test").unwrap(),
        kind: TokenKind::Token,
        scopes: Scopes(scopes.iter().map(|scope| scope.parse().unwrap()).collect()),
        expires: None,
    };
    let minted = server.auth().create_token(new).await.unwrap();
    minted.secret.expose().to_owned()
}

impl World {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = turnwire_server::Config::new(dir.path().join("data"));
        config.listen.set_port(0);
        let server = Server::start(config.clone()).await.unwrap();
        // Where the first one listened: the second one is to be found there.
        config.listen = server
            .ready()
            .url
            .trim_start_matches("http://")
            .trim_end_matches('/')
            .parse()
            .unwrap();
        let endpoint = Endpoint::new(&server.ready().url, Some(&token(&server, &["admin"]).await)).unwrap();
        let query = Query {
            after: Some(turnwire_proto::Seq::ZERO),
            ..Query::default()
        };
        Self {
            server: Some(server),
            config,
            reader: Subscriber::new(endpoint.clone(), query),
            endpoint,
            events: Vec::new(),
            dir,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) async fn config(&self, agent: &str, script: &str) -> Config {
        let key = token(self.server.as_ref().unwrap(), &[&format!("agent:{agent}"), "publish"]).await;
        let endpoint = Endpoint::new(self.endpoint.url().as_str(), Some(&key)).unwrap();
        Config {
            agent: Name::new(agent).unwrap(),
            locate: Arc::new(endpoint.clone()),
            target: endpoint.url().to_string(),
            endpoint,
            driver: drivers::by_name("lines").unwrap(),
            setup: Setup {
                args: ["sh", "-c", script].map(Into::into).to_vec(),
                cwd: Some(self.dir.path().to_owned()),
                ..Setup::default()
            },
            max_live: 4,
            state_dir: self.path("state"),
            pace: Pace::default(),
            tell: Arc::new(|_| {}),
        }
    }

    /// An agent whose program is `sh -c SCRIPT`, in the world's directory.
    pub(crate) async fn agent(&self, script: &str) -> Agent {
        self.run(self.config("a", script).await).await
    }

    pub(crate) async fn run(&self, config: Config) -> Agent {
        let runner = Runner::start(config).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(runner.run(async move {
            let _ = stopped.await;
        }));
        Agent { stop, tasks }
    }

    pub(crate) async fn stop_server(&mut self) {
        within("the server to stop", self.server.take().unwrap().stop()).await;
    }

    pub(crate) async fn start_server(&mut self) {
        self.server = Some(Server::start(self.config.clone()).await.unwrap());
    }

    /// Reads on until an event is as it is to be.
    pub(crate) async fn until(&mut self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        let read = async {
            loop {
                if let Ok(Item::Event(event, _)) = self.reader.next().await {
                    self.events.push(event.clone());
                    if wanted(&event) {
                        return event;
                    }
                }
            }
        };
        match timeout(DEADLINE, read).await {
            Ok(event) => event,
            Err(_) => panic!("waited in vain for {what}; there was {:#?}", self.told()),
        }
    }

    /// The first event that is so, whether it was read before or not.
    pub(crate) async fn event(&mut self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        match self.events.iter().find(|event| wanted(event)).cloned() {
            Some(event) => event,
            None => self.until(what, wanted).await,
        }
    }

    /// What has happened, shortly.
    pub(crate) fn told(&self) -> Vec<String> {
        let told = self
            .events
            .iter()
            .map(|event| format!("{} {}", event.kind, event.data.get()));
        told.collect()
    }

    /// The order's end: its `command_state` of `done` or `failed`.
    pub(crate) async fn end_of(&mut self, id: &Value) -> Value {
        let event = self.event("the end of an order", |event| is_end(event, id)).await;
        event.data.read().unwrap()
    }

    /// The events of one turn, in order.
    pub(crate) fn turn(&self, id: &Value) -> Vec<(&str, Value)> {
        let of = self.events.iter().filter(|event| json!(event.turn_id) == *id);
        of.map(|event| (event.kind.as_str(), event.data.read().unwrap()))
            .collect()
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        let request = self.endpoint.request(Method::POST, path);
        let request = request
            .header("content-type", "application/json")
            .body(body.to_string());
        within("an answer", self.endpoint.json(request)).await.unwrap()
    }

    /// Gives an order: its id.
    pub(crate) async fn order(&self, session: Option<&str>, action: &str, args: Value) -> Value {
        let mut body = json!({"agent": "a", "action": action, "args": args});
        if let Some(session) = session {
            body["session_id"] = session.into();
        }
        self.post("/api/commands", body).await["id"].clone()
    }

    pub(crate) async fn say(&self, session: &str, text: &str) -> Value {
        self.order(Some(session), "message", json!({"content": text})).await
    }

    /// A place where a script waits (`read x < NAME`) until it is let go.
    pub(crate) fn gate(&self, name: &str) {
        assert!(Command::new("mkfifo").arg(self.path(name)).status().unwrap().success());
    }

    /// Lets who waits there go on; waits until there is somebody.
    pub(crate) async fn open(&self, name: &str) {
        let path = self.path(name);
        let write = tokio::task::spawn_blocking(move || std::fs::write(path, "go\n"));
        within("a script at a gate", write).await.unwrap().unwrap();
    }
}

fn is_end(event: &Event, id: &Value) -> bool {
    if event.kind != turnwire_proto::Kind::COMMAND_STATE {
        return false;
    }
    let body: Value = event.data.read().unwrap();
    let over = ["done", "failed", "expired", "withdrawn"].map(Value::from);
    body["command_id"] == *id && over.contains(&body["state"])
}
