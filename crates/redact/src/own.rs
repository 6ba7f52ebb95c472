//! Patterns that an operator adds.

use std::{ops::Range, sync::Arc};

use regex::Regex;

use crate::Found;

/// Characters of a pattern's name.
pub(crate) const NAME: usize = 40;

/// A pattern as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnPattern {
    /// What its markers say.
    pub name: String,
    /// A regular expression. Where it has a group, the first one is the secret, else all of it.
    pub pattern: String,
}

/// A pattern that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadPattern {
    /// Its name cannot be in a marker.
    #[error("redaction pattern `{0}`: a name has 1 to {NAME} small letters, digits and `-`")]
    Name(String),
    /// Two have one name.
    #[error("redaction pattern `{0}` is there twice")]
    Twice(String),
    /// It is no regular expression.
    #[error("redaction pattern `{name}`: {source}")]
    Pattern {
        /// Its name.
        name: String,
        /// What is wrong.
        #[source]
        source: Box<regex::Error>,
    },
    /// It would replace nothing with something, everywhere.
    #[error("redaction pattern `{0}` matches the empty text")]
    Empty(String),
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Own(Vec<(Arc<str>, Regex)>);

impl Own {
    pub(crate) fn new(patterns: &[OwnPattern]) -> Result<Self, BadPattern> {
        let mut own: Vec<(Arc<str>, Regex)> = Vec::new();
        for OwnPattern { name, pattern } in patterns {
            let named = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            if name.is_empty() || name.len() > NAME || !name.bytes().all(named) {
                return Err(BadPattern::Name(name.clone()));
            }
            if own.iter().any(|(known, _)| **known == **name) {
                return Err(BadPattern::Twice(name.clone()));
            }
            let regex = Regex::new(pattern).map_err(|source| BadPattern::Pattern {
                name: name.clone(),
                source: Box::new(source),
            })?;
            if regex.is_match("") {
                return Err(BadPattern::Empty(name.clone()));
            }
            own.push((name.as_str().into(), regex));
        }
        Ok(Self(own))
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What they find, in no order.
    pub(crate) fn find(&self, text: &str, out: &mut Vec<Found>) {
        for (kind, regex) in &self.0 {
            for groups in regex.captures_iter(text) {
                let Some(found) = groups.get(1).or_else(|| groups.get(0)) else {
                    continue;
                };
                let range: Range<usize> = found.range();
                if !range.is_empty() {
                    out.push(Found {
                        range,
                        kind: kind.clone(),
                    });
                }
            }
        }
    }
}
