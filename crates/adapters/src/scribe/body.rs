//! Bodies with more fields than their types have, and how a call ended.

use serde::Serialize;
use turnwire_proto::{Empty, Json, Object};

/// How a call ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended {
    pub(crate) success: bool,
    pub(crate) output: Option<Json>,
    pub(crate) error: Option<String>,
    /// What the vendor measured; else it is measured here.
    pub(crate) duration_ms: Option<u64>,
    /// Its start was told with its end: it cannot be measured.
    pub(crate) untimed: bool,
    /// More fields of the body.
    pub(crate) more: Vec<(&'static str, Json)>,
}

/// A body with more fields than its type has.
pub(crate) fn with<T: Serialize>(body: &T, more: &[(&'static str, Option<Json>)]) -> Object {
    let body = Object::of(body);
    // An object's text ends with its own brace.
    let mut text = body.get()[..body.get().len() - 1].to_owned();
    for (key, value) in more {
        if let Some(value) = value {
            if !text.ends_with('{') {
                text.push(',');
            }
            text.push('"');
            text.push_str(key);
            text.push_str("\":");
            text.push_str(value.get());
        }
    }
    text.push('}');
    Json::parse(&text).ok().and_then(Object::new).unwrap_or(body)
}

/// An object of those fields that are there.
pub(crate) fn object(fields: &[(&'static str, Option<Json>)]) -> Json {
    let object = with(&Empty {}, fields);
    Json::parse(object.get()).unwrap_or_else(|_| Json::of(&Empty {}))
}
