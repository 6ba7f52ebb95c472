//! `stream_event`: the API's own events while a message is being made (`--include-partial-messages`).
//!
//! Only deltas and final counts come of it; the whole blocks come as `assistant` lines.

use turnwire_proto::{Kind, TextDelta, ToolProgress, Usage};

use super::{Claude, finish::tokens, parent};
use crate::{
    scribe::{Page, add, nothing},
    view::Obj,
};

/// Messages that are being made at once: the main agent's and its subagents'.
const STREAMS: usize = 64;
/// Blocks of one message.
const BLOCKS: usize = 256;

/// A message that is being made.
#[derive(Debug, Default)]
pub(super) struct Stream {
    parent: Option<String>,
    message: Option<String>,
    model: Option<String>,
    started: Usage,
    /// Index, id and name of its tool calls.
    tools: Vec<(u64, String, Option<String>)>,
}

impl Claude {
    pub(super) fn stream(&mut self, line: &Obj<'_>, page: &mut Page<'_>) {
        let Some(event) = line.obj("event") else {
            return page.unknown("stream_event", &[]);
        };
        let parent = parent(line);
        let kind = event.text("type").unwrap_or_default();
        match kind.as_str() {
            "message_start" => self.message_start(parent, &event, page),
            "content_block_start" => self.block_start(parent, &event),
            "content_block_delta" => self.delta(parent, &event, page),
            "message_delta" => self.message_delta(parent, &event, page),
            "content_block_stop" | "message_stop" | "ping" => {}
            "error" => {
                let error = event.obj("error").unwrap_or_default();
                page.error(
                    "api",
                    &error.text("message").unwrap_or_else(|| "stream error".to_owned()),
                    None,
                );
            }
            other => page.unknown(&format!("stream_event/{other}"), &[]),
        }
        page.keep(&format!("stream_event/{kind}"));
    }

    fn of(&mut self, parent: Option<String>) -> &mut Stream {
        let at = self
            .streams
            .iter()
            .position(|stream| stream.parent == parent)
            .unwrap_or_else(|| {
                if self.streams.len() >= STREAMS {
                    self.streams.remove(0);
                }
                self.streams.push(Stream {
                    parent,
                    ..Stream::default()
                });
                self.streams.len() - 1
            });
        &mut self.streams[at]
    }

    fn message_start(&mut self, parent: Option<String>, event: &Obj<'_>, page: &mut Page<'_>) {
        let message = event.obj("message").unwrap_or_default();
        if parent.is_none() {
            page.ensure_turn();
            page.works();
        }
        let stream = self.of(parent);
        stream.message = message.text("id");
        stream.model = message.text("model");
        stream.started = message.obj("usage").map(|used| tokens(&used)).unwrap_or_default();
        stream.tools.clear();
    }

    fn block_start(&mut self, parent: Option<String>, event: &Obj<'_>) {
        let stream = self.of(parent);
        let block = event.obj("content_block").unwrap_or_default();
        if let (Some(index), Some(id)) = (event.u64("index"), block.text("id"))
            && stream.tools.len() < BLOCKS
        {
            stream.tools.push((index, id, block.text("name")));
        }
    }

    fn delta(&mut self, parent: Option<String>, event: &Obj<'_>, page: &mut Page<'_>) {
        let stream = self.of(parent);
        let delta = event.obj("delta").unwrap_or_default();
        let text = |content: String, stream: &Stream| TextDelta {
            content,
            message_id: stream.message.clone(),
            parent_tool_call_id: stream.parent.clone(),
        };
        match delta.str("type").as_deref() {
            Some("text_delta") => {
                let body = text(delta.text("text").unwrap_or_default(), stream);
                page.tell(Kind::TEXT_DELTA, &body);
            }
            Some("thinking_delta") => {
                let body = text(delta.text("thinking").unwrap_or_default(), stream);
                page.tell(Kind::REASONING_DELTA, &body);
            }
            Some("input_json_delta") => {
                let index = event.u64("index");
                let tool = stream.tools.iter().find(|(at, ..)| Some(*at) == index);
                let Some((_, id, name)) = tool else { return };
                let body = ToolProgress {
                    tool_call_id: id.clone(),
                    tool: name.clone(),
                    arguments_delta: delta.text("partial_json"),
                    ..ToolProgress::default()
                };
                page.tell(Kind::TOOL_PROGRESS, &body);
            }
            Some("signature_delta" | "citations_delta") => {}
            _ => page.unknown("stream_event/content_block_delta", &[]),
        }
    }

    /// A request's final counts; those of the input may have been told only at its start.
    fn message_delta(&mut self, parent: Option<String>, event: &Obj<'_>, page: &mut Page<'_>) {
        let stream = self.of(parent);
        let Some(used) = event.obj("usage").map(|used| tokens(&used)) else {
            return;
        };
        let model = stream.model.clone().unwrap_or_default();
        let usage = Usage {
            input_tokens: used.input_tokens.or(stream.started.input_tokens),
            output_tokens: used.output_tokens,
            cache_read_input_tokens: used.cache_read_input_tokens.or(stream.started.cache_read_input_tokens),
            cache_creation_input_tokens: used
                .cache_creation_input_tokens
                .or(stream.started.cache_creation_input_tokens),
            model: (!model.is_empty()).then(|| model.clone()),
            ..Usage::default()
        };
        // Said once a message: a second `message_delta` would say the same again.
        if nothing(&usage) || stream.message.take().is_none() || page.scribe.turn().is_none() {
            return;
        }
        match self.live.iter_mut().find(|(name, _)| *name == model) {
            Some((_, sum)) => *sum = add(sum, &usage),
            None => self.live.push((model, usage.clone())),
        }
        page.usage(&usage);
    }
}
