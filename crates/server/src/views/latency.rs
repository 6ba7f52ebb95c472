//! Quantiles of durations as sums: a histogram with buckets on a logarithmic scale, so that those of any window, session and tool
//! are added up bucket by bucket, and a quantile of the sum is as good as one of the durations themselves to [`ERROR`].
//!
//! The method is DDSketch's (Masson, Rim, Lee: "DDSketch: A Fast and Fully-Mergeable Quantile Sketch with Relative-Error
//! Guarantees", VLDB 2019, section 2.1): with γ = (1 + α) / (1 − α), bucket i holds what is above γ^(i−1) and up to γ^i, and
//! 2γ^i / (γ + 1) is within α of all of it.

use std::collections::BTreeMap;

/// α: by how much of itself a quantile may be off.
const ERROR: f64 = 0.05;
const GAMMA: f64 = (1.0 + ERROR) / (1.0 - ERROR);
/// What takes longer counts as this long: 30 days, in milliseconds. There are then at most 218 buckets.
const LONGEST: i64 = 30 * 24 * 3600 * 1000;
/// The bucket of calls whose duration is not known: they are counted, and in no quantile.
const UNKNOWN: i64 = -1;

/// The bucket of a duration in milliseconds.
pub(super) fn bucket(took: Option<i64>) -> i64 {
    match took {
        None => UNKNOWN,
        // The scale has no zero.
        Some(..=0) => 0,
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "both are small"
        )]
        Some(ms) => (ms.min(LONGEST) as f64).log(GAMMA).ceil() as i64 + 1,
    }
}

/// What stands for a bucket, in milliseconds.
#[expect(clippy::cast_possible_truncation, reason = "a bucket is small")]
fn middle(bucket: i64) -> i64 {
    let power = i32::try_from(bucket - 1).unwrap_or_default();
    match bucket {
        ..=0 => 0,
        _ => (2.0 * GAMMA.powi(power) / (GAMMA + 1.0)).round() as i64,
    }
}

/// Calls by bucket.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram(BTreeMap<i64, i64>);

impl Histogram {
    pub(super) fn add(&mut self, bucket: i64, calls: i64) {
        if bucket != UNKNOWN {
            *self.0.entry(bucket).or_default() += calls;
        }
    }

    /// What so many percent of the calls did not exceed, in milliseconds: the nearest rank. `None` when no duration is known.
    pub(super) fn percentile(&self, percent: i64) -> Option<i64> {
        let all: i64 = self.0.values().sum();
        let rank = (all.saturating_mul(percent) + 99) / 100;
        let mut below = 0;
        let found = self.0.iter().find(|(_, calls)| {
            below += **calls;
            below >= rank
        });
        found.map(|(bucket, _)| middle(*bucket))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn a_percentile_is_within_its_error_of_the_duration_itself() {
        // Durations of every size, in no order.
        let took: Vec<i64> = (0..5000_i64).map(|n| (n * 7919 % 5000).pow(2) / 7).collect();
        let mut sorted = took.clone();
        sorted.sort_unstable();
        // Two halves that are added up are as good as one.
        let mut sum = Histogram::default();
        for half in took.chunks(2500) {
            let mut one = Histogram::default();
            half.iter().for_each(|ms| one.add(bucket(Some(*ms)), 1));
            one.0.into_iter().for_each(|(bucket, calls)| sum.add(bucket, calls));
        }
        sum.add(bucket(None), 100_000);
        for percent in [1, 10, 50, 90, 95, 99, 100] {
            let exact = sorted[usize::try_from(percent).unwrap() * 50 - 1];
            let told = sum.percentile(percent).unwrap();
            let off = (told - exact).abs() as f64;
            assert!(off <= (exact as f64 * ERROR).max(1.0), "p{percent}: {told} for {exact}");
        }
    }

    #[test]
    fn no_duration_is_too_short_or_too_long() {
        for (ms, shown) in [(i64::MIN, 0), (0, 0), (1, 1)] {
            assert_eq!(middle(bucket(Some(ms))), shown);
        }
        assert!(bucket(Some(i64::MAX)) <= 219);
        assert!(Histogram::default().percentile(50).is_none());
    }
}
