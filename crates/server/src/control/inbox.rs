//! The inbox: the one place where the server decides approvals, for whoever asks, by rule, because time is up, or because nobody
//! waits any more.
//!
//! Others write decisions, too: an agent's own side, where a person answered there. So nothing is kept in memory. Each decision is
//! looked up in views that have reached the head, written, and read back: the first in the log has won, whoever wrote it. One task
//! does this, so of those who ask here at once one writes and the others are told.
//!
//! Time is an argument, so a test says what time it is.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use turnwire_log::{AppendError, Log};
use turnwire_proto::{
    ApprovalDecision, Code, Json, Kind, Name, NewEvent, Object, Seq, Timestamp,
    approval::{Approval, State},
};

use super::{CLOCK, RETRY, queue::Waiting};
use crate::{
    http::Refusal,
    observe::Metrics,
    shutdown::Tasks,
    views::{
        Views,
        approvals::{self, Next, Standing},
    },
};

/// How often the views' bounded wait of five seconds is waited for: they are folded behind everything else, so on a machine that is
/// busy with what agents build they come late, and an answer that is late is better here than none.
const PATIENCE: usize = 4;
/// Decisions that one append writes.
const STEPS: usize = 1000;
/// Bytes of them, about.
const BYTES: usize = 8 * 1024 * 1024;

/// What somebody decides.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) state: State,
    pub(super) by: String,
    pub(super) message: Option<String>,
    pub(super) arguments: Option<Json>,
    pub(super) always: bool,
}

/// What came of each.
pub(super) type Decided = Vec<Result<Approval, Refusal>>;

/// See the module.
#[derive(Debug)]
pub(super) struct Inbox {
    log: Arc<dyn Log>,
    views: Views,
    metrics: Arc<Metrics>,
    source: Name,
    /// How long a request waits that does not say until when.
    wait: Duration,
}

impl Inbox {
    pub(super) fn new(log: Arc<dyn Log>, views: Views, metrics: Arc<Metrics>, wait: Duration) -> Self {
        Self {
            log,
            views,
            metrics,
            source: Name::new("turnwire").expect("a literal name"),
            wait,
        }
    }

    /// What happens without anybody's deciding. When there will be more of that.
    ///
    /// # Errors
    /// It could not be written; the next tick tries again.
    pub(super) async fn tick(&mut self, now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
        self.current().await?;
        let wait = self.wait;
        let due = self.views.read(move |db| approvals::due(db, wait, now, STEPS)).await?;
        self.metrics.approvals_pending.set(due.pending);
        self.settle(&due.rows, now).await?;
        // What is written is met again when it is folded, and what there was no room for with it.
        Ok(due.then)
    }

    /// Decides some in one way. What came of each is in the order of the ids.
    ///
    /// # Errors
    /// They could not be looked up. Nothing was written by this then, or it is not known: asking again tells it.
    pub(super) async fn decide(
        &mut self,
        ids: Vec<Name>,
        may: impl Fn(&Name) -> bool + Send,
        wanted: Wanted,
        now: Timestamp,
    ) -> Result<Decided, Refusal> {
        self.current().await?;
        let mut found = self.look(&ids, now).await?;
        // Whatever is decided now is decided about what is.
        let mut due: Vec<Standing> = found
            .iter()
            .flatten()
            .filter(|one| one.next.is_some())
            .cloned()
            .collect();
        // One that is asked for twice is written once.
        due.sort_by_key(|one| one.approval.seq);
        due.dedup_by_key(|one| one.approval.seq);
        if !due.is_empty() {
            self.settle(&due, now).await?;
            self.current().await?;
            found = self.look(&ids, now).await?;
        }
        let mut open: Vec<&Approval> = Vec::new();
        for one in found.iter().flatten().map(|one| &one.approval) {
            let again = open.iter().any(|other| other.seq == one.seq);
            if one.state == State::Pending && may(&one.session_id) && !again {
                open.push(one);
            }
        }
        let failed = self.write(&open, &wanted, now).await;
        if !open.is_empty() {
            self.current().await?;
            found = self.look(&ids, now).await?;
        }
        let answer = |(id, found): (&Name, &Option<Standing>)| match found.as_ref().map(|one| &one.approval) {
            None => Err(missing(id)),
            Some(one) if !may(&one.session_id) => Err(forbidden(id)),
            Some(one) if one.state == State::Pending => Err(failed.clone().unwrap_or_else(|| {
                Refusal::new(
                    Code::Internal,
                    format!("the decision of approval {id} was written and is not there"),
                )
            })),
            Some(one) => judge(one, &wanted),
        };
        Ok(ids.iter().zip(&found).map(answer).collect())
    }

    /// The views have all that is in the log, what was just written there among it.
    async fn current(&self) -> Result<(), Refusal> {
        let head = self.log.bounds().await?.head;
        let mut folded = Seq::ZERO;
        for _ in 0..PATIENCE {
            folded = self.views.reach(head).await;
            if folded >= head {
                return Ok(());
            }
        }
        let text = format!("approvals are not read yet: the views are at {folded} of {head}");
        Err(Refusal::new(Code::StoreUnavailable, text).with("part", "views"))
    }

    async fn look(&self, ids: &[Name], now: Timestamp) -> Result<Vec<Option<Standing>>, Refusal> {
        let (ids, wait) = (ids.to_vec(), self.wait);
        let look = self
            .views
            .read(move |db| ids.iter().map(|id| approvals::get(db, id, wait, now)).collect());
        Ok(look.await?)
    }

    /// Writes what is to become of some without anybody's deciding.
    async fn settle(&self, due: &[Standing], now: Timestamp) -> Result<(), Refusal> {
        for due in due.chunks(STEPS) {
            let events: Vec<_> = due.iter().filter_map(|one| self.next(one, now)).collect();
            if !events.is_empty() {
                self.append(&events).await?;
            }
        }
        Ok(())
    }

    /// Writes a decision of some. Why it could not be written of all, where it could not.
    async fn write(&self, open: &[&Approval], wanted: &Wanted, now: Timestamp) -> Option<Refusal> {
        let texts = [wanted.message.as_deref(), wanted.arguments.as_ref().map(Json::get)];
        let each = 1024 + texts.into_iter().flatten().map(str::len).sum::<usize>();
        for open in open.chunks((BYTES / each).clamp(1, STEPS)) {
            let event = |one: &&Approval| {
                let body = ApprovalDecision {
                    approval_id: one.id.to_string(),
                    decision: wanted.state.to_string(),
                    by: Some(wanted.by.clone()),
                    message: wanted.message.clone(),
                    arguments: wanted.arguments.clone(),
                    always: wanted.always.then_some(true),
                };
                self.event(one, &body, now)
            };
            if let Err(refusal) = self.append(&open.iter().map(event).collect::<Vec<_>>()).await {
                return Some(refusal);
            }
        }
        None
    }

    fn next(&self, one: &Standing, now: Timestamp) -> Option<NewEvent> {
        let (state, by, message) = match one.next? {
            Next::Rule => (State::Approved, Some("rule"), None),
            Next::Over(why) => (State::Withdrawn, None, Some(why)),
            Next::Expired => (State::Expired, None, None),
        };
        let body = ApprovalDecision {
            approval_id: one.approval.id.to_string(),
            decision: state.to_string(),
            by: by.map(str::to_owned),
            message: message.map(str::to_owned),
            ..ApprovalDecision::default()
        };
        Some(self.event(&one.approval, &body, now))
    }

    fn event(&self, one: &Approval, body: &ApprovalDecision, now: Timestamp) -> NewEvent {
        NewEvent {
            agent: one.agent.clone(),
            session_id: Some(one.session_id.clone()),
            turn_id: one.turn_id.clone(),
            ..NewEvent::new(Kind::APPROVAL_DECISION, self.source.clone(), now, Object::of(body))
        }
    }

    async fn append(&self, events: &[NewEvent]) -> Result<Seq, Refusal> {
        let appended = self.log.append(events).await.inspect_err(|_: &AppendError| {
            self.metrics.append_errors.inc();
        })?;
        for event in events {
            let state = event
                .data
                .read::<ApprovalDecision>()
                .ok()
                .and_then(|body| body.decision.parse().ok());
            if let Some::<State>(state) = state {
                Metrics::count(&self.metrics.approvals_decided, "state", state.as_str());
            }
        }
        Ok(appended.last)
    }
}

fn missing(id: &Name) -> Refusal {
    Refusal::new(Code::NotFound, format!("there is no approval {id}")).with("field", "id")
}

fn forbidden(id: &Name) -> Refusal {
    let text = format!("this token may not control the session of approval {id}");
    Refusal::new(Code::Forbidden, text).with("field", "id")
}

/// The approval, if it was decided as somebody wants it, by the same one.
fn judge(one: &Approval, wanted: &Wanted) -> Result<Approval, Refusal> {
    let same = one.state == wanted.state
        && one.by.as_ref() == Some(&wanted.by)
        && one.message == wanted.message
        && one.updated_arguments == wanted.arguments
        && one.always == wanted.always;
    if same {
        return Ok(one.clone());
    }
    let text = format!("approval {} is {}: something else was decided first", one.id, one.state);
    let approval = serde_json::to_value(one).unwrap_or_default();
    Err(Refusal::new(Code::Conflict, text)
        .with("field", "decision")
        .with("approval", approval))
}

/// The inbox's task.
pub(super) async fn run(mut inbox: Inbox, mut queue: Waiting<Inbox>, tasks: Tasks) {
    let stop = tasks.stopping();
    let mut changed = inbox.views.approvals();
    let mut folded = true;
    loop {
        changed.mark_unchanged();
        let next = match inbox.tick(Timestamp::now()).await {
            Ok(due) => {
                queue.is_ready();
                let wait = due.map(|due| due.millis().saturating_sub(Timestamp::now().millis()));
                wait.map_or(CLOCK, |wait| {
                    Duration::from_millis(u64::try_from(wait).unwrap_or(0)).min(CLOCK)
                })
            }
            Err(error) => {
                tracing::warn!(
                    %error,
                    "what time and rules do to approvals is not written yet; it is tried again"
                );
                RETRY
            }
        };
        tokio::select! {
            // Each branch is cancel-safe: work that was not received stays in the queue, a change that was not taken stays one.
            work = queue.work.recv() => match work {
                Some(work) => work(&mut inbox).await,
                None => return,
            },
            told = changed.changed(), if folded => folded = told.is_ok(),
            () = tokio::time::sleep_until(Instant::now() + next) => {}
            // What waits is still done; nothing more is taken.
            () = stop.cancelled(), if !queue.work.is_closed() => queue.work.close(),
        }
    }
}
