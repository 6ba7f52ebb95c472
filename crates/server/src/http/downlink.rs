//! `/api/agent/…`: what an agent keeps open, waits on, reports, and says of its commands.

use std::{sync::Arc, time::Duration};

use axum::{
    Json as Reply, Router,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    routing::{get, post},
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};
use turnwire_proto::{
    Code, ControlFrame, Epoch, Seq,
    command::{Acknowledgement, Command, Outstanding, Report},
    path, sse,
};

use super::{
    App, Refusal,
    body::Json,
    commands::{ORDER, command_id},
    query::{self, EventQuery},
};
use crate::{
    auth::{Agent, Auth, Grant, Standing},
    control::{Downlink, Next},
    deliver::{Pieces, Streaming, first_bytes, jitter, retry_ms},
    hub::Start,
    observe::Metrics,
};

/// How long an agent waits when it does not say it: below what proxies commonly allow, and below the silence after which it is
/// offline.
const WAIT: Duration = Duration::from_secs(25);

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route(path::DOWNLINK, get(stream))
        .route(path::DOWNLINK_INTERNAL, get(stream))
        .route(path::DOWNLINK_WAKE, get(wake))
        .route(path::DOWNLINK_SYNC, post(sync))
        .route(path::DOWNLINK_COMMAND, post(acknowledge))
}

/// Opens the downlink that a request asks for, at the cursor that it may go on from, and says why where that is another.
async fn open(
    app: &App,
    grant: &Grant<Agent>,
    query: &EventQuery,
    headers: &HeaderMap,
) -> Result<(Downlink, ControlFrame, &'static str), Refusal> {
    let bounds = app.log().bounds().await?;
    let (after, reason) = match query.start(super::events::last_event_id(headers)?)? {
        // What it has is of another log, or of one that has gone back: nothing is known to be with it.
        Start::After(after, epoch) if after > bounds.head || epoch.is_some_and(|epoch| epoch != bounds.epoch) => {
            (Seq::ZERO, "cursor_unknown")
        }
        Start::After(after, _) => (after, "connected"),
        _ => (Seq::ZERO, "connected"),
    };
    let hello = ControlFrame::Hello {
        epoch: bounds.epoch,
        first: bounds.first,
        head: bounds.head,
    };
    let downlink = app.control().connect(grant, query.agent()?, after).await?;
    Ok((downlink, hello, reason))
}

async fn stream(
    State(app): State<App>,
    grant: Grant<Agent>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Streaming, Refusal> {
    let query = EventQuery::parse(query.as_deref(), query::DOWNLINK)?;
    let (downlink, hello, reason) = open(&app, &grant, &query, &headers).await?;
    let mut opening = first_bytes();
    sse::control(&hello, &mut opening);
    sse::named(
        "sync",
        &format!(r#"{{"reason":"{reason}"}}"#),
        downlink.cursor(),
        &mut opening,
    );
    let line = Line {
        ended: <Auth as axum::extract::FromRef<App>>::from_ref(&app).revisions(),
        _open: Open::new(app.hub().metrics().clone()),
        app,
        downlink,
        standing: grant.standing(),
        opening: Some(opening),
        written: Instant::now(),
        until: None,
        over: false,
    };
    Ok(Streaming::of_pieces(line))
}

impl Pieces for Line {
    fn next(&mut self) -> BoxFuture<'_, Option<Bytes>> {
        Box::pin(async move {
            let piece = self.piece().await?;
            self.written = Instant::now();
            Some(Bytes::from(piece))
        })
    }
}

/// Counts a stream for as long as it lives.
struct Open(Arc<Metrics>);

impl Open {
    fn new(metrics: Arc<Metrics>) -> Self {
        metrics.downlinks.inc();
        Self(metrics)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.downlinks.dec();
    }
}

/// The stream of one downlink.
struct Line {
    app: App,
    downlink: Downlink,
    standing: Standing,
    /// Changes when a token has ended.
    ended: watch::Receiver<u64>,
    opening: Option<Vec<u8>>,
    /// When something was last written: the heartbeat counts from here.
    written: Instant,
    /// When a stream that was told of the shutdown ends.
    until: Option<Instant>,
    over: bool,
    _open: Open,
}

impl Line {
    async fn piece(&mut self) -> Option<Vec<u8>> {
        if self.over {
            return None;
        }
        if let Some(opening) = self.opening.take() {
            return Some(opening);
        }
        loop {
            self.ended.mark_unchanged();
            if let Some(reason) = self.standing.is_ended() {
                return Some(self.bye(reason, None));
            }
            if self.until.is_none() {
                match self.downlink.take().await {
                    Ok(Next::Replaced) => return Some(self.bye("replaced", None)),
                    Ok(Next::Commands(commands)) if !commands.is_empty() => return Some(frames(&commands)),
                    Ok(Next::Commands(_)) => {}
                    Err(refusal) if refusal.code() == Code::ShuttingDown => self.stopping(),
                    Err(_) => return Some(self.bye("store_unavailable", Some(2000))),
                }
            }
            let stopping = self.app.tasks().stopping().clone();
            let heartbeat = self.written + self.app.limits().heartbeat;
            let due = self.until.map_or(heartbeat, |until| until.min(heartbeat));
            tokio::select! {
                // Each branch is cancel-safe.
                () = self.downlink.rung(), if self.until.is_none() => {}
                changed = self.ended.changed() => if changed.is_err() { return None },
                () = stopping.cancelled(), if self.until.is_none() => self.stopping(),
                () = sleep_until(due) => {
                    if self.until.is_some_and(|until| until <= Instant::now()) {
                        return Some(self.bye("shutdown", Some(retry_ms())));
                    }
                    if heartbeat <= Instant::now() {
                        return Some(sse::COMMENT_HEARTBEAT.to_vec());
                    }
                }
            }
        }
    }

    /// Agents leave one by one, in half of the grace: the other half is for writing the last frames.
    fn stopping(&mut self) {
        let half = u64::try_from(self.app.limits().shutdown_grace.as_millis() / 2).unwrap_or(u64::MAX);
        self.until = Some(Instant::now() + Duration::from_millis(jitter(half.max(1))));
    }

    fn bye(&mut self, reason: &'static str, retry_ms: Option<u64>) -> Vec<u8> {
        self.over = true;
        Metrics::count(&self.app.hub().metrics().ended, "reason", reason);
        let mut out = Vec::new();
        let reason = reason.to_owned();
        sse::control(&ControlFrame::Bye { reason, retry_ms }, &mut out);
        out
    }
}

fn frames(commands: &[Command]) -> Vec<u8> {
    let mut out = Vec::new();
    for command in commands {
        // Plain data, which serde_json always writes, without a line break.
        let data = serde_json::to_string(command).unwrap_or_default();
        sse::named("command", &data, command.seq, &mut out);
    }
    out
}

async fn wake(
    State(app): State<App>,
    State(epoch): State<Epoch>,
    grant: Grant<Agent>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Reply<Outstanding>, Refusal> {
    let query = EventQuery::parse(query.as_deref(), query::WAKE)?;
    let until = Instant::now() + query.wait_ms.map_or(WAIT, Duration::from_millis);
    let (mut downlink, ..) = open(&app, &grant, &query, &headers).await?;
    let stopping = app.tasks().stopping().clone();
    loop {
        let commands = match downlink.take().await? {
            Next::Commands(commands) => commands,
            Next::Replaced => {
                let cursor = downlink.cursor();
                return Ok(Reply(Outstanding {
                    cursor,
                    epoch: Some(epoch),
                    commands: Vec::new(),
                    replaced: true,
                }));
            }
        };
        let cursor = downlink.cursor();
        if !commands.is_empty() || until <= Instant::now() || stopping.is_cancelled() {
            return Ok(Reply(Outstanding {
                cursor,
                epoch: Some(epoch),
                commands,
                replaced: false,
            }));
        }
        tokio::select! {
            // Both are cancel-safe. Whatever ends the wait, what there is then is looked at once more.
            _ = timeout_at(until, downlink.rung()) => {}
            () = stopping.cancelled() => {}
        }
    }
}

async fn sync(
    State(app): State<App>,
    State(epoch): State<Epoch>,
    grant: Grant<Agent>,
    RawQuery(query): RawQuery,
    Json(report): Json<Report, ORDER>,
) -> Result<Reply<Outstanding>, Refusal> {
    let query = EventQuery::parse(query.as_deref(), query::AGENT)?;
    let synced = app.control().sync(&grant, query.agent()?, epoch, report).await;
    synced.map(Reply)
}

async fn acknowledge(
    State(app): State<App>,
    grant: Grant<Agent>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    Json(said): Json<Acknowledgement, ORDER>,
) -> Result<Reply<Command>, Refusal> {
    let query = EventQuery::parse(query.as_deref(), query::AGENT)?;
    let id = command_id(id)?;
    app.control()
        .acknowledge(&grant, query.agent()?, id, said)
        .await
        .map(Reply)
}
