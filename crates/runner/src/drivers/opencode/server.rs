//! `opencode serve`: the process, what is asked of it over HTTP, and its stream of events.
//!
//! It listens on a port of this machine that it has found itself, and answers who knows the password, which is made for this process.

use std::{collections::VecDeque, sync::Once, time::Duration};

use reqwest::{Client, Method, Response};
use serde_json::Value;
use tokio::time::timeout;
use turnwire_proto::sse::{Item, Limits, Oversize, Parser};

use crate::{
    Failure,
    drivers::Setup,
    process::{Output, Process},
};

/// How long a start may take. It has been seen to need 10 s on a busy machine.
const START: Duration = Duration::from_secs(60);
/// How long a request may take, but for those that wait for a model.
const ANSWER: Duration = Duration::from_secs(30);
/// Bytes of one event: a part of a message whole, with what a tool has put out.
const EVENT: usize = turnwire_proto::limits::BATCH_BYTES;

/// What comes from it.
#[derive(Debug)]
pub(super) enum Heard {
    /// Lines, and its end.
    Process(Output),
    /// An event's JSON.
    Event(String),
    /// The stream of events has ended: what came meanwhile is to be asked for.
    Cut,
}

pub(super) struct Server {
    process: Process,
    base: String,
    password: String,
    client: Client,
    events: Option<(Response, Box<Parser>)>,
    ready: VecDeque<String>,
}

impl Server {
    /// Starts it and reads its events.
    pub(super) async fn start(setup: &Setup, heard: &mut Vec<Output>) -> Result<Self, Failure> {
        let program = setup.program.clone().unwrap_or_else(|| "opencode".into());
        let mut args: Vec<_> = ["serve", "--hostname", "127.0.0.1", "--port", "0"]
            .map(Into::into)
            .into();
        args.extend(setup.args.iter().cloned());
        let password = uuid::Uuid::new_v4().to_string();
        let mut process = Process::start(setup, &program, &args, |command| {
            command
                .env("OPENCODE_SERVER_PASSWORD", &password)
                .env_remove("OPENCODE_SERVER_USERNAME");
        })?;
        process.close_stdin();
        let base = match timeout(START, address(&mut process, heard)).await {
            Ok(base) => base?,
            Err(_) => {
                return Err(Failure::Gone(format!(
                    "opencode does not listen after {} s",
                    START.as_secs()
                )));
            }
        };
        let mut server = Self {
            process,
            base,
            password,
            client: client()?,
            events: None,
            ready: VecDeque::new(),
        };
        server.listen().await?;
        Ok(server)
    }

    /// Opens the stream of events, and has it when this returns.
    pub(super) async fn listen(&mut self) -> Result<(), Failure> {
        let opened = timeout(ANSWER, self.request(Method::GET, "/event").send()).await;
        let response = match opened {
            Ok(Ok(response)) if response.status().is_success() => response,
            Ok(Ok(response)) => return Err(Failure::Gone(format!("opencode's events: {}", response.status()))),
            Ok(Err(error)) => return Err(Failure::Gone(format!("opencode's events: {error}"))),
            Err(_) => return Err(Failure::Gone("opencode's events do not begin".to_owned())),
        };
        let limits = Limits {
            line: EVENT,
            event: EVENT,
        };
        self.events = Some((response, Box::new(Parser::with_limits(limits))));
        Ok(())
    }

    /// What comes next. Cancel-safe.
    pub(super) async fn next(&mut self) -> Heard {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Heard::Event(event);
            }
            let Some((response, parser)) = &mut self.events else {
                return Heard::Process(self.process.next().await);
            };
            tokio::select! {
                said = self.process.next() => return Heard::Process(said),
                piece = response.chunk() => {
                    let whole = match piece {
                        Ok(Some(piece)) => take(parser, &piece, &mut self.ready).is_ok(),
                        Ok(None) | Err(_) => false,
                    };
                    if !whole {
                        self.events = None;
                        return Heard::Cut;
                    }
                }
            }
        }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.base);
        self.client
            .request(method, url)
            .basic_auth("opencode", Some(&self.password))
    }

    /// Asks it for something.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Failure> {
        answer(self.request(Method::GET, path).timeout(ANSWER)).await
    }

    /// Has it do something.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        answer(self.sending(path, body).timeout(ANSWER)).await
    }

    /// The same for what takes as long as a model takes: to be waited for beside everything else.
    pub(super) fn posting(
        &self,
        path: &str,
        body: &Value,
    ) -> impl Future<Output = Result<Value, Failure>> + Send + use<> {
        answer(self.sending(path, body))
    }

    fn sending(&self, path: &str, body: &Value) -> reqwest::RequestBuilder {
        let request = self
            .request(Method::POST, path)
            .header("content-type", "application/json");
        request.body(body.to_string())
    }

    pub(super) async fn end(&mut self) {
        self.events = None;
        self.process.end().await;
    }
}

fn take(parser: &mut Parser, mut piece: &[u8], ready: &mut VecDeque<String>) -> Result<(), Oversize> {
    while let Some(item) = parser.next(&mut piece)? {
        if let Item::Message(message) = item {
            ready.push_back(message.data.to_owned());
        }
    }
    Ok(())
}

/// Where it listens, which it says.
async fn address(process: &mut Process, heard: &mut Vec<Output>) -> Result<String, Failure> {
    let mut last = String::new();
    loop {
        let said = process.next().await;
        match &said {
            Output::Line(line) | Output::Stderr(line) => {
                let line = String::from_utf8_lossy(line);
                let address = line
                    .split_whitespace()
                    .find(|word| word.starts_with("http://127.0.0.1:"));
                if let Some(address) = address.filter(|_| line.contains("listening")) {
                    return Ok(address.trim_end_matches('/').to_owned());
                }
                if !line.trim().is_empty() {
                    last = line.into_owned();
                }
            }
            Output::Exited(code) => {
                let code = code.map_or_else(String::new, |code| format!(" with code {code}"));
                return Err(Failure::Gone(format!("opencode serve ended{code}: {last}")));
            }
        }
        heard.push(said);
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Value, Failure> {
    let gone = |error: reqwest::Error| Failure::Gone(format!("opencode does not answer: {error}"));
    let response = request.send().await.map_err(gone)?;
    let status = response.status();
    let body = response.bytes().await.map_err(gone)?;
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status.is_success() {
        return Ok(value);
    }
    let places = [
        "/data/message",
        "/message",
        "/error/message",
        "/errors/0/message",
        "/name",
    ];
    let message = places.iter().find_map(|place| value.pointer(place)?.as_str());
    Err(Failure::Refused(format!(
        "opencode: {} ({status})",
        message.unwrap_or("refused")
    )))
}

fn client() -> Result<Client, Failure> {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        // When the program has installed another already, that one serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    // It is on this machine: no proxy reaches it, and it has no certificate.
    let client = Client::builder().no_proxy().tls_certs_only([]).connect_timeout(ANSWER);
    client.build().map_err(|error| Failure::Gone(error.to_string()))
}
