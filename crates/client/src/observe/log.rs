//! The observer that writes to the program's own log.

use turnwire_proto::{Kind, Name};

use super::{Metric, Observer, ObserverEvent, Value, What};

/// The target of what it writes, for filters.
const TARGET: &str = "turnwire::observe";

/// Writes each event through `tracing`: failures as warnings and errors, the rest as information, metrics for debugging. What
/// people and tools said is in `data`, at the level `TRACE` only, since it may be long and secret.
///
/// It is as quick as the program's subscriber. A configuration puts it behind a [`super::Queued`], so that a terminal that
/// stands still holds nobody up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Log;

impl Observer for Log {
    fn record_event(&self, event: &ObserverEvent) {
        let kind = event.kind();
        let kind = kind.as_str();
        let [agent, session, turn] = [&event.about.agent, &event.about.session_id, &event.about.turn_id]
            .map(|name| name.as_ref().map(Name::as_str));
        let said = Said::of(&event.what);
        // A macro's level is part of its call site, hence one call a level.
        macro_rules! write {
            ($level:ident) => {
                tracing::event!(
                    target: TARGET,
                    tracing::Level::$level,
                    kind,
                    agent,
                    session,
                    turn,
                    name = said.name,
                    ms = said.ms,
                    error = said.error,
                )
            };
        }
        match (said.ok, kind == Kind::ERROR.as_str()) {
            (_, true) => write!(ERROR),
            (false, false) => write!(WARN),
            (true, false) => write!(INFO),
        }
        if tracing::enabled!(target: TARGET, tracing::Level::TRACE) {
            tracing::trace!(target: TARGET, kind, session, turn, data = event.data().get());
        }
    }

    fn record_metric(&self, metric: &Metric) {
        match metric.value {
            Value::Add(more) => tracing::debug!(target: TARGET, metric = metric.name, add = more),
            Value::Set(now) => tracing::debug!(target: TARGET, metric = metric.name, set = now),
            Value::Took(time) => tracing::debug!(target: TARGET, metric = metric.name, seconds = time.as_secs_f64()),
        }
    }

    fn flush(&self) {}

    fn name(&self) -> &'static str {
        "log"
    }
}

/// What one line says of an event.
struct Said<'a> {
    name: Option<&'a str>,
    ms: Option<u64>,
    ok: bool,
    error: Option<&'a str>,
}

impl<'a> Said<'a> {
    fn of(what: &'a What) -> Self {
        let (name, ms, ok, error) = match what {
            What::TurnEnd(body) => (None, body.duration_ms, body.ok, body.note.as_deref()),
            What::ToolCallStart(body) => (Some(&*body.tool), None, true, None),
            What::ToolCall(body) => (Some(&*body.tool), body.duration_ms, body.success, body.error.as_deref()),
            What::LlmRequest(body) => (body.model.as_deref(), body.duration_ms, true, None),
            What::LlmResponse(body) => (
                body.usage.model.as_deref(),
                body.duration_ms,
                true,
                body.error.as_deref(),
            ),
            What::AgentStart(body) => (body.model.as_deref(), None, true, None),
            What::AgentEnd(body) => (body.model.as_deref(), body.duration_ms, true, None),
            What::Error(body) => (Some(&*body.component), None, false, Some(&*body.message)),
            _ => (None, None, true, None),
        };
        Self { name, ms, ok, error }
    }
}
