//! Results, and the medians and ratios made of them.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::cases::{BASE, Bar, Case, OURS, Of, Sense};

/// What one run of one case against one server gave.
pub(super) struct Record {
    pub(super) case: String,
    pub(super) target: String,
    pub(super) rep: u64,
    pub(super) metrics: BTreeMap<String, f64>,
}

impl Record {
    pub(super) fn parse(line: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(line).with_context(|| format!("not a result: {line}"))?;
        let text = |name: &str| {
            value[name]
                .as_str()
                .map(str::to_owned)
                .with_context(|| format!("no {name} in {line}"))
        };
        Ok(Self {
            case: text("case")?,
            target: text("target")?,
            rep: value["rep"].as_u64().unwrap_or(1),
            metrics: metrics(&value)?,
        })
    }

    pub(super) fn line(&self) -> String {
        json!({"case": self.case, "target": self.target, "rep": self.rep, "metrics": self.metrics}).to_string()
    }
}

/// The metrics of a result; those that are no number (a division by nothing) are left out.
pub(super) fn metrics(result: &Value) -> Result<BTreeMap<String, f64>> {
    let metrics = result["metrics"]
        .as_object()
        .with_context(|| format!("no metrics in {result}"))?;
    Ok(metrics
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)))
        .collect())
}

pub(super) struct Figures {
    records: Vec<Record>,
}

impl Figures {
    pub(super) fn new(records: Vec<Record>) -> Self {
        Self { records }
    }

    fn runs(&self, case: &Case, target: &str) -> impl Iterator<Item = &Record> {
        self.records
            .iter()
            .filter(move |record| record.case == case.what && record.target == target)
    }

    /// Every target that has been measured, in any case.
    pub(super) fn targets(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.records.iter().map(|record| record.target.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    pub(super) fn reps(&self, case: &Case, target: &str) -> usize {
        self.runs(case, target).count()
    }

    /// All values of a metric, smallest first.
    pub(super) fn values(&self, case: &Case, target: &str, metric: &str) -> Vec<f64> {
        let mut values: Vec<_> = self
            .runs(case, target)
            .filter_map(|run| run.metrics.get(metric).copied())
            .collect();
        values.sort_by(f64::total_cmp);
        values
    }

    pub(super) fn median(&self, case: &Case, target: &str, metric: &str) -> Option<f64> {
        median(&self.values(case, target, metric))
    }

    /// The median of the ratios to another target, each taken within one repetition, where both ran seconds apart.
    pub(super) fn ratio(&self, case: &Case, target: &str, metric: &str, to: &str) -> Option<f64> {
        let ratio = |run: &Record| {
            let base = self.runs(case, to).find(|base| base.rep == run.rep)?;
            Some(run.metrics.get(metric)? / base.metrics.get(metric)?)
        };
        let mut ratios: Vec<_> = self.runs(case, target).filter_map(ratio).collect();
        ratios.sort_by(f64::total_cmp);
        median(&ratios)
    }

    /// The server's figure that is held against a bar.
    pub(super) fn measured(&self, case: &Case, bar: &Bar) -> Option<f64> {
        match bar.of {
            Of::Target(to) => self.ratio(case, OURS, bar.metric, to),
            Of::Nothing => self.median(case, OURS, bar.metric),
        }
    }

    /// Whether the bar is met; None when it was not measured.
    pub(super) fn met(&self, case: &Case, bar: &Bar) -> Option<bool> {
        let measured = self.measured(case, bar)?;
        Some(match bar.sense {
            Sense::NotBelow => measured >= bar.value,
            Sense::NotAbove => measured <= bar.value,
        })
    }

    /// What went wrong in any repetition, as words: a figure had by losing or reordering events is worth nothing.
    pub(super) fn faults(&self, case: &Case, target: &str) -> Vec<String> {
        const FAULTS: &[(&str, &str)] = &[
            ("lost", "lost"),
            ("out_of_order", "out of order"),
            ("strays", "of another session"),
            ("closed", "readers cut off"),
        ];
        let worst = |metric: &str| {
            self.values(case, target, metric)
                .into_iter()
                .map(f64::abs)
                .fold(0.0, f64::max)
        };
        let mut faults: Vec<_> = FAULTS
            .iter()
            .map(|(metric, words)| (worst(metric), words))
            .filter(|(count, _)| *count > 0.0)
            .map(|(count, words)| format!("{count:.0} {words}"))
            .collect();
        if self
            .values(case, target, "delivered_fraction")
            .first()
            .is_some_and(|least| *least < 1.0)
        {
            faults.push("not all readers lived".to_owned());
        }
        faults
    }

    pub(super) fn to_base(&self, case: &Case, target: &str, metric: &str) -> Option<f64> {
        self.ratio(case, target, metric, BASE)
    }
}

fn median(sorted: &[f64]) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    Some(f64::midpoint(sorted[last / 2], sorted[last.div_ceil(2)]))
}

#[cfg(test)]
mod tests {
    use super::{super::cases::CASES, *};

    fn record(target: &str, rep: u64, rate: f64) -> Record {
        let metrics = BTreeMap::from([("deliveries_per_s".to_owned(), rate)]);
        Record {
            case: CASES[0].what.to_owned(),
            target: target.to_owned(),
            rep,
            metrics,
        }
    }

    #[test]
    fn ratios_are_taken_within_a_repetition() {
        // The machine was ten times slower in the second one: the ratio does not care.
        let figures = Figures::new(vec![
            record(BASE, 1, 100.0),
            record(OURS, 1, 1200.0),
            record(BASE, 2, 10.0),
            record(OURS, 2, 120.0),
        ]);
        assert_eq!(figures.to_base(&CASES[0], OURS, "deliveries_per_s"), Some(12.0));
        assert_eq!(figures.median(&CASES[0], OURS, "deliveries_per_s"), Some(660.0));
        assert_eq!(
            figures.met(&CASES[0], &CASES[0].bars[0]),
            Some(true),
            "12 × is over 11 ×"
        );
        assert_eq!(figures.met(&CASES[0], &CASES[0].bars[1]), None, "no CPU was measured");
        assert_eq!(
            figures.met(&CASES[0], &CASES[0].bars[2]),
            Some(false),
            "12 × is under 20 ×"
        );
    }

    #[test]
    fn a_run_that_loses_or_reorders_is_found_out() {
        let mut bad = record(OURS, 2, 9e9);
        bad.metrics
            .extend([("lost".to_owned(), 0.0), ("out_of_order".to_owned(), 7.0)]);
        let figures = Figures::new(vec![record(OURS, 1, 1.0), bad, record(BASE, 1, 1.0)]);
        assert_eq!(figures.faults(&CASES[0], OURS), ["7 out of order"]);
        assert_eq!(figures.faults(&CASES[0], BASE), Vec::<String>::new());
    }

    #[test]
    fn a_result_survives_its_line() {
        let before = record(OURS, 3, 7.5);
        let after = Record::parse(&before.line()).expect("its own line is a result");
        assert_eq!(
            (after.case, after.target, after.rep),
            (before.case, before.target, before.rep)
        );
        assert_eq!(after.metrics, before.metrics);
    }
}
