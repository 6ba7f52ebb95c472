//! OTLP: what agents report of themselves by OpenTelemetry, turned into events. One request, without state.
//!
//! - Claude Code, Codex and Gemini CLI are read by their log events; what their spans and metrics say besides is the same again, so
//!   it is kept as `raw` and counts nothing. Of all others, spans and events of the GenAI conventions are read.
//! - Every record becomes at least one event, and the whole record is the `raw` of the first; one that has no better event becomes
//!   kind `raw`, a line of text becomes a `note`. Metrics become `raw`, one event for each session in each metric.
//! - An event's id is made of its record: a request that comes again, in whichever encoding, writes nothing twice. What a span and a
//!   log record both tell has one id, made of the span's.
//! - Every event has a session: the vendor's, else its trace, else [`NO_SESSION`]. A record that names no conversation is in that which
//!   another record of its trace in the same request names; of a known agent, whose process is in one conversation, of its process.

mod attrs;
mod claude;
mod codex;
mod gemini;
mod genai;
mod loose;
mod messages;
mod metrics;
mod page;
mod size;
mod wire;

use std::collections::HashMap;

use prost::Message;
use serde::de::DeserializeOwned;
use turnwire_proto::{Empty, Json, Kind, Name, NewEvent, Note, Timestamp};

use self::{
    attrs::{Attrs, Fields},
    loose::hex,
    page::{Page, Said},
    wire::{KeyValue, LogRecord, Logs, Metrics, Resource, ResourceLogs, Scope, Span, Traces},
};
use crate::fit;

/// The session of records that name none.
pub const NO_SESSION: &str = "otlp-without-a-session";
/// The attribute by which whoever starts an agent says its name (in `OTEL_RESOURCE_ATTRIBUTES`).
const AGENT: &str = "turnwire.agent";

/// Which of OTLP's three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `ExportLogsServiceRequest`.
    Logs,
    /// `ExportTraceServiceRequest`.
    Traces,
    /// `ExportMetricsServiceRequest`.
    Metrics,
}

/// How a request is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Binary protobuf.
    Protobuf,
    /// JSON.
    Json,
}

/// Records of one request. An exporter's batch has 512 where nobody says otherwise.
pub const MAX_RECORDS: usize = 50_000;

/// Why nothing of a request is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The body is no request of this signal in this encoding.
    Malformed(String),
    /// It has more than [`MAX_RECORDS`].
    TooMany,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "the body is no OTLP request: {why}"),
            Self::TooMany => write!(f, "the request has more than the limit of {MAX_RECORDS} records"),
        }
    }
}

impl std::error::Error for Refused {}

/// What a request tells.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Its events, in its order.
    pub events: Vec<NewEvent>,
    /// For each event, the records that it stands for: those of a record's other events are 0.
    pub records_of: Vec<u64>,
    /// Log records, spans or points of metrics.
    pub records: u64,
    /// Those of which no more is known than that they came.
    pub unknown: u64,
}

/// Reads one request, which came at `at`.
///
/// # Errors
/// See [`Refused`].
pub fn read(signal: Signal, encoding: Encoding, body: &[u8], at: Timestamp) -> Result<Told, Refused> {
    if size::is_too_much(encoding, body) {
        return Err(Refused::TooMany);
    }
    let mut told = Told::default();
    match signal {
        Signal::Logs => logs(&decode::<Logs>(encoding, body)?, at, &mut told),
        Signal::Traces => traces(&decode::<Traces>(encoding, body)?, at, &mut told),
        Signal::Metrics => metrics::read(&decode::<Metrics>(encoding, body)?, at, &mut told),
    }
    Ok(told)
}

fn decode<T: Message + DeserializeOwned + Default>(encoding: Encoding, body: &[u8]) -> Result<T, Refused> {
    match encoding {
        Encoding::Protobuf => T::decode(body).map_err(|error| Refused::Malformed(error.to_string())),
        // By itself serde would take a list of fields for the object, too.
        Encoding::Json if !body.trim_ascii_start().starts_with(b"{") => {
            Err(Refused::Malformed("the body is not a JSON object".to_owned()))
        }
        Encoding::Json => serde_json::from_slice(body).map_err(|error| Refused::Malformed(error.to_string())),
    }
}

/// Whose records they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Vendor {
    Claude,
    Codex,
    Gemini,
    Other,
}

impl Vendor {
    /// By the name of what is told, else by the service's.
    fn of(what: &str, scope: &str, service: &str) -> Self {
        let begins = |prefixes: [&str; 3]| {
            let named = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix));
            named(what) || named(scope) || named(service)
        };
        if begins(["claude_code.", "com.anthropic.claude_code", "claude-code"]) {
            Self::Claude
        } else if begins(["codex.", "codex_otel", "codex_"]) {
            Self::Codex
        } else if begins(["gemini_cli.", "gemini-cli", "gemini_cli"]) {
            Self::Gemini
        } else {
            Self::Other
        }
    }

    /// The events' `source`, and their agent where nobody says its name.
    const fn names(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Claude => ("claude-otlp", Some("claude-code")),
            Self::Codex => ("codex-otlp", Some("codex-cli")),
            Self::Gemini => ("gemini-otlp", Some("gemini-cli")),
            Self::Other => ("otlp", None),
        }
    }
}

/// Where a record stands.
#[derive(Clone, Copy)]
struct Origin<'a> {
    resource: &'a [KeyValue],
    scope: Option<&'a Scope>,
}

impl<'a> Origin<'a> {
    fn new(resource: Option<&'a Resource>, scope: Option<&'a Scope>) -> Self {
        Self {
            resource: resource.map_or(&[], |resource| &resource.attributes),
            scope,
        }
    }

    fn attrs(self, own: &'a [KeyValue]) -> Attrs<'a> {
        Attrs::new(own, self.resource)
    }

    fn vendor(self, what: &str) -> Vendor {
        let service = Attrs::new(self.resource, &[]).text("service.name").unwrap_or_default();
        Vendor::of(what, self.scope.map_or("", |scope| &scope.name), &service)
    }
}

/// The conversation that a record names.
fn conversation(attrs: &Attrs<'_>) -> Option<Name> {
    ["session.id", "gen_ai.conversation.id", "conversation.id"]
        .iter()
        .find_map(|key| attrs.text(key))
        .and_then(|id| Name::lossy(&id))
}

fn agent(vendor: Vendor, attrs: &Attrs<'_>) -> Option<Name> {
    let said = attrs.text(AGENT).or_else(|| match vendor.names() {
        (_, Some(agent)) => Some(agent.to_owned()),
        (_, None) => attrs.text("gen_ai.agent.name").or_else(|| attrs.text("service.name")),
    });
    // An SDK that was told no service makes up a name for it.
    said.filter(|name| !name.starts_with("unknown_service"))
        .and_then(|name| Name::lossy(&name))
}

fn moment(nanos: u64) -> Option<Timestamp> {
    (nanos > 0).then(|| Timestamp::from_millis(i64::try_from(nanos / 1_000_000).ok()?))?
}

/// What the records of a request say of their trace together.
#[derive(Default)]
struct Trace {
    session: Option<Name>,
    /// An agent's invocation is all of it: a turn.
    turn: bool,
}

#[derive(Default)]
struct TracesSeen<'a>(HashMap<&'a [u8], Trace>);

impl<'a> TracesSeen<'a> {
    fn of(&mut self, id: &'a [u8]) -> Option<&mut Trace> {
        (!id.is_empty()).then(|| self.0.entry(id).or_default())
    }

    fn session(&self, own: Option<Name>, trace: &[u8]) -> Name {
        own.or_else(|| self.0.get(trace)?.session.clone())
            .or_else(|| Name::new(&hex(trace)).ok())
            .or_else(|| Name::new(NO_SESSION).ok())
            .expect("NO_SESSION is a name")
    }

    /// Its turn: the trace, where that is one.
    fn turn(&self, trace: &[u8]) -> Option<Name> {
        let is_turn = self.0.get(trace).is_some_and(|trace| trace.turn);
        is_turn.then(|| Name::new(&hex(trace)).ok())?
    }
}

/// Records of one resource, each with where it stands.
fn records(of: &ResourceLogs) -> impl Iterator<Item = (Origin<'_>, &LogRecord)> {
    of.scope_logs.iter().flat_map(|scope| {
        let origin = Origin::new(of.resource.as_ref(), scope.scope.as_ref());
        scope.log_records.iter().map(move |record| (origin, record))
    })
}

fn logs(request: &Logs, at: Timestamp, told: &mut Told) {
    let mut seen = TracesSeen::default();
    for (origin, record) in request.resource_logs.iter().flat_map(records) {
        if let Some(trace) = seen.of(&record.trace_id) {
            let named = || conversation(&origin.attrs(&record.attributes));
            trace.session = trace.session.take().or_else(named);
        }
    }
    let mut said = Said::default();
    for resource in &request.resource_logs {
        let process = process(resource);
        for (origin, record) in records(resource) {
            told.records += 1;
            log(origin, record, &seen, process.as_ref(), &mut said, at, told);
        }
    }
}

/// The conversation of a process of a known agent: the one that its records name.
fn process(of: &ResourceLogs) -> Option<Name> {
    let origin = Origin::new(of.resource.as_ref(), None);
    if origin.vendor("") == Vendor::Other {
        return None;
    }
    let mut named = records(of).filter_map(|(origin, record)| conversation(&origin.attrs(&record.attributes)));
    let first = named.next()?;
    named.all(|other| other == first).then_some(first)
}

fn log(
    origin: Origin<'_>,
    record: &LogRecord,
    seen: &TracesSeen<'_>,
    process: Option<&Name>,
    said: &mut Said,
    at: Timestamp,
    told: &mut Told,
) {
    let attrs = origin.attrs(&record.attributes);
    let body = record.body.as_ref().and_then(attrs::text_of);
    // Codex has a place in its source as `eventName`; older programs have none, and what they say is the body.
    let name = attrs.own_text("event.name");
    let name = name.or_else(|| Some(record.event_name.clone()).filter(|name| !name.is_empty()));
    let name = name.unwrap_or_default();
    // Claude Code puts its prefix into the body alone.
    let prefixed = body.as_deref().filter(|body| body.starts_with("claude_code."));
    let vendor = origin.vendor(prefixed.unwrap_or(&name));
    let (source, _) = vendor.names();
    let mut page = Page {
        source: Name::new(source).expect("a literal name"),
        agent: agent(vendor, &attrs),
        session: seen.session(conversation(&attrs).or_else(|| process.cloned()), &record.trace_id),
        turn: None,
        at: moment(record.time_unix_nano)
            .or_else(|| moment(record.observed_time_unix_nano))
            .unwrap_or(at),
        digest: said.digest(origin, record),
        span: hex(&record.span_id),
        count: 0,
        records: 1,
        raw: Some(page::raw(origin, "logRecord", &Fields::of_log(record))),
        told,
    };
    let understood = match vendor {
        Vendor::Claude => claude::log(name.strip_prefix("claude_code.").unwrap_or(&name), &attrs, &mut page),
        Vendor::Codex => codex::log(name.strip_prefix("codex.").unwrap_or(&name), &attrs, &mut page),
        Vendor::Gemini => gemini::log(name.strip_prefix("gemini_cli.").unwrap_or(&name), &attrs, &mut page),
        Vendor::Other => genai::log(&name, record, &attrs, &mut page),
    };
    if page.raw.is_none() {
        return;
    }
    // A line of text that somebody logged is one.
    match body.filter(|text| name.is_empty() && !text.is_empty()) {
        Some(text) => {
            let severity = Some(record.severity_text.as_str()).filter(|text| !text.is_empty());
            page.write(Kind::NOTE, &Note { text }, &[("severity", severity.map(Json::of))]);
        }
        None => page.keep(if name.is_empty() { "log record" } else { &name }, understood),
    }
}

fn traces(request: &Traces, at: Timestamp, told: &mut Told) {
    let spans = || {
        request.resource_spans.iter().flat_map(|resource| {
            resource.scope_spans.iter().flat_map(move |scope| {
                let origin = Origin::new(resource.resource.as_ref(), scope.scope.as_ref());
                scope.spans.iter().map(move |span| (origin, span))
            })
        })
    };
    let mut seen = TracesSeen::default();
    for (origin, span) in spans() {
        if let Some(trace) = seen.of(&span.trace_id) {
            let attrs = origin.attrs(&span.attributes);
            trace.session = trace.session.take().or_else(|| conversation(&attrs));
            trace.turn |= genai::is_turn(span, &attrs);
        }
    }
    let mut said = Said::default();
    for (origin, span) in spans() {
        told.records += 1;
        one_span(origin, span, &seen, &mut said, at, told);
    }
}

fn one_span(origin: Origin<'_>, span: &Span, seen: &TracesSeen<'_>, said: &mut Said, at: Timestamp, told: &mut Told) {
    let attrs = origin.attrs(&span.attributes);
    let vendor = origin.vendor(&span.name);
    let (source, _) = vendor.names();
    let start = moment(span.start_time_unix_nano);
    let mut page = Page {
        source: Name::new(source).expect("a literal name"),
        agent: agent(vendor, &attrs),
        session: seen.session(conversation(&attrs), &span.trace_id),
        turn: None,
        at: moment(span.end_time_unix_nano).or(start).unwrap_or(at),
        digest: said.digest(origin, span),
        span: hex(&span.span_id),
        count: 0,
        records: 1,
        raw: Some(page::raw(origin, "span", &Fields::of_span(span))),
        told,
    };
    let mut understood = true;
    if vendor == Vendor::Other {
        page.turn = seen.turn(&span.trace_id);
        understood = genai::span(span, &attrs, &mut page);
    }
    if page.raw.is_some() {
        page.keep(fit::head(&span.name, 256), understood);
    }
}

/// A request's JSON as protobuf.
///
/// # Errors
/// The body cannot be decoded.
pub fn to_protobuf(signal: Signal, json: &[u8]) -> Result<Vec<u8>, Refused> {
    Ok(match signal {
        Signal::Logs => decode::<Logs>(Encoding::Json, json)?.encode_to_vec(),
        Signal::Traces => decode::<Traces>(Encoding::Json, json)?.encode_to_vec(),
        Signal::Metrics => decode::<Metrics>(Encoding::Json, json)?.encode_to_vec(),
    })
}

/// A body without fields, for kinds that have only more of them.
const NOTHING: Empty = Empty {};
