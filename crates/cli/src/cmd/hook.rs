//! `hook`: one call of an agent's hook.
//!
//! - What it tells is in the spool before anything is sent: the agent may end this process at any time.
//! - It answers, and ends, with 0 whatever happens: an agent takes another code for a verdict of its own.
//! - What the agent asks waits for the gateway's answer. When the gateway cannot be asked, it is denied: nobody has looked at it.

use std::{
    io::{self, Read},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use turnwire_adapters::hooks::{Asks, Delivery, Told, Vendor as Of, Verdict, answer};
use turnwire_client::{
    Endpoint, Error,
    publish::{Locate, Patience, Publisher},
    spool::{Limits, Meta, Spool},
};
use turnwire_proto::{ApprovalDecision, Kind, Name, NewEvent, Object, Timestamp, path};

use crate::{
    args::{Hook, Vendor},
    gateway, out,
};

/// Bytes of a payload. A tool's output may be large; what is cut is kept as a text.
const PAYLOAD: u64 = 32 << 20;
/// How long a call that asks nothing may take to send what it tells: a person waits for the agent.
const SEND: Duration = Duration::from_secs(3);
/// At the end of a session an agent gives all hooks together 1.5 s.
const SEND_AT_END: Duration = Duration::from_millis(800);
/// How long a gateway that cannot be asked is tried again: a restart takes less.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(250);
/// How much later than the gateway this side gives up.
const LATER: Duration = Duration::from_secs(10);

pub(crate) async fn hook(args: Hook) -> anyhow::Result<ExitCode> {
    let mut payload = args.payload.clone().unwrap_or_default().into_bytes();
    if args.payload.is_some() {
        // What is on standard input is not for it.
    } else if let Err(error) = io::stdin().lock().take(PAYLOAD).read_to_end(&mut payload) {
        out::say(&format!("the payload could not be read: {error}"));
    }
    let delivery = delivery(&args);
    let told = of(args.vendor).0.read(&payload, &delivery);
    let finder = gateway::Finder::new(&args.gateway);
    let answered = match &told.asks {
        None => {
            tell(&args, &told.events, &finder).await;
            None
        }
        Some(asks) => Some(ask(&args, &payload, &delivery, &told, asks, &finder).await),
    };
    // An agent adds to its prompt what some hooks print: one that asks nothing is answered nothing.
    if let Some(answered) = answered {
        out::print_json(&answered)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Who reads a vendor's payloads, here and at the gateway.
const fn of(vendor: Vendor) -> (Of, &'static str) {
    match vendor {
        Vendor::Claude => (Of::Claude, path::HOOKS_CLAUDE),
        Vendor::Codex => (Of::Codex, path::HOOKS_CODEX),
        Vendor::Gemini => (Of::Gemini, path::HOOKS_GEMINI),
    }
}

fn delivery(args: &Hook) -> Delivery {
    let at = Timestamp::now();
    let wait = i64::try_from(args.wait.as_millis()).unwrap_or(i64::MAX);
    Delivery {
        agent: args.agent.clone().or_else(|| Name::new(of(args.vendor).0.agent()).ok()),
        gate: args.gate,
        until: Timestamp::from_millis(at.millis().saturating_add(wait)),
        ..Delivery::new(at)
    }
}

/// Puts events behind those that earlier calls could not send, and sends what it can in the time that there is.
async fn tell(args: &Hook, events: &[NewEvent], finder: &Arc<gateway::Finder>) {
    let root = match gateway::spool_root(&args.gateway) {
        Ok(root) => root,
        Err(error) => return out::say(&format!("nothing can be kept: {error:#}")),
    };
    let ending = events.iter().any(|event| event.kind == Kind::SESSION_END);
    let within = if ending { SEND_AT_END } else { SEND };
    if let Err(error) = send(&root, args, events, finder, within).await {
        out::say(&format!("what the hook told is lost: {error}"));
    }
}

async fn send(
    root: &Path,
    args: &Hook,
    events: &[NewEvent],
    finder: &Arc<gateway::Finder>,
    within: Duration,
) -> Result<(), turnwire_client::spool::SpoolError> {
    let meta = Meta::new(&gateway::target(&args.gateway), "hooks");
    let spool = Spool::reuse(root, meta, Limits::default())?;
    let pushed = spool.push(events);
    if pushed.lost > 0 {
        out::say(&format!(
            "{} events could not be kept: the disk or the spool is full",
            pushed.lost
        ));
    }
    let publisher = Publisher::start(Arc::clone(&spool), Arc::clone(finder) as _);
    let flushed = publisher.flush(within, Patience::OneTry).await;
    drop(publisher);
    if flushed.left > 0 {
        tracing::debug!("{} events are kept in {}", flushed.left, spool.dir().display());
        return Ok(());
    }
    spool.remove_if_drained().map(drop)
}

/// Asks the gateway; what it answers is the agent's answer.
async fn ask(
    args: &Hook,
    payload: &[u8],
    delivery: &Delivery,
    told: &Told,
    asks: &Asks,
    finder: &Arc<gateway::Finder>,
) -> Value {
    let until = Instant::now() + args.wait + LATER;
    let patience = PATIENCE.min(args.wait);
    let mut failing: Option<Instant> = None;
    let why = loop {
        let began = Instant::now();
        let why = match finder.locate() {
            Err(why) => why,
            Ok(endpoint) => match post(&endpoint, args, payload, delivery, until).await {
                Ok(answered) => return answered,
                Err(Failed::Never(why)) => break why,
                Err(Failed::Now(why)) => why,
            },
        };
        // One that was there for a while may be on its way back.
        if began.elapsed() > patience {
            failing = None;
        }
        let since = *failing.get_or_insert_with(Instant::now);
        if since.elapsed() >= patience || Instant::now() >= until {
            break why;
        }
        sleep(AGAIN).await;
    };
    let message = format!("Turnwire's gateway could not be asked: {why}");
    let mut events = told.events.clone();
    events.extend(denied(told, asks, &message));
    events.extend(asks.denied.as_deref().cloned());
    tell(args, &events, finder).await;
    answer(asks.how, &Verdict::Deny { message })
}

/// Why there is no answer.
enum Failed {
    /// The same may succeed in a moment.
    Now(String),
    /// The gateway will not take it.
    Never(String),
}

async fn post(
    endpoint: &Endpoint,
    args: &Hook,
    payload: &[u8],
    delivery: &Delivery,
    until: Instant,
) -> Result<Value, Failed> {
    let mut query = vec![("delivery", delivery.id.to_string())];
    let left = until.saturating_duration_since(Instant::now());
    let wait = left.saturating_sub(LATER).min(args.wait);
    query.push(("wait_ms", wait.as_millis().to_string()));
    query.extend(args.agent.as_ref().map(|agent| ("agent", agent.to_string())));
    query.extend(args.gate.then(|| ("gate", "pre_tool_use".to_owned())));
    let request = endpoint
        .stream(reqwest::Method::POST, of(args.vendor).1)
        .query(&query)
        .header(reqwest::header::CONTENT_TYPE, "application/json")
        .body(payload.to_vec());
    match timeout(left, endpoint.json::<Value>(request)).await {
        Ok(Ok(answered)) => Ok(answered),
        Ok(Err(Error::Refused(refused))) if !refused.retry() => Err(Failed::Never(refused.message)),
        Ok(Err(error)) => Err(Failed::Now(error.to_string())),
        Err(_) => Err(Failed::Never("it did not answer in time".to_owned())),
    }
}

/// What becomes of a question that was denied here: nobody is to answer it later.
fn denied(told: &Told, asks: &Asks, message: &str) -> Option<NewEvent> {
    let asked = told.events.iter().find(|event| event.kind == Kind::APPROVAL_REQUEST)?;
    let body = ApprovalDecision {
        approval_id: asks.approval_id.to_string(),
        decision: "denied".to_owned(),
        by: Some("hook".to_owned()),
        message: Some(message.to_owned()),
        ..ApprovalDecision::default()
    };
    let mut event = NewEvent::new(
        Kind::APPROVAL_DECISION,
        asked.source.clone(),
        Timestamp::now(),
        Object::of(&body),
    );
    event.agent.clone_from(&asked.agent);
    event.session_id.clone_from(&asked.session_id);
    event.turn_id.clone_from(&asked.turn_id);
    Some(event)
}
