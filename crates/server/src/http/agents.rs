//! `/api/agents`: who is there, and short forms of what they are told most.

use axum::{
    Json as Reply, Router,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    routing::{get, post},
};
use serde_json::{Map, Value};
use turnwire_proto::{
    EventId, Json as Text, Name, Object,
    command::{Action, Command},
    path,
};

use super::{
    App, Refusal,
    body::{self, Json},
    commands::{ORDER, lifetime},
    query::{self, EventQuery},
};
use crate::{
    auth::{Control, Grant, Read},
    control::{AgentInfo, Order, checked},
};

pub(crate) fn router() -> Router<App> {
    let mut router = Router::new()
        .route(path::AGENTS, get(list))
        .route(path::AGENT, get(one));
    for (route, action) in [
        (path::AGENT_MODEL, Action::SetModel),
        (path::AGENT_NEW_SESSION, Action::NewSession),
        (path::AGENT_CANCEL, Action::Cancel),
        (path::AGENT_COMPACT, Action::Compact),
        (path::AGENT_HOLD, Action::Hold),
        (path::AGENT_RELEASE, Action::Release),
    ] {
        let short = move |State(app): State<App>, grant: Grant<Control>, name, RawQuery(query): RawQuery, body| async move {
            EventQuery::parse(query.as_deref(), &[])?;
            tell(&app, &grant, action, name, body).await
        };
        router = router.route(route, post(short));
    }
    router
}

async fn list(State(app): State<App>, grant: Grant<Read>, RawQuery(query): RawQuery) -> Result<Reply<Value>, Refusal> {
    EventQuery::parse(query.as_deref(), query::NONE)?;
    let agents = app.control().agents(&grant).await?;
    Ok(Reply(serde_json::json!({ "agents": agents })))
}

async fn one(
    State(app): State<App>,
    grant: Grant<Read>,
    name: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Reply<AgentInfo>, Refusal> {
    EventQuery::parse(query.as_deref(), query::NONE)?;
    app.control().agent(&grant, agent_name(name)?).await.map(Reply)
}

fn agent_name(name: Result<Path<String>, PathRejection>) -> Result<Name, Refusal> {
    let Path(name) =
        name.map_err(|_| Refusal::field("name", "`name` must be an agent's name, percent-encoded UTF-8"))?;
    Name::new(&name).map_err(|error| Refusal::field("name", format!("`name` {error}")))
}

/// Gives a command whose arguments stand beside `session_id`, `expires_in_ms` and `id` in the body.
async fn tell(
    app: &App,
    grant: &Grant<Control>,
    action: Action,
    name: Result<Path<String>, PathRejection>,
    Json(mut body): Json<Map<String, Value>, ORDER>,
) -> Result<Reply<Command>, Refusal> {
    let agent = agent_name(name)?;
    let session_id: Option<Name> = taken(&mut body, "session_id")?;
    let expires_in_ms: Option<u64> = taken(&mut body, "expires_in_ms")?;
    let id: Option<EventId> = taken(&mut body, "id")?;
    let args = Object::new(Text::of(&body)).unwrap_or_else(Object::empty);
    let order = Order {
        id,
        agent,
        session_id,
        action,
        args: checked(action, "", &args)?,
        actor: grant.principal().name().to_string(),
        lifetime: lifetime(expires_in_ms)?,
    };
    app.control().issue(grant, order).await.map(Reply)
}

fn taken<T: serde::de::DeserializeOwned>(body: &mut Map<String, Value>, field: &str) -> Result<Option<T>, Refusal> {
    let value = body.remove(field).unwrap_or(Value::Null);
    body::value(field, value)
}
