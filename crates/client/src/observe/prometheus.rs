//! The observer that counts, for Prometheus.
//!
//! Values of labels come from models (a tool's name may be made up), so each label has at most [`VALUES`] of them; what comes
//! after counts as [`OTHER`].

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use turnwire_proto::Usage;

use super::{Metric, Observer, ObserverEvent, Value, What};

/// Values of one label.
pub const VALUES: usize = 100;
/// The value of a label for all that came after [`VALUES`] others.
pub const OTHER: &str = "other";
/// Bytes of a label's value.
const LENGTH: usize = 128;
/// Seconds: from a quick tool to a long turn.
const BUCKETS: [f64; 12] = [0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

type Labels<const N: usize> = [(&'static str, String); N];
type Count<const N: usize> = Family<Labels<N>, Counter<u64, AtomicU64>>;
type Seconds = Family<Labels<1>, Histogram, fn() -> Histogram>;

/// Counts turns, tool calls, requests, tokens and errors, and what [`super::record_metric`] is told.
#[derive(Debug)]
pub struct Prometheus {
    turns: Gauge,
    turns_ended: Count<1>,
    turn_seconds: Histogram,
    agents: Count<1>,
    tool_calls: Count<2>,
    tool_seconds: Seconds,
    requests: Count<1>,
    responses: Count<2>,
    response_seconds: Seconds,
    tokens: Count<2>,
    cost: Counter<f64, AtomicU64>,
    errors: Count<1>,
    events: Count<1>,
    added: Count<1>,
    set: Family<Labels<1>, Gauge<f64, AtomicU64>>,
    took: Seconds,
    tools: Bounded,
    models: Bounded,
    components: Bounded,
    kinds: Bounded,
    names: Bounded,
}

/// The values that one label has had.
#[derive(Debug, Default)]
struct Bounded(Mutex<HashSet<String>>);

impl Bounded {
    fn value(&self, text: &str) -> String {
        let text = &text[..text.floor_char_boundary(LENGTH)];
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.contains(text) || (seen.len() < VALUES && seen.insert(text.to_owned())) {
            text.to_owned()
        } else {
            OTHER.to_owned()
        }
    }
}

fn histogram() -> Histogram {
    Histogram::new(BUCKETS)
}

fn outcome(ok: bool) -> String {
    if ok { "ok" } else { "failed" }.to_owned()
}

/// What a scrape is answered with.
#[must_use]
pub fn text(registry: &Registry) -> String {
    let mut text = String::new();
    match encode(&mut text, registry) {
        Ok(()) => text,
        // It writes to a string, which takes everything.
        Err(_) => String::new(),
    }
}

impl Prometheus {
    /// Registers its metrics, all of which begin with `agent_`.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let own = registry.sub_registry_with_prefix("agent");
        macro_rules! counted {
            ($name:literal, $help:literal) => {{
                let metric = Default::default();
                own.register($name, $help, Clone::clone(&metric));
                metric
            }};
        }
        macro_rules! timed {
            ($name:literal, $help:literal) => {{
                let metric: Seconds = Family::new_with_constructor(histogram);
                own.register_with_unit($name, $help, Unit::Seconds, metric.clone());
                metric
            }};
        }
        let turn_seconds = histogram();
        own.register_with_unit(
            "turn_duration",
            "How long turns took",
            Unit::Seconds,
            turn_seconds.clone(),
        );
        Self {
            turns: counted!("turns_open", "Turns that have begun and not ended"),
            turns_ended: counted!("turns", "Turns that have ended, by outcome"),
            turn_seconds,
            agents: counted!("agents", "Agents that have begun and ended, by which"),
            tool_calls: counted!("tool_calls", "Calls of tools that have ended, by tool and outcome"),
            tool_seconds: timed!("tool_duration", "How long calls of tools took, by tool"),
            requests: counted!("llm_requests", "Requests to models, by model"),
            responses: counted!(
                "llm_responses",
                "Requests to models that have ended, by model and outcome"
            ),
            response_seconds: timed!("llm_duration", "How long models took to answer, by model"),
            tokens: counted!("tokens", "Tokens used, by model and type"),
            cost: counted!("cost_usd", "What tokens cost, in US dollars"),
            errors: counted!("errors", "Errors, by component"),
            events: counted!("events", "All that was told, by kind"),
            added: counted!("metric", "What the program counts itself, by name"),
            set: counted!("metric_value", "What the program measures itself, by name"),
            took: timed!("metric_duration", "What the program times itself, by name"),
            tools: Bounded::default(),
            models: Bounded::default(),
            components: Bounded::default(),
            kinds: Bounded::default(),
            names: Bounded::default(),
        }
    }

    fn model(&self, model: Option<&str>) -> String {
        self.models.value(model.unwrap_or("unknown"))
    }

    fn used(&self, model: &str, usage: &Usage) {
        for (r#type, tokens) in [
            ("input", usage.input_tokens),
            ("output", usage.output_tokens),
            ("cache_read", usage.cache_read_input_tokens),
            ("cache_creation", usage.cache_creation_input_tokens),
            ("reasoning", usage.reasoning_tokens),
        ] {
            if let Some(tokens) = tokens {
                let labels = [("model", model.to_owned()), ("type", r#type.to_owned())];
                self.tokens.get_or_create(&labels).inc_by(tokens);
            }
        }
        // A counter only grows; a vendor's correction would make it shrink.
        if let Some(cost) = usage.cost_usd.filter(|cost| cost.is_finite() && *cost > 0.0) {
            self.cost.inc_by(cost);
        }
    }
}

fn took(seconds: &Histogram, ms: Option<u64>) {
    if let Some(ms) = ms {
        seconds.observe(Duration::from_millis(ms).as_secs_f64());
    }
}

impl Observer for Prometheus {
    fn record_event(&self, event: &ObserverEvent) {
        let kind = self.kinds.value(event.kind().as_str());
        self.events.get_or_create(&[("kind", kind)]).inc();
        match &event.what {
            What::TurnStart(_) => {
                self.turns.inc();
            }
            What::TurnEnd(end) => {
                self.turns.dec();
                self.turns_ended.get_or_create(&[("outcome", outcome(end.ok))]).inc();
                took(&self.turn_seconds, end.duration_ms);
            }
            What::AgentStart(_) => {
                self.agents.get_or_create(&[("which", "begun".to_owned())]).inc();
            }
            What::AgentEnd(_) => {
                self.agents.get_or_create(&[("which", "ended".to_owned())]).inc();
            }
            What::ToolCall(call) => {
                let tool = self.tools.value(&call.tool);
                took(
                    &self.tool_seconds.get_or_create(&[("tool", tool.clone())]),
                    call.duration_ms,
                );
                let labels = [("tool", tool), ("outcome", outcome(call.success))];
                self.tool_calls.get_or_create(&labels).inc();
            }
            What::LlmRequest(request) => {
                let model = self.model(request.model.as_deref());
                self.requests.get_or_create(&[("model", model)]).inc();
            }
            What::LlmResponse(response) => {
                let model = self.model(response.usage.model.as_deref());
                self.used(&model, &response.usage);
                took(
                    &self.response_seconds.get_or_create(&[("model", model.clone())]),
                    response.duration_ms,
                );
                let labels = [("model", model), ("outcome", outcome(response.error.is_none()))];
                self.responses.get_or_create(&labels).inc();
            }
            What::Error(error) => {
                let component = self.components.value(&error.component);
                self.errors.get_or_create(&[("component", component)]).inc();
            }
            _ => {}
        }
    }

    fn record_metric(&self, metric: &Metric) {
        let labels = [("name", self.names.value(metric.name))];
        match metric.value {
            Value::Add(more) => {
                self.added.get_or_create(&labels).inc_by(more);
            }
            Value::Set(now) if now.is_finite() => {
                self.set.get_or_create(&labels).set(now);
            }
            Value::Set(_) => {}
            Value::Took(time) => self.took.get_or_create(&labels).observe(time.as_secs_f64()),
        }
    }

    fn flush(&self) {}

    fn name(&self) -> &'static str {
        "prometheus"
    }
}
