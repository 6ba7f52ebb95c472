//! The semantic conventions for generative AI: spans, and events as log records, of any program that is none of the known agents.
//!
//! - Names are the current ones; older programs' `gen_ai.system`, `gen_ai.usage.prompt_tokens` and the like are read, too.
//! - A span is told when it has ended, so an agent's start and its end come together, each with its own time.
//! - An invocation of an agent that is all of its trace is a turn; one within another is an agent.
//! - What a request used and said may be told by its span and by an event in that span: both make the same event of it.

use turnwire_proto::{AgentEnd, AgentStart, ErrorBody, Json, Kind, LlmRequest, ToolCall, TurnEnd, TurnStart, Usage};

use super::{
    attrs::Attrs,
    loose::hex,
    messages, moment,
    page::Page,
    wire::{LogRecord, Span},
};

/// `STATUS_CODE_ERROR`.
const FAILED: i32 = 2;
/// The event that tells a request with its contents.
const DETAILS: &str = "gen_ai.client.inference.operation.details";

/// What a span does, of what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Request,
    Tool,
    Agent,
}

fn operation(attrs: &Attrs<'_>) -> Option<Operation> {
    match attrs.own_text("gen_ai.operation.name").as_deref() {
        Some("chat" | "text_completion" | "generate_content" | "embeddings") => Some(Operation::Request),
        Some("execute_tool") => Some(Operation::Tool),
        Some("invoke_agent" | "invoke_workflow") => Some(Operation::Agent),
        Some(_) => None,
        // The oldest say no operation: what has a tool is a tool's, what has a model is a request.
        None if attrs.own_text("gen_ai.tool.name").is_some() => Some(Operation::Tool),
        None => {
            let model = attrs
                .own_text("gen_ai.request.model")
                .or_else(|| attrs.own_text("gen_ai.response.model"));
            (provider(attrs).is_some() && model.is_some()).then_some(Operation::Request)
        }
    }
}

fn provider(attrs: &Attrs<'_>) -> Option<String> {
    attrs.first(&["gen_ai.provider.name", "gen_ai.system"])
}

fn model(attrs: &Attrs<'_>) -> Option<String> {
    attrs.first(&["gen_ai.response.model", "gen_ai.request.model"])
}

/// Whether a span is a whole turn.
pub(super) fn is_turn(span: &Span, attrs: &Attrs<'_>) -> bool {
    span.parent_span_id.iter().all(|byte| *byte == 0) && operation(attrs) == Some(Operation::Agent)
}

/// Whether it is understood; what is no event stays on the page.
pub(super) fn span(span: &Span, attrs: &Attrs<'_>, page: &mut Page<'_>) -> bool {
    let call = Call {
        span: Some(span),
        trace_id: &span.trace_id,
        span_id: &span.span_id,
        attrs,
    };
    match operation(attrs) {
        Some(Operation::Request) => call.request(page),
        Some(Operation::Tool) => call.tool(page),
        Some(Operation::Agent) => call.agent(page),
        // A span of anything else is nothing to understand.
        None => return !attrs.own().iter().any(|attribute| attribute.key.starts_with("gen_ai.")),
    }
    true
}

/// The same of a log record.
pub(super) fn log(name: &str, record: &LogRecord, attrs: &Attrs<'_>, page: &mut Page<'_>) -> bool {
    let call = Call {
        span: None,
        trace_id: &record.trace_id,
        span_id: &record.span_id,
        attrs,
    };
    match name {
        DETAILS => {
            if call.in_span() {
                // Its span is the request; here is only what the span may not tell.
                page.keep(DETAILS, true);
                call.used(page);
                messages::told(attrs, &call.key(), page);
            } else {
                call.request(page);
            }
        }
        "gen_ai.user.message" | "gen_ai.choice" => messages::old_event(name, record, &hex(&record.trace_id), page),
        "gen_ai.system.message" | "gen_ai.assistant.message" | "gen_ai.tool.message" | "gen_ai.evaluation.result" => {}
        _ => return false,
    }
    true
}

/// One record.
struct Call<'a> {
    span: Option<&'a Span>,
    trace_id: &'a [u8],
    span_id: &'a [u8],
    attrs: &'a Attrs<'a>,
}

impl Call<'_> {
    fn in_span(&self) -> bool {
        !self.trace_id.is_empty() && !self.span_id.is_empty()
    }

    /// What a span and an event in it have in common.
    fn key(&self) -> Option<String> {
        self.in_span()
            .then(|| format!("{} {}", hex(self.trace_id), hex(self.span_id)))
    }

    fn duration_ms(&self) -> Option<u64> {
        let span = self.span?;
        let nanos = span.end_time_unix_nano.checked_sub(span.start_time_unix_nano)?;
        (span.start_time_unix_nano > 0).then_some(nanos / 1_000_000)
    }

    /// Why it failed.
    fn error(&self) -> Option<String> {
        let status = self
            .span
            .and_then(|span| span.status.as_ref())
            .filter(|status| status.code == FAILED);
        let kind = self.attrs.own_text("error.type");
        let message = status
            .map(|status| status.message.clone())
            .filter(|text| !text.is_empty());
        message.or(kind).or_else(|| status.map(|_| "failed".to_owned()))
    }

    fn request(&self, page: &mut Page<'_>) {
        let end = page.at;
        if let Some(start) = self.span.and_then(|span| moment(span.start_time_unix_nano)) {
            page.at = start;
        }
        messages::asked(self.attrs, &self.key(), page);
        page.at = end;
        let body = LlmRequest {
            model: model(self.attrs),
            model_provider: provider(self.attrs),
            messages_count: None,
            duration_ms: self.duration_ms(),
        };
        let more = [
            ("request_id", self.attrs.json("gen_ai.response.id")),
            ("finish_reasons", self.attrs.json("gen_ai.response.finish_reasons")),
        ];
        page.write(Kind::LLM_REQUEST, &body, &more);
        self.used(page);
        messages::answered(self.attrs, &self.key(), page);
        if let Some(message) = self.error() {
            let body = ErrorBody {
                component: "api".to_owned(),
                message,
                retry: None,
            };
            page.write(Kind::ERROR, &body, &more[..1]);
        }
    }

    fn used(&self, page: &mut Page<'_>) {
        let count = |keys: [&str; 2]| keys.iter().find_map(|key| self.attrs.u64(key));
        let input = count(["gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"]);
        let output = count(["gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"]);
        if input.is_none() && output.is_none() {
            return;
        }
        let read = count([
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_read_input_tokens",
        ]);
        let created = count([
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_creation_input_tokens",
        ]);
        // The conventions count those of a cache among those sent; older programs of some vendors did not.
        let cached = read.unwrap_or(0).saturating_add(created.unwrap_or(0));
        let body = Usage {
            input_tokens: input.map(|input| input.checked_sub(cached).unwrap_or(input)),
            output_tokens: output,
            cache_read_input_tokens: read,
            cache_creation_input_tokens: created,
            reasoning_tokens: count(["gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens"]),
            model: model(self.attrs),
            ..Usage::default()
        };
        let more = [
            ("model_provider", provider(self.attrs).map(|name| Json::of(&name))),
            ("request_id", self.attrs.json("gen_ai.response.id")),
        ];
        match self.key() {
            Some(key) => page.write_keyed(Kind::USAGE, &[&key], &body, &more),
            None => page.write(Kind::USAGE, &body, &more),
        }
    }

    fn tool(&self, page: &mut Page<'_>) {
        let tool = self.attrs.own_text("gen_ai.tool.name");
        let named = self.span.and_then(|span| span.name.strip_prefix("execute_tool "));
        let error = self.error();
        let body = ToolCall {
            tool: tool
                .or_else(|| named.map(str::to_owned))
                .unwrap_or_else(|| "tool".to_owned()),
            tool_call_id: self
                .attrs
                .own_text("gen_ai.tool.call.id")
                .unwrap_or_else(|| page.own_name()),
            success: error.is_none(),
            duration_ms: self.duration_ms(),
            output: self.attrs.inner("gen_ai.tool.call.result"),
            error,
            parent_tool_call_id: None,
        };
        let more = [("arguments", self.attrs.inner("gen_ai.tool.call.arguments"))];
        page.write(Kind::TOOL_CALL, &body, &more);
    }

    fn agent(&self, page: &mut Page<'_>) {
        let (end, error) = (page.at, self.error());
        let start = self
            .span
            .and_then(|span| moment(span.start_time_unix_nano))
            .unwrap_or(end);
        let agent = [
            ("agent", self.attrs.json("gen_ai.agent.name")),
            ("agent_id", self.attrs.json("gen_ai.agent.id")),
        ];
        let whole = self.span.is_some_and(|span| is_turn(span, self.attrs));
        page.at = start;
        if whole {
            let body = TurnStart {
                from: "user".to_owned(),
                body: messages::prompt(self.attrs).unwrap_or_default(),
                unread: 0,
            };
            page.write(Kind::TURN_START, &body, &agent);
            page.at = end;
            let body = TurnEnd {
                ok: error.is_none(),
                note: error,
                duration_ms: self.duration_ms(),
                ..TurnEnd::default()
            };
            page.write(Kind::TURN_END, &body, &[]);
            return;
        }
        let body = AgentStart {
            model: model(self.attrs),
            model_provider: provider(self.attrs),
        };
        page.write(Kind::AGENT_START, &body, &agent);
        page.at = end;
        let body = AgentEnd {
            model: model(self.attrs),
            model_provider: provider(self.attrs),
            duration_ms: self.duration_ms(),
            ..AgentEnd::default()
        };
        let more = [
            agent[0].clone(),
            agent[1].clone(),
            ("error", error.map(|error| Json::of(&error))),
        ];
        page.write(Kind::AGENT_END, &body, &more);
    }
}
