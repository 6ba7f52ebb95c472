//! A body that tells several things: an array, or an object that holds one.

use std::fmt;

use serde::{
    Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{BLANK, at, string};

/// A body has more elements than are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// The texts of a body's elements: of the array at `pointer`, or of the body where that is one. A body that has no element there is
/// one itself, so that nothing is lost.
///
/// # Errors
/// There are more than `limit`.
pub fn elements<'a>(body: &'a str, pointer: Option<&str>, limit: usize) -> Result<Vec<&'a str>, TooMany> {
    let text = body.trim_matches(BLANK);
    let array = serde_json::from_str::<&RawValue>(text)
        .ok()
        .and_then(|body| match pointer {
            None | Some("") => Some(body),
            Some(pointer) => at(body, pointer),
        })
        .filter(|array| array.get().starts_with('['));
    let Some(array) = array else { return Ok(vec![text]) };
    let mut reading = serde_json::Deserializer::from_str(array.get());
    let read = reading.deserialize_seq(Items(limit)).unwrap_or_default();
    match read {
        Some(items) if items.is_empty() => Ok(vec![text]),
        Some(items) => Ok(items.into_iter().map(RawValue::get).collect()),
        None => Err(TooMany),
    }
}

/// The text that stands at a pointer of a body.
#[must_use]
pub fn text_at(body: &str, pointer: &str) -> Option<String> {
    let body = serde_json::from_str::<&RawValue>(body.trim_matches(BLANK)).ok()?;
    at(body, pointer).and_then(string).map(Into::into)
}

/// The items of an array, of which at most so many are kept; `None` of more.
struct Items(usize);

impl<'de> Visitor<'de> for Items {
    type Value = Option<Vec<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() < self.0 {
            match array.next_element()? {
                Some(item) => items.push(item),
                None => return Ok(Some(items)),
            }
        }
        let mut more = false;
        while array.next_element::<IgnoredAny>()?.is_some() {
            more = true;
        }
        Ok((!more).then_some(items))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_its_elements_and_all_else_one() {
        let all = |body, pointer| elements(body, pointer, 3).unwrap();
        assert_eq!(all(" [{\"a\":1},\"[\" ,3] ", None), ["{\"a\":1}", "\"[\"", "3"]);
        assert_eq!(all("[1]", Some("")), ["1"]);
        assert_eq!(all(r#"{"a":{"b":[1,2]}}"#, Some("/a/b")), ["1", "2"]);
        for body in ["", "{\"a\":[1]}", "[]", "no json", "[1,", "7"] {
            assert_eq!(all(body, None), [body]);
        }
        for body in [r#"{"a":7}"#, r#"{"a":[]}"#, r#"{"b":[1]}"#, "[1]"] {
            assert_eq!(all(body, Some("/a")), [body]);
        }
    }

    #[test]
    fn no_more_are_taken_than_there_may_be() {
        assert_eq!(elements("[1,2,3]", None, 3).unwrap().len(), 3);
        assert_eq!(elements("[1,2,3,4]", None, 3), Err(TooMany));
    }
}
