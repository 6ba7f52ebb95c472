//! JSON that is carried, not read: bodies and vendors' lines stay the bytes that came.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};

/// One JSON value as it was written, in one line: line breaks between tokens have become spaces, so that it fits one
/// line of a server-sent event.
#[derive(Clone)]
pub struct Json(Box<RawValue>);

impl Json {
    /// Parses nothing beyond checking that `text` is one JSON value.
    ///
    /// # Errors
    /// What is not JSON, with line and column.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<&RawValue>(text).map(Self::from_raw)
    }

    /// Takes a value that a parser has already walked over.
    #[must_use]
    pub fn from_raw(raw: &RawValue) -> Self {
        let text = raw.get();
        if memchr::memchr2(b'\n', b'\r', text.as_bytes()).is_none() {
            return Self(raw.to_owned());
        }
        // Inside a JSON string a line break is always escaped, so these stand between tokens.
        let line = text.replace(['\n', '\r'], " ");
        Self(RawValue::from_string(line).unwrap_or_else(|_| raw.to_owned()))
    }

    /// A vendor's line: itself when it is JSON, else a JSON string that holds it (invalid UTF-8 replaced).
    #[must_use]
    pub fn from_line(line: &[u8]) -> Self {
        if let Ok(raw) = serde_json::from_slice::<&RawValue>(line) {
            return Self::from_raw(raw);
        }
        Self::of(&String::from_utf8_lossy(line))
    }

    /// The JSON of `value`.
    #[must_use]
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Self {
        Self(to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// Reads it as a `T`.
    ///
    /// # Errors
    /// What does not fit.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.get())
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <Box<RawValue>>::deserialize(deserializer).map(|raw| Self::from_raw(&raw))
    }
}

/// Whether `json` is nested deeper than so many levels.
///
/// Every event that is published passes here: what is short, or has few brackets, costs next to nothing.
#[must_use]
pub fn is_deeper(json: &str, levels: usize) -> bool {
    let bytes = json.as_bytes();
    // Each level has two brackets.
    if bytes.len() <= 2 * levels || openings(bytes) <= levels {
        return false;
    }
    let (mut level, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => level += 1,
            b']' | b'}' if !quoted => level = level.saturating_sub(1),
            _ => continue,
        }
        if level > levels {
            return true;
        }
    }
    false
}

/// How many brackets open, in strings or not: sixteen bytes at a time, since nothing depends on what stands before.
fn openings(bytes: &[u8]) -> usize {
    // `[` and `{` differ in this bit alone. 240 is what a byte can count, in whole sixteens.
    let count = |chunk: &[u8]| chunk.iter().map(|byte| u8::from(byte | 0x20 == b'{')).sum::<u8>();
    bytes.chunks(240).map(|chunk| usize::from(count(chunk))).sum()
}

/// A [`Json`] that is an object: an event's body.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Object(Json);

impl Object {
    /// `{}`.
    #[must_use]
    pub fn empty() -> Self {
        Self(Json::of(&serde_json::Map::new()))
    }

    /// `None` when `json` is not an object.
    #[must_use]
    pub fn new(json: Json) -> Option<Self> {
        json.get().starts_with('{').then_some(Self(json))
    }

    /// The body of a kind. A `T` that does not become a JSON object gives `{}`: bodies are structs by construction.
    #[must_use]
    pub fn of<T: Serialize + ?Sized>(body: &T) -> Self {
        Self::new(Json::of(body)).unwrap_or_else(Self::empty)
    }

    /// The text.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// Reads it as a `T`.
    ///
    /// # Errors
    /// What does not fit.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        self.0.read()
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Json::deserialize(deserializer)?).ok_or_else(|| serde::de::Error::custom("data is not a JSON object"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_keeps_its_bytes_but_for_line_breaks_between_tokens() {
        let json = Json::parse("{\"n\":1.50,\r\n \"s\":\"a\\nb\u{2028}\"}").unwrap();
        assert_eq!(json.get(), "{\"n\":1.50,   \"s\":\"a\\nb\u{2028}\"}");
    }

    #[test]
    fn a_line_that_is_not_json_is_kept_as_a_string() {
        assert_eq!(Json::from_line(b"{\"a\":1}").get(), "{\"a\":1}");
        assert_eq!(Json::from_line(b"{\"a\":").get(), r#""{\"a\":""#);
        assert_eq!(Json::from_line(b"\xff\0").get(), "\"\u{fffd}\\u0000\"");
    }

    #[test]
    fn levels_are_counted_outside_of_strings() {
        let nested = |levels: usize, within: &str| format!("{}{within}{}", "[".repeat(levels), "]".repeat(levels));
        for levels in [0, 1, 64, 100, 300, 1000] {
            assert!(!is_deeper(&nested(levels, ""), levels));
            assert!(is_deeper(&nested(levels + 1, ""), levels));
            assert!(is_deeper(&nested(levels, "[{}]"), levels + 1));
            assert!(!is_deeper(&nested(levels, Json::of(&"[\"{".repeat(900)).get()), levels));
            assert!(!is_deeper(&nested(levels, &"[],{},".repeat(900)), levels + 1));
            assert!(is_deeper(
                &nested(levels, &format!("{}[[]]", "{},".repeat(900))),
                levels + 1
            ));
        }
    }

    #[test]
    fn only_an_object_is_a_body() {
        assert!(Object::new(Json::parse("{}").unwrap()).is_some());
        for other in ["[]", "1", "null", "\"{\""] {
            assert!(Object::new(Json::parse(other).unwrap()).is_none());
        }
    }
}
