//! JSON-RPC 2.0 over a program's standard input and output, a message a line, requests both ways.
//!
//! Requests of this side have strings for ids, with the method in them: a result with another id is an answer to a request of the
//! other side's, and what a result is of is told, also to who reads the lines later.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    Failure,
    process::{Output, Process},
};

/// How long a program may take to answer. Agents' programs have been seen to need 10 s for their start on a busy machine.
const ANSWER: Duration = Duration::from_secs(60);
/// Lines that come before an answer, kept for [`Rpc::next`]. A start has a few dozen.
const BEFORE: usize = 10_000;

/// A program that is spoken to.
#[derive(Debug)]
pub(crate) struct Rpc {
    process: Process,
    asked: u64,
    /// What was heard while an answer was waited for.
    heard: VecDeque<Output>,
}

/// Which messages that come before an answer are kept.
pub(crate) type Keep = fn(&Message) -> bool;

/// What a line says.
#[derive(Debug)]
pub(crate) enum Message {
    /// The other side wants to know something.
    Request { id: Value, method: String, params: Value },
    /// It tells something.
    Notification { method: String, params: Value },
    /// It answers the request of this id.
    Answer { id: String, result: Result<Value, Value> },
    /// No message of this protocol.
    Other,
}

impl Message {
    pub(crate) fn read(line: &[u8]) -> Self {
        let Ok(Value::Object(mut line)) = serde_json::from_slice(line) else {
            return Self::Other;
        };
        let id = line.remove("id").filter(|id| !id.is_null());
        let params = line.remove("params").unwrap_or_default();
        match (line.remove("method"), id) {
            (Some(Value::String(method)), Some(id)) => Self::Request { id, method, params },
            (Some(Value::String(method)), None) => Self::Notification { method, params },
            (None, Some(Value::String(id))) => Self::Answer {
                id,
                result: match line.remove("error").filter(|error| !error.is_null()) {
                    Some(error) => Err(error),
                    None => Ok(line.remove("result").unwrap_or_default()),
                },
            },
            _ => Self::Other,
        }
    }
}

/// What an error says.
pub(crate) fn words(error: &Value) -> String {
    let message = error["message"].as_str().unwrap_or("it gave no reason");
    if let Some(details) = error["data"]["details"].as_str() {
        return format!("{message}: {details}");
    }
    // Some wrap their vendor's error whole.
    let inner: Option<Value> = serde_json::from_str(message).ok();
    let inner = inner.and_then(|inner| Some(inner["error"]["message"].as_str()?.to_owned()));
    inner.unwrap_or_else(|| message.to_owned())
}

impl Rpc {
    pub(crate) const fn new(process: Process) -> Self {
        Self {
            process,
            asked: 0,
            heard: VecDeque::new(),
        }
    }

    /// What comes next. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Output {
        match self.heard.pop_front() {
            Some(said) => said,
            None => self.process.next().await,
        }
    }

    /// Has this come next.
    pub(crate) fn put_back(&mut self, said: Output) {
        self.heard.push_front(said);
    }

    fn send(&mut self, message: &Value) -> Result<Bytes, Failure> {
        let line = message.to_string();
        self.process.send(format!("{line}\n"))?;
        Ok(line.into())
    }

    /// Tells something.
    pub(crate) fn notify(&mut self, method: &str, params: &Value) -> Result<(), Failure> {
        let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
        self.send(&message).map(drop)
    }

    /// Answers the request `id`; returns the line that was written.
    pub(crate) fn answer(&mut self, id: &Value, result: &Value) -> Result<Bytes, Failure> {
        self.send(&json!({"jsonrpc": "2.0", "id": id, "result": result}))
    }

    /// Says that it cannot do what the request `id` wants.
    pub(crate) fn decline(&mut self, id: &Value, method: &str) -> Result<Bytes, Failure> {
        let error = json!({"code": -32601, "message": format!("{method} is not supported here")});
        self.send(&json!({"jsonrpc": "2.0", "id": id, "error": error}))
    }

    /// Asks without waiting; returns the id that the answer will have.
    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> Result<String, Failure> {
        self.asked += 1;
        let id = format!("turnwire-{}-{method}", self.asked);
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.send(&message)?;
        Ok(id)
    }

    /// Asks and waits for the answer. What comes meanwhile is kept for [`Self::next`], as the answer's own line is, as far as
    /// `keep` wants it.
    pub(crate) async fn call(&mut self, method: &str, params: &Value, keep: Keep) -> Result<Value, Failure> {
        let result = self.try_call(method, params, keep).await?;
        result.map_err(|error| Failure::Refused(format!("{method}: {}", words(&error))))
    }

    /// The same, where an error is looked at.
    pub(crate) async fn try_call(
        &mut self,
        method: &str,
        params: &Value,
        keep: Keep,
    ) -> Result<Result<Value, Value>, Failure> {
        let id = self.ask(method, params)?;
        timeout(ANSWER, self.wait(&id, keep)).await.unwrap_or_else(|_| {
            Err(Failure::Gone(format!(
                "it has not answered {method} in {} s",
                ANSWER.as_secs()
            )))
        })
    }

    async fn wait(&mut self, wanted: &str, keep: Keep) -> Result<Result<Value, Value>, Failure> {
        loop {
            if self.heard.len() >= BEFORE {
                return Err(Failure::Gone("it says too much before it answers".to_owned()));
            }
            let said = self.process.next().await;
            match &said {
                Output::Line(line) => match Message::read(line) {
                    Message::Answer { id, result } if id == wanted => {
                        self.heard.push_back(said);
                        return Ok(result);
                    }
                    message if keep(&message) => self.heard.push_back(said),
                    _ => {}
                },
                Output::Stderr(_) => self.heard.push_back(said),
                Output::Exited(code) => {
                    let last = self.heard.iter().rev().find_map(|said| match said {
                        Output::Stderr(line) => Some(String::from_utf8_lossy(line).into_owned()),
                        _ => None,
                    });
                    let code = code.map_or_else(String::new, |code| format!(" with code {code}"));
                    return Err(Failure::Gone(format!(
                        "the program ended{code}: {}",
                        last.unwrap_or_else(|| "it said nothing".to_owned())
                    )));
                }
            }
        }
    }

    pub(crate) async fn end(&mut self) {
        self.process.end().await;
    }
}
