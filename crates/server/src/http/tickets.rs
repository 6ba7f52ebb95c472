//! Tickets for URLs.

use axum::{
    Router,
    extract::{FromRef, State},
    response::Response,
    routing::post,
};
use serde::Deserialize;
use serde_json::json;
use turnwire_proto::{Code, Timestamp, path};

use super::{Refusal, body::Json, pair::secret_reply};
use crate::auth::{Anyone, Auth, FIRST_USE, Grant, TicketError, TicketKind};

/// The routes of this file.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S>
where
    Auth: FromRef<S>,
{
    Router::new().route(path::TICKETS, post(make))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Make {
    path: String,
    kind: TicketKind,
}

async fn make(State(auth): State<Auth>, grant: Grant<Anyone>, Json(body): Json<Make>) -> Result<Response, Refusal> {
    let ticket = auth
        .issue_ticket(grant.principal(), &body.path, body.kind)
        .map_err(|error| match error {
            TicketError::Resource(why) => Refusal::field("path", format!("`path` {why}")),
            TicketError::TooMany(why) => Refusal::new(Code::Overloaded, why.to_string()).with("limit", why.limit),
        })?;
    let wait = i64::try_from(FIRST_USE.as_millis()).unwrap_or(i64::MAX);
    let expires = Timestamp::from_millis(Timestamp::now().millis().saturating_add(wait));
    let reply = json!({ "ticket": ticket.expose(), "expires": expires });
    Ok(secret_reply(&reply))
}
