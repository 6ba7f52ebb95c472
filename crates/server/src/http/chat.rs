//! `/api/chat`: saying something to an agent and waiting for the reply, and the tickets of the WebSocket beside it.

mod inbound;
mod reply;
mod said;
mod socket;

use std::time::Duration;

use axum::{
    Json as Reply, Router,
    extract::{FromRef, RawQuery, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};
use turnwire_proto::{
    Code, Epoch, EventId, Name, Seq, Timestamp,
    command::{Command, State as Stands},
    path,
};

use super::{App, Refusal, body::Json, commands::ORDER, pair::secret_reply, query::EventQuery};
use crate::{
    auth::{Auth, Chat, Control, FIRST_USE, Grant, TicketError, TicketKind},
    control::End,
    observe::Metrics,
};
use said::Said;

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route(path::CHAT, post(say))
        .route(path::CHAT_TICKET, post(ticket))
        .route(path::CHAT_STREAM, get(socket::open))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Say {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    agent: Option<Name>,
    #[serde(default)]
    session_id: Option<Name>,
    #[serde(default)]
    user_id: Option<Name>,
    #[serde(default)]
    project_id: Option<Name>,
    #[serde(default)]
    id: Option<EventId>,
    #[serde(default)]
    wait_ms: Option<u64>,
}

/// Gives the message and waits for its end. A client that goes away takes nothing back: the desk has the command by then.
async fn say(
    State(app): State<App>,
    grant: Grant<Control>,
    RawQuery(query): RawQuery,
    Json(body): Json<Say, ORDER>,
) -> Result<Response, Refusal> {
    EventQuery::parse(query.as_deref(), &[])?;
    let wait = wait(body.wait_ms, app.limits().reply_wait)?;
    let until = Instant::now() + wait;
    let said = Said {
        agent: body.agent,
        user_id: body.user_id,
        project_id: body.project_id,
        id: body.id,
        ..Said::of(body.content, body.message)?
    };
    let ready = said::ready(&app, &grant, &said, body.session_id, None).await?;
    let command = said::give(&app, &grant, &said, ready).await?;
    if wait.is_zero() && !command.state.is_final() {
        return Ok((StatusCode::ACCEPTED, Reply(taken(&command))).into_response());
    }
    let outcome = match ended(&app, &grant, &command, until).await {
        Ok(command) => reply::answer(&app, &command, &said.content).await,
        Err(refusal) => Err(refusal),
    };
    let label = match &outcome {
        Ok(_) => "ok",
        Err(refusal) => refusal.code().as_str(),
    };
    Metrics::count(&app.hub().metrics().chat_replies, "outcome", label);
    outcome.map(|answer| Reply(answer).into_response())
}

/// What is said of a message that was taken and not waited for.
fn taken(command: &Command) -> serde_json::Value {
    json!({"id": command.id, "session_id": command.session_id, "agent": command.agent, "state": command.state})
}

/// How long a chat is to wait.
fn wait(asked: Option<u64>, most: Duration) -> Result<Duration, Refusal> {
    let wait = asked.map_or(most, Duration::from_millis);
    if wait > most {
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        let text = format!("`wait_ms` is {}, more than the limit of {most}", wait.as_millis());
        return Err(Refusal::field("wait_ms", text).with("limit", most));
    }
    Ok(wait)
}

/// A command at its end, which the desk tells.
///
/// # Errors
/// It did not come in time, or the server stops before.
async fn ended(app: &App, grant: &Grant<Control>, command: &Command, until: Instant) -> Result<Command, Refusal> {
    let end = app.control().end(grant, command.id).await;
    let told = match end.map_err(|refusal| named(refusal, command))? {
        End::Come(command) => return Ok(*command),
        End::ToCome(told) => told,
    };
    let stopping = || {
        let text = "the server is stopping; the message is with it, and the reply is had by the same `id`";
        named(Refusal::new(Code::ShuttingDown, text), command)
    };
    tokio::select! {
        // Both are cancel-safe: what was told is in the log.
        biased;
        told = timeout_at(until, told) => match told {
            Ok(Ok(command)) => Ok(command),
            Ok(Err(_)) => Err(stopping()),
            Err(_) => Err(late(app, grant, command).await),
        },
        () = app.tasks().stopping().cancelled() => Err(stopping()),
    }
}

/// What a chat is told when its wait has ended: nothing has been taken back.
async fn late(app: &App, grant: &Grant<Control>, command: &Command) -> Refusal {
    let now = app
        .control()
        .get(grant, command.id)
        .await
        .unwrap_or_else(|_| command.clone());
    let there = app.control().addressee(Some(command.agent.clone())).await;
    let online = there.is_ok_and(|(_, online)| online);
    let agent = &command.agent;
    let text = match now.state {
        Stands::Queued | Stands::Delivered if !online => {
            format!(
                "agent {agent} is offline; the message waits for it until {}",
                command.expires
            )
        }
        Stands::Queued | Stands::Delivered => {
            format!(
                "agent {agent} has not taken the message on; it waits until {}",
                command.expires
            )
        }
        _ => format!("agent {agent} has not replied in time; its turn goes on"),
    };
    let text = format!("{text}: the reply is had by the same `id`");
    named(Refusal::new(Code::ReplyTimeout, text), command)
        .with("agent", agent.as_str())
        .with("agent_online", online)
        .with("state", now.state.as_str())
}

/// A refusal that says which message it is about, and where that was said.
fn named(refusal: Refusal, command: &Command) -> Refusal {
    let refusal = refusal.with("id", command.id.to_string());
    match &command.session_id {
        Some(session) => refusal.with("session_id", session.as_str()),
        None => refusal,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ticket {
    #[serde(default)]
    session_id: Option<Name>,
    #[serde(default)]
    after: Option<Seq>,
    #[serde(default)]
    epoch: Option<Epoch>,
}

/// A ticket for one WebSocket. It is bound to all that its URL says, so whose session it is for cannot be changed in it.
async fn ticket(
    State(app): State<App>,
    grant: Grant<Chat>,
    RawQuery(query): RawQuery,
    Json(body): Json<Ticket>,
) -> Result<Response, Refusal> {
    EventQuery::parse(query.as_deref(), &[])?;
    let Ticket {
        session_id,
        after,
        epoch,
    } = body;
    if let Some(session) = &session_id {
        said::may_chat(&grant, session)?;
    } else if after.is_some() {
        return Err(Refusal::field(
            "after",
            "`after` is a place in a session: `session_id` must name it",
        ));
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    let texts = [
        ("session_id", session_id.map(|session| session.to_string())),
        ("after", after.map(|after| after.to_string())),
        ("epoch", epoch.map(|epoch| epoch.to_string())),
    ];
    for (key, value) in texts {
        if let Some(value) = value {
            query.append_pair(key, &value);
        }
    }
    let path = match query.finish() {
        query if query.is_empty() => path::CHAT_STREAM.to_owned(),
        query => format!("{}?{query}", path::CHAT_STREAM),
    };
    let auth = Auth::from_ref(&app);
    let issued = auth.issue_ticket(grant.principal(), &path, TicketKind::Once);
    let ticket = issued.map_err(|error| match error {
        // A name is at most 256 bytes, so what there is fits.
        TicketError::Resource(why) => Refusal::field("session_id", format!("`session_id` {why}")),
        TicketError::TooMany(why) => Refusal::new(Code::Overloaded, why.to_string()).with("limit", why.limit),
    })?;
    let wait = i64::try_from(FIRST_USE.as_millis()).unwrap_or(i64::MAX);
    let expires = Timestamp::from_millis(Timestamp::now().millis().saturating_add(wait));
    let joint = if path.contains('?') { '&' } else { '?' };
    let url = format!("{path}{joint}ticket={}", ticket.expose());
    Ok(secret_reply(
        &json!({"ticket": ticket.expose(), "expires": expires, "url": url}),
    ))
}

/// Whether a browser's page asks without saying which one: what a cookie alone proves is not enough to speak.
fn is_unsaid(headers: &HeaderMap) -> bool {
    !headers.contains_key(header::ORIGIN)
}
