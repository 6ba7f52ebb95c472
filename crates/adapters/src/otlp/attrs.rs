//! Attributes as they are asked for, and records as they are kept.

use serde::{Serialize, Serializer, ser::SerializeMap};
use turnwire_proto::Json;

use super::{
    loose::{base64, hex},
    wire::{AnyValue, KeyValue, LogRecord, Span, Value},
};

/// The attributes of a record, and behind them those of what it stands in.
#[derive(Clone, Copy)]
pub(super) struct Attrs<'a> {
    own: &'a [KeyValue],
    resource: &'a [KeyValue],
}

fn find<'a>(list: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let found = list.iter().rev().find(|attribute| attribute.key == key)?;
    found.value.as_ref()?.value.as_ref()
}

/// A text, or a number as one; an empty one is none.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Int(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Double(number) => Some(number.to_string()),
        Value::Array(_) | Value::Map(_) | Value::Bytes(_) => None,
    }
}

/// A body that is a text.
pub(super) fn text_of(value: &AnyValue) -> Option<String> {
    match value.value.as_ref()? {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    }
}

impl<'a> Attrs<'a> {
    pub(super) const fn new(own: &'a [KeyValue], resource: &'a [KeyValue]) -> Self {
        Self { own, resource }
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        find(self.own, key).or_else(|| find(self.resource, key))
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.get(key).and_then(text)
    }

    /// The same of the record alone.
    pub(super) fn own_text(&self, key: &str) -> Option<String> {
        find(self.own, key).and_then(text)
    }

    pub(super) fn is(&self, key: &str, value: &str) -> bool {
        matches!(self.get(key), Some(Value::Text(text)) if text == value)
    }

    /// The first of these that is there.
    pub(super) fn first(&self, keys: &[&str]) -> Option<String> {
        keys.iter().find_map(|key| self.text(key))
    }

    /// A whole number that is not negative, whichever way it is written.
    pub(super) fn u64(&self, key: &str) -> Option<u64> {
        match self.get(key)? {
            Value::Int(number) => u64::try_from(*number).ok(),
            Value::Text(text) => text.parse().ok().or_else(|| whole(text.parse().ok()?)),
            Value::Double(number) => whole(*number),
            _ => None,
        }
    }

    pub(super) fn f64(&self, key: &str) -> Option<f64> {
        let number = match self.get(key)? {
            #[expect(clippy::cast_precision_loss, reason = "a sum of money or a share")]
            Value::Int(number) => *number as f64,
            Value::Text(text) => text.parse().ok()?,
            Value::Double(number) => *number,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    pub(super) fn bool(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            Value::Bool(yes) => Some(*yes),
            Value::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// Any value as JSON.
    pub(super) fn json(&self, key: &str) -> Option<Json> {
        self.get(key).map(|value| Json::of(&Plain(value)))
    }

    /// The JSON that a text is (vendors put structures into strings), else the value itself.
    pub(super) fn inner(&self, key: &str) -> Option<Json> {
        match self.get(key)? {
            Value::Text(text) if text.is_empty() => None,
            Value::Text(text) => {
                let json = Some(text).filter(|text| text.trim_start().starts_with(['{', '[']));
                json.and_then(|text| Json::parse(text).ok())
                    .or_else(|| Some(Json::of(text)))
            }
            value => Some(Json::of(&Plain(value))),
        }
    }

    /// Keys and values of the record alone.
    pub(super) fn own(&self) -> &'a [KeyValue] {
        self.own
    }
}

fn whole(number: f64) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked"
    )]
    (0.0..9_007_199_254_740_992.0)
        .contains(&number)
        .then(|| number.round() as u64)
}

/// A value as the JSON that it means; bytes as base64.
struct Plain<'a>(&'a Value);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Text(text) => to.serialize_str(text),
            Value::Bool(yes) => to.serialize_bool(*yes),
            Value::Int(number) => to.serialize_i64(*number),
            Value::Double(number) if number.is_finite() => to.serialize_f64(*number),
            Value::Double(number) => to.serialize_str(&number.to_string()),
            Value::Array(list) => to.collect_seq(list.values.iter().map(Any)),
            Value::Map(list) => Map(&list.values).serialize(to),
            Value::Bytes(bytes) => to.serialize_str(&base64(bytes)),
        }
    }
}

struct Any<'a>(&'a AnyValue);

impl Serialize for Any<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &self.0.value {
            Some(value) => Plain(value).serialize(to),
            None => to.serialize_none(),
        }
    }
}

/// A value as the JSON that it means.
pub(super) fn plain(value: &AnyValue) -> Json {
    Json::of(&Any(value))
}

/// Attributes as an object.
#[derive(Default)]
pub(super) struct Map<'a>(pub(super) &'a [KeyValue]);

impl Map<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Map<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for attribute in self.0 {
            let none = AnyValue { value: None };
            map.serialize_entry(&attribute.key, &Any(attribute.value.as_ref().unwrap_or(&none)))?;
        }
        map.end()
    }
}

/// A record as it is kept: the names are OTLP's, attributes are objects, ids are hexadecimal, what is empty is left out.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Fields<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    event_name: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    trace_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    span_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    parent_span_id: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    trace_state: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    kind: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_unix_nano: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_time_unix_nano: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time_unix_nano: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time_unix_nano: Option<String>,
    #[serde(skip_serializing_if = "is_zero")]
    severity_number: i32,
    #[serde(skip_serializing_if = "str::is_empty")]
    severity_text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Json>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    attributes: Map<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<Fields<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<Fields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
}

#[derive(Serialize)]
struct Status<'a> {
    code: i32,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
}

fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// 64 bits are a string, as OTLP's JSON has them: most readers would round them.
fn nanos(time: u64) -> Option<String> {
    (time > 0).then(|| time.to_string())
}

impl<'a> Fields<'a> {
    pub(super) fn of_log(record: &'a LogRecord) -> Self {
        Self {
            event_name: &record.event_name,
            trace_id: hex(&record.trace_id),
            span_id: hex(&record.span_id),
            time_unix_nano: nanos(record.time_unix_nano),
            observed_time_unix_nano: nanos(record.observed_time_unix_nano),
            severity_number: record.severity_number,
            severity_text: &record.severity_text,
            body: record.body.as_ref().map(plain),
            attributes: Map(&record.attributes),
            ..Self::default()
        }
    }

    pub(super) fn of_span(span: &'a Span) -> Self {
        let events = span.events.iter().map(|event| Self {
            name: &event.name,
            time_unix_nano: nanos(event.time_unix_nano),
            attributes: Map(&event.attributes),
            ..Self::default()
        });
        let links = span.links.iter().map(|link| Self {
            trace_id: hex(&link.trace_id),
            span_id: hex(&link.span_id),
            attributes: Map(&link.attributes),
            ..Self::default()
        });
        let status = span
            .status
            .as_ref()
            .filter(|status| status.code != 0 || !status.message.is_empty());
        Self {
            name: &span.name,
            trace_id: hex(&span.trace_id),
            span_id: hex(&span.span_id),
            parent_span_id: hex(&span.parent_span_id),
            trace_state: &span.trace_state,
            kind: span.kind,
            start_time_unix_nano: nanos(span.start_time_unix_nano),
            end_time_unix_nano: nanos(span.end_time_unix_nano),
            attributes: Map(&span.attributes),
            events: events.collect(),
            links: links.collect(),
            status: status.map(|status| Status {
                code: status.code,
                message: &status.message,
            }),
            ..Self::default()
        }
    }
}
