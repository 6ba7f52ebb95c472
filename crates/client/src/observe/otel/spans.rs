//! An event that ends something, as the span of what it ended.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};
use turnwire_proto::{Name, Usage};
use uuid::Uuid;

use super::super::{About, ObserverEvent, What};

/// What one span says beyond its ids and times.
#[derive(Default)]
struct Span {
    name: String,
    /// Its own id, where others refer to it.
    id: Option<u64>,
    /// Who caused it, where that is not the turn.
    parent: Option<u64>,
    /// Has no parent.
    root: bool,
    /// It goes out of the process.
    client: bool,
    duration_ms: u64,
    attributes: Vec<Value>,
    /// Why it failed.
    error: Option<String>,
}

/// Makes spans. Their ids follow from what they are about, so that nothing has to be remembered while a span is open.
#[derive(Debug)]
pub(super) struct Spans {
    /// Of this process, so that a turn called `t-1` is another one the next time.
    salt: Uuid,
}

impl Default for Spans {
    fn default() -> Self {
        Self { salt: Uuid::new_v4() }
    }
}

impl Spans {
    /// `None` for what ends nothing.
    pub(super) fn of(&self, event: &ObserverEvent) -> Option<Value> {
        let about = &event.about;
        let span = match &event.what {
            What::TurnEnd(end) => Span {
                name: named("invoke_agent", about.agent.as_ref().map(Name::as_str)),
                id: Some(self.turn(about)),
                root: true,
                duration_ms: end.duration_ms.unwrap_or(0),
                attributes: with(vec![text("gen_ai.operation.name", "invoke_agent")], end.usage.as_ref()),
                error: (!end.ok).then(|| end.note.clone().unwrap_or_default()),
                ..Span::default()
            },
            What::AgentEnd(end) => Span {
                name: named("agent", about.agent.as_ref().map(Name::as_str)),
                duration_ms: end.duration_ms.unwrap_or(0),
                attributes: with(
                    optional("gen_ai.provider.name", end.model_provider.as_deref()),
                    end.usage.as_ref(),
                ),
                ..Span::default()
            },
            What::ToolCall(call) => Span {
                name: named("execute_tool", Some(&call.tool)),
                id: Some(self.tool(about, &call.tool_call_id)),
                parent: call.parent_tool_call_id.as_ref().map(|id| self.tool(about, id)),
                duration_ms: call.duration_ms.unwrap_or(0),
                attributes: vec![
                    text("gen_ai.operation.name", "execute_tool"),
                    text("gen_ai.tool.name", &call.tool),
                    text("gen_ai.tool.call.id", &call.tool_call_id),
                ],
                error: (!call.success).then(|| call.error.clone().unwrap_or_default()),
                ..Span::default()
            },
            What::LlmResponse(response) => {
                let mut attributes = vec![text("gen_ai.operation.name", "chat")];
                attributes.extend(optional("gen_ai.provider.name", response.model_provider.as_deref()));
                Span {
                    name: named("chat", response.usage.model.as_deref()),
                    client: true,
                    duration_ms: response.duration_ms.unwrap_or(0),
                    attributes: with(attributes, Some(&response.usage)),
                    error: response.error.clone(),
                    ..Span::default()
                }
            }
            What::Error(error) => Span {
                name: named("error", Some(&error.component)),
                attributes: vec![text("error.type", &error.component)],
                error: Some(error.message.clone()),
                ..Span::default()
            },
            _ => return None,
        };
        Some(self.finish(event, span))
    }

    fn finish(&self, event: &ObserverEvent, span: Span) -> Value {
        let about = &event.about;
        let end = u128::try_from(event.at.millis()).unwrap_or(0) * 1_000_000;
        let start = end.saturating_sub(u128::from(span.duration_ms) * 1_000_000);
        let mut attributes = span.attributes;
        attributes.extend(optional(
            "gen_ai.conversation.id",
            about.session_id.as_ref().map(Name::as_str),
        ));
        attributes.extend(optional("gen_ai.agent.name", about.agent.as_ref().map(Name::as_str)));
        let in_turn = (!span.root && about.turn_id.is_some()).then(|| self.turn(about));
        let id = span.id.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().1);
        let mut made = json!({
            "traceId": self.trace(about),
            "spanId": format!("{:016x}", id.max(1)),
            "name": span.name,
            "kind": if span.client { 3 } else { 1 },
            "startTimeUnixNano": start.to_string(),
            "endTimeUnixNano": end.to_string(),
            "attributes": attributes,
            "status": span.error.map_or_else(|| json!({}), |message| json!({ "code": 2, "message": message })),
        });
        if let Some(parent) = span.parent.or(in_turn) {
            made["parentSpanId"] = format!("{:016x}", parent.max(1)).into();
        }
        made
    }

    /// A turn's trace, else its session's; what is of neither is alone in its own.
    fn trace(&self, about: &About) -> String {
        if about.session_id.is_none() && about.turn_id.is_none() {
            return Uuid::new_v4().simple().to_string();
        }
        let half = |which: &str| self.hash((which, &about.session_id, &about.turn_id)).max(1);
        format!("{:016x}{:016x}", half("high"), half("low"))
    }

    fn turn(&self, about: &About) -> u64 {
        self.hash(("turn", &about.session_id, &about.turn_id))
    }

    fn tool(&self, about: &About, call: &str) -> u64 {
        self.hash(("tool", &about.session_id, call))
    }

    fn hash(&self, what: impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.salt, what).hash(&mut hasher);
        hasher.finish()
    }
}

fn named(operation: &str, of: Option<&str>) -> String {
    of.map_or_else(|| operation.to_owned(), |of| format!("{operation} {of}"))
}

/// Attributes of tokens beside others.
fn with(mut attributes: Vec<Value>, usage: Option<&Usage>) -> Vec<Value> {
    let Some(usage) = usage else { return attributes };
    attributes.extend(optional("gen_ai.request.model", usage.model.as_deref()));
    for (key, tokens) in [
        ("gen_ai.usage.input_tokens", usage.input_tokens),
        ("gen_ai.usage.output_tokens", usage.output_tokens),
        ("gen_ai.usage.cache_read.input_tokens", usage.cache_read_input_tokens),
        (
            "gen_ai.usage.cache_creation.input_tokens",
            usage.cache_creation_input_tokens,
        ),
    ] {
        // 64 bits are a string in OTLP's JSON.
        attributes.extend(tokens.map(|n| json!({ "key": key, "value": { "intValue": n.to_string() } })));
    }
    attributes
}

fn optional(key: &str, value: Option<&str>) -> Vec<Value> {
    value.map(|value| text(key, value)).into_iter().collect()
}

/// An attribute.
pub(super) fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}
