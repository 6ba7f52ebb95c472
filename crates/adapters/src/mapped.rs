//! Any JSONL, by a mapping: which fields of a line say its type, its time, its session, its text.
//!
//! - A field is named by a JSON Pointer (RFC 6901), such as `/message/text`. What a mapping does not name is looked for where
//!   most programs put it.
//! - A line's type becomes a kind by `kinds`; one that is a kind of ours is that; any other is a `note` of the line's text.
//! - A line whose fields do not make the body of its kind is a `note`, and one that is no JSON object kind `raw`. None is lost.
//! - Nothing is paired: what a line says to begin or to end is for the views to join, by the ids that it names.
//! - What comes as one body, as a webhook's, is read the same way, element by element ([`elements`]).

mod elements;

use std::collections::BTreeMap;

pub use elements::{TooMany, elements, text_at};
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
/// Who says something.
const ROLES: [&str; 3] = ["user", "assistant", "system"];

/// Which fields of a line say what, as JSON Pointers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mapping {
    /// The line's type.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// When it happened: RFC 3339, or seconds or milliseconds since 1970.
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
    /// Who says it: where `user`, `assistant` or `system` stands, or one of these words.
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
    /// Whether it went well: true, or a word for it such as `success`.
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
            let word = field == "role" && ROLES.contains(&pointer);
            if !word && !pointer.is_empty() && !pointer.starts_with('/') {
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
    Box::new(Lines {
        mapped: Mapped::new(mapping, context.agent, context.session),
        unknown: 0,
    })
}

/// What is read line by line.
#[derive(Debug)]
struct Lines {
    mapped: Mapped,
    unknown: u64,
}

impl Adapter for Lines {
    fn line(&mut self, line: &[u8], at: Timestamp, out: &mut Vec<NewEvent>) {
        if let Some(read) = self.mapped.read(line, None, at) {
            self.unknown += u64::from(read.unknown);
            out.push(read.event);
        }
    }

    fn end(&mut self, _exit: Option<i32>, _at: Timestamp, _out: &mut Vec<NewEvent>) {}

    fn unknown(&self) -> u64 {
        self.unknown
    }
}

/// A mapping, and what holds where a text does not say it.
#[derive(Debug)]
pub struct Mapped {
    mapping: Mapping,
    source: Name,
    agent: Option<Name>,
    session: Option<Name>,
}

/// What one text is.
#[derive(Debug)]
pub struct Read {
    /// The event.
    pub event: NewEvent,
    /// Its id is made of what the mapping's `id` points to.
    pub identified: bool,
    /// It is no JSON object, and kept as it is.
    pub unknown: bool,
}

impl Mapped {
    /// Reads by this mapping; `agent` and `session` are of what names none.
    #[must_use]
    pub fn new(mapping: Mapping, agent: Option<Name>, session: Option<Name>) -> Self {
        let source = Defaults::new(mapping.source.as_deref().unwrap_or(SOURCE), Timestamp::UNIX_EPOCH).source;
        Self {
            mapping,
            source,
            agent,
            session: session.or_else(|| Name::lossy(SOURCE)),
        }
    }

    /// What a text says; `None` of a blank one. `kind` is its type where something beside it says that.
    #[must_use]
    pub fn read(&self, text: &[u8], kind: Option<&str>, at: Timestamp) -> Option<Read> {
        let text = String::from_utf8_lossy(text);
        let text = text.trim_matches(BLANK);
        if text.is_empty() {
            return None;
        }
        let object = serde_json::from_str::<&RawValue>(text)
            .ok()
            .filter(|it| it.get().starts_with('{'));
        let Some(object) = object else {
            let fields = [
                ("what", Some(Json::of("not a JSON object"))),
                ("unknown", Some(Json::of(&true))),
            ];
            let event = NewEvent::new(Kind::RAW, self.source.clone(), at, with(&Empty {}, &fields));
            return Some(Read {
                event: self.placed(event, self.session.clone(), None, text),
                identified: false,
                unknown: true,
            });
        };
        let look = Look {
            object,
            kind,
            mapping: &self.mapping,
        };
        let name = |pointer, usual| look.text(pointer, usual).as_deref().and_then(Name::lossy);
        let m = &self.mapping;
        let (kind, body) = look.event(text);
        let session = name(&m.session_id, "/session_id").or_else(|| self.session.clone());
        let mut event = NewEvent::new(kind, self.source.clone(), look.time().unwrap_or(at), fit::body(body));
        event.agent = name(&m.agent, "/agent");
        let id = look.text(&m.id, "");
        if let Some(id) = &id {
            let session = session.as_ref().map_or("", Name::as_str);
            event.id = crate::fact::id(session, "turnwire mapped", [self.source.as_str(), session, id]);
        }
        Some(Read {
            event: self.placed(event, session, name(&m.turn_id, "/turn_id"), text),
            identified: id.is_some(),
            unknown: false,
        })
    }

    fn placed(&self, event: NewEvent, session: Option<Name>, turn: Option<Name>, line: &str) -> NewEvent {
        NewEvent {
            agent: event.agent.clone().or_else(|| self.agent.clone()),
            session_id: session,
            turn_id: turn,
            raw: fit::raw(line, &event.data),
            ..event
        }
    }
}

/// What may stand round a text.
const BLANK: [char; 5] = ['\u{feff}', ' ', '\t', '\r', '\n'];

/// What stands at a JSON Pointer that is not empty.
fn at<'a>(object: &'a RawValue, pointer: &str) -> Option<&'a RawValue> {
    let path = pointer.strip_prefix('/')?;
    path.split('/').try_fold(object, |value, token| {
        let token = token.replace("~1", "/").replace("~0", "~");
        match value.get().as_bytes().first()? {
            b'[' => crate::view::list(value)?.get(token.parse::<usize>().ok()?).copied(),
            _ => Obj::parse(value.get())?.get(&token),
        }
    })
}

/// One line, by the mapping.
struct Look<'a> {
    object: &'a RawValue,
    /// Its type, where something beside it says that.
    kind: Option<&'a str>,
    mapping: &'a Mapping,
}

impl<'a> Look<'a> {
    /// What stands at a pointer, or at the usual place.
    fn value(&self, pointer: &Option<String>, usual: &str) -> Option<&'a RawValue> {
        at(self.object, pointer.as_deref().unwrap_or(usual))
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
        text.parse().ok().or_else(|| since_1970(&text))
    }

    /// The event that a line is.
    fn event(&self, line: &str) -> (Kind, Object) {
        let m = self.mapping;
        let name = self.kind.map(str::to_owned).or_else(|| self.text(&m.kind, "/type"));
        let name = name.unwrap_or_default();
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

    /// Who says it.
    fn role(&self) -> String {
        let role = &self.mapping.role;
        let word = role.clone().filter(|word| ROLES.contains(&word.as_str()));
        word.or_else(|| self.text(role, "/role"))
            .unwrap_or_else(|| "assistant".to_owned())
    }

    /// The body of a kind; `None` when the line has not what it takes.
    fn body(&self, kind: &Kind, text: Option<String>) -> Option<Object> {
        let m = self.mapping;
        let error = self.text(&m.error, "/error");
        let success = self
            .text(&m.success, "/success")
            .map(|text| WENT_WELL.contains(&&*text));
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
                role: self.role(),
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

/// How programs say that something went well.
const WENT_WELL: [&str; 5] = ["true", "success", "succeeded", "ok", "passed"];

/// Seconds since 1970 with or without a fraction, or milliseconds: 10^11 of these are of 1973, and of seconds beyond the year 5000.
fn since_1970(text: &str) -> Option<Timestamp> {
    let number: f64 = text.parse().ok()?;
    let millis = if number.abs() < 1e11 { number * 1e3 } else { number };
    // 2^53: beyond it a float does not name one whole number.
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    (millis.abs() < 9_007_199_254_740_992.0)
        .then(|| millis.round() as i64)
        .and_then(Timestamp::from_millis)
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
    fn a_time_is_a_date_seconds_or_milliseconds() {
        for (ts, millis) in [
            (r#""2026-11-21T10:00:00Z""#, 1_795_255_200_000),
            ("1531420618", 1_531_420_618_000),
            (r#""1355517523.000005""#, 1_355_517_523_000),
            ("1531420618123", 1_531_420_618_123),
            ("-1", -1000),
        ] {
            let event = read(MAPPING, &format!(r#"{{"ts":{ts}}}"#));
            assert_eq!(event.timestamp.millis(), millis, "{ts}");
        }
        // Not one: it is when it came.
        for ts in ["1e300", r#""NaN""#, r#""soon""#, "[1]"] {
            assert_eq!(
                read(MAPPING, &format!(r#"{{"ts":{ts}}}"#)).timestamp.millis(),
                0,
                "{ts}"
            );
        }
    }

    #[test]
    fn that_it_went_well_is_true_or_a_word_for_it() {
        for (how, well) in [
            ("true", true),
            (r#""success""#, true),
            ("false", false),
            (r#""failure""#, false),
        ] {
            let event = read(
                MAPPING,
                &format!(r#"{{"event":{{"kind":"ran"}},"c":"1","success":{how}}}"#),
            );
            assert_eq!(event.data.read::<ToolCall>().unwrap().success, well, "{how}");
        }
    }

    #[test]
    fn a_role_is_a_word_or_where_one_stands() {
        for (role, want) in [("user", "user"), ("/by", "bot"), ("/none", "assistant")] {
            let mapping = format!(r#"{{"text":"/t","role":"{role}"}}"#);
            let event = read(&mapping, r#"{"type":"message","t":"x","by":"bot","role":"system"}"#);
            assert_eq!(event.data.read::<Message>().unwrap().role, want, "{role}");
        }
    }

    #[test]
    fn a_type_from_elsewhere_is_the_type() {
        let mapping: Mapping = serde_json::from_str(MAPPING).unwrap();
        let mapped = Mapped::new(mapping, None, None);
        let text = br#"{"event":{"kind":"odd"},"body":[{"say":"x"}]}"#;
        let read = mapped.read(text, Some("said"), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(
            (read.event.kind, read.identified, read.unknown),
            (Kind::MESSAGE, false, false)
        );
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
