//! From bytes to a vendor's objects, and back to nothing lost: what every agent's adapter does around its own vocabulary.

use std::borrow::Cow;

use serde_json::value::RawValue;
use turnwire_proto::{Json, NewEvent, Timestamp, limits};

use crate::{
    Adapter, Context, Prompted, fit,
    scribe::{Page, Scribe},
    view::Obj,
};

/// One vendor's vocabulary.
pub(crate) trait Vendor: Send {
    /// The `source` of its events.
    const SOURCE: &'static str;

    /// It is read from a file, line by line, and may be read again.
    const FILE: bool = false;

    /// Reads one line that is a JSON object.
    fn object(&mut self, line: &Obj<'_>, page: &mut Page<'_>);

    /// Gives out what it has held back: the output ends.
    fn ending(&mut self, page: &mut Page<'_>) {
        let _ = page;
    }

    /// Nothing came for a while.
    fn resting(&mut self, page: &mut Page<'_>) {
        let _ = page;
    }

    /// What of a line that is not JSON is; `None` when it is nothing that the vendor writes.
    fn dressed<'a>(&self, line: &'a str) -> Option<&'a str> {
        let _ = line;
        None
    }
}

/// Characters of a line that is not JSON which its event shows without its `raw`: a terminal's width a few times over.
const SHOWN: usize = 4096;

/// An adapter of a vendor.
pub(crate) struct Reader<V> {
    scribe: Scribe,
    vendor: V,
    /// The lines of an object that is printed over many lines (`--output-format json`), from `{` to `}`.
    spread: Vec<Vec<u8>>,
    spread_bytes: usize,
}

impl<V: Vendor> Reader<V> {
    pub(crate) fn new(vendor: V, context: Context) -> Self {
        let scribe = Scribe::new(V::SOURCE, context);
        Self {
            scribe: if V::FILE { scribe.keyed() } else { scribe },
            vendor,
            spread: Vec::new(),
            spread_bytes: 0,
        }
    }

    /// Reads one whole line.
    fn read(&mut self, line: &[u8], at: Timestamp, out: &mut Vec<NewEvent>) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
        if text.is_empty() {
            return;
        }
        let json = self.vendor.dressed(text).unwrap_or(text);
        if let Some(object) = Obj::parse(json) {
            self.object(&object, text, at, out);
            return;
        }
        let items: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
        // `--output-format json --verbose` of one vendor prints all its lines as one array.
        if !items.is_empty() && items.iter().all(|item| item.get().starts_with('{')) {
            for item in items {
                match Obj::parse(item.get()) {
                    Some(object) => self.object(&object, item.get(), at, out),
                    None => self.strange(item.get(), at, out),
                }
            }
            return;
        }
        self.strange(text, at, out);
    }

    fn object(&mut self, object: &Obj<'_>, line: &str, at: Timestamp, out: &mut Vec<NewEvent>) {
        let mut page = Page::new(&mut self.scribe, Some(line), at, out);
        self.vendor.object(object, &mut page);
        let kind = object.str("type").unwrap_or(Cow::Borrowed("?"));
        page.keep(fit::head(&kind, 64));
    }

    /// A line that is no object: the vendor's word to a person, perhaps, or the end of a cut line.
    fn strange(&mut self, text: &str, at: Timestamp, out: &mut Vec<NewEvent>) {
        let mut page = Page::new(&mut self.scribe, Some(text), at, out);
        page.unknown("not a JSON object", &[("text", Some(Json::of(fit::head(text, SHOWN))))]);
    }

    /// Reads the lines of a spread object one by one: it did not end as one.
    fn unspread(&mut self, at: Timestamp, out: &mut Vec<NewEvent>) {
        self.spread_bytes = 0;
        for line in std::mem::take(&mut self.spread) {
            self.read(&line, at, out);
        }
    }
}

impl<V: Vendor> Adapter for Reader<V> {
    fn line(&mut self, line: &[u8], at: Timestamp, out: &mut Vec<NewEvent>) {
        let bare = line.trim_ascii_end();
        if V::FILE || (self.spread.is_empty() && bare != b"{") {
            self.read(line, at, out);
            return;
        }
        self.spread_bytes += line.len();
        self.spread.push(line.to_vec());
        if bare == b"}" {
            let whole = self.spread.join(&b'\n');
            if serde_json::from_str::<&RawValue>(&String::from_utf8_lossy(&whole)).is_ok() {
                self.spread.clear();
                self.spread_bytes = 0;
                self.read(&whole, at, out);
            } else {
                self.unspread(at, out);
            }
        } else if self.spread_bytes > limits::INCOMING || self.spread.len() > limits::BATCH_EVENTS || is_line(bare) {
            self.unspread(at, out);
        }
    }

    fn end(&mut self, exit: Option<i32>, at: Timestamp, out: &mut Vec<NewEvent>) {
        self.unspread(at, out);
        let mut page = Page::new(&mut self.scribe, None, at, out);
        self.vendor.ending(&mut page);
        page.end(exit);
    }

    fn unknown(&self) -> u64 {
        self.scribe.unknown
    }

    fn idle(&mut self, at: Timestamp, out: &mut Vec<NewEvent>) {
        self.unspread(at, out);
        self.vendor.resting(&mut Page::new(&mut self.scribe, None, at, out));
    }

    fn prompted(&mut self, turn: &Prompted, at: Timestamp, out: &mut Vec<NewEvent>) {
        self.unspread(at, out);
        Page::new(&mut self.scribe, None, at, out).prompted(turn);
    }
}

/// Whether it is a vendor's line in the midst of a spread object, which then is none.
fn is_line(bare: &[u8]) -> bool {
    bare.starts_with(b"{\"")
}
