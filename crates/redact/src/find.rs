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
    // Where the secret before it ends.
    let mut last = 0;
    for (sign, range) in signs(text.as_bytes()) {
        let (secret, kind) = match sign {
            Sign::Prefix(at) => (forms::prefixed(text, &range, last, &PREFIXES[at]), PREFIXES[at].kind),
            Sign::PrivateKey => (forms::private_key(text, &range), "private-key"),
            Sign::WebToken => (forms::web_token(text, &range, last), "jwt"),
            Sign::Bearer => (forms::bearer(text, &range, last), "bearer-token"),
            Sign::Address => (forms::address(text, &range), "url-password"),
            Sign::Name(at) => {
                let kind = names::WORDS[at].1;
                named.extend(names::assigned(text, &range, kind).map(|secret| one(secret, kind)));
                continue;
            }
            Sign::Escape => continue,
        };
        last = secret.as_ref().map_or(last, |secret| secret.end);
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

/// None overlaps another or a marker, in the order of the text. Of two that overlap, the first stays, unless the later one is more of the
/// same: what stands beside a secret in a value that is one as a whole is as secret.
fn apart(found: Vec<Found>, markers: Vec<Range<usize>>) -> Vec<Found> {
    // By where they begin; a marker has no kind.
    let mut taken: BTreeMap<usize, (usize, Option<Arc<str>>)> = markers
        .into_iter()
        .map(|range| (range.start, (range.end, None)))
        .collect();
    for Found { range, kind } in found {
        // None overlaps another, so those that meet a range are the last ones that begin before its end.
        let before = taken.range(..range.end).rev();
        let met: Vec<(usize, usize, Option<Arc<str>>)> = before
            .map(|(start, (end, kind))| (*start, *end, kind.clone()))
            .take_while(|(_, end, _)| *end > range.start)
            .collect();
        let within = |(start, end, kind): &(usize, usize, Option<Arc<str>>)| {
            kind.is_some() && range.start <= *start && *end <= range.end
        };
        if !met.iter().all(within) {
            continue;
        }
        for (start, ..) in &met {
            taken.remove(start);
        }
        let first = met.into_iter().next_back().and_then(|(_, _, kind)| kind);
        taken.insert(range.start, (range.end, Some(first.unwrap_or(kind))));
    }
    let secrets = taken.into_iter().filter_map(|(start, (end, kind))| {
        let range = start..end;
        kind.map(|kind| Found { range, kind })
    });
    secrets.collect()
}
