//! Playing: a recording's lines, each after as long as it took then, through the same path as a real run's.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::sleep;
use turnwire_adapters::{Context, by_command, recordings::Recording};
use turnwire_client::spool::Spool;
use turnwire_proto::{EventId, Name, Object, Timestamp};

use crate::record::{self, Ended, Full, Recording as Recorder};

/// For a line of which it is not known: about what a model takes for a short answer.
const LINE: Duration = Duration::from_millis(400);
/// For a piece of streamed text.
const PIECE: Duration = Duration::from_millis(40);
/// The longest wait between two lines that is played.
const LONGEST: Duration = Duration::from_secs(10);
/// Between two runs of one agent.
const PAUSE: Duration = Duration::from_secs(3);

/// Plays one agent's recordings one after the other, for ever or once.
pub(super) async fn play(recordings: Vec<&'static Recording>, spool: Arc<Spool>, speed: f64, once: bool) {
    // So that the agents do not begin in step.
    let letters = recordings
        .first()
        .map_or(0, |first| u32::try_from(first.adapter.len()).unwrap_or(0));
    sleep(PAUSE.div_f64(speed) * letters / 20).await;
    loop {
        for recording in &recordings {
            if let Err(error) = run(recording, &spool, speed).await {
                tracing::warn!("{}/{}: {error}", recording.adapter, recording.name);
            }
            sleep(PAUSE.div_f64(speed)).await;
        }
        if once {
            return;
        }
    }
}

async fn run(recording: &'static Recording, spool: &Arc<Spool>, speed: f64) -> anyhow::Result<()> {
    let command = recording.command();
    let told = by_command(&command);
    let (Ok(agent), Some(session)) = (Name::new(recording.adapter), Name::lossy(&EventId::new().to_string())) else {
        return Ok(());
    };
    let context = Context {
        agent: Some(agent.clone()),
        session: Some(session.clone()),
        prompt: told.as_ref().and_then(|told| told.prompt.clone()),
        resumed: told.is_some_and(|told| told.resumed),
        ..Context::default()
    };
    let plan = record::Plan {
        adapter: (recording.spec().make)(context),
        agent,
        session: Some(session),
        patience: Duration::ZERO,
        start: Some(Object::of(
            &json!({ "command": command, "adapter": recording.adapter, "recording": recording.name }),
        )),
        as_they_are: false,
        again: true,
        rows: None,
    };
    let recorder = Recorder::start(plan, Arc::clone(spool), Full::Wait)?;
    let mut last = None;
    for line in recording.lines.lines() {
        let seen: Value = serde_json::from_str(line).unwrap_or_default();
        let at = timestamp(&seen);
        sleep(gap(&seen, last, at).div_f64(speed)).await;
        last = at.or(last);
        recorder.feed.stdout(line.as_bytes());
        recorder.feed.stdout(b"\n");
    }
    let ended = Ended {
        code: Some(0),
        ..Ended::default()
    };
    tokio::task::spawn_blocking(move || recorder.end(ended)).await?;
    Ok(())
}

/// When a line says that it was printed: RFC 3339, or milliseconds since 1970.
fn timestamp(line: &Value) -> Option<Timestamp> {
    match line.get("timestamp")? {
        Value::String(text) => text.parse().ok(),
        Value::Number(ms) => Timestamp::from_millis(ms.as_i64()?),
        _ => None,
    }
}

fn gap(line: &Value, last: Option<Timestamp>, at: Option<Timestamp>) -> Duration {
    if let (Some(last), Some(at)) = (last, at) {
        let ms = u64::try_from(at.millis() - last.millis()).unwrap_or(0);
        return Duration::from_millis(ms).min(LONGEST);
    }
    match line.get("type").and_then(Value::as_str) {
        Some("stream_event") => PIECE,
        _ => LINE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_as_long_after_the_last_as_it_did_then() {
        let line = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let (one, two) = (
            line(r#"{"timestamp":"2026-11-20T08:25:00.000Z"}"#),
            line(r#"{"timestamp":1795163100250}"#),
        );
        assert_eq!(gap(&two, timestamp(&one), timestamp(&two)), Duration::from_millis(250));
        assert_eq!(
            gap(&one, timestamp(&two), timestamp(&one)),
            Duration::ZERO,
            "time went back"
        );
        assert_eq!(gap(&line(r#"{"type":"stream_event"}"#), None, None), PIECE);
        assert_eq!(gap(&line("{}"), None, None), LINE);
    }
}
