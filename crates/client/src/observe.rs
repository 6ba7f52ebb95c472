//! What a harness tells of its own work, and where that goes.
//!
//! One line of set-up, and every turn, tool call and request to a model is told to the gateway on this machine, started
//! before or after; what it cannot take yet waits in a spool on disk.
//!
//! ```no_run
//! use turnwire_client::observe::{About, Config, Json, Turn, TurnStart, Usage};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let _observing = Config::from_env()?.install()?;
//!
//! let turn = Turn::start(About::session("s-1").turn("t-1").agent("builder"), TurnStart {
//!     from: "user".into(),
//!     body: "mend the build".into(),
//!     unread: 0,
//! });
//! let request = turn.llm("acme", "acme-large", 1);
//! request.answered(Usage { input_tokens: Some(900), output_tokens: Some(40), ..Usage::default() });
//! let call = turn.tool("Bash", "call-1", Json::of("cargo build"));
//! call.ok(Json::of("Finished"));
//! turn.ok();
//! # Ok(())
//! # }
//! ```
//!
//! A [`Turn`], a [`ToolCallGuard`] and an [`LlmCall`] always tell their end: where code returns early, is cancelled or panics
//! it is told as a failure, with a note.
//!
//! # Which observers there are, and what each does when it cannot keep up
//!
//! | name | where it goes | when that is slow or away |
//! |---|---|---|
//! | `turnwire` | [`Turnwire`]: the gateway | nothing is lost: each event is written to the spool before the call returns |
//! | `log` | [`Log`]: `tracing` | a queue of [`queue::EVENTS`] and [`queue::BYTES`]; then the newest are dropped, counted, and told by an `error` |
//! | `otel` | `Otel` (feature `otel`): OTLP over HTTP, JSON | the same queue; then a buffer of spans, of which the oldest are dropped, counted and told |
//! | `prometheus` | `Prometheus` (feature `prometheus`): a registry | counts in memory: nothing to wait for |
//! | `noop` | nowhere | – |
//!
//! Several go side by side in a [`Tee`]; one that fails or stands still costs the others nothing.

pub mod config;
mod event;
mod guard;
mod hook;
mod log;
mod metric;
mod noop;
#[cfg(feature = "otel")]
pub mod otel;
#[cfg(feature = "prometheus")]
pub mod prometheus;
pub mod queue;
mod tee;
mod turn;
pub mod turnwire;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

pub use config::{Backend, Built, Config, ConfigError, Installed};
pub use event::{About, LlmResponse, ObserverEvent, What};
pub use guard::{LlmCall, ToolCallGuard};
pub use hook::{HookGuard, current, hook, record_event, record_metric};
pub use log::Log;
pub use metric::{Metric, Value};
pub use noop::Noop;
#[cfg(feature = "otel")]
pub use otel::Otel;
#[cfg(feature = "prometheus")]
pub use prometheus::Prometheus;
pub use queue::Queued;
pub use tee::Tee;
pub use turn::Turn;
pub use turnwire::Turnwire;
// The bodies of events, so that a harness needs one crate.
pub use turnwire_proto::{
    AgentEnd, AgentStart, ErrorBody, Json, Kind, LlmRequest, Message, Note, Object, SessionEnd, SessionStart,
    Timestamp, ToolCall, ToolCallStart, TurnEnd, TurnStart, Usage,
};

/// Whom a harness tells what it does.
///
/// The contract of the first three: they do not wait for a network or for another thread's work, and they do not fail the
/// caller. What cannot be taken is counted and told, never passed over in silence. An observer that must wait belongs behind
/// a [`Queued`]. An observer tells nothing to [`record_event`] itself: that would come back to it.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn record_event(&self, event: &ObserverEvent);

    /// Something was measured.
    fn record_metric(&self, metric: &Metric);

    /// Asks that what is still held be passed on now. Does not wait for it.
    fn flush(&self);

    /// For people: `log`, `turnwire`.
    fn name(&self) -> &str;

    /// Waits until all that was recorded is where it goes, at most so long; whether it is. For the end of a program: the
    /// one call that blocks. In async code it belongs on a thread for blocking work.
    fn settle(&self, within: Duration) -> bool {
        let _ = within;
        self.flush();
        true
    }
}

/// Calls `observer` so that a panic in it is not one of the caller.
///
/// This also holds while the caller unwinds: guards tell their end from there.
pub(crate) fn quietly<T>(observer: &dyn Observer, call: impl FnOnce(&dyn Observer) -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(|| call(observer))) {
        Ok(done) => Some(done),
        Err(panic) => {
            // Dropping what it panicked with might panic again.
            std::mem::forget(panic);
            let told = catch_unwind(AssertUnwindSafe(|| {
                tracing::error!(
                    "the observer {} panicked; what it was told is lost to it",
                    observer.name()
                );
            }));
            std::mem::forget(told);
            None
        }
    }
}

#[cfg(test)]
mod tests;
