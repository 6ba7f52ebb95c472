//! Deletes what is no longer kept, once in a while, and says so in the log.

use std::{sync::Arc, time::Duration};

use turnwire_log::{Log, Retention};
use turnwire_proto::{HistoryTrimmed, Kind, Name, NewEvent, Object, Timestamp};

use crate::{config::RetentionConfig, observe::Metrics};

/// How often.
const EVERY: Duration = Duration::from_hours(1);
/// How long after the start the first time is: a start has other things to do.
const FIRST: Duration = Duration::from_mins(1);

/// Runs until it is dropped.
pub(crate) async fn keep(log: Arc<dyn Log>, config: RetentionConfig, metrics: Arc<Metrics>) {
    tokio::time::sleep(FIRST).await;
    loop {
        run(&*log, config, Timestamp::now(), &metrics).await;
        tokio::time::sleep(EVERY).await;
    }
}

async fn run(log: &dyn Log, config: RetentionConfig, now: Timestamp, metrics: &Metrics) {
    let before = |age: Option<Duration>| {
        let age = i64::try_from(age?.as_millis()).ok()?;
        Timestamp::from_millis(now.millis().checked_sub(age)?)
    };
    let policy = Retention {
        events_before: before(config.events),
        deltas_before: before(config.deltas),
        raw_before: before(config.raw),
        max_bytes: config.max_bytes,
        session: None,
    };
    let (Ok(before), trimmed) = (log.bounds().await, log.trim(&policy).await) else {
        return;
    };
    let trimmed = match trimmed {
        Ok(trimmed) => trimmed,
        Err(error) => {
            metrics.retention_errors.inc();
            return tracing::error!(%error, "history could not be trimmed");
        }
    };
    for (what, count) in [("events", trimmed.events), ("raw", trimmed.raw)] {
        metrics.retention_deleted.get_or_create(&[("what", what)]).inc_by(count);
    }
    if trimmed.events == 0 {
        return;
    }
    tracing::info!(events = trimmed.events, raw = trimmed.raw, "history was trimmed");
    let Ok(after) = log.bounds().await else { return };
    // Whichever horizon moved is told; all that is before the first is gone, before the second only deltas.
    let (what, place) = if after.first > before.first {
        ("events", after.first)
    } else {
        ("deltas", after.first_delta)
    };
    let body = HistoryTrimmed {
        what: what.into(),
        before: place,
        count: trimmed.events,
    };
    let source = Name::new("turnwire").expect("a literal name");
    let event = NewEvent::new(Kind::HISTORY_TRIMMED, source, now, Object::of(&body));
    if let Err(error) = log.append(&[event]).await {
        tracing::warn!(%error, "that history was trimmed could not be written");
    }
}
