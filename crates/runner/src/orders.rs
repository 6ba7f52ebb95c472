//! What each order does. One that takes a turn waits behind others in its session; all else is done at once, in the order in which
//! it comes.

use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::oneshot;
use turnwire_client::downlink::{Order, Said, Verdict};
use turnwire_proto::{
    EventId, Name, Object,
    command::{
        Action, CompactArgs, CustomArgs, HoldArgs, MessageArgs, NewSessionArgs, SetModelArgs, SetPermissionModeArgs,
        StopTaskArgs, TurnArgs,
    },
};

use crate::{
    Notice, Runner, StateError, Tell,
    session::{Answer, Stop, Task, What, Work},
    state::{End, State},
};

/// Why an order is not done.
pub(crate) enum Not {
    /// It is refused, and why.
    Refused(String),
    /// Something else became of it.
    Over,
}

impl<T: ToString> From<T> for Not {
    fn from(why: T) -> Self {
        Self::Refused(why.to_string())
    }
}

#[derive(Serialize)]
struct Opened<'a> {
    session_id: &'a Name,
}

fn args<T: DeserializeOwned>(order: &Order) -> Result<T, String> {
    order
        .args
        .read()
        .map_err(|error| format!("the arguments cannot be read: {error}"))
}

impl Runner {
    pub(crate) async fn order(&mut self, order: Order) {
        let id = order.id;
        match self.carry_out(order).await {
            Ok(()) | Err(Not::Over) => {}
            Err(Not::Refused(why)) => self.shared.refuse(id, &why),
        }
    }

    async fn carry_out(&mut self, order: Order) -> Result<(), Not> {
        let action: Action = order
            .action
            .parse()
            .map_err(|_| format!("this runner does not know {:?}", order.action))?;
        if !self.can.contains(&action) {
            return Err(format!("this agent cannot do {action}").into());
        }
        match action {
            Action::Message => self.message(order).await,
            Action::NewSession => self.new_session(order).await,
            Action::Compact => self.compact(order).await,
            Action::Cancel | Action::Interrupt => self.stop(order, action == Action::Cancel).await,
            Action::StopTask => {
                let task = args::<StopTaskArgs>(&order)?.task_id;
                self.tell_program(order, Tell::StopTask(task)).await
            }
            Action::Custom => {
                let custom = args::<CustomArgs>(&order)?;
                self.tell_program(order, Tell::Custom(custom.name, custom.args)).await
            }
            Action::SetModel => {
                let model = args::<SetModelArgs>(&order)?.model;
                self.set(order, move |state, session| match session {
                    Some(session) => state.used(session).model = Some(model),
                    None => {
                        state.model = Some(model);
                        state.sessions.iter_mut().for_each(|session| session.model = None);
                    }
                })
                .await
            }
            Action::SetPermissionMode => {
                let mode = args::<SetPermissionModeArgs>(&order)?.mode;
                self.set(order, move |state, session| match session {
                    Some(session) => state.used(session).permission_mode = Some(mode),
                    None => {
                        state.permission_mode = Some(mode);
                        state
                            .sessions
                            .iter_mut()
                            .for_each(|session| session.permission_mode = None);
                    }
                })
                .await
            }
            Action::Hold | Action::Release => {
                args::<HoldArgs>(&order)?;
                let held = action == Action::Hold;
                self.set(order, move |state, session| match session {
                    Some(session) => state.used(session).held = held,
                    None => {
                        state.held = held;
                        state.sessions.iter_mut().for_each(|session| session.held &= held);
                    }
                })
                .await
            }
        }
    }

    async fn message(&mut self, order: Order) -> Result<(), Not> {
        let said: MessageArgs = args(&order)?;
        let (session, unwritten) = match &order.session_id {
            Some(session) => (session.clone(), false),
            None => (self.current().await?, true),
        };
        let work = Work {
            id: order.id,
            seq: order.seq,
            what: What::Say(said.content),
            unwritten,
        };
        Ok(self.give(&session, Task::Work(work)).await?)
    }

    /// The session that a message is for which names none.
    async fn current(&self) -> Result<Name, StateError> {
        if let Some(current) = self.shared.store.look(|state| state.current.clone()).await {
            return Ok(current);
        }
        // Invariant: the text of a UUID is a name.
        let made = Name::new(&EventId::new().to_string()).expect("a UUID is a name");
        self.shared
            .store
            .change(|state| {
                state.used(&made);
                state.current = Some(made.clone());
                made.clone()
            })
            .await
    }

    /// Its session is the one that it names, emptied, or a new one with the order's id: the same when it is done again.
    async fn new_session(&mut self, order: Order) -> Result<(), Not> {
        let wanted: NewSessionArgs = args(&order)?;
        let id = order.id;
        let named = order.session_id.is_some();
        let session = match order.session_id {
            Some(session) => session,
            None => Name::new(&id.to_string())?,
        };
        let prompt = wanted.prompt.filter(|prompt| !prompt.is_empty());
        let make = {
            let session = session.clone();
            move |state: &mut State| {
                let made = state.used(&session);
                made.conversation = None;
                made.model = wanted.model.or_else(|| made.model.take());
                state.current = Some(session);
            }
        };
        if let Some(prompt) = prompt {
            // The turn takes the order on; the session is the same however often it is made before.
            self.shared.store.change(make).await?;
            if named {
                self.give(&session, Task::Forget).await?;
            }
            let work = Work {
                id,
                seq: order.seq,
                what: What::Say(prompt),
                unwritten: true,
            };
            return Ok(self.give(&session, Task::Work(work)).await?);
        }
        self.take_on(id).await?;
        let end = End::Done(Some(Object::of(&Opened { session_id: &session })));
        self.at_once(id, end, make).await?;
        if named {
            self.give(&session, Task::Forget).await?;
        }
        self.shared.reported.send_replace(());
        Ok(())
    }

    async fn compact(&mut self, order: Order) -> Result<(), Not> {
        let wanted: CompactArgs = args(&order)?;
        let session = self.session_of(&order).await?;
        let work = Work {
            id: order.id,
            seq: order.seq,
            what: What::Compact(wanted.instructions),
            unwritten: false,
        };
        Ok(self.give(&session, Task::Work(work)).await?)
    }

    /// The session that an order names, or the one that messages go to.
    async fn session_of(&self, order: &Order) -> Result<Name, String> {
        if let Some(session) = &order.session_id {
            return Ok(session.clone());
        }
        let current = self.shared.store.look(|state| state.current.clone()).await;
        current.ok_or_else(|| "this agent has no session yet".to_owned())
    }

    /// Ends turns: of the session that is named, or of all.
    async fn stop(&mut self, order: Order, waiting: bool) -> Result<(), Not> {
        let wanted: TurnArgs = args(&order)?;
        self.begin(order.id).await?;
        let stop = Stop {
            turn: wanted.turn_id,
            waiting: waiting.then_some(order.seq),
        };
        let sessions: Vec<Name> = match order.session_id {
            Some(session) => vec![session],
            None => self.sessions.keys().cloned().collect(),
        };
        let mut answers = Vec::new();
        for session in sessions {
            // A session that has no task does nothing, and has nothing waiting.
            if self.sessions.contains_key(&session) {
                let (answer, answered) = oneshot::channel();
                answers.push((self.give(&session, Task::Stop(stop.clone(), answer)).await, answered));
            }
        }
        let (shared, id, turn) = (self.shared.clone(), order.id, stop.turn);
        self.shared.errand(async move {
            let mut ended: Answer = turn.map_or(Ok(None), |turn| Err(format!("turn {turn} is not running")));
            for (given, answered) in answers {
                let answer = match given {
                    Ok(()) => answered.await.unwrap_or_else(|_| Err("the session ended".to_owned())),
                    Err(why) => Err(why),
                };
                // Of several sessions one that had something to end says what; who has failed says more than who had nothing.
                ended = match (ended, answer) {
                    (Ok(Some(result)), _) | (_, Ok(Some(result))) => Ok(Some(result)),
                    (Err(why), _) | (_, Err(why)) => Err(why),
                    (Ok(None), Ok(None)) => Ok(None),
                };
            }
            finish(&shared, id, ended).await;
        });
        Ok(())
    }

    /// Something for a session's program, in the midst of a turn or between turns.
    async fn tell_program(&mut self, order: Order, what: Tell) -> Result<(), Not> {
        let session = self.session_of(&order).await?;
        self.begin(order.id).await?;
        let (answer, answered) = oneshot::channel();
        let given = self.give(&session, Task::Tell(what, answer)).await;
        let (shared, id) = (self.shared.clone(), order.id);
        self.shared.errand(async move {
            let answer = match given {
                Ok(()) => answered.await.unwrap_or_else(|_| Err("the session ended".to_owned())),
                Err(why) => Err(why),
            };
            finish(&shared, id, answer).await;
        });
        Ok(())
    }

    /// A setting: it is kept, and sessions look at it before they do anything.
    async fn set(&mut self, order: Order, set: impl FnOnce(&mut State, Option<&Name>)) -> Result<(), Not> {
        self.take_on(order.id).await?;
        let session = order.session_id;
        self.at_once(order.id, End::Done(None), |state| set(state, session.as_ref()))
            .await?;
        self.shared.settings.send_replace(());
        self.shared.reported.send_replace(());
        Ok(())
    }

    /// An order that changes the state and nothing else: it and its end are written in one.
    async fn at_once(&self, id: EventId, end: End, change: impl FnOnce(&mut State)) -> Result<(), StateError> {
        let written = self.shared.store.change(|state| {
            change(state);
            state.take(id, None, false);
            state.finish(id, end.clone());
        });
        written.await?;
        self.shared.tell_end(id, end);
        Ok(())
    }

    /// Takes an order on, and writes down that it is begun.
    async fn begin(&self, id: EventId) -> Result<(), Not> {
        self.take_on(id).await?;
        Ok(self.shared.store.change(|state| state.take(id, None, false)).await?)
    }

    /// Says that an order is taken on. Not while the runner stops: who is not answered stays with the server.
    async fn take_on(&self, id: EventId) -> Result<(), Not> {
        match self.shared.link.ack(id, Said::Acked).await {
            Ok(Verdict::Stands) => Ok(()),
            Ok(Verdict::Overtaken { .. }) => Err(Not::Over),
            Err(error) => {
                self.shared.tell(Notice::Trouble(format!("order {id}: {error}")));
                Err(Not::Over)
            }
        }
    }
}

async fn finish(shared: &std::sync::Arc<crate::shared::Shared>, id: EventId, answer: Answer) {
    let end = answer.map_or_else(End::Failed, End::Done);
    if let Err(error) = shared.finish(id, end).await {
        shared.tell(Notice::Trouble(error.to_string()));
    }
}
