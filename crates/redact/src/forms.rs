//! Secrets that are known by their form: private keys, web tokens, what follows `Bearer`, passwords in addresses.

use std::ops::Range;

use crate::{
    prefixes::{Class, Prefix},
    random::is_random,
};

/// The longest private key that is looked for.
const KEY: usize = 32 * 1024;

fn run(bytes: &[u8], from: usize, class: Class, most: usize) -> usize {
    bytes[from..].iter().take(most).take_while(|b| class.has(**b)).count()
}

/// Whether a word may begin here: not within another one, but behind an escape of an address such as `%3D`, and behind another
/// secret, which ends at `last`.
fn begins(bytes: &[u8], at: usize, last: usize) -> bool {
    if at == last {
        return true;
    }
    let Some(before) = at.checked_sub(1).map(|before| bytes[before]) else {
        return true;
    };
    !before.is_ascii_alphanumeric() || at >= 3 && bytes[at - 3] == b'%' && before.is_ascii_hexdigit()
}

/// What begins with a prefix at `hit`.
pub(crate) fn prefixed(text: &str, hit: &Range<usize>, last: usize, prefix: &Prefix) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    if text[hit.clone()] != *prefix.literal || (prefix.literal.as_bytes()[0] != b'/' && !begins(bytes, hit.start, last))
    {
        return None;
    }
    let mut length = run(bytes, hit.end, prefix.class, prefix.most + 1);
    // A sentence's full stop is not of the secret.
    while length > 0 && prefix.class == Class::Dotted && matches!(bytes[hit.end + length - 1], b'.' | b'-') {
        length -= 1;
    }
    let body = &text[hit.end..hit.end + length];
    let fits = (prefix.least..=prefix.most).contains(&length) && (!prefix.random || is_random(body, prefix.least));
    fits.then_some(hit.start..hit.end + length)
}

/// A private key from its first line to its last one, however its lines are broken or numbered.
pub(crate) fn private_key(text: &str, hit: &Range<usize>) -> Option<Range<usize>> {
    let body = label(text, hit.end)?;
    let most = text.ceil_char_boundary(text.len().min(body + KEY));
    Some(hit.start..last_line(text, body, most).unwrap_or_else(|| cut_off(text, body, most)))
}

/// From where to where a private key goes whose first line begins so; one that is not over has no end.
pub(crate) fn key_reach(text: &str, hit: &Range<usize>) -> Option<Range<usize>> {
    let Some(body) = label(text, hit.end) else {
        let rest = &text.as_bytes()[hit.end..];
        let unfinished = rest.len() < LABELS && rest.iter().all(|b| in_label(*b) || *b == b'-');
        return unfinished.then_some(hit.start..usize::MAX);
    };
    let most = text.ceil_char_boundary(text.len().min(body + KEY));
    let unfinished = if text.len() - body < KEY { usize::MAX } else { most };
    Some(hit.start..last_line(text, body, most).unwrap_or(unfinished))
}

/// How far a label goes.
const LABELS: usize = 64;

const fn in_label(b: u8) -> bool {
    b.is_ascii_uppercase() || b.is_ascii_digit() || b == b' '
}

/// The end of the label of a private key that begins at `from`.
fn label(text: &str, from: usize) -> Option<usize> {
    const LABEL: &[&str] = &["PRIVATE KEY-----", "PRIVATE KEY BLOCK-----"];
    let most = text.len().min(from + LABELS);
    let rest = text
        .get(from..most)
        .or_else(|| text.get(from..text.ceil_char_boundary(most)))?;
    let (at, label) = LABEL.iter().find_map(|label| Some((rest.find(label)?, label)))?;
    rest[..at].bytes().all(in_label).then_some(from + at + label.len())
}

/// The end of a private key's last line.
fn last_line(text: &str, body: usize, most: usize) -> Option<usize> {
    const END: &str = "-----END ";
    let mut ends = text[body..most].match_indices(END);
    ends.find_map(|(at, _)| label(text, body + at + END.len()))
}

/// The end of a private key whose last line is not there: as far as what follows is long words of base64.
fn cut_off(text: &str, body: usize, most: usize) -> usize {
    let mut end = body;
    for word in text[body..most].split_inclusive(char::is_whitespace) {
        let trimmed = word.trim_end();
        let key = trimmed.bytes().all(|b| Class::Base64.has(b)) && (trimmed.len() >= 16 || trimmed.is_empty());
        if !key {
            break;
        }
        end += word.len();
    }
    body + text[body..end].trim_end().len()
}

/// A JSON web token: three parts, of which the first two are JSON objects.
pub(crate) fn web_token(text: &str, hit: &Range<usize>, last: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    if text[hit.clone()] != *"eyJ" || hit.start > 0 && hit.start != last && Class::Url.has(bytes[hit.start - 1]) {
        return None;
    }
    let head = hit.start + run(bytes, hit.start, Class::Url, 4096);
    if head < hit.start + 12 || !text[head..].starts_with(".eyJ") {
        return None;
    }
    let claims = head + 1 + run(bytes, head + 1, Class::Url, 64 * 1024);
    if claims < head + 10 || bytes.get(claims) != Some(&b'.') {
        return None;
    }
    Some(hit.start..claims + 1 + run(bytes, claims + 1, Class::Url, 4096))
}

/// What follows `Bearer `.
pub(crate) fn bearer(text: &str, hit: &Range<usize>, last: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    if !begins(bytes, hit.start, last) {
        return None;
    }
    let most = bytes[hit.end..].iter().take(4096);
    let length = most
        .take_while(|b| b.is_ascii_alphanumeric() || b"._~+/=-".contains(b))
        .count();
    let value = text[hit.end..hit.end + length].trim_end_matches(['.', '-']);
    is_random(value, 16).then_some(hit.end..hit.end + value.len())
}

/// The password of an address: `scheme://user:HERE@host`.
pub(crate) fn address(text: &str, hit: &Range<usize>) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    if hit.start == 0 || !bytes[hit.start - 1].is_ascii_alphanumeric() {
        return None;
    }
    let length = bytes[hit.end..].iter().take(AUTHORITY).position(|b| ends_authority(*b));
    let authority = bytes.get(hit.end..hit.end + length.unwrap_or_else(|| (bytes.len() - hit.end).min(AUTHORITY)))?;
    let at = authority.iter().rposition(|b| *b == b'@')?;
    let colon = authority[..at].iter().position(|b| *b == b':')?;
    let password = hit.end + colon + 1..hit.end + at;
    let value = text.get(password.clone())?;
    let filled_in_elsewhere = value.is_empty()
        || value.contains(['{', '}', '$', '*', '['])
        || value.starts_with("%s")
        || value.bytes().all(|b| matches!(b, b'x' | b'X' | b'.'));
    let host = authority
        .get(at + 1)
        .is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'[');
    (!filled_in_elsewhere && host).then_some(password)
}

/// From where to where an address goes; one that is not over has no end.
pub(crate) fn address_reach(bytes: &[u8], hit: &Range<usize>) -> Range<usize> {
    let rest = &bytes[hit.end..];
    let end = rest.iter().take(AUTHORITY).position(|b| ends_authority(*b));
    let unfinished = if rest.len() < AUTHORITY { usize::MAX } else { hit.end };
    hit.start.saturating_sub(1)..end.map_or(unfinished, |end| hit.end + end)
}

/// How far an address's user, password and host go.
const AUTHORITY: usize = 512;

fn ends_authority(b: u8) -> bool {
    b.is_ascii_whitespace() || b.is_ascii_control() || b"/?#\"'<>`\\".contains(&b)
}

/// A cheap look whether an address could have a password: there is an `@` before it ends.
pub(crate) fn has_user(bytes: &[u8], end: usize) -> bool {
    let authority = bytes[end..].iter().take(512);
    authority.take_while(|b| !b"/?#\"' <>`".contains(b)).any(|b| *b == b'@')
}
