//! Commands and the agents that they are for: given, handed over, said done, and withdrawn, each step an event in the log. Beside
//! them approvals, which are decided.
//!
//! [`Control`] is the handle that handlers have; every way in takes a [`Grant`]. Behind it one task owns the [`desk::Desk`], and one
//! the [`inbox::Inbox`].

mod action;
mod approvals;
mod closing;
mod desk;
mod downlink;
mod ends;
mod inbox;
mod ledger;
mod presence;
mod queue;
#[cfg(test)]
mod tests;
mod transition;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::{sync::Notify, time::Instant};
use turnwire_log::{Level, Log};
use turnwire_proto::{
    Code, Epoch, EventId, Name, Seq, Timestamp, Visibility,
    command::{Acknowledgement, Command, Outstanding, Report, SessionReport, State},
    limits,
};

pub(crate) use action::checked;
pub(crate) use desk::Order;
pub(crate) use downlink::{Downlink, Next};
pub(crate) use ends::End;
pub(crate) use transition::is_legal;

use crate::{
    auth::{Agent, Control as MayControl, Grant, Read},
    config::Limits,
    door::Door,
    http::Refusal,
    observe::Metrics,
    shutdown::Tasks,
    views::{Views, commands},
};
use closing::Closing;
use desk::Desk;
use inbox::Inbox;
use queue::{Asking, Waiting};

/// Agents that an error names at the most.
const NAMED: usize = 32;
/// How soon the desk tries again what it could not write or read.
const RETRY: Duration = Duration::from_secs(1);
/// How often it looks at the clock at the least: it may have been set meanwhile.
const CLOCK: Duration = Duration::from_secs(30);

/// The handle. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Control {
    desk: Asking<Desk>,
    inbox: Asking<Inbox>,
    views: Views,
    log: Arc<dyn Log>,
    door: Door,
    limits: Limits,
    tasks: Tasks,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

/// An agent, as far as whoever asks may know.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AgentInfo {
    name: Name,
    online: bool,
    /// Since when; absent when it was never there.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Name>,
    capabilities: Vec<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    login: Option<Name>,
    sessions: Vec<SessionReport>,
    queue: Queue,
}

/// An agent's open commands.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Queue {
    queued: usize,
    delivered: usize,
    acked: usize,
    limit: usize,
}

impl Control {
    /// Begins: the desk reads what there is, and works until everything is told to stop.
    pub(crate) fn start(door: Door, views: Views, metrics: Arc<Metrics>, limits: Limits, tasks: Tasks) -> Self {
        let log: Arc<dyn Log> = Arc::new(door.clone());
        let (asking, queue) = Asking::new("commands", "control_queue");
        let told = Arc::<Notify>::default();
        let desk = Desk::new(
            log.clone(),
            views.clone(),
            metrics.clone(),
            limits.agent_queue,
            limits.agent_silence,
            told.clone(),
        );
        let gone = desk.gone.clone();
        tasks.spawn("control", run(desk, queue, told, tasks.clone()));
        let (inbox, decisions) = Asking::new("approvals", "approvals_queue");
        let closing = Closing::new(log.clone(), views.clone(), metrics.clone(), &limits);
        tasks.spawn("closing", closing::run(closing, gone, tasks.clone()));
        let owner = Inbox::new(log.clone(), views.clone(), metrics, limits.approval_wait);
        tasks.spawn("approvals", inbox::run(owner, decisions, tasks.clone()));
        Self {
            desk: asking,
            inbox,
            views,
            log,
            door,
            limits,
            tasks,
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        work: impl for<'a> FnOnce(&'a mut Desk) -> BoxFuture<'a, T> + Send + 'static,
    ) -> Result<T, Refusal> {
        self.desk.ask(work).await
    }

    /// Gives a command.
    ///
    /// # Errors
    /// It may not be given, there is no room, or it cannot be written.
    pub(crate) async fn issue(&self, grant: &Grant<MayControl>, mut order: Order) -> Result<Command, Refusal> {
        permitted(grant, order.session_id.as_ref())?;
        // An order is what the log has of it, for its agent and for whoever says it again, also after a restart.
        order.args = self.door.without_secrets(order.args);
        self.ask(|desk| Box::pin(desk.issue(order, Timestamp::now()))).await?
    }

    /// One command.
    ///
    /// # Errors
    /// There is none, or it may not be seen.
    pub(crate) async fn get(&self, grant: &Grant<MayControl>, id: EventId) -> Result<Command, Refusal> {
        let found = self
            .ask(move |desk| Box::pin(async move { desk.find(&id).await }))
            .await??;
        let missing = || Refusal::new(Code::NotFound, format!("there is no command {id}")).with("field", "id");
        let command = found.ok_or_else(missing)?;
        if grant.may_control(command.session_id.as_ref().map(Name::as_str)) {
            return Ok(command);
        }
        let text = format!("this token may not control what command {id} is about");
        Err(Refusal::new(Code::Forbidden, text).with("field", "id"))
    }

    /// One command, if there is one.
    ///
    /// # Errors
    /// It may not be seen.
    pub(crate) async fn find(&self, grant: &Grant<MayControl>, id: EventId) -> Result<Option<Command>, Refusal> {
        match self.get(grant, id).await {
            Ok(command) => Ok(Some(command)),
            Err(refusal) if refusal.code() == Code::NotFound => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// The end of a command, come or to come. What is waited for is told by the desk.
    ///
    /// # Errors
    /// There is none, or it may not be seen.
    pub(crate) async fn end(&self, grant: &Grant<MayControl>, id: EventId) -> Result<End, Refusal> {
        self.get(grant, id).await?;
        self.ask(move |desk| Box::pin(async move { desk.end(&id).await }))
            .await?
    }

    /// Whom a message is for, and whether they are there: who is named, or else the only one that is online.
    ///
    /// # Errors
    /// Nobody knows who is named; or nobody is, and there is not just one.
    pub(crate) async fn addressee(&self, named: Option<Name>) -> Result<(Name, bool), Refusal> {
        self.ask(move |desk| {
            Box::pin(async move {
                if let Some(name) = named {
                    let online = desk.presence.get(&name).map(|agent| agent.online);
                    let online = online.or_else(|| desk.open(&name).next().map(|_| false));
                    let text = || format!("there is no agent {name}: none of this name was ever there");
                    let online = online.ok_or_else(|| Refusal::new(Code::NotFound, text()).with("field", "agent"))?;
                    return Ok((name, online));
                }
                let online = desk.presence.iter().filter(|(_, agent)| agent.online);
                let online: Vec<_> = online.map(|(name, _)| name.clone()).collect();
                match online.as_slice() {
                    [only] => Ok((only.clone(), true)),
                    several => {
                        let names = several.iter().take(NAMED).map(Name::as_str).collect::<Vec<_>>();
                        let text = match names.as_slice() {
                            [] => "`agent` must say which agent is meant: none is online".to_owned(),
                            names => format!("`agent` must say which agent is meant: online are {}", names.join(", ")),
                        };
                        Err(Refusal::field("agent", text).with("agents", names))
                    }
                }
            })
        })
        .await?
    }

    /// Takes a command back.
    ///
    /// # Errors
    /// It may not be, or cannot be.
    pub(crate) async fn withdraw(&self, grant: &Grant<MayControl>, id: EventId) -> Result<Command, Refusal> {
        self.get(grant, id).await?;
        let by = grant.principal().name().to_string();
        self.ask(move |desk| Box::pin(desk.withdraw(id, by, Timestamp::now())))
            .await?
    }

    /// The newest commands, and how far the list is.
    ///
    /// # Errors
    /// The views cannot be read.
    pub(crate) async fn list(
        &self,
        grant: &Grant<MayControl>,
        filter: commands::Filter,
        limit: usize,
    ) -> Result<(Vec<Command>, Seq), Refusal> {
        let head = self.log.bounds().await?.head;
        let reached = self.views.reach(head).await;
        let who = grant.principal().clone();
        let list = self.views.read(move |db| {
            let visible = |session: Option<&str>| who.scopes().may_control(session);
            commands::list(db, &filter, visible, limit)
        });
        Ok((list.await?, reached))
    }

    /// The agents that there are, by name: those that were ever there, and those for whom something waits.
    ///
    /// # Errors
    /// The desk cannot be asked.
    pub(crate) async fn agents(&self, grant: &Grant<Read>) -> Result<Vec<AgentInfo>, Refusal> {
        let (visible, limit) = (grant.visibility().clone(), self.limits.agent_queue);
        self.ask(move |desk| {
            Box::pin(async move {
                let known = desk.presence.iter().map(|(name, _)| name);
                let names: BTreeSet<Name> = known.chain(desk.agents_with_commands()).cloned().collect();
                names
                    .into_iter()
                    .filter(|_| visible.allows_public())
                    .map(|name| info(desk, name, &visible, limit))
                    .collect()
            })
        })
        .await
    }

    /// One of them.
    ///
    /// # Errors
    /// There is none, or the desk cannot be asked.
    pub(crate) async fn agent(&self, grant: &Grant<Read>, name: Name) -> Result<AgentInfo, Refusal> {
        let (visible, limit) = (grant.visibility().clone(), self.limits.agent_queue);
        let text = format!("there is no agent {name}");
        let found = self.ask(move |desk| {
            Box::pin(async move {
                let known = desk.presence.get(&name).is_some() || desk.open(&name).next().is_some();
                (known && visible.allows_public()).then(|| info(desk, name, &visible, limit))
            })
        });
        found
            .await?
            .ok_or_else(|| Refusal::new(Code::NotFound, text).with("field", "name"))
    }

    /// Opens an agent's downlink behind a place.
    ///
    /// # Errors
    /// It is another agent's, or cannot be opened now.
    pub(crate) async fn connect(
        &self,
        grant: &Grant<Agent>,
        named: Option<&Name>,
        after: Seq,
    ) -> Result<Downlink, Refusal> {
        let agent = grant.agent(named)?;
        if self.tasks.stopping().is_cancelled() {
            return Err(Refusal::new(Code::ShuttingDown, "the server is stopping"));
        }
        let name = agent.clone();
        let connect = self.ask(move |desk| Box::pin(async move { desk.connect(&name, Timestamp::now()).await }));
        let held = connect.await??;
        Ok(Downlink::new(self.clone(), agent, held, after))
    }

    /// An agent says all of itself, and is told what it has not said the end of.
    ///
    /// # Errors
    /// It is another agent's, has too much in it, or cannot be written.
    pub(crate) async fn sync(
        &self,
        grant: &Grant<Agent>,
        named: Option<&Name>,
        epoch: Epoch,
        report: Report,
    ) -> Result<Outstanding, Refusal> {
        let agent = grant.agent(named)?;
        for (field, count) in [
            ("capabilities", report.capabilities.len()),
            ("sessions", report.sessions.len()),
        ] {
            if count > limits::REPORTED {
                let text = format!("`{field}` has more than {} entries", limits::REPORTED);
                return Err(Refusal::new(Code::TooLarge, text)
                    .with("field", field)
                    .with("limit", limits::REPORTED));
            }
        }
        let sync = self.ask(move |desk| {
            Box::pin(async move {
                let now = Timestamp::now();
                desk.report(&agent, report, now).await?;
                desk.outstanding(&agent, now).await
            })
        });
        let commands = sync.await??;
        let cursor = commands.last().map_or(Seq::ZERO, |last| last.seq);
        Ok(Outstanding {
            cursor,
            epoch: Some(epoch),
            commands,
            replaced: false,
        })
    }

    /// An agent says what became of a command.
    ///
    /// # Errors
    /// It is another agent's, something else became of it before, or it cannot be written.
    pub(crate) async fn acknowledge(
        &self,
        grant: &Grant<Agent>,
        named: Option<&Name>,
        id: EventId,
        mut said: Acknowledgement,
    ) -> Result<Command, Refusal> {
        check(&said)?;
        // Whose it is is looked up, so an agent's key never has to be told which agent it is of.
        let agent = match named {
            Some(_) => grant.agent(named)?,
            None => {
                let found = self
                    .ask(move |desk| Box::pin(async move { desk.find(&id).await }))
                    .await??;
                match found {
                    Some(command) if grant.is_agent(&command.agent) => command.agent,
                    Some(_) => {
                        let text = format!("command {id} is not for an agent of this token");
                        return Err(Refusal::new(Code::Forbidden, text).with("field", "id"));
                    }
                    None => {
                        let text = format!("there is no command {id}");
                        return Err(Refusal::new(Code::NotFound, text).with("field", "id"));
                    }
                }
            }
        };
        said.reason = said.reason.map(|reason| self.door.text_without_secrets(reason));
        said.result = said.result.map(|result| self.door.without_secrets(result));
        self.ask(move |desk| Box::pin(async move { desk.acknowledge(&agent, id, said, Timestamp::now()).await }))
            .await?
    }

    /// How many requests wait for the desk, and for the inbox.
    pub(crate) fn levels(&self) -> [Level; 2] {
        [self.desk.level(), self.inbox.level()]
    }
}

fn check(said: &Acknowledgement) -> Result<(), Refusal> {
    if !matches!(said.state, State::Acked | State::Done | State::Failed) {
        return Err(Refusal::field("state", "`state` must be acked, done or failed"));
    }
    if said.reason.is_some() && said.state != State::Failed {
        return Err(Refusal::field("reason", "`reason` is for `failed` alone"));
    }
    if said.result.is_some() && said.state == State::Acked {
        return Err(Refusal::field("result", "`result` is for `done` and `failed` alone"));
    }
    if said.reason.as_ref().is_some_and(|reason| reason.len() > limits::REASON) {
        return Err(action::too_large("reason", limits::REASON));
    }
    said.result
        .as_ref()
        .map_or(Ok(()), |result| action::object("result", result))
}

fn info(desk: &Desk, name: Name, visible: &Visibility, limit: usize) -> AgentInfo {
    let mut queue = Queue {
        limit,
        ..Queue::default()
    };
    for command in desk.open(&name) {
        match command.state {
            State::Queued => queue.queued += 1,
            State::Delivered => queue.delivered += 1,
            _ => queue.acked += 1,
        }
    }
    let agent = desk.presence.get(&name);
    let report = agent.map(|agent| agent.report.clone()).unwrap_or_default();
    let Report {
        version,
        capabilities,
        model,
        state,
        login,
        sessions,
    } = report;
    let sessions = sessions
        .into_iter()
        .filter(|session| visible.allows_session(session.id.as_str()));
    AgentInfo {
        name,
        online: agent.is_some_and(|agent| agent.online),
        since: agent.map(|agent| agent.since),
        last_seen: agent.map(|agent| agent.seen),
        version,
        capabilities,
        model,
        state,
        login,
        sessions: sessions.collect(),
        queue,
    }
}

/// Whether something may be said, listed or decided in a session; in all of them, where none is named.
///
/// # Errors
/// It may not.
pub(crate) fn permitted(grant: &Grant<MayControl>, session: Option<&Name>) -> Result<(), Refusal> {
    if grant.may_control(session.map(Name::as_str)) {
        return Ok(());
    }
    let text = match session {
        Some(session) => format!("this token may not control session {session}"),
        None => "this token may control sessions alone: `session_id` must name one".to_owned(),
    };
    Err(Refusal::new(Code::Forbidden, text).with("field", "session_id"))
}

/// The desk's task.
async fn run(mut desk: Desk, mut queue: Waiting<Desk>, told: Arc<Notify>, tasks: Tasks) {
    let stop = tasks.stopping();
    loop {
        let failed = desk.tick(Timestamp::now()).await.is_err_and(|error| {
            tracing::error!(%error, "what time does to commands and agents could not be written");
            true
        });
        if !failed {
            queue.is_ready();
        }
        let next = if failed {
            Instant::now() + RETRY
        } else {
            next_tick(&desk)
        };
        tokio::select! {
            // Each branch is cancel-safe: work that was not received stays in the queue, a notice that was not taken stays one.
            work = queue.work.recv() => match work {
                Some(work) => work(&mut desk).await,
                None => return,
            },
            () = tokio::time::sleep_until(next) => {}
            () = told.notified() => {}
            // What waits is still done; nothing more is taken.
            () = stop.cancelled(), if !queue.work.is_closed() => queue.work.close(),
        }
    }
}

fn next_tick(desk: &Desk) -> Instant {
    let due = desk.next_due().map(|due| {
        let wait = due.millis().saturating_sub(Timestamp::now().millis());
        Instant::now() + Duration::from_millis(u64::try_from(wait).unwrap_or(0)).min(CLOCK)
    });
    let lost = desk.presence.next_lost();
    let next = due.into_iter().chain(lost).min();
    next.unwrap_or_else(|| Instant::now() + CLOCK)
}
