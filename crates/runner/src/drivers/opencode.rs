//! opencode, by the HTTP server that `opencode serve` is: one process a session.
//!
//! - A model is named with its provider, `anthropic/claude-sonnet-4-5`; a permission mode is one of its agents, `build` or `plan`.
//! - A lost stream of events repeats nothing: what came meanwhile is asked for, and told as the events that it would have been.
//! - `session.idle` may come twice: one ends the turn only when the turn has had its answer, its error or its interrupt.
//! - Sessions of its subagents are other sessions: what they ask is asked here.

mod server;

use std::{collections::VecDeque, future, future::Future, pin::Pin, time::Duration};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::sleep;
use turnwire_proto::{Name, Object, command::Action};

use super::Setup;
use crate::{Ask, Driver, Failure, Outcome, Prompt, Signal, Tell, Verdict, process::Output};
use server::{Heard, Server};

/// Between two tries to have the events again.
const AGAIN: Duration = Duration::from_millis(200);
/// Sessions of subagents that are remembered.
const CHILDREN: usize = 256;

type Asked = Pin<Box<dyn Future<Output = Result<Value, Failure>> + Send>>;

pub(super) fn make(setup: Setup) -> Box<dyn Driver> {
    Box::new(Opencode {
        model: setup.model.clone(),
        agent: setup.permission_mode.clone(),
        conversation: setup.conversation.clone(),
        setup,
        server: None,
        children: VecDeque::new(),
        answers: None,
        user: String::new(),
        turn: None,
        shortening: None,
        missed: false,
        asked: Vec::new(),
        says: VecDeque::new(),
    })
}

struct Opencode {
    setup: Setup,
    server: Option<Server>,
    /// The session, once it is known.
    conversation: Option<String>,
    /// Sessions of subagents.
    children: VecDeque<String>,
    model: Option<Name>,
    agent: Option<Name>,
    /// The model that answered last: provider and model.
    answers: Option<(String, String)>,
    /// The newest message of the user's.
    user: String,
    turn: Option<Turn>,
    /// A compaction that was asked for, until the server has answered.
    shortening: Option<Asked>,
    /// Events were missed, and not asked for yet.
    missed: bool,
    asked: Vec<Question>,
    says: VecDeque<Signal>,
}

/// The turn that is under way.
#[derive(Default)]
struct Turn {
    /// What was said before it.
    before: String,
    /// It has had its answer, its error or its interrupt: `session.idle` is its end.
    has_end: bool,
    outcome: Option<Outcome>,
    shortens: bool,
}

struct Question {
    name: Name,
    is_question: bool,
}

impl Opencode {
    async fn started(&mut self) -> Result<(&mut Server, String), Failure> {
        if self.server.is_none() {
            let mut heard = Vec::new();
            let server = Server::start(&self.setup, &mut heard).await;
            self.says.extend(heard.into_iter().filter_map(word));
            let mut server = server?;
            let session = begin(&server, self.conversation.as_deref()).await;
            if session.is_err() {
                server.end().await;
            }
            let (session, newest) = session?;
            self.user = newest;
            self.says.push_back(Signal::Conversation(session.clone()));
            self.conversation = Some(session);
            self.server = Some(server);
        }
        match (&mut self.server, &self.conversation) {
            (Some(server), Some(session)) => Ok((server, session.clone())),
            _ => Err(Failure::Gone("opencode does not run".to_owned())),
        }
    }

    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Process(Output::Exited(code)) => {
                self.server = None;
                self.forget();
                self.says.push_back(Signal::Exited(code));
            }
            // It prints what is for people.
            Heard::Process(said) => self.says.extend(word(said)),
            Heard::Event(event) => {
                if let Ok(value) = serde_json::from_str(&event) {
                    self.event(&value, event);
                }
            }
            Heard::Cut => self.missed = true,
        }
    }

    /// Nothing is under way any more.
    fn forget(&mut self) {
        self.turn = None;
        self.shortening = None;
        self.missed = false;
        let gone = std::mem::take(&mut self.asked);
        self.says
            .extend(gone.into_iter().map(|question| Signal::AskGone(question.name)));
    }

    /// An event, as far as it is of this session or a question of its subagents'.
    fn event(&mut self, event: &Value, line: String) {
        let kind = event["type"].as_str().unwrap_or_default();
        let of = &event["properties"];
        let session = of["sessionID"].as_str();
        let ours = session.is_some() && session == self.conversation.as_deref();
        if kind == "session.created" {
            let parent = of["info"]["parentID"].as_str();
            let is_child = parent.is_some_and(|parent| self.is_known(parent));
            if let Some(child) = of["info"]["id"].as_str().filter(|_| is_child) {
                if self.children.len() >= CHILDREN {
                    self.children.pop_front();
                }
                self.children.push_back(child.to_owned());
            }
        }
        let asks = matches!(kind, "permission.asked" | "question.asked");
        let answered = matches!(kind, "permission.replied" | "question.replied" | "question.rejected");
        if !ours && !((asks || answered) && session.is_some_and(|session| self.is_known(session))) {
            return;
        }
        let over = kind == "session.idle" && self.turn.as_ref().is_some_and(|turn| turn.has_end);
        // One that ends nothing would end what has just begun.
        if kind == "session.idle" && !over {
            return;
        }
        self.says.push_back(Signal::Line(line.into()));
        match kind {
            _ if over => self.over(),
            "message.updated" => self.message(&of["info"]),
            "session.error" => self.error(&of["error"]),
            "message.part.updated" if of["part"]["type"] == "compaction" => self.shortens(),
            "session.compacted" => self.says.push_back(Signal::Compacting(false)),
            _ if asks => self.asks(kind, of),
            _ if answered => self.answered(of),
            _ => {}
        }
    }

    fn is_known(&self, session: &str) -> bool {
        self.conversation.as_deref() == Some(session) || self.children.iter().any(|child| child == session)
    }

    /// The context is being made shorter, because it was told to or by itself.
    fn shortens(&mut self) {
        if self.turn.as_ref().is_none_or(|turn| !turn.shortens) {
            self.says.push_back(Signal::Compacting(true));
        }
    }

    fn message(&mut self, info: &Value) {
        let id = info["id"].as_str().unwrap_or_default();
        if info["role"] == "user" {
            if id > self.user.as_str() {
                id.clone_into(&mut self.user);
            }
            return;
        }
        if let (Some(provider), Some(model)) = (info["providerID"].as_str(), info["modelID"].as_str()) {
            let now = (provider.to_owned(), model.to_owned());
            if self.answers.as_ref() != Some(&now) {
                self.says
                    .extend(Name::lossy(&format!("{provider}/{model}")).map(Signal::Model));
                self.answers = Some(now);
            }
        }
        let Some(turn) = &mut self.turn else { return };
        // An answer to what was said in this turn, or in what it has led to.
        let is_ours = info["parentID"]
            .as_str()
            .is_some_and(|parent| parent > turn.before.as_str());
        if is_ours && info["time"].get("completed").is_some() {
            turn.has_end = true;
            if let Some(error) = info.get("error").filter(|error| !error.is_null()) {
                turn.outcome = Some(outcome(error));
            }
        }
    }

    fn error(&mut self, error: &Value) {
        if let Some(turn) = &mut self.turn {
            turn.has_end = true;
            turn.outcome = Some(outcome(error));
        }
    }

    fn over(&mut self) {
        let Some(turn) = self.turn.take() else { return };
        let gone = std::mem::take(&mut self.asked);
        self.says
            .extend(gone.into_iter().map(|question| Signal::AskGone(question.name)));
        if turn.shortens {
            self.says.push_back(Signal::Compacting(false));
        }
        self.says
            .push_back(Signal::TurnOver(turn.outcome.unwrap_or(Outcome::Done)));
    }

    fn asks(&mut self, kind: &str, of: &Value) {
        let is_question = kind == "question.asked";
        let Some(name) = of["id"].as_str().and_then(|id| Name::new(id).ok()) else {
            return;
        };
        if self.asked.iter().any(|question| question.name == name) {
            return;
        }
        let tool = if is_question {
            "question"
        } else {
            of["permission"].as_str().unwrap_or("unknown")
        };
        self.says.push_back(Signal::Asks(Ask {
            id: name.clone(),
            tool: tool.to_owned(),
        }));
        self.asked.push(Question { name, is_question });
    }

    fn answered(&mut self, of: &Value) {
        let id = of["requestID"].as_str().unwrap_or_default();
        if let Some(at) = self.asked.iter().position(|question| question.name.as_str() == id) {
            self.says.push_back(Signal::AskGone(self.asked.remove(at).name));
        }
    }

    /// Asks for what came while there were no events, and tells it as events. Nothing is told before all of it is there.
    async fn catch_up(&mut self) -> Result<(), Failure> {
        let (Some(server), Some(session)) = (&mut self.server, self.conversation.clone()) else {
            self.missed = false;
            return Ok(());
        };
        server.listen().await?;
        // First whether it works, then what it has said: a turn that is over by now has all of its messages in what comes next. One that
        // ends in between says so on the stream.
        let doing = server.get("/session/status").await?;
        let messages = server.get(&format!("/session/{session}/message?limit=100")).await?;
        let permissions = server.get("/permission").await?;
        let questions = server.get("/question").await?;
        self.missed = false;
        let from = self.turn.as_ref().map_or(&self.user, |turn| &turn.before).clone();
        let event = |kind: &str, of: Value| json!({"type": kind, "properties": of});
        let mut events = Vec::new();
        for message in list(&messages) {
            let info = &message["info"];
            if info["id"].as_str().is_none_or(|id| id <= from.as_str()) {
                continue;
            }
            events.push(event("message.updated", json!({"sessionID": session, "info": info})));
            let parts = list(&message["parts"]).iter();
            events.extend(parts.map(|part| event("message.part.updated", json!({"sessionID": session, "part": part}))));
        }
        events.extend(
            list(&permissions)
                .iter()
                .map(|asked| event("permission.asked", asked.clone())),
        );
        events.extend(
            list(&questions)
                .iter()
                .map(|asked| event("question.asked", asked.clone())),
        );
        let busy = &doing[session.as_str()]["type"];
        if *busy != "busy" && *busy != "retry" {
            events.push(event("session.idle", json!({"sessionID": session})));
        }
        for event in events {
            self.event(&event, event.to_string());
        }
        Ok(())
    }

    fn model(&self) -> Result<Option<(String, String)>, Failure> {
        self.model.as_ref().map(|model| split(model.as_str())).transpose()
    }
}

/// The session, the one to go on with or a new one, and its newest message.
async fn begin(server: &Server, conversation: Option<&str>) -> Result<(String, String), Failure> {
    let Some(session) = conversation else {
        let info = server.post("/session", &json!({})).await?;
        let id = info["id"].as_str().map(str::to_owned);
        let id = id.ok_or_else(|| Failure::Refused("opencode named no session".to_owned()))?;
        return Ok((id, String::new()));
    };
    let messages = server.get(&format!("/session/{session}/message?limit=2")).await?;
    let ids = list(&messages)
        .iter()
        .filter_map(|message| message["info"]["id"].as_str());
    Ok((session.to_owned(), ids.max().unwrap_or_default().to_owned()))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A line that is for people.
fn word(said: Output) -> Option<Signal> {
    match said {
        Output::Line(line) | Output::Stderr(line) => Some(Signal::Stderr(line)),
        Output::Exited(_) => None,
    }
}

fn split(model: &str) -> Result<(String, String), Failure> {
    match model.split_once('/') {
        Some((provider, model)) if !provider.is_empty() && !model.is_empty() => {
            Ok((provider.to_owned(), model.to_owned()))
        }
        _ => Err(Failure::Refused(format!(
            "model must name its provider, as in anthropic/claude-sonnet-4-5, not {model}"
        ))),
    }
}

fn outcome(error: &Value) -> Outcome {
    let (name, data) = (error["name"].as_str().unwrap_or_default(), &error["data"]);
    let message = data["message"].as_str().unwrap_or(name);
    let small = message.to_ascii_lowercase();
    let long = [
        "prompt is too long",
        "context length",
        "context window",
        "maximum number of tokens",
    ];
    match (name, data["statusCode"].as_u64()) {
        ("MessageAbortedError", _) => Outcome::Interrupted,
        ("ProviderAuthError", _) | (_, Some(401)) => Outcome::NeedsLogin,
        ("ContextOverflowError", _) => Outcome::PromptTooLong,
        (_, Some(429)) => {
            let after = data["responseHeaders"]["retry-after"].as_str();
            Outcome::RateLimited(after.and_then(|after| after.parse().ok()).map(Duration::from_secs))
        }
        (_, Some(400 | 413)) if long.iter().any(|long| small.contains(long)) => Outcome::PromptTooLong,
        _ => Outcome::Failed(message.to_owned()),
    }
}

#[async_trait]
impl Driver for Opencode {
    fn adapter(&self) -> &'static str {
        "opencode-server"
    }

    fn can_also(&self) -> &'static [Action] {
        &[Action::Compact, Action::SetModel, Action::SetPermissionMode]
    }

    async fn prompt(&mut self, prompt: &Prompt) -> Result<(), Failure> {
        let mut body = json!({"parts": [{"type": "text", "text": prompt.text}]});
        if let Some((provider, model)) = self.model()? {
            body["model"] = json!({"providerID": provider, "modelID": model});
        }
        if let Some(agent) = &self.agent {
            body["agent"] = json!(agent.as_str());
        }
        let before = self.user.clone();
        let (server, session) = self.started().await?;
        server.post(&format!("/session/{session}/prompt_async"), &body).await?;
        self.turn = Some(Turn {
            before,
            ..Turn::default()
        });
        Ok(())
    }

    async fn next(&mut self) -> Signal {
        loop {
            if let Some(signal) = self.says.pop_front() {
                return signal;
            }
            if self.missed {
                // One that fails is tried again below; it may be ending, which is heard there.
                let _ = self.catch_up().await;
            }
            if !self.says.is_empty() {
                continue;
            }
            let Some(server) = &mut self.server else {
                return future::pending().await;
            };
            let answered = async {
                match &mut self.shortening {
                    Some(asked) => asked.await,
                    None => future::pending().await,
                }
            };
            let again = sleep(AGAIN);
            tokio::select! {
                heard = server.next() => self.hear(heard),
                answer = answered => {
                    self.shortening = None;
                    if let (Err(failure), Some(turn)) = (answer, &mut self.turn) {
                        turn.outcome = Some(Outcome::Failed(failure.to_string()));
                        self.over();
                    }
                }
                () = again, if self.missed => {}
            }
        }
    }

    async fn tell(&mut self, what: Tell) -> Result<Option<Object>, Failure> {
        match what {
            Tell::Interrupt => {
                if let (Some(server), Some(session), Some(turn)) = (&self.server, &self.conversation, &mut self.turn) {
                    turn.has_end = true;
                    turn.outcome = Some(Outcome::Interrupted);
                    server.post(&format!("/session/{session}/abort"), &json!({})).await?;
                }
                Ok(None)
            }
            Tell::Model(model) => {
                split(model.as_str())?;
                self.model = Some(model.clone());
                self.says.push_back(Signal::Model(model));
                Ok(None)
            }
            Tell::PermissionMode(agent) => {
                self.agent = Some(agent);
                Ok(None)
            }
            Tell::Compact(hint) => {
                if hint.is_some() {
                    return Err(Failure::Unsupported(
                        "opencode takes no words on what to keep; compact without them".to_owned(),
                    ));
                }
                let model = match self.model()? {
                    Some(model) => model,
                    None => self.answers.clone().ok_or_else(|| {
                        Failure::Refused(
                            "opencode has said nothing yet in this session: there is nothing to shorten".to_owned(),
                        )
                    })?,
                };
                let before = self.user.clone();
                let (server, session) = self.started().await?;
                let body = json!({"providerID": model.0, "modelID": model.1});
                let asked = server.posting(&format!("/session/{session}/summarize"), &body);
                self.shortening = Some(Box::pin(asked));
                self.turn = Some(Turn {
                    before,
                    shortens: true,
                    ..Turn::default()
                });
                self.says.push_back(Signal::Compacting(true));
                Ok(None)
            }
            Tell::StopTask(_) => Err(Failure::Unsupported(
                "opencode has no tasks beside a turn; interrupt ends the turn".to_owned(),
            )),
            Tell::Custom(name, _) => Err(Failure::Unsupported(format!("opencode knows no order {name}"))),
        }
    }

    async fn answer(&mut self, id: &Name, verdict: &Verdict) -> Result<(), Failure> {
        let Some(at) = self.asked.iter().position(|question| question.name == *id) else {
            return Ok(());
        };
        let question = self.asked.remove(at);
        let Some(server) = &self.server else {
            return Err(Failure::Gone("opencode has ended".to_owned()));
        };
        let mut edited = false;
        let (path, body) = match (verdict, question.is_question) {
            (Verdict::Approved { arguments }, true) => {
                let given: Option<Value> = arguments.as_ref().and_then(|arguments| arguments.read().ok());
                let answers = given.map(|given| given.get("answers").cloned().unwrap_or(given));
                (
                    format!("/question/{id}/reply"),
                    json!({"answers": answers.unwrap_or_else(|| json!([]))}),
                )
            }
            (Verdict::Denied { .. }, true) => (format!("/question/{id}/reject"), json!({})),
            (Verdict::Approved { arguments: None }, false) => {
                (format!("/permission/{id}/reply"), json!({"reply": "once"}))
            }
            (Verdict::Approved { .. }, false) => {
                edited = true;
                let message = "It was approved with other arguments, which cannot be given here.";
                (
                    format!("/permission/{id}/reply"),
                    json!({"reply": "reject", "message": message}),
                )
            }
            (Verdict::Denied { message }, false) => (
                format!("/permission/{id}/reply"),
                json!({"reply": "reject", "message": message}),
            ),
        };
        match server.post(&path, &body).await {
            // Somebody has answered it elsewhere.
            Err(Failure::Refused(_)) | Ok(_) if !edited => Ok(()),
            Ok(_) | Err(Failure::Refused(_)) => Err(Failure::Unsupported(
                "opencode runs what it asked for or nothing: with other arguments it was rejected".to_owned(),
            )),
            Err(failure) => Err(failure),
        }
    }

    async fn end(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.end().await;
        }
        self.forget();
        self.says.clear();
    }
}
