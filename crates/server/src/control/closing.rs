//! What is open and will not be ended by those who began it: turns whose agent is gone, turns of which nothing comes any more.
//!
//! Nothing is decided here but by what the views say, so a restart changes nothing: what was found and not written is found again.
//! An agent that comes back may still end its turn; its own end is what counts then ([`crate::views::turns`]).
//!
//! Time is an argument, so a test says what time it is.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};
use turnwire_log::Log;
use turnwire_proto::{Kind, Name, NewEvent, Object, Seq, Timestamp, TurnState};

use super::RETRY;
use crate::{
    config::Limits,
    http::Refusal,
    observe::Metrics,
    shutdown::Tasks,
    views::{
        Views,
        silent::{self, Closed, Open, SERVER},
    },
};

/// Turns that one look finds. What there is more of is found by the next one.
const ROWS: usize = 1000;
/// How often it looks.
const LOOK: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug)]
pub(super) struct Closing {
    log: Arc<dyn Log>,
    views: Views,
    metrics: Arc<Metrics>,
    source: Name,
    stalled: Duration,
    lost: Duration,
    /// Silent sessions: where they were when they were first found so, and since when. A backlog that is being sent is old and not
    /// silent; it is known by its moving on.
    still: HashMap<Name, (Seq, Instant)>,
}

impl Closing {
    pub(super) fn new(log: Arc<dyn Log>, views: Views, metrics: Arc<Metrics>, limits: &Limits) -> Self {
        Self {
            log,
            views,
            metrics,
            source: Name::new("turnwire").expect("a literal name"),
            stalled: limits.stalled_after,
            lost: limits.lost_after,
            still: HashMap::new(),
        }
    }

    /// How long until it looks again: twice within the shortest silence that matters.
    fn look(&self) -> Duration {
        (self.stalled.min(self.lost) / 2).clamp(Duration::from_millis(10), LOOK)
    }

    /// Writes what is to be said by now.
    ///
    /// # Errors
    /// The views are behind, or it could not be written; the next tick tries again.
    pub(super) async fn tick(&mut self, now: Timestamp, at: Instant) -> Result<(), Refusal> {
        let head = self.log.bounds().await?.head;
        if self.views.reach(head).await < head {
            // While events come fast, or the views are built anew, nobody is silent.
            return Ok(());
        }
        let mut events = Vec::new();
        let orphaned = self.views.read(|db| silent::orphaned(db, ROWS)).await?;
        for one in &orphaned {
            events.push(self.end(one, "its agent went offline", now));
        }
        let since = before(now, self.stalled.min(self.lost));
        let quiet = self.views.read(move |db| silent::quiet(db, since, ROWS)).await?;
        let settled = self.look();
        let mut still = HashMap::new();
        for one in &quiet {
            let known = self.still.get(&one.session).filter(|known| known.0 == one.alive_seq);
            let found = known.map_or(at, |known| known.1);
            still.insert(one.session.clone(), (one.alive_seq, found));
            let gone = orphaned
                .iter()
                .any(|other| (&other.session, &other.turn) == (&one.session, &one.turn));
            if gone || at.duration_since(found) < settled {
                continue;
            }
            if one.alive <= before(now, self.lost) {
                let note = format!("nothing was heard of it for {}", span(self.lost));
                events.push(self.end(one, &note, now));
            } else if one.works && one.alive <= before(now, self.stalled) {
                events.push(self.stalled(one, now));
            }
        }
        self.still = still;
        if !events.is_empty() {
            let appended = self.log.append(&events).await;
            appended.inspect_err(|_| {
                self.metrics.append_errors.inc();
            })?;
            let ends = events.iter().filter(|event| event.kind == Kind::TURN_END).count();
            self.metrics.turns_closed.inc_by(ends as u64);
        }
        Ok(())
    }

    fn end(&self, of: &Open, note: &str, now: Timestamp) -> NewEvent {
        let body = Closed {
            ok: false,
            note: note.to_owned(),
            by: SERVER.to_owned(),
        };
        self.event(of, Kind::TURN_END, Object::of(&body), now)
    }

    fn stalled(&self, of: &Open, now: Timestamp) -> NewEvent {
        let body = TurnState {
            state: "stalled".to_owned(),
            since: Some(of.alive.to_string()),
            note: Some(format!("nothing was heard of it for {}", span(self.stalled))),
        };
        self.event(of, Kind::TURN_STATE_CHANGED, Object::of(&body), now)
    }

    fn event(&self, of: &Open, kind: Kind, data: Object, now: Timestamp) -> NewEvent {
        NewEvent {
            agent: of.agent.clone(),
            session_id: Some(of.session.clone()),
            turn_id: of.turn.clone(),
            ..NewEvent::new(kind, self.source.clone(), now, data)
        }
    }
}

fn before(now: Timestamp, span: Duration) -> Timestamp {
    let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.millis().saturating_sub(span)).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// For a person, in the largest unit that says it whole.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    match (seconds % 3600, seconds % 60) {
        _ if span.subsec_millis() > 0 => format!("{} ms", span.as_millis()),
        (0, _) => format!("{} h", seconds / 3600),
        (_, 0) => format!("{} min", seconds / 60),
        _ => format!("{seconds} s"),
    }
}

/// The task. `gone` rings when an agent's downlink has ended for good.
pub(super) async fn run(mut closing: Closing, gone: Arc<Notify>, tasks: Tasks) {
    let stop = tasks.stopping();
    loop {
        let next = match closing.tick(Timestamp::now(), Instant::now()).await {
            Ok(()) => closing.look(),
            Err(error) => {
                tracing::error!(%error, "turns whose agents are gone could not be closed");
                RETRY
            }
        };
        tokio::select! {
            // Each is cancel-safe; a notice that was not taken stays one.
            () = gone.notified() => {}
            () = tokio::time::sleep(next) => {}
            () = stop.cancelled() => return,
        }
    }
}
