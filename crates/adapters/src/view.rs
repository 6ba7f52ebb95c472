//! A tolerant look at a vendor's JSON object: what is missing, null or of another type is simply not there.
//!
//! No vendor has a type here: a field that changes its shape costs that field, never the line.

use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use turnwire_proto::{Json, Timestamp};

/// An object's entries as they stand, values unread. Of a key that is there twice the last one counts, as in JavaScript.
#[derive(Clone, Debug, Default)]
pub(crate) struct Obj<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Obj<'a> {
    /// `None` when `text` is not one JSON object.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// A value that is there and not null.
    pub(crate) fn get(&self, key: &str) -> Option<&'a RawValue> {
        let (_, value) = self.0.iter().rev().find(|(name, _)| name == key)?;
        (value.get() != "null").then_some(*value)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (&**key, *value))
    }

    pub(crate) fn str(&self, key: &str) -> Option<Cow<'a, str>> {
        self.get(key).and_then(string)
    }

    /// A string that has something in it.
    pub(crate) fn text(&self, key: &str) -> Option<String> {
        self.str(key).filter(|text| !text.is_empty()).map(Cow::into_owned)
    }

    pub(crate) fn is(&self, key: &str, value: &str) -> bool {
        self.str(key).is_some_and(|text| text == value)
    }

    pub(crate) fn obj(&self, key: &str) -> Option<Obj<'a>> {
        self.get(key).and_then(|value| Obj::parse(value.get()))
    }

    pub(crate) fn list(&self, key: &str) -> Vec<&'a RawValue> {
        self.get(key).and_then(list).unwrap_or_default()
    }

    /// The objects of a list; what else it has is passed over.
    pub(crate) fn objects(&self, key: &str) -> Vec<Obj<'a>> {
        self.list(key)
            .iter()
            .filter_map(|item| Obj::parse(item.get()))
            .collect()
    }

    pub(crate) fn json(&self, key: &str) -> Option<Json> {
        self.get(key).map(Json::from_raw)
    }

    pub(crate) fn bool(&self, key: &str) -> Option<bool> {
        self.get(key).and_then(|value| serde_json::from_str(value.get()).ok())
    }

    pub(crate) fn yes(&self, key: &str) -> bool {
        self.bool(key) == Some(true)
    }

    pub(crate) fn i64(&self, key: &str) -> Option<i64> {
        let value = self.get(key)?.get();
        serde_json::from_str(value).ok().or_else(|| {
            let number: f64 = serde_json::from_str(value).ok()?;
            // 2^53: beyond it a float does not name one whole number.
            #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
            (number.abs() < 9_007_199_254_740_992.0).then_some(number as i64)
        })
    }

    pub(crate) fn u64(&self, key: &str) -> Option<u64> {
        self.i64(key).and_then(|number| u64::try_from(number).ok())
    }

    pub(crate) fn f64(&self, key: &str) -> Option<f64> {
        let number: f64 = serde_json::from_str(self.get(key)?.get()).ok()?;
        number.is_finite().then_some(number)
    }

    /// RFC 3339, or milliseconds since 1970.
    pub(crate) fn time(&self, key: &str) -> Option<Timestamp> {
        match self.str(key) {
            Some(text) => text.parse().ok(),
            None => self.i64(key).and_then(Timestamp::from_millis),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Obj<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Obj<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((Text(key), value)) = map.next_entry()? {
                    entries.push((key, value));
                }
                Ok(Obj(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// The items of a JSON array.
pub(crate) fn list(value: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(value.get()).ok()
}

/// A JSON string's text; half a surrogate pair, which JavaScript can write and UTF-8 cannot, becomes U+FFFD.
pub(crate) fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    let json = value.get();
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(json).ok().map(|Text(text)| text)
}

/// A string, read as bytes because serde_json lets half a surrogate pair pass only there.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(Text(String::from_utf8_lossy(bytes)))
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(String::from_utf8_lossy(bytes).into_owned())))
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_another_type_is_not_there_and_the_rest_is() {
        let o = Obj::parse(r#"{"a":[1],"n":null,"s":"x\ty","k":1,"k":2.0,"big":1e300,"t":1795165352877}"#).unwrap();
        assert_eq!(o.str("a"), None);
        assert!(o.get("n").is_none());
        assert_eq!(o.text("s").as_deref(), Some("x\ty"));
        assert_eq!(o.u64("k"), Some(2));
        assert_eq!(o.u64("big"), None);
        assert_eq!(o.time("t").unwrap().to_string(), "2026-11-20T09:02:32.877Z");
        assert!(Obj::parse("[1]").is_none() && Obj::parse("{\"a\":1").is_none());
    }

    #[test]
    fn half_a_surrogate_pair_does_not_cost_the_string_or_the_line() {
        let o = Obj::parse(r#"{"s":"ok \ud83d","\ud83d":1,"t":"\ud83d\ude00"}"#).unwrap();
        assert!(o.text("s").unwrap().starts_with("ok \u{fffd}"));
        assert_eq!(o.text("t").as_deref(), Some("😀"));
    }
}
