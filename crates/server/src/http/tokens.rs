//! Tokens: listed, made, revoked; and who asks.

use std::sync::Arc;

use axum::{
    Router,
    extract::{FromRef, Path, State, rejection::PathRejection},
    response::Response,
    routing::{delete, get},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use turnwire_proto::{Code, Epoch, Name, Scopes, Timestamp, path};

use super::{Refusal, body::Json, pair::secret_reply};
use crate::auth::{Admin, Anyone, Auth, ChangeError, Grant, Minted, NewToken, Principal, TokenKind};

/// Scopes of one token. Each is looked at by every request, and a person should be able to read them.
const MAX_SCOPES: usize = 64;

/// The routes of this file.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S>
where
    Auth: FromRef<S>,
    Epoch: FromRef<S>,
{
    Router::new()
        .route(path::TOKENS, get(list).post(make))
        .route(path::TOKEN, delete(revoke))
        .route(path::ME, get(me))
}

/// A token without its secret.
#[derive(Serialize)]
struct Shown<'a> {
    id: &'a str,
    name: &'a Name,
    kind: TokenKind,
    scopes: &'a Scopes,
    created: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    current: bool,
}

async fn list(State(auth): State<Auth>, grant: Grant<Admin>) -> Result<Response, Refusal> {
    let tokens = auth.tokens().await?;
    let shown: Vec<_> = tokens
        .iter()
        .map(|token| Shown {
            id: token.id(),
            name: token.name(),
            kind: token.kind(),
            scopes: token.scopes(),
            created: token.created(),
            last_used: token.last_used(),
            expires: token.expires(),
            current: Arc::ptr_eq(token, grant.principal()),
        })
        .collect();
    Ok(secret_reply(&json!({ "tokens": shown })))
}

/// A token that was made, with its secret.
#[derive(Serialize)]
pub(super) struct Made<'a> {
    id: &'a str,
    token: &'a str,
    name: &'a Name,
    scopes: &'a Scopes,
    created: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
}

pub(super) fn minted(made: &Minted) -> Made<'_> {
    let token = &made.principal;
    Made {
        id: token.id(),
        token: made.secret.expose(),
        name: token.name(),
        scopes: token.scopes(),
        created: token.created(),
        expires: token.expires(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Make {
    name: Name,
    scopes: Scopes,
    #[serde(default)]
    expires: Option<Timestamp>,
}

async fn make(State(auth): State<Auth>, grant: Grant<Admin>, Json(body): Json<Make>) -> Result<Response, Refusal> {
    check_scopes(&grant, &body.scopes)?;
    let new = NewToken {
        name: body.name,
        kind: TokenKind::Token,
        scopes: body.scopes,
        expires: end(&grant, body.expires)?,
    };
    let made = auth.create_token(new).await.map_err(change_refused)?;
    Ok(secret_reply(&json!(minted(&made))))
}

/// Who gives a token cannot give more than they have.
pub(super) fn check_scopes(grant: &Grant<Admin>, scopes: &Scopes) -> Result<(), Refusal> {
    if scopes.0.is_empty() || scopes.0.len() > MAX_SCOPES {
        let message = format!("`scopes` must have from 1 to {MAX_SCOPES} entries");
        return Err(Refusal::field("scopes", message).with("limit", MAX_SCOPES));
    }
    if !grant.principal().scopes().covers(scopes) {
        let message = "`scopes` must not allow more than who gives them may do";
        return Err(Refusal::new(Code::Forbidden, message).with("field", "scopes"));
    }
    Ok(())
}

/// When a token ends: in the future, and not after who gives it, or a token that ends would never end.
pub(super) fn end(grant: &Grant<Admin>, wanted: Option<Timestamp>) -> Result<Option<Timestamp>, Refusal> {
    if wanted.is_some_and(|wanted| wanted <= Timestamp::now()) {
        return Err(Refusal::field("expires", "`expires` must be in the future"));
    }
    match (wanted, grant.principal().expires()) {
        (Some(wanted), Some(own)) if wanted > own => {
            let message = format!("`expires` must not be after {own}, when the token that gives it ends");
            Err(Refusal::new(Code::Forbidden, message).with("field", "expires"))
        }
        (wanted, own) => Ok(wanted.or(own)),
    }
}

/// An administrator revokes any token; everybody their own.
async fn revoke(
    State(auth): State<Auth>,
    grant: Grant<Anyone>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Refusal> {
    let Path(id) = id.map_err(|_| Refusal::field("id", "`id` must be a token's id"))?;
    // Whoever was given a share link does not take it from the others who have it.
    let own = grant.principal().id() == id && grant.principal().kind() != TokenKind::Share;
    if !grant.principal().scopes().admin() && !own {
        let message = "this needs the scope `admin`, but for the token itself";
        return Err(Refusal::new(Code::Forbidden, message).with("needs", "admin"));
    }
    auth.revoke(&id).await.map_err(change_refused)?;
    Ok(secret_reply(&json!({ "id": id })))
}

async fn me(State(epoch): State<Epoch>, grant: Grant<Anyone>) -> Response {
    let who: &Principal = grant.principal();
    let mut reply = json!({
        "id": who.id(),
        "name": who.name(),
        "kind": who.kind(),
        "scopes": who.scopes(),
        "version": env!("CARGO_PKG_VERSION"),
        "epoch": epoch,
    });
    if let (Some(reply), Some(expires)) = (reply.as_object_mut(), who.expires()) {
        reply.insert("expires".to_owned(), json!(expires));
    }
    secret_reply(&reply)
}

pub(super) fn change_refused(error: ChangeError) -> Refusal {
    let message = error.to_string();
    match error {
        ChangeError::Store(error) => error.into(),
        ChangeError::Full { limit, .. } => Refusal::new(Code::Overloaded, message).with("limit", limit),
        ChangeError::NotFound => Refusal::new(Code::NotFound, message),
        ChangeError::Gone => Refusal::new(Code::Gone, message),
        ChangeError::Off => Refusal::new(Code::Conflict, message),
    }
}
