//! The inside of a JSON string as it reads, however often it was escaped, with the place of each byte in what came.
//!
//! JSON within a string of JSON has its quotes and line breaks behind two, four, … backslashes. For finding secrets it does not
//! matter how many: a run of backslashes with what it escapes is one *unit*, and reads as one character. A unit stands whole in
//! what came, so what replaces whole units leaves valid JSON.

use std::{borrow::Cow, ops::Range};

/// A text as it reads.
#[derive(Debug)]
pub(crate) struct View<'a> {
    text: Cow<'a, str>,
    /// Where a stretch of the text begins, and where that is in what came; between two, both go on alike.
    places: Vec<(usize, usize)>,
}

impl<'a> View<'a> {
    pub(crate) fn of(raw: &'a str) -> Self {
        let Some(first) = raw.find('\\') else {
            return Self {
                text: Cow::Borrowed(raw),
                places: vec![(0, 0)],
            };
        };
        let mut text = String::with_capacity(raw.len());
        let mut places = vec![(0, 0)];
        text.push_str(&raw[..first]);
        let mut at = first;
        while at < raw.len() {
            let (read, length) = unit(&raw[at..]);
            places.push((text.len(), at));
            text.push(read);
            at += length;
            places.push((text.len(), at));
            let plain = raw[at..].find('\\').unwrap_or(raw.len() - at);
            text.push_str(&raw[at..at + plain]);
            at += plain;
        }
        Self {
            text: Cow::Owned(text),
            places,
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Where a range of the text is in what came.
    pub(crate) fn place(&self, range: &Range<usize>) -> Range<usize> {
        self.at(range.start)..self.at(range.end)
    }

    fn at(&self, place: usize) -> usize {
        let stretch = self.places.partition_point(|(start, _)| *start <= place) - 1;
        let (start, raw) = self.places[stretch];
        raw + (place - start)
    }
}

/// What a run of backslashes and what follows read as, and how long they are.
fn unit(raw: &str) -> (char, usize) {
    let run = raw.bytes().take_while(|b| *b == b'\\').count();
    let rest = &raw[run..];
    let one = |read: char| (read, run + 1);
    match rest.as_bytes().first() {
        Some(b'n') => one('\n'),
        Some(b'r') => one('\r'),
        Some(b't') => one('\t'),
        Some(b'b' | b'f') => one(' '),
        Some(b'"') => one('"'),
        Some(b'/') => one('/'),
        Some(b'u') => coded(rest, run).unwrap_or(('\\', run)),
        _ => ('\\', run),
    }
}

/// `uXXXX` behind its backslashes; a pair of surrogates is one character.
fn coded(rest: &str, run: usize) -> Option<(char, usize)> {
    let hex = |text: Option<&str>| {
        text.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
    };
    let code = hex(rest.get(1..5))?;
    let length = run + 5;
    if (0xd800..0xdc00).contains(&code) {
        let second = &rest[5..];
        let slashes = second.bytes().take_while(|b| *b == b'\\').count();
        let low = second.get(slashes..slashes + 1).filter(|u| *u == "u" && slashes > 0);
        let low = low.and_then(|_| hex(second.get(slashes + 1..slashes + 5)));
        if let Some(low) = low.filter(|low| (0xdc00..0xe000).contains(low)) {
            let code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
            return Some((char::from_u32(code)?, length + slashes + 5));
        }
    }
    Some((char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_escaped_any_number_of_times_reads_the_same_and_has_its_place() {
        for raw in [r"a\nb", r"a\\nb", r"a\\\\nb", r"\u0061\n\u0062", r"\\u0061\\\nb"] {
            let view = View::of(raw);
            assert_eq!(view.text(), "a\nb", "{raw}");
            assert_eq!(view.place(&(0..3)), 0..raw.len());
        }
        let raw = r#"x\"\u0067hp\/é\ud83d\ude00\\d"#;
        let view = View::of(raw);
        assert_eq!(view.text(), "x\"ghp/é😀\\d");
        assert_eq!(&raw[view.place(&(2..5))], r"\u0067hp");
        assert_eq!(&raw[view.place(&(8..12))], r"\ud83d\ude00");
        assert_eq!(&raw[view.place(&(12..14))], r"\\d");
    }
}
