//! Where a text that is told in pieces may be cut, so that no secret is cut in two.

use std::ops::Range;

use crate::{
    forms, names,
    prefilter::{Sign, signs},
};

/// The longest beginning of `text` after which no secret goes on that begins in it, whatever comes behind `text`. 0 when there is none.
///
/// Cuts stand behind white space, a quotation mark and letters that no secret by its form has (all but ASCII); not behind what announces a
/// value (`password: `, `Authorization: Bearer `), not within it, and not within a private key of up to 32 KiB. Of a longer one the rest
/// is no part of it, as for the redactor. What an operator's own pattern matches across white space is not known here.
///
/// ```
/// use turnwire_redact::boundary;
///
/// assert_eq!(boundary("the key is sk-an"), "the key is ".len());
/// assert_eq!(boundary("the password = "), "the ".len());
/// ```
#[must_use]
pub fn boundary(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = cut(bytes, bytes.len());
    if at == 0 {
        return 0;
    }
    let reaches: Vec<Range<usize>> = signs(bytes)
        .filter_map(|(sign, range)| reach(text, sign, &range))
        .collect();
    while let Some(reach) = reaches.iter().find(|reach| reach.start < at && at < reach.end) {
        at = cut(bytes, reach.start);
    }
    at
}

/// Whether a boundary may stand in what is put behind a text: without it, the text has those that it had.
#[must_use]
pub fn may_end(piece: &str) -> bool {
    piece.bytes().any(ends)
}

const fn ends(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'"') || !byte.is_ascii()
}

/// The last place up to `most` where a word ends.
fn cut(bytes: &[u8], most: usize) -> usize {
    let mut at = most;
    // Not within a letter of several bytes.
    while at > 0 && !(ends(bytes[at - 1]) && bytes.get(at).is_none_or(|next| next & 0xc0 != 0x80)) {
        at -= 1;
    }
    at
}

/// From where to where a cut would separate a secret from what tells that it is one, or from itself.
fn reach(text: &str, sign: Sign, range: &Range<usize>) -> Option<Range<usize>> {
    match sign {
        // The blank before what it carries is of it.
        Sign::Bearer => Some(range.start..range.end + 1),
        Sign::Name(at) => names::reach(text.as_bytes(), range.end, at),
        Sign::PrivateKey => forms::key_reach(text, range),
        Sign::Address => Some(forms::address_reach(text.as_bytes(), range)),
        // All of these are one word.
        Sign::Prefix(_) | Sign::WebToken | Sign::Escape => None,
    }
}
