//! What each source has told of one turn: by which id, its start, its end, and what was used.
//!
//! Tokens and money are counted of one source, never added up over several: of the one that tells the highest cost, then the most tokens,
//! then the first by its name. It is the same one in whatever order they told it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::views::used::Used;

/// Sources that one turn keeps. What more of them tell is not counted.
const SOURCES: usize = 16;

/// One source's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Share {
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    pub(super) started: bool,
    pub(super) ended: bool,
    /// Whether its end has said what was used: then its `usage` events say the same once more.
    pub(super) billed: bool,
    pub(super) used: Used,
}

impl Share {
    /// The source has an id for it, or has told its start or end.
    pub(super) const fn is_named(&self) -> bool {
        self.id.is_some() || self.started || self.ended
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shares {
    of: Vec<Share>,
    /// One that is not kept.
    beyond: Share,
}

impl Shares {
    pub(super) fn read(text: &str) -> Self {
        let of = if text.is_empty() {
            Vec::new()
        } else {
            serde_json::from_str(text).unwrap_or_default()
        };
        Self {
            of,
            beyond: Share::default(),
        }
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string(&self.of).unwrap_or_default()
    }

    pub(super) fn of(&self, source: &str) -> Option<&Share> {
        self.of.iter().find(|share| share.source == source)
    }

    pub(super) fn mine(&mut self, source: &str) -> &mut Share {
        let at = match self.of.iter().position(|share| share.source == source) {
            Some(at) => at,
            None if self.of.len() < SOURCES => {
                self.of.push(Share {
                    source: source.to_owned(),
                    ..Share::default()
                });
                self.of.len() - 1
            }
            None => return &mut self.beyond,
        };
        &mut self.of[at]
    }

    /// A source tells of it, by this id. Whether that is new.
    pub(super) fn meet(&mut self, source: &str, id: Option<&str>) -> bool {
        if let Some(share) = self.of(source)
            && (share.id.is_some() || id.is_none())
        {
            return false;
        }
        self.mine(source).id = id.map(str::to_owned);
        true
    }

    pub(super) fn has_id(&self, id: &str) -> bool {
        self.ids().any(|own| own == id)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.of.iter().filter_map(|share| share.id.as_deref())
    }

    /// In the order of the alphabet, which does not tell who was first.
    pub(super) fn sources(&self) -> Vec<String> {
        let mut sources: Vec<_> = self.of.iter().map(|share| share.source.clone()).collect();
        sources.sort();
        sources
    }

    /// The ids, where there are several; in the order of the alphabet.
    pub(super) fn several_ids(&self) -> Vec<String> {
        let ids: BTreeSet<_> = self.ids().map(str::to_owned).collect();
        if ids.len() > 1 {
            ids.into_iter().collect()
        } else {
            Vec::new()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Whether another source than this tells of it.
    pub(super) fn others(&self, source: &str) -> bool {
        self.of.iter().any(|share| share.source != source)
    }

    /// Whether a source tells of both.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.of.iter().any(|share| other.of(&share.source).is_some())
    }

    /// What counts.
    pub(super) fn most(&self) -> Used {
        let tokens = |used: &Used| used.input.saturating_add(used.output);
        let more = |a: &&Share, b: &&Share| {
            let (x, y) = (&a.used, &b.used);
            let dearer = x.cost_usd.total_cmp(&y.cost_usd);
            dearer.then(tokens(x).cmp(&tokens(y))).then(b.source.cmp(&a.source))
        };
        self.of
            .iter()
            .max_by(more)
            .map_or_else(Used::default, |share| share.used)
    }

    /// Takes those of another row of the same turn.
    pub(super) fn absorb(&mut self, other: Self) {
        for share in other.of {
            if self.of(&share.source).is_none() && self.of.len() < SOURCES {
                self.of.push(share);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_is_one_sources_whichever_was_first() {
        let of = |cost_usd, input| Used {
            cost_usd,
            input,
            ..Used::default()
        };
        let told = [("b", of(0.0, 90)), ("a", of(0.25, 10)), ("c", of(0.25, 10))];
        let mut shares = Shares::default();
        told.iter().for_each(|(source, used)| shares.mine(source).used = *used);
        assert_eq!(shares.most(), of(0.25, 10));
        let mut reversed = Shares::default();
        told.iter()
            .rev()
            .for_each(|(source, used)| reversed.mine(source).used = *used);
        assert_eq!(reversed.most(), shares.most());
        assert_eq!(Shares::read(&shares.text()), shares);
    }
}
