//! Metrics: sums and distributions of what log events and spans tell one by one, so none of them counts anything here.
//!
//! They are kept all the same, for whoever exports nothing else: one `raw` for each session in each metric.

use serde::Serialize;
use turnwire_proto::{Json, Kind, Name, Timestamp};

use super::{
    NOTHING, Origin, Told, agent,
    attrs::Map,
    conversation, moment,
    page::{self, Page, Said},
    wire::{ExponentialPoint, HistogramPoint, KeyValue, Metric, Metrics, Point, SummaryPoint},
};
use crate::fit;

pub(super) fn read(request: &Metrics, at: Timestamp, told: &mut Told) {
    let mut said = Said::default();
    for resource in &request.resource_metrics {
        for scope in &resource.scope_metrics {
            let origin = Origin::new(resource.resource.as_ref(), scope.scope.as_ref());
            for metric in &scope.metrics {
                one(origin, metric, &mut said, at, told);
            }
        }
    }
}

/// A point as it is kept, and what it is of.
struct Kept<'a> {
    attributes: &'a [KeyValue],
    at: u64,
    /// What adds up, of a gauge or a sum.
    value: Option<f64>,
    json: Json,
}

fn one(origin: Origin<'_>, metric: &Metric, said: &mut Said, at: Timestamp, told: &mut Told) {
    let (kind, points) = points(metric);
    told.records += points.len() as u64;
    let mut sessions: Vec<(Option<Name>, Vec<Kept<'_>>)> = Vec::new();
    for point in points {
        let session = conversation(&origin.attrs(point.attributes));
        match sessions.iter_mut().find(|(known, _)| *known == session) {
            Some((_, points)) => points.push(point),
            None => sessions.push((session, vec![point])),
        }
    }
    let digest = said.digest(origin, metric);
    for (number, (session, points)) in sessions.into_iter().enumerate() {
        let vendor = origin.vendor(&metric.name);
        let attrs = origin.attrs(points.first().map_or(&[], |point| point.attributes));
        let newest = points.iter().map(|point| point.at).max().and_then(moment);
        let sum = points.iter().map(|point| point.value).sum::<Option<f64>>();
        let mut page = Page {
            source: Name::new(vendor.names().0).expect("a literal name"),
            agent: agent(vendor, &attrs),
            session: session.unwrap_or_else(|| Name::new(super::NO_SESSION).expect("a literal name")),
            turn: None,
            at: newest.unwrap_or(at),
            digest: format!("{digest} {number}"),
            span: String::new(),
            count: 0,
            records: points.len() as u64,
            raw: Some(raw(origin, metric, kind, &points)),
            told,
        };
        let more = [
            ("what", Some(Json::of("metric"))),
            ("metric", Some(Json::of(fit::head(&metric.name, 256)))),
            (
                "unit",
                Some(metric.unit.as_str()).filter(|unit| !unit.is_empty()).map(Json::of),
            ),
            ("value", sum.filter(|sum| sum.is_finite()).map(|sum| Json::of(&sum))),
        ];
        page.write(Kind::RAW, &NOTHING, &more);
    }
}

fn raw(origin: Origin<'_>, metric: &Metric, kind: &'static str, points: &[Kept<'_>]) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Whole<'a> {
        name: &'a str,
        #[serde(skip_serializing_if = "str::is_empty")]
        description: &'a str,
        #[serde(skip_serializing_if = "str::is_empty")]
        unit: &'a str,
        kind: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        aggregation_temporality: Option<i32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        is_monotonic: Option<bool>,
        data_points: Vec<&'a Json>,
    }
    let sum = metric.sum.as_ref();
    let spread = metric.histogram.as_ref().map(|of| of.aggregation_temporality);
    let spread = spread.or_else(|| {
        metric
            .exponential_histogram
            .as_ref()
            .map(|of| of.aggregation_temporality)
    });
    let whole = Whole {
        name: &metric.name,
        description: &metric.description,
        unit: &metric.unit,
        kind,
        aggregation_temporality: sum.map(|of| of.aggregation_temporality).or(spread),
        is_monotonic: sum.map(|of| of.is_monotonic),
        data_points: points.iter().map(|point| &point.json).collect(),
    };
    page::raw(origin, "metric", &whole)
}

fn points(metric: &Metric) -> (&'static str, Vec<Kept<'_>>) {
    fn all<T>(points: &[T], kept: impl Fn(&T) -> Kept<'_>) -> Vec<Kept<'_>> {
        points.iter().map(kept).collect()
    }
    if let Some(of) = &metric.sum {
        ("sum", all(&of.data_points, number))
    } else if let Some(of) = &metric.gauge {
        ("gauge", all(&of.data_points, number))
    } else if let Some(of) = &metric.histogram {
        ("histogram", all(&of.data_points, histogram))
    } else if let Some(of) = &metric.exponential_histogram {
        ("exponentialHistogram", all(&of.data_points, exponential))
    } else if let Some(of) = &metric.summary {
        ("summary", all(&of.data_points, summary))
    } else {
        ("none", Vec::new())
    }
}

/// What every point has, beside what only its kind has.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a, T> {
    attributes: Map<'a>,
    start_time_unix_nano: String,
    time_unix_nano: String,
    #[serde(flatten)]
    of: T,
}

fn kept<'a>(attributes: &'a [KeyValue], start: u64, at: u64, value: Option<f64>, of: impl Serialize) -> Kept<'a> {
    let shown = Shown {
        attributes: Map(attributes),
        start_time_unix_nano: start.to_string(),
        time_unix_nano: at.to_string(),
        of,
    };
    Kept {
        attributes,
        at,
        value,
        json: Json::of(&shown),
    }
}

fn number(point: &Point) -> Kept<'_> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Number {
        #[serde(skip_serializing_if = "Option::is_none")]
        as_int: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        as_double: Option<f64>,
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
    let value = point.as_double.or_else(|| point.as_int.map(|number| number as f64));
    let of = Number {
        as_int: point.as_int,
        as_double: point.as_double,
    };
    kept(
        &point.attributes,
        point.start_time_unix_nano,
        point.time_unix_nano,
        value,
        of,
    )
}

fn histogram(point: &HistogramPoint) -> Kept<'_> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Spread<'a> {
        count: u64,
        sum: Option<f64>,
        min: Option<f64>,
        max: Option<f64>,
        bucket_counts: &'a [u64],
        explicit_bounds: &'a [f64],
    }
    let of = Spread {
        count: point.count,
        sum: point.sum,
        min: point.min,
        max: point.max,
        bucket_counts: &point.bucket_counts,
        explicit_bounds: &point.explicit_bounds,
    };
    kept(
        &point.attributes,
        point.start_time_unix_nano,
        point.time_unix_nano,
        None,
        of,
    )
}

fn exponential(point: &ExponentialPoint) -> Kept<'_> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Side<'a> {
        offset: i32,
        bucket_counts: &'a [u64],
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Spread<'a> {
        count: u64,
        sum: Option<f64>,
        scale: i32,
        zero_count: u64,
        positive: Option<Side<'a>>,
        negative: Option<Side<'a>>,
    }
    fn side(side: Option<&super::wire::Buckets>) -> Option<Side<'_>> {
        side.map(|side| Side {
            offset: side.offset,
            bucket_counts: &side.bucket_counts,
        })
    }
    let of = Spread {
        count: point.count,
        sum: point.sum,
        scale: point.scale,
        zero_count: point.zero_count,
        positive: side(point.positive.as_ref()),
        negative: side(point.negative.as_ref()),
    };
    kept(
        &point.attributes,
        point.start_time_unix_nano,
        point.time_unix_nano,
        None,
        of,
    )
}

fn summary(point: &SummaryPoint) -> Kept<'_> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Quantiles {
        count: u64,
        sum: f64,
        quantile_values: Vec<[f64; 2]>,
    }
    let of = Quantiles {
        count: point.count,
        sum: point.sum,
        quantile_values: point.quantile_values.iter().map(|q| [q.quantile, q.value]).collect(),
    };
    kept(
        &point.attributes,
        point.start_time_unix_nano,
        point.time_unix_nano,
        None,
        of,
    )
}
