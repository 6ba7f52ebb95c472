//! Approvals against a model: long random runs of requests, decisions from here and from elsewhere, ends of calls, turns and sessions,
//! rules, time, writes that fail, restarts and lost views. The model is a list and a few sentences; it knows nothing of views or logs.

use std::{path::Path, sync::Arc, time::Duration};

use turnwire_log::{
    Limit, Log, ReadError,
    faulty::{Call, Faults, Faulty},
    memory::MemoryLog,
};
use turnwire_proto::{
    ApprovalDecision, ApprovalRequest, Code, Kind, Name, NewEvent, Object, Selector, Seq, SessionEnd, Timestamp,
    ToolCall, TurnEnd,
    approval::{Approval, State},
};

use super::{Dice, name};
use crate::{
    control::inbox::{Inbox, Wanted},
    http::Refusal,
    observe::Metrics,
    views::{
        Folding, Views,
        approvals::{self, Filter},
    },
};

/// How long a request waits that does not say it.
const WAIT: Duration = Duration::from_secs(60);
/// Steps of one run.
const STEPS: usize = 120;

/// What is to become of a pending approval.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Rule,
    Over,
}

/// An approval as the model knows it.
#[derive(Clone, Debug)]
struct Known {
    id: Name,
    session: Name,
    tool: String,
    turn: Option<Name>,
    until: i64,
    fate: Option<Fate>,
    state: State,
    by: Option<String>,
    always: bool,
}

/// A turn: it begins with the first event that names it, and ends once.
#[derive(Clone, Debug)]
struct Turn {
    session: Name,
    id: Name,
    is_open: bool,
}

#[derive(Default)]
struct Model {
    known: Vec<Known>,
    turns: Vec<Turn>,
    /// Of which turn each approval is, by its place among the turns.
    of: Vec<(Name, usize)>,
}

impl Model {
    fn get(&mut self, id: &Name) -> Option<&mut Known> {
        self.known.iter_mut().find(|one| one.id == *id)
    }

    fn ask(&mut self, mut one: Known) {
        if self.get(&one.id).is_some() {
            return;
        }
        let is_rule = |rule: &Known| rule.always && rule.session == one.session && rule.tool == one.tool;
        one.fate = self.known.iter().any(is_rule).then_some(Fate::Rule);
        self.known.push(one);
    }

    /// Of which turn a request is: of the one that it names, else of the newest that is open.
    fn turn_of(&mut self, one: &Known) {
        let turn = match &one.turn {
            Some(id) => Some(self.turn(&one.session, id)),
            None => self
                .turns
                .iter()
                .rposition(|turn| turn.session == one.session && turn.is_open),
        };
        if let Some(turn) = turn.filter(|_| self.known.iter().all(|known| known.id != one.id)) {
            self.of.push((one.id.clone(), turn));
        }
    }

    fn turn(&mut self, session: &Name, id: &Name) -> usize {
        let is = |turn: &Turn| turn.session == *session && turn.id == *id;
        self.turns.iter().rposition(is).unwrap_or_else(|| {
            self.turns.push(Turn {
                session: session.clone(),
                id: id.clone(),
                is_open: true,
            });
            self.turns.len() - 1
        })
    }

    fn turn_ends(&mut self, session: &Name, id: &Name) {
        let turn = self.turn(session, id);
        if std::mem::replace(&mut self.turns[turn].is_open, false) {
            let own: Vec<_> = self
                .of
                .iter()
                .filter(|(_, of)| *of == turn)
                .map(|(id, _)| id.clone())
                .collect();
            self.ends(|one| own.contains(&one.id));
        }
    }

    fn session_ends(&mut self, session: &Name) {
        let own = self.turns.iter_mut().filter(|turn| turn.session == *session);
        own.for_each(|turn| turn.is_open = false);
        self.ends(|one| one.session == *session);
    }

    fn ends(&mut self, of: impl Fn(&Known) -> bool) {
        let waits = |one: &&mut Known| one.state == State::Pending && of(one);
        self.known
            .iter_mut()
            .filter(waits)
            .for_each(|one| one.fate = Some(Fate::Over));
    }

    /// What time and fate do to one. Whether they do anything.
    fn settle(one: &mut Known, now: i64) -> bool {
        let (state, by) = match one.fate {
            _ if one.state != State::Pending => return false,
            Some(Fate::Rule) => (State::Approved, Some("rule".to_owned())),
            Some(Fate::Over) => (State::Withdrawn, None),
            None if one.until <= now => (State::Expired, None),
            None => return false,
        };
        (one.state, one.by) = (state, by);
        true
    }

    fn settle_all(&mut self, now: i64) {
        for one in &mut self.known {
            Self::settle(one, now);
        }
    }

    fn decide(&mut self, id: &Name, state: State, by: &str, always: bool) {
        if let Some(one) = self.get(id).filter(|one| one.state == State::Pending) {
            (one.state, one.by, one.always) = (state, Some(by.to_owned()), always && state == State::Approved);
        }
    }
}

/// The inbox, and what it stands on.
struct Real {
    log: Arc<dyn Log>,
    faults: Faults,
    inbox: Inbox,
    views: Views,
    // Before the directory: its thread writes there.
    _folding: Folding,
}

impl Real {
    async fn open(log: Arc<dyn Log>, faults: Faults, dir: &Path) -> Self {
        let bounds = log.bounds().await.unwrap();
        let tail = log.tail(&Selector::all()).await.unwrap();
        let (views, folding) = Views::open(dir, log.clone(), bounds.epoch, tail).unwrap();
        let inbox = Inbox::new(log.clone(), views.clone(), Arc::<Metrics>::default(), WAIT);
        Self {
            log,
            faults,
            inbox,
            views,
            _folding: folding,
        }
    }

    async fn restart(self, dir: &Path, lose_views: bool) -> Self {
        let Self { log, faults, .. } = self;
        if lose_views {
            for file in ["views.db", "views.db-wal", "views.db-shm"] {
                // The last one is there or not.
                let _ = std::fs::remove_file(dir.join(file));
            }
        }
        Self::open(log, faults, dir).await
    }

    async fn publish(&self, event: NewEvent) {
        self.log.append(&[event]).await.unwrap();
    }

    /// All that there is, as the views have it.
    async fn all(&self) -> Vec<Approval> {
        let head = self.log.bounds().await.unwrap().head;
        assert_eq!(self.views.reach(head).await, head);
        let list = |db: &rusqlite::Connection| approvals::list(db, &Filter::default(), WAIT, |_| true, usize::MAX);
        let mut rows = self.views.read(list).await.unwrap().rows;
        rows.reverse();
        rows
    }
}

/// What happens in a step.
#[derive(Clone, Debug)]
enum Happens {
    Asked(Known, bool),
    /// Somebody decides here, more than one perhaps.
    Decided(Vec<Name>, State, &'static str, bool),
    /// Somebody decides elsewhere, of a session that it may not be of.
    Told(Name, Name, State, bool),
    CallEnds(Name, String),
    TurnEnds(Name, Name),
    SessionEnds(Name),
    Nothing,
}

fn happens(dice: &mut Dice, model: &Model, step: usize, now: i64) -> Happens {
    let session = name(dice.one(&["s", "t"]));
    let any = |dice: &mut Dice| match model.known.len() {
        0 => name("nobody"),
        _ if dice.below(15) == 0 => name("nobody"),
        len => model.known[len - 1 - dice.below(len.min(6))].id.clone(),
    };
    match dice.below(14) {
        0..=4 => {
            let again = dice.below(10) == 0;
            let id = if again { any(dice) } else { name(&format!("r{step}")) };
            let own = dice.below(2) == 0;
            let wait = if own { dice.next() % 30_000 } else { 60_000 };
            let one = Known {
                id,
                session,
                tool: dice.one(&["Bash", "Write"]).to_owned(),
                turn: (dice.below(3) == 0).then(|| name(&format!("t{}", step / 20))),
                until: now + i64::try_from(wait).unwrap(),
                fate: None,
                state: State::Pending,
                by: None,
                always: false,
            };
            Happens::Asked(one, own)
        }
        5..=8 => {
            let ids = (0..=dice.below(3)).map(|_| any(dice)).collect();
            let state = dice.one(&[State::Approved, State::Approved, State::Denied]);
            let always = state == State::Approved && dice.below(4) == 0;
            Happens::Decided(ids, state, dice.one(&["left", "right"]), always)
        }
        9 | 10 => {
            let states = [State::Approved, State::Denied, State::Withdrawn, State::Expired];
            Happens::Told(session, any(dice), dice.one(&states), dice.below(4) == 0)
        }
        11 => Happens::CallEnds(session, format!("call of {}", any(dice))),
        12 if dice.below(3) == 0 => Happens::SessionEnds(session),
        12 => Happens::TurnEnds(
            session,
            name(&format!("t{}", (step / 20).saturating_sub(dice.below(2)))),
        ),
        _ => Happens::Nothing,
    }
}

fn event<T: serde::Serialize>(kind: Kind, session: &Name, turn: Option<&Name>, at: Timestamp, body: &T) -> NewEvent {
    NewEvent {
        turn_id: turn.cloned(),
        ..NewEvent::new(kind, name("test"), at, Object::of(body)).in_session(session.clone())
    }
}

async fn run(seed: u64) {
    let (mut dice, dir) = (Dice(seed), tempfile::tempdir().unwrap());
    let (log, faults) = Faulty::new(MemoryLog::new());
    let (mut model, mut now) = (Model::default(), 1_000_000_i64);
    let mut real = Real::open(Arc::new(log), faults, dir.path()).await;
    for step in 0..STEPS {
        now += i64::try_from(dice.next() % 8000).unwrap();
        let at = Timestamp::from_millis(now).unwrap();
        let what = happens(&mut dice, &model, step, now);
        let said = format!("seed {seed}, step {step}: {what:?}");
        match what {
            Happens::Asked(one, own) => {
                let body = ApprovalRequest {
                    approval_id: one.id.to_string(),
                    tool: one.tool.clone(),
                    tool_call_id: Some(format!("call of {}", one.id)),
                    expires_at: own.then(|| Timestamp::from_millis(one.until).unwrap().to_string()),
                    ..ApprovalRequest::default()
                };
                real.publish(event(
                    Kind::APPROVAL_REQUEST,
                    &one.session,
                    one.turn.as_ref(),
                    at,
                    &body,
                ))
                .await;
                model.turn_of(&one);
                model.ask(one);
            }
            Happens::Told(session, id, state, always) => {
                let body = ApprovalDecision {
                    approval_id: id.to_string(),
                    decision: state.to_string(),
                    by: Some("terminal".into()),
                    always: Some(always),
                    ..ApprovalDecision::default()
                };
                real.publish(event(Kind::APPROVAL_DECISION, &session, None, at, &body))
                    .await;
                if model.get(&id).is_some_and(|one| one.session == session) {
                    model.decide(&id, state, "terminal", always);
                }
            }
            Happens::CallEnds(session, call) => {
                let body = ToolCall {
                    tool_call_id: call.clone(),
                    ..ToolCall::default()
                };
                real.publish(event(Kind::TOOL_CALL, &session, None, at, &body)).await;
                model.ends(|one| one.session == session && format!("call of {}", one.id) == call);
            }
            Happens::TurnEnds(session, turn) => {
                real.publish(event(Kind::TURN_END, &session, Some(&turn), at, &TurnEnd::default()))
                    .await;
                model.turn_ends(&session, &turn);
            }
            Happens::SessionEnds(session) => {
                real.publish(event(Kind::SESSION_END, &session, None, at, &SessionEnd::default()))
                    .await;
                model.session_ends(&session);
            }
            Happens::Decided(ids, state, by, always) => {
                decide(&mut dice, &mut real, &mut model, (&ids, state, by, always), now, &said).await;
            }
            Happens::Nothing => {}
        }
        if dice.below(12) == 0 {
            let lose_views = dice.below(2) == 0;
            real = real.restart(dir.path(), lose_views).await;
        }
        tick(&mut dice, &mut real, at).await;
        model.settle_all(now);
        agree(&real, &model, &said).await;
    }
    legal(&*real.log, &model, seed).await;
}

/// What time does is done when the store works, whatever it did before.
async fn tick(dice: &mut Dice, real: &mut Real, at: Timestamp) {
    match dice.below(10) {
        0 => real.faults.fail(Call::Append, 1, true),
        1 => real.faults.tear(1),
        _ => {}
    }
    let first = real.inbox.tick(at).await;
    real.faults.heal();
    if let Err(refusal) = first {
        assert_eq!(refusal.code(), Code::StoreUnavailable);
        real.inbox.tick(at).await.unwrap();
    }
}

type Asked<'a> = (&'a [Name], State, &'static str, bool);

/// Decides on both sides, with a store that may fail.
async fn decide(dice: &mut Dice, real: &mut Real, model: &mut Model, asked: Asked<'_>, now: i64, said: &str) {
    let (ids, state, by, always) = asked;
    let fault = dice.below(8);
    match fault {
        0 => real.faults.fail(Call::Append, 1, true),
        1 => real.faults.tear(1),
        _ => {}
    }
    let wanted = Wanted {
        state,
        by: by.to_owned(),
        message: None,
        arguments: None,
        always,
    };
    let at = Timestamp::from_millis(now).unwrap();
    let answer = real.inbox.decide(ids.to_vec(), |_| true, wanted, at).await;
    real.faults.heal();
    // What is due is written first, …
    let mut settled = false;
    for id in ids {
        if let Some(one) = model.get(id).filter(|_| fault != 0) {
            settled |= Model::settle(one, now);
        }
    }
    let Ok(answer) = answer else {
        // … so a write that failed or was torn there is all that happened.
        let is_due = |one: &mut Known| one.state == State::Pending && (one.fate.is_some() || one.until <= now);
        let due = ids.iter().any(|id| model.get(id).is_some_and(is_due));
        assert!((fault == 0 && due) || (fault == 1 && settled), "{said}: {answer:?}");
        return;
    };
    for (id, got) in ids.iter().zip(&answer) {
        if fault != 0 {
            model.decide(id, state, by, always);
        }
        let got = got.as_ref().map(|one| one.state).map_err(Refusal::code);
        let wanted = match model.get(id) {
            None => Err(Code::NotFound),
            Some(one) if one.state == State::Pending => Err(Code::StoreUnavailable),
            Some(one) if (one.state, one.by.as_deref(), one.always) == (state, Some(by), always) => Ok(state),
            Some(_) => Err(Code::Conflict),
        };
        assert_eq!(got, wanted, "{said}: {id}");
    }
}

/// Both know the same approvals in the same states.
async fn agree(real: &Real, model: &Model, said: &str) {
    let all = real.all().await;
    let got: Vec<_> = all
        .iter()
        .map(|one| (&one.id, one.state, &one.by, one.always))
        .collect();
    let known = model.known.iter();
    let wanted: Vec<_> = known.map(|one| (&one.id, one.state, &one.by, one.always)).collect();
    assert_eq!(got, wanted, "{said}");
}

/// The log alone tells the same, and the server has decided each at most once.
async fn legal(log: &dyn Log, model: &Model, seed: u64) {
    let mut told: Vec<(String, Name, State, usize)> = Vec::new();
    let limit = Limit {
        events: usize::MAX,
        bytes: usize::MAX,
    };
    let page = log.read(&Selector::all(), Seq::ZERO, limit).await;
    let page = page.map_err(|ReadError::Store(error)| error).unwrap();
    for event in page.events().map(Result::unwrap) {
        let session = event.session_id.clone().unwrap();
        match event.kind.as_str() {
            "approval_request" => {
                let id = event.data.read::<ApprovalRequest>().unwrap().approval_id;
                if told.iter().all(|(other, ..)| *other != id) {
                    told.push((id, session, State::Pending, 0));
                }
            }
            "approval_decision" => {
                let body: ApprovalDecision = event.data.read().unwrap();
                let of = |one: &&mut (String, Name, State, usize)| one.0 == body.approval_id && one.1 == session;
                if let Some(one) = told.iter_mut().find(of) {
                    if one.2 == State::Pending {
                        one.2 = body.decision.parse().unwrap();
                    }
                    one.3 += usize::from(event.source.as_str() == "turnwire");
                }
            }
            _ => {}
        }
    }
    assert!(told.iter().all(|one| one.3 <= 1), "seed {seed}: {told:?}");
    let told: Vec<_> = told.into_iter().map(|(id, _, state, _)| (id, state)).collect();
    let wanted: Vec<_> = model.known.iter().map(|one| (one.id.to_string(), one.state)).collect();
    assert_eq!(told, wanted, "seed {seed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn approvals_do_what_the_model_does_whatever_fails_and_whenever_it_restarts() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().unwrap()],
        // The last one asks for one that is due twice at once.
        Err(_) => vec![0, 1, 2, 14],
    };
    for seed in seeds {
        eprintln!("seed {seed}");
        run(seed).await;
    }
}
