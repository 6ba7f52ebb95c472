//! What somebody says in a chat: checked, addressed, and given to the desk, once however often it is said under one id.

use turnwire_proto::{
    Code, EventId, Name, Object,
    command::{Action, Command, MessageArgs},
    limits,
};

use super::super::{App, Refusal, commands::lifetime};
use crate::{
    auth::{Chat, Control, Grant},
    control::{Order, checked, permitted},
    views::sessions,
};

/// A message before it is a command.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) content: String,
    pub(super) agent: Option<Name>,
    pub(super) user_id: Option<Name>,
    pub(super) project_id: Option<Name>,
    /// Given by who wants to be able to say it again.
    pub(super) id: Option<EventId>,
}

/// What becomes of it.
#[derive(Debug)]
pub(super) enum Ready {
    /// It was said before.
    Known(Box<Command>),
    /// It is a new command.
    New(Box<Order>),
}

impl Ready {
    /// The session that it is of.
    pub(super) const fn session(&self) -> Option<&Name> {
        match self {
            Self::Known(command) => command.session_id.as_ref(),
            Self::New(order) => order.session_id.as_ref(),
        }
    }
}

impl Said {
    /// What is said, under either of its two names.
    ///
    /// # Errors
    /// It is not there, there twice, empty, or too large: as text, or as the JSON that goes to the agent in one line.
    pub(super) fn of(content: Option<String>, message: Option<String>) -> Result<Self, Refusal> {
        let (field, content) = match (content, message) {
            (Some(content), None) => ("content", content),
            (None, Some(message)) => ("message", message),
            (None, None) => return Err(Refusal::field("content", "`content` is missing: what is to be said")),
            (Some(_), Some(_)) => {
                return Err(Refusal::field(
                    "message",
                    "`content` and `message` are the same: one of them is enough",
                ));
            }
        };
        if content.is_empty() {
            return Err(Refusal::field(field, format!("`{field}` must not be empty")));
        }
        let too_large = |what: &str, limit: usize| {
            Refusal::new(Code::TooLarge, format!("`{field}` is larger than {limit} bytes{what}"))
                .with("field", field)
                .with("limit", limit)
        };
        if content.len() > limits::MESSAGE {
            return Err(too_large("", limits::MESSAGE));
        }
        let said = Self {
            content,
            agent: None,
            user_id: None,
            project_id: None,
            id: None,
        };
        // What stands beside it are two names at the most.
        if said.args().get().len() + 8 * limits::NAME > limits::ARGS {
            return Err(too_large(" as JSON", limits::ARGS - 8 * limits::NAME));
        }
        Ok(said)
    }

    fn args(&self) -> Object {
        Object::of(&MessageArgs {
            content: self.content.clone(),
            user_id: self.user_id.clone(),
            project_id: self.project_id.clone(),
        })
    }

    /// The command of this id, if it is this message: what is left out may be anything.
    fn same(&self, known: Command, session: Option<&Name>) -> Result<Command, Refusal> {
        let as_said = known.action == Action::Message
            && known.args == self.args()
            && self.agent.as_ref().is_none_or(|agent| known.agent == *agent)
            && session.is_none_or(|session| known.session_id.as_ref() == Some(session));
        if as_said {
            return Ok(known);
        }
        Err(Refusal::new(Code::Conflict, "`id` is of another command").with("field", "id"))
    }
}

/// Checks what is said, and finds out who it is for: who is named, else the `usual` one, else the session's agent, else the only
/// one that is online.
///
/// # Errors
/// It may not be said, or to nobody that is known.
pub(super) async fn ready(
    app: &App,
    grant: &Grant<Control>,
    said: &Said,
    session: Option<Name>,
    usual: Option<Name>,
) -> Result<Ready, Refusal> {
    // What was said under an id names its session itself.
    if session.is_some() || said.id.is_none() {
        permitted(grant, session.as_ref())?;
    }
    if let Some(id) = said.id
        && let Some(known) = app.control().find(grant, id).await?
    {
        return Ok(Ready::Known(Box::new(said.same(known, session.as_ref())?)));
    }
    let agent = match said.agent.clone().or(usual) {
        Some(agent) => Some(agent),
        None => agent_of(app, session.as_ref()).await?,
    };
    let (agent, _) = app.control().addressee(agent).await?;
    let session = session.map_or_else(|| Name::new(&EventId::new().to_string()), Ok);
    let order = Order {
        id: said.id,
        agent,
        session_id: Some(session.map_err(|error| Refusal::new(Code::Internal, error.to_string()))?),
        action: Action::Message,
        args: checked(Action::Message, "", &said.args())?,
        actor: grant.principal().name().to_string(),
        lifetime: lifetime(None)?,
    };
    Ok(Ready::New(Box::new(order)))
}

/// Gives it.
///
/// # Errors
/// It cannot be, or its id is of something else.
pub(super) async fn give(app: &App, grant: &Grant<Control>, said: &Said, ready: Ready) -> Result<Command, Refusal> {
    let order = match ready {
        Ready::Known(command) => return Ok(*command),
        Ready::New(order) => *order,
    };
    match (app.control().issue(grant, order).await, said.id) {
        // The same was said at the same time, and has another session where none was named.
        (Err(refusal), Some(id)) if refusal.code() == Code::Conflict => match app.control().find(grant, id).await? {
            Some(known) => said.same(known, None),
            None => Err(refusal),
        },
        (issued, _) => issued,
    }
}

/// The agent of a session, as far as its events say it.
pub(super) async fn agent_of(app: &App, session: Option<&Name>) -> Result<Option<Name>, Refusal> {
    let Some(session) = session.cloned() else {
        return Ok(None);
    };
    app.views().reach(app.log().bounds().await?.head).await;
    let found = app.views().read(move |db| sessions::get(db, session.as_str())).await?;
    Ok(found.and_then(|session| Name::new(session.agent.as_deref()?).ok()))
}

/// Whether a session may be chatted in.
///
/// # Errors
/// It may not be read, or not controlled.
pub(super) fn may_chat(grant: &Grant<Chat>, session: &Name) -> Result<(), Refusal> {
    if grant.may_chat(session.as_str()) {
        return Ok(());
    }
    let text = format!("this token may not read and control session {session}");
    Err(Refusal::new(Code::Forbidden, text).with("field", "session_id"))
}
