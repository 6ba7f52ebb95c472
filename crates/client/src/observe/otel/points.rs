//! What a program measures itself, summed up as OTLP's metrics.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use turnwire_proto::Timestamp;

use super::super::{Metric, Value};

/// Seconds, the upper bounds of a histogram's buckets.
const BOUNDS: [f64; 12] = [0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

/// Sums since the start, so that a request that is lost loses nothing.
#[derive(Debug)]
pub(super) struct Points {
    start: String,
    /// A program's names are few: it was written with them.
    sums: BTreeMap<&'static str, u64>,
    gauges: BTreeMap<&'static str, f64>,
    times: BTreeMap<&'static str, Times>,
    changed: bool,
}

#[derive(Debug, Default)]
struct Times {
    buckets: [u64; BOUNDS.len() + 1],
    count: u64,
    sum: f64,
}

impl Default for Points {
    fn default() -> Self {
        Self {
            start: nanos(),
            sums: BTreeMap::new(),
            gauges: BTreeMap::new(),
            times: BTreeMap::new(),
            changed: false,
        }
    }
}

fn nanos() -> String {
    (i128::from(Timestamp::now().millis()) * 1_000_000).to_string()
}

impl Points {
    pub(super) fn take(&mut self, metric: &Metric) {
        match metric.value {
            Value::Add(more) => {
                let sum = self.sums.entry(metric.name).or_default();
                *sum = sum.saturating_add(more);
            }
            Value::Set(now) if now.is_finite() => {
                self.gauges.insert(metric.name, now);
            }
            Value::Set(_) => return,
            Value::Took(time) => {
                let seconds = time.as_secs_f64();
                let times = self.times.entry(metric.name).or_default();
                times.buckets[BOUNDS.partition_point(|bound| *bound < seconds)] += 1;
                times.count += 1;
                times.sum += seconds;
            }
        }
        self.changed = true;
    }

    /// All of them, when one has changed since they were sent.
    pub(super) fn changed(&self) -> Option<Vec<Json>> {
        let now = nanos();
        let sums = self.sums.iter().map(|(name, sum)| {
            let point = json!({ "startTimeUnixNano": self.start, "timeUnixNano": now, "asInt": sum.to_string() });
            json!({ "name": name, "sum": { "aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [point] } })
        });
        let gauges = self.gauges.iter().map(|(name, value)| {
            json!({ "name": name, "gauge": { "dataPoints": [{ "timeUnixNano": now, "asDouble": value }] } })
        });
        let times = self.times.iter().map(|(name, times)| {
            let point = json!({
                "startTimeUnixNano": self.start,
                "timeUnixNano": now,
                "count": times.count.to_string(),
                "sum": times.sum,
                "bucketCounts": times.buckets.map(|count| count.to_string()),
                "explicitBounds": BOUNDS,
            });
            json!({ "name": name, "unit": "s", "histogram": { "aggregationTemporality": 2, "dataPoints": [point] } })
        });
        self.changed.then(|| sums.chain(gauges).chain(times).collect())
    }

    pub(super) const fn sent(&mut self) {
        self.changed = false;
    }
}
