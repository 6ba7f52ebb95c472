//! Deletes what is no longer kept, once in a while, and says so in the log.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use turnwire_log::{Log, ReadError, Retention, StoreError};
use turnwire_proto::{HistoryTrimmed, Kind, Name, NewEvent, Object, Seq, Timestamp};

use crate::{
    config::RetentionConfig,
    door::Door,
    observe::Metrics,
    views::{Views, sessions},
};

/// How long after the start the first time is: a start has other things to do.
const FIRST: Duration = Duration::from_mins(1);

/// Sessions that one query finds.
const SESSIONS: usize = 100;
/// After each session that is deleted, so many times as long as that took, nothing is: whoever writes has the store.
const REST: u32 = 4;

/// Runs until it is dropped.
pub(crate) async fn keep(log: Door, views: Views, config: RetentionConfig, metrics: Arc<Metrics>) {
    tokio::time::sleep(FIRST.min(config.every)).await;
    loop {
        run(&log, config, Timestamp::now(), &metrics).await;
        if let Err(error) = prune(&log, &views, config, &metrics).await {
            metrics.retention_errors.inc();
            tracing::error!(%error, "sessions could not be deleted");
        }
        match log.collect(&views, config.blobs).await {
            Ok(removed) => drop(metrics.blobs_collected.inc_by(removed)),
            Err(error) => {
                metrics.retention_errors.inc();
                tracing::error!(%error, "blobs could not be removed");
            }
        }
        tokio::time::sleep(config.every).await;
    }
}

fn before(now: Timestamp, age: Option<Duration>) -> Option<Timestamp> {
    let age = i64::try_from(age?.as_millis()).ok()?;
    Timestamp::from_millis(now.millis().checked_sub(age)?)
}

/// Deletes sessions that are too old or too many, one after another, the oldest first.
async fn prune(log: &dyn Log, views: &Views, config: RetentionConfig, metrics: &Metrics) -> Result<(), StoreError> {
    if config.sessions.is_none() && config.session_age.is_none() {
        return Ok(());
    }
    loop {
        let head = log.bounds().await.map_err(|ReadError::Store(error)| error)?.head;
        if views.reach(head).await < head {
            // What is active is not known; there is time.
            return Ok(());
        }
        let (old, keep) = (before(Timestamp::now(), config.session_age), config.sessions);
        let surplus = views.read(move |db| sessions::surplus(db, old, keep, SESSIONS)).await?;
        for session in &surplus {
            let began = Instant::now();
            erase(log, session, metrics).await?;
            tokio::time::sleep(began.elapsed() * REST).await;
        }
        if surplus.len() < SESSIONS {
            return Ok(());
        }
    }
}

/// Deletes a session with all that is in it, and says so. How many events that were, and where it is said.
pub(crate) async fn erase(log: &dyn Log, session: &Name, metrics: &Metrics) -> Result<(u64, Seq), StoreError> {
    let place = log.bounds().await.map_err(|ReadError::Store(error)| error)?.head.next();
    let policy = Retention {
        session: Some(session.clone()),
        ..Retention::default()
    };
    let trimmed = log.trim(&policy).await?;
    for (what, count) in [("events", trimmed.events), ("raw", trimmed.raw), ("sessions", 1)] {
        metrics.retention_deleted.get_or_create(&[("what", what)]).inc_by(count);
    }
    // Those who may read the session are told; the views forget it by this.
    let event = told("session", place, trimmed.events, Timestamp::now());
    let appended = log.append(&[event.in_session(session.clone())]).await;
    let told = appended.map_err(|error| StoreError {
        doing: "say that a session was deleted".to_owned(),
        retry: true,
        source: error.into(),
    })?;
    Ok((trimmed.events, told.last))
}

fn told(what: &str, before: Seq, count: u64, now: Timestamp) -> NewEvent {
    let body = HistoryTrimmed {
        what: what.to_owned(),
        before,
        count,
    };
    let source = Name::new("turnwire").expect("a literal name");
    NewEvent::new(Kind::HISTORY_TRIMMED, source, now, Object::of(&body))
}

async fn run(log: &dyn Log, config: RetentionConfig, now: Timestamp, metrics: &Metrics) {
    let policy = Retention {
        events_before: before(now, config.events),
        deltas_before: before(now, config.deltas),
        raw_before: before(now, config.raw),
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
    let event = told(what, place, trimmed.events, now);
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
