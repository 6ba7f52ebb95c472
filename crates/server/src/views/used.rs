//! Tokens and money, as rows add them up.

use std::ops::{Add, Sub};

use rusqlite::Row;
use serde::{Deserialize, Serialize};
use turnwire_proto::Usage;

/// Above what any vendor counts in one event; a number from outside must neither end the fold nor spoil a sum.
const TOKENS: u64 = 1 << 40;
/// The same in dollars.
const DOLLARS: f64 = 1e6;

/// What was used. Signed, so that differences are sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Used {
    pub(super) input: i64,
    pub(super) output: i64,
    pub(super) cache_read: i64,
    pub(super) cache_creation: i64,
    pub(super) cost_usd: f64,
}

impl Used {
    /// The columns of a table that has them.
    pub(super) const COLUMNS: &'static str = "
        input_tokens INTEGER NOT NULL DEFAULT 0, output_tokens INTEGER NOT NULL DEFAULT 0,
        cache_read INTEGER NOT NULL DEFAULT 0, cache_creation INTEGER NOT NULL DEFAULT 0, cost_usd REAL NOT NULL DEFAULT 0";

    /// What a body says, without its cost.
    pub(super) fn tokens(usage: &Usage) -> Self {
        let tokens = |count: Option<u64>| i64::try_from(count.unwrap_or(0).min(TOKENS)).unwrap_or(0);
        Self {
            input: tokens(usage.input_tokens),
            output: tokens(usage.output_tokens),
            cache_read: tokens(usage.cache_read_input_tokens),
            cache_creation: tokens(usage.cache_creation_input_tokens),
            cost_usd: 0.0,
        }
    }

    /// The same with this cost.
    pub(super) fn costing(self, dollars: Option<f64>) -> Self {
        let dollars = dollars.filter(|dollars| dollars.is_finite()).unwrap_or(0.0);
        Self {
            cost_usd: dollars.clamp(-DOLLARS, DOLLARS),
            ..self
        }
    }

    /// Reads the five columns from `at` on.
    pub(super) fn read(row: &Row<'_>, at: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            input: row.get(at)?,
            output: row.get(at + 1)?,
            cache_read: row.get(at + 2)?,
            cache_creation: row.get(at + 3)?,
            cost_usd: row.get(at + 4)?,
        })
    }

    /// As it is answered.
    pub(super) fn usage(&self) -> Usage {
        let count = |tokens: i64| Some(u64::try_from(tokens).unwrap_or(0));
        Usage {
            input_tokens: count(self.input),
            output_tokens: count(self.output),
            cache_read_input_tokens: count(self.cache_read),
            cache_creation_input_tokens: count(self.cache_creation),
            ..Usage::default()
        }
    }

    fn each(self, other: Self, of: impl Fn(i64, i64) -> i64, cost: impl Fn(f64, f64) -> f64) -> Self {
        // A difference of sums has the dust of binary fractions: to a ten-thousandth of a millionth of a dollar there is none.
        let money = |dollars: f64| (dollars * 1e10).round() / 1e10;
        Self {
            input: of(self.input, other.input),
            output: of(self.output, other.output),
            cache_read: of(self.cache_read, other.cache_read),
            cache_creation: of(self.cache_creation, other.cache_creation),
            cost_usd: money(cost(self.cost_usd, other.cost_usd)),
        }
    }
}

impl Add for Used {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.each(other, i64::saturating_add, Add::add)
    }
}

impl Sub for Used {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.each(other, i64::saturating_sub, Sub::sub)
    }
}
