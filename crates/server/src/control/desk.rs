//! The desk: the one place where commands change. Each change is decided against the ledger, written to the log, and only then
//! taken into the ledger and told. One task owns it, so what is decided is still so when it is written, and the first writer wins.
//!
//! Time is an argument, so a test says what time it is.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};
use turnwire_log::{AppendError, Appended, Level, Log};
use turnwire_proto::{
    AgentState, Code, CommandBody, CommandState, Empty, EventId, Json, Kind, Message, Name, NewEvent, Object, Seq,
    Timestamp,
    command::{Acknowledgement, Action, Command, MessageArgs, Report, State},
};

use super::{
    action::supersedes,
    ends::{End, Ends},
    ledger::{Ledger, Step},
    presence::{Held, MAX_AGENTS, Presence},
    transition::{Verdict, judge},
};
use crate::{
    http::Refusal,
    observe::Metrics,
    views::{Views, commands},
};

/// Commands that the desk has in memory, of all agents.
pub(super) const MAX_COMMANDS: usize = 16_384;
/// Bytes of them.
pub(super) const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of commands that are handed over at once; one at least.
const HAND_OVER: usize = 1024 * 1024;
/// Steps that one append writes.
const STEPS: usize = 1000;

/// A command that somebody wants to give.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// Given by who wants to be able to say it again.
    pub(crate) id: Option<EventId>,
    pub(crate) agent: Name,
    pub(crate) session_id: Option<Name>,
    pub(crate) action: Action,
    pub(crate) args: Object,
    pub(crate) actor: String,
    pub(crate) lifetime: Duration,
}

/// What a downlink gets when it asks for more.
#[derive(Debug)]
pub(super) enum Taken {
    Commands(Vec<Command>),
    /// A newer downlink of the same agent is open.
    Replaced,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Desk {
    log: Arc<dyn Log>,
    views: Views,
    metrics: Arc<Metrics>,
    source: Name,
    ledger: Ledger,
    ends: Ends,
    pub(super) presence: Presence,
    /// Commands that may be open for one agent.
    queue: usize,
    /// Whether what is in the log is in the ledger.
    loaded: bool,
    /// Rings when an agent has gone offline.
    pub(super) gone: Arc<Notify>,
}

impl Desk {
    pub(super) fn new(
        log: Arc<dyn Log>,
        views: Views,
        metrics: Arc<Metrics>,
        queue: usize,
        silence: Duration,
        told: Arc<Notify>,
    ) -> Self {
        Self {
            log,
            views,
            metrics,
            source: Name::new("turnwire").expect("a literal name"),
            ledger: Ledger::default(),
            ends: Ends::default(),
            presence: Presence::new(silence, told),
            queue,
            loaded: false,
            gone: Arc::default(),
        }
    }

    /// Makes the ledger what the log says, if it is not: at the start, and when a write ended so that nobody knows what it did.
    ///
    /// # Errors
    /// The views cannot be read, or have not come to the head of the log yet.
    pub(super) async fn load(&mut self) -> Result<(), Refusal> {
        if self.loaded {
            return Ok(());
        }
        // Commands are written here alone, so those up to this head are all of them.
        let head = self.log.bounds().await?.head;
        let folded = self.views.reach(head).await;
        if folded < head {
            let text = format!("commands are not read yet: the views are at {folded} of {head}");
            return Err(Refusal::new(Code::StoreUnavailable, text).with("part", "views"));
        }
        let live = self.views.read(commands::live).await?;
        self.ledger = Ledger::default();
        for command in live.commands {
            self.ledger.insert(command);
        }
        for known in live.agents {
            let commands::Known {
                name,
                online,
                since,
                seen,
                report,
            } = known;
            self.presence.restore(name, online, since, seen, report);
        }
        // A step whose write ended so that nobody knew may have been an end.
        for id in self.ends.waited_for() {
            if self.ledger.get(&id).is_none()
                && let Some(command) = self.views.read(move |db| commands::get(db, &id)).await?
            {
                self.ends.tell(&command);
            }
        }
        self.loaded = true;
        self.figures();
        Ok(())
    }

    /// What time alone does: commands that are overdue, agents that are silent for too long.
    ///
    /// # Errors
    /// It could not be written; the next tick tries again.
    pub(super) async fn tick(&mut self, now: Timestamp) -> Result<(), Refusal> {
        self.load().await?;
        self.ledger.forget(self.views.reached());
        self.figures();
        self.overdue(now).await?;
        for name in self.presence.lost(Instant::now()) {
            let event = self.event(Kind::AGENT_OFFLINE, now, Object::of(&Empty::default()), &name);
            self.append(&[event]).await?;
            self.presence.set(&name, false, now);
            self.gone.notify_one();
            self.figures();
        }
        Ok(())
    }

    /// Gives a command, and withdraws those that it makes pointless. Given again with the same id, it is the one that there is.
    ///
    /// # Errors
    /// There are too many, the id is of another command, or it could not be written.
    pub(super) async fn issue(&mut self, order: Order, now: Timestamp) -> Result<Command, Refusal> {
        self.current(now).await?;
        if let Some(id) = &order.id
            && let Some(known) = self.find(id).await?
        {
            return same(known, &order);
        }
        let superseded: Vec<Step> = self
            .ledger
            .open(&order.agent, Seq::ZERO)
            .filter(|older| older.state != State::Acked && older.session_id == order.session_id)
            .filter(|older| supersedes(order.action, older.action))
            .map(|older| Step::new(older.id, State::Withdrawn).because("superseded"))
            .collect();
        self.has_room(&order, superseded.len())?;
        let lifetime = i64::try_from(order.lifetime.as_millis()).unwrap_or(i64::MAX);
        let expires = Timestamp::from_millis(now.millis().saturating_add(lifetime))
            .ok_or_else(|| Refusal::field("expires_in_ms", "`expires_in_ms` is beyond the year 9999"))?;
        let mut command = Command {
            seq: Seq::ZERO,
            id: order.id.unwrap_or_default(),
            agent: order.agent,
            session_id: order.session_id,
            action: order.action,
            args: order.args,
            actor: order.actor,
            issued: now,
            expires,
            state: State::Queued,
            updated: now,
            reason: None,
            result: None,
            by: None,
        };
        let mut batch = vec![self.opening(&command)];
        batch.extend(self.said(&command));
        batch.extend(superseded.iter().filter_map(|step| self.step_event(step, now)));
        let appended = self.append(&batch).await?;
        // It stands first in its batch.
        command.seq = appended.first;
        self.ledger.insert(command.clone());
        for step in &superseded {
            self.stepped(step, now, appended.last);
        }
        self.metrics.commands_issued.inc();
        self.presence.ring(&command.agent);
        self.figures();
        Ok(command)
    }

    /// Takes a command back.
    ///
    /// # Errors
    /// There is none, it cannot be taken back any more, or that could not be written.
    pub(super) async fn withdraw(&mut self, id: EventId, by: String, now: Timestamp) -> Result<Command, Refusal> {
        self.current(now).await?;
        let command = self.known(&id).await?;
        let step = Step {
            by: Some(by),
            ..Step::new(id, State::Withdrawn)
        };
        self.settle(command, step, now).await
    }

    /// An agent says what became of a command.
    ///
    /// # Errors
    /// There is none, it is another agent's, something else became of it before, or that could not be written.
    pub(super) async fn acknowledge(
        &mut self,
        agent: &Name,
        id: EventId,
        said: Acknowledgement,
        now: Timestamp,
    ) -> Result<Command, Refusal> {
        self.current(now).await?;
        let command = self.known(&id).await?;
        if command.agent != *agent {
            let text = format!("command {id} is not for agent {agent}");
            return Err(Refusal::new(Code::Forbidden, text).with("field", "id"));
        }
        if self.presence.get(agent).is_some_and(|agent| agent.online) {
            self.presence.seen(agent, now);
        }
        let step = Step {
            reason: said.reason,
            result: said.result,
            ..Step::new(id, said.state)
        };
        self.settle(command, step, now).await
    }

    /// Opens a downlink: the agent is there from now on, and a downlink of it that was open before is not any more.
    ///
    /// # Errors
    /// There are too many agents, or it could not be written.
    pub(super) async fn connect(&mut self, agent: &Name, now: Timestamp) -> Result<Held, Refusal> {
        self.load().await?;
        self.online(agent, now).await?;
        self.presence
            .open(agent)
            .ok_or_else(|| Refusal::new(Code::Internal, "an agent that was just seen is not known"))
    }

    /// An agent reports all of itself.
    ///
    /// # Errors
    /// There are too many agents, or it could not be written.
    pub(super) async fn report(&mut self, agent: &Name, report: Report, now: Timestamp) -> Result<(), Refusal> {
        self.load().await?;
        self.online(agent, now).await?;
        let told = |report: &Report| {
            let text = |name: &Option<Name>| name.as_ref().map(ToString::to_string);
            AgentState {
                capabilities: report.capabilities.iter().map(ToString::to_string).collect(),
                version: text(&report.version),
                model: text(&report.model),
                state: text(&report.state),
                login: text(&report.login),
            }
        };
        let before = self.presence.get(agent).map(|agent| told(&agent.report));
        let body = told(&report);
        // An agent reports every few seconds; only what is new is an event.
        if before.as_ref() != Some(&body) {
            let event = self.event(Kind::AGENT_STATE, now, Object::of(&body), agent);
            self.append(&[event]).await?;
        }
        self.presence.report(agent, report);
        Ok(())
    }

    /// What a downlink is to send behind a place. What was queued is delivered from now on: it is written before it is sent, so a
    /// command that was withdrawn before is never sent.
    ///
    /// # Errors
    /// It could not be written; nothing is to be sent.
    pub(super) async fn take(&mut self, agent: &Name, line: u64, after: Seq, now: Timestamp) -> Result<Taken, Refusal> {
        if !self.presence.is_newest(agent, line) {
            return Ok(Taken::Replaced);
        }
        self.current(now).await?;
        let waiting = |command: &&Command| command.state != State::Acked;
        self.hand_over(agent, after, now, waiting).await.map(Taken::Commands)
    }

    /// All that an agent has not said the end of.
    ///
    /// # Errors
    /// It could not be written.
    pub(super) async fn outstanding(&mut self, agent: &Name, now: Timestamp) -> Result<Vec<Command>, Refusal> {
        self.current(now).await?;
        self.hand_over(agent, Seq::ZERO, now, |_| true).await
    }

    async fn hand_over(
        &mut self,
        agent: &Name,
        after: Seq,
        now: Timestamp,
        wanted: impl Fn(&&Command) -> bool + Send,
    ) -> Result<Vec<Command>, Refusal> {
        let (mut bytes, mut ids, mut steps) = (0, Vec::new(), Vec::new());
        for command in self.ledger.open(agent, after).filter(&wanted) {
            if bytes >= HAND_OVER {
                break;
            }
            bytes += command.args.get().len();
            ids.push(command.id);
            if command.state == State::Queued {
                steps.push(Step::new(command.id, State::Delivered));
            }
        }
        self.write(&steps, now).await?;
        Ok(ids.iter().filter_map(|id| self.ledger.get(id).cloned()).collect())
    }

    /// A command, wherever it is.
    ///
    /// # Errors
    /// The views cannot be read.
    pub(super) async fn find(&mut self, id: &EventId) -> Result<Option<Command>, Refusal> {
        self.load().await?;
        if let Some(command) = self.ledger.get(id) {
            return Ok(Some(command.clone()));
        }
        // What is not in the ledger has been folded: the ledger lets go of it only then.
        let id = *id;
        Ok(self.views.read(move |db| commands::get(db, &id)).await?)
    }

    /// The end of a command, or where it will be told.
    ///
    /// # Errors
    /// There is none, or the views cannot be read.
    pub(super) async fn end(&mut self, id: &EventId) -> Result<End, Refusal> {
        let command = self.known(id).await?;
        Ok(if command.state.is_final() {
            End::Come(Box::new(command))
        } else {
            End::ToCome(self.ends.wait(*id))
        })
    }

    async fn known(&mut self, id: &EventId) -> Result<Command, Refusal> {
        let missing = || Refusal::new(Code::NotFound, format!("there is no command {id}")).with("field", "id");
        self.find(id).await?.ok_or_else(missing)
    }

    pub(super) fn open(&self, agent: &Name) -> impl Iterator<Item = &Command> {
        self.ledger.open(agent, Seq::ZERO)
    }

    pub(super) fn agents_with_commands(&self) -> impl Iterator<Item = &Name> {
        self.ledger.agents()
    }

    /// When a command is due next.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.ledger.next_due()
    }

    /// Loaded, and without what is overdue: whatever is decided now is decided about what is.
    async fn current(&mut self, now: Timestamp) -> Result<(), Refusal> {
        self.load().await?;
        self.ledger.forget(self.views.reached());
        self.overdue(now).await
    }

    async fn overdue(&mut self, now: Timestamp) -> Result<(), Refusal> {
        let overdue = self.ledger.overdue(now);
        self.write(&overdue, now).await
    }

    fn has_room(&self, order: &Order, leaving: usize) -> Result<(), Refusal> {
        let open = self.ledger.open(&order.agent, Seq::ZERO).count() - leaving;
        if open >= self.queue {
            let text = format!(
                "agent {} has {open} open commands, as many as there may be",
                order.agent
            );
            return Err(Refusal::new(Code::QueueFull, text)
                .with("field", "agent")
                .with("limit", self.queue));
        }
        let (commands, bytes) = (self.ledger.len(), self.ledger.bytes());
        if commands >= MAX_COMMANDS || bytes >= MAX_BYTES {
            let text = format!("the server has {commands} commands of {bytes} bytes in memory, as many as it takes");
            return Err(Refusal::new(Code::Overloaded, text).with("limit", MAX_COMMANDS));
        }
        Ok(())
    }

    /// Takes a step that somebody asks for, where the table allows it.
    async fn settle(&mut self, command: Command, step: Step, now: Timestamp) -> Result<Command, Refusal> {
        match judge(command.state, step.state) {
            Verdict::Step => {
                self.write(std::slice::from_ref(&step), now).await?;
                Ok(self.ledger.get(&step.id).cloned().unwrap_or(command))
            }
            Verdict::Before => Ok(command),
            Verdict::Refused => {
                let text = format!(
                    "command {} is {}: it cannot become {}",
                    command.id, command.state, step.state
                );
                Err(Refusal::new(Code::Conflict, text)
                    .with("field", "state")
                    .with("state", command.state.as_str()))
            }
        }
    }

    /// Writes steps of commands in the ledger, and takes them in.
    async fn write(&mut self, steps: &[Step], now: Timestamp) -> Result<(), Refusal> {
        for steps in steps.chunks(STEPS) {
            let batch: Vec<_> = steps.iter().filter_map(|step| self.step_event(step, now)).collect();
            let appended = self.append(&batch).await?;
            for step in steps {
                self.stepped(step, now, appended.last);
            }
        }
        if !steps.is_empty() {
            self.figures();
        }
        Ok(())
    }

    fn stepped(&mut self, step: &Step, now: Timestamp, seq: Seq) {
        if step.state.is_final() {
            Metrics::count(&self.metrics.commands_ended, "state", step.state.as_str());
        }
        self.ledger.step(step, now, seq);
        if let Some(command) = self.ledger.get(&step.id).filter(|command| command.state.is_final()) {
            self.ends.tell(command);
        }
    }

    async fn online(&mut self, agent: &Name, now: Timestamp) -> Result<(), Refusal> {
        if self.presence.get(agent).is_some_and(|agent| agent.online) {
            self.presence.seen(agent, now);
            return Ok(());
        }
        if !self.presence.has_room(agent) {
            let text = "the server knows as many agents as it takes, and all are online";
            return Err(Refusal::new(Code::Overloaded, text).with("limit", MAX_AGENTS));
        }
        let event = self.event(Kind::AGENT_ONLINE, now, Object::of(&Empty::default()), agent);
        self.append(&[event]).await?;
        self.presence.set(agent, true, now);
        self.figures();
        Ok(())
    }

    async fn append(&mut self, batch: &[NewEvent]) -> Result<Appended, Refusal> {
        let appended = self.log.append(batch).await;
        if let Err(error) = &appended {
            self.metrics.append_errors.inc();
            // Written or not: only the log knows.
            self.loaded = !matches!(error, AppendError::Unknown);
        }
        Ok(appended?)
    }

    fn event(&self, kind: Kind, now: Timestamp, data: Object, agent: &Name) -> NewEvent {
        NewEvent {
            agent: Some(agent.clone()),
            ..NewEvent::new(kind, self.source.clone(), now, data)
        }
    }

    fn opening(&self, command: &Command) -> NewEvent {
        let body = CommandBody {
            command_id: command.id.to_string(),
            action: command.action.to_string(),
            arguments: Some(Json::of(&command.args)),
            actor: Some(command.actor.clone()),
            expires_at: Some(command.expires.to_string()),
        };
        NewEvent {
            session_id: command.session_id.clone(),
            ..self.event(Kind::COMMAND, command.issued, Object::of(&body), &command.agent)
        }
    }

    /// What a message says, as the words of its session: they are there once, whoever gave the command and whoever takes it on.
    fn said(&self, command: &Command) -> Option<NewEvent> {
        let session_id = command
            .session_id
            .clone()
            .filter(|_| command.action == Action::Message)?;
        let body = Message {
            role: "user".to_owned(),
            content: command.args.read::<MessageArgs>().ok()?.content,
            message_id: Some(command.id.to_string()),
            ..Message::default()
        };
        Some(NewEvent {
            session_id: Some(session_id),
            ..self.event(Kind::MESSAGE, command.issued, Object::of(&body), &command.agent)
        })
    }

    fn step_event(&self, step: &Step, now: Timestamp) -> Option<NewEvent> {
        let command = self.ledger.get(&step.id)?;
        let body = CommandState {
            command_id: step.id.to_string(),
            state: step.state.to_string(),
            reason: step.reason.clone(),
            result: step.result.as_ref().map(Json::of),
            by: step.by.clone(),
        };
        Some(NewEvent {
            session_id: command.session_id.clone(),
            ..self.event(Kind::COMMAND_STATE, now, Object::of(&body), &command.agent)
        })
    }

    /// Shows how much there is of everything here.
    pub(super) fn figures(&self) {
        let online = i64::try_from(self.presence.online()).unwrap_or(i64::MAX);
        self.metrics.agents_online.set(online);
        for (bound, used, limit) in [
            ("commands", self.ledger.len(), MAX_COMMANDS),
            ("command_bytes", self.ledger.bytes(), MAX_BYTES),
            ("agents", self.presence.len(), MAX_AGENTS),
        ] {
            self.metrics.level(Level { bound, used, limit });
        }
    }
}

/// The command that was given before under this id, if it is the same.
fn same(known: Command, order: &Order) -> Result<Command, Refusal> {
    let as_given = known.agent == order.agent
        && known.session_id == order.session_id
        && known.action == order.action
        && known.args == order.args;
    if as_given {
        return Ok(known);
    }
    Err(Refusal::new(Code::Conflict, "`id` is of another command").with("field", "id"))
}
