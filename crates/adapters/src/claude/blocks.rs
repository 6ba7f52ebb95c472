//! `assistant` and `user` lines: messages, reasoning, tool calls and their results.

use serde_json::value::RawValue;
use turnwire_proto::{ApprovalDecision, Json, Kind, Message, SessionStart, TextDelta, ToolCallStart};

use super::{Claude, finish::tokens, parent};
use crate::{
    scribe::{Ended, Page, with},
    view::{Obj, list, string},
};

impl Claude {
    pub(super) fn assistant(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        let parent = parent(line);
        open(parent.as_deref(), page);
        let message = line.obj("message").unwrap_or_default();
        let said = Said {
            id: message.text("id"),
            // What the program itself says in the model's place has no model.
            model: message.text("model").filter(|model| model != "<synthetic>"),
            parent,
        };
        if let (None, Some(model), Some(used)) = (&said.parent, &said.model, message.obj("usage")) {
            // What was sent is counted here, what is made is not yet.
            let used = tokens(&used);
            let sent = [
                used.input_tokens,
                used.cache_read_input_tokens,
                used.cache_creation_input_tokens,
            ];
            let sent = sent.into_iter().flatten().fold(0, u64::saturating_add);
            self.context = (sent > 0)
                .then(|| (model.clone(), sent))
                .or_else(|| self.context.take());
        }
        let failed = line.text("error").is_some() || line.yes("is_api_error_message");
        let mut strange = false;
        match message.get("content").map(|content| (content, list(content))) {
            Some((_, Some(blocks))) => {
                for block in blocks {
                    match Obj::parse(block.get()) {
                        Some(block) => strange |= !said.block(&block, failed, page),
                        None => strange = true,
                    }
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
    }

    pub(super) fn user(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        let message = line.obj("message").unwrap_or_default();
        let mut strange = false;
        match message.get("content").map(|content| (content, list(content))) {
            Some((_, Some(blocks))) => {
                for block in blocks {
                    strange |= !user_block(block, line, page);
                }
            }
            Some((content, None)) => match string(content) {
                Some(text) => user_text(&text, line, page),
                None => strange = true,
            },
            None => strange = true,
        }
        if strange {
            page.unknown("user", &[]);
        }
    }
}

/// The main agent's word begins a turn where none is open; a subagent's does not.
fn open(parent: Option<&str>, page: &mut Page<'_>) {
    if parent.is_none() {
        page.ensure_turn();
        page.works();
    } else {
        page.start_session(SessionStart::default(), &[]);
    }
}

/// What the events of one `assistant` line share.
pub(super) struct Said {
    pub(super) id: Option<String>,
    pub(super) model: Option<String>,
    pub(super) parent: Option<String>,
}

impl Said {
    /// Whether the block is understood.
    pub(super) fn block(&self, block: &Obj<'_>, failed: bool, page: &mut Page<'_>) -> bool {
        match block.str("type").as_deref() {
            Some("text") => match block.str("text") {
                Some(text) => self.text(&text, failed, page),
                None => return false,
            },
            Some("thinking") => self.thinking(block.str("thinking").as_deref().unwrap_or_default(), None, page),
            Some("redacted_thinking") => self.thinking("", Some(true), page),
            Some("tool_use" | "server_tool_use" | "mcp_tool_use") => {
                let Some(id) = block.text("id") else { return false };
                let body = ToolCallStart {
                    tool: block.text("name").unwrap_or_else(|| "unknown".to_owned()),
                    tool_call_id: id,
                    arguments: block.json("input"),
                    parent_tool_call_id: self.parent.clone(),
                };
                page.start_call(&body);
            }
            // A tool that the model's own server ran: `web_search_tool_result` and its like.
            Some(kind) if kind.ends_with("tool_result") => {
                let Some(id) = block.text("tool_use_id") else {
                    return false;
                };
                let content = block.get("content");
                let failed = block.yes("is_error")
                    || content.is_some_and(|c| Obj::parse(c.get()).is_some_and(|o| o.get("error_code").is_some()));
                let ended = Ended {
                    success: !failed,
                    output: content.map(Json::from_raw),
                    error: failed.then(|| "error".to_owned()),
                    ..Ended::default()
                };
                page.end_call(&id, ended);
            }
            _ => return false,
        }
        true
    }

    pub(super) fn text(&self, text: &str, failed: bool, page: &mut Page<'_>) {
        if failed {
            return page.error("api", text, None);
        }
        if self.parent.is_none()
            && let Some(turn) = page.scribe.turn()
        {
            turn.spoke = true;
        }
        let body = Message {
            role: "assistant".to_owned(),
            content: text.to_owned(),
            message_id: self.id.clone(),
            model: self.model.clone(),
            parent_tool_call_id: self.parent.clone(),
            whole_turn: None,
        };
        page.tell(Kind::MESSAGE, &body);
    }

    fn thinking(&self, text: &str, redacted: Option<bool>, page: &mut Page<'_>) {
        let body = TextDelta {
            content: text.to_owned(),
            message_id: self.id.clone(),
            parent_tool_call_id: self.parent.clone(),
        };
        page.write(
            Kind::REASONING,
            with(&body, &[("redacted", redacted.map(|yes| Json::of(&yes)))]),
        );
    }
}

/// Whether the block is understood.
fn user_block(block: &RawValue, line: &Obj<'_>, page: &mut Page<'_>) -> bool {
    let Some(block) = Obj::parse(block.get()) else {
        return false;
    };
    match block.str("type").as_deref() {
        Some("text") => user_text(block.str("text").as_deref().unwrap_or_default(), line, page),
        Some("tool_result") => return tool_result(&block, line, page),
        Some(kind @ ("image" | "document" | "file")) => user_text(&format!("[{kind}]"), line, page),
        _ => return false,
    }
    true
}

fn user_text(text: &str, line: &Obj<'_>, page: &mut Page<'_>) {
    let parent = parent(line);
    if parent.is_none() && (is_interruption(text) || is_output(text)) {
        return page.note(text, &[]);
    }
    // What the program says in the user's place (a summary, a hook's word) is not the user's.
    let own = line.yes("isSynthetic") || line.yes("is_meta") || line.yes("isMeta");
    if parent.is_none() && !own && page.scribe.turn().is_none() {
        return page.start_turn(Some(text.to_owned()));
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

fn tool_result(block: &Obj<'_>, line: &Obj<'_>, page: &mut Page<'_>) -> bool {
    let Some(id) = block.text("tool_use_id") else {
        return false;
    };
    let metas = line.objects("tool_result_meta");
    let meta = metas.into_iter().find(|meta| meta.is("id", &id)).unwrap_or_default();
    let permission = meta.obj("permission_decision").unwrap_or_default();
    let rejected = permission.is("decision", "reject");
    // An answer that went to the agent's stdin is seen here first.
    if let Some(approval_id) = page.question_of(&id) {
        let decision = ApprovalDecision {
            approval_id,
            decision: if rejected { "denied" } else { "approved" }.to_owned(),
            by: permission.text("source"),
            message: rejected.then(|| content_text(block)).flatten(),
            ..ApprovalDecision::default()
        };
        page.aside(|page| page.decide(&decision));
        page.works();
    }
    let details = line.obj("tool_use_result").unwrap_or_default();
    let interrupted = details.yes("interrupted");
    let failed = block.yes("is_error") || interrupted;
    let fate = page.fate(&id);
    let error = failed.then(|| match content_text(block).as_deref() {
        _ if rejected => "denied".to_owned(),
        _ if fate.is_some() => fate.unwrap_or_default(),
        _ if interrupted => INTERRUPTED.to_owned(),
        // Nobody was asked: what ran was stopped.
        Some(_) if meta.is("non_execution_kind", "user-rejected") && permission.get("decision").is_none() => {
            INTERRUPTED.to_owned()
        }
        Some(text) => failure(text),
        None => "error".to_owned(),
    });
    let more = ["persistedOutputPath"]
        .iter()
        .filter_map(|key| Some(("output_path", details.json(key)?)));
    let ended = Ended {
        success: !failed,
        output: block.json("content"),
        error,
        more: more.collect(),
        ..Ended::default()
    };
    page.end_call(&id, ended);
    true
}

/// The result's text, or its first one.
fn content_text(block: &Obj<'_>) -> Option<String> {
    block
        .text("content")
        .or_else(|| block.objects("content").iter().find_map(|part| part.text("text")))
}

/// The word for what a person has stopped.
pub(super) const INTERRUPTED: &str = "interrupted";

/// What the program says in the user's place when a person has stopped it.
pub(super) fn is_interruption(text: &str) -> bool {
    text.starts_with("[Request interrupted")
}

/// What a command of the program's own printed, which is said in the user's place.
pub(super) fn is_output(text: &str) -> bool {
    text.starts_with("<local-command-") || text.starts_with("<bash-")
}

/// The word for a failure by what the program says of it.
pub(crate) fn failure(text: &str) -> String {
    if let Some(code) = text.strip_prefix("Exit code ") {
        let digits = code.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        if !digits.is_empty() {
            return format!("exit {digits}");
        }
    }
    if is_interruption(text) || text.contains("this call was stopped while running") {
        return INTERRUPTED.to_owned();
    }
    if text.starts_with("The user doesn't want") {
        return "denied".to_owned();
    }
    "error".to_owned()
}
