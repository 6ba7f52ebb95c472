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

#[cfg(test)]
mod tests {
    use turnwire_log::{
        Limit,
        faulty::{Call, Faulty},
        memory::MemoryLog,
    };
    use turnwire_proto::Selector;

    use super::*;

    #[tokio::test]
    async fn what_is_deleted_is_told_in_the_log_and_counted_and_so_is_a_run_that_failed() {
        let (log, faults) = Faulty::new(MemoryLog::new());
        let now = Timestamp::now();
        let day = 24 * 3600 * 1000;
        for days in [40, 20, 1] {
            let then = Timestamp::from_millis(now.millis() - days * day).unwrap();
            let source = Name::new("test").unwrap();
            let note = NewEvent::new(Kind::NOTE, source, then, Object::empty());
            log.append(&[note]).await.unwrap();
        }
        let config = RetentionConfig {
            events: Some(Duration::from_hours(30 * 24)),
            ..RetentionConfig::default()
        };
        let metrics = Metrics::default();
        faults.fail(Call::Trim, 1, true);
        for _ in 0..3 {
            run(&log, config, now, &metrics).await;
        }
        let page = log
            .read(&Selector::all(), turnwire_proto::Seq::ZERO, Limit::RUN)
            .await
            .unwrap();
        let kinds: Vec<_> = page.events().map(|event| event.unwrap().kind.to_string()).collect();
        assert_eq!(
            kinds,
            ["note", "note", "history_trimmed"],
            "what is told once is told once"
        );
        let text = metrics.text();
        for line in [
            "turnwire_retention_deleted_total{what=\"events\"} 1",
            "turnwire_retention_errors_total 1",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
