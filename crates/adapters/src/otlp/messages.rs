//! What was said, where a program records it: messages of the GenAI conventions, now and as they were.
//!
//! Each request to a model repeats the whole conversation. Of what was sent only a last message of the user's is new.

use turnwire_proto::{Json, Kind, Message, TextDelta};

use super::{
    attrs::{Attrs, plain},
    page::Page,
    wire::LogRecord,
};
use crate::view::{self, Obj};

/// A message as it is read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    role: String,
    text: String,
    reasoning: String,
}

/// One message: `{"role","parts":[{"type":"text","content"}]}`, or as older programs and model servers have it, `{"role","content"}`.
fn message(message: &Obj<'_>) -> Read {
    let mut read = Read {
        role: message.text("role").unwrap_or_default(),
        ..Read::default()
    };
    let mut parts = message.objects("parts");
    parts.extend(message.objects("content"));
    for part in &parts {
        let text = part.str("content").or_else(|| part.str("text")).unwrap_or_default();
        match part.str("type").as_deref() {
            Some("reasoning" | "thinking") => read.reasoning.push_str(&text),
            Some("text") | None => read.text.push_str(&text),
            Some(_) => {}
        }
    }
    if let Some(content) = message.get("content").and_then(view::string) {
        read.text.push_str(&content);
    }
    read
}

fn list(json: Option<Json>) -> Vec<Read> {
    let Some(json) = json else { return Vec::new() };
    let whole = format!("{{\"messages\":{}}}", json.get());
    let messages = Obj::parse(&whole).unwrap_or_default().objects("messages");
    messages.iter().map(message).collect()
}

/// `gen_ai.prompt.0.content`, `gen_ai.prompt.0.role`, …: the newest of a list that is spread over attributes.
fn spread(attrs: &Attrs<'_>, list: &str) -> Option<Read> {
    let places = attrs.own().iter().filter_map(|attribute| {
        let place = attribute.key.strip_prefix(list)?.strip_suffix(".content")?;
        place.parse::<u32>().ok()
    });
    let last = places.max()?;
    Some(Read {
        role: attrs.own_text(&format!("{list}{last}.role")).unwrap_or_default(),
        text: attrs.own_text(&format!("{list}{last}.content"))?,
        reasoning: String::new(),
    })
}

fn sent(attrs: &Attrs<'_>) -> Option<Read> {
    let last = list(attrs.inner("gen_ai.input.messages")).pop();
    last.or_else(|| spread(attrs, "gen_ai.prompt."))
}

/// What the user asked last.
pub(super) fn prompt(attrs: &Attrs<'_>) -> Option<String> {
    let last = sent(attrs).filter(|last| last.role == "user" && !last.text.is_empty());
    last.map(|last| last.text)
}

/// Writes what the user asked, where that is new.
pub(super) fn asked(attrs: &Attrs<'_>, key: &Option<String>, page: &mut Page<'_>) {
    if let Some(text) = prompt(attrs) {
        write(
            &text,
            "user",
            None,
            key.as_deref().map(|key| [key, "in"]).as_ref().map(<[_; 2]>::as_slice),
            page,
        );
    }
}

/// Writes what the model answered.
pub(super) fn answered(attrs: &Attrs<'_>, key: &Option<String>, page: &mut Page<'_>) {
    let mut answers = list(attrs.inner("gen_ai.output.messages"));
    answers.extend(if answers.is_empty() {
        spread(attrs, "gen_ai.completion.")
    } else {
        None
    });
    let id = attrs.text("gen_ai.response.id");
    for (at, answer) in answers.iter().enumerate() {
        let at = at.to_string();
        let key = key.as_deref().map(|key| [key, "out", &at]);
        if !answer.reasoning.is_empty() {
            let body = TextDelta {
                content: answer.reasoning.clone(),
                message_id: id.clone(),
                parent_tool_call_id: None,
            };
            match &key {
                Some(key) => page.write_keyed(Kind::REASONING, key, &body, &[]),
                None => page.write(Kind::REASONING, &body, &[]),
            }
        }
        if !answer.text.is_empty() {
            write(
                &answer.text,
                "assistant",
                id.clone(),
                key.as_ref().map(<[_; 3]>::as_slice),
                page,
            );
        }
    }
}

/// Both, of an event in a span.
pub(super) fn told(attrs: &Attrs<'_>, key: &Option<String>, page: &mut Page<'_>) {
    asked(attrs, key, page);
    answered(attrs, key, page);
}

/// The events that came before the list of messages: one record a message, all of them again with each request.
pub(super) fn old_event(name: &str, record: &LogRecord, trace: &str, page: &mut Page<'_>) {
    let body = record.body.as_ref().map(plain);
    let body = body
        .as_ref()
        .and_then(|body| Obj::parse(body.get()))
        .unwrap_or_default();
    let inner = body.obj("message");
    let read = message(inner.as_ref().unwrap_or(&body));
    if read.text.is_empty() {
        return;
    }
    page.keep(name, true);
    let role = if name == "gen_ai.choice" { "assistant" } else { "user" };
    let key = [trace, role, &read.text];
    write(&read.text, role, None, (!trace.is_empty()).then_some(&key), page);
}

fn write(text: &str, role: &str, id: Option<String>, key: Option<&[&str]>, page: &mut Page<'_>) {
    let body = Message {
        role: role.to_owned(),
        content: text.to_owned(),
        message_id: id,
        ..Message::default()
    };
    match key {
        Some(key) => page.write_keyed(Kind::MESSAGE, key, &body, &[]),
        None => page.write(Kind::MESSAGE, &body, &[]),
    }
}
