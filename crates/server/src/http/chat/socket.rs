//! The WebSocket of a chat: one session's events as they come, and what is said in it.
//!
//! Its state is a cursor and a page at the most. Events come by a subscription of that session alone, which is opened before a
//! message is given, so nothing of the turn is missed and nothing of another session is ever read. Nothing that happens to the
//! socket reaches the agent.

mod heed;

use std::{sync::Arc, time::Duration};

use axum::{
    Extension,
    extract::{
        FromRef, RawQuery, State,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    response::Response,
};
use futures_util::SinkExt;
use http::HeaderMap;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use turnwire_formats::chat::{Chat as Wire, Frame, Mapped, gap};
use turnwire_log::{Limit, Page};
use turnwire_proto::{
    Code, ControlFrame, Event, EventId, Kind, Name, Selector, Seq,
    command::{Action, Command, State as Stands},
};

use super::{
    super::{
        App, Refusal,
        commands::ORDER,
        query::{self, EventQuery},
    },
    is_unsaid, reply, said,
};
use crate::{
    auth::{Auth, Chat, Grant, Via},
    deliver::{Held, jitter},
    hub::{Start, Subscription},
    observe::Metrics,
};

/// Bytes of a frame that is read at all: what is over [`ORDER`] is still read to its end, so that its sender hears why.
const FRAME: usize = 2 * ORDER;
/// How long a socket that is closed waits for its peer to say the same.
const FAREWELL: Duration = Duration::from_secs(2);
/// Events that are looked at for what had been streamed before a resumed reader's place.
const BEFORE: Limit = Limit {
    events: 1000,
    bytes: 256 * 1024,
};

/// Closing codes: those of RFC 6455 and its registry, and 44xx where HTTP would say 4xx.
mod code {
    pub(super) const TOO_BIG: u16 = 1009;
    pub(super) const RESTART: u16 = 1012;
    pub(super) const LATER: u16 = 1013;
    pub(super) const UNAUTHORIZED: u16 = 4401;
    pub(super) const SILENT: u16 = 4408;
}

/// Why a socket ends.
enum End {
    /// The peer has gone, or takes nothing.
    Gone,
    /// The server ends it: the closing code, and why.
    Close(u16, &'static str),
}

/// One session, as it is read.
struct Reading {
    session: Name,
    subscription: Subscription,
    wire: Wire,
}

struct Socket {
    app: App,
    grant: Grant<Chat>,
    ws: WebSocket,
    reading: Option<Reading>,
    /// Whom the last message was for.
    agent: Option<Name>,
    /// Changes when a token has ended.
    ended: watch::Receiver<u64>,
    /// When something last came.
    heard: Instant,
    pinged: Instant,
    /// When a socket that was told of the shutdown ends.
    until: Option<Instant>,
    _open: Open,
    _held: Option<Held>,
}

/// Counts a socket for as long as it lives.
struct Open(Arc<Metrics>);

impl Open {
    fn new(metrics: Arc<Metrics>) -> Self {
        metrics.chat_sockets.inc();
        Self(metrics)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.chat_sockets.dec();
    }
}

/// `GET /api/chat/stream`.
pub(super) async fn open(
    State(app): State<App>,
    grant: Grant<Chat>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    held: Option<Extension<Held>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let query = EventQuery::parse(query.as_deref(), query::CHAT)?;
    if app.tasks().stopping().is_cancelled() {
        return Err(Refusal::new(Code::ShuttingDown, "the server is stopping"));
    }
    if grant.via() == Via::Cookie && is_unsaid(&headers) {
        let text = "a WebSocket by cookie must have an `Origin`: whose page it is";
        return Err(Refusal::new(Code::Forbidden, text).with("field", "origin"));
    }
    let upgrade = upgrade.map_err(|why| Refusal::field("upgrade", format!("this is a WebSocket's address: {why}")))?;
    let start = query.start(None)?;
    let reading = match &query.what.session {
        Some(session) => Some(read(&app, &grant, session, start).await?),
        None if start != Start::Live => {
            return Err(Refusal::field(
                "after",
                "`after` is a place in a session: `session_id` must name it",
            ));
        }
        None => None,
    };
    let upgrade = upgrade
        .read_buffer_size(8 * 1024)
        .write_buffer_size(64 * 1024)
        .max_message_size(FRAME)
        .max_frame_size(FRAME);
    Ok(upgrade.on_upgrade(async move |ws| {
        let tasks = app.tasks().clone();
        let socket = Socket {
            ended: Auth::from_ref(&app).revisions(),
            _open: Open::new(app.hub().metrics().clone()),
            app,
            grant,
            ws,
            reading: None,
            agent: None,
            heard: Instant::now(),
            pinged: Instant::now(),
            until: None,
            _held: held.map(|Extension(held)| held),
        };
        tasks.spawn("chat", socket.run(reading));
    }))
}

/// Begins to read a session: from a place, with what its reader had of messages that are not whole there, or from now on.
async fn read(app: &App, grant: &Grant<Chat>, session: &Name, start: Start) -> Result<Reading, Refusal> {
    said::may_chat(grant, session)?;
    // Narrowed to what may be seen by whoever reads it.
    let what = Selector::session(session.clone());
    let reading = grant.reading();
    let subscription = app.hub().subscribe(&reading, what.clone(), start).await?;
    for gap in subscription.gaps() {
        app.hub().metrics().gap(gap);
    }
    let mut wire = Wire::default();
    if start != Start::Live && subscription.cursor() > Seq::ZERO {
        let spoken = [
            Kind::TEXT_DELTA,
            Kind::REASONING_DELTA,
            Kind::REASONING,
            Kind::MESSAGE,
            Kind::TURN_END,
        ];
        let what = Selector {
            kinds: spoken.to_vec(),
            ..what
        };
        let before = app
            .hub()
            .before(&reading, what, subscription.cursor().next(), BEFORE)
            .await?;
        for event in before.events().filter_map(Result::ok) {
            wire.had(&event);
        }
    }
    Ok(Reading {
        session: session.clone(),
        subscription,
        wire,
    })
}

impl Socket {
    async fn run(mut self, reading: Option<Reading>) {
        let end = match self.begin(reading).await {
            Ok(()) => loop {
                if let Err(end) = self.step().await {
                    break end;
                }
            },
            Err(end) => end,
        };
        let End::Close(code, reason) = end else { return };
        Metrics::count(&self.app.hub().metrics().ended, "reason", reason);
        let close = CloseFrame {
            code,
            reason: Utf8Bytes::from_static(reason),
        };
        if self.ws.send(Message::Close(Some(close))).await.is_ok() {
            // What still comes is thrown away: a socket that is dropped before would be reset, and the reason lost.
            let farewell = async { while let Some(Ok(_)) = self.ws.recv().await {} };
            // Within the grace, of which half was for leaving one by one.
            let _ = timeout(FAREWELL.min(self.app.limits().shutdown_grace / 4), farewell).await;
        }
    }

    /// Reads a session from here on: hello says from which place, then come the gaps that are known.
    async fn begin(&mut self, reading: Option<Reading>) -> Result<(), End> {
        let Some(mut reading) = reading else { return Ok(()) };
        let mut frames = Vec::new();
        for frame in reading.subscription.opening() {
            match &frame {
                ControlFrame::Hello { epoch, first, head } => {
                    let hello = Frame::new("hello")
                        .with("session_id", &reading.session)
                        .with("epoch", epoch);
                    let hello = hello.with("first", first).with("head", head);
                    frames.push(hello.with("after", &reading.subscription.cursor()));
                }
                other => frames.extend(gap(other)),
            }
        }
        self.reading = Some(reading);
        self.send(frames).await
    }

    /// Waits for one thing and does it.
    async fn step(&mut self) -> Result<(), End> {
        self.ended.mark_unchanged();
        if let Some(reason) = self.grant.standing().is_ended() {
            return Err(End::Close(code::UNAUTHORIZED, reason));
        }
        let limits = *self.app.limits();
        let stopping = self.app.tasks().stopping().clone();
        if self.until.is_none() && stopping.is_cancelled() {
            // Sockets leave one by one, in half of the grace, so that their clients do not all come back at once.
            let half = u64::try_from(limits.shutdown_grace.as_millis() / 2).unwrap_or(u64::MAX);
            self.until = Some(Instant::now() + Duration::from_millis(jitter(half.max(1))));
        }
        if self.until.is_some_and(|until| until <= Instant::now()) {
            return Err(End::Close(code::RESTART, "shutdown"));
        }
        let (silent, ping) = (self.heard + limits.socket_silence, self.pinged + limits.socket_ping);
        let due = silent.min(ping).min(self.until.unwrap_or(silent));
        let read = async {
            match &mut self.reading {
                Some(reading) => reading.subscription.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Each branch is cancel-safe: a frame that is not whole stays with the socket, the cursor moves with its page. What has
            // come is looked at before the time is, so that a peer is silent only when nothing of it waits.
            biased;
            message = self.ws.recv() => self.came(message).await,
            () = sleep_until(due) => self.due(silent, ping).await,
            changed = self.ended.changed() => changed.map_err(|_| End::Gone),
            () = stopping.cancelled(), if self.until.is_none() => Ok(()),
            page = read => match page {
                Ok((gaps, page)) => self.show(&gaps, &page).await,
                Err(error) => {
                    tracing::error!(%error, "a chat could not be read");
                    self.app.hub().metrics().read_errors.inc();
                    Err(End::Close(code::LATER, "store_unavailable"))
                }
            },
        }
    }

    async fn due(&mut self, silent: Instant, ping: Instant) -> Result<(), End> {
        let now = Instant::now();
        if silent <= now {
            return Err(End::Close(code::SILENT, "silent"));
        }
        if ping <= now {
            self.pinged = now;
            self.ws
                .send(Message::Ping(bytes::Bytes::new()))
                .await
                .map_err(|_| End::Gone)?;
        }
        Ok(())
    }

    async fn send(&mut self, frames: impl IntoIterator<Item = Frame>) -> Result<(), End> {
        let metrics = self.app.hub().metrics().clone();
        for frame in frames {
            let text = frame.finish();
            metrics.delivered_bytes.inc_by(text.len() as u64);
            self.ws.feed(Message::Text(text.into())).await.map_err(|_| End::Gone)?;
        }
        self.ws.flush().await.map_err(|_| End::Gone)
    }

    /// Sends what a page comes to.
    async fn show(&mut self, gaps: &[ControlFrame], page: &Page) -> Result<(), End> {
        for told in gaps {
            if let ControlFrame::Gap { reason, .. } = told {
                self.app.hub().metrics().gap(*reason);
            }
        }
        self.send(gaps.iter().filter_map(gap)).await?;
        let mut frames = Vec::new();
        for event in page.events() {
            let Ok(event) = event else {
                tracing::error!("an event of a chat cannot be read");
                continue;
            };
            let Some(reading) = &mut self.reading else { continue };
            match reading.wire.event(&event) {
                Mapped::Nothing => {}
                Mapped::Frame(frame) => frames.push(frame),
                Mapped::TurnEnd(frame) => frames.push(self.turn_end(&event, frame).await),
                Mapped::CommandEnd(frame) => frames.push(self.command_end(&event, frame).await),
            }
        }
        self.app.hub().metrics().delivered_pages.inc();
        self.send(frames).await
    }

    /// The message that an id is of, in this session.
    async fn message_of(&mut self, id: &str) -> Option<Command> {
        let id: EventId = id.parse().ok()?;
        let found = self.app.control().find(&self.grant.controlling(), id).await;
        let session = self.reading.as_ref().map(|reading| &reading.session);
        let is_here = |command: &Command| command.action == Action::Message && command.session_id.as_ref() == session;
        found.ok().flatten().filter(is_here)
    }

    /// The end of a turn: what it has come to, unless its message's end says that.
    async fn turn_end(&mut self, event: &Event, frame: Frame) -> Frame {
        let by_message = match &event.turn_id {
            Some(id) => self.message_of(id.as_str()).await.is_some(),
            None => false,
        };
        let session = self.reading.as_ref().map(|reading| reading.session.clone());
        let Some(session) = session.filter(|_| !by_message) else {
            return frame;
        };
        match reply::of_turn(&self.app, &session, event).await {
            // Another source may say the end of a message's turn, under an id of its own.
            Ok(Some((Some(id), _))) if self.message_of(&id).await.is_some() => frame,
            Ok(Some((_, outcome))) => outcome.frame(event),
            Ok(None) | Err(_) => frame,
        }
    }

    /// The end of a command: what came of it, where it was a message.
    async fn command_end(&mut self, event: &Event, frame: Frame) -> Frame {
        let id = event
            .data
            .read::<turnwire_proto::CommandState>()
            .map(|body| body.command_id);
        let Some(command) = self.message_of(id.as_deref().unwrap_or_default()).await else {
            return frame;
        };
        if command.state == Stands::Done {
            return match reply::of_command(&self.app, &command).await {
                Ok(outcome) => outcome.frame(event),
                Err(_) => frame,
            };
        }
        let error = Frame::new("error")
            .with("seq", &event.seq)
            .with("timestamp", &event.timestamp);
        with_refusal(error, &reply::not_done(&command)).with("id", &command.id)
    }

    /// Takes a frame of the client's.
    async fn came(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        let message = match message {
            Some(Ok(message)) => message,
            Some(Err(error)) if is_too_big(&error) => return Err(End::Close(code::TOO_BIG, "too_large")),
            Some(Err(_)) | None => return Err(End::Gone),
        };
        self.heard = Instant::now();
        match message {
            Message::Text(text) if text.len() > ORDER => Err(End::Close(code::TOO_BIG, "too_large")),
            Message::Text(text) => self.heed(&text).await,
            Message::Binary(_) => {
                let refusal = Refusal::field("body", "a frame must be text: one JSON object");
                self.send([with_refusal(Frame::new("error"), &refusal)]).await
            }
            Message::Close(_) => Err(End::Gone),
            Message::Ping(_) | Message::Pong(_) => Ok(()),
        }
    }
}

/// A frame with what a refusal says.
fn with_refusal(frame: Frame, refusal: &Refusal) -> Frame {
    let error = refusal.clone().into_reply().error;
    let frame = frame.with("code", &error.code).with("message", &error.message);
    frame.with("retry", &error.retry).with("details", &error.details)
}

/// Whether a frame was larger than what is read at all.
fn is_too_big(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.to_string().starts_with("Space limit exceeded") {
            return true;
        }
        cause = error.source();
    }
    false
}
