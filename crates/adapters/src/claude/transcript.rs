//! Claude Code's transcripts: `~/.claude/projects/<cwd>/<session>.jsonl`, and `<session>/subagents/agent-*.jsonl` beside it.
//!
//! What is particular to them:
//! - Lines have `sessionId`, `timestamp` and, those that matter, a `uuid`: most of the uuids stand in the stream of the same
//!   run, too. `promptId` names the turn, on the lines of `user` alone.
//! - Each content block is an `assistant` line of its own; those of one message repeat its `stop_reason` and its `usage`, which
//!   are final here, and results may come between them: a message's tokens are told when the next message begins.
//! - Nothing says that a turn has ended but the last message's `stop_reason`: the turn ends with the first line that is not of
//!   that message, or when nothing comes. What a stop hook makes of it goes on in the same turn, without a second start.
//! - A subagent's file has `agentId` and `isSidechain` on its lines. It begins and ends no turn and no session: its events are
//!   of the call that started it, which a file beside it names, and without that of the agent's id, as hooks do.

use std::collections::VecDeque;

use serde_json::value::RawValue;
use turnwire_proto::{Empty, Json, Kind, Message, Name, SessionStart, Timestamp, TurnEnd, Usage};

use super::{
    blocks::{INTERRUPTED, Said, failure, is_interruption, is_output},
    finish::tokens,
    system::noted,
};
use crate::{
    Adapter, Context, Subagent,
    reader::{Reader, Vendor},
    scribe::{Ended, Page, with},
    view::{Obj, list, string},
};

/// Messages whose tokens have been told that are remembered: results come between at most a few.
const TOLD: usize = 64;

pub(crate) fn make(context: Context) -> Box<dyn Adapter> {
    let transcript = Transcript {
        subagent: context.subagent.clone().unwrap_or_default(),
        ..Transcript::default()
    };
    Box::new(Reader::new(transcript, context))
}

/// What must be remembered from line to line.
#[derive(Debug, Default)]
struct Transcript {
    subagent: Subagent,
    /// The agent whose file it is, once it has begun; and how often.
    agent: Option<String>,
    agents: u64,
    pending: Option<Pending>,
    told: VecDeque<String>,
    /// The turn of a command that the program runs itself: it ends with what that prints.
    command: Option<Name>,
    /// The first line's time, where the file begins with what waits in the queue.
    queued: Option<Timestamp>,
}

/// The newest message of the model.
#[derive(Debug)]
struct Pending {
    id: String,
    request: Option<String>,
    usage: Usage,
    at: Option<Timestamp>,
    /// Nothing follows it in its turn.
    last: bool,
    /// It is an error of the API.
    failed: bool,
}

impl Vendor for Transcript {
    const SOURCE: &'static str = "claude-transcript";
    const FILE: bool = true;

    fn object(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        if let Some(session) = line.str("sessionId") {
            page.session(&session);
        }
        if let Some(uuid) = line.str("uuid") {
            page.line_is(&uuid);
        }
        page.at(line.time("timestamp"));
        let kind = line.text("type").unwrap_or_default();
        if kind == "queue-operation" {
            self.queued = self.queued.or_else(|| line.time("timestamp"));
        } else if self.is_forked(line) {
            return page.keep("forked");
        }
        if kind != "assistant" {
            self.rest(page);
        }
        self.begin(line, page);
        match kind.as_str() {
            "user" => self.user(line, page),
            "assistant" => self.assistant(line, page),
            "system"
                if line.is("subtype", "local_command")
                    && self.printed(&line.text("content").unwrap_or_default(), page) => {}
            "system" => system(line, page),
            "summary" => page.note(&line.text("summary").unwrap_or_default(), &[]),
            // What the program keeps for itself.
            "attachment"
            | "queue-operation"
            | "last-prompt"
            | "atis-latch"
            | "api-request"
            | "api-request-blob"
            | "api-request-shape"
            | "tools-used"
            | "cost-state"
            | "file-history-snapshot"
            | "progress"
            | "custom-title"
            | "ai-title"
            | "agent-name"
            | "pr-link"
            | "mode"
            | "permission-mode" => page.keep(&kind),
            "" => page.unknown("no type", &[]),
            other => page.unknown(other, &[]),
        }
    }

    fn ending(&mut self, page: &mut Page<'_>) {
        self.rest(page);
        self.count(page);
        self.end_agent(page);
    }

    fn resting(&mut self, page: &mut Page<'_>) {
        self.rest(page);
    }
}

impl Transcript {
    /// Whether the line was copied from the session that this one was forked from: it is older than what began the file.
    fn is_forked(&self, line: &Obj<'_>) -> bool {
        let at = line.time("timestamp");
        line.get("uuid").is_some() && self.queued.zip(at).is_some_and(|(queued, at)| at < queued)
    }

    /// The session's start, or the subagent's, by the first line that knows its surroundings.
    fn begin(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        if line.yes("isSidechain") {
            if let (None, Some(agent)) = (&self.agent, line.text("agentId")) {
                self.agents += 1;
                let more = [
                    ("agent", self.subagent.agent_type.as_ref().map(Json::of)),
                    ("task_id", Some(Json::of(&agent))),
                    ("tool_call_id", self.subagent.tool_call_id.as_ref().map(Json::of)),
                ];
                page.aside(|page| {
                    page.known_by(&["agent_start", &agent, &self.agents.to_string()]);
                    page.write(Kind::AGENT_START, with(&Empty {}, &more));
                });
                self.agent = Some(agent);
            }
            return;
        }
        if line.get("cwd").is_none() || page.scribe.has_started() {
            return;
        }
        let body = SessionStart {
            cwd: line.text("cwd"),
            version: line.text("version"),
            permission_mode: line.text("permissionMode"),
            ..SessionStart::default()
        };
        page.aside(|page| page.start_session(body, &[("git_branch", line.json("gitBranch"))]));
    }

    fn end_agent(&mut self, page: &mut Page<'_>) {
        let Some(agent) = self.agent.take() else { return };
        let more = [
            ("task_id", Some(Json::of(&agent))),
            ("tool_call_id", self.subagent.tool_call_id.as_ref().map(Json::of)),
        ];
        page.known_by(&["agent_end", &agent, &self.agents.to_string()]);
        page.write(Kind::AGENT_END, with(&Empty {}, &more));
    }

    /// The call that a line is within.
    fn parent(&self, line: &Obj<'_>) -> Option<String> {
        if !line.yes("isSidechain") {
            return None;
        }
        let call = self.subagent.tool_call_id.clone();
        call.or_else(|| line.text("agentId"))
            .or_else(|| Some("sidechain".to_owned()))
    }

    fn assistant(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        let message = line.obj("message").unwrap_or_default();
        let id = message.text("id").or_else(|| line.text("uuid")).unwrap_or_default();
        if self.pending.as_ref().is_some_and(|pending| pending.id != id) {
            self.rest(page);
            self.count(page);
        }
        let said = Said {
            id: message.text("id"),
            model: message.text("model").filter(|model| model != "<synthetic>"),
            parent: self.parent(line),
        };
        if said.parent.is_none() && page.scribe.turn().is_none() && page.scribe.label.is_none() {
            page.ensure_turn();
        }
        let failed = line.yes("isApiErrorMessage");
        let mut strange = false;
        match message.get("content").map(|content| (content, list(content))) {
            Some((_, Some(blocks))) => {
                for block in blocks {
                    strange |= !Obj::parse(block.get()).is_some_and(|block| said.block(&block, failed, page));
                }
            }
            Some((content, None)) => match string(content) {
                Some(text) => said.text(&text, failed, page),
                None => strange = true,
            },
            None => strange = true,
        }
        if strange {
            page.unknown("assistant", &[]);
        }
        let stop = message.str("stop_reason");
        self.pending = Some(Pending {
            id,
            request: line.text("requestId"),
            usage: Usage {
                model: said.model,
                ..message.obj("usage").as_ref().map(tokens).unwrap_or_default()
            },
            at: line.time("timestamp"),
            last: stop.is_some_and(|stop| !matches!(&*stop, "tool_use" | "pause_turn")),
            failed,
        });
    }

    /// What the newest message has used, once.
    fn count(&mut self, page: &mut Page<'_>) {
        let Some(pending) = self.pending.take() else { return };
        let sums = [pending.usage.input_tokens, pending.usage.output_tokens];
        if self.told.contains(&pending.id) || sums.into_iter().flatten().all(|tokens| tokens == 0) {
            return;
        }
        if self.told.len() >= TOLD {
            self.told.pop_front();
        }
        self.told.push_back(pending.id.clone());
        let more = [
            ("message_id", Some(Json::of(&pending.id))),
            ("request_id", pending.request.as_ref().map(Json::of)),
            ("parent_tool_call_id", self.subagent.tool_call_id.as_ref().map(Json::of)),
        ];
        page.aside_at(pending.at, |page| {
            if !pending.id.is_empty() {
                page.known_by(&["usage", &pending.id]);
            }
            page.usage_of(&pending.usage, &more);
        });
    }

    /// The newest message was the last of its turn, or of its subagent.
    fn rest(&mut self, page: &mut Page<'_>) {
        let Some(pending) = self.pending.as_ref().filter(|pending| pending.last) else {
            return;
        };
        let (at, failed) = (pending.at, pending.failed);
        self.count(page);
        page.aside_at(at, |page| {
            self.end_agent(page);
            let told = page.scribe.turn().and_then(|turn| turn.error()).map(str::to_owned);
            let note = failed.then(|| told.unwrap_or_else(|| "the API failed".to_owned()));
            self.end_turn(!failed, note, None, page);
        });
    }

    /// What comes after it, until a new prompt, is of the same turn.
    fn end_turn(&mut self, ok: bool, note: Option<String>, duration_ms: Option<u64>, page: &mut Page<'_>) {
        let Some(turn) = page.scribe.turn().map(|turn| turn.id().clone()) else {
            return;
        };
        self.count(page);
        page.end_turn(TurnEnd {
            ok,
            note,
            duration_ms,
            ..TurnEnd::default()
        });
        page.scribe.label = Some(turn);
    }

    fn user(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        let message = line.obj("message").unwrap_or_default();
        if line.yes("isSidechain") {
            page.scribe.label = line
                .str("promptId")
                .as_deref()
                .and_then(Name::lossy)
                .or_else(|| page.scribe.label.take());
        }
        let mut strange = false;
        match message.get("content").map(|content| (content, list(content))) {
            Some((_, Some(blocks))) => {
                for block in blocks {
                    strange |= !self.user_block(block, line, page);
                }
            }
            Some((content, None)) => match string(content) {
                Some(text) => self.user_text(&text, line, page),
                None => strange = true,
            },
            None => strange = true,
        }
        if strange {
            page.unknown("user", &[]);
        }
    }

    /// Whether the block is understood.
    fn user_block(&mut self, block: &RawValue, line: &Obj<'_>, page: &mut Page<'_>) -> bool {
        let Some(block) = Obj::parse(block.get()) else {
            return false;
        };
        match block.str("type").as_deref() {
            Some("text") => self.user_text(block.str("text").as_deref().unwrap_or_default(), line, page),
            Some("tool_result") => return tool_result(&block, line, page),
            Some(kind @ ("image" | "document" | "file")) => self.user_text(&format!("[{kind}]"), line, page),
            _ => return false,
        }
        true
    }

    /// Takes what a command of the program's own has printed, if that is what it is: it ends the command's turn.
    fn printed(&mut self, text: &str, page: &mut Page<'_>) -> bool {
        let printed = text.strip_prefix("<local-command-stdout>");
        let (Some(printed), Some(turn)) = (printed, &self.command) else {
            return false;
        };
        if page.scribe.turn().map(|open| open.id()) != Some(turn) {
            return false;
        }
        self.command = None;
        let body = Message {
            role: "assistant".to_owned(),
            content: printed
                .strip_suffix("</local-command-stdout>")
                .unwrap_or(printed)
                .trim()
                .to_owned(),
            ..Message::default()
        };
        page.tell(Kind::MESSAGE, &body);
        page.aside(|page| self.end_turn(true, None, None, page));
        true
    }

    fn user_text(&mut self, text: &str, line: &Obj<'_>, page: &mut Page<'_>) {
        let parent = self.parent(line);
        let own = line.yes("isMeta") || line.yes("isCompactSummary");
        if parent.is_none() && is_interruption(text) {
            page.note(text, &[]);
            return page.aside(|page| self.end_turn(false, Some(INTERRUPTED.to_owned()), None, page));
        }
        if parent.is_none() && !own && self.printed(text, page) {
            return;
        }
        let own_command = text.starts_with("<command-name>");
        let typed = typed(text);
        let text = typed.as_deref().unwrap_or(text);
        let named = line.str("promptId").as_deref().and_then(Name::lossy);
        let open = page.scribe.turn().map(|turn| turn.id().clone());
        let working = open.is_some();
        let current = open.or_else(|| page.scribe.label.clone());
        let same = named.is_some() && current == named;
        // What a command of the program's own printed asks nothing of the model by itself.
        let command = is_output(text);
        let id = line.text("promptId").or_else(|| line.text("uuid"));
        if parent.is_none() && (own || command) && !same && !working {
            // Should the model answer it all the same, it is not the turn before that goes on.
            page.scribe.label = None;
            page.scribe.next_turn.clone_from(&id);
        }
        if parent.is_none() && !own && command {
            return page.note(text, &[]);
        }
        if parent.is_none() && !own && !same {
            page.scribe.label = None;
            self.count(page);
            page.scribe.next_turn = id;
            page.start_turn(Some(text.to_owned()));
            self.command = page.scribe.turn().filter(|_| own_command).map(|turn| turn.id().clone());
            return;
        }
        let body = Message {
            role: if own { "system" } else { "user" }.to_owned(),
            content: text.to_owned(),
            message_id: line.text("uuid"),
            model: None,
            parent_tool_call_id: parent,
            whole_turn: None,
        };
        page.tell(Kind::MESSAGE, &body);
    }
}

/// What a person has typed to run a command, which stands in tags.
fn typed(text: &str) -> Option<String> {
    if !text.starts_with("<command-") {
        return None;
    }
    let part = |tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        Some(rest.split_once(&format!("</{tag}>"))?.0.trim())
    };
    let arguments = part("command-args").unwrap_or_default();
    Some(format!("{} {arguments}", part("command-name")?).trim_end().to_owned())
}

fn tool_result(block: &Obj<'_>, line: &Obj<'_>, page: &mut Page<'_>) -> bool {
    let Some(id) = block.text("tool_use_id") else {
        return false;
    };
    let details = line.obj("toolUseResult").unwrap_or_default();
    let permission = line.obj("permissionDecision").unwrap_or_default();
    let interrupted = details.yes("interrupted");
    let failed = block.yes("is_error") || interrupted;
    let text = block
        .text("content")
        .or_else(|| block.objects("content").iter().find_map(|part| part.text("text")));
    let error = failed.then(|| match text.as_deref() {
        _ if permission.is("decision", "reject") => "denied".to_owned(),
        _ if interrupted => INTERRUPTED.to_owned(),
        // Nobody was asked: what ran was stopped.
        Some(_) if line.is("toolDenialKind", "user-rejected") && permission.get("decision").is_none() => {
            INTERRUPTED.to_owned()
        }
        Some(text) => failure(text),
        None => "error".to_owned(),
    });
    let more = [
        ("output_path", details.json("persistedOutputPath")),
        ("agent_id", details.json("agentId")),
    ];
    let ended = Ended {
        success: !failed,
        output: block.json("content"),
        error,
        duration_ms: details.u64("totalDurationMs").or_else(|| details.u64("durationMs")),
        more: more
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect(),
        ..Ended::default()
    };
    page.end_call(&id, ended);
    true
}

fn system(line: &Obj<'_>, page: &mut Page<'_>) {
    let subtype = line.text("subtype").unwrap_or_default();
    let content = line.text("content");
    match subtype.as_str() {
        "compact_boundary" => {
            let more = [("compact", line.json("compactMetadata"))];
            page.note("the conversation was compacted", &more);
        }
        "api_error" => {
            let error = line.obj("error").and_then(|error| error.text("message")).or(content);
            page.error("api", &error.unwrap_or_else(|| "the API failed".to_owned()), Some(true));
        }
        "informational" | "local_command" | "away_summary" | "bridge_status" | "scheduled_task_fire" => {
            page.note(&content.unwrap_or_default(), &[]);
        }
        // Said by the last message already.
        "turn_duration" | "stop_hook_summary" => page.keep(&format!("system/{subtype}")),
        other => match noted(other, line) {
            Some(text) => page.note(&text, &[]),
            None => page.unknown(&format!("system/{other}"), &[]),
        },
    }
}
