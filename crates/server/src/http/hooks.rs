//! `/api/hooks/{vendor}`: one call of a hook of an agent that was not started here.
//!
//! What it tells is in the log before it is answered. A question waits for its decision, and while it waits its answer has begun:
//! blanks, which JSON may have before it. They keep the connection, and by them it is seen that whoever asked has gone, after
//! which nobody waits any more and the question is withdrawn.

use std::{
    io::{Error, ErrorKind},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
    routing::post,
};
use bytes::Bytes;
use futures_util::{future::BoxFuture, stream};
use http::{HeaderMap, HeaderValue, header};
use tokio::time::Instant;
use turnwire_adapters::hooks::{Asks, Delivery, How, Vendor, Verdict, answer};
use turnwire_proto::{
    ApprovalDecision, Code, EventId, Kind, Name, NewEvent, Object, Timestamp, approval::State as Decided, limits, path,
};

use super::{App, Refusal, events::media_type, intake};
use crate::{
    auth::{Grant, Publish},
    hub::Queued,
};

/// How long a question waits when nothing else is said: the vendor gives a hook 600 s.
const WAIT: Duration = Duration::from_secs(570);
/// The longest that a hook may ask for.
const MAX_WAIT: Duration = Duration::from_hours(24);
/// How often a blank is sent; the second one to a peer that has gone fails.
const BLANK: Duration = Duration::from_secs(1);
/// How long the desk has to write that a question has expired.
const EXPIRING: Duration = Duration::from_secs(5);
pub(crate) fn router() -> Router<App> {
    let of =
        |vendor: Vendor| post(move |app, grant, query, headers, body| called(vendor, app, grant, query, headers, body));
    Router::new()
        .route(path::HOOKS_CLAUDE, of(Vendor::Claude))
        .route(path::HOOKS_CODEX, of(Vendor::Codex))
        .route(path::HOOKS_GEMINI, of(Vendor::Gemini))
}

/// What the query says of a call.
#[derive(Debug, Default)]
struct Call {
    agent: Option<Name>,
    gate: bool,
    wait: Option<Duration>,
    delivery: Option<EventId>,
}

impl Call {
    fn parse(query: Option<&str>) -> Result<Self, Refusal> {
        let mut call = Self::default();
        for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let wrong = |why: String| Refusal::field(&key, format!("`{key}` {why}"));
            match &*key {
                "agent" => call.agent = Some(Name::new(&value).map_err(|e| wrong(e.to_string()))?),
                "delivery" => call.delivery = Some(value.parse().map_err(|e| wrong(format!("{e}")))?),
                "gate" if value == "pre_tool_use" => call.gate = true,
                "gate" => return Err(wrong("must be pre_tool_use".to_owned())),
                "wait_ms" => {
                    let wait = value.parse().map(Duration::from_millis);
                    let wait = wait.map_err(|_| wrong("must be a whole number of milliseconds".to_owned()))?;
                    if wait > MAX_WAIT {
                        let limit = u64::try_from(MAX_WAIT.as_millis()).unwrap_or(u64::MAX);
                        return Err(wrong(format!("is more than the limit of {limit}")).with("limit", limit));
                    }
                    call.wait = Some(wait);
                }
                _ => {
                    let key: String = key.chars().take(limits::KIND).collect();
                    let text =
                        format!("`{key}` is not a parameter of this route; it takes agent, gate, wait_ms, delivery");
                    return Err(Refusal::field(&key, text));
                }
            }
        }
        Ok(call)
    }

    fn delivery(self, vendor: Vendor, wait: Duration) -> Delivery {
        let at = Timestamp::now();
        let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        Delivery {
            id: self.delivery.unwrap_or_default(),
            agent: self.agent.or_else(|| Name::new(vendor.agent()).ok()),
            gate: self.gate,
            until: Timestamp::from_millis(at.millis().saturating_add(wait)),
            at,
        }
    }
}

async fn called(
    vendor: Vendor,
    State(app): State<App>,
    grant: Grant<Publish>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let call = Call::parse(query.as_deref())?;
    if media_type(&headers).is_some_and(|given| !given.eq_ignore_ascii_case("application/json")) {
        let text = "a hook's payload is JSON, and its Content-Type application/json";
        return Err(Refusal::new(Code::BadMediaType, text).with("field", "content-type"));
    }
    let payload = intake::whole(&app, body, app.limits().batch_bytes).await?;
    if payload.iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::field("body", "the body is empty"));
    }
    let wait = call.wait.unwrap_or(WAIT).min(app.limits().approval_wait);
    let told = vendor.read(&payload, &call.delivery(vendor, wait));
    app.hub().publish(&grant, &told.events, &Queued::default()).await?;
    let metrics = app.hub().metrics();
    metrics.hooks.inc();
    metrics.hooks_unknown.inc_by(u64::from(told.unknown));
    Ok(match told.asks {
        None => json("{}"),
        Some(asks) => {
            let question = Question::new(app, grant, asks, &told.events, wait);
            json(Body::from_stream(stream::unfold(question, Question::piece)))
        }
    })
}

fn json(body: impl Into<Body>) -> Response {
    let mut response = body.into().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-store, no-transform"),
    );
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// A question that is waited on, as the stream of its answer.
struct Question {
    decided: BoxFuture<'static, Option<Verdict>>,
    how: How,
    /// What is told when it is denied.
    denied: Option<NewEvent>,
    waits: Waits,
    over: bool,
}

impl Question {
    fn new(app: App, grant: Grant<Publish>, asks: Asks, told: &[NewEvent], wait: Duration) -> Self {
        let Asks {
            approval_id,
            how,
            denied,
        } = asks;
        app.hub().metrics().hooks_waiting.inc();
        let decided = Box::pin(verdict(app.clone(), approval_id.clone(), how, Instant::now() + wait));
        let asked = told.iter().find(|event| event.kind == Kind::APPROVAL_REQUEST).cloned();
        let waits = Waits {
            app,
            grant: Some(grant),
            asked,
            id: approval_id,
        };
        Self {
            decided,
            how,
            denied: denied.map(|event| *event),
            waits,
            over: false,
        }
    }

    /// The answer when there is one, else a blank. When there will be none here, the connection breaks off: whoever asked asks
    /// again.
    async fn piece(mut self) -> Option<(Result<Bytes, Error>, Self)> {
        if self.over {
            return None;
        }
        let piece = tokio::select! {
            // Cancel-safe: what is waited for goes on with the next piece.
            verdict = &mut self.decided => {
                self.over = true;
                // It was answered, or there is nothing to be answered: either way it is not taken back.
                let grant = self.waits.grant.take();
                if let (Some(Verdict::Deny { .. }), Some(denied), Some(grant)) = (&verdict, self.denied.take(), grant) {
                    tell(&self.waits.app, grant, denied);
                }
                let broken_off = || Error::new(ErrorKind::Interrupted, "the server cannot wait any more");
                verdict.map(|verdict| Bytes::from(answer(self.how, &verdict).to_string())).ok_or_else(broken_off)
            }
            () = tokio::time::sleep(BLANK) => Ok(Bytes::from_static(b" ")),
        };
        Some((piece, self))
    }
}

/// Writes what nobody waits for.
fn tell(app: &App, grant: Grant<Publish>, event: NewEvent) {
    let told = app.clone();
    app.tasks().spawn("hook", async move {
        if let Err(refusal) = told.hub().publish(&grant, &[event], &Queued::default()).await {
            tracing::warn!(code = refusal.code().as_str(), "what a hook told could not be written");
        }
    });
}

/// Withdraws the question when its connection ends before its answer.
struct Waits {
    app: App,
    /// Until it is answered.
    grant: Option<Grant<Publish>>,
    asked: Option<NewEvent>,
    id: Name,
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.app.hub().metrics().hooks_waiting.dec();
        let (Some(grant), Some(asked)) = (self.grant.take(), self.asked.take()) else {
            return;
        };
        // Whoever asks comes back when the server does: a question outlives a restart.
        if self.app.tasks().stopping().is_cancelled() {
            return;
        }
        let body = ApprovalDecision {
            approval_id: self.id.to_string(),
            decision: "withdrawn".to_owned(),
            message: Some("the hook that asked did not wait any more".to_owned()),
            ..ApprovalDecision::default()
        };
        let withdrawn = NewEvent {
            id: EventId::new(),
            kind: Kind::APPROVAL_DECISION,
            timestamp: Timestamp::now(),
            data: Object::of(&body),
            raw: None,
            ..asked
        };
        // One that was decided meanwhile stays so: the first decision in the log is the one that counts.
        tell(&self.app, grant, withdrawn);
    }
}

/// What is decided, by `until`; `None` when the server stops before that.
async fn verdict(app: App, id: Name, how: How, until: Instant) -> Option<Verdict> {
    let approval = match app.control().wait_approval(&id, until + EXPIRING).await {
        Ok(approval) => approval,
        Err(refusal) => {
            tracing::warn!(code = refusal.code().as_str(), "a decision could not be waited for");
            return None;
        }
    };
    let state = approval.as_ref().map_or(Decided::Pending, |approval| approval.state);
    if state == Decided::Pending && app.tasks().stopping().is_cancelled() {
        return None;
    }
    let by = approval.as_ref().and_then(|approval| approval.by.clone());
    let message = approval.as_ref().and_then(|approval| approval.message.clone());
    Some(match (state, how) {
        (Decided::Approved, _) => Verdict::Allow {
            arguments: approval
                .and_then(|approval| approval.updated_arguments)
                .and_then(Object::new),
            message: Some(message.unwrap_or_else(|| format!("approved by {}", by.as_deref().unwrap_or("somebody")))),
        },
        (Decided::Denied, _) => Verdict::Deny {
            message: message.unwrap_or_else(|| format!("denied by {}", by.as_deref().unwrap_or("somebody"))),
        },
        _ if !how.is_gate() => Verdict::Nothing,
        // A gate that opens when nobody looks is none.
        (Decided::Withdrawn, _) => Verdict::Deny {
            message: "the question was withdrawn".to_owned(),
        },
        (Decided::Pending | Decided::Expired, _) => Verdict::Deny {
            message: "nobody decided in time".to_owned(),
        },
    })
}
