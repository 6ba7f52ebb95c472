//! `/api/ingest/{adapter}`: a vendor's own lines, read by the adapter of that name.
//!
//! The ids of the events are made of the lines and of all lines before them, so the same body again writes nothing, and a body that
//! has grown writes what is new.

use std::time::{Duration, Instant};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, RawQuery, State, rejection::PathRejection},
    response::{IntoResponse, Response},
    routing::post,
};
use http::HeaderMap;
use turnwire_adapters::{ADAPTERS, Adapter, Coalescer, Context, by_name};
use turnwire_proto::{Code, Name, NewEvent, Timestamp, limits, path};

use super::{App, Refusal, idempotency, ids::Ids, intake};
use crate::{
    auth::{Grant, Publish},
    observe::Metrics,
};

/// From event to event: no delta waits for another one.
const STEP: Duration = Duration::from_secs(1);

pub(crate) fn router() -> Router<App> {
    Router::new().route(path::INGEST, post(ingest))
}

/// One body that an adapter reads.
pub(super) struct Ingest {
    /// `None`: Turnwire's own events, each with what it says.
    adapter: Option<Box<dyn Adapter>>,
    /// Keeps deltas from ending within a secret. Its time goes by with the lines, so that the same lines are the same events.
    coalescer: Coalescer,
    now: Instant,
    /// The session of what names none: nothing of a vendor's is for every reader.
    session: Option<Name>,
    ids: Ids,
}

impl Ingest {
    fn new(name: &str, query: Option<&str>) -> Result<Self, Refusal> {
        let spec = by_name(name).ok_or_else(|| {
            let known: Vec<_> = ADAPTERS.iter().map(|spec| spec.name).collect();
            let shown: String = name.chars().take(limits::KIND).collect();
            Refusal::new(
                Code::NotFound,
                format!("there is no adapter {shown}; there are {}", known.join(", ")),
            )
            .with("field", "adapter")
        })?;
        let mut context = Context::default();
        for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let field = match &*key {
                "agent" => &mut context.agent,
                "session_id" => &mut context.session,
                _ => {
                    let key: String = key.chars().take(limits::KIND).collect();
                    let text = format!("`{key}` is not a parameter of this route; it takes session_id, agent");
                    return Err(Refusal::field(&key, text));
                }
            };
            if field.is_some() {
                return Err(Refusal::field(&key, format!("`{key}` is there twice")));
            }
            *field = Some(Name::new(&value).map_err(|error| Refusal::field(&key, format!("`{key}` {error}")))?);
        }
        let said = |name: &Option<Name>| name.as_ref().map_or("", |name| name.as_str()).to_owned();
        let ids = Ids::of(&["ingest", spec.name, &said(&context.session), &said(&context.agent)]);
        let own = spec.name == "native" && context.session.is_none() && context.agent.is_none();
        Ok(Self {
            coalescer: Coalescer::new(),
            now: Instant::now(),
            session: context.session.clone(),
            adapter: (!own).then(|| (spec.make)(context)),
            ids,
        })
    }

    /// The ids, when lines are Turnwire's own events.
    pub(super) fn own(&mut self, line: &[u8]) -> Option<&mut Ids> {
        if self.adapter.is_some() {
            return None;
        }
        self.ids.line(line);
        Some(&mut self.ids)
    }

    pub(super) fn line(&mut self, line: &[u8], out: &mut Vec<NewEvent>) {
        self.ids.line(line);
        let (before, mut told) = (out.len(), Vec::new());
        if let Some(adapter) = &mut self.adapter {
            adapter.line(line, Timestamp::now(), &mut told);
        }
        self.join(told, out);
        self.named(&mut out[before..]);
    }

    pub(super) fn end(&mut self, out: &mut Vec<NewEvent>) {
        let (before, mut told) = (out.len(), Vec::new());
        if let Some(adapter) = &mut self.adapter {
            adapter.end(None, Timestamp::now(), &mut told);
        }
        self.join(told, out);
        self.coalescer.finish(out);
        self.named(&mut out[before..]);
    }

    fn join(&mut self, told: Vec<NewEvent>, out: &mut Vec<NewEvent>) {
        for event in told {
            self.now += STEP;
            self.coalescer.push(event, self.now, out);
        }
    }

    fn named(&mut self, events: &mut [NewEvent]) {
        for event in events {
            event.id = self.ids.next();
            if event.session_id.is_none() {
                let ids = &mut self.ids;
                let session = self.session.get_or_insert_with(|| {
                    // Invariant: a literal and some digits are a name.
                    Name::new(&format!("ingest-{}", ids.digits())).expect("a name")
                });
                event.session_id = Some(session.clone());
            }
        }
    }
}

async fn ingest(
    State(app): State<App>,
    grant: Grant<Publish>,
    adapter: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let Path(adapter) = adapter.map_err(|_| Refusal::new(Code::NotFound, "there is no such adapter"))?;
    let ingest = Ingest::new(&adapter, query.as_deref())?;
    let work = async |_: Option<Ids>| intake::read(&app, &grant, ingest, body).await;
    let done = match idempotency::key(&headers, idempotency::HEADER) {
        Ok(key) => Box::pin(idempotency::once(&app, &grant, path::INGEST, key, work)).await,
        Err(refusal) => Err(refusal),
    };
    match done {
        Ok(published) => Ok(Json(published).into_response()),
        Err(refusal) => {
            Metrics::count(&app.hub().metrics().refused, "code", refusal.code().as_str());
            Err(refusal)
        }
    }
}
