//! An open downlink of one agent: a cursor, and what is handed over behind it. The stream and the long-poll are both written
//! from here, so they have one queue and one order.

use turnwire_proto::{Name, Seq, Timestamp, command::Command};

use super::{Control, desk::Taken, presence::Held};
use crate::http::Refusal;

/// See the module. The agent is there for as long as it lives.
#[derive(Debug)]
pub(crate) struct Downlink {
    control: Control,
    agent: Name,
    held: Held,
    after: Seq,
}

/// What a downlink has to say.
#[derive(Debug)]
pub(crate) enum Next {
    /// Commands, oldest first; none when there are none now.
    Commands(Vec<Command>),
    /// A newer downlink of the same agent is open: this one has to end.
    Replaced,
}

impl Downlink {
    pub(super) const fn new(control: Control, agent: Name, held: Held, after: Seq) -> Self {
        Self {
            control,
            agent,
            held,
            after,
        }
    }

    /// Everything up to here was handed over.
    pub(crate) const fn cursor(&self) -> Seq {
        self.after
    }

    /// What there is behind the cursor, which moves with the answer. Comes before [`Downlink::rung`]: what is given after this
    /// has looked, rings.
    ///
    /// # Errors
    /// It could not be written that they are delivered, so they are not to be sent.
    pub(crate) async fn take(&mut self) -> Result<Next, Refusal> {
        self.held.bell.mark_unchanged();
        let (agent, line, after) = (self.agent.clone(), self.held.id, self.after);
        let take = self
            .control
            .ask(move |desk| Box::pin(async move { desk.take(&agent, line, after, Timestamp::now()).await }));
        match take.await?? {
            Taken::Replaced => Ok(Next::Replaced),
            Taken::Commands(commands) => {
                self.after = commands.last().map_or(self.after, |last| last.seq);
                Ok(Next::Commands(commands))
            }
        }
    }

    /// Waits until there may be more. Cancel-safe: a ring that was not waited for to its end is heard by the next wait.
    pub(crate) async fn rung(&mut self) {
        if self.held.bell.changed().await.is_err() {
            // The agent was forgotten: its downlink is the newest no more, which the next look says.
        }
    }
}
