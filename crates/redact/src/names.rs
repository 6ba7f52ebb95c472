//! `password=…`, `"api_key": "…"`, `--token …`: a value that its name says to be secret, and that looks like it.

use std::ops::Range;

use crate::random::{LONGEST, is_password, is_random, is_token};

/// How a name ends whose value is secret, in small letters, the longer first; and what it is then called.
pub(crate) const WORDS: &[(&str, &str)] = &[
    ("password", "password"),
    ("passwd", "password"),
    ("passphrase", "password"),
    ("pwd", "password"),
    ("_pass", "password"),
    ("secret", "secret"),
    ("token", "token"),
    ("api_key", "api-key"),
    ("api-key", "api-key"),
    ("apikey", "api-key"),
    ("access_key", "secret"),
    ("access-key", "secret"),
    ("accesskey", "secret"),
    ("secret_key", "secret"),
    ("secret-key", "secret"),
    ("secretkey", "secret"),
    ("private_key", "secret"),
    ("private-key", "secret"),
    ("privatekey", "secret"),
    ("signing_key", "secret"),
    ("signingkey", "secret"),
    ("encryption_key", "secret"),
    ("encryptionkey", "secret"),
    ("account_key", "secret"),
    ("accountkey", "secret"),
    ("uthorization", "authorization"),
];

/// Names that end so and say a place in a list, not a secret.
const NOT: &[&str] = &[
    "next",
    "page",
    "continuation",
    "sync",
    "resume",
    "cancellation",
    "cancel",
    "pagination",
];

/// How far a name goes back from its end.
const NAME: usize = 64;

const fn in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// Whether a name can end where its word does. A cheap look: most of what has a word in it is `input_tokens` or prose.
pub(crate) fn ends(text: &[u8], end: usize) -> bool {
    match text.get(end) {
        // Words that stand in prose, or go on.
        None => false,
        Some(b'"' | b'\'' | b'`' | b'=' | b':' | b']' | b'\\') => true,
        Some(b' ' | b'\t') => text[end..].iter().take(6).any(|b| matches!(b, b'=' | b':')) || flag(text, end),
        _ => false,
    }
}

/// Whether the name that ends here may be a command's flag: the letter of an escape may stand before its dashes.
fn flag(text: &[u8], end: usize) -> bool {
    text[begin(text, end)..end].windows(2).any(|two| two == b"--")
}

fn begin(text: &[u8], end: usize) -> usize {
    let back = text[..end].iter().rev().take(NAME).take_while(|b| in_name(**b)).count();
    end - back
}

/// Whether the name itself says that what it names is no secret.
fn excluded(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name)
        .to_ascii_lowercase()
        .replace(['_', '-', '.'], "");
    NOT.iter().any(|word| {
        name.rfind(word)
            .is_some_and(|at| matches!(&name[at + word.len()..], "token" | "pagetoken" | "secret"))
    })
}

/// Whether `value` is what a name of this kind holds. Of an authorization, which part.
fn secret(kind: &str, value: &str) -> Option<Range<usize>> {
    let whole = || Some(0..value.len());
    match kind {
        "password" if is_password(value) => whole(),
        "authorization" => {
            let start = value.find(' ').map_or(0, |space| space + 1);
            let credential = value[start..].trim_end();
            let scheme = start > 0 && value[..start - 1].bytes().all(|b| b.is_ascii_alphabetic() || b == b'-');
            let basic = scheme && value[..start].eq_ignore_ascii_case("basic ") && credential.len() >= 8;
            let plain = credential.bytes().all(|b| b.is_ascii_graphic() && b != b'"');
            let found = plain && (basic || (scheme || start == 0) && is_random(credential, 16));
            found.then(|| start..start + credential.len())
        }
        "password" => None,
        _ if is_token(value) => whole(),
        _ => None,
    }
}

/// The kind of the value of an object's field, by its key.
pub(crate) fn of_key(key: &str) -> Option<&'static str> {
    let small = key.to_ascii_lowercase();
    let (word, kind) = WORDS.iter().find(|(word, _)| small.ends_with(word))?;
    (word_begins(key.as_bytes(), key.len() - word.len(), word) && !excluded(key.as_bytes())).then_some(*kind)
}

/// `pwd` is a word of its own only: it is also the end of others.
fn word_begins(text: &[u8], at: usize, word: &str) -> bool {
    word != "pwd" || at == 0 || !text[at - 1].is_ascii_alphanumeric() || text[at].is_ascii_uppercase()
}

/// The secret in the value of a field.
pub(crate) fn in_field(kind: &'static str, value: &str) -> Option<Range<usize>> {
    secret(kind, value)
}

/// The value that is assigned to the name that ends with the word at `word`.
pub(crate) fn assigned(text: &str, word: &Range<usize>, kind: &'static str) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let name = begin(bytes, word.end);
    if !ends(bytes, word.end) || excluded(&bytes[name..word.end]) {
        return None;
    }
    if !word_begins(bytes, word.start, &text[word.clone()].to_ascii_lowercase()) {
        return None;
    }
    let mut at = word.end;
    let skip = |at: &mut usize, most: usize, of: &[u8]| {
        let many = bytes[*at..].iter().take(most).take_while(|b| of.contains(b)).count();
        *at += many;
        many
    };
    skip(&mut at, 3, b"\"'`]\\");
    let blanks = skip(&mut at, 8, b" \t");
    let signs = skip(&mut at, 3, b"=:>");
    // A flag's value stands behind a blank.
    if signs == 0 && !(blanks > 0 && bytes[name..word.end].starts_with(b"--")) {
        return None;
    }
    skip(&mut at, 8, b" \t");
    let quote = bytes.get(at).filter(|b| matches!(b, b'"' | b'\'' | b'`'));
    let value = match quote {
        Some(quote) => {
            at += 1;
            let end = bytes[at..]
                .iter()
                .take(LONGEST + 1)
                .position(|b| b == quote || *b == b'\n')?;
            at..at + end
        }
        None => plain(bytes, at, kind)?,
    };
    let found = secret(kind, text.get(value.clone())?)?;
    Some(value.start + found.start..value.start + found.end)
}

/// From the beginning of the name whose word, by its place in the list, ends at `word`, to the end of what is assigned to it. `None`:
/// nothing is. What is not yet over has no end. No less is taken for a value than [`assigned`] takes.
pub(crate) fn reach(bytes: &[u8], word: usize, which: usize) -> Option<Range<usize>> {
    const MOST: usize = 16;
    let begin = begin(bytes, word);
    let skip = |from: usize, of: &[u8]| {
        let many = bytes[from..].iter().take(MOST).take_while(|b| of.contains(b)).count();
        from + many
    };
    let quoted = skip(word, b"\"'`]\\");
    let blanks = skip(quoted, b" \t");
    let signs = skip(blanks, b"=:>");
    let flag = blanks > quoted && flag(bytes, word);
    if blanks < bytes.len() && signs == blanks && !flag {
        return None;
    }
    // In JSON within a text, its quotation mark is escaped.
    let value = skip(skip(signs, b" \t"), b"\\");
    let over = |from: usize, most: usize, is: &dyn Fn(u8) -> bool| {
        let rest = bytes.get(from..).unwrap_or_default();
        match rest.iter().take(most).position(|b| is(*b)) {
            Some(end) => from + end,
            // Longer than any that is looked at.
            None if rest.len() > most => from,
            None => usize::MAX,
        }
    };
    let end = match bytes.get(value) {
        None => usize::MAX,
        // As it is escaped, it may be longer.
        Some(quote @ (b'"' | b'\'' | b'`')) => {
            over(value + 1, 2 * LONGEST, &|b| b == *quote || b == b'\n').saturating_add(1)
        }
        Some(_) => {
            let end = over(value, LONGEST, &ends_plain);
            if WORDS[which].1 == "authorization" && bytes.get(end) == Some(&b' ') {
                over(end + 1, LONGEST, &ends_plain)
            } else {
                end
            }
        }
    };
    Some(begin..end)
}

/// What ends a value without quotes.
fn ends_plain(b: u8) -> bool {
    b.is_ascii_whitespace() || b.is_ascii_control() || b"\"'`,;&<>()[]{}|".contains(&b)
}

/// A value without quotes: up to what ends a word in a shell, a query or a program. A call or an index is none.
fn plain(bytes: &[u8], at: usize, kind: &str) -> Option<Range<usize>> {
    let length = |from: usize| {
        bytes[from..]
            .iter()
            .take(LONGEST + 1)
            .position(|b| ends_plain(*b))
            .unwrap_or(bytes.len() - from)
    };
    let mut end = at + length(at);
    // `Authorization: Bearer x`: the scheme, a blank, what it carries.
    if kind == "authorization" && bytes.get(end) == Some(&b' ') {
        end += 1;
        end += length(end);
    }
    (!matches!(bytes.get(end), Some(b'(' | b'['))).then_some(at..end)
}
