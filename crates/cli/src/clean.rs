//! Foreign text on a terminal: what could steer the terminal is shown instead of done.

use std::fmt::Write;

/// The text in one line: line breaks and tabs become spaces, other control characters are shown as `\x1b`, and so are the
/// characters that change the direction of what follows.
pub(crate) fn line(text: &str) -> String {
    clean(text, |c| matches!(c, '\n' | '\r' | '\t').then_some(' '))
}

/// The same, with line breaks and tabs kept.
pub(crate) fn block(text: &str) -> String {
    clean(text, |c| matches!(c, '\n' | '\t').then_some(c))
}

fn clean(text: &str, keep: impl Fn(char) -> Option<char>) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if let Some(kept) = keep(c) {
            out.push(kept);
        } else if c.is_control() || steers(c) {
            // Writing to a string cannot fail.
            let _ = match u32::from(c) {
                code @ ..=0xff => write!(out, "\\x{code:02x}"),
                code => write!(out, "\\u{{{code:x}}}"),
            };
        } else {
            out.push(c);
        }
    }
    out
}

/// Bidirectional controls and line separators ("Trojan Source", CVE-2021-42574), and the tag characters that hide text.
const fn steers(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{e0000}'..='\u{e007f}')
}

/// The first `width` characters, and `…` when there are more.
pub(crate) fn cut(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        None => text.to_owned(),
        Some(_) => {
            let end = text
                .char_indices()
                .nth(width.saturating_sub(1))
                .map_or(text.len(), |(at, _)| at);
            format!("{}…", &text[..end])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_steers_the_terminal() {
        assert_eq!(
            line("a\x1b[31mb\x07\u{9b}2Jc\r\nd\te\x7f"),
            "a\\x1b[31mb\\x07\\x9b2Jc  d e\\x7f"
        );
        assert_eq!(block("a\nb\tc\rd\u{202e}e"), "a\nb\tc\\x0dd\\u{202e}e");
        assert_eq!(line("héllo 👋"), "héllo 👋");
    }

    #[test]
    fn a_cut_text_says_that_it_is_cut() {
        assert_eq!(cut("héllo", 5), "héllo");
        assert_eq!(cut("héllo!", 5), "héll…");
    }
}
