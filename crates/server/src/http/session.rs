//! What people do to a session: give it a title, delete it.

use axum::{
    Json as Reply,
    extract::{Path, State, rejection::PathRejection},
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use turnwire_proto::{Code, Name, Reach, Scope};

use super::{
    App, Refusal,
    body::Json,
    sessions::{found, named, none},
    tokens::change_refused,
};
use crate::{
    auth::{Admin, Auth, ChangeError, Chat, Grant, TokenKind},
    views::sessions::{self, Session},
};

/// Characters of a title, as of one that is a first prompt.
const TITLE: usize = 160;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    title: String,
}

pub(super) async fn rename(
    State(app): State<App>,
    grant: Grant<Chat>,
    id: Result<Path<String>, PathRejection>,
    Json(change): Json<Change>,
) -> Result<Reply<Session>, Refusal> {
    let id = named(id)?;
    let title = change.title.trim();
    let count = title.chars().count();
    if count == 0 || count > TITLE || title.chars().any(char::is_control) {
        let text = format!("`title` must have 1 to {TITLE} characters, and no control characters");
        return Err(Refusal::field("title", text).with("limit", TITLE));
    }
    if !grant.may_chat(id.as_str()) {
        // Before it is said whether there is such a session.
        let text = format!("this token may not both read and control session {id}");
        return Err(Refusal::new(Code::Forbidden, text).with("needs", "read and control"));
    }
    found(&app, &id).await?;
    app.hub().rename(&grant, &id, title).await?;
    found(&app, &id).await.map(Reply)
}

/// What was deleted.
#[derive(Debug, Serialize)]
pub(super) struct Erased {
    id: Name,
    /// Events that are gone.
    events: u64,
}

pub(super) async fn erase(
    State(app): State<App>,
    State(auth): State<Auth>,
    grant: Grant<Admin>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Reply<Erased>, Refusal> {
    let id = named(id)?;
    let head = app.log().bounds().await?.head;
    if app.views().reach(head).await < head {
        let text = "the views are being built: what the session has open is not known yet";
        return Err(Refusal::new(Code::Overloaded, text));
    }
    let wanted = id.clone();
    let over = app
        .views()
        .read(move |db| sessions::is_over(db, wanted.as_str()))
        .await?;
    if !over.ok_or_else(|| none(&id, head, head))? {
        let text = format!("session {id} has a turn in flight, a pending approval or an open command; end it first");
        return Err(Refusal::new(Code::Conflict, text).with("field", "id"));
    }
    let (done, answer) = oneshot::channel();
    let (theirs, session) = (app.clone(), id.clone());
    // Whoever asked may go away: what is begun is done to its end, and said.
    app.tasks().spawn("erase", async move {
        // Whoever asked is gone.
        let _ = done.send(whole(&theirs, &auth, &grant, session).await);
    });
    match answer.await {
        Ok(erased) => erased.map(Reply),
        Err(_) => Err(Refusal::new(
            Code::Internal,
            "the session could not be deleted; the server's log says why",
        )),
    }
}

/// Deletes it, and the links to it: another session of this id would be another's to share.
async fn whole(app: &App, auth: &Auth, grant: &Grant<Admin>, id: Name) -> Result<Erased, Refusal> {
    let (events, told) = app.hub().erase(grant, &id).await?;
    let scope = [Scope::Read(Reach::Session(id.clone()))];
    for token in auth.tokens().await? {
        if token.kind() == TokenKind::Share && token.scopes().0 == scope {
            match auth.revoke(token.id()).await {
                Ok(()) | Err(ChangeError::Gone | ChangeError::NotFound) => {}
                Err(error) => return Err(change_refused(error)),
            }
        }
    }
    app.views().reach(told).await;
    Ok(Erased { id, events })
}
