//! What a producer may send as an event, checked field by field so that an error names the field.

use std::borrow::Cow;

use serde::{
    Deserialize,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{EventId, Json, Kind, Name, NewEvent, Object, Timestamp, json::is_deeper, limits};

/// Why a body is not an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Not JSON, or not a JSON object; the text says where.
    #[error("not a JSON object: {0}")]
    Json(String),
    /// A field that must be there is not.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A field that an event has not.
    #[error("`{0}` is not a field of an event; a producer's own fields belong in `data`")]
    Unknown(String),
    /// A field that is there twice.
    #[error("`{0}` is there twice")]
    Twice(&'static str),
    /// A field with a value that it cannot have.
    #[error("`{field}` {why}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What is wrong, as a phrase that follows the name.
        why: String,
    },
    /// Larger than an event may be.
    #[error("`data` and `raw` have {size} bytes together, more than the limit of {limit}")]
    Large {
        /// Bytes that came.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Nested deeper than readers read.
    #[error("`{field}` is nested deeper than the limit of {limit} levels")]
    Deep {
        /// Its name.
        field: &'static str,
        /// Levels allowed.
        limit: usize,
    },
}

impl Invalid {
    /// The field that is wrong, where one is.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Json(_) => None,
            Self::Missing(field) | Self::Twice(field) | Self::Field { field, .. } | Self::Deep { field, .. } => {
                Some(field)
            }
            Self::Unknown(field) => Some(field),
            Self::Large { .. } => Some("data"),
        }
    }
}

/// What fills the fields that a producer left out.
#[derive(Clone, Debug)]
pub struct Defaults {
    /// For `source`.
    pub source: Name,
    /// For `timestamp`.
    pub timestamp: Timestamp,
}

impl Defaults {
    /// With this source; `api` when it is not a name.
    #[must_use]
    pub fn new(source: &str, timestamp: Timestamp) -> Self {
        Self {
            source: Name::lossy(source).unwrap_or_else(api),
            timestamp,
        }
    }
}

fn api() -> Name {
    // Invariant: a literal that is a name.
    Name::new("api").expect("a literal name")
}

/// A producer's event: `type` must be there, all else may be left out.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The producer's id; a fresh one when absent.
    pub id: Option<EventId>,
    /// Its `type`.
    pub kind: Kind,
    /// When it happened; now when absent.
    pub timestamp: Option<Timestamp>,
    /// What made it.
    pub source: Option<Name>,
    /// The named worker.
    pub agent: Option<Name>,
    /// The conversation.
    pub session_id: Option<Name>,
    /// The prompt.
    pub turn_id: Option<Name>,
    /// The body; `{}` when absent.
    pub data: Object,
    /// The vendor's line.
    pub raw: Option<Json>,
}

impl Incoming {
    /// Reads one event as a producer sends it.
    ///
    /// # Errors
    /// See [`Invalid`].
    pub fn parse(text: &[u8]) -> Result<Self, Invalid> {
        Self::parse_within(text, limits::EVENT)
    }

    /// The same with another limit on the bytes of `data` and `raw`: for who makes it smaller.
    ///
    /// # Errors
    /// See [`Invalid`].
    pub fn parse_within(text: &[u8], limit: usize) -> Result<Self, Invalid> {
        let text = std::str::from_utf8(text)
            .map_err(|e| Invalid::Json(format!("invalid UTF-8 after {} bytes", e.valid_up_to())))?;
        let fields: Fields<'_> = serde_json::from_str(text).map_err(|e| Invalid::Json(e.to_string()))?;
        let event = Self::try_from(&fields)?;
        let size = event.data.get().len() + event.raw.as_ref().map_or(0, |raw| raw.get().len());
        if size > limit {
            return Err(Invalid::Large { size, limit });
        }
        Ok(event)
    }

    /// Reads an array of events, or one event, or nothing of an empty array.
    ///
    /// # Errors
    /// The place in the array, counted from 0, and what is wrong there.
    pub fn parse_many(text: &[u8]) -> Result<Vec<Self>, (usize, Invalid)> {
        Self::parse_many_within(text, limits::EVENT)
    }

    /// The same with another limit on the bytes of `data` and `raw` of each.
    ///
    /// # Errors
    /// The place in the array, counted from 0, and what is wrong there.
    pub fn parse_many_within(text: &[u8], limit: usize) -> Result<Vec<Self>, (usize, Invalid)> {
        let start = text.iter().find(|b| !b.is_ascii_whitespace());
        if start != Some(&b'[') {
            return Self::parse_within(text, limit).map(|one| vec![one]).map_err(|e| (0, e));
        }
        let text = std::str::from_utf8(text).map_err(|e| {
            (
                0,
                Invalid::Json(format!("invalid UTF-8 after {} bytes", e.valid_up_to())),
            )
        })?;
        let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|e| (0, Invalid::Json(e.to_string())))?;
        items
            .iter()
            .enumerate()
            .map(|(at, item)| Self::parse_within(item.get().as_bytes(), limit).map_err(|e| (at, e)))
            .collect()
    }

    /// The event, with what was left out filled in.
    #[must_use]
    pub fn into_event(self, defaults: &Defaults) -> NewEvent {
        NewEvent {
            id: self.id.unwrap_or_default(),
            kind: self.kind,
            timestamp: self.timestamp.unwrap_or(defaults.timestamp),
            source: self.source.unwrap_or_else(|| defaults.source.clone()),
            agent: self.agent,
            session_id: self.session_id,
            turn_id: self.turn_id,
            data: self.data,
            raw: self.raw,
        }
    }
}

const NAMES: [&str; 9] = [
    "id",
    "type",
    "timestamp",
    "source",
    "agent",
    "session_id",
    "turn_id",
    "data",
    "raw",
];

/// The fields as they came, in the order of [`NAMES`]; what is unknown or doubled is noted for a later, better error.
#[derive(Default)]
struct Fields<'a> {
    values: [Option<&'a RawValue>; NAMES.len()],
    twice: Option<&'static str>,
    unknown: Option<String>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an event object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Fields::default();
                while let Some(Key(key)) = map.next_key()? {
                    let value: &'de RawValue = map.next_value()?;
                    match NAMES.iter().position(|name| *name == key) {
                        Some(at) if fields.values[at].is_some() => fields.twice = Some(NAMES[at]),
                        Some(at) => fields.values[at] = Some(value),
                        None => fields.unknown = Some(key.chars().take(limits::KIND).collect()),
                    }
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// A key that is borrowed where it has no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

fn text<'a>(field: &'static str, raw: &'a RawValue) -> Result<Cow<'a, str>, Invalid> {
    let text = raw.get();
    let inner = text.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    match inner {
        Some(inner) if !inner.contains('\\') => Ok(Cow::Borrowed(inner)),
        Some(_) => serde_json::from_str(text).map(Cow::Owned).map_err(|e| Invalid::Field {
            field,
            why: e.to_string(),
        }),
        None => Err(Invalid::Field {
            field,
            why: format!("must be a string, not {}", shape(text)),
        }),
    }
}

fn shape(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null; leave it out instead",
        Some(b'"') => "a string",
        _ => "a number",
    }
}

impl TryFrom<&Fields<'_>> for Incoming {
    type Error = Invalid;

    fn try_from(fields: &Fields<'_>) -> Result<Self, Invalid> {
        if let Some(unknown) = &fields.unknown {
            return Err(Invalid::Unknown(unknown.clone()));
        }
        if let Some(field) = fields.twice {
            return Err(Invalid::Twice(field));
        }
        let [id, kind, timestamp, source, agent, session_id, turn_id, data, raw] = fields.values;
        fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
            field: &'static str,
            raw: Option<&RawValue>,
        ) -> Result<Option<T>, Invalid> {
            let Some(raw) = raw else { return Ok(None) };
            text(field, raw)?.parse().map(Some).map_err(|e: T::Err| Invalid::Field {
                field,
                why: e.to_string(),
            })
        }
        let body = match data {
            None => Object::empty(),
            Some(data) => Object::new(Json::from_raw(data)).ok_or_else(|| Invalid::Field {
                field: "data",
                why: format!("must be an object, not {}", shape(data.get())),
            })?,
        };
        let kind: Kind = parsed("type", kind)?.ok_or(Invalid::Missing("type"))?;
        if kind.is_the_servers() {
            return Err(Invalid::Field {
                field: "type",
                why: format!("`{kind}` is written by the server alone"),
            });
        }
        let event = Self {
            id: parsed("id", id)?,
            kind,
            timestamp: parsed("timestamp", timestamp)?,
            source: parsed("source", source)?,
            agent: parsed("agent", agent)?,
            session_id: parsed("session_id", session_id)?,
            turn_id: parsed("turn_id", turn_id)?,
            data: body,
            raw: raw.map(Json::from_raw),
        };
        for (field, json) in [("data", data.map(RawValue::get)), ("raw", raw.map(RawValue::get))] {
            if json.is_some_and(|json| is_deeper(json, limits::LEVELS)) {
                return Err(Invalid::Deep {
                    field,
                    limit: limits::LEVELS,
                });
            }
        }
        Ok(event)
    }
}

impl<'de> Deserialize<'de> for Incoming {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <Box<RawValue>>::deserialize(deserializer)?;
        Self::parse(raw.get().as_bytes()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> String {
        Incoming::parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn an_error_names_the_field() {
        assert_eq!(why(r#"{"data":{}}"#), "`type` is missing");
        assert!(why(r#"{"type":"note","id":"7"}"#).starts_with("`id` an id is a UUID"));
        assert!(why(r#"{"type":"note","session_id":""}"#).starts_with("`session_id` must not be empty"));
        assert!(why(r#"{"type":"note","agent":"a\u0000"}"#).starts_with("`agent` has a control character"));
        assert!(why(r#"{"type":"note","turn_id":null}"#).starts_with("`turn_id` must be a string, not null"));
        assert!(why(r#"{"type":5}"#).starts_with("`type` must be a string, not a number"));
        assert!(why(r#"{"type":"Note"}"#).starts_with("`type` must be snake_case"));
        assert_eq!(
            why(r#"{"type":"history_trimmed"}"#),
            "`type` `history_trimmed` is written by the server alone"
        );
        assert!(why(r#"{"type":"note","data":[]}"#).starts_with("`data` must be an object, not an array"));
        assert!(why(r#"{"type":"note","timestamp":"yesterday"}"#).starts_with("`timestamp` a timestamp is RFC 3339"));
        assert!(why(r#"{"type":"note","seq":1}"#).starts_with("`seq` is not a field"));
        assert_eq!(why(r#"{"type":"note","type":"note"}"#), "`type` is there twice");
        assert!(why("[1]").starts_with("not a JSON object"));
        assert!(why("{\"type\":\"note\"").starts_with("not a JSON object: EOF"));
        assert!(matches!(Incoming::parse(b"{\"type\":\"\xff\"}"), Err(Invalid::Json(_))));
    }

    #[test]
    fn an_event_over_the_limit_is_refused_with_both_numbers() {
        let big = format!(r#"{{"type":"note","data":{{"text":"{}"}}}}"#, "x".repeat(limits::EVENT));
        assert_eq!(
            why(&big),
            format!(
                "`data` and `raw` have {} bytes together, more than the limit of {}",
                limits::EVENT + 11,
                limits::EVENT
            )
        );
    }

    #[test]
    fn what_is_nested_deeper_than_readers_read_is_refused_by_its_field() {
        let nested = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        let (whole, deep) = (nested(limits::LEVELS), nested(limits::LEVELS + 1));
        let event = format!(r#"{{"type":"note","data":{whole},"raw":{whole}}}"#);
        assert_eq!(Incoming::parse(event.as_bytes()).unwrap().data.get(), whole);
        // As deep as a page of history, the deepest answer that holds it, makes it.
        let page = format!(r#"{{"events":[{{"data":{whole}}}]}}"#);
        assert!(serde_json::from_str::<serde_json::Value>(&page).is_ok());
        for field in ["data", "raw"] {
            assert_eq!(
                why(&format!(r#"{{"type":"note","{field}":{deep}}}"#)),
                format!("`{field}` is nested deeper than the limit of {} levels", limits::LEVELS)
            );
        }
    }

    #[test]
    fn a_vendor_field_inside_data_never_collides_with_ours() {
        let event = Incoming::parse(br#"{"type":"note","data":{"seq":"x","type":7,"id":null}}"#).unwrap();
        assert_eq!(event.data.get(), r#"{"seq":"x","type":7,"id":null}"#);
    }

    #[test]
    fn one_object_and_an_array_are_both_taken_and_an_error_has_its_place() {
        assert_eq!(Incoming::parse_many(br#" {"type":"note"}"#).unwrap().len(), 1);
        assert_eq!(
            Incoming::parse_many(br#"[{"type":"a"},{"type":"b"}]"#).unwrap().len(),
            2
        );
        assert_eq!(
            Incoming::parse_many(br#"[{"type":"a"},{}]"#).unwrap_err(),
            (1, Invalid::Missing("type"))
        );
    }
}
