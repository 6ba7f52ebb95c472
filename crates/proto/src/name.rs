//! Names that come from outside: of agents, sessions, turns and sources.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::limits;

/// A non-empty name of at most [`limits::NAME`] bytes without control characters. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a text is not a [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Absent is the way to say "none".
    #[error("must not be empty; leave it out instead")]
    Empty,
    /// Longer than [`limits::NAME`].
    #[error("is longer than {} bytes", limits::NAME)]
    Long,
    /// It would break lines, headers and terminals (CWE-93).
    #[error("has a control character")]
    Control,
}

impl Name {
    /// Checks `text`.
    ///
    /// # Errors
    /// See [`InvalidName`].
    pub fn new(text: &str) -> Result<Self, InvalidName> {
        if text.is_empty() {
            return Err(InvalidName::Empty);
        }
        if text.len() > limits::NAME {
            return Err(InvalidName::Long);
        }
        if text.bytes().any(|b| b < 0x20 || b == 0x7f) || (!text.is_ascii() && text.chars().any(char::is_control)) {
            return Err(InvalidName::Control);
        }
        Ok(Self(text.into()))
    }

    /// The nearest name to a foreign text: control characters become `_`, the end is cut, and nothing left is `None`.
    #[must_use]
    pub fn lossy(text: &str) -> Option<Self> {
        let mut end = text.len().min(limits::NAME);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let clean: String = text[..end]
            .chars()
            .map(|c| if c.is_control() { '_' } else { c })
            .collect();
        // A control character of two bytes becomes one of one byte, so the length can only shrink.
        Self::new(&clean).ok()
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_no_control_character_and_a_bounded_length() {
        assert!(Name::new("8c3c-…").is_ok());
        assert_eq!(Name::new(""), Err(InvalidName::Empty));
        assert_eq!(Name::new(&"x".repeat(limits::NAME + 1)), Err(InvalidName::Long));
        for bad in ["a\0b", "a\nb", "a\x7fb", "a\u{85}b", "\x1b[31m"] {
            assert_eq!(Name::new(bad), Err(InvalidName::Control), "{bad:?}");
        }
    }

    #[test]
    fn a_foreign_text_becomes_the_nearest_name() {
        assert_eq!(Name::lossy("a\nb").unwrap().as_str(), "a_b");
        assert_eq!(Name::lossy(""), None);
        assert!(Name::lossy(&"é".repeat(limits::NAME)).unwrap().as_str().len() <= limits::NAME);
        assert!(Name::lossy(&"\u{85}".repeat(limits::NAME)).unwrap().as_str().len() <= limits::NAME);
    }
}
