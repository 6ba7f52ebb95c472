//! The one pass that every event pays: is there anything that a secret could begin with?
//!
//! Of each literal the three bytes are taken that are rarest in text. A pass hashes every three bytes of a text, in small letters,
//! into a table that fits the nearest cache; nothing depends on what stood before, so a processor does several at once. Only where
//! the table says so are literals compared.

use std::{ops::Range, sync::LazyLock};

use crate::{forms, names, prefixes::PREFIXES};

/// What a literal that was met may be the beginning of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// A prefix, by its place in the table.
    Prefix(usize),
    /// The end of a name, by its place in the list of words.
    Name(usize),
    PrivateKey,
    WebToken,
    Bearer,
    Address,
    /// An escape that hides a letter, or a slash: what it is part of is read first.
    Escape,
}

/// Escapes of what is printed anyway. Others, as of line breaks, are everywhere and hide no beginning.
const ESCAPES: &[&str] = &[
    "\\u002",
    "\\u003",
    "\\u004",
    "\\u005",
    "\\u006",
    "\\u007",
    ":\\/",
    ":\\\\/",
    ":\\\\\\/",
    ":\\\\\\\\/",
];

/// Bits of a hash. The table has a byte for each: half of the nearest cache.
const BITS: u32 = 14;

/// A literal, where its rarest three bytes are.
#[derive(Debug)]
struct Literal {
    three: u32,
    offset: usize,
    text: &'static str,
    sign: Sign,
}

#[derive(Debug)]
struct Literals {
    table: Box<[u8; 1 << BITS]>,
    /// By their three bytes.
    all: Vec<Literal>,
}

const fn fold(four: [u8; 4]) -> u32 {
    // Small letters; what is no letter may fall together, which costs a comparison.
    (u32::from_le_bytes(four) & 0x00ff_ffff) | 0x0020_2020
}

const fn hash(three: u32) -> usize {
    (three.wrapping_mul(0x9e37_79b1) >> (32 - BITS)) as usize
}

/// How often a byte stands in text, roughly, in thousandths.
const fn frequency(byte: u8) -> u32 {
    match byte.to_ascii_lowercase() {
        b' ' | b'"' | b'e' => 100,
        b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 70,
        b'_' | b'-' | b':' | b'/' | b',' | b'd' | b'l' | b'c' | b'u' | b'm' | b'h' => 35,
        b'p' | b'f' | b'g' | b'w' | b'y' | b'b' | b'.' | b'\\' | b'0'..=b'9' => 20,
        b'v' | b'k' => 8,
        _ => 2,
    }
}

static LITERALS: LazyLock<Literals> = LazyLock::new(|| {
    let mut all: Vec<(&'static str, Sign)> = Vec::new();
    all.extend(
        PREFIXES
            .iter()
            .enumerate()
            .map(|(at, prefix)| (prefix.literal, Sign::Prefix(at))),
    );
    all.extend(
        names::WORDS
            .iter()
            .enumerate()
            .map(|(at, (word, _))| (*word, Sign::Name(at))),
    );
    all.extend([
        ("-----BEGIN ", Sign::PrivateKey),
        ("eyJ", Sign::WebToken),
        ("bearer ", Sign::Bearer),
        ("://", Sign::Address),
    ]);
    all.extend(ESCAPES.iter().map(|escape| (*escape, Sign::Escape)));
    let mut table = Box::new([0; 1 << BITS]);
    let literal = |(text, sign): (&'static str, Sign)| {
        let often = |three: &[u8]| three.iter().map(|b| frequency(*b)).product::<u32>();
        let rarest = text
            .as_bytes()
            .windows(3)
            .enumerate()
            .min_by_key(|(_, three)| often(three));
        // Invariant: no literal is shorter than three bytes.
        let (offset, bytes) = rarest.expect("three bytes");
        let three = fold([bytes[0], bytes[1], bytes[2], 0]);
        table[hash(three)] = 1;
        Literal {
            three,
            offset,
            text,
            sign,
        }
    };
    let mut all: Vec<Literal> = all.into_iter().map(literal).collect();
    all.sort_by_key(|literal| literal.three);
    Literals { table, all }
});

impl Literals {
    /// The next place from `from` on where the three bytes of a literal may stand.
    fn next(&self, text: &[u8], from: usize) -> Option<usize> {
        let mut at = from;
        // Six threes in each eight bytes.
        while let Some(eight) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
            let eight = u64::from_le_bytes(*eight) | 0x2020_2020_2020_2020;
            let mut met = 0;
            for place in 0..6 {
                #[expect(clippy::cast_possible_truncation, reason = "the lowest three bytes are wanted")]
                let three = (eight >> (8 * place)) as u32 & 0x00ff_ffff;
                met |= u32::from(self.table[hash(three)]) << place;
            }
            if met != 0 {
                return Some(at + met.trailing_zeros() as usize);
            }
            at += 6;
        }
        let rest = text.get(at..)?;
        let three = |three: &[u8]| self.table[hash(fold([three[0], three[1], three[2], 0]))] != 0;
        rest.windows(3).position(three).map(|place| at + place)
    }

    /// The literals that stand where these three bytes do.
    fn at<'t>(&'static self, text: &'t [u8], at: usize) -> impl Iterator<Item = (Sign, Range<usize>)> + use<'t> {
        let three = fold([text[at], text[at + 1], text[at + 2], 0]);
        let first = self.all.partition_point(|literal| literal.three < three);
        let same = self.all[first..]
            .iter()
            .take_while(move |literal| literal.three == three);
        same.filter_map(move |literal| {
            let start = at.checked_sub(literal.offset)?;
            let range = start..start + literal.text.len();
            let met = text.get(range.clone())?.eq_ignore_ascii_case(literal.text.as_bytes());
            met.then_some((literal.sign, range))
        })
    }
}

/// Every literal in a text, whatever the case of its letters.
pub(crate) fn signs(text: &[u8]) -> impl Iterator<Item = (Sign, Range<usize>)> {
    let literals = &*LITERALS;
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = literals.next(text, from)?;
        from = at + 1;
        Some(at)
    })
    .flat_map(move |at| literals.at(text, at))
}

/// Whether something in the text could be a secret.
pub(crate) fn is_suspicious(text: &[u8]) -> bool {
    signs(text).any(|(sign, range)| match sign {
        Sign::Prefix(at) => text[range] == *PREFIXES[at].literal.as_bytes(),
        Sign::Name(_) => names::ends(text, range.end),
        Sign::Address => forms::has_user(text, range.end),
        Sign::WebToken => text[range] == *b"eyJ",
        Sign::PrivateKey | Sign::Bearer | Sign::Escape => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_literal_is_met_wherever_it_stands_and_whatever_its_case() {
        for literal in &LITERALS.all {
            for (before, behind) in [
                ("", ""),
                ("x", ""),
                ("", "y"),
                ("some words ", " and more"),
                ("tok", "en"),
            ] {
                for text in [literal.text.to_owned(), literal.text.to_ascii_uppercase()] {
                    let whole = format!("{before}{text}{behind}");
                    let place = before.len()..before.len() + text.len();
                    let met = signs(whole.as_bytes()).any(|found| found == (literal.sign, place.clone()));
                    assert!(met, "{whole}");
                }
            }
        }
    }
}
