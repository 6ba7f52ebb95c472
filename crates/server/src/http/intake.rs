//! Bodies of events: one object, an array, or lines of any number, with memory for one batch.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::{HeaderMap, header};
use tokio::time::timeout;
use turnwire_proto::{Code, Defaults, Incoming, Invalid, NewEvent, Timestamp, limits};

use super::{
    App, Refusal,
    events::{Published, media_type, source_of},
    ids::Ids,
    ingest::Ingest,
};
use crate::{
    auth::{Grant, Publish},
    hub::Queued,
};

/// Lines that are appended together, so that a long body is durable bit by bit.
const PIECE_EVENTS: usize = 1000;
/// Bytes of lines that are appended together.
const PIECE_BYTES: usize = 1024 * 1024;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One object or an array: one batch, all or none of it.
    Json,
    /// An object a line.
    Lines,
}

impl Shape {
    /// By the `Content-Type`; without one it is JSON.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        match media_type(headers).map(str::to_ascii_lowercase).as_deref() {
            None | Some("application/json") => Ok(Self::Json),
            Some("application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines") => {
                Ok(Self::Lines)
            }
            Some(other) => {
                let text =
                    format!("`Content-Type` is {other}; this route takes application/json and application/x-ndjson");
                Err(Refusal::new(Code::BadMediaType, text).with("field", "content-type"))
            }
        }
    }
}

/// Takes a body in and appends what it has.
pub(super) async fn take(
    app: &App,
    grant: &Grant<Publish>,
    shape: Shape,
    (headers, body): (&HeaderMap, Body),
    queued: &Queued,
    ids: Option<Ids>,
) -> Result<Published, Refusal> {
    match shape {
        Shape::Json => {
            let limit = app.limits().batch_bytes;
            let declared = headers
                .get(header::CONTENT_LENGTH)
                .and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
            if declared.is_some_and(|length| length > limit) {
                return Err(too_large(limit));
            }
            let body = whole(app, body, limit).await?;
            let events = batch(app, grant, &body, ids)?;
            let mut published = Published::default();
            published.add(&app.hub().publish(grant, &events, queued).await?);
            Ok(published)
        }
        Shape::Lines => {
            let lines = Lines {
                ids,
                ..Lines::new(app, grant, queued)
            };
            lines.take(body).await
        }
    }
}

/// Takes a vendor's lines in and appends what an adapter makes of them.
pub(super) async fn read(app: &App, grant: &Grant<Publish>, ingest: Ingest, body: Body) -> Result<Published, Refusal> {
    let queued = Queued::default();
    let lines = Lines {
        ingest: Some(ingest),
        ..Lines::new(app, grant, &queued)
    };
    lines.take(body).await
}

fn too_large(limit: usize) -> Refusal {
    let text = format!("the body is larger than the limit of {limit} bytes; send more as application/x-ndjson");
    Refusal::new(Code::TooLarge, text)
        .with("field", "body")
        .with("limit", limit)
}

/// The next piece of a body, or why there is none.
async fn piece(app: &App, body: &mut axum::body::BodyDataStream) -> Result<Option<Bytes>, Refusal> {
    match timeout(app.limits().body_time, body.next()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(piece))) => Ok(Some(piece)),
        Ok(Some(Err(error))) => {
            Err(Refusal::new(Code::BadRequest, format!("the body broke off: {error}")).with("field", "body"))
        }
        Err(_) => {
            let wait = app.limits().body_time;
            let text = format!("the body stood still for {} s", wait.as_secs());
            Err(Refusal::new(Code::Timeout, text).with("field", "body"))
        }
    }
}

pub(super) async fn whole(app: &App, body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let mut body = body.into_data_stream();
    let Some(first) = piece(app, &mut body).await? else {
        return Ok(Bytes::new());
    };
    let Some(second) = piece(app, &mut body).await? else {
        return if first.len() > limit {
            Err(too_large(limit))
        } else {
            Ok(first)
        };
    };
    let mut all = BytesMut::from(first);
    all.extend_from_slice(&second);
    while let Some(more) = piece(app, &mut body).await? {
        all.extend_from_slice(&more);
        if all.len() > limit {
            return Err(too_large(limit));
        }
    }
    Ok(all.freeze())
}

fn batch(app: &App, grant: &Grant<Publish>, body: &[u8], mut ids: Option<Ids>) -> Result<Vec<NewEvent>, Refusal> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::field("body", "the body is empty"));
    }
    // What is larger than an event may be, may be smaller without what becomes blobs: the hub says.
    let events = Incoming::parse_many_within(body, app.limits().batch_bytes)
        .map_err(|(at, error)| invalid(&error).with("index", at))?;
    let limit = app.limits().batch_events;
    if events.len() > limit {
        let text = format!("the array has {} events, more than the limit of {limit}", events.len());
        return Err(Refusal::new(Code::TooLarge, text)
            .with("field", "body")
            .with("limit", limit));
    }
    let defaults = Defaults {
        source: source_of(grant),
        timestamp: Timestamp::now(),
    };
    let event = |event: Incoming| Incoming {
        id: event.id.or_else(|| ids.as_mut().map(Ids::next)),
        ..event
    };
    Ok(events
        .into_iter()
        .map(event)
        .map(|event| event.into_event(&defaults))
        .collect())
}

fn invalid(error: &Invalid) -> Refusal {
    let code = if matches!(error, Invalid::Large { .. }) {
        Code::TooLarge
    } else {
        Code::BadRequest
    };
    // What is no object at all has no field: then it is the body that is wrong.
    let mut refusal = Refusal::new(code, error.to_string()).with("field", error.field().unwrap_or("body"));
    if let Invalid::Large { limit, .. } | Invalid::Deep { limit, .. } = error {
        refusal = refusal.with("limit", *limit);
    }
    refusal
}

/// A body of lines under way. Each piece of it is all or none; an error says what was written before it.
struct Lines<'a> {
    app: &'a App,
    grant: &'a Grant<Publish>,
    queued: &'a Queued,
    defaults: Defaults,
    /// The start of a line whose end has not yet come.
    rest: BytesMut,
    events: Vec<NewEvent>,
    bytes: usize,
    line: u64,
    published: Published,
    /// Ids of events that have none.
    ids: Option<Ids>,
    /// Reads lines that are no events yet.
    ingest: Option<Ingest>,
}

impl<'a> Lines<'a> {
    fn new(app: &'a App, grant: &'a Grant<Publish>, queued: &'a Queued) -> Self {
        let defaults = Defaults {
            source: source_of(grant),
            timestamp: Timestamp::now(),
        };
        let (rest, events) = (BytesMut::new(), Vec::new());
        Self {
            app,
            grant,
            queued,
            defaults,
            rest,
            events,
            bytes: 0,
            line: 0,
            published: Published::default(),
            ids: None,
            ingest: None,
        }
    }

    async fn take(mut self, body: Body) -> Result<Published, Refusal> {
        match self.run(body).await {
            Ok(()) => Ok(self.published),
            Err(refusal) => {
                let Published {
                    written,
                    duplicates,
                    last_seq,
                    ..
                } = self.published;
                Err(refusal
                    .with("written", written)
                    .with("duplicates", duplicates)
                    .with("last_seq", last_seq.get()))
            }
        }
    }

    async fn run(&mut self, body: Body) -> Result<(), Refusal> {
        let mut body = body.into_data_stream();
        loop {
            let piece = piece(self.app, &mut body).await?;
            // A body that is here as a whole says so before it is asked again.
            let last = piece.is_none() || http_body::Body::is_end_stream(&body);
            if let Some(piece) = piece {
                self.piece(piece).await?;
            }
            if last {
                break;
            }
            // What came so far need not wait for what may come late.
            self.append(&Queued::default()).await?;
        }
        // The last line may end with the body.
        let rest = self.rest.split().freeze();
        if !rest.is_empty() {
            self.line(&rest).await?;
        }
        if self.line == 0 {
            return Err(Refusal::field("body", "the body is empty"));
        }
        let mut events = Vec::new();
        if let Some(ingest) = &mut self.ingest {
            ingest.end(&mut events);
        }
        for event in events {
            self.take_event(event).await?;
        }
        let queued = self.queued;
        self.append(queued).await
    }

    async fn piece(&mut self, mut piece: Bytes) -> Result<(), Refusal> {
        while let Some(end) = memchr::memchr(b'\n', &piece) {
            let head = piece.split_to(end + 1);
            if self.rest.is_empty() {
                self.line(&head[..end]).await?;
            } else {
                self.rest.extend_from_slice(&head[..end]);
                let line = self.rest.split().freeze();
                self.line(&line).await?;
            }
        }
        self.rest.extend_from_slice(&piece);
        if self.rest.len() > self.longest() {
            return Err(self.long());
        }
        Ok(())
    }

    /// Bytes of one line: before its blobs leave it, an event may be as large as a body that is one batch.
    fn longest(&self) -> usize {
        self.app.limits().batch_bytes
    }

    fn long(&self) -> Refusal {
        let limit = self.longest();
        let text = format!("line {} is longer than the limit of {limit} bytes", self.line + 1);
        Refusal::new(Code::TooLarge, text)
            .with("field", "body")
            .with("line", self.line + 1)
            .with("limit", limit)
    }

    async fn line(&mut self, line: &[u8]) -> Result<(), Refusal> {
        if line.len() > self.longest() {
            return Err(self.long());
        }
        self.line += 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let ids = match &mut self.ingest {
            None => self.ids.as_mut(),
            Some(ingest) => match ingest.own(line) {
                Some(ids) => Some(ids),
                None => return self.foreign(line).await,
            },
        };
        let id = ids.map(Ids::next);
        let event = match Incoming::parse_within(line, self.longest()) {
            Ok(event) => Incoming {
                id: event.id.or(id),
                ..event
            },
            Err(error) => {
                // The lines before it are good and stay so.
                self.append(&Queued::default()).await?;
                return Err(invalid(&error).with("line", self.line));
            }
        };
        let event = event.into_event(&self.defaults);
        self.bytes += line.len();
        self.take_event(event).await
    }

    /// A vendor's line.
    async fn foreign(&mut self, line: &[u8]) -> Result<(), Refusal> {
        let mut events = Vec::new();
        if let Some(ingest) = &mut self.ingest {
            ingest.line(line, &mut events);
        }
        self.bytes += line.len();
        for event in events {
            self.take_event(event).await?;
        }
        Ok(())
    }

    async fn take_event(&mut self, event: NewEvent) -> Result<(), Refusal> {
        if event.size() > limits::EVENT {
            // Alone: should it stay too large, the lines before it are good and stay so.
            self.append(&Queued::default()).await?;
            self.events.push(event);
            let line = self.line;
            return self
                .append(&Queued::default())
                .await
                .map_err(|refusal| refusal.with("line", line));
        }
        self.events.push(event);
        if self.events.len() >= PIECE_EVENTS || self.bytes >= PIECE_BYTES {
            self.append(&Queued::default()).await
        } else {
            Ok(())
        }
    }

    async fn append(&mut self, queued: &Queued) -> Result<(), Refusal> {
        if self.events.is_empty() {
            return Ok(());
        }
        let appended = self.app.hub().publish(self.grant, &self.events, queued).await?;
        self.published.add(&appended);
        self.events.clear();
        self.bytes = 0;
        self.defaults.timestamp = Timestamp::now();
        Ok(())
    }
}
