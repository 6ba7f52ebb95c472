//! Claude Code: one process a conversation, which reads prompts and control requests on its standard input (`stream-json`).
//!
//! - What it prints goes to the adapter line by line, but for the answers to our own control requests.
//! - It makes its context shorter by the command `/compact`, which ends with a `result` as a turn does.
//! - A conversation that it does not find any more (its files were deleted) is begun anew, and that is told.
//! - `set_model` makes it ask the vendor whether the model is there. When that question fails, the process is ended and the next
//!   one is started with the model.

mod line;

use std::{collections::VecDeque, ffi::OsString, future, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};
use turnwire_proto::{Json, Name, Object, command::Action};

use super::Setup;
use crate::{
    Ask, Driver, Failure, Outcome, Prompt, Signal, Tell, Verdict,
    process::{Output, Process},
};
use line::Line;

/// What it is called.
pub(super) const PROGRAM: &str = "claude";
/// How long an answer to a control request may take.
const ANSWER: Duration = Duration::from_secs(15);
/// What may be said while an answer is waited for: beyond it the answer is given up.
const HELD: usize = 4096;
/// Control requests that can be made as custom orders: they change nothing that the runner keeps.
const CUSTOM: &[&str] = &[
    "get_context_usage",
    "mcp_reconnect",
    "mcp_status",
    "mcp_toggle",
    "rewind_files",
];
/// Questions that are open at once; the adapter remembers as many.
const ASKS: usize = 1024;

pub(super) fn make(setup: Setup) -> Box<dyn Driver> {
    Box::new(Claude {
        setup,
        process: None,
        said: VecDeque::new(),
        asks: Vec::new(),
        requests: 0,
        answer: None,
        turn: Turn::default(),
    })
}

struct Claude {
    /// Its model, mode and conversation are those of the next process.
    setup: Setup,
    process: Option<Process>,
    /// What was read and not asked for.
    said: VecDeque<Signal>,
    /// Open questions and what their tools would be called with.
    asks: Vec<(Name, Json)>,
    requests: u64,
    /// The answer to the control request that is waited for, and its id.
    answer: Option<(String, Option<Value>)>,
    turn: Turn,
}

/// What is known of the turn that is open.
#[derive(Debug, Default)]
struct Turn {
    /// What was said, until the vendor has begun with it.
    asked: Option<String>,
    open: bool,
    interrupted: bool,
    /// The vendor's word for what failed, and when the limit that it told of ends.
    failed: Option<String>,
    resets: Option<Duration>,
}

impl Claude {
    fn start(&mut self) -> Result<&mut Process, Failure> {
        if self.process.is_none() {
            let program = self.setup.program.clone().unwrap_or_else(|| PROGRAM.into());
            let process = Process::start(&self.setup, &program, &self.args(), |command| {
                // A Claude Code that starts another one says so by this, and the other one then behaves otherwise.
                command.env_remove("CLAUDECODE");
            })?;
            self.process = Some(process);
        }
        self.process.as_mut().ok_or_else(gone)
    }

    fn args(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = [
            "-p",
            "--input-format",
            "stream-json",
            "--output-format",
            "stream-json",
            "--verbose",
            "--include-partial-messages",
            "--permission-prompt-tool",
            "stdio",
        ]
        .map(OsString::from)
        .to_vec();
        let mut option = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                args.extend([OsString::from(name), OsString::from(value)]);
            }
        };
        option("--model", self.setup.model.as_ref().map(Name::as_str));
        option(
            "--permission-mode",
            self.setup.permission_mode.as_ref().map(Name::as_str),
        );
        option("--resume", self.setup.conversation.as_deref());
        args.extend(self.setup.args.iter().cloned());
        args
    }

    /// Says a prompt, or a command of the vendor's that begins with a slash.
    fn say(&mut self, text: &str) -> Result<(), Failure> {
        let line = json!({
            "type": "user",
            "message": { "role": "user", "content": [{ "type": "text", "text": text }] },
            "parent_tool_use_id": null,
            "session_id": self.setup.conversation.as_deref().unwrap_or_default(),
        });
        self.start()?;
        self.turn = Turn {
            asked: Some(text.to_owned()),
            open: true,
            ..Turn::default()
        };
        self.write(&line)
    }

    fn write(&mut self, line: &Value) -> Result<(), Failure> {
        let process = self.process.as_mut().ok_or_else(gone)?;
        let mut bytes = line.to_string().into_bytes();
        bytes.push(b'\n');
        process.send(bytes)
    }

    /// Makes a control request and waits for its answer; what is said meanwhile is kept for [`Driver::next`].
    async fn request(&mut self, mut request: Value, subtype: &str) -> Result<Value, Failure> {
        self.requests += 1;
        let id = format!("turnwire-{}", self.requests);
        request["subtype"] = subtype.into();
        self.answer = Some((id.clone(), None));
        let line = json!({ "type": "control_request", "request_id": id, "request": request });
        self.write(&line)?;
        let deadline = Instant::now() + ANSWER;
        loop {
            if let Some((_, Some(answer))) = self.answer.take_if(|(_, answer)| answer.is_some()) {
                return refused(answer);
            }
            let process = self.process.as_mut().ok_or_else(gone)?;
            let output = match timeout_at(deadline, process.next()).await {
                Ok(output) if self.said.len() < HELD => output,
                _ => return Err(Failure::Refused(format!("Claude Code did not answer {subtype}"))),
            };
            self.read(output);
        }
    }

    fn read(&mut self, output: Output) {
        match output {
            Output::Line(line) => self.line(line),
            Output::Stderr(line) => self.said.push_back(Signal::Stderr(line)),
            Output::Exited(code) => {
                self.process = None;
                self.asks.clear();
                self.said.push_back(Signal::Exited(code));
            }
        }
    }

    fn line(&mut self, bytes: Bytes) {
        let line = Line::read(&bytes);
        if let Line::Answer(answer) = &line
            && let Some((id, waits)) = &mut self.answer
            && answer["request_id"] == **id
        {
            *waits = Some(answer.clone());
            return;
        }
        if let Line::Result(result) = &line
            && self.setup.conversation.is_some()
            && line::is_lost(result)
            && let Some(text) = self.turn.asked.take()
        {
            return self.begin_anew(&text);
        }
        self.said.push_back(Signal::Line(bytes));
        match line {
            Line::Init { session, model } => {
                self.turn.asked = None;
                if let Some(session) = session.filter(|session| self.setup.conversation.as_ref() != Some(session)) {
                    self.setup.conversation = Some(session.clone());
                    self.said.push_back(Signal::Conversation(session));
                }
                self.said.extend(model.map(Signal::Model));
            }
            Line::Compacting(begins) => self.said.push_back(Signal::Compacting(begins)),
            Line::Asks { id, tool, input } => {
                if self.asks.len() >= ASKS {
                    self.asks.remove(0);
                }
                self.asks.push((id.clone(), input));
                self.said.push_back(Signal::Asks(Ask { id, tool }));
            }
            Line::AskGone(id) => {
                self.asks.retain(|(ask, _)| *ask != id);
                self.said.push_back(Signal::AskGone(id));
            }
            Line::OtherRequest(id) => self.decline(&id),
            Line::Limit(resets) => self.turn.resets = resets,
            Line::ApiError(what) => self.turn.failed = Some(what),
            Line::Result(result) if self.turn.open => {
                let turn = std::mem::take(&mut self.turn);
                self.asks.clear();
                self.said.push_back(Signal::TurnOver(outcome(&result, &turn)));
            }
            Line::Result(_) | Line::Answer(_) | Line::Other => {}
        }
    }

    /// What it asks and this driver has nothing for: without an answer it would wait.
    fn decline(&mut self, id: &str) {
        let line = json!({
            "type": "control_response",
            "response": { "subtype": "error", "request_id": id, "error": "this client does not support it" },
        });
        // A program that is gone says so by its end.
        let _ = self.write(&line);
    }

    fn begin_anew(&mut self, text: &str) {
        let lost = self.setup.conversation.take().unwrap_or_default();
        let told = format!(
            "the conversation {lost} is not there any more: a new one begins, which does not know what was said"
        );
        self.said.push_back(Signal::Stderr(told.into()));
        // It ends by itself after such a result; dropping it makes sure.
        self.process = None;
        if let Err(failure) = self.say(text) {
            self.turn = Turn::default();
            self.said
                .push_back(Signal::TurnOver(Outcome::Failed(failure.to_string())));
        }
    }

    async fn set_model(&mut self, model: Name) -> Result<(), Failure> {
        if self.process.is_some() {
            match self.request(json!({ "model": model }), "set_model").await {
                Ok(_) => {}
                // It could not find out whether there is such a model.
                Err(Failure::Refused(why)) if why.contains("check_failed") && !self.turn.open => self.end().await,
                Err(failure) => return Err(failure),
            }
        }
        self.setup.model = Some(model);
        Ok(())
    }

    async fn set_mode(&mut self, mode: Name) -> Result<(), Failure> {
        if self.process.is_some() {
            self.request(json!({ "mode": mode }), "set_permission_mode").await?;
        }
        self.setup.permission_mode = Some(mode);
        Ok(())
    }
}

#[async_trait]
impl Driver for Claude {
    fn adapter(&self) -> &'static str {
        "claude"
    }

    fn can_also(&self) -> &'static [Action] {
        &[
            Action::Compact,
            Action::SetModel,
            Action::SetPermissionMode,
            Action::StopTask,
            Action::Custom,
        ]
    }

    async fn prompt(&mut self, prompt: &Prompt) -> Result<(), Failure> {
        self.say(&prompt.text)
    }

    async fn next(&mut self) -> Signal {
        loop {
            if let Some(said) = self.said.pop_front() {
                return said;
            }
            let Some(process) = &mut self.process else {
                return future::pending().await;
            };
            // Nothing is waited for between what comes and what is kept of it: dropping this loses nothing.
            let output = process.next().await;
            self.read(output);
        }
    }

    async fn tell(&mut self, what: Tell) -> Result<Option<Object>, Failure> {
        match what {
            Tell::Interrupt if !self.turn.open || self.process.is_none() => Ok(None),
            Tell::Interrupt => {
                self.turn.interrupted = true;
                let receipt = self.request(json!({}), "interrupt").await?;
                Ok(Object::new(Json::of(&receipt)))
            }
            Tell::Model(model) => self.set_model(model).await.map(|()| None),
            Tell::PermissionMode(mode) => self.set_mode(mode).await.map(|()| None),
            Tell::Compact(instructions) => {
                let text = format!("/compact {}", instructions.unwrap_or_default());
                self.say(text.trim_end()).map(|()| None)
            }
            Tell::StopTask(task) => {
                let answer = self.request(json!({ "task_id": task }), "stop_task").await?;
                Ok(Object::new(Json::of(&answer)))
            }
            Tell::Custom(name, args) if CUSTOM.contains(&name.as_str()) => {
                let args = args.and_then(|args| args.read().ok()).unwrap_or_else(|| json!({}));
                let answer = self.request(args, name.as_str()).await?;
                Ok(Object::new(Json::of(&answer)))
            }
            Tell::Custom(..) => Err(Failure::Unsupported(format!(
                "of Claude Code there are {}",
                CUSTOM.join(", ")
            ))),
        }
    }

    async fn answer(&mut self, id: &Name, verdict: &Verdict) -> Result<(), Failure> {
        let Some(at) = self.asks.iter().position(|(ask, _)| ask == id) else {
            return Ok(());
        };
        let (_, input) = self.asks.remove(at);
        let response = match verdict {
            Verdict::Approved { arguments } => {
                json!({ "behavior": "allow", "updatedInput": arguments.as_ref().unwrap_or(&input) })
            }
            Verdict::Denied { message } => json!({ "behavior": "deny", "message": message }),
        };
        let line = json!({
            "type": "control_response",
            "response": { "subtype": "success", "request_id": id, "response": response },
        });
        self.write(&line)
    }

    async fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.end().await;
        }
        self.said.clear();
        self.asks.clear();
        self.turn = Turn::default();
    }
}

fn gone() -> Failure {
    Failure::Gone("Claude Code does not run".to_owned())
}

/// The answer's body, or the vendor's no.
fn refused(mut answer: Value) -> Result<Value, Failure> {
    if answer["subtype"] == "error" {
        let why = answer["error"].as_str().unwrap_or("it said no");
        let code = answer["error_code"]
            .as_str()
            .map(|code| format!(" ({code})"))
            .unwrap_or_default();
        return Err(Failure::Refused(format!("{why}{code}")));
    }
    Ok(answer["response"].take())
}

/// How a turn ended. A failure is a `result`, too, of whatever subtype.
fn outcome(result: &Value, turn: &Turn) -> Outcome {
    let subtype = result["subtype"].as_str().unwrap_or("success");
    if subtype == "success" && result["is_error"] != true {
        return Outcome::Done;
    }
    if turn.interrupted {
        return Outcome::Interrupted;
    }
    let errors = result["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let mut text = errors.collect::<Vec<_>>().join("; ");
    if text.is_empty() {
        text = result["result"].as_str().unwrap_or(subtype).to_owned();
    }
    let lower = text.to_lowercase();
    let status = result["api_error_status"].as_u64();
    let failed = turn.failed.as_deref().unwrap_or_default();
    if lower.contains("prompt is too long") {
        Outcome::PromptTooLong
    } else if matches!(status, Some(429 | 529)) || failed == "rate_limit" || lower.contains("usage limit reached") {
        Outcome::RateLimited(turn.resets)
    } else if status == Some(401) || failed == "authentication_failed" || lower.contains("please run /login") {
        Outcome::NeedsLogin
    } else {
        Outcome::Failed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_says_what_to_do_next() {
        let failed = |result: &str, status: Value| json!({"subtype": "success", "is_error": true, "result": result, "api_error_status": status});
        let during = json!({"subtype": "error_during_execution", "is_error": true, "errors": ["[ede] x"]});
        for (result, word, want) in [
            (
                json!({"subtype": "success", "is_error": false, "result": "hello"}),
                "",
                Outcome::Done,
            ),
            (
                failed("Prompt is too long", json!(400)),
                "invalid_request",
                Outcome::PromptTooLong,
            ),
            (failed("API Error: 429", json!(429)), "", Outcome::RateLimited(None)),
            (
                failed("API Error: Overloaded", json!(529)),
                "",
                Outcome::RateLimited(None),
            ),
            (
                failed("You've hit your limit", Value::Null),
                "rate_limit",
                Outcome::RateLimited(None),
            ),
            (failed("Invalid API key", json!(401)), "", Outcome::NeedsLogin),
            (
                failed("Not logged in · Please run /login", Value::Null),
                "",
                Outcome::NeedsLogin,
            ),
            (
                failed("API Error: 500", json!(500)),
                "server_error",
                Outcome::Failed("API Error: 500".into()),
            ),
            (during, "", Outcome::Failed("[ede] x".into())),
            (
                json!({"subtype": "error_max_turns", "is_error": true}),
                "",
                Outcome::Failed("error_max_turns".into()),
            ),
        ] {
            let turn = Turn {
                failed: Some(word.to_owned()),
                ..Turn::default()
            };
            assert_eq!(outcome(&result, &turn), want, "{result}");
        }
        let interrupted = Turn {
            interrupted: true,
            ..Turn::default()
        };
        assert_eq!(outcome(&failed("x", json!(429)), &interrupted), Outcome::Interrupted);
    }
}
