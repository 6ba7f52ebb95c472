//! JSON without its secrets: string by string, all else byte by byte as it came.

use turnwire_proto::Json;

use crate::{Kinds, Redactor, names};

impl Redactor {
    /// A JSON value without its secrets; `None` when it has none.
    #[must_use]
    pub fn json(&self, json: &str) -> Option<(Json, Kinds)> {
        if !self.is_suspicious(json) {
            return None;
        }
        let mut kinds = Kinds::new();
        let out = self.strings(json, &mut kinds)?;
        // What was replaced stood within strings, and markers have nothing that must be escaped, so this is JSON. If it were not,
        // rather nothing than a secret.
        let clean = Json::parse(&out).unwrap_or_else(|_| Json::of("[redacted]"));
        Some((clean, kinds))
    }

    fn strings(&self, json: &str, kinds: &mut Kinds) -> Option<String> {
        let mut out = String::new();
        let (mut copied, mut at, mut changed) = (0, 0, false);
        // What the last key says of the string that is its value.
        let mut field = None;
        while let Some((start, end)) = next_string(json, at) {
            let after = json[end + 1..].trim_start();
            let is_key = after.starts_with(':');
            let raw = &json[start..end];
            let (mark, told) = (out.len(), kinds.len());
            out.push_str(&json[copied..start]);
            if self.string(raw, field.take().filter(|_| !is_key), &mut out, kinds) {
                (copied, changed) = (end, true);
            } else {
                out.truncate(mark);
                kinds.truncate(told);
            }
            at = end + 1;
            // Only of a string that stands right behind its key.
            if is_key && after[1..].trim_start().starts_with('"') {
                field = names::of_key(raw);
            }
        }
        out.push_str(&json[copied..]);
        changed.then_some(out)
    }
}

/// The inside of the next string from `at` on.
fn next_string(json: &str, at: usize) -> Option<(usize, usize)> {
    let bytes = json.as_bytes();
    let start = at + json[at..].find('"')? + 1;
    let mut end = start;
    loop {
        end += bytes[end..].iter().position(|b| matches!(b, b'"' | b'\\'))?;
        if bytes[end] == b'"' {
            return Some((start, end));
        }
        end += 2;
        if end > bytes.len() {
            return None;
        }
    }
}
