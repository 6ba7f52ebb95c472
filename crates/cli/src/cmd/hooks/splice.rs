//! Changes to a JSON text that leave all else in it as it stands, byte for byte.
//!
//! A place in the text is a range of bytes. Nothing is written anew but what is put in: order, spaces and escapes of the rest are
//! the person's.

use std::{borrow::Cow, ops::Range};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// What a member of an object is called, and where its value stands.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) key: String,
    pub(super) value: Range<usize>,
}

struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some((Key(key), value)) = map.next_entry()? {
                    entries.push((key, value));
                }
                Ok(Members(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// Where a part of a text stands in it.
fn place(text: &str, part: &RawValue) -> Range<usize> {
    let start = part.get().as_ptr() as usize - text.as_ptr() as usize;
    start..start + part.get().len()
}

/// The members of the object at `at`.
///
/// # Errors
/// It is none.
pub(super) fn members(text: &str, at: &Range<usize>) -> serde_json::Result<Vec<Member>> {
    let Members(entries) = serde_json::from_str(&text[at.clone()])?;
    let member = |(key, value): (Cow<'_, str>, _)| Member {
        key: key.into_owned(),
        value: place(text, value),
    };
    Ok(entries.into_iter().map(member).collect())
}

/// The items of the array at `at`.
///
/// # Errors
/// It is none.
pub(super) fn items(text: &str, at: &Range<usize>) -> serde_json::Result<Vec<Range<usize>>> {
    let items: Vec<&RawValue> = serde_json::from_str(&text[at.clone()])?;
    Ok(items.into_iter().map(|item| place(text, item)).collect())
}

/// How a text is laid out.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// What one level is indented by; `None` when all is on one line.
    indent: Option<String>,
    line: &'static str,
}

impl Layout {
    /// As the text has it; two spaces where it does not say.
    pub(super) fn of(text: &str) -> Self {
        let line = if text.contains("\r\n") { "\r\n" } else { "\n" };
        let inner = text.trim_start().strip_prefix('{').unwrap_or_default();
        let blank = &inner[..inner.len() - inner.trim_start().len()];
        let empty = inner.trim_start().starts_with('}') || inner.is_empty();
        let indent = match blank.rsplit_once('\n') {
            Some((_, spaces)) if !empty && !spaces.is_empty() => Some(spaces.to_owned()),
            None if !empty => None,
            _ => Some("  ".to_owned()),
        };
        Self { indent, line }
    }

    /// A value's text, `depth` levels deep.
    fn value<T: Serialize>(&self, value: &T, depth: usize) -> String {
        let Some(indent) = &self.indent else {
            return serde_json::to_string(value).unwrap_or_default();
        };
        let mut out = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
        // Plain data, which serde_json always writes.
        let _ = value.serialize(&mut serializer);
        let text = String::from_utf8(out).unwrap_or_default();
        text.replace('\n', &self.break_at(depth))
    }

    fn break_at(&self, depth: usize) -> String {
        match &self.indent {
            Some(indent) => format!("{}{}", self.line, indent.repeat(depth)),
            None => String::new(),
        }
    }
}

/// Puts `entry` last into the object or array at `at`, whose own entries are `depth` levels deep.
fn push(text: &mut String, layout: &Layout, at: &Range<usize>, last: Option<usize>, depth: usize, entry: &str) {
    match last {
        Some(end) => text.insert_str(end, &format!(",{}{entry}", layout.break_at(depth))),
        None => {
            let inside = at.start + 1..at.end - 1;
            let filled = format!("{}{entry}{}", layout.break_at(depth), layout.break_at(depth - 1));
            text.replace_range(inside, &filled);
        }
    }
}

/// Puts a member last into an object.
///
/// # Errors
/// There is no object at `at`.
pub(super) fn push_member<T: Serialize>(
    text: &mut String,
    layout: &Layout,
    (at, depth): (&Range<usize>, usize),
    key: &str,
    value: &T,
) -> serde_json::Result<()> {
    let last = members(text, at)?.last().map(|member| member.value.end);
    let colon = if layout.indent.is_some() { ": " } else { ":" };
    let entry = format!("{}{colon}{}", serde_json::to_string(key)?, layout.value(value, depth));
    push(text, layout, at, last, depth, &entry);
    Ok(())
}

/// Puts an item last into an array.
///
/// # Errors
/// There is no array at `at`.
pub(super) fn push_item<T: Serialize>(
    text: &mut String,
    layout: &Layout,
    (at, depth): (&Range<usize>, usize),
    value: &T,
) -> serde_json::Result<()> {
    let last = items(text, at)?.last().map(|item| item.end);
    let entry = layout.value(value, depth);
    push(text, layout, at, last, depth, &entry);
    Ok(())
}

/// Puts another value in a value's place.
pub(super) fn replace<T: Serialize>(text: &mut String, layout: &Layout, at: Range<usize>, depth: usize, value: &T) {
    text.replace_range(at, &layout.value(value, depth));
}

/// Takes the entry out whose value is the `n`th of `values`, in the object or array at `at`, with the comma that it needs no more.
pub(super) fn remove(text: &mut String, at: &Range<usize>, values: &[Range<usize>], n: usize) {
    let gone = match (n.checked_sub(1).map(|before| values[before].end), values.len()) {
        (Some(before), _) => before..values[n].end,
        (None, 1) => at.start + 1..at.end - 1,
        // Only blanks stand between a value and its comma.
        (None, _) => {
            let comma = text[values[n].end..]
                .find(',')
                .map_or(values[n].end, |at| values[n].end + at + 1);
            at.start + 1..comma
        }
    };
    text.replace_range(gone, "");
}
