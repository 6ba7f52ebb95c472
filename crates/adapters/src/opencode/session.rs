//! opencode's sessions as its database keeps them: rows of the table `event`, one a line, those of subagents among their session's.
//!
//! A line is a row and the session that it is followed in: `{"id":…,"root":…,"session":…,"seq":…,"type":…,"data":…}`.
//!
//! What is particular to them:
//! - They are what `opencode serve` tells of messages and their parts, each with a version at the end of its type. What is only said
//!   while it happens (pieces of text, questions, that the session is idle) is not kept.
//! - A part comes again and again as it grows, and is told once: when it has ended.
//! - A user's message names its turn; its text is a part of its own, which comes after it. `opencode run` puts an argument of
//!   several words into quotes.
//! - The turn ends with the message of the model that asks for no tool, or has an error.
//! - A subagent is a session with a parent. The call that started it names it, before it says anything: what it does is of that call.

use std::collections::VecDeque;

use turnwire_proto::{Empty, Json, Kind, LlmRequest, Message, SessionStart, TextDelta, TurnEnd};

use super::{
    error,
    server::{progress, remember},
    step_usage, tool,
};
use crate::{
    Adapter, Context,
    reader::{Reader, Vendor},
    scribe::{Page, with},
    view::Obj,
};

/// Subagents of one session that are remembered.
const AGENTS: usize = 256;

pub(crate) fn make(context: Context) -> Box<dyn Adapter> {
    Box::new(Reader::new(Stored::default(), context))
}

/// What must be remembered from line to line.
#[derive(Debug, Default)]
struct Stored {
    /// The session that the lines are of: what is of another is a subagent's.
    root: String,
    /// The newest messages of users: the session's own, and those that subagents were given.
    users: VecDeque<String>,
    /// The user's message whose turn has not begun yet: its text is still to come.
    asked: Option<String>,
    /// The model that answers.
    model: Option<String>,
    /// Parts that have become an event, messages that have ended.
    told: VecDeque<String>,
    agents: VecDeque<Agent>,
    /// The conversation is made shorter, and goes on then.
    shortens: bool,
}

/// A subagent that was started.
#[derive(Debug)]
struct Agent {
    session: String,
    call: String,
    over: bool,
}

impl Vendor for Stored {
    const SOURCE: &'static str = "opencode-session";
    const FILE: bool = true;

    fn object(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        let data = line.obj("data").unwrap_or_default();
        let of = line.text("session").or_else(|| data.text("sessionID"));
        let of = of.unwrap_or_default();
        if self.root.is_empty() {
            self.root = line.text("root").unwrap_or_else(|| of.clone());
        }
        page.session(&self.root);
        if let Some(id) = line.text("id") {
            page.line_is(&id);
        }
        let parent = self.parent(&of);
        let info = data.obj("info").unwrap_or_default();
        let times = info.obj("time").unwrap_or_default();
        let time = data.time("time").or_else(|| times.time("completed"));
        page.at(time.or_else(|| times.time("updated")).or_else(|| times.time("created")));
        let kind = line.text("type").unwrap_or_default();
        match unversioned(&kind) {
            "session.created" | "session.updated" if parent.is_none() => start(&info, page),
            "message.updated" if info.is("role", "assistant") => self.answer(&info, parent.is_some(), page),
            "message.updated" => self.asks(&info, parent.is_some()),
            "message.part.updated" => self.part(&data.obj("part").unwrap_or_default(), &data, parent, page),
            "session.created" | "session.updated" | "session.deleted" | "message.removed" | "message.part.removed" => {}
            "" => page.unknown("no type", &[]),
            other => page.unknown(other, &[]),
        }
    }

    fn ending(&mut self, page: &mut Page<'_>) {
        let open: Vec<String> = self
            .agents
            .iter()
            .filter(|it| !it.over)
            .map(|it| it.call.clone())
            .collect();
        open.iter().for_each(|call| self.end_agent(call, page));
    }
}

/// `message.updated.1` is `message.updated`.
fn unversioned(kind: &str) -> &str {
    match kind.rsplit_once('.') {
        Some((name, version)) if !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => kind,
    }
}

fn start(info: &Obj<'_>, page: &mut Page<'_>) {
    let body = SessionStart {
        model: info.obj("model").and_then(|model| model.text("id")),
        cwd: info.text("directory"),
        version: info.text("version"),
        ..SessionStart::default()
    };
    page.start_session(body, &[]);
}

impl Stored {
    /// The call that a session is within: that which started it, else the session itself.
    fn parent(&self, session: &str) -> Option<String> {
        if session.is_empty() || session == self.root {
            return None;
        }
        let started = self.agents.iter().rev().find(|agent| agent.session == session);
        Some(started.map_or(session, |agent| &agent.call).to_owned())
    }

    /// A user's message. One that was there comes again with more said of it.
    fn asks(&mut self, info: &Obj<'_>, nested: bool) {
        let Some(id) = info.text("id").filter(|id| !self.users.contains(id)) else {
            return;
        };
        remember(&mut self.users, &id);
        if !nested {
            self.asked = Some(id);
        }
    }

    /// Begins the turn of the user's message that waits for it, or any where none is open.
    fn begin(&mut self, prompt: Option<String>, page: &mut Page<'_>) {
        let open = page.scribe.turn().is_some();
        let asked = self.asked.take();
        // What the program asks itself, so as to go on, goes on in the turn.
        if (asked.is_none() || prompt.is_none()) && open {
            return;
        }
        page.scribe.label = None;
        page.scribe.next_turn = asked;
        self.shortens = false;
        page.start_turn(prompt);
    }

    /// A message of the model's. With its end a turn may end.
    fn answer(&mut self, info: &Obj<'_>, nested: bool, page: &mut Page<'_>) {
        let id = info.text("id").unwrap_or_default();
        if nested {
            return;
        }
        self.model = info.text("modelID").or_else(|| self.model.take());
        let failed = info.obj("error");
        let completed = info.obj("time").is_some_and(|time| time.get("completed").is_some());
        if !completed && failed.is_none() {
            // One that has ended does not begin again.
            if !self.told.contains(&id) {
                self.begin(None, page);
            }
            return;
        }
        if !self.first(&id) {
            return;
        }
        self.begin(None, page);
        let finish = info.text("finish");
        let note = match failed {
            Some(failed) if failed.is("name", "MessageAbortedError") => Some("interrupted".to_owned()),
            Some(_) => Some(error(info, page)),
            None if info.yes("summary") && self.shortens => return,
            None => match finish.as_deref() {
                // The agent goes on after these.
                None | Some("tool-calls" | "unknown") => return,
                Some("stop") => None,
                Some(_) => finish,
            },
        };
        let turn = page.scribe.turn().map(|turn| turn.id().clone());
        page.end_turn(TurnEnd {
            ok: note.is_none(),
            note,
            ..TurnEnd::default()
        });
        // Parts that come after it are its.
        page.scribe.label = turn;
    }

    /// A part, as far as it is whole.
    fn part(&mut self, part: &Obj<'_>, data: &Obj<'_>, parent: Option<String>, page: &mut Page<'_>) {
        let id = part.text("id").unwrap_or_default();
        let kind = part.text("type").unwrap_or_default();
        let message = part.text("messageID");
        let ended = part.obj("time").is_some_and(|time| time.get("end").is_some());
        let users = message.as_ref().is_some_and(|message| self.users.contains(message));
        match kind.as_str() {
            "text" if users => self.prompt(part, &id, parent, page),
            "text" | "reasoning" if !ended => {}
            "text" if self.first(&id) => {
                page.known_by(&["part", &id]);
                say("assistant", part, parent, page);
            }
            "reasoning" if self.first(&id) => {
                let body = TextDelta {
                    content: part.text("text").unwrap_or_default(),
                    message_id: message,
                    parent_tool_call_id: parent,
                };
                page.known_by(&["part", &id]);
                page.tell(Kind::REASONING, &body);
            }
            "tool" => self.call(part, data, parent, page),
            "step-start" if self.first(&id) => {
                let body = LlmRequest {
                    model: self.model.clone(),
                    ..LlmRequest::default()
                };
                page.known_by(&["part", &id]);
                page.write(
                    Kind::LLM_REQUEST,
                    with(&body, &[("parent_tool_call_id", parent.as_ref().map(Json::of))]),
                );
            }
            "step-finish" if self.first(&id) => {
                let mut usage = step_usage(part);
                usage.model = self.model.clone();
                page.known_by(&["part", &id]);
                let within = ("parent_tool_call_id", parent.as_ref().map(Json::of));
                page.usage_of(&usage, &[("message_id", part.json("messageID")), within]);
            }
            "compaction" if parent.is_none() && self.first(&id) => {
                self.begin(None, page);
                self.shortens = part.yes("auto");
                page.note("the conversation is compacted", &[("auto", part.json("auto"))]);
            }
            "retry" if self.first(&id) => {
                let error = part.obj("error").and_then(|error| error.obj("data"));
                let message = error.unwrap_or_default().text("message");
                page.error(
                    "api",
                    &message.unwrap_or_else(|| "it tries again".to_owned()),
                    Some(true),
                );
            }
            // Told already, or no part of what is said.
            "text" | "reasoning" | "step-start" | "step-finish" | "compaction" | "retry" | "agent" | "file"
            | "patch" | "snapshot" | "subtask" => {}
            other => page.unknown(other, &[]),
        }
    }

    /// A part of what a user's message says, or of what a subagent was given.
    fn prompt(&mut self, part: &Obj<'_>, id: &str, parent: Option<String>, page: &mut Page<'_>) {
        let text = part.text("text").unwrap_or_default();
        if text.is_empty() || !self.first(id) {
            return;
        }
        let own = part.yes("synthetic") || part.yes("ignored");
        let is_asked = self.asked.is_some() && self.asked == part.text("messageID");
        if parent.is_none() && is_asked && !own {
            return self.begin(Some(unquoted(text)), page);
        }
        page.known_by(&["part", id]);
        say(if own { "system" } else { "user" }, part, parent, page);
    }

    fn call(&mut self, part: &Obj<'_>, data: &Obj<'_>, parent: Option<String>, page: &mut Page<'_>) {
        let state = part.obj("state").unwrap_or_default();
        // Its arguments are not there yet.
        if state.is("status", "pending") {
            return;
        }
        progress(part, &state, page);
        tool(part, parent, data.time("time"), page);
        let Some(call) = part.text("callID") else { return };
        let of = state.obj("metadata").and_then(|metadata| metadata.text("sessionId"));
        if let Some(session) = of.filter(|_| part.is("tool", "task")) {
            self.start_agent(session, &call, &state, page);
        }
        if !state.is("status", "running") {
            self.end_agent(&call, page);
        }
    }

    fn start_agent(&mut self, session: String, call: &str, state: &Obj<'_>, page: &mut Page<'_>) {
        if self.agents.iter().any(|agent| agent.call == call) {
            return;
        }
        if self.agents.len() >= AGENTS
            && let Some(oldest) = self.agents.front().map(|agent| agent.call.clone())
        {
            self.end_agent(&oldest, page);
            self.agents.pop_front();
        }
        let more = [
            (
                "agent",
                state.obj("input").and_then(|input| input.json("subagent_type")),
            ),
            ("task_id", Some(Json::of(&session))),
            ("tool_call_id", Some(Json::of(&call))),
        ];
        page.aside(|page| {
            page.known_by(&["agent_start", call]);
            page.write(Kind::AGENT_START, with(&Empty {}, &more));
        });
        self.agents.push_back(Agent {
            session,
            call: call.to_owned(),
            over: false,
        });
    }

    fn end_agent(&mut self, call: &str, page: &mut Page<'_>) {
        let open = self.agents.iter_mut().find(|agent| agent.call == call && !agent.over);
        let Some(agent) = open else { return };
        agent.over = true;
        let more = [
            ("task_id", Some(Json::of(&agent.session))),
            ("tool_call_id", Some(Json::of(&call))),
        ];
        page.aside(|page| {
            page.known_by(&["agent_end", call]);
            page.write(Kind::AGENT_END, with(&Empty {}, &more));
        });
    }

    /// Whether this has not become an event yet.
    fn first(&mut self, id: &str) -> bool {
        let first = !self.told.iter().any(|told| told == id);
        if first {
            remember(&mut self.told, id);
        }
        first
    }
}

fn say(role: &str, part: &Obj<'_>, parent: Option<String>, page: &mut Page<'_>) {
    let body = Message {
        role: role.to_owned(),
        content: part.text("text").unwrap_or_default(),
        message_id: part.text("messageID"),
        model: None,
        parent_tool_call_id: parent,
        whole_turn: None,
    };
    page.tell(Kind::MESSAGE, &body);
}

/// `"Fix it."` as it was before `opencode run` put it into quotes: the whole of it, and no other quote that ends it.
fn unquoted(text: String) -> String {
    let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let Some(inner) = inner.filter(|inner| inner.contains(' ')) else {
        return text;
    };
    if inner.replace("\\\"", "").contains('"') {
        return text;
    }
    inner.replace("\\\"", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_that_were_put_around_a_prompt_are_taken_off_and_no_others() {
        for (stored, said) in [
            (r#""say hi""#, "say hi"),
            (r#""say \"hi\" now""#, r#"say "hi" now"#),
            (r#""one" and "two""#, r#""one" and "two""#),
            (r#""word""#, r#""word""#),
            ("say hi", "say hi"),
            ("\"", "\""),
        ] {
            assert_eq!(unquoted(stored.to_owned()), said);
        }
    }

    #[test]
    fn a_type_has_its_version_taken_off() {
        assert_eq!(unversioned("message.part.updated.1"), "message.part.updated");
        assert_eq!(unversioned("session.created"), "session.created");
    }
}
