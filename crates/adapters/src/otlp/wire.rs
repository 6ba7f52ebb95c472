//! OTLP's messages, as far as anything of them is kept, in both of their encodings: protobuf by `prost`, JSON by `serde`.
//!
//! - Field numbers are those of opentelemetry-proto v1; what is not here (exemplars, entities) is passed over.
//! - JSON is read as it is met, not only as it should be: 64-bit numbers as numbers or strings, `null` for what is absent, enums by
//!   number, ids in hexadecimal or base64. A field of another type makes the body malformed.
//! - Fields of a `oneof` that a program has to tell apart no further are optional ones: the same on the wire.

use prost::{Message, Oneof};
use serde::Deserialize;

use super::loose;

macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attr:meta])* $field:ident: $type:ty,)* })*) => {
        $($(#[$doc])*
        #[derive(Clone, PartialEq, Message, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        pub(super) struct $name { $($(#[$attr])* pub(super) $field: $type,)* })*
    };
}

messages! {
    /// The body of `/v1/logs`.
    Logs {
        #[prost(message, repeated, tag = "1")]
        #[serde(deserialize_with = "loose::or_default")]
        resource_logs: Vec<ResourceLogs>,
    }
    ResourceLogs {
        #[prost(message, optional, tag = "1")]
        resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        #[serde(deserialize_with = "loose::or_default")]
        scope_logs: Vec<ScopeLogs>,
    }
    ScopeLogs {
        #[prost(message, optional, tag = "1")]
        scope: Option<Scope>,
        #[prost(message, repeated, tag = "2")]
        #[serde(deserialize_with = "loose::or_default")]
        log_records: Vec<LogRecord>,
    }
    Resource {
        #[prost(message, repeated, tag = "1")]
        #[serde(deserialize_with = "loose::or_default")]
        attributes: Vec<KeyValue>,
    }
    Scope {
        #[prost(string, tag = "1")]
        #[serde(deserialize_with = "loose::text")]
        name: String,
        #[prost(string, tag = "2")]
        #[serde(deserialize_with = "loose::text")]
        version: String,
        #[prost(message, repeated, tag = "3")]
        #[serde(deserialize_with = "loose::or_default")]
        attributes: Vec<KeyValue>,
    }
    KeyValue {
        #[prost(string, tag = "1")]
        #[serde(deserialize_with = "loose::text")]
        key: String,
        #[prost(message, optional, tag = "2")]
        value: Option<AnyValue>,
    }
    ArrayValue {
        #[prost(message, repeated, tag = "1")]
        #[serde(deserialize_with = "loose::or_default")]
        values: Vec<AnyValue>,
    }
    KeyValueList {
        #[prost(message, repeated, tag = "1")]
        #[serde(deserialize_with = "loose::or_default")]
        values: Vec<KeyValue>,
    }
    LogRecord {
        #[prost(fixed64, tag = "1")]
        #[serde(deserialize_with = "loose::number")]
        time_unix_nano: u64,
        #[prost(fixed64, tag = "11")]
        #[serde(deserialize_with = "loose::number")]
        observed_time_unix_nano: u64,
        #[prost(int32, tag = "2")]
        #[serde(deserialize_with = "loose::named")]
        severity_number: i32,
        #[prost(string, tag = "3")]
        #[serde(deserialize_with = "loose::text")]
        severity_text: String,
        #[prost(message, optional, tag = "5")]
        body: Option<AnyValue>,
        #[prost(message, repeated, tag = "6")]
        #[serde(deserialize_with = "loose::or_default")]
        attributes: Vec<KeyValue>,
        #[prost(uint32, tag = "7")]
        #[serde(deserialize_with = "loose::number")]
        dropped_attributes_count: u32,
        #[prost(fixed32, tag = "8")]
        #[serde(deserialize_with = "loose::number")]
        flags: u32,
        #[prost(bytes = "vec", tag = "9")]
        #[serde(deserialize_with = "loose::id")]
        trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "10")]
        #[serde(deserialize_with = "loose::id")]
        span_id: Vec<u8>,
        #[prost(string, tag = "12")]
        #[serde(deserialize_with = "loose::text")]
        event_name: String,
    }
    /// The body of `/v1/traces`.
    Traces {
        #[prost(message, repeated, tag = "1")]
        #[serde(deserialize_with = "loose::or_default")]
        resource_spans: Vec<ResourceSpans>,
    }
    ResourceSpans {
        #[prost(message, optional, tag = "1")]
        resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        #[serde(deserialize_with = "loose::or_default")]
        scope_spans: Vec<ScopeSpans>,
    }
    ScopeSpans {
        #[prost(message, optional, tag = "1")]
        scope: Option<Scope>,
        #[prost(message, repeated, tag = "2")]
        #[serde(deserialize_with = "loose::or_default")]
        spans: Vec<Span>,
    }
    Span {
        #[prost(bytes = "vec", tag = "1")]
        #[serde(deserialize_with = "loose::id")]
        trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        #[serde(deserialize_with = "loose::id")]
        span_id: Vec<u8>,
        #[prost(string, tag = "3")]
        #[serde(deserialize_with = "loose::text")]
        trace_state: String,
        #[prost(bytes = "vec", tag = "4")]
        #[serde(deserialize_with = "loose::id")]
        parent_span_id: Vec<u8>,
        #[prost(string, tag = "5")]
        #[serde(deserialize_with = "loose::text")]
        name: String,
        #[prost(int32, tag = "6")]
        #[serde(deserialize_with = "loose::named")]
        kind: i32,
        #[prost(fixed64, tag = "7")]
        #[serde(deserialize_with = "loose::number")]
        start_time_unix_nano: u64,
        #[prost(fixed64, tag = "8")]
        #[serde(deserialize_with = "loose::number")]
        end_time_unix_nano: u64,
        #[prost(message, repeated, tag = "9")]
        #[serde(deserialize_with = "loose::or_default")]
        attributes: Vec<KeyValue>,
        #[prost(message, repeated, tag = "11")]
        #[serde(deserialize_with = "loose::or_default")]
        events: Vec<SpanEvent>,
        #[prost(message, repeated, tag = "13")]
        #[serde(deserialize_with = "loose::or_default")]
        links: Vec<Link>,
        #[prost(message, optional, tag = "15")]
        status: Option<Status>,
    }
    SpanEvent {
        #[prost(fixed64, tag = "1")]
        #[serde(deserialize_with = "loose::number")]
        time_unix_nano: u64,
        #[prost(string, tag = "2")]
        #[serde(deserialize_with = "loose::text")]
        name: String,
        #[prost(message, repeated, tag = "3")]
        #[serde(deserialize_with = "loose::or_default")]
        attributes: Vec<KeyValue>,
    }
    Link {
        #[prost(bytes = "vec", tag = "1")]
        #[serde(deserialize_with = "loose::id")]
        trace_id: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        #[serde(deserialize_with = "loose::id")]
        span_id: Vec<u8>,
        #[prost(message, repeated, tag = "4")]
        #[serde(deserialize_with = "loose::or_default")]
        attributes: Vec<KeyValue>,
    }
    Status {
        #[prost(string, tag = "2")]
        #[serde(deserialize_with = "loose::text")]
        message: String,
        #[prost(int32, tag = "3")]
        #[serde(deserialize_with = "loose::named")]
        code: i32,
    }
    /// The body of `/v1/metrics`.
    Metrics {
        #[prost(message, repeated, tag = "1")]
        #[serde(deserialize_with = "loose::or_default")]
        resource_metrics: Vec<ResourceMetrics>,
    }
    ResourceMetrics {
        #[prost(message, optional, tag = "1")]
        resource: Option<Resource>,
        #[prost(message, repeated, tag = "2")]
        #[serde(deserialize_with = "loose::or_default")]
        scope_metrics: Vec<ScopeMetrics>,
    }
    ScopeMetrics {
        #[prost(message, optional, tag = "1")]
        scope: Option<Scope>,
        #[prost(message, repeated, tag = "2")]
        #[serde(deserialize_with = "loose::or_default")]
        metrics: Vec<Metric>,
    }
    Metric {
        #[prost(string, tag = "1")]
        #[serde(deserialize_with = "loose::text")]
        name: String,
        #[prost(string, tag = "2")]
        #[serde(deserialize_with = "loose::text")]
        description: String,
        #[prost(string, tag = "3")]
        #[serde(deserialize_with = "loose::text")]
        unit: String,
        #[prost(message, optional, tag = "5")]
        gauge: Option<Points>,
        #[prost(message, optional, tag = "7")]
        sum: Option<Points>,
        #[prost(message, optional, tag = "9")]
        histogram: Option<Histogram>,
        #[prost(message, optional, tag = "10")]
        exponential_histogram: Option<ExponentialHistogram>,
        #[prost(message, optional, tag = "11")]
        summary: Option<Summary>,
    }
    /// Of a gauge, which has the points only, and of a sum.
    Points {
        #[prost(message, repeated, tag = "1")]
        #[serde(deserialize_with = "loose::or_default")]
        data_points: Vec<Point>,
        #[prost(int32, tag = "2")]
        #[serde(deserialize_with = "loose::named")]
        aggregation_temporality: i32,
        #[prost(bool, tag = "3")]
        #[serde(deserialize_with = "loose::or_default")]
        is_monotonic: bool,
    }
    Point {
        #[prost(message, repeated, tag = "7")]
        #[serde(deserialize_with = "loose::or_default")]
        attributes: Vec<KeyValue>,
        #[prost(fixed64, tag = "2")]
        #[serde(deserialize_with = "loose::number")]
        start_time_unix_nano: u64,
        #[prost(fixed64, tag = "3")]
        #[serde(deserialize_with = "loose::number")]
        time_unix_nano: u64,
        #[prost(double, optional, tag = "4")]
        #[serde(deserialize_with = "loose::maybe")]
        as_double: Option<f64>,
        #[prost(sfixed64, optional, tag = "6")]
        #[serde(deserialize_with = "loose::maybe")]
        as_int: Option<i64>,
    }
    Histogram {
        #[prost(message, repeated, tag = "1")]
        #[serde(deserialize_with = "loose::or_default")]
        data_points: Vec<HistogramPoint>,
        #[prost(int32, tag = "2")]
        #[serde(deserialize_with = "loose::named")]
        aggregation_temporality: i32,
    }
    HistogramPoint {
        #[prost(message, repeated, tag = "9")]
        #[serde(deserialize_with = "loose::or_default")]
        attributes: Vec<KeyValue>,
        #[prost(fixed64, tag = "2")]
        #[serde(deserialize_with = "loose::number")]
        start_time_unix_nano: u64,
        #[prost(fixed64, tag = "3")]
        #[serde(deserialize_with = "loose::number")]
        time_unix_nano: u64,
        #[prost(fixed64, tag = "4")]
        #[serde(deserialize_with = "loose::number")]
        count: u64,
        #[prost(double, optional, tag = "5")]
        #[serde(deserialize_with = "loose::maybe")]
        sum: Option<f64>,
        #[prost(fixed64, repeated, tag = "6")]
        #[serde(deserialize_with = "loose::numbers")]
        bucket_counts: Vec<u64>,
        #[prost(double, repeated, tag = "7")]
        #[serde(deserialize_with = "loose::numbers")]
        explicit_bounds: Vec<f64>,
        #[prost(double, optional, tag = "11")]
        #[serde(deserialize_with = "loose::maybe")]
        min: Option<f64>,
        #[prost(double, optional, tag = "12")]
        #[serde(deserialize_with = "loose::maybe")]
        max: Option<f64>,
    }
    ExponentialHistogram {
        #[prost(message, repeated, tag = "1")]
        #[serde(deserialize_with = "loose::or_default")]
        data_points: Vec<ExponentialPoint>,
        #[prost(int32, tag = "2")]
        #[serde(deserialize_with = "loose::named")]
        aggregation_temporality: i32,
    }
    ExponentialPoint {
        #[prost(message, repeated, tag = "1")]
        #[serde(deserialize_with = "loose::or_default")]
        attributes: Vec<KeyValue>,
        #[prost(fixed64, tag = "2")]
        #[serde(deserialize_with = "loose::number")]
        start_time_unix_nano: u64,
        #[prost(fixed64, tag = "3")]
        #[serde(deserialize_with = "loose::number")]
        time_unix_nano: u64,
        #[prost(fixed64, tag = "4")]
        #[serde(deserialize_with = "loose::number")]
        count: u64,
        #[prost(double, optional, tag = "5")]
        #[serde(deserialize_with = "loose::maybe")]
        sum: Option<f64>,
        #[prost(sint32, tag = "6")]
        #[serde(deserialize_with = "loose::number")]
        scale: i32,
        #[prost(fixed64, tag = "7")]
        #[serde(deserialize_with = "loose::number")]
        zero_count: u64,
        #[prost(message, optional, tag = "8")]
        positive: Option<Buckets>,
        #[prost(message, optional, tag = "9")]
        negative: Option<Buckets>,
    }
    Buckets {
        #[prost(sint32, tag = "1")]
        #[serde(deserialize_with = "loose::number")]
        offset: i32,
        #[prost(uint64, repeated, tag = "2")]
        #[serde(deserialize_with = "loose::numbers")]
        bucket_counts: Vec<u64>,
    }
    Summary {
        #[prost(message, repeated, tag = "1")]
        #[serde(deserialize_with = "loose::or_default")]
        data_points: Vec<SummaryPoint>,
    }
    SummaryPoint {
        #[prost(message, repeated, tag = "7")]
        #[serde(deserialize_with = "loose::or_default")]
        attributes: Vec<KeyValue>,
        #[prost(fixed64, tag = "2")]
        #[serde(deserialize_with = "loose::number")]
        start_time_unix_nano: u64,
        #[prost(fixed64, tag = "3")]
        #[serde(deserialize_with = "loose::number")]
        time_unix_nano: u64,
        #[prost(fixed64, tag = "4")]
        #[serde(deserialize_with = "loose::number")]
        count: u64,
        #[prost(double, tag = "5")]
        #[serde(deserialize_with = "loose::number")]
        sum: f64,
        #[prost(message, repeated, tag = "6")]
        #[serde(deserialize_with = "loose::or_default")]
        quantile_values: Vec<Quantile>,
    }
    Quantile {
        #[prost(double, tag = "1")]
        #[serde(deserialize_with = "loose::number")]
        quantile: f64,
        #[prost(double, tag = "2")]
        #[serde(deserialize_with = "loose::number")]
        value: f64,
    }
}

/// A value of an attribute or a body; without anything in it, it is empty.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub(super) value: Option<Value>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    Array(ArrayValue),
    #[prost(message, tag = "6")]
    Map(KeyValueList),
    #[prost(bytes = "vec", tag = "7")]
    Bytes(Vec<u8>),
}
