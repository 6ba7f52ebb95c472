//! Agents that speak ACP, the Agent Client Protocol, over their standard input and output: Gemini CLI, and others.
//!
//! - A turn is the request `session/prompt`; its answer is the end.
//! - A conversation is gone on with by `session/load` where the agent has that. What it tells of what was said before is dropped: it
//!   was told when it was said.
//! - Files and terminals of the client are not offered: the agent has its own.

use std::{
    collections::VecDeque,
    future,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use turnwire_adapters::asks;
use turnwire_proto::{Name, Object, command::Action};

use super::Setup;
use crate::{
    Ask, Driver, Failure, Outcome, Prompt, Signal, Tell, Verdict,
    process::{Output, Process},
    rpc::{Message, Rpc, words},
};

/// How long Gemini CLI may take to tell again what was said. It does so behind its answer, and then which commands it has.
const TOLD_AGAIN: Duration = Duration::from_secs(10);

/// Gemini CLI.
pub(super) fn gemini(setup: Setup) -> Box<dyn Driver> {
    let program = setup.program.clone().unwrap_or_else(|| "gemini".into());
    let mut args = vec!["--acp".into()];
    args.extend(setup.args.iter().cloned());
    Box::new(Acp::new(setup, Some((program, args))))
}

/// Any agent: its command is the arguments.
pub(super) fn any(setup: Setup) -> Box<dyn Driver> {
    let mut words: VecDeque<_> = setup.program.iter().chain(&setup.args).cloned().collect();
    let command = words.pop_front().map(|program| (program, words.into()));
    Box::new(Acp::new(setup, command))
}

struct Acp {
    setup: Setup,
    command: Option<(std::ffi::OsString, Vec<std::ffi::OsString>)>,
    rpc: Option<Rpc>,
    conversation: Option<String>,
    /// The minute since 1970 in which this conversation was begun, where that was here.
    begun: Option<u64>,
    is_gemini: bool,
    model: Option<Name>,
    mode: Option<Name>,
    /// The id of the request that is the turn.
    turn: Option<String>,
    asked: Vec<Question>,
    says: VecDeque<Signal>,
}

struct Question {
    name: Name,
    id: Value,
    options: Value,
}

/// Nobody is signed in: an outcome, not a failure.
enum Refused {
    NeedsLogin,
    Failure(Failure),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl Acp {
    fn new(setup: Setup, command: Option<(std::ffi::OsString, Vec<std::ffi::OsString>)>) -> Self {
        Self {
            model: setup.model.clone(),
            mode: setup.permission_mode.clone(),
            conversation: setup.conversation.clone(),
            setup,
            command,
            rpc: None,
            begun: None,
            is_gemini: false,
            turn: None,
            asked: Vec::new(),
            says: VecDeque::new(),
        }
    }

    async fn start(&mut self) -> Result<(), Refused> {
        if self.rpc.is_some() {
            return Ok(());
        }
        let Some((program, args)) = &self.command else {
            return Err(Failure::Gone("no program was named".to_owned()).into());
        };
        // It would begin a conversation of the same minute anew, in the same file.
        while self.is_gemini && self.begun.is_some_and(|begun| begun == minute()) {
            sleep(Duration::from_secs(1)).await;
        }
        let mut rpc = Rpc::new(Process::start(&self.setup, program, args, |_| {})?);
        match self.begin(&mut rpc).await {
            Ok(()) => {
                self.rpc = Some(rpc);
                Ok(())
            }
            Err(refused) => {
                rpc.end().await;
                Err(refused)
            }
        }
    }

    /// The first words, and the session.
    async fn begin(&mut self, rpc: &mut Rpc) -> Result<(), Refused> {
        let client = json!({"name": "turnwire", "title": "Turnwire", "version": env!("CARGO_PKG_VERSION")});
        let can = json!({"fs": {"readTextFile": false, "writeTextFile": false}, "terminal": false});
        let hello = json!({"protocolVersion": 1, "clientCapabilities": can, "clientInfo": client});
        let agent = rpc.call("initialize", &hello, |_| true).await?;
        self.is_gemini = agent["agentInfo"]["name"] == "gemini-cli";
        let loads = agent["agentCapabilities"]["loadSession"] == true;
        let mut params = json!({"cwd": self.directory(), "mcpServers": []});
        let method = match &self.conversation {
            Some(session) if loads => {
                params["sessionId"] = json!(session);
                "session/load"
            }
            Some(_) => {
                let text = "this agent cannot go on with a conversation in a new process: a new one begins";
                self.says.push_back(Signal::Stderr(text.into()));
                "session/new"
            }
            None => "session/new",
        };
        let is_new = method == "session/new";
        let live: fn(&Message) -> bool = |_| true;
        // What was said before comes before the answer.
        let keep = if is_new { live } else { is_no_update };
        let result = match rpc.try_call(method, &params, keep).await? {
            Ok(result) => result,
            Err(error) if needs_login(&error) => return Err(Refused::NeedsLogin),
            Err(error) => return Err(Failure::Refused(format!("{method}: {}", words(&error))).into()),
        };
        if is_new {
            let session = result["sessionId"].as_str().map(str::to_owned);
            let session = session.ok_or_else(|| Failure::Refused(format!("{method} named no session")))?;
            self.begun = Some(minute());
            self.says.push_back(Signal::Conversation(session.clone()));
            self.conversation = Some(session);
        } else if self.is_gemini {
            self.pass_over(rpc).await;
        }
        self.settle(rpc, &result).await
    }

    /// Drops what it tells again behind its answer.
    async fn pass_over(&mut self, rpc: &mut Rpc) {
        let over = async {
            loop {
                let said = rpc.next().await;
                let line = match &said {
                    Output::Line(line) => line,
                    Output::Stderr(_) => continue,
                    Output::Exited(_) => return said,
                };
                let message = Message::read(line);
                match &message {
                    Message::Notification { params, .. }
                        if params["update"]["sessionUpdate"] == "available_commands_update" =>
                    {
                        return said;
                    }
                    message if is_no_update(message) => self.says.push_back(Signal::Line(line.clone())),
                    _ => {}
                }
            }
        };
        if let Ok(said) = timeout(TOLD_AGAIN, over).await {
            rpc.put_back(said);
        }
    }

    /// The model and the mode that were chosen.
    async fn settle(&mut self, rpc: &mut Rpc, session: &Value) -> Result<(), Refused> {
        let id = self.conversation.clone().unwrap_or_default();
        let now = &session["models"]["currentModelId"];
        match &self.model {
            Some(model) if *now != model.as_str() => {
                rpc.call(
                    "session/set_model",
                    &json!({"sessionId": id, "modelId": model.as_str()}),
                    |_| true,
                )
                .await?;
                self.says.push_back(Signal::Model(model.clone()));
            }
            Some(_) => {}
            None => self.says.extend(now.as_str().and_then(Name::lossy).map(Signal::Model)),
        }
        if let Some(mode) = self
            .mode
            .as_ref()
            .filter(|mode| session["modes"]["currentModeId"] != mode.as_str())
        {
            rpc.call(
                "session/set_mode",
                &json!({"sessionId": id, "modeId": mode.as_str()}),
                |_| true,
            )
            .await?;
        }
        Ok(())
    }

    fn directory(&self) -> Value {
        let here = || std::env::current_dir().unwrap_or_else(|_| "/".into());
        let directory = self.setup.cwd.clone().unwrap_or_else(here);
        json!(std::path::absolute(&directory).unwrap_or(directory))
    }

    fn hear(&mut self, said: Output) {
        let line = match said {
            Output::Stderr(line) => return self.says.push_back(Signal::Stderr(line)),
            Output::Exited(code) => {
                self.rpc = None;
                self.turn = None;
                self.gone();
                return self.says.push_back(Signal::Exited(code));
            }
            Output::Line(line) => line,
        };
        let message = Message::read(&line);
        self.says.push_back(Signal::Line(line));
        match message {
            Message::Request { id, method, params } => self.asks(id, &method, &params),
            Message::Answer { id, result } if self.turn.as_ref() == Some(&id) => {
                self.turn = None;
                self.gone();
                self.says.push_back(Signal::TurnOver(outcome(&result)));
            }
            Message::Notification { .. } | Message::Answer { .. } | Message::Other => {}
        }
    }

    /// What was asked needs no answer any more.
    fn gone(&mut self) {
        let names = self.asked.drain(..).map(|question| question.name);
        self.says.extend(names.map(Signal::AskGone));
    }

    fn asks(&mut self, id: Value, method: &str, params: &Value) {
        let call = &params["toolCall"];
        let call_id = call["toolCallId"].as_str().unwrap_or_default();
        let session = params["sessionId"].as_str().unwrap_or_default();
        let is_permission = method == "session/request_permission";
        let Some(name) = asks::acp(session, call_id, &id.to_string()).filter(|_| is_permission) else {
            // Not for a person. Gone is told by its end.
            let _ = self.rpc.as_mut().map(|rpc| rpc.decline(&id, method));
            return;
        };
        self.says.push_back(Signal::Asks(Ask {
            id: name.clone(),
            tool: asks::acp_tool(call_id, call["kind"].as_str()),
        }));
        self.asked.push(Question {
            name,
            id,
            options: params["options"].clone(),
        });
    }

    async fn set(&mut self, method: &str, params: &Value) -> Result<(), Failure> {
        let Some(rpc) = &mut self.rpc else { return Ok(()) };
        match rpc.try_call(method, params, |_| true).await? {
            Ok(_) => Ok(()),
            Err(error) if error["code"] == -32601 => Err(Failure::Unsupported(format!(
                "this agent has no {method}: choose by its own options when it starts"
            ))),
            Err(error) => Err(Failure::Refused(format!("{method}: {}", words(&error)))),
        }
    }
}

fn minute() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs() / 60)
}

fn is_no_update(message: &Message) -> bool {
    !matches!(message, Message::Notification { method, .. } if method == "session/update")
}

fn needs_login(error: &Value) -> bool {
    let words = words(error).to_ascii_lowercase();
    let says = [
        "authentication required",
        "api key not valid",
        "please sign in",
        "not authenticated",
    ];
    matches!(error["code"].as_i64(), Some(-32000 | 401)) || says.iter().any(|says| words.contains(says))
}

fn outcome(result: &Result<Value, Value>) -> Outcome {
    let error = match result {
        Ok(result) => {
            return match result["stopReason"].as_str().unwrap_or_default() {
                "end_turn" => Outcome::Done,
                "cancelled" => Outcome::Interrupted,
                why => Outcome::Failed(why.to_owned()),
            };
        }
        Err(error) => error,
    };
    let words = words(error);
    let long = [
        "exceeds the maximum number of tokens",
        "prompt is too long",
        "context length",
        "context window",
    ];
    let is_long = long.iter().any(|long| words.contains(long));
    match error["code"].as_i64() {
        Some(429) => Outcome::RateLimited(None),
        _ if needs_login(error) => Outcome::NeedsLogin,
        _ if is_long => Outcome::PromptTooLong,
        _ => Outcome::Failed(words),
    }
}

/// The option to choose: for this once rather than always.
fn option(options: &Value, approved: bool) -> Option<&str> {
    let kinds = if approved {
        ["allow_once", "allow_always"]
    } else {
        ["reject_once", "reject_always"]
    };
    let options = options.as_array()?;
    let of = |kind: &&str| options.iter().find(|option| option["kind"] == **kind);
    kinds.iter().find_map(of)?["optionId"].as_str()
}

#[async_trait]
impl Driver for Acp {
    fn adapter(&self) -> &'static str {
        "acp"
    }

    fn can_also(&self) -> &'static [Action] {
        &[Action::SetModel, Action::SetPermissionMode]
    }

    async fn prompt(&mut self, prompt: &Prompt) -> Result<(), Failure> {
        match self.start().await {
            Ok(()) => {}
            Err(Refused::Failure(failure)) => return Err(failure),
            Err(Refused::NeedsLogin) => {
                self.says.push_back(Signal::TurnOver(Outcome::NeedsLogin));
                return Ok(());
            }
        }
        let (Some(rpc), Some(session)) = (&mut self.rpc, &self.conversation) else {
            return Err(Failure::Gone("the agent does not run".to_owned()));
        };
        let params = json!({"sessionId": session, "prompt": [{"type": "text", "text": prompt.text}]});
        self.turn = Some(rpc.ask("session/prompt", &params)?);
        Ok(())
    }

    async fn next(&mut self) -> Signal {
        loop {
            if let Some(signal) = self.says.pop_front() {
                return signal;
            }
            let Some(rpc) = &mut self.rpc else {
                return future::pending().await;
            };
            let said = rpc.next().await;
            self.hear(said);
        }
    }

    async fn tell(&mut self, what: Tell) -> Result<Option<Object>, Failure> {
        let session = self.conversation.clone();
        match what {
            Tell::Interrupt => {
                let Some(rpc) = self.rpc.as_mut().filter(|_| self.turn.is_some()) else {
                    return Ok(None);
                };
                rpc.notify("session/cancel", &json!({"sessionId": session}))?;
                // The protocol wants what is open answered so.
                for question in std::mem::take(&mut self.asked) {
                    let line = rpc.answer(&question.id, &json!({"outcome": {"outcome": "cancelled"}}))?;
                    self.says.push_back(Signal::Line(line));
                    self.says.push_back(Signal::AskGone(question.name));
                }
                Ok(None)
            }
            Tell::Model(model) => {
                self.set(
                    "session/set_model",
                    &json!({"sessionId": session, "modelId": model.as_str()}),
                )
                .await?;
                self.says.push_back(Signal::Model(model.clone()));
                self.model = Some(model);
                Ok(None)
            }
            Tell::PermissionMode(mode) => {
                self.set(
                    "session/set_mode",
                    &json!({"sessionId": session, "modeId": mode.as_str()}),
                )
                .await?;
                self.mode = Some(mode);
                Ok(None)
            }
            Tell::Compact(_) => Err(Failure::Unsupported(
                "ACP has no way to make the context shorter: begin a new session".to_owned(),
            )),
            Tell::StopTask(_) => Err(Failure::Unsupported(
                "ACP has no tasks beside a turn; interrupt ends the turn".to_owned(),
            )),
            Tell::Custom(name, _) => Err(Failure::Unsupported(format!("ACP has no order {name}"))),
        }
    }

    async fn answer(&mut self, id: &Name, verdict: &Verdict) -> Result<(), Failure> {
        let Some(at) = self.asked.iter().position(|question| question.name == *id) else {
            return Ok(());
        };
        let question = self.asked.remove(at);
        let Some(rpc) = &mut self.rpc else {
            return Err(Failure::Gone("the agent has ended".to_owned()));
        };
        let edited = matches!(verdict, Verdict::Approved { arguments: Some(_) });
        let approved = matches!(verdict, Verdict::Approved { arguments: None });
        let outcome = match option(&question.options, approved) {
            Some(option) => json!({"outcome": "selected", "optionId": option}),
            None => json!({"outcome": "cancelled"}),
        };
        let line = rpc.answer(&question.id, &json!({"outcome": outcome}))?;
        self.says.push_back(Signal::Line(line));
        if edited {
            return Err(Failure::Unsupported(
                "ACP runs what was asked for or nothing: with other arguments it was rejected".to_owned(),
            ));
        }
        Ok(())
    }

    async fn end(&mut self) {
        if let Some(mut rpc) = self.rpc.take() {
            rpc.end().await;
        }
        self.turn = None;
        self.asked.clear();
        self.says.clear();
    }
}
