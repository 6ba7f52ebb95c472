//! Commands against a model: long random runs of orders, deliveries, acknowledgements, withdrawals, time, writes that fail and
//! restarts. The model is a list and a few sentences; it knows nothing of ledgers, views or logs.
//!
//! Time is a number that the test counts up, so nothing depends on how fast the machine is. A run is its seed: it is printed, and
//! `SEED=n cargo nextest run -p turnwire-server control::tests` runs that one alone.

mod inbox;
mod overtaken;

use std::{path::Path, sync::Arc, time::Duration};

use tokio::sync::{Notify, oneshot};
use turnwire_log::{
    Limit, Log, ReadError,
    faulty::{Faults, Faulty},
    memory::MemoryLog,
};
use turnwire_proto::{
    Code, CommandBody, CommandState, EventId, Json, Message, Name, Object, Selector, Seq, Timestamp,
    command::{Acknowledgement, Action, Command, MessageArgs, State},
};

use super::{
    desk::{Desk, Order, Taken},
    ends::End,
    ledger::RESULT_WAIT_MS,
    presence::Held,
};
use crate::{
    http::Refusal,
    observe::Metrics,
    views::{Folding, Views},
};

/// Commands that may be open for one agent.
const QUEUE: usize = 6;
const AGENTS: [&str; 2] = ["a", "b"];
const ACTIONS: [Action; 5] = [
    Action::Message,
    Action::SetModel,
    Action::Hold,
    Action::Release,
    Action::Cancel,
];
/// Steps of one run.
const STEPS: usize = 150;

/// Numbers that a seed gives: `SplitMix64`, <https://prng.di.unimi.it/splitmix64.c>.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }
}

/// A command as the model knows it.
#[derive(Clone, Debug)]
struct Known {
    seq: Seq,
    id: EventId,
    agent: Name,
    session: Option<Name>,
    action: Action,
    state: State,
    /// Until when the state may stay.
    until: i64,
}

/// What is asked of both.
#[derive(Clone, Debug)]
enum Ask {
    Issue(Order),
    Take(Name, Seq),
    Outstanding(Name),
    Ack(Name, EventId, State),
    Withdraw(EventId),
    Tick,
}

/// What comes of it: commands with their states, or a code.
type Answer = Result<Vec<(EventId, State)>, Code>;

#[derive(Default)]
struct Model {
    known: Vec<Known>,
}

impl Model {
    /// What time does. Whether it did anything.
    fn overdue(&mut self, now: i64) -> bool {
        let due = |one: &&mut Known| !one.state.is_final() && one.until <= now;
        let mut any = false;
        for one in self.known.iter_mut().filter(due) {
            any = true;
            one.state = if one.state == State::Acked {
                State::Failed
            } else {
                State::Expired
            };
        }
        any
    }

    fn open(&self, agent: &Name) -> Vec<Known> {
        let open = |one: &&Known| one.agent == *agent && !one.state.is_final();
        self.known.iter().filter(open).cloned().collect()
    }

    fn set(&mut self, id: EventId, state: State) {
        self.known.iter_mut().find(|one| one.id == id).unwrap().state = state;
    }

    fn state(&self, id: EventId) -> Option<State> {
        self.known.iter().find(|one| one.id == id).map(|one| one.state)
    }

    fn answer(&mut self, ask: &Ask, now: i64) -> Answer {
        self.overdue(now);
        match ask {
            Ask::Issue(order) => self.issue(order, now),
            Ask::Take(agent, after) => Ok(self.deliver(agent, *after, false)),
            Ask::Outstanding(agent) => Ok(self.deliver(agent, Seq::ZERO, true)),
            Ask::Ack(agent, id, said) => {
                let one = self
                    .known
                    .iter()
                    .find(|one| one.id == *id)
                    .ok_or(Code::NotFound)?
                    .clone();
                if one.agent != *agent {
                    return Err(Code::Forbidden);
                }
                match (one.state, *said) {
                    (State::Delivered, said) | (State::Acked, said @ (State::Done | State::Failed)) => {
                        self.set(*id, said);
                        if said == State::Acked {
                            let one = self.known.iter_mut().find(|one| one.id == *id).unwrap();
                            one.until = now + RESULT_WAIT_MS;
                        }
                        Ok(vec![(*id, said)])
                    }
                    (before, said) if before == said => Ok(vec![(*id, before)]),
                    (before @ (State::Done | State::Failed), State::Acked) => Ok(vec![(*id, before)]),
                    _ => Err(Code::Conflict),
                }
            }
            Ask::Withdraw(id) => match self.state(*id).ok_or(Code::NotFound)? {
                State::Queued | State::Delivered | State::Withdrawn => {
                    self.set(*id, State::Withdrawn);
                    Ok(vec![(*id, State::Withdrawn)])
                }
                _ => Err(Code::Conflict),
            },
            Ask::Tick => Ok(Vec::new()),
        }
    }

    fn issue(&mut self, order: &Order, now: i64) -> Answer {
        let id = order.id.unwrap();
        if let Some(one) = self.known.iter().find(|one| one.id == id) {
            let same = (&one.agent, &one.session, one.action) == (&order.agent, &order.session_id, order.action);
            return if same {
                Ok(vec![(id, one.state)])
            } else {
                Err(Code::Conflict)
            };
        }
        let group = |action| match action {
            Action::SetModel => 1,
            Action::Hold | Action::Release => 2,
            _ => 0,
        };
        let open = self.open(&order.agent);
        let pointless: Vec<_> = open
            .iter()
            .filter(|one| one.session == order.session_id && one.state != State::Acked)
            .filter(|one| group(one.action) != 0 && group(one.action) == group(order.action))
            .map(|one| one.id)
            .collect();
        if open.len() - pointless.len() >= QUEUE {
            return Err(Code::QueueFull);
        }
        for old in pointless {
            self.set(old, State::Withdrawn);
        }
        self.known.push(Known {
            // Known when the other side has said it.
            seq: Seq::MAX,
            id,
            agent: order.agent.clone(),
            session: order.session_id.clone(),
            action: order.action,
            state: State::Queued,
            until: now + i64::try_from(order.lifetime.as_millis()).unwrap(),
        });
        Ok(vec![(id, State::Queued)])
    }

    fn deliver(&mut self, agent: &Name, after: Seq, acked_too: bool) -> Vec<(EventId, State)> {
        let mut out = Vec::new();
        for one in self.open(agent).into_iter().filter(|one| one.seq > after) {
            match one.state {
                State::Queued => self.set(one.id, State::Delivered),
                State::Acked if !acked_too => continue,
                _ => {}
            }
            out.push((one.id, self.state(one.id).unwrap()));
        }
        out
    }
}

/// The desk, and what it stands on.
struct Real {
    log: Arc<dyn Log>,
    faults: Faults,
    desk: Desk,
    lines: [Option<Held>; 2],
    // Before the directory: its thread writes there.
    _folding: Folding,
}

impl Real {
    async fn open(log: Arc<dyn Log>, faults: Faults, dir: &Path) -> Self {
        let bounds = log.bounds().await.unwrap();
        let tail = log.tail(&Selector::all()).await.unwrap();
        let (views, folding) = Views::open(dir, log.clone(), bounds.epoch, tail).unwrap();
        let told = Arc::<Notify>::default();
        let silence = Duration::from_hours(1);
        let desk = Desk::new(log.clone(), views, Arc::<Metrics>::default(), QUEUE, silence, told);
        Self {
            log,
            faults,
            desk,
            lines: [None, None],
            _folding: folding,
        }
    }

    async fn restart(self, dir: &Path) -> Self {
        let Self { log, faults, .. } = self;
        Self::open(log, faults, dir).await
    }

    async fn connected(&mut self, agent: &Name, now: Timestamp) -> u64 {
        let at = AGENTS.iter().position(|name| *name == agent.as_str()).unwrap();
        if self.lines[at].is_none() {
            self.lines[at] = Some(self.desk.connect(agent, now).await.unwrap());
        }
        self.lines[at].as_ref().unwrap().id
    }

    async fn answer(&mut self, ask: &Ask, now: Timestamp) -> Result<Vec<Command>, Refusal> {
        match ask.clone() {
            Ask::Issue(order) => self.desk.issue(order, now).await.map(|command| vec![command]),
            Ask::Take(agent, after) => {
                let line = self.lines.iter().flatten().map(|held| held.id).collect::<Vec<_>>();
                let at = AGENTS.iter().position(|name| *name == agent.as_str()).unwrap();
                let id = self.lines[at].as_ref().map(|held| held.id).unwrap();
                assert!(line.contains(&id));
                match self.desk.take(&agent, id, after, now).await? {
                    Taken::Commands(commands) => Ok(commands),
                    Taken::Replaced => panic!("it is the newest downlink"),
                }
            }
            Ask::Outstanding(agent) => self.desk.outstanding(&agent, now).await,
            Ask::Ack(agent, id, state) => {
                let said = Acknowledgement {
                    state,
                    reason: None,
                    result: None,
                };
                let acked = self.desk.acknowledge(&agent, id, said, now).await;
                acked.map(|command| vec![command])
            }
            Ask::Withdraw(id) => {
                let withdrawn = self.desk.withdraw(id, "test".into(), now).await;
                withdrawn.map(|command| vec![command])
            }
            Ask::Tick => self.desk.tick(now).await.map(|()| Vec::new()),
        }
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn asked(dice: &mut Dice, model: &Model) -> Ask {
    let agent = name(dice.one(&AGENTS));
    let any = |dice: &mut Dice| {
        let known = &model.known;
        // Mostly a late one, sometimes one that there never was.
        match known.len() {
            0 => EventId::new(),
            _ if dice.below(20) == 0 => EventId::new(),
            len => known[len - 1 - dice.below(len.min(10))].id,
        }
    };
    match dice.below(12) {
        0..=3 => {
            let id = if dice.below(8) == 0 { any(dice) } else { EventId::new() };
            let session_id = (dice.below(2) == 0).then(|| name("s"));
            let action = dice.one(&ACTIONS);
            Ask::Issue(Order {
                id: Some(id),
                agent,
                session_id,
                action,
                args: match action {
                    Action::Message => Object::of(&MessageArgs {
                        content: "hello".into(),
                        user_id: None,
                        project_id: None,
                    }),
                    _ => Object::empty(),
                },
                actor: "test".into(),
                lifetime: Duration::from_millis(1 + dice.next() % 40_000),
            })
        }
        4 | 5 => {
            let places: Vec<_> = model.known.iter().map(|one| one.seq).chain([Seq::ZERO]).collect();
            let after = if dice.below(2) == 0 {
                Seq::ZERO
            } else {
                dice.one(&places)
            };
            Ask::Take(agent, after)
        }
        6 => Ask::Outstanding(agent),
        7..=9 => {
            let id = any(dice);
            // Mostly by whom it is for.
            let own = model.known.iter().find(|one| one.id == id).map(|one| one.agent.clone());
            let by = own.filter(|_| dice.below(10) > 0).unwrap_or(agent);
            Ask::Ack(
                by,
                id,
                dice.one(&[State::Acked, State::Acked, State::Done, State::Failed]),
            )
        }
        10 => Ask::Withdraw(any(dice)),
        _ => Ask::Tick,
    }
}

/// Who waits for each command's end, and how it was told.
#[derive(Default)]
struct Waiters(Vec<(EventId, oneshot::Receiver<Command>, Option<State>)>);

impl Waiters {
    /// Waits for what nobody waits for yet.
    async fn wait(&mut self, desk: &mut Desk, model: &Model) {
        for one in &model.known {
            if self.0.iter().all(|(id, ..)| *id != one.id) {
                match desk.end(&one.id).await.unwrap() {
                    End::Come(command) => assert_eq!(command.state, one.state),
                    End::ToCome(told) => self.0.push((one.id, told, None)),
                }
            }
        }
    }

    /// Each was told when its command had ended, of that end, and not before.
    fn agree(&mut self, model: &Model, what: &str) {
        for (id, told, known) in &mut self.0 {
            if let Ok(command) = told.try_recv() {
                *known = Some(command.state);
            }
            let ended = model.state(*id).filter(|state| state.is_final());
            assert_eq!(*known, ended, "{what}: who waits for {id}");
        }
    }
}

async fn run(seed: u64) {
    let (mut dice, dir) = (Dice(seed), tempfile::tempdir().unwrap());
    let (log, faults) = Faulty::new(MemoryLog::new());
    let (mut model, mut now) = (Model::default(), 1_000_000_i64);
    let mut real = Real::open(Arc::new(log), faults, dir.path()).await;
    let mut waiters = Waiters::default();
    for step in 0..STEPS {
        now += match dice.below(40) {
            0 => RESULT_WAIT_MS,
            _ => i64::try_from(dice.next() % 3000).unwrap(),
        };
        let at = Timestamp::from_millis(now).unwrap();
        if dice.below(25) == 0 {
            real = real.restart(dir.path()).await;
            waiters = Waiters::default();
        }
        let ask = asked(&mut dice, &model);
        if let Ask::Take(agent, _) = &ask {
            real.connected(agent, at).await;
        }
        let fault = dice.below(12);
        match fault {
            0 => real.faults.fail(turnwire_log::faulty::Call::Append, 1, true),
            1 => real.faults.tear(1),
            _ => {}
        }
        let answer = real.answer(&ask, at).await;
        real.faults.heal();
        let what = format!("seed {seed}, step {step}: {ask:?}");
        match answer {
            // The one write that failed wrote nothing, …
            Err(refusal) if fault == 0 && refusal.code() == Code::StoreUnavailable => {}
            // … and the one that was torn was the first: what time did, else what was asked.
            Err(refusal) if fault == 1 && refusal.code() == Code::StoreUnavailable => {
                if !model.overdue(now) {
                    model.answer(&ask, now).unwrap();
                }
            }
            answer => {
                let wanted = model.answer(&ask, now);
                let got = answer.map_err(|refusal| refusal.code());
                let states = got
                    .as_ref()
                    .map(|list| list.iter().map(|one| (one.id, one.state)).collect());
                assert_eq!(states.map_err(|code| *code), wanted, "{what}");
            }
        }
        agree(&mut real.desk, &mut model, &what).await;
        waiters.agree(&model, &what);
        waiters.wait(&mut real.desk, &model).await;
    }
    legal(&*real.log, &model, seed).await;
}

/// Both know the same commands in the same states.
async fn agree(desk: &mut Desk, model: &mut Model, what: &str) {
    for one in &mut model.known {
        let command = desk.find(&one.id).await.unwrap();
        let command = command.unwrap_or_else(|| panic!("{what}: {one:?} is not known"));
        assert_eq!(command.state, one.state, "{what}: {one:?}");
        one.seq = command.seq;
    }
}

/// The log alone tells the same: one beginning of each command, its words behind it, and steps that lead to where it is.
async fn legal(log: &dyn Log, model: &Model, seed: u64) {
    let mut told: Vec<(String, State)> = Vec::new();
    let mut said: Vec<(String, Option<Name>)> = Vec::new();
    let limit = Limit {
        events: usize::MAX,
        bytes: usize::MAX,
    };
    let page = log.read(&Selector::all(), Seq::ZERO, limit).await;
    let page = page.map_err(|ReadError::Store(error)| error).unwrap();
    for event in page.events().map(Result::unwrap) {
        match event.kind.as_str() {
            "command" => {
                let id = event.data.read::<CommandBody>().unwrap().command_id;
                assert!(
                    told.iter().all(|(other, _)| *other != id),
                    "seed {seed}: {id} begins twice"
                );
                told.push((id, State::Queued));
            }
            "message" => {
                let body: Message = event.data.read().unwrap();
                assert_eq!((body.role.as_str(), body.content.as_str()), ("user", "hello"));
                assert_eq!(
                    told.last().map(|(id, _)| id),
                    body.message_id.as_ref(),
                    "seed {seed}: behind its command"
                );
                said.push((body.message_id.unwrap(), event.session_id));
            }
            "command_state" => {
                let body: CommandState = event.data.read().unwrap();
                let one = told.iter_mut().find(|(id, _)| *id == body.command_id).unwrap();
                let to = body.state.parse().unwrap();
                assert!(super::is_legal(one.1, to), "seed {seed}: {} to {to}", one.1);
                one.1 = to;
            }
            _ => {}
        }
    }
    let wanted: Vec<_> = model.known.iter().map(|one| (one.id.to_string(), one.state)).collect();
    assert_eq!(told, wanted, "seed {seed}");
    // What is said in a session is among its words, once.
    let messages = model
        .known
        .iter()
        .filter(|one| one.action == Action::Message && one.session.is_some());
    let wanted: Vec<_> = messages.map(|one| (one.id.to_string(), one.session.clone())).collect();
    assert_eq!(said, wanted, "seed {seed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_do_what_the_model_does_whatever_fails_and_whenever_it_restarts() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..24).collect(),
    };
    for seed in seeds {
        eprintln!("seed {seed}");
        run(seed).await;
    }
}

#[test]
fn arguments_are_carried_as_they_were_checked() {
    let given = Object::new(Json::parse(r#"{ "content" : "é\u0041" }"#).unwrap()).unwrap();
    let checked = super::checked(Action::Message, "args.", &given).unwrap();
    assert_eq!(checked.get(), r#"{"content":"éA"}"#);
}
