//! Which files of a directory are meant: a glob over the path below it.

use globset::{GlobBuilder, GlobMatcher};

use crate::Error;

/// A checked pattern.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(GlobMatcher);

impl Pattern {
    /// `*` stays within a directory, `**` does not. A pattern without a slash is meant at every depth.
    pub(crate) fn new(pattern: &str) -> Result<Self, Error> {
        let anywhere = if pattern.contains('/') {
            pattern.to_owned()
        } else {
            format!("**/{pattern}")
        };
        GlobBuilder::new(&anywhere)
            .literal_separator(true)
            .build()
            .map(|glob| Self(glob.compile_matcher()))
            .map_err(|error| Error::Pattern {
                pattern: pattern.to_owned(),
                why: error.kind().to_string(),
            })
    }

    pub(crate) fn matches(&self, below: &str) -> bool {
        self.0.is_match(below)
    }
}
