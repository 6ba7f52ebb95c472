//! Every secret in one text: the signs that were met, looked at closely.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use crate::{
    Found, forms, markers, names,
    own::Own,
    prefilter::{Sign, signs},
    prefixes::PREFIXES,
};

/// The secrets of a text, in order, none within another. `field` says what the whole text is when its key says so.
pub(crate) fn find(text: &str, field: Option<&'static str>, own: &Own) -> Vec<Found> {
    // Of two that overlap, the first stays: an operator's own, then what its beginning tells, then what its name does.
    let mut found = Vec::new();
    own.find(text, &mut found);
    let (mut begun, mut named) = (Vec::new(), Vec::new());
    for (sign, range) in signs(text.as_bytes()) {
        let (secret, kind) = match sign {
            Sign::Prefix(at) => (forms::prefixed(text, &range, &PREFIXES[at]), PREFIXES[at].kind),
            Sign::PrivateKey => (forms::private_key(text, &range), "private-key"),
            Sign::WebToken => (forms::web_token(text, &range), "jwt"),
            Sign::Bearer => (forms::bearer(text, &range), "bearer-token"),
            Sign::Address => (forms::address(text, &range), "url-password"),
            Sign::Name(at) => {
                let kind = names::WORDS[at].1;
                named.extend(names::assigned(text, &range, kind).map(|secret| one(secret, kind)));
                continue;
            }
            Sign::Escape => continue,
        };
        let rank = if let Sign::Prefix(at) = sign { at } else { 0 };
        begun.extend(secret.map(|secret| (rank, one(secret, kind))));
    }
    // Of two that begin at one place, the longer beginning says more; it stands first in the table.
    begun.sort_by_key(|(rank, found)| (found.range.start, *rank));
    found.extend(begun.into_iter().map(|(_, found)| found));
    found.append(&mut named);
    if let Some(kind) = field {
        found.extend(names::in_field(kind, text).map(|secret| one(secret, kind)));
    }
    if found.is_empty() {
        return found;
    }
    apart(found, markers(text))
}

fn one(range: Range<usize>, kind: &'static str) -> Found {
    Found {
        range,
        kind: Arc::from(kind),
    }
}

/// Those that overlap none before them and no marker, in the order of the text.
fn apart(found: Vec<Found>, markers: Vec<Range<usize>>) -> Vec<Found> {
    // By where they begin, where they end: none overlaps another, so the nearest before the end of a range is the only one
    // that can meet it.
    let mut taken: BTreeMap<usize, usize> = markers.into_iter().map(|range| (range.start, range.end)).collect();
    let mut kept: Vec<Found> = Vec::new();
    for one in found {
        let Range { start, end } = one.range;
        let nearest = taken.range(..end).next_back();
        if nearest.is_none_or(|(_, other_end)| *other_end <= start) {
            taken.insert(start, end);
            kept.push(one);
        }
    }
    kept.sort_by_key(|found| found.range.start);
    kept
}
