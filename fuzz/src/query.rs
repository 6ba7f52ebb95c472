//! The query strings of reads: the server's own parser, compiled here beside stand-ins for what it names of the server, so
//! that neither the runtime nor the store has to be built with coverage.

use turnwire_proto::{Kind, Name, Seq, approval, command, limits};

#[path = "../../crates/server/src/http/query.rs"]
mod parser;
use parser::{
    AGENT, APPROVAL, APPROVALS, CHAT, COMMANDS, DOWNLINK, EventQuery, HISTORY, NONE, SESSIONS, STATE, STREAM, WAKE,
};

use crate::hub::Start;

/// As the server's: what was refused, and which field.
#[derive(Debug)]
struct Refusal {
    field: String,
    text: String,
}

impl Refusal {
    fn field(field: &str, text: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            text: text.into(),
        }
    }

    fn with(self, _key: &str, _value: impl Into<serde_json::Value>) -> Self {
        self
    }
}

pub(crate) fn run(text: &str) {
    let (query, last_event_id) = text.split_once('\n').map_or((text, None), |(q, id)| (q, Some(id)));
    for known in [
        STREAM, HISTORY, SESSIONS, STATE, COMMANDS, DOWNLINK, WAKE, AGENT, NONE, CHAT, APPROVALS, APPROVAL,
    ] {
        match EventQuery::parse(Some(query), known) {
            Ok(read) => accepted(&read, last_event_id),
            Err(refusal) => refused(&refusal, query),
        }
    }
}

fn refused(refusal: &Refusal, query: &str) {
    assert!(refusal.text.len() < 4096, "an error is short: {}", refusal.text.len());
    let named = refusal.field == "last-event-id" || !query.is_empty();
    assert!(named && refusal.field.len() <= 4 * limits::KIND, "{refusal:?}");
}

fn accepted(read: &EventQuery, last_event_id: Option<&str>) {
    let what = &read.what;
    for values in [what.agents.len(), what.sources.len(), what.kinds.len()] {
        assert!(values <= limits::FILTER_VALUES);
    }
    assert!(read.limit.is_none_or(|limit| (1..=limits::PAGE).contains(&limit)));
    assert!(read.after.is_none() || read.before.is_none());
    assert!(read.search.as_ref().is_none_or(|search| search.len() <= 4 * 1000));
    let (of_command, of_approval) = (read.states::<command::State>(), read.states::<approval::State>());
    for refusal in of_command.err().into_iter().chain(of_approval.err()) {
        refused(&refusal, "state");
    }
    if let Err(refusal) = read.agent() {
        assert!(what.agents.len() > 1, "{refusal:?}");
    }
    let again = EventQuery::parse(Some(&spelt(read)), STREAM).expect("what was accepted is accepted again");
    assert_eq!((&again.what, again.after, again.epoch), (what, read.after, read.epoch));
    match read.start(last_event_id) {
        Ok(start) => {
            let header = last_event_id.and_then(|id| id.parse::<Seq>().ok());
            match start {
                Start::After(after, epoch) => {
                    assert!(Some(after) >= read.after && Some(after) >= header && epoch == read.epoch);
                }
                Start::Tail(count) => assert!(read.after.is_none() && header.is_none() && Some(count) == read.tail),
                Start::Live => assert!(read.after.is_none() && header.is_none() && read.tail.is_none()),
            }
        }
        Err(refusal) => refused(&refusal, ""),
    }
}

/// The same query in another spelling: each value by itself.
fn spelt(read: &EventQuery) -> String {
    let mut text = form_urlencoded::Serializer::new(String::new());
    let names = |list: &[Name]| list.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>();
    let kinds = |list: &[Kind]| list.iter().map(|kind| kind.as_str().to_owned()).collect::<Vec<_>>();
    for (key, values) in [
        ("agent", names(&read.what.agents)),
        ("source", names(&read.what.sources)),
        ("type", kinds(&read.what.kinds)),
        ("session_id", names(read.what.session.as_slice())),
        ("after", read.after.iter().map(ToString::to_string).collect()),
        ("epoch", read.epoch.iter().map(ToString::to_string).collect()),
        ("deltas", vec![read.what.deltas.to_string()]),
        ("raw", vec![read.what.raw.to_string()]),
    ] {
        text.extend_pairs(values.into_iter().map(|value| (key, value)));
    }
    text.finish()
}
