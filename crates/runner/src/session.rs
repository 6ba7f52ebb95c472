//! One session: its program, what waits for it, and the turn that is open. All that happens to it happens in its own task, one thing
//! after the other.

mod turn;
mod write;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant as Clock},
};

use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};
use turnwire_adapters::{Adapter, Coalescer};
use turnwire_client::downlink::{Said, Verdict as Acked};
use turnwire_proto::{EventId, Name, NewEvent, Object, Seq, StatusChanged, Timestamp};

use crate::{
    Driver, Failure, Signal, Tell, Verdict,
    asks::Asks,
    login::Standing,
    shared::{Doing, Notice, Shared},
    state::End,
};
use turn::Turn;

/// Orders that a session has had and not looked at. It looks at them at once, but for what a driver's answers take.
pub(crate) const INBOX: usize = 64;
/// Messages that wait for their turn. They are open with the server, which has at most 256 of one agent by default.
const WAITING: usize = 1024;
/// After so much silence an adapter gives out what it held back to know more.
const IDLE: Duration = Duration::from_secs(1);
/// How long the end of the runner waits for the end of a turn that it has interrupted.
const CLOSING: Duration = Duration::from_secs(3);

/// What came of an order that is no turn.
pub(crate) type Answer = Result<Option<Object>, String>;

/// What a session is told.
#[derive(Debug)]
pub(crate) enum Task {
    /// Something that takes a turn, behind what waits.
    Work(Work),
    /// To end the turn.
    Stop(Stop, oneshot::Sender<Answer>),
    /// Something for the program.
    Tell(Tell, oneshot::Sender<Answer>),
    /// To begin with an empty context.
    Forget,
}

/// What takes a turn.
#[derive(Debug)]
pub(crate) struct Work {
    /// The order, whose id the turn has.
    pub id: EventId,
    pub seq: Seq,
    pub what: What,
    /// The server has not written the message down: it is of no session's.
    pub unwritten: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Say(String),
    Compact(Option<String>),
}

/// What is to stop.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    /// Only this turn.
    pub turn: Option<Name>,
    /// What waited before this place is dropped, too.
    pub waiting: Option<Seq>,
}

/// Waits until the runner stops. Cancel-safe.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

pub(crate) struct Session {
    shared: Arc<Shared>,
    id: Name,
    inbox: mpsc::Receiver<Task>,
    driver: Box<dyn Driver>,
    /// Of the program that runs.
    adapter: Option<Box<dyn Adapter>>,
    coalescer: Coalescer,
    waiting: VecDeque<Work>,
    turn: Option<Turn>,
    asks: Asks,
    leave: Arc<Notify>,
    /// When the adapter was last given something; `None` once it was told that nothing more came.
    heard: Option<Instant>,
    /// What the vendor says that it uses, for the report.
    shown: Option<Name>,
    /// What the driver was told of.
    model: Option<Name>,
    mode: Option<Name>,
    /// The last `status_changed` of ours.
    status: &'static str,
    resumed: bool,
    ready: Vec<NewEvent>,
}

impl Session {
    pub(crate) async fn open(shared: Arc<Shared>, id: Name, inbox: mpsc::Receiver<Task>) -> Self {
        let (model, mode, conversation) = shared
            .store
            .look(|state| {
                let conversation = state.session(&id).and_then(|session| session.conversation.clone());
                (state.model_of(&id), state.mode_of(&id), conversation)
            })
            .await;
        let mut setup = shared.setup.clone();
        setup.model = model.or(setup.model);
        setup.permission_mode = mode.or(setup.permission_mode);
        setup.conversation = conversation;
        Self {
            shown: setup.model.clone(),
            model: setup.model.clone(),
            mode: setup.permission_mode.clone(),
            resumed: setup.conversation.is_some(),
            driver: (shared.spec.make)(setup),
            shared,
            id,
            inbox,
            adapter: None,
            coalescer: Coalescer::default(),
            waiting: VecDeque::new(),
            turn: None,
            asks: Asks::default(),
            leave: Arc::default(),
            heard: None,
            status: "offline",
            ready: Vec::new(),
        }
    }

    /// Until the runner stops, or nobody can tell it anything any more.
    pub(crate) async fn run(mut self) {
        let mut stop = self.shared.stop.subscribe();
        let mut settings = self.shared.settings.subscribe();
        let mut slots = self.shared.slots.changed();
        let mut login = self.shared.login.changes();
        loop {
            // Marked before they are looked at, so that no change falls between the look and the wait.
            settings.mark_unchanged();
            slots.mark_unchanged();
            login.mark_unchanged();
            self.advance().await;
            let deadline = self.deadline();
            tokio::select! {
                // All are cancel-safe. In no order: a program that prints without end must not keep a person's word from it.
                () = stopped(&mut stop) => break,
                signal = self.driver.next() => self.signal(signal).await,
                task = self.inbox.recv() => match task {
                    Some(task) => self.task(task).await,
                    None => break,
                },
                (id, verdict) = self.asks.next() => self.decided(id, verdict).await,
                () = self.leave.notified() => self.make_room().await,
                _ = settings.changed() => {}
                _ = slots.changed() => {}
                _ = login.changed() => {}
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => self.tick().await,
            }
        }
        self.close().await;
    }

    /// When something is to be done though nothing comes.
    fn deadline(&self) -> Option<Instant> {
        let turn = self.turn.as_ref().and_then(Turn::deadline);
        let login = self.shared.login.not_before().filter(|_| !self.waiting.is_empty());
        let coalesced = self.coalescer.deadline().map(Instant::from_std);
        [turn, login, coalesced, self.heard.map(|at| at + IDLE)]
            .into_iter()
            .flatten()
            .min()
    }

    async fn tick(&mut self) {
        let now = Instant::now();
        if self.heard.is_some_and(|heard| heard + IDLE <= now) {
            self.heard = None;
            let mut events = Vec::new();
            if let Some(adapter) = &mut self.adapter {
                adapter.idle(Timestamp::now(), &mut events);
            }
            self.emit(events);
        }
        self.coalescer.poll(Clock::now(), &mut self.ready);
        self.flush();
        if self.turn.as_ref().is_some_and(|turn| turn.is_overdue(now)) {
            self.driver.end().await;
            self.exited(None).await;
        }
    }

    /// Begins what can begin now.
    async fn advance(&mut self) {
        let (id, held) = (self.id.clone(), self.is_held().await);
        if !held {
            for (ask, verdict) in self.asks.kept() {
                self.let_go(ask, verdict).await;
            }
        }
        if let Some(turn) = &self.turn {
            if !held && turn.is_due(&self.shared.login) && self.shared.slots.take(&id, &self.leave) {
                self.attempt().await;
            }
            return;
        }
        while self.turn.is_none() && !self.waiting.is_empty() && !held && !*self.shared.stop.borrow() {
            if !self.shared.login.may_begin() || !self.shared.slots.take(&id, &self.leave) {
                break;
            }
            let unread = self.waiting.len() as u64 - 1;
            if let Some(work) = self.waiting.pop_front() {
                self.begin(work, unread).await;
            }
        }
        if self.turn.is_none() {
            self.rest(held);
        }
    }

    /// Nothing is being done.
    fn rest(&mut self, held: bool) {
        if self.adapter.is_some() {
            self.shared.slots.idle(&self.id);
        } else {
            self.shared.slots.free(&self.id);
        }
        self.does(if held { "held" } else { "idle" });
    }

    async fn is_held(&mut self) -> bool {
        let id = self.id.clone();
        self.shared.store.look(|state| state.is_held(&id)).await
    }

    fn does(&self, state: &'static str) {
        let model = self.shown.clone();
        self.shared.does(&self.id, Doing { state, model });
    }

    async fn task(&mut self, task: Task) {
        match task {
            Task::Work(work) => {
                if self.waiting.len() >= WAITING {
                    self.shared.refuse(work.id, "too many messages wait for this session");
                    return;
                }
                self.waiting.push_back(work);
                self.shared.login.wanted();
            }
            Task::Stop(stop, answer) => {
                let _ = answer.send(self.stop(stop).await);
            }
            Task::Tell(what, answer) => {
                let told = self.driver.tell(what).await.map_err(|failure| failure.to_string());
                let _ = answer.send(told);
            }
            Task::Forget => self.forget().await,
        }
    }

    /// Takes an order on: it is the agent's from now, and is done once. `false` when it is not to be done.
    async fn take(&mut self, work: &Work) -> bool {
        let (id, session) = (work.id, self.id.clone());
        let mut stop = self.shared.stop.subscribe();
        let acked = tokio::select! {
            acked = self.shared.link.ack(id, Said::Acked) => acked,
            // It is open with the server, which gives it to the next runner.
            () = stopped(&mut stop) => return false,
        };
        match acked {
            Ok(Acked::Stands) => {}
            Ok(Acked::Overtaken { .. }) => return false,
            Err(error) => {
                self.shared.tell(Notice::Trouble(format!("order {id}: {error}")));
                return false;
            }
        }
        let taken = self.shared.store.change(|state| {
            state.take(id, Some(session.clone()), true);
            state.used(&session);
        });
        if let Err(error) = taken.await {
            self.shared.tell(Notice::Trouble(error.to_string()));
            self.shared.refuse(id, "the runner cannot write its state");
            return false;
        }
        true
    }

    async fn stop(&mut self, stop: Stop) -> Answer {
        if let (Some(before), None) = (stop.waiting, &stop.turn) {
            let (kept, dropped): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.waiting)
                .into_iter()
                .partition(|work| work.seq > before);
            self.waiting = kept;
            for work in dropped {
                self.shared.refuse(work.id, "cancelled");
            }
        }
        let Some(turn) = &mut self.turn else {
            return match stop.turn {
                Some(other) => Err(format!("turn {other} is not running")),
                None => Ok(None),
            };
        };
        let id = turn.id.clone();
        if let Some(other) = stop.turn.filter(|other| *other != id) {
            return Err(format!("turn {other} is not running"));
        }
        if turn.waits() {
            self.conclude(false, Some("interrupted".to_owned())).await;
        } else {
            turn.stop(Instant::now() + self.shared.pace.interrupt);
            if self.driver.tell(Tell::Interrupt).await.is_err() {
                self.driver.end().await;
                self.exited(None).await;
            }
        }
        #[derive(serde::Serialize)]
        struct Stopped {
            turn_id: Name,
        }
        Ok(Some(Object::of(&Stopped { turn_id: id })))
    }

    /// Begins with an empty context: the conversation is another one from the next turn on.
    async fn forget(&mut self) {
        if self.turn.is_some() {
            let _ = self
                .stop(Stop {
                    turn: None,
                    waiting: None,
                })
                .await;
        }
        self.put_away().await;
        if self.turn.is_some() {
            self.conclude(false, Some("a new conversation was begun".to_owned()))
                .await;
        }
        let mut setup = self.shared.setup.clone();
        setup.model = self.model.clone();
        setup.permission_mode = self.mode.clone();
        self.driver = (self.shared.spec.make)(setup);
        self.resumed = false;
    }

    /// Ends the program; what is begun next starts it again.
    async fn put_away(&mut self) {
        self.driver.end().await;
        self.end_output(None);
        self.shared.slots.free(&self.id);
    }

    /// Another session needs room.
    async fn make_room(&mut self) {
        if self.turn.as_ref().is_none_or(Turn::waits) {
            self.put_away().await;
        }
    }

    async fn decided(&mut self, id: Name, verdict: Verdict) {
        // Held: what is approved waits, what is denied costs nothing.
        if matches!(verdict, Verdict::Approved { .. }) && self.is_held().await {
            self.asks.keep(id, verdict);
        } else {
            self.let_go(id, verdict).await;
        }
    }

    async fn let_go(&mut self, id: Name, verdict: Verdict) {
        if let Err(failure) = self.driver.answer(&id, &verdict).await {
            self.error(&failure.to_string());
        }
    }

    async fn signal(&mut self, signal: Signal) {
        match signal {
            Signal::Line(line) => {
                let mut events = Vec::new();
                if let Some(adapter) = &mut self.adapter {
                    adapter.line(&line, Timestamp::now(), &mut events);
                }
                self.heard = Some(Instant::now());
                self.emit(events);
            }
            Signal::Stderr(line) => self.stderr(&line),
            Signal::Asks(ask) => self.asks.wait(ask.id, Arc::clone(&self.shared.locate)),
            Signal::AskGone(id) => self.asks.gone(&id),
            Signal::Conversation(conversation) => {
                let id = self.id.clone();
                let kept = self.shared.store.change(|state| {
                    state.used(&id).conversation = Some(conversation);
                });
                if let Err(error) = kept.await {
                    self.error(&error.to_string());
                }
                self.resumed = true;
            }
            Signal::Model(model) => {
                self.shown = Some(model);
                self.shared.reported.send_replace(());
            }
            Signal::Compacting(begins) => self.does(if begins { "compacting" } else { "thinking" }),
            Signal::TurnOver(outcome) => self.over(outcome).await,
            Signal::Exited(code) => self.exited(code).await,
        }
    }

    /// The model and the mode that were chosen since the last turn.
    async fn settle(&mut self) {
        let id = self.id.clone();
        let (model, mode) = self
            .shared
            .store
            .look(|state| (state.model_of(&id), state.mode_of(&id)))
            .await;
        if model.is_some() && model != self.model {
            let told = self
                .driver
                .tell(Tell::Model(model.clone().expect("looked at above")))
                .await;
            match told {
                Ok(_) => {
                    self.shown.clone_from(&model);
                    self.model = model;
                }
                Err(failure) => self.error(&format!("the model stays as it was: {failure}")),
            }
        }
        if mode.is_some() && mode != self.mode {
            let told = self
                .driver
                .tell(Tell::PermissionMode(mode.clone().expect("looked at above")))
                .await;
            match told {
                Ok(_) => self.mode = mode,
                Err(failure) => self.error(&format!("the permission mode stays as it was: {failure}")),
            }
        }
    }

    /// The agent's standing, told when it is another one.
    fn stand(&mut self, status: &'static str, note: Option<String>) {
        if self.status == status {
            return;
        }
        self.status = status;
        let body = StatusChanged {
            status: status.to_owned(),
            note,
        };
        self.ours(turnwire_proto::Kind::STATUS_CHANGED, &body);
        self.shared.tell(Notice::Status {
            session: self.id.clone(),
            status,
        });
    }

    /// The runner ends: the turn is closed, the program is ended.
    async fn close(mut self) {
        let waits = self.turn.as_ref().is_some_and(Turn::waits);
        if self.turn.is_some() && !waits && self.driver.tell(Tell::Interrupt).await.is_ok() {
            if let Some(turn) = &mut self.turn {
                turn.stop(Instant::now() + CLOSING);
            }
            let deadline = Instant::now() + CLOSING;
            while self.turn.is_some() {
                tokio::select! {
                    signal = self.driver.next() => self.signal(signal).await,
                    () = sleep_until(deadline) => break,
                }
            }
        }
        self.driver.end().await;
        self.end_output(None);
        if self.turn.is_some() {
            self.conclude(false, Some("the runner ended".to_owned())).await;
        }
        if self.status != "offline" {
            self.stand("offline", None);
        }
        self.coalescer.finish(&mut self.ready);
        self.flush();
        self.shared.login.waits_no_more(&self.id);
        self.shared.slots.free(&self.id);
        self.shared.forget(&self.id);
    }

    async fn fail(&mut self, id: EventId, failure: &Failure) {
        self.error(&failure.to_string());
        if let Err(error) = self.shared.finish(id, End::Failed(failure.to_string())).await {
            self.shared.tell(Notice::Trouble(error.to_string()));
        }
    }

    fn needs_login(&mut self) {
        self.shared.login.set(Standing::Needed);
        self.shared.reported.send_replace(());
    }
}
