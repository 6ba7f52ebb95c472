//! The life of a turn: begun, perhaps tried several times, and ended once. Its id is that of the order that asked for it.

use tokio::time::Instant;
use turnwire_adapters::{Context, Prompted};
use turnwire_proto::{
    EventId, Kind, Message, Name, NewEvent, Object, Timestamp, TurnEnd, TurnStart, TurnState, Usage, command::Action,
};

use super::{Session, What, Work};
use crate::{
    Failure, Outcome, Prompt, Tell,
    login::{Login, Standing},
    shared::{Notice, result},
    state::End,
};

/// What is being done for a turn.
#[derive(Debug)]
pub(super) enum Attempt {
    /// The program works on what was asked.
    Asked,
    /// It makes its context shorter, after which what was asked is asked again.
    Shortening,
    /// Nothing until then, since the vendor takes nothing.
    Limited(Instant),
    /// Nothing until somebody has signed in, looked for now and then.
    Login,
}

#[derive(Debug)]
pub(super) struct Turn {
    pub(super) id: Name,
    order: EventId,
    what: What,
    unread: u64,
    attempt: Attempt,
    /// `turn_start` was told.
    started: bool,
    /// The vendor's own end of it, held back until it is known to be the last.
    end: Option<NewEvent>,
    /// Tokens and money of the attempts before this one.
    spent: (Usage, f64),
    shortened: bool,
    limited: u32,
    since: Instant,
    /// It was told to stop; the program is ended then, if it has not.
    stopped: Option<Instant>,
}

impl Turn {
    /// Whether nothing is being done for it now.
    pub(super) const fn waits(&self) -> bool {
        matches!(self.attempt, Attempt::Limited(_) | Attempt::Login)
    }

    /// Whether it may be tried again now.
    pub(super) fn is_due(&self, login: &Login) -> bool {
        match self.attempt {
            Attempt::Asked | Attempt::Shortening => false,
            Attempt::Limited(until) => until <= Instant::now(),
            Attempt::Login => login.not_before().is_none(),
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.attempt {
            Attempt::Limited(until) => Some(until),
            _ => self.stopped,
        }
    }

    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        !self.waits() && self.stopped.is_some_and(|stopped| stopped <= now)
    }

    pub(super) const fn stop(&mut self, until: Instant) {
        self.stopped = Some(until);
    }

    /// Whether it had started before; it has now.
    pub(super) const fn has_started(&mut self) -> bool {
        std::mem::replace(&mut self.started, true)
    }

    pub(super) fn ended(&mut self, end: NewEvent) {
        self.end = Some(end);
    }

    /// The attempt is over and another one comes.
    fn again(&mut self, attempt: Attempt) {
        if let Some(body) = self.end.take().and_then(|end| end.data.read::<TurnEnd>().ok()) {
            self.spent.0 = sum(&self.spent.0, &body.usage.unwrap_or_default());
            self.spent.1 += body.cost_usd.unwrap_or(0.0);
        }
        self.attempt = attempt;
    }
}

impl Session {
    /// Begins the turn of an order.
    pub(super) async fn begin(&mut self, work: Work, unread: u64) {
        if !self.take(&work).await {
            return;
        }
        // Invariant: the text of a UUID is a name.
        let id = Name::new(&work.id.to_string()).expect("a UUID is a name");
        if self.status == "offline" {
            self.stand("online", None);
        }
        if let (What::Say(text), true) = (&work.what, work.unwritten) {
            let body = Message {
                role: "user".to_owned(),
                content: text.clone(),
                message_id: Some(work.id.to_string()),
                ..Message::default()
            };
            self.ours(Kind::MESSAGE, &body);
        }
        self.turn = Some(Turn {
            id,
            order: work.id,
            what: work.what,
            unread,
            attempt: Attempt::Asked,
            started: false,
            end: None,
            spent: (Usage::default(), 0.0),
            shortened: false,
            limited: 0,
            since: Instant::now(),
            stopped: None,
        });
        self.attempt().await;
    }

    /// Asks the program what the turn is about.
    pub(super) async fn attempt(&mut self) {
        self.settle().await;
        let Some(turn) = &mut self.turn else { return };
        turn.attempt = Attempt::Asked;
        self.shared.login.trying();
        let (what, state) = (
            turn.what.clone(),
            if matches!(turn.what, What::Compact(_)) {
                "compacting"
            } else {
                "thinking"
            },
        );
        let asked = match what {
            What::Say(text) => {
                let prompt = Prompt {
                    turn: turn.id.clone(),
                    text,
                };
                self.driver.prompt(&prompt).await
            }
            What::Compact(instructions) => self.driver.tell(Tell::Compact(instructions)).await.map(|_| ()),
        };
        match asked {
            Ok(()) => {
                self.prompted();
                self.does(state);
            }
            Err(failure) => self.not_asked(failure).await,
        }
    }

    /// The adapter is told of a turn, or of another attempt at it.
    fn prompted(&mut self) {
        let Some(turn) = &self.turn else { return };
        let told = Prompted {
            turn_id: turn.id.clone(),
            from: "user".to_owned(),
            body: match &turn.what {
                What::Say(text) => text.clone(),
                What::Compact(instructions) => format!("/compact {}", instructions.as_deref().unwrap_or_default())
                    .trim_end()
                    .to_owned(),
            },
            unread: turn.unread,
        };
        let first = !turn.started;
        let (shared, id, resumed) = (&self.shared, &self.id, self.resumed);
        let adapter = self.adapter.get_or_insert_with(|| {
            (shared.adapter(self.driver.adapter()).make)(Context {
                agent: Some(shared.agent.clone()),
                session: Some(id.clone()),
                prompt: None,
                resumed,
                ..Context::default()
            })
        });
        let mut events = Vec::new();
        adapter.prompted(&told, Timestamp::now(), &mut events);
        self.emit(events);
        // An adapter that knows nothing of turns that are begun elsewhere.
        if self.turn.as_mut().is_some_and(|turn| !turn.has_started()) {
            let body = TurnStart {
                from: told.from,
                body: told.body,
                unread: told.unread,
            };
            self.ours(Kind::TURN_START, &body);
        }
        if first {
            let (session, turn) = (self.id.clone(), told.turn_id);
            self.shared.tell(Notice::TurnBegan { session, turn });
        }
    }

    /// The program could not be asked: there is no turn, or none any more.
    async fn not_asked(&mut self, failure: Failure) {
        self.end_output(None);
        match &self.turn {
            Some(turn) if !turn.started => {
                let order = turn.order;
                self.turn = None;
                self.fail(order, &failure).await;
            }
            Some(_) => {
                self.error(&failure.to_string());
                self.conclude(false, Some(failure.to_string())).await;
            }
            None => {}
        }
    }

    /// The program says that it is done with what it was asked.
    pub(super) async fn over(&mut self, outcome: Outcome) {
        let Some(turn) = &mut self.turn else { return };
        let stopped = turn.stopped.is_some();
        match (outcome, &turn.attempt) {
            (_, Attempt::Shortening) if stopped => self.conclude(false, Some("interrupted".to_owned())).await,
            (Outcome::Done, Attempt::Shortening) => {
                turn.again(Attempt::Asked);
                self.attempt().await;
            }
            (Outcome::Done, _) => {
                if self.shared.login.set(Standing::Ok) {
                    self.shared.reported.send_replace(());
                }
                self.stand("online", None);
                self.conclude(true, None).await;
            }
            (Outcome::Interrupted, _) => self.conclude(false, Some("interrupted".to_owned())).await,
            (_, _) if stopped => self.conclude(false, Some("interrupted".to_owned())).await,
            (Outcome::PromptTooLong, Attempt::Asked) if !turn.shortened => self.shorten().await,
            (Outcome::PromptTooLong, _) => {
                let note = "the prompt is too long, also after the context was made shorter";
                self.conclude(false, Some(note.to_owned())).await;
            }
            (Outcome::RateLimited(wait), _) => self.limited(wait).await,
            (Outcome::NeedsLogin, _) => self.without_login().await,
            (Outcome::Failed(why), _) => self.conclude(false, Some(why)).await,
        }
    }

    /// The prompt does not fit: the context is made shorter, once, and the same is asked again.
    async fn shorten(&mut self) {
        let can = self.driver.capabilities().contains(&Action::Compact);
        let Some(turn) = &mut self.turn else { return };
        if !can || matches!(turn.what, What::Compact(_)) {
            return self.conclude(false, Some("the prompt is too long".to_owned())).await;
        }
        turn.shortened = true;
        turn.again(Attempt::Shortening);
        self.note("the prompt is too long: the context is made shorter, then it is tried once more");
        match self.driver.tell(Tell::Compact(None)).await {
            Ok(_) => {
                self.prompted();
                self.does("compacting");
            }
            Err(failure) => self.not_asked(failure).await,
        }
    }

    async fn limited(&mut self, wait: Option<std::time::Duration>) {
        let pace = self.shared.pace;
        let Some(turn) = &mut self.turn else { return };
        if turn.since.elapsed() > pace.rate_most {
            return self
                .conclude(false, Some("the vendor's rate limit does not end".to_owned()))
                .await;
        }
        let grown = pace.rate.0.saturating_mul(1 << turn.limited.min(16)).min(pace.rate.1);
        let wait = wait.unwrap_or(grown).clamp(pace.rate.0, pace.rate_most);
        turn.limited += 1;
        turn.again(Attempt::Limited(Instant::now() + wait));
        let note = format!("the vendor's rate limit: it is tried again in {} s", wait.as_secs());
        self.stand("rate_limited", Some(note.clone()));
        let body = TurnState {
            state: "rate_limited".to_owned(),
            note: Some(note),
            ..TurnState::default()
        };
        self.ours(Kind::TURN_STATE_CHANGED, &body);
        self.does("rate_limited");
        self.shared.slots.idle(&self.id);
    }

    async fn without_login(&mut self) {
        let most = self.shared.pace.login_most;
        let Some(turn) = &mut self.turn else { return };
        if turn.since.elapsed() > most {
            self.needs_login();
            return self
                .conclude(false, Some("nobody is signed in to the vendor".to_owned()))
                .await;
        }
        turn.again(Attempt::Login);
        self.shared.login.waits(&self.id);
        self.needs_login();
        let note = "nobody is signed in to the vendor: sign in there; it is tried again by itself";
        self.stand("needs_login_idle", Some(note.to_owned()));
        self.does("idle");
        // The next try is by a program that reads who is signed in anew.
        self.put_away().await;
    }

    /// The program has ended.
    pub(super) async fn exited(&mut self, code: Option<i32>) {
        let ran = self.adapter.is_some();
        self.end_output(code);
        self.asks.clear();
        self.shared.slots.free(&self.id);
        let Some(turn) = &self.turn else { return };
        if !ran || turn.waits() {
            return;
        }
        let end = turn.end.as_ref().and_then(|end| end.data.read::<TurnEnd>().ok());
        let (ok, note) = end.map_or((false, None), |end| (end.ok, end.note));
        if turn.stopped.is_some() {
            self.over(Outcome::Interrupted).await;
        } else if ok {
            self.over(Outcome::Done).await;
        } else {
            let why = note.unwrap_or_else(|| match code {
                Some(code) => format!("the program ended with exit code {code}"),
                None => "the program ended".to_owned(),
            });
            self.error(&format!("the agent's program failed: {why}"));
            self.over(Outcome::Failed(why)).await;
        }
    }

    /// Ends the turn, and tells what came of its order.
    pub(super) async fn conclude(&mut self, ok: bool, note: Option<String>) {
        self.asks.clear();
        let Some(turn) = self.turn.take() else { return };
        self.shared.login.waits_no_more(&self.id);
        let mut body = turn
            .end
            .as_ref()
            .and_then(|end| end.data.read::<TurnEnd>().ok())
            .unwrap_or_default();
        body.ok = ok && (body.ok || turn.end.is_none());
        body.note = if ok { body.note.or(note) } else { note.or(body.note) };
        if turn.spent != (Usage::default(), 0.0) {
            body.usage = Some(sum(&turn.spent.0, &body.usage.unwrap_or_default()));
            body.cost_usd = Some(turn.spent.1 + body.cost_usd.unwrap_or(0.0));
        }
        body.duration_ms = body
            .duration_ms
            .or_else(|| u64::try_from(turn.since.elapsed().as_millis()).ok());
        let (ok, note) = (body.ok, body.note.clone());
        let told = turn
            .end
            .unwrap_or_else(|| self.shared.outbox.event(Kind::TURN_END, Some(&self.id), &body));
        let event = NewEvent {
            turn_id: Some(turn.id.clone()),
            data: Object::of(&body),
            ..told
        };
        self.coalescer.push(event, std::time::Instant::now(), &mut self.ready);
        self.flush();
        let result = result(&self.id, &turn.id, ok, note.as_deref());
        if let Err(error) = self.shared.finish(turn.order, End::Done(Some(result))).await {
            self.shared.tell(Notice::Trouble(error.to_string()));
        }
        self.shared.tell(Notice::TurnEnded {
            session: self.id.clone(),
            turn: turn.id,
            ok,
            note,
        });
        self.rest(false);
    }
}

fn sum(a: &Usage, b: &Usage) -> Usage {
    let add = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
    };
    Usage {
        input_tokens: add(a.input_tokens, b.input_tokens),
        output_tokens: add(a.output_tokens, b.output_tokens),
        cache_read_input_tokens: add(a.cache_read_input_tokens, b.cache_read_input_tokens),
        cache_creation_input_tokens: add(a.cache_creation_input_tokens, b.cache_creation_input_tokens),
        reasoning_tokens: add(a.reasoning_tokens, b.reasoning_tokens),
        ..b.clone()
    }
}
