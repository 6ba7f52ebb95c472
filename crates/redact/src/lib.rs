//! Finds secrets in events and puts stable markers in their place: `[redacted:github-token:1a2b3c4d]`.
//!
//! A marker says what kind of secret stood there, and eight digits of a hash that is keyed by a secret of the gateway's own: the
//! same secret has the same marker, and nobody without the key can try secrets until the digits fit.
//!
//! A text that has no beginning of a secret in it, which is nearly all, costs one pass (`prefilter`). Only where there is one
//! are strings read (`view`) and looked at closely (`find`). Nothing but the secret changes: JSON stays the bytes that came.

mod boundary;
mod event;
mod find;
mod forms;
mod json;
mod names;
mod own;
mod prefilter;
mod prefixes;
mod random;
pub mod samples;
mod view;

use std::{fmt, ops::Range, sync::Arc};

pub use boundary::{boundary, may_end};
pub use own::{BadPattern, OwnPattern};

use own::Own;
use view::View;

/// Bytes of the key of the markers' hashes.
pub const KEY: usize = 32;
/// How every marker begins.
pub const MARKER: &str = "[redacted:";
/// Digits of a marker's hash.
const DIGITS: usize = 8;

/// Replaces secrets. Cheap to clone.
#[derive(Clone)]
pub struct Redactor(Arc<Parts>);

struct Parts {
    key: [u8; KEY],
    own: Own,
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor")
            .field("own", &self.0.own)
            .finish_non_exhaustive()
    }
}

/// The kinds of the secrets that were replaced, one for each.
pub type Kinds = Vec<Arc<str>>;

/// A secret in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    range: Range<usize>,
    kind: Arc<str>,
}

impl Redactor {
    /// With the key of the markers' hashes, and patterns beside those that everybody knows.
    ///
    /// # Errors
    /// A pattern cannot be used; the error says which.
    pub fn new(key: [u8; KEY], own: &[OwnPattern]) -> Result<Self, BadPattern> {
        let own = Own::new(own)?;
        Ok(Self(Arc::new(Parts { key, own })))
    }

    /// A text without its secrets; `None` when it has none.
    #[must_use]
    pub fn text(&self, text: &str) -> Option<(String, Kinds)> {
        if !self.is_suspicious(text) {
            return None;
        }
        let mut kinds = Kinds::new();
        let mut out = String::new();
        self.string(text, None, &mut out, &mut kinds).then_some((out, kinds))
    }

    /// Whether it is worth looking closely.
    fn is_suspicious(&self, text: &str) -> bool {
        !self.0.own.is_empty() || prefilter::is_suspicious(text.as_bytes())
    }

    /// Writes the inside of one string without its secrets behind `out`; whether there were any. Writes nothing when not.
    fn string(&self, raw: &str, field: Option<&'static str>, out: &mut String, kinds: &mut Kinds) -> bool {
        let view = View::of(raw);
        let found = find::find(view.text(), field, &self.0.own);
        if found.is_empty() {
            return false;
        }
        let mut at = 0;
        for Found { range, kind } in found {
            let place = view.place(&range);
            out.push_str(&raw[at..place.start]);
            self.mark(&kind, &view.text()[range], out);
            kinds.push(kind);
            at = place.end;
        }
        out.push_str(&raw[at..]);
        true
    }

    fn mark(&self, kind: &str, secret: &str, out: &mut String) {
        let hash = blake3::keyed_hash(&self.0.key, secret.as_bytes()).to_hex();
        out.push_str(MARKER);
        out.push_str(kind);
        out.push(':');
        out.push_str(&hash[..DIGITS]);
        out.push(']');
    }
}

/// Where markers stand in a text: what is in one is no secret.
fn markers(text: &str) -> Vec<Range<usize>> {
    let name = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    let found = text.match_indices(MARKER).filter_map(|(start, _)| {
        let rest = &text.as_bytes()[start + MARKER.len()..];
        let kind = rest.iter().take(own::NAME).take_while(|b| name(b)).count();
        let hash = rest.get(kind + 1..kind + 1 + DIGITS)?;
        let whole = kind > 0
            && rest[kind] == b':'
            && hash.iter().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
            && rest.get(kind + 1 + DIGITS) == Some(&b']');
        whole.then(|| start..start + MARKER.len() + kind + 1 + DIGITS + 1)
    });
    found.collect()
}
