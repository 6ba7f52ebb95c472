//! Codex, by `codex app-server`: one process a session, turns and orders as JSON-RPC.
//!
//! - An approval is accept or decline: Codex takes no other arguments than its own, and is not told why it may not.
//! - Model, approval policy and sandbox are a turn's: what is told counts from the next one on.
//! - Compaction is a turn of its own, in which nothing is said.
//! - Threads of subagents speak in the same output: their turns are none of the runner's, their questions are.

use std::{collections::VecDeque, future, time::Duration};

use async_trait::async_trait;
use serde_json::{Value, json};
use turnwire_adapters::asks;
use turnwire_proto::{Json, Name, Object, command::Action};

use super::Setup;
use crate::{
    Ask, Driver, Failure, Outcome, Prompt, Signal, Tell, Verdict,
    process::{Output, Process},
    rpc::{Message, Rpc},
};

/// Approval policies, and sandboxes, by the words of its own options.
const POLICIES: &[&str] = &["untrusted", "on-request", "never"];
const SANDBOXES: &[(&str, &str)] = &[
    ("read-only", "readOnly"),
    ("workspace-write", "workspaceWrite"),
    ("danger-full-access", "dangerFullAccess"),
];

pub(super) fn make(setup: Setup) -> Box<dyn Driver> {
    Box::new(CodexApp {
        model: setup.model.clone(),
        mode: setup.permission_mode.clone(),
        conversation: setup.conversation.clone(),
        setup,
        rpc: None,
        turn: None,
        compacts: false,
        asked: Vec::new(),
        resets: None,
        says: VecDeque::new(),
    })
}

struct CodexApp {
    setup: Setup,
    rpc: Option<Rpc>,
    /// The thread, once it is known.
    conversation: Option<String>,
    model: Option<Name>,
    /// An approval policy or a sandbox, that is not told yet.
    mode: Option<Name>,
    /// The vendor's id of the turn that is under way.
    turn: Option<String>,
    /// A compaction was asked for; the next turn is it.
    compacts: bool,
    /// What waits for an answer.
    asked: Vec<Question>,
    /// When the vendor's limit is over, seconds since 1970.
    resets: Option<u64>,
    says: VecDeque<Signal>,
}

struct Question {
    name: Name,
    id: Value,
    method: String,
    params: Value,
}

impl CodexApp {
    async fn started(&mut self) -> Result<(&mut Rpc, String), Failure> {
        if self.rpc.is_none() {
            let mut args = vec!["app-server".into()];
            args.extend(self.setup.args.iter().cloned());
            let codex = "codex".into();
            let program = self.setup.program.as_ref().unwrap_or(&codex);
            let mut rpc = Rpc::new(Process::start(&self.setup, program, &args, |_| {})?);
            let thread = self.begin(&mut rpc).await;
            if thread.is_err() {
                rpc.end().await;
            }
            self.says.push_back(Signal::Conversation(thread?));
            self.rpc = Some(rpc);
        }
        match (&mut self.rpc, &self.conversation) {
            (Some(rpc), Some(thread)) => Ok((rpc, thread.clone())),
            _ => Err(Failure::Gone("Codex does not run".to_owned())),
        }
    }

    /// The first words, and the thread.
    async fn begin(&mut self, rpc: &mut Rpc) -> Result<String, Failure> {
        let client = json!({"name": "turnwire", "title": "Turnwire", "version": env!("CARGO_PKG_VERSION")});
        rpc.call("initialize", &json!({"clientInfo": client}), |_| true)
            .await
            .map_err(|failure| match failure {
                Failure::Gone(why) => Failure::Gone(format!(
                    "codex app-server did not start: {why}. A Codex without it is driven by the driver codex-exec"
                )),
                failure => failure,
            })?;
        rpc.notify("initialized", &json!({}))?;
        let mut params = json!({});
        if let Some(cwd) = &self.setup.cwd {
            params["cwd"] = json!(cwd);
        }
        if let Some(model) = &self.model {
            params["model"] = json!(model.as_str());
        }
        let method = if let Some(thread) = &self.conversation {
            params["threadId"] = json!(thread);
            params["excludeTurns"] = json!(true);
            "thread/resume"
        } else {
            "thread/start"
        };
        let result = rpc.call(method, &params, |_| true).await?;
        let thread = result["thread"]["id"].as_str().map(str::to_owned);
        let thread = thread.ok_or_else(|| Failure::Refused(format!("{method} named no thread")))?;
        self.conversation = Some(thread.clone());
        if let Some(model) = result["model"].as_str().and_then(Name::lossy) {
            self.says.push_back(Signal::Model(model));
        }
        Ok(thread)
    }

    fn hear(&mut self, said: Output) {
        match said {
            Output::Stderr(line) => self.says.push_back(Signal::Stderr(line)),
            Output::Exited(code) => self.has_ended(code),
            Output::Line(line) => {
                let message = Message::read(&line);
                self.says.push_back(Signal::Line(line));
                match message {
                    Message::Request { id, method, params } => self.asks(id, method, params),
                    Message::Notification { method, params } => self.tells(&method, &params),
                    Message::Answer { .. } | Message::Other => {}
                }
            }
        }
    }

    fn has_ended(&mut self, code: Option<i32>) {
        self.rpc = None;
        let gone = std::mem::take(&mut self.asked);
        self.says
            .extend(gone.into_iter().map(|question| Signal::AskGone(question.name)));
        (self.turn, self.compacts) = (None, false);
        self.says.push_back(Signal::Exited(code));
    }

    fn asks(&mut self, id: Value, method: String, params: Value) {
        let tool = match method.as_str() {
            "item/commandExecution/requestApproval" => "command_execution",
            "item/fileChange/requestApproval" => "file_change",
            "item/permissions/requestApproval" => "permissions",
            "item/tool/requestUserInput" => "request_user_input",
            "mcpServer/elicitation/request" => "elicitation",
            // Not for a person. Gone is told by its end.
            _ => {
                let _ = self.rpc.as_mut().map(|rpc| rpc.decline(&id, &method));
                return;
            }
        };
        let of = params["turnId"]
            .as_str()
            .or_else(|| params["threadId"].as_str())
            .unwrap_or_default();
        let Some(name) = asks::codex(of, &id.to_string()) else {
            return;
        };
        self.says.push_back(Signal::Asks(Ask {
            id: name.clone(),
            tool: tool.to_owned(),
        }));
        self.asked.push(Question {
            name,
            id,
            method,
            params,
        });
    }

    fn tells(&mut self, method: &str, params: &Value) {
        let ours = params["threadId"]
            .as_str()
            .is_none_or(|thread| Some(thread) == self.conversation.as_deref());
        let turn = &params["turn"];
        match method {
            "serverRequest/resolved" => {
                if let Some(at) = self
                    .asked
                    .iter()
                    .position(|question| question.id == params["requestId"])
                {
                    self.says.push_back(Signal::AskGone(self.asked.remove(at).name));
                }
            }
            "turn/started" if ours && self.compacts => self.turn = turn["id"].as_str().map(str::to_owned),
            "turn/completed" if ours && turn["id"].as_str() == self.turn.as_deref() => {
                let of = self.turn.take();
                // It says that of each itself, but later.
                let is_over = |question: &mut Question| question.params["turnId"].as_str() == of.as_deref();
                let gone = self.asked.extract_if(.., is_over);
                self.says.extend(gone.map(|question| Signal::AskGone(question.name)));
                if std::mem::take(&mut self.compacts) {
                    self.says.push_back(Signal::Compacting(false));
                }
                let outcome = outcome(turn, self.resets);
                self.says.push_back(Signal::TurnOver(outcome));
            }
            "item/started" | "item/completed"
                if ours && !self.compacts && params["item"]["type"] == "contextCompaction" =>
            {
                self.says.push_back(Signal::Compacting(method == "item/started"));
            }
            "account/rateLimits/updated" => {
                let limits = &params["rateLimits"];
                let ends = ["primary", "secondary"]
                    .iter()
                    .filter_map(|which| limits[which]["resetsAt"].as_u64());
                self.resets = ends.max().or(self.resets);
            }
            "model/rerouted" if ours => {
                if let Some(model) = params["toModel"].as_str().and_then(Name::lossy) {
                    self.says.push_back(Signal::Model(model));
                }
            }
            _ => {}
        }
    }
}

fn outcome(turn: &Value, resets: Option<u64>) -> Outcome {
    let error = &turn["error"];
    let info = &error["codexErrorInfo"];
    let status = info
        .as_object()
        .and_then(|info| info.values().next()?["httpStatusCode"].as_u64());
    match (turn["status"].as_str(), info.as_str(), status) {
        (Some("completed"), ..) => Outcome::Done,
        (Some("interrupted"), ..) => Outcome::Interrupted,
        (_, Some("contextWindowExceeded"), _) => Outcome::PromptTooLong,
        (_, Some("usageLimitExceeded" | "rateLimitExceeded"), _) | (_, _, Some(429)) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            let left = resets
                .zip(now.ok())
                .and_then(|(end, now)| end.checked_sub(now.as_secs()));
            Outcome::RateLimited(left.filter(|left| *left > 0).map(Duration::from_secs))
        }
        (_, Some("unauthorized"), _) | (_, _, Some(401)) => Outcome::NeedsLogin,
        _ => Outcome::Failed(error["message"].as_str().unwrap_or("Codex says no reason").to_owned()),
    }
}

/// The answer to what was asked. What was granted is granted for this turn.
fn verdict(question: &Question, approved: bool, arguments: Option<Value>) -> Value {
    match (question.method.as_str(), approved) {
        ("item/permissions/requestApproval", true) => {
            json!({"permissions": question.params["permissions"], "scope": "turn"})
        }
        ("item/permissions/requestApproval", false) => json!({"permissions": {}, "scope": "turn"}),
        ("item/tool/requestUserInput", _) => {
            let answers = arguments.filter(|_| approved).unwrap_or_else(|| json!({}));
            json!({"answers": answers.get("answers").cloned().unwrap_or(answers)})
        }
        ("mcpServer/elicitation/request", true) => {
            json!({"action": "accept", "content": arguments.unwrap_or_else(|| json!({}))})
        }
        ("mcpServer/elicitation/request", false) => json!({"action": "decline"}),
        (_, approved) => json!({"decision": if approved { "accept" } else { "decline" }}),
    }
}

#[async_trait]
impl Driver for CodexApp {
    fn adapter(&self) -> &'static str {
        "codex-app"
    }

    fn can_also(&self) -> &'static [Action] {
        &[Action::Compact, Action::SetModel, Action::SetPermissionMode]
    }

    async fn prompt(&mut self, prompt: &Prompt) -> Result<(), Failure> {
        let mut params = json!({
            "input": [{"type": "text", "text": prompt.text, "text_elements": []}],
            "clientUserMessageId": prompt.turn.as_str(),
        });
        if let Some(model) = &self.model {
            params["model"] = json!(model.as_str());
        }
        if let Some(mode) = self.mode.as_ref().map(Name::as_str) {
            match SANDBOXES.iter().find(|(word, _)| *word == mode) {
                Some((_, sandbox)) => params["sandboxPolicy"] = json!({"type": sandbox}),
                None => params["approvalPolicy"] = json!(mode),
            }
        }
        let (rpc, thread) = self.started().await?;
        params["threadId"] = json!(thread);
        let result = rpc.call("turn/start", &params, |_| true).await?;
        self.turn = result["turn"]["id"].as_str().map(str::to_owned);
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
        match what {
            Tell::Interrupt => {
                if let (Some(rpc), Some(thread), Some(turn)) = (&mut self.rpc, &self.conversation, &self.turn) {
                    rpc.ask("turn/interrupt", &json!({"threadId": thread, "turnId": turn}))?;
                }
                Ok(None)
            }
            Tell::Model(model) => {
                self.model = Some(model.clone());
                self.says.push_back(Signal::Model(model));
                Ok(None)
            }
            Tell::PermissionMode(mode) => {
                let word = mode.as_str();
                if !POLICIES.contains(&word) && !SANDBOXES.iter().any(|(sandbox, _)| *sandbox == word) {
                    return Err(Failure::Refused(format!(
                        "permission_mode must be untrusted, on-request, never, read-only, workspace-write or danger-full-access, \
                         not {word}"
                    )));
                }
                self.mode = Some(mode);
                Ok(None)
            }
            Tell::Compact(hint) => {
                if hint.is_some() {
                    return Err(Failure::Unsupported(
                        "Codex takes no words on what to keep; compact without them".to_owned(),
                    ));
                }
                let (rpc, thread) = self.started().await?;
                rpc.call("thread/compact/start", &json!({"threadId": thread}), |_| true)
                    .await?;
                self.compacts = true;
                self.says.push_back(Signal::Compacting(true));
                Ok(None)
            }
            Tell::StopTask(_) => Err(Failure::Unsupported(
                "Codex has no tasks beside a turn; interrupt ends the turn".to_owned(),
            )),
            Tell::Custom(name, _) => Err(Failure::Unsupported(format!("Codex knows no order {name}"))),
        }
    }

    async fn answer(&mut self, id: &Name, given: &Verdict) -> Result<(), Failure> {
        let Some(at) = self.asked.iter().position(|question| question.name == *id) else {
            return Ok(());
        };
        let question = self.asked.remove(at);
        let Some(rpc) = &mut self.rpc else {
            return Err(Failure::Gone("Codex has ended".to_owned()));
        };
        let takes = matches!(
            question.method.as_str(),
            "item/tool/requestUserInput" | "mcpServer/elicitation/request"
        );
        let (mut approved, mut arguments) = match given {
            Verdict::Approved { arguments } => (true, arguments.as_ref()),
            Verdict::Denied { .. } => (false, None),
        };
        let edited = arguments.is_some() && !takes;
        if edited {
            // What was not asked for was not approved either.
            (approved, arguments) = (false, None);
        }
        let arguments = arguments.and_then(|arguments: &Json| arguments.read().ok());
        let line = rpc.answer(&question.id, &verdict(&question, approved, arguments))?;
        self.says.push_back(Signal::Line(line));
        if edited {
            return Err(Failure::Unsupported(
                "Codex runs what it asked for or nothing: with other arguments it was declined".to_owned(),
            ));
        }
        Ok(())
    }

    async fn end(&mut self) {
        if let Some(mut rpc) = self.rpc.take() {
            rpc.end().await;
        }
        (self.turn, self.compacts) = (None, false);
        self.asked.clear();
        self.says.clear();
    }
}
