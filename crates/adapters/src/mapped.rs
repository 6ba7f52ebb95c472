//! Any JSONL, by a mapping: which fields of a line say its type, its time, its session, its text.
//!
//! - A field is named by a JSON Pointer (RFC 6901), such as `/message/text`. What a mapping does not name is looked for where
//!   most programs put it.
//! - A line's type becomes a kind by `kinds`; one that is a kind of ours is that; any other is a `note` of the line's text.
//! - A line whose fields do not make the body of its kind is a `note`, and one that is no JSON object kind `raw`. None is lost.
//! - Nothing is paired: what a line says to begin or to end is for the views to join, by the ids that it names.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use turnwire_proto::{
    Defaults, Empty, ErrorBody, Json, Kind, Message, Name, NewEvent, Note, Object, SessionEnd, SessionStart, TextDelta,
    Timestamp, ToolCall, ToolCallStart, TurnEnd, TurnStart, Usage,
};

use crate::{
    Adapter, Context, fit,
    scribe::with,
    view::{Obj, string},
};

const SOURCE: &str = "mapped";

/// Which fields of a line say what, as JSON Pointers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mapping {
    /// The line's type.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// When it happened: RFC 3339, or milliseconds since 1970.
    pub timestamp: Option<String>,
    /// The session.
    pub session_id: Option<String>,
    /// The turn.
    pub turn_id: Option<String>,
    /// The agent.
    pub agent: Option<String>,
    /// What identifies the line.
    pub id: Option<String>,
    /// What it says.
    pub text: Option<String>,
    /// Who says it: `user`, `assistant`, `system`.
    pub role: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// The tool.
    pub tool: Option<String>,
    /// The tool's call.
    pub tool_call_id: Option<String>,
    /// The call's arguments.
    pub arguments: Option<String>,
    /// The call's output.
    pub output: Option<String>,
    /// Whether it went well: true or false.
    pub success: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// Tokens in.
    pub input_tokens: Option<String>,
    /// Tokens out.
    pub output_tokens: Option<String>,
    /// The source of the events.
    pub source: Option<String>,
    /// The program's types, and the kinds that they are.
    pub kinds: BTreeMap<String, String>,
}

impl Mapping {
    /// What is wrong with it.
    ///
    /// # Errors
    /// The field and what it must be.
    pub fn check(&self) -> Result<(), String> {
        for (field, pointer) in self.pointers() {
            if !pointer.is_empty() && !pointer.starts_with('/') {
                return Err(format!(
                    "`{field}` is a JSON Pointer and begins with `/`, such as `/message/text`"
                ));
            }
        }
        if let Some(source) = &self.source {
            Name::new(source).map_err(|error| format!("`source` {error}"))?;
        }
        for (name, kind) in &self.kinds {
            Kind::new(kind).map_err(|error| format!("`kinds.{name}` {error}"))?;
        }
        Ok(())
    }

    fn pointers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("type", &self.kind),
            ("timestamp", &self.timestamp),
            ("session_id", &self.session_id),
            ("turn_id", &self.turn_id),
            ("agent", &self.agent),
            ("id", &self.id),
            ("text", &self.text),
            ("role", &self.role),
            ("model", &self.model),
            ("tool", &self.tool),
            ("tool_call_id", &self.tool_call_id),
            ("arguments", &self.arguments),
            ("output", &self.output),
            ("success", &self.success),
            ("error", &self.error),
            ("input_tokens", &self.input_tokens),
            ("output_tokens", &self.output_tokens),
        ]
        .into_iter()
        .filter_map(|(field, pointer)| Some((field, pointer.as_deref()?)))
    }
}

pub(crate) fn make(context: Context) -> Box<dyn Adapter> {
    let mapping = context.mapping.as_deref().cloned().unwrap_or_default();
    let source = Defaults::new(mapping.source.as_deref().unwrap_or(SOURCE), Timestamp::UNIX_EPOCH).source;
    Box::new(Mapped {
        context,
        mapping,
        source,
        unknown: 0,
    })
}

#[derive(Debug)]
struct Mapped {
    context: Context,
    mapping: Mapping,
    source: Name,
    unknown: u64,
}

impl Adapter for Mapped {
    fn line(&mut self, line: &[u8], at: Timestamp, out: &mut Vec<NewEvent>) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
        if text.is_empty() {
            return;
        }
        let session = self.context.session.clone().or_else(|| Name::lossy(SOURCE));
        let object = serde_json::from_str::<&RawValue>(text)
            .ok()
            .filter(|it| it.get().starts_with('{'));
        let Some(object) = object else {
            self.unknown += 1;
            let fields = [
                ("what", Some(Json::of("not a JSON object"))),
                ("unknown", Some(Json::of(&true))),
            ];
            let event = NewEvent::new(Kind::RAW, self.source.clone(), at, with(&Empty {}, &fields));
            return out.push(self.placed(event, session, None, text));
        };
        let look = Look {
            object,
            mapping: &self.mapping,
        };
        let at = look.time().unwrap_or(at);
        let (kind, body) = look.event(text);
        let session = look
            .text(&self.mapping.session_id, "/session_id")
            .as_deref()
            .and_then(Name::lossy)
            .or(session);
        let turn = look
            .text(&self.mapping.turn_id, "/turn_id")
            .as_deref()
            .and_then(Name::lossy);
        let agent = look
            .text(&self.mapping.agent, "/agent")
            .as_deref()
            .and_then(Name::lossy);
        let mut event = NewEvent::new(kind, self.source.clone(), at, fit::body(body));
        event.agent = agent;
        if let Some(id) = look.text(&self.mapping.id, "") {
            let session = session.as_ref().map_or("", Name::as_str);
            event.id = crate::fact::id(session, "turnwire mapped", [self.source.as_str(), session, &*id]);
        }
        out.push(self.placed(event, session, turn, text));
    }

    fn end(&mut self, _exit: Option<i32>, _at: Timestamp, _out: &mut Vec<NewEvent>) {}

    fn unknown(&self) -> u64 {
        self.unknown
    }
}

impl Mapped {
    fn placed(&self, event: NewEvent, session: Option<Name>, turn: Option<Name>, line: &str) -> NewEvent {
        NewEvent {
            agent: event.agent.clone().or_else(|| self.context.agent.clone()),
            session_id: session,
            turn_id: turn,
            raw: fit::raw(line, &event.data),
            ..event
        }
    }
}

/// One line, by the mapping.
struct Look<'a> {
    object: &'a RawValue,
    mapping: &'a Mapping,
}

impl<'a> Look<'a> {
    /// What stands at a pointer, or at the usual place.
    fn value(&self, pointer: &Option<String>, usual: &str) -> Option<&'a RawValue> {
        let pointer = pointer.as_deref().unwrap_or(usual);
        let path = pointer.strip_prefix('/')?;
        path.split('/').try_fold(self.object, |value, token| {
            let token = token.replace("~1", "/").replace("~0", "~");
            match value.get().as_bytes().first()? {
                b'[' => crate::view::list(value)?.get(token.parse::<usize>().ok()?).copied(),
                _ => Obj::parse(value.get())?.get(&token),
            }
        })
    }

    /// A text, or another value as it stands.
    fn text(&self, pointer: &Option<String>, usual: &str) -> Option<String> {
        let value = self.value(pointer, usual)?;
        let text = string(value).map_or_else(|| value.get().to_owned(), Into::into);
        (!text.is_empty()).then_some(text)
    }

    fn json(&self, pointer: &Option<String>, usual: &str) -> Option<Json> {
        self.value(pointer, usual).map(Json::from_raw)
    }

    fn number(&self, pointer: &Option<String>, usual: &str) -> Option<u64> {
        serde_json::from_str(self.value(pointer, usual)?.get()).ok()
    }

    fn time(&self) -> Option<Timestamp> {
        let text = self.text(&self.mapping.timestamp, "/timestamp")?;
        text.parse()
            .ok()
            .or_else(|| text.parse().ok().and_then(Timestamp::from_millis))
    }

    /// The event that a line is.
    fn event(&self, line: &str) -> (Kind, Object) {
        let m = self.mapping;
        let name = self.text(&m.kind, "/type").unwrap_or_default();
        let kind = m.kinds.get(&name).map(String::as_str).unwrap_or(&name);
        let kind = Kind::new(kind)
            .ok()
            .filter(|kind| Kind::KNOWN.contains(kind) && !kind.is_the_servers());
        let text = self.text(&m.text, "/text").or_else(|| self.text(&None, "/message"));
        let note = || {
            let note = Note {
                text: text.clone().unwrap_or_else(|| line.to_owned()),
            };
            (
                Kind::NOTE,
                with(&note, &[("type", (!name.is_empty()).then(|| Json::of(&name)))]),
            )
        };
        let Some(kind) = kind else { return note() };
        let body = self.body(&kind, text.clone());
        body.map_or_else(note, |body| (kind, body))
    }

    /// The body of a kind; `None` when the line has not what it takes.
    fn body(&self, kind: &Kind, text: Option<String>) -> Option<Object> {
        let m = self.mapping;
        let error = self.text(&m.error, "/error");
        let success = self.value(&m.success, "/success").map(|value| value.get() == "true");
        let call = self.text(&m.tool_call_id, "/tool_call_id");
        let tool = self.text(&m.tool, "/tool");
        Some(match kind.as_str() {
            "session_start" => Object::of(&SessionStart {
                model: self.text(&m.model, "/model"),
                ..SessionStart::default()
            }),
            "session_end" => Object::of(&SessionEnd::default()),
            "turn_start" => Object::of(&TurnStart {
                from: "user".to_owned(),
                body: text.unwrap_or_default(),
                unread: 0,
            }),
            "turn_end" => Object::of(&TurnEnd {
                ok: success.unwrap_or_else(|| error.is_none()),
                note: error,
                ..TurnEnd::default()
            }),
            "message" => Object::of(&Message {
                role: self.text(&m.role, "/role").unwrap_or_else(|| "assistant".to_owned()),
                content: text?,
                model: self.text(&m.model, "/model"),
                ..Message::default()
            }),
            "reasoning" | "text_delta" | "reasoning_delta" => Object::of(&TextDelta {
                content: text?,
                ..TextDelta::default()
            }),
            "tool_call_start" => Object::of(&ToolCallStart {
                tool: tool?,
                tool_call_id: call?,
                arguments: self.json(&m.arguments, "/arguments"),
                parent_tool_call_id: None,
            }),
            "tool_call" => Object::of(&ToolCall {
                tool: tool.unwrap_or_else(|| "unknown".to_owned()),
                tool_call_id: call?,
                success: success.unwrap_or_else(|| error.is_none()),
                output: self.json(&m.output, "/output"),
                error,
                ..ToolCall::default()
            }),
            "usage" => Object::of(&Usage {
                input_tokens: self.number(&m.input_tokens, "/input_tokens"),
                output_tokens: self.number(&m.output_tokens, "/output_tokens"),
                model: self.text(&m.model, "/model"),
                ..Usage::default()
            }),
            "error" => Object::of(&ErrorBody {
                component: tool.unwrap_or_else(|| self.mapping.source.clone().unwrap_or_else(|| SOURCE.to_owned())),
                message: error.or(text)?,
                retry: None,
            }),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn read(mapping: &str, line: &str) -> NewEvent {
        let mapping: Mapping = serde_json::from_str(mapping).unwrap();
        mapping.check().unwrap();
        let mut out = Vec::new();
        make(Context {
            mapping: Some(Arc::new(mapping)),
            session: Name::new("file").ok(),
            ..Context::default()
        })
        .line(line.as_bytes(), Timestamp::UNIX_EPOCH, &mut out);
        assert_eq!(out.len(), 1);
        out.remove(0)
    }

    const MAPPING: &str = r#"{"type":"/event/kind","timestamp":"/ts","session_id":"/run/id","text":"/body/0/say","tool":"/t","tool_call_id":"/c",
        "error":"/why","source":"my-agent","kinds":{"said":"message","ran":"tool_call","began":"turn_start"}}"#;

    #[test]
    fn a_line_is_what_the_mapping_says() {
        let event = read(
            MAPPING,
            r#"{"event":{"kind":"said"},"ts":1795165352877,"run":{"id":"r-1"},"body":[{"say":"hello"}]}"#,
        );
        assert_eq!((event.kind.as_str(), event.source.as_str()), ("message", "my-agent"));
        assert_eq!(event.session_id.unwrap().as_str(), "r-1");
        assert_eq!(event.timestamp.millis(), 1_795_165_352_877);
        assert_eq!(event.data.read::<Message>().unwrap().content, "hello");
        let event = read(MAPPING, r#"{"event":{"kind":"ran"},"t":"ls","c":"1","why":"exit 2"}"#);
        let call: ToolCall = event.data.read().unwrap();
        assert_eq!(
            (call.tool.as_str(), call.success, call.error.as_deref()),
            ("ls", false, Some("exit 2"))
        );
        assert_eq!(event.session_id.unwrap().as_str(), "file");
    }

    #[test]
    fn what_does_not_fit_is_a_note_that_keeps_the_line() {
        for line in [
            r#"{"event":{"kind":"said"}}"#,
            r#"{"event":{"kind":"odd"},"body":[{"say":"x"}]}"#,
            "{}",
            r#"{"event":7}"#,
        ] {
            let event = read(MAPPING, line);
            assert_eq!((event.kind, event.raw.unwrap().get()), (Kind::NOTE, line));
        }
        assert_eq!(read(MAPPING, "[1]").kind, Kind::RAW);
        assert_eq!(read(MAPPING, r#"{"event":{"kind":"command"}}"#).kind, Kind::NOTE);
    }

    #[test]
    fn a_mapping_that_cannot_work_says_which_field() {
        let wrong = |json: &str| serde_json::from_str::<Mapping>(json).unwrap().check().unwrap_err();
        assert!(wrong(r#"{"text":"message"}"#).starts_with("`text`"));
        assert!(wrong(r#"{"kinds":{"a":"Not A Kind"}}"#).starts_with("`kinds.a`"));
        assert!(serde_json::from_str::<Mapping>(r#"{"txt":"/a"}"#).is_err());
    }
}
