//! A tool's call and a request to a model that always tell their end, and how long they really took.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use turnwire_proto::{EventId, Json, LlmRequest, ToolCall, ToolCallStart, Usage};

use super::{
    About, LlmResponse, Observer, What, current,
    turn::{Teller, add, millis, unfinished},
};

/// A tool at work: told when it is made, and its end once, whatever happens.
#[must_use = "a call that is dropped has failed"]
pub struct ToolCallGuard {
    teller: Teller,
    tool: String,
    id: String,
    started: Instant,
    ended: bool,
}

impl ToolCallGuard {
    /// Begins outside a [`super::Turn`], and tells all who are installed.
    pub fn start(about: About, tool: &str, id: &str, arguments: Option<Json>) -> Self {
        Self::start_with(current(), about, tool, id, arguments)
    }

    /// Begins, and tells this observer.
    pub fn start_with(
        observer: Arc<dyn Observer>,
        about: About,
        tool: &str,
        id: &str,
        arguments: Option<Json>,
    ) -> Self {
        Self::begin(Teller::new(observer, about), tool, id, arguments)
    }

    pub(super) fn begin(teller: Teller, tool: &str, id: &str, arguments: Option<Json>) -> Self {
        let id = if id.is_empty() {
            EventId::new().to_string()
        } else {
            id.to_owned()
        };
        teller.tell(What::ToolCallStart(ToolCallStart {
            tool: tool.to_owned(),
            tool_call_id: id.clone(),
            arguments,
            parent_tool_call_id: None,
        }));
        Self {
            teller,
            tool: tool.to_owned(),
            id,
            started: Instant::now(),
            ended: false,
        }
    }

    /// The id of the call.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// It did what it was called for, and answered this.
    pub fn ok(mut self, output: Json) {
        self.finish(true, Some(output), None);
    }

    /// It failed: why, and what it answered all the same.
    pub fn fail(mut self, error: &str, output: Option<Json>) {
        self.finish(false, output, Some(error.to_owned()));
    }

    fn finish(&mut self, success: bool, output: Option<Json>, error: Option<String>) {
        self.ended = true;
        self.teller.tell(What::ToolCall(ToolCall {
            tool: std::mem::take(&mut self.tool),
            tool_call_id: std::mem::take(&mut self.id),
            success,
            duration_ms: Some(millis(self.started)),
            output,
            error,
            parent_tool_call_id: None,
        }));
    }
}

impl Drop for ToolCallGuard {
    fn drop(&mut self) {
        if !self.ended {
            self.finish(false, None, Some(unfinished("call")));
        }
    }
}

impl std::fmt::Debug for ToolCallGuard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ToolCallGuard")
            .field("tool", &self.tool)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A request to a model: told when it is made, and its answer or failure once, whatever happens.
#[must_use = "a request that is dropped has failed"]
pub struct LlmCall {
    teller: Teller,
    /// Of the turn, where there is one.
    sum: Option<Arc<Mutex<Usage>>>,
    model: Option<String>,
    model_provider: Option<String>,
    started: Instant,
    ended: bool,
}

impl LlmCall {
    /// Begins outside a [`super::Turn`], and tells all who are installed.
    pub fn start(about: About, request: LlmRequest) -> Self {
        Self::begin(Teller::new(current(), about), None, request)
    }

    pub(super) fn begin(teller: Teller, sum: Option<Arc<Mutex<Usage>>>, request: LlmRequest) -> Self {
        let (model, model_provider) = (request.model.clone(), request.model_provider.clone());
        teller.tell(What::LlmRequest(request));
        Self {
            teller,
            sum,
            model,
            model_provider,
            started: Instant::now(),
            ended: false,
        }
    }

    /// It has answered, and used this; the model is filled in where it is left out.
    pub fn answered(mut self, usage: Usage) {
        self.finish(usage, None);
    }

    /// It has not answered, and why.
    pub fn fail(mut self, error: &str) {
        self.finish(Usage::default(), Some(error.to_owned()));
    }

    fn finish(&mut self, mut usage: Usage, error: Option<String>) {
        self.ended = true;
        usage.model = usage.model.or_else(|| self.model.take());
        if let (Some(sum), None) = (&self.sum, &error) {
            add(&mut sum.lock().unwrap_or_else(PoisonError::into_inner), &usage);
        }
        self.teller.tell(What::LlmResponse(LlmResponse {
            model_provider: self.model_provider.take(),
            duration_ms: Some(millis(self.started)),
            usage,
            error,
        }));
    }
}

impl Drop for LlmCall {
    fn drop(&mut self) {
        if !self.ended {
            self.finish(Usage::default(), Some(unfinished("request")));
        }
    }
}

impl std::fmt::Debug for LlmCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LlmCall")
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}
