//! Share links: whoever has one reads one session until it expires, and sees nothing else.

use axum::{
    extract::{Path, State, rejection::PathRejection},
    response::Response,
};
use serde::Deserialize;
use serde_json::json;
use turnwire_proto::{Name, Reach, Scope, Scopes, Timestamp};

use super::{
    App, Refusal,
    body::Json,
    pair::{Client, secret_reply},
    sessions::{found, named},
    tokens::{change_refused, end},
};
use crate::auth::{Admin, Auth, Grant, NewToken, TokenKind};

/// How long a link serves unless it is said: a week.
const LIFE_MS: i64 = 7 * 24 * 3600 * 1000;
/// The longest that one serves: a month. What is sent around is forgotten.
const MAX_LIFE_MS: i64 = 30 * 24 * 3600 * 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Share {
    #[serde(default)]
    expires_in_ms: Option<i64>,
    #[serde(default)]
    label: Option<Name>,
}

pub(super) async fn share(
    State(app): State<App>,
    State(auth): State<Auth>,
    grant: Grant<Admin>,
    id: Result<Path<String>, PathRejection>,
    client: Client,
    Json(body): Json<Share>,
) -> Result<Response, Refusal> {
    let id = named(id)?;
    let session = found(&app, &id).await?;
    let after = |ms: i64| Timestamp::from_millis(Timestamp::now().millis().saturating_add(ms));
    let expires = match body.expires_in_ms {
        // As long as whoever gives it, at the most.
        None => after(LIFE_MS).min(grant.principal().expires().or_else(|| after(LIFE_MS))),
        Some(ms) if (1..=MAX_LIFE_MS).contains(&ms) => end(&grant, after(ms))?,
        Some(_) => {
            let text = format!("`expires_in_ms` must be from 1 to {MAX_LIFE_MS}");
            return Err(Refusal::field("expires_in_ms", text).with("limit", MAX_LIFE_MS));
        }
    };
    let titled = || Name::new(&format!("shared: {}", session.title().unwrap_or(id.as_str()))).ok();
    let unnamed = || Name::new("shared").expect("it is short and plain");
    let new = NewToken {
        name: body.label.or_else(titled).unwrap_or_else(unnamed),
        kind: TokenKind::Share,
        scopes: Scopes(vec![Scope::Read(Reach::Session(id))]),
        expires,
    };
    let made = auth.create_token(new).await.map_err(change_refused)?;
    let url = format!("{}#share={}", client.page(), made.secret.expose());
    let reply = json!({
        "token_id": made.principal.id(),
        "url": url,
        "expires": made.principal.expires(),
    });
    Ok(secret_reply(&reply))
}
