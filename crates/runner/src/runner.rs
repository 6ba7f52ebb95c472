//! The runner: hears orders, gives them to sessions, and says how the agent stands.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use turnwire_client::{
    Error as ClientError,
    downlink::{Downlink, Ended, Item, Order},
    spool::SpoolError,
};
use turnwire_proto::{
    EventId, Kind, Name, TurnEnd,
    command::{Action, Report, SessionReport},
    limits,
};

use crate::{
    Config, Notice, StateError,
    outbox::Outbox,
    session::{INBOX, Session, Task},
    shared::{Shared, result},
    state::{End, SESSIONS, Store},
};

/// Reports at most this often: each is answered with every open order.
const REPORT: Duration = Duration::from_millis(500);
/// Orders that this runner has had. A server repeats at most 256.
const SEEN: usize = 4096;
/// How long the end waits for sessions, for results, and for events.
const CLOSING: Duration = Duration::from_secs(8);
const RESULTS: Duration = Duration::from_secs(5);
const EVENTS: Duration = Duration::from_secs(5);
/// What a turn says that was open when the runner before ended.
const ENDED: &str = "the runner ended";

/// Why a runner could not begin, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What outlives it cannot be kept.
    #[error(transparent)]
    State(#[from] StateError),
    /// The spool cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The downlink has ended, and coming back does not mend it.
    #[error("{0}")]
    Link(Ended),
}

/// How a runner ended that was told to.
#[derive(Clone, Copy, Debug)]
pub struct Stopped {
    /// Events that the gateway does not have; the next runner of this agent sends them.
    pub kept: u64,
}

/// An agent's runner.
pub struct Runner {
    pub(crate) shared: Arc<Shared>,
    link: Downlink,
    /// What the driver can be told.
    pub(crate) can: Vec<Action>,
    pub(crate) sessions: BTreeMap<Name, mpsc::Sender<Task>>,
    tasks: JoinSet<Name>,
    /// With the session that an order waits in, where it does.
    seen: BTreeMap<EventId, Option<Name>>,
    order: VecDeque<EventId>,
    last: Option<Report>,
    reports: JoinSet<Result<Vec<Item>, ClientError>>,
}

impl Runner {
    /// Opens what it keeps, tells what the runner before left open, and connects.
    ///
    /// # Errors
    /// When its state or its spool cannot be used.
    pub async fn start(config: Config) -> Result<Self, Error> {
        let store = Store::open(&config.state_dir)?;
        let root = config.state_dir.join("spool");
        let outbox = Outbox::open(&root, &config.target, &config.agent, Arc::clone(&config.locate))?;
        let link = Downlink::builder(config.endpoint.clone())
            .agent(config.agent.clone())
            .connect();
        let can = (config.driver.make)(config.setup.clone()).capabilities();
        let shared = Arc::new(Shared::new(&config, store, outbox, link.handle()));
        let mut runner = Self {
            shared,
            link,
            can,
            sessions: BTreeMap::new(),
            tasks: JoinSet::new(),
            seen: BTreeMap::new(),
            order: VecDeque::new(),
            last: None,
            reports: JoinSet::new(),
        };
        runner.recover(None).await?;
        runner.tell_again().await;
        Ok(runner)
    }

    /// Works until `stop`, or until the downlink ends for good.
    ///
    /// # Errors
    /// [`Error::Link`]; all is closed then, too.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<Stopped, Error> {
        let mut stop = std::pin::pin!(stop);
        let mut states = self.shared.link.states();
        // How it stands by now is news, too.
        states.mark_changed();
        let mut reported = self.shared.reported.subscribe();
        let mut report_at = None;
        let why = loop {
            tokio::select! {
                // All are cancel-safe.
                () = &mut stop => break None,
                item = self.link.next() => match item {
                    Some(item) => {
                        if matches!(item, Item::Sync { .. }) {
                            self.last = None;
                            report_at = Some(Instant::now());
                        }
                        self.item(item).await;
                    }
                    None => break Some(self.link.ended().await),
                },
                Some(done) = self.reports.join_next() => {
                    if let Ok(Ok(items)) = done {
                        for item in items {
                            self.item(item).await;
                        }
                    } else {
                        // It is tried again with the next change, or when the downlink opens anew.
                        self.last = None;
                    }
                }
                Some(ended) = self.tasks.join_next() => self.session_ended(ended).await,
                _ = states.changed() => {
                    let state = states.borrow_and_update().clone();
                    self.shared.tell(Notice::Link(state));
                }
                _ = reported.changed() => {
                    report_at.get_or_insert_with(|| Instant::now() + REPORT);
                }
                () = sleep_until(report_at.unwrap_or_else(Instant::now)), if report_at.is_some() && self.reports.is_empty() => {
                    report_at = None;
                    self.report().await;
                }
            }
        };
        let kept = self.close().await;
        match why {
            None | Some(Ended::Closed) => Ok(Stopped { kept }),
            Some(why) => Err(Error::Link(why)),
        }
    }

    async fn item(&mut self, item: Item) {
        match item {
            Item::Order(order) => self.heard(order).await,
            Item::Unreadable { id, why } => {
                self.shared
                    .tell(Notice::Trouble(format!("an order cannot be read: {why}")));
                if let Some(id) = id {
                    self.shared.refuse(id, &format!("the order cannot be read: {why}"));
                }
            }
            _ => {}
        }
    }

    async fn heard(&mut self, order: Order) {
        if self.is_new(order.id).await {
            self.order(order).await;
        }
    }

    /// Whether an order has not been had, by this runner or one before it.
    async fn is_new(&mut self, id: EventId) -> bool {
        if self.seen.contains_key(&id) {
            return false;
        }
        self.seen.insert(id, None);
        self.order.push_back(id);
        if self.order.len() > SEEN
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        !self.shared.store.look(|state| state.taken(id).is_some()).await
    }

    /// Closes what was open when the runner before ended, or a session's task.
    async fn recover(&mut self, session: Option<&Name>) -> Result<(), StateError> {
        let outbox = &self.shared.outbox;
        let open = self.shared.store.look(|state| {
            let open = state.taken.iter().filter(|taken| taken.end.is_none());
            open.filter(|taken| session.is_none() || taken.session.as_ref() == session)
                .cloned()
                .collect::<Vec<_>>()
        });
        let mut ends = Vec::new();
        for taken in open.await {
            let turn = Name::new(&taken.id.to_string()).ok().filter(|_| taken.turn);
            let end = match (turn, &taken.session) {
                (Some(turn), Some(session)) => {
                    let body = TurnEnd {
                        ok: false,
                        note: Some(ENDED.to_owned()),
                        ..TurnEnd::default()
                    };
                    let mut event = outbox.event(Kind::TURN_END, Some(session), &body);
                    event.turn_id = Some(turn.clone());
                    outbox.push(&[event]);
                    End::Done(Some(result(session, &turn, false, Some(ENDED))))
                }
                _ => End::Failed(ENDED.to_owned()),
            };
            ends.push((taken.id, end));
        }
        if ends.is_empty() {
            return Ok(());
        }
        let told = self.shared.store.change(|state| {
            for (id, end) in &ends {
                state.finish(*id, end.clone());
            }
        });
        told.await?;
        if session.is_some() {
            for (id, end) in ends {
                self.shared.tell_end(id, end);
            }
        }
        Ok(())
    }

    /// Results that the runner before could not tell.
    async fn tell_again(&self) {
        let untold = self.shared.store.look(|state| {
            let untold = state.taken.iter().filter(|taken| !taken.told);
            untold
                .filter_map(|taken| Some((taken.id, taken.end.clone()?)))
                .collect::<Vec<_>>()
        });
        for (id, end) in untold.await {
            self.shared.tell_end(id, end);
        }
    }

    /// Gives a session something. One that cannot take it says why.
    pub(crate) async fn give(&mut self, session: &Name, task: Task) -> Result<(), String> {
        if !self.sessions.contains_key(session) {
            self.open(session).await;
        }
        if let Task::Work(work) = &task
            && let Some(waits) = self.seen.get_mut(&work.id)
        {
            *waits = Some(session.clone());
        }
        let sender = self.sessions.get(session);
        sender
            .map(|sender| sender.try_send(task).map_err(|_| "the session is busy".to_owned()))
            .unwrap_or_else(|| Err("too many sessions are open".to_owned()))
    }

    async fn open(&mut self, session: &Name) {
        if self.sessions.len() >= SESSIONS {
            let doing = self.shared.doing();
            let idle = |id: &&Name| doing.get(*id).is_none_or(|doing| doing.state == "idle");
            let Some(idle) = self.sessions.keys().find(idle).cloned() else {
                return;
            };
            // It ends when it has done what it was told.
            self.sessions.remove(&idle);
        }
        let (sender, inbox) = mpsc::channel(INBOX);
        let opened = Session::open(Arc::clone(&self.shared), session.clone(), inbox).await;
        let id = session.clone();
        self.tasks.spawn(async move {
            opened.run().await;
            id
        });
        self.sessions.insert(session.clone(), sender);
    }

    /// A session's task has ended, which none does by itself but by a panic.
    async fn session_ended(&mut self, ended: Result<Name, tokio::task::JoinError>) {
        let Err(error) = ended else { return };
        self.shared.tell(Notice::Trouble(format!("a session failed: {error}")));
        let gone: Vec<Name> = self
            .sessions
            .iter()
            .filter(|(_, to)| to.is_closed())
            .map(|(id, _)| id.clone())
            .collect();
        for session in gone {
            self.sessions.remove(&session);
            self.shared.slots.free(&session);
            self.shared.login.waits_no_more(&session);
            self.shared.forget(&session);
            if let Err(error) = self.recover(Some(&session)).await {
                self.shared.tell(Notice::Trouble(error.to_string()));
            }
            // What waited in it is open with the server, which tells of it in its answer to a report.
            self.seen.retain(|_, waits| waits.as_ref() != Some(&session));
            self.last = None;
            self.shared.reported.send_replace(());
        }
    }

    /// Says how the agent stands, where that is another than was said.
    async fn report(&mut self) {
        let doing = self.shared.doing();
        let (model, held) = self.shared.store.look(|state| (state.model.clone(), state.held)).await;
        let word = |word: &str| Name::new(word).ok();
        let does = |what: &str| doing.values().any(|doing| doing.state == what);
        let state = ["thinking", "compacting", "rate_limited"]
            .into_iter()
            .find(|what| does(what));
        let sessions = doing.iter().take(limits::REPORTED).map(|(id, doing)| SessionReport {
            id: id.clone(),
            state: word(doing.state),
            model: doing.model.clone(),
        });
        let report = Report {
            capabilities: self.can.iter().filter_map(|action| word(action.as_str())).collect(),
            model: model.or_else(|| self.shared.setup.model.clone()),
            state: word(state.unwrap_or(if held { "held" } else { "idle" })),
            login: self.shared.login.standing().word().and_then(word),
            sessions: sessions.collect(),
            version: self.shared.version(),
        };
        if self.last.as_ref() == Some(&report) {
            return;
        }
        self.last = Some(report.clone());
        let link = self.shared.link.clone();
        self.reports.spawn(async move { link.sync(&report).await });
    }

    /// Ends everything, each part within a bound.
    async fn close(mut self) -> u64 {
        self.shared.stop.send_replace(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(CLOSING, all).await.is_err() {
            // Their programs end with them.
            self.tasks.shutdown().await;
        }
        let _ = timeout(RESULTS, self.shared.errands()).await;
        self.last = None;
        self.link.close();
        self.shared.outbox.close(EVENTS).await
    }
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
