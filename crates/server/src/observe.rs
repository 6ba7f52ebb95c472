//! What the server counts, as `/metrics` shows it.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};
use turnwire_log::Level;
use turnwire_proto::{Code, GapReason};

type Count = Counter<u64, AtomicU64>;
/// A counter by one label.
type CountBy = Family<[(&'static str, &'static str); 1], Count>;
/// A counter by one label whose values the configuration may add to.
type CountByName = Family<[(&'static str, String); 1], Count>;
/// A gauge by one label.
type GaugeBy = Family<[(&'static str, &'static str); 1], Gauge>;

macro_rules! metrics {
    ($($(#[$doc:meta])* $field:ident: $type:ty = $name:literal, $help:literal $(, $unit:expr)?;)*) => {
        /// Every counter and gauge, and the registry that shows them.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            $($(#[$doc])* pub $field: $type,)*
        }

        impl Default for Metrics {
            fn default() -> Self {
                let mut registry = Registry::with_prefix("turnwire");
                $(
                    let $field = <$type>::default();
                    metrics!(@register registry, $name, $help, $field $(, $unit)?);
                )*
                Self { registry, $($field,)* }
            }
        }
    };
    (@register $registry:ident, $name:literal, $help:literal, $field:ident) => {
        $registry.register($name, $help, $field.clone());
    };
    (@register $registry:ident, $name:literal, $help:literal, $field:ident, $unit:expr) => {
        $registry.register_with_unit($name, $help, $unit, $field.clone());
    };
}

metrics! {
    /// Events that were written.
    published: Count = "events_published", "Events written to the log";
    /// Events whose id was there already.
    duplicates: Count = "events_duplicate", "Events that were published again and not written again";
    /// Secrets that were replaced, by kind.
    redacted: CountByName = "redacted", "Secrets that were replaced before they were written, by kind";
    /// Blobs that were put.
    blobs: Count = "blobs", "Texts and images that left events for files, those that were there already among them";
    /// Blobs that were removed.
    blobs_collected: Count = "blobs_collected", "Files of blobs that were removed because no event names them";
    /// Publishes that were refused, by error code.
    refused: CountBy = "publishes_refused", "Publishes that were refused, by error code";
    /// Bytes of frames that went to readers.
    delivered_bytes: Count = "delivered", "Bytes of event streams written", Unit::Bytes;
    /// Pages that went to readers.
    delivered_pages: Count = "delivered_pages", "Writes of one or more events to a reader";
    /// Streams that are open.
    streams: Gauge = "streams_open", "Event streams that are open";
    /// Streams that were ended by the server, by reason.
    ended: CountBy = "streams_ended", "Event streams that the server ended, by reason";
    /// Gaps that readers were told of, by reason.
    gaps: CountBy = "gaps", "Ranges that a reader was told it cannot have, by reason";
    /// Connections that are open.
    connections: Gauge = "connections_open", "Connections that are open";
    /// Connections that were refused because there were too many.
    connections_refused: Count = "connections_refused", "Connections refused because the limit was reached";
    /// Connections that took too long to say what they want.
    connections_slow: Count = "connections_slow", "Connections closed because a request stood still or its answer was not taken";
    /// Reads of the log that failed.
    read_errors: Count = "log_read_errors", "Reads of the log that failed";
    /// Appends that failed.
    append_errors: Count = "log_append_errors", "Appends to the log that failed";
    /// The newest place.
    head: Gauge = "log_head", "Newest place in the log";
    /// The first kept place.
    first: Gauge = "log_first", "First kept place in the log";
    /// Tokens in memory.
    tokens: Gauge = "auth_tokens", "Tokens in memory, revoked ones that are remembered among them";
    /// Tickets in memory.
    tickets: Gauge = "auth_tickets", "Tickets in memory";
    /// Pairing attempts that were refused unseen.
    locked_out: Gauge = "auth_locked_out", "Pairing attempts that were refused because of too many wrong codes";
    /// Requests that were refused on any route, by error code.
    requests_refused: CountBy = "requests_refused", "Requests that were refused, on any route, by error code";
    /// What there is of something that has a bound, by the bound's name.
    bound_used: GaugeBy = "bound_used", "What there is of something that has a bound, by the bound's name";
    /// The bound.
    bound_limit: GaugeBy = "bound_limit", "The most that there may be, by the bound's name";
    /// What retention has deleted.
    retention_deleted: CountBy = "retention_deleted", "What retention has deleted: events, and vendors' lines";
    /// Runs of retention that failed.
    retention_errors: Count = "retention_errors", "Runs of retention that failed";
    /// Commands that were given.
    commands_issued: Count = "commands_issued", "Commands that were given to agents";
    /// Commands that came to their end, by state.
    commands_ended: CountBy = "commands_ended", "Commands that came to their end, by state";
    /// Approvals that wait.
    approvals_pending: Gauge = "approvals_pending", "Approvals that nobody has decided";
    /// Decisions that the server wrote, by state.
    approvals_decided: CountBy = "approvals_decided", "Decisions of approvals that the server wrote, by state";
    /// Notifications that were taken, by target.
    notifications_sent: CountBy = "notifications_sent", "Approvals that somebody was notified of, by target";
    /// Tries of notifying that failed, by target.
    notifications_failed: CountBy = "notifications_failed", "Tries of notifying somebody that failed, by target";
    /// Agents that are online.
    agents_online: Gauge = "agents_online", "Agents whose downlink is open, or was a moment ago";
    /// Downlinks that are open.
    downlinks: Gauge = "downlinks_open", "Streams of agents' downlinks that are open";
    /// Turns that the server closed.
    turns_closed: Count = "turns_closed", "Turns that were closed in the place of an agent that was gone";
    /// Chats that were answered.
    chat_replies: CountBy = "chat_replies", "Chats over POST that were answered, by what came of them";
    /// WebSockets that are open.
    chat_sockets: Gauge = "chat_sockets_open", "WebSockets of chats that are open";
    /// Calls of hooks that were taken.
    hooks: Count = "hooks", "Calls of agents' hooks that were taken";
    /// Of these, those that were not understood.
    hooks_unknown: Count = "hooks_unknown", "Calls of agents' hooks that were not understood, and kept as they are";
    /// Hooks that wait for a decision.
    hooks_waiting: Gauge = "hooks_waiting", "Calls of agents' hooks that wait for a person's decision";
    /// Calls of webhooks that were taken, by webhook.
    webhooks: CountByName = "webhooks", "Calls of webhooks that were taken, by webhook";
    /// Things in them that were not understood.
    webhooks_unknown: CountByName = "webhooks_unknown", "What webhooks told that was no JSON object, and is kept as it is, by webhook";
    /// Calls whose caller did not prove who it is.
    webhooks_denied: CountByName = "webhooks_denied", "Calls of webhooks whose caller did not prove who it is, by webhook";
    /// Records of OpenTelemetry that were taken, by signal.
    otlp_records: CountBy = "otlp_records", "Log records, spans and points of metrics that were taken by OTLP, by signal";
    /// Of these, those that were not understood.
    otlp_unknown: Count = "otlp_unknown", "Records taken by OTLP that were not understood, and kept as they are";
    /// How far the views are behind.
    views_lag: Gauge = "views_lag", "Events that the views have not yet folded";
}

impl Metrics {
    /// All of it in OpenMetrics text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// Counts a gap that a reader is told of.
    pub fn gap(&self, reason: GapReason) {
        let reason = match reason {
            GapReason::Trimmed => "trimmed",
            GapReason::DeltasTrimmed => "deltas_trimmed",
            GapReason::OtherEpoch => "other_epoch",
            GapReason::BeyondHead => "beyond_head",
        };
        Self::count(&self.gaps, "reason", reason);
    }

    /// Shows how full something is.
    pub(crate) fn level(&self, level: Level) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let label = [("bound", level.bound)];
        self.bound_used.get_or_create(&label).set(gauge(level.used));
        self.bound_limit.get_or_create(&label).set(gauge(level.limit));
    }

    /// Counts an answer that is a refusal.
    pub(crate) fn answered(&self, answer: &http::Extensions) {
        if let Some(code) = answer.get::<Code>() {
            Self::count(&self.requests_refused, "code", code.as_str());
        }
    }

    /// Counts one of a kind.
    pub fn count(family: &CountBy, label: &'static str, value: &'static str) {
        family.get_or_create(&[(label, value)]).inc();
    }
}
