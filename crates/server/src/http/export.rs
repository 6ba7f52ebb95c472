//! `/api/sessions/{id}/export`: all events of a session as a file, one a line, oldest first.

use std::io;

use axum::{
    body::Body,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    response::Response,
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, header};
use turnwire_log::{Limit, Page};
use turnwire_proto::{Name, Selector, Seq};

use super::{
    App, Refusal,
    query::{self, EventQuery},
    sessions::{found, session_id},
};
use crate::auth::{Grant, Read};

/// Where an export is.
struct Export {
    app: App,
    grant: Grant<Read>,
    what: Selector,
    at: Seq,
    /// The newest place when it began: what comes later is of another export.
    until: Seq,
}

pub(super) async fn export(
    State(app): State<App>,
    grant: Grant<Read>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let query = EventQuery::parse(query.as_deref(), query::EXPORT)?;
    let id = session_id(&grant, id)?;
    found(&app, &id).await?;
    let until = app.hub().bounds(&grant).await?.head;
    let (name, what) = (
        file_name(&id),
        Selector {
            session: Some(id),
            ..query.what
        },
    );
    let export = Export {
        app,
        grant,
        what,
        at: Seq::ZERO,
        until,
    };
    let mut response = Response::new(Body::from_stream(stream::try_unfold(export, Export::next)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

impl Export {
    /// The next lines. An error cuts the answer, so that a part is not taken for the whole.
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        while self.at < self.until {
            if let Some(why) = self.grant.standing().is_ended() {
                return Err(io::Error::other(why));
            }
            if self.app.tasks().stopping().is_cancelled() {
                return Err(io::Error::other("the server stops"));
            }
            let read = self
                .app
                .hub()
                .after_once(&self.grant, self.what.clone(), self.at, Limit::RUN);
            let page = read.await.map_err(|refusal| io::Error::other(format!("{refusal:?}")))?;
            if page.cursor <= self.at {
                break;
            }
            self.at = page.cursor;
            let lines = lines(&page, self.until);
            if !lines.is_empty() {
                return Ok(Some((lines.into(), self)));
            }
        }
        Ok(None)
    }
}

fn lines(page: &Page, until: Seq) -> Vec<u8> {
    let mut lines = Vec::with_capacity(page.run.len());
    for (_, json) in page.jsons().take_while(|(seq, _)| *seq <= until) {
        lines.extend_from_slice(json);
        lines.push(b'\n');
    }
    lines
}

/// What a browser saves it as: of an id, what every file system takes.
fn file_name(id: &Name) -> HeaderValue {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '_'
        }
    };
    let id: String = id.as_str().chars().take(100).map(plain).collect();
    HeaderValue::try_from(format!("attachment; filename=\"session-{id}.ndjson\"")).expect("it is plain ASCII")
}
