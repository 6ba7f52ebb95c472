//! A turn that always tells its end.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use turnwire_proto::{ErrorBody, Json, LlmRequest, TurnEnd, TurnStart, Usage};

use super::{About, LlmCall, Metric, Observer, ObserverEvent, ToolCallGuard, What, current, quietly};

/// One prompt and all that it causes: tells its start when it is made, and its end once, whatever happens.
///
/// Those who heard the start hear the end, also when their guard has gone meanwhile.
#[must_use = "a turn that is dropped has failed"]
pub struct Turn {
    teller: Teller,
    started: Instant,
    used: Arc<Mutex<Usage>>,
    ended: bool,
}

/// Who is told, and about what.
#[derive(Clone)]
pub(super) struct Teller {
    observer: Arc<dyn Observer>,
    about: About,
}

impl Teller {
    pub(super) const fn new(observer: Arc<dyn Observer>, about: About) -> Self {
        Self { observer, about }
    }

    pub(super) fn tell(&self, what: What) {
        let event = ObserverEvent::new(self.about.clone(), what);
        quietly(&*self.observer, |observer| observer.record_event(&event));
    }
}

impl Turn {
    /// Begins, and tells all who are installed.
    pub fn start(about: About, start: TurnStart) -> Self {
        Self::start_with(current(), about, start)
    }

    /// Begins, and tells this observer.
    pub fn start_with(observer: Arc<dyn Observer>, about: About, start: TurnStart) -> Self {
        let teller = Teller::new(observer, about);
        teller.tell(What::TurnStart(start));
        Self {
            teller,
            started: Instant::now(),
            used: Arc::default(),
            ended: false,
        }
    }

    /// Tells something else of this turn.
    pub fn tell(&self, what: What) {
        self.teller.tell(what);
    }

    /// Tells a failure that the turn survives.
    pub fn error(&self, component: &str, message: &str) {
        self.tell(What::Error(ErrorBody {
            component: component.into(),
            message: message.into(),
            retry: None,
        }));
    }

    /// Tells a measurement.
    pub fn metric(&self, metric: &Metric) {
        quietly(&*self.teller.observer, |observer| observer.record_metric(metric));
    }

    /// A tool begins. `id` is the vendor's of the call; where it is empty, one is made.
    pub fn tool(&self, tool: &str, id: &str, arguments: Json) -> ToolCallGuard {
        ToolCallGuard::begin(self.teller.clone(), tool, id, Some(arguments))
    }

    /// A request to a model begins.
    pub fn llm(&self, provider: &str, model: &str, messages: u64) -> LlmCall {
        let request = LlmRequest {
            model: Some(model.into()),
            model_provider: Some(provider.into()),
            messages_count: Some(messages),
            duration_ms: None,
        };
        LlmCall::begin(self.teller.clone(), Some(Arc::clone(&self.used)), request)
    }

    /// It ended as it should.
    pub fn ok(self) {
        self.end(TurnEnd {
            ok: true,
            ..TurnEnd::default()
        });
    }

    /// It failed, and why.
    pub fn fail(self, note: &str) {
        self.end(TurnEnd {
            note: Some(note.into()),
            ..TurnEnd::default()
        });
    }

    /// It ended like this. Its duration and the sum of its requests' usage are filled in where they are left out.
    pub fn end(mut self, end: TurnEnd) {
        self.finish(end);
    }

    fn finish(&mut self, mut end: TurnEnd) {
        self.ended = true;
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let cost = used.cost_usd;
        let sum = Usage { cost_usd: None, ..used };
        end.duration_ms = end.duration_ms.or_else(|| Some(millis(self.started)));
        end.usage = end.usage.or_else(|| (sum != Usage::default()).then_some(sum));
        end.cost_usd = end.cost_usd.or(cost);
        self.teller.tell(What::TurnEnd(end));
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.ended {
            self.finish(TurnEnd {
                note: Some(unfinished("turn")),
                ..TurnEnd::default()
            });
        }
    }
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn")
            .field("about", &self.teller.about)
            .finish_non_exhaustive()
    }
}

/// Why something ended that nobody ended.
pub(super) fn unfinished(what: &str) -> String {
    if std::thread::panicking() {
        format!("the {what} panicked")
    } else {
        format!("the {what} was left before its end")
    }
}

pub(super) fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// One more request in a turn's usage: sums, and the model last used.
pub(super) fn add(sum: &mut Usage, one: &Usage) {
    fn plus(sum: &mut Option<u64>, one: Option<u64>) {
        if let Some(one) = one {
            *sum = Some(sum.unwrap_or(0).saturating_add(one));
        }
    }
    plus(&mut sum.input_tokens, one.input_tokens);
    plus(&mut sum.output_tokens, one.output_tokens);
    plus(&mut sum.cache_read_input_tokens, one.cache_read_input_tokens);
    plus(&mut sum.cache_creation_input_tokens, one.cache_creation_input_tokens);
    plus(&mut sum.reasoning_tokens, one.reasoning_tokens);
    if let Some(cost) = one.cost_usd {
        sum.cost_usd = Some(sum.cost_usd.unwrap_or(0.0) + cost);
    }
    if one.model.is_some() {
        sum.model.clone_from(&one.model);
    }
}
