//! What a client says on its socket, done and answered: a message, an order, a decision, another place to read from.

use tokio::time::Instant;
use turnwire_formats::chat::Frame;
use turnwire_proto::{Code, Name, Object, approval::Decision, command::Command};

use super::{End, Socket, read, with_refusal};
use crate::{
    auth::{Control, Grant},
    control::{Order, checked},
    http::{
        Refusal,
        chat::{
            inbound::{self, Inbound},
            said::{self, Said},
        },
        commands::lifetime,
    },
    hub::Start,
};

/// Why a frame is not answered with what it asked for.
enum Fault {
    /// Its client is told, and the socket stays.
    Refused(Box<Refusal>),
    /// Nothing can be sent on the socket any more.
    Ended(End),
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<End> for Fault {
    fn from(end: End) -> Self {
        Self::Ended(end)
    }
}

impl Socket {
    /// Does what a frame says, and answers it.
    pub(super) async fn heed(&mut self, text: &str) -> Result<(), End> {
        let (label, read) = inbound::read(text);
        let done = match read {
            Ok(inbound) => self.act(inbound).await,
            Err(refusal) => Err(refusal.into()),
        };
        let answer = match done {
            Ok(answer) => answer,
            Err(Fault::Ended(end)) => return Err(end),
            Err(Fault::Refused(refusal)) => {
                let error = with_refusal(Frame::new("error"), &refusal);
                Some(error.with_some("of", label.kind).with_some("id", label.id))
            }
        };
        self.send(answer).await
    }

    async fn act(&mut self, inbound: Inbound) -> Result<Option<Frame>, Fault> {
        match inbound {
            Inbound::Message(message) => self.message(message).await.map(Some),
            Inbound::Command(command) => self.command(command).await.map(Some),
            Inbound::Resume(resume) => self.resume(resume).await.map(|()| None),
            Inbound::Approval(response) => Ok(Some(self.decide(response).await?)),
            Inbound::Ping => Ok(Some(Frame::new("pong"))),
        }
    }

    /// The session that a frame is about: the one that is read, or the one that it names.
    fn session(&self, named: Option<Name>) -> Result<Option<Name>, Refusal> {
        match (&self.reading, named) {
            (Some(reading), Some(named)) if reading.session != named => {
                let session = &reading.session;
                let text = format!("this socket is of session {session}: another one has one of its own");
                Err(Refusal::field("session_id", text))
            }
            (Some(reading), _) => Ok(Some(reading.session.clone())),
            (None, Some(named)) => said::may_chat(&self.grant, &named).map(|()| Some(named)),
            (None, None) => Ok(None),
        }
    }

    /// Reads this session, if none is read yet. Comes before anything is given in it, so that nothing of that is missed.
    async fn enter(&mut self, session: Option<&Name>) -> Result<(), Fault> {
        if let (None, Some(session)) = (&self.reading, session) {
            let reading = read(&self.app, &self.grant, session, Start::Live).await?;
            self.begin(Some(reading)).await?;
        }
        Ok(())
    }

    async fn message(&mut self, message: inbound::Message) -> Result<Frame, Fault> {
        let grant = self.grant.controlling();
        let (said, ready) = self.prepare(message, &grant).await?;
        let session = ready.session().cloned();
        self.enter(session.as_ref()).await?;
        let command = said::give(&self.app, &grant, &said, ready).await?;
        Ok(self.accepted(command)?)
    }

    async fn prepare(
        &mut self,
        message: inbound::Message,
        grant: &Grant<Control>,
    ) -> Result<(Said, said::Ready), Refusal> {
        let session = self.session(message.session_id)?;
        let said = Said {
            agent: message.agent,
            user_id: message.user_id,
            project_id: message.project_id,
            id: message.id,
            ..Said::of(message.content, message.message)?
        };
        let ready = said::ready(&self.app, grant, &said, session, self.agent.clone()).await?;
        Ok((said, ready))
    }

    fn accepted(&mut self, command: Command) -> Result<Frame, Refusal> {
        let here = self.reading.as_ref().map(|reading| &reading.session);
        if command.session_id.as_ref() != here {
            let text = "`id` is of a command of another session";
            return Err(Refusal::new(Code::Conflict, text).with("field", "id"));
        }
        let frame = Frame::new("accepted")
            .with("id", &command.id)
            .with("session_id", &command.session_id)
            .with("agent", &command.agent)
            .with("state", &command.state);
        self.agent = Some(command.agent);
        Ok(frame)
    }

    async fn command(&mut self, frame: inbound::Command) -> Result<Frame, Fault> {
        let order = self.order(frame).await?;
        self.enter(order.session_id.as_ref()).await?;
        let command = self.app.control().issue(&self.grant.controlling(), order).await?;
        Ok(self.accepted(command)?)
    }

    async fn order(&mut self, frame: inbound::Command) -> Result<Order, Refusal> {
        let session = self.session(frame.session_id)?;
        let text = "`session_id` must say which session the command is about: this socket is of none yet";
        let session = session.ok_or_else(|| Refusal::field("session_id", text))?;
        let args = frame.args.unwrap_or_else(Object::empty);
        let args = checked(frame.action, "args.", &args)?;
        let agent = match frame.agent.or_else(|| self.agent.clone()) {
            Some(agent) => Some(agent),
            None => said::agent_of(&self.app, Some(&session)).await?,
        };
        let (agent, _) = self.app.control().addressee(agent).await?;
        Ok(Order {
            id: frame.id,
            agent,
            session_id: Some(session),
            action: frame.action,
            args,
            actor: self.grant.principal().name().to_string(),
            lifetime: lifetime(None)?,
        })
    }

    /// Reads from a place on. What came before the hello that answers it is not of that reading.
    async fn resume(&mut self, resume: inbound::Resume) -> Result<(), Fault> {
        let session = self.session(resume.session_id)?;
        let text = "`session_id` must say which session is resumed: this socket is of none yet";
        let session = session.ok_or_else(|| Refusal::field("session_id", text))?;
        let start = Start::After(resume.after, resume.epoch);
        let reading = read(&self.app, &self.grant, &session, start).await?;
        Ok(self.begin(Some(reading)).await?)
    }

    /// Decides an approval of the session that is read; that it was decided comes as an event, too.
    async fn decide(&mut self, response: inbound::ApprovalResponse) -> Result<Frame, Refusal> {
        let id = response.approval_id;
        let found = self.app.control().wait_approval(&id, Instant::now()).await?;
        let here = self.reading.as_ref().map(|reading| &reading.session);
        if found.is_none_or(|found| Some(&found.session_id) != here) {
            let text = format!("there is no approval {id} in this socket's session");
            return Err(Refusal::new(Code::NotFound, text).with("field", "approval_id"));
        }
        let decision = Decision {
            decision: response.decision,
            message: response.message,
            arguments: response.arguments,
            always: response.always.unwrap_or(false),
        };
        let grant = self.grant.controlling();
        let decided = self.app.control().decide(&grant, &id, decision).await?;
        Ok(Frame::new("accepted")
            .with("approval_id", &decided.id)
            .with("session_id", &decided.session_id)
            .with("state", &decided.state))
    }
}
