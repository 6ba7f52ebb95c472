//! The observer that exports to an OpenTelemetry collector: OTLP 1.x over HTTP as JSON, which every collector takes.
//!
//! A turn, a call of a tool, a request to a model, an agent's run and an error each become a span, named and described by the
//! semantic conventions for generative AI; spans of a turn share its trace. What the program measures itself becomes metrics.
//! What people, models and tools said does not leave the program this way.
//!
//! The wire is written here rather than by the `opentelemetry` crates: those bring some twenty others, must all move together
//! at each release, and want to hold a span while it is open, where here each end tells its whole span.

mod points;
mod spans;

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use reqwest::{
    Method, StatusCode,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::{Metric, Observer, ObserverEvent, Queued};
use crate::{Endpoint, Error};
use points::Points;
use spans::Spans;

/// Spans that wait for a collector that is away; the oldest are dropped when more come.
pub const SPANS: usize = 2048;
/// Spans in one request: what collectors batch by.
const BATCH: usize = 512;
/// For more to come along before they are sent.
const GATHER: Duration = Duration::from_secs(1);
/// For one request, the standard's default.
const REQUEST: Duration = Duration::from_secs(10);

/// Exports spans and metrics. Telling it something puts it into a queue; what has no room there, or waits too long for a
/// collector that is away, is dropped and counted by [`Otel::lost`].
#[derive(Debug)]
pub struct Otel {
    queued: Queued,
    lost: Arc<AtomicU64>,
}

impl Otel {
    /// Begins to export to the collector at `endpoint`, such as `http://localhost:4318`, as the service `service`.
    ///
    /// # Errors
    /// When the address or a header cannot be one.
    pub fn start(endpoint: &str, headers: &[(String, String)], service: &str) -> Result<Self, Error> {
        let lost = Arc::new(AtomicU64::new(0));
        let exporter = Exporter {
            endpoint: Endpoint::new(endpoint, None)?,
            headers: read_headers(headers)?,
            around: Around::of(service),
            lost: Arc::clone(&lost),
            state: Mutex::default(),
        };
        let thread = |source: io::Error| Error::Address {
            what: "an exporter's thread".into(),
            why: source.to_string(),
        };
        Ok(Self {
            queued: Queued::gathering(exporter, GATHER).map_err(thread)?,
            lost,
        })
    }

    /// Events, metrics and spans that were dropped.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.queued.lost() + self.lost.load(Ordering::Relaxed)
    }
}

impl Observer for Otel {
    fn record_event(&self, event: &ObserverEvent) {
        self.queued.record_event(event);
    }

    fn record_metric(&self, metric: &Metric) {
        self.queued.record_metric(metric);
    }

    fn flush(&self) {
        self.queued.flush();
    }

    fn name(&self) -> &'static str {
        "otel"
    }

    fn settle(&self, within: Duration) -> bool {
        self.queued.settle(within)
    }
}

fn read_headers(given: &[(String, String)]) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let wrong = |why: &str| Error::Address {
            what: format!("{name:?} as a header"),
            why: why.into(),
        };
        let name =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("its name has characters that none has"))?;
        let mut value = HeaderValue::from_str(value).map_err(|_| wrong("its value has characters that none has"))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

/// What stands round every batch.
#[derive(Debug)]
struct Around {
    resource: Value,
    scope: Value,
}

impl Around {
    fn of(service: &str) -> Self {
        Self {
            resource: json!({ "attributes": [
                spans::text("service.name", service),
                spans::text("telemetry.sdk.name", "turnwire-client"),
                spans::text("telemetry.sdk.language", "rust"),
                spans::text("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
            ] }),
            scope: json!({ "name": "turnwire-client", "version": env!("CARGO_PKG_VERSION") }),
        }
    }
}

/// What the queue's thread holds. Its methods wait for the network.
#[derive(Debug)]
struct Exporter {
    endpoint: Endpoint,
    headers: HeaderMap,
    around: Around,
    lost: Arc<AtomicU64>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    spans: Spans,
    waiting: VecDeque<Value>,
    points: Points,
    /// Made by the thread that sends, which also ends it.
    runtime: Option<Runtime>,
}

/// What became of a request.
enum Sent {
    Taken,
    /// It may be taken later.
    Later(String),
    /// It never will.
    Never(String),
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Answer {
    partial_success: Partial,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Partial {
    error_message: String,
}

impl Observer for Exporter {
    fn record_event(&self, event: &ObserverEvent) {
        let mut state = self.lock();
        if let Some(span) = state.spans.of(event) {
            if state.waiting.len() == SPANS {
                state.waiting.pop_front();
                self.lose(1, "too many wait for the collector");
            }
            state.waiting.push_back(span);
        }
    }

    fn record_metric(&self, metric: &Metric) {
        self.lock().points.take(metric);
    }

    fn flush(&self) {
        self.settle(Duration::ZERO);
    }

    fn name(&self) -> &'static str {
        "otel"
    }

    fn settle(&self, _within: Duration) -> bool {
        let state = &mut *self.lock();
        self.send_spans(state) && self.send_points(state)
    }
}

impl Exporter {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // What is half-changed when something panics is a span less.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose(&self, spans: u64, why: &str) {
        let before = self.lost.fetch_add(spans, Ordering::Relaxed);
        // Told at the first, then each time the number has doubled: a collector that is away for a day fills no log.
        if (before + spans).ilog2() > before.checked_ilog2().unwrap_or(0) || before == 0 {
            tracing::warn!("{} spans were not exported so far: {why}", before + spans);
        }
    }

    /// Whether all of them are gone.
    fn send_spans(&self, state: &mut State) -> bool {
        while !state.waiting.is_empty() {
            let batch: Vec<&Value> = state.waiting.iter().take(BATCH).collect();
            let count = batch.len();
            let body = json!({ "resourceSpans": [{
                "resource": self.around.resource,
                "scopeSpans": [{ "scope": self.around.scope, "spans": batch }],
            }] });
            match self.send(&mut state.runtime, "v1/traces", &body) {
                Sent::Taken => {}
                Sent::Later(why) => {
                    tracing::debug!("the collector takes nothing now: {why}");
                    return false;
                }
                Sent::Never(why) => self.lose(count as u64, &why),
            }
            state.waiting.drain(..count);
        }
        true
    }

    fn send_points(&self, state: &mut State) -> bool {
        let Some(metrics) = state.points.changed() else {
            return true;
        };
        let body = json!({ "resourceMetrics": [{
            "resource": self.around.resource,
            "scopeMetrics": [{ "scope": self.around.scope, "metrics": metrics }],
        }] });
        match self.send(&mut state.runtime, "v1/metrics", &body) {
            Sent::Taken => state.points.sent(),
            Sent::Later(why) => {
                // Sums go on: what is sent next holds what was not sent now.
                tracing::debug!("the collector takes nothing now: {why}");
                return false;
            }
            Sent::Never(why) => {
                tracing::warn!("the collector takes no metrics: {why}");
                state.points.sent();
            }
        }
        true
    }

    fn send(&self, runtime: &mut Option<Runtime>, path: &str, body: &Value) -> Sent {
        let runtime = match runtime {
            Some(runtime) => runtime,
            None => match Builder::new_current_thread().enable_all().build() {
                Ok(made) => runtime.insert(made),
                Err(error) => return Sent::Later(error.to_string()),
            },
        };
        let request = self
            .endpoint
            .request(Method::POST, path)
            .timeout(REQUEST)
            .headers(self.headers.clone())
            .header("content-type", "application/json")
            .body(body.to_string());
        runtime.block_on(async {
            let response = match request.send().await {
                Ok(response) => response,
                Err(error) => return Sent::Later(Error::Unreachable(error).to_string()),
            };
            let status = response.status();
            if status.is_success() {
                let answer = response.bytes().await.unwrap_or_default();
                let answer: Answer = serde_json::from_slice(&answer).unwrap_or_default();
                if !answer.partial_success.error_message.is_empty() {
                    tracing::warn!("the collector says: {}", answer.partial_success.error_message);
                }
                return Sent::Taken;
            }
            let why = format!("the collector answered {status}");
            // The standard's list.
            match status {
                StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT => Sent::Later(why),
                _ => Sent::Never(why),
            }
        })
    }
}

#[cfg(test)]
mod tests;
