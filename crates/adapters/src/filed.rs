//! An adapter over one file, which may be read again: each event has an id that says where in the file it comes from.
//!
//! An id that the line itself names, or that the adapter made of the vendor's own, stands. Any other becomes the hash of the file's
//! origin, the line's place, the line and the event's number: reading it again writes nothing twice, and a file that was
//! replaced by another tells something else.

use sha2::{Digest, Sha256};
use turnwire_proto::{NewEvent, Timestamp};

use crate::{Adapter, Context, Spec, by_name, fact, view::Obj};

/// See the module.
pub struct Filed {
    origin: String,
    adapter: Box<dyn Adapter>,
}

impl std::fmt::Debug for Filed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Filed")
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

impl Filed {
    /// Reads the file that is called `origin` for as long as it is followed, by `spec`.
    #[must_use]
    pub fn new(origin: &str, spec: &Spec, context: Context) -> Self {
        Self {
            origin: origin.to_owned(),
            adapter: (spec.make)(context),
        }
    }

    /// Takes the line that begins at byte `place`.
    pub fn line(&mut self, place: u64, line: &[u8], at: Timestamp, out: &mut Vec<NewEvent>) {
        let first = out.len();
        self.adapter.line(line, at, out);
        self.name(place, line, &mut out[first..]);
    }

    /// Nothing came for a while after byte `place`.
    pub fn idle(&mut self, place: u64, at: Timestamp, out: &mut Vec<NewEvent>) {
        let first = out.len();
        self.adapter.idle(at, out);
        self.name(place, b"idle", &mut out[first..]);
    }

    /// The file ends at byte `place` for good.
    pub fn end(&mut self, place: u64, at: Timestamp, out: &mut Vec<NewEvent>) {
        let first = out.len();
        self.adapter.end(None, at, out);
        self.name(place, b"end", &mut out[first..]);
    }

    /// An event of the caller's own about what is at byte `place`.
    pub fn own(&self, place: u64, event: &mut NewEvent) {
        self.name(place, b"own", std::slice::from_mut(event));
    }

    fn name(&self, place: u64, line: &[u8], events: &mut [NewEvent]) {
        if events.is_empty() {
            return;
        }
        let near = fact::Near::to(&self.origin);
        let mut hash = Sha256::new();
        hash.update(b"turnwire file");
        hash.update(self.origin.len().to_le_bytes());
        hash.update(self.origin.as_bytes());
        hash.update(place.to_le_bytes());
        hash.update(line);
        // What has an id of its own may come with this line or before it, and does not count.
        let mut number = 0_u32;
        for event in events {
            if fact::is_one(&event.id) || memchr::memmem::find(line, event.id.to_string().as_bytes()).is_some() {
                continue;
            }
            let mut hash = hash.clone();
            hash.update(number.to_le_bytes());
            number += 1;
            event.id = fact::of(near, &hash.finalize());
        }
    }
}

/// The adapter for a file, by its name and its first line: of a vendor's transcripts where they look so, else `lines`.
#[must_use]
pub fn by_file(name: &str, first: &[u8]) -> &'static Spec {
    let text = String::from_utf8_lossy(first);
    let o = Obj::parse(&text).unwrap_or_default();
    let has = |key| o.get(key).is_some();
    let found = if o.is("type", "session_meta") && has("payload") {
        "codex-rollout"
    } else if has("sessionId") && (has("projectHash") || has("startTime")) {
        "gemini-chat"
    } else if has("sessionId") && has("type") || o.is("type", "summary") && has("leafUuid") {
        "claude-transcript"
    } else if has("timestamp")
        && has("type")
        && (has("data") || name.ends_with("-session.jsonl"))
        && o.entries().count() <= 3
    {
        "waza"
    } else {
        "lines"
    };
    by_name(found).expect("a name from the table of adapters")
}

#[cfg(test)]
mod tests {
    use turnwire_proto::Name;

    use super::*;

    fn read(origin: &str, lines: &[(u64, &str)]) -> Vec<String> {
        let context = Context {
            session: Name::new("s").ok(),
            ..Context::default()
        };
        let mut filed = Filed::new(origin, by_name("lines").unwrap(), context);
        let mut out = Vec::new();
        for (place, line) in lines {
            filed.line(*place, line.as_bytes(), Timestamp::UNIX_EPOCH, &mut out);
        }
        out.iter().map(|event| event.id.to_string()).collect()
    }

    #[test]
    fn the_same_line_at_the_same_place_of_the_same_file_is_the_same_event() {
        let first = read("f", &[(0, "a"), (2, "b")]);
        assert_eq!(first, read("f", &[(0, "a"), (2, "b")]));
        assert_eq!(first[1..], read("f", &[(2, "b")])[..]);
        for other in [read("g", &[(0, "a")]), read("f", &[(1, "a")]), read("f", &[(0, "b")])] {
            assert_ne!(first[0], other[0]);
        }
    }

    #[test]
    fn an_id_that_the_line_names_stands() {
        let id = "0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10";
        let line = format!(r#"{{"id":"{id}","type":"note","data":{{"text":"a"}}}}"#);
        assert_eq!(read("f", &[(0, &line)]), [id]);
    }

    #[test]
    fn a_file_is_whose_its_first_line_says() {
        for (name, line, want) in [
            (
                "a.jsonl",
                r#"{"timestamp":"t","type":"session_meta","payload":{}}"#,
                "codex-rollout",
            ),
            (
                "a.jsonl",
                r#"{"sessionId":"s","projectHash":"h","startTime":"t"}"#,
                "gemini-chat",
            ),
            (
                "a.jsonl",
                r#"{"type":"user","sessionId":"s","uuid":"u"}"#,
                "claude-transcript",
            ),
            (
                "20261120T070000Z-session.jsonl",
                r#"{"timestamp":"t","type":"session_start"}"#,
                "waza",
            ),
            (
                "a.jsonl",
                r#"{"timestamp":"t","type":"note","source":"x","data":{}}"#,
                "lines",
            ),
            ("a.jsonl", "words", "lines"),
            ("a.jsonl", "", "lines"),
        ] {
            assert_eq!(by_file(name, line.as_bytes()).name, want, "{line}");
        }
    }
}
