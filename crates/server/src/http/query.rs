//! Query strings of the routes that read events: every parameter is checked, and an error names it.

use std::str::FromStr;

use turnwire_proto::{Epoch, Kind, Name, Selector, Seq, Visibility, limits};

use super::Refusal;
use crate::{
    hub::Start,
    views::usage::{By, Window},
};

/// Characters of a search text.
const SEARCH: usize = 1000;
/// The most events that a stream may begin with.
const TAIL: usize = 100_000;

/// Milliseconds that an agent may wait: proxies give up after a minute.
const WAIT_MS: u64 = 60_000;

/// What a query may ask for. Which parameters a route takes is said by the list that it gives to [`EventQuery::parse`].
#[derive(Clone, Debug)]
pub(crate) struct EventQuery {
    pub(crate) what: Selector,
    pub(crate) after: Option<Seq>,
    pub(crate) before: Option<Seq>,
    pub(crate) epoch: Option<Epoch>,
    pub(crate) tail: Option<usize>,
    pub(crate) limit: Option<usize>,
    pub(crate) search: Option<String>,
    /// States of commands or approvals, see [`EventQuery::states`].
    states: Vec<String>,
    /// How long to wait for something.
    pub(crate) wait_ms: Option<u64>,
    /// How far back sums go.
    pub(crate) window: Window,
    /// What they are of.
    pub(crate) by: By,
}

/// Parameters of a stream.
pub(crate) const STREAM: &[&str] = &[
    "after",
    "since",
    "tail",
    "epoch",
    "session_id",
    "agent",
    "type",
    "source",
    "deltas",
    "raw",
    "format",
    "ticket",
];
/// Parameters of a page of history.
pub(crate) const HISTORY: &[&str] = &[
    "after",
    "before",
    "limit",
    "session_id",
    "agent",
    "type",
    "source",
    "deltas",
    "raw",
    "q",
    "ticket",
];

/// Parameters of `GET /api/sessions` and of the lists under it.
pub(crate) const SESSIONS: &[&str] = &["before", "limit", "ticket"];
/// Parameters of `GET /api/state`.
pub(crate) const STATE: &[&str] = &["limit", "ticket"];
/// Parameters of `GET /api/commands`.
pub(crate) const COMMANDS: &[&str] = &["before", "limit", "agent", "session_id", "state", "ticket"];
/// Parameters of `GET /api/usage`.
pub(crate) const USAGE: &[&str] = &["window", "by", "agent", "session_id", "ticket"];
/// Parameters of a session's export.
pub(crate) const EXPORT: &[&str] = &["deltas", "raw", "ticket"];
/// Parameters of a chat's WebSocket.
pub(crate) const CHAT: &[&str] = &["session_id", "after", "since", "epoch", "ticket"];
/// Parameters of `GET /api/approvals`.
pub(crate) const APPROVALS: &[&str] = COMMANDS;
/// Parameters of `GET /api/approvals/{id}`.
pub(crate) const APPROVAL: &[&str] = &["wait_ms"];
/// Parameters of an agent's stream.
pub(crate) const DOWNLINK: &[&str] = &["agent", "after", "since", "epoch"];
/// Parameters of an agent's wait.
pub(crate) const WAKE: &[&str] = &["agent", "after", "since", "epoch", "wait_ms"];
/// Parameters of what an agent says.
pub(crate) const AGENT: &[&str] = &["agent"];
/// Parameters of a GET that takes none of its own.
pub(crate) const NONE: &[&str] = &["ticket"];
/// Parameters that may be there more than once.
const REPEATED: &[&str] = &["agent", "type", "source", "state"];

impl EventQuery {
    /// Reads a query string.
    ///
    /// # Errors
    /// A parameter that is not known, is there twice, or has a value that it cannot have.
    pub(crate) fn parse(query: Option<&str>, known: &[&str]) -> Result<Self, Refusal> {
        let mut this = Self {
            what: Selector::within(Visibility::Sessions(std::collections::BTreeSet::new())),
            after: None,
            before: None,
            epoch: None,
            tail: None,
            limit: None,
            search: None,
            states: Vec::new(),
            wait_ms: None,
            window: Window::default(),
            by: By::default(),
        };
        let mut seen: Vec<&str> = Vec::new();
        for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let Some(known) = known.iter().find(|known| **known == key) else {
                let key: String = key.chars().take(limits::KIND).collect();
                let known = if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                };
                let text = format!("`{key}` is not a parameter of this route; it takes {known}");
                return Err(Refusal::field(&key, text));
            };
            if seen.contains(known) && !REPEATED.contains(known) {
                return Err(Refusal::field(&key, format!("`{key}` is there twice")));
            }
            seen.push(known);
            // Bytes that are no text have been replaced by this: whoever means it would find something else.
            if value.contains(char::REPLACEMENT_CHARACTER) && !is_text(query.unwrap_or_default()) {
                return Err(Refusal::field(&key, format!("`{key}` is not UTF-8, percent-encoded")));
            }
            this.set(&key, &value)?;
        }
        if this.after.is_some() && this.before.is_some() {
            return Err(Refusal::field("before", "`after` and `before` exclude one another"));
        }
        Ok(this)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), Refusal> {
        match key {
            "after" | "since" => {
                if self.after.replace(parsed(key, value)?).is_some() {
                    return Err(Refusal::field(
                        key,
                        "`after` and `since` are the same: one of them is enough",
                    ));
                }
                Ok(())
            }
            "before" => one(key, &mut self.before, value),
            "epoch" => one(key, &mut self.epoch, value),
            "session_id" => one(key, &mut self.what.session, value),
            "tail" => {
                one(key, &mut self.tail, value)?;
                within(key, self.tail, TAIL)
            }
            "limit" => {
                one(key, &mut self.limit, value)?;
                within(key, self.limit, limits::PAGE)
            }
            "agent" => many(key, &mut self.what.agents, value),
            "source" => many(key, &mut self.what.sources, value),
            "type" => many::<Kind>(key, &mut self.what.kinds, value),
            "state" => many(key, &mut self.states, value),
            "wait_ms" => {
                one(key, &mut self.wait_ms, value)?;
                match self.wait_ms {
                    Some(wait) if wait > WAIT_MS => {
                        let text = format!("`wait_ms` is {wait}, more than the limit of {WAIT_MS}");
                        Err(Refusal::field(key, text).with("limit", WAIT_MS))
                    }
                    _ => Ok(()),
                }
            }
            "window" => {
                self.window = parsed(key, value)?;
                Ok(())
            }
            "by" => {
                self.by = parsed(key, value)?;
                Ok(())
            }
            "deltas" => flag(key, &mut self.what.deltas, value),
            "raw" => flag(key, &mut self.what.raw, value),
            "q" => {
                if value.chars().count() > SEARCH {
                    return Err(
                        Refusal::field(key, format!("`q` is longer than {SEARCH} characters")).with("limit", SEARCH)
                    );
                }
                self.search = Some(value.to_owned());
                Ok(())
            }
            "format" if turnwire_formats::by_name(value).is_some() => Ok(()),
            "format" => Err(Refusal::field(key, "`format` must be native")),
            _ => Ok(()),
        }
    }

    /// Which states are wanted; none means any.
    ///
    /// # Errors
    /// One is no state of these.
    pub(crate) fn states<T: FromStr<Err: std::fmt::Display>>(&self) -> Result<Vec<T>, Refusal> {
        self.states.iter().map(|state| parsed("state", state)).collect()
    }

    /// Which agent asks, where its key does not say it.
    ///
    /// # Errors
    /// More than one is named.
    pub(crate) fn agent(&self) -> Result<Option<&Name>, Refusal> {
        match self.what.agents.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            _ => Err(Refusal::field("agent", "`agent` must name one agent here")),
        }
    }

    /// Where a stream begins: the larger of the header's cursor and the query's, else the tail, else live.
    ///
    /// # Errors
    /// A cursor that is none.
    pub(crate) fn start(&self, last_event_id: Option<&str>) -> Result<Start, Refusal> {
        let header = match last_event_id {
            // An EventSource that has had no event yet sends an empty one.
            None | Some("") => None,
            Some(text) => Some(
                text.parse::<Seq>()
                    .map_err(|e| Refusal::field("last-event-id", format!("`Last-Event-ID`: {e}")))?,
            ),
        };
        Ok(match (header.max(self.after), self.tail) {
            (Some(after), _) => Start::After(after, self.epoch),
            (None, Some(count)) => Start::Tail(count),
            (None, None) => Start::Live,
        })
    }
}

fn parsed<T: FromStr<Err: std::fmt::Display>>(key: &str, value: &str) -> Result<T, Refusal> {
    value
        .parse()
        .map_err(|e: T::Err| Refusal::field(key, format!("`{key}`: {e}")))
}

/// Whether what is percent-encoded in a query is UTF-8.
fn is_text(query: &str) -> bool {
    let mut bytes = Vec::with_capacity(query.len());
    let mut rest = query.as_bytes();
    while let [first, tail @ ..] = rest {
        let coded = tail.get(..2).filter(|_| *first == b'%');
        let coded = coded.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(coded.unwrap_or(*first));
        rest = if coded.is_some() { &tail[2..] } else { tail };
    }
    std::str::from_utf8(&bytes).is_ok()
}

fn one<T: FromStr<Err: std::fmt::Display>>(key: &str, slot: &mut Option<T>, value: &str) -> Result<(), Refusal> {
    *slot = Some(parsed(key, value)?);
    Ok(())
}

fn many<T: FromStr<Err: std::fmt::Display>>(key: &str, list: &mut Vec<T>, value: &str) -> Result<(), Refusal> {
    for one in value.split(',') {
        list.push(parsed(key, one)?);
    }
    if list.len() > limits::FILTER_VALUES {
        let text = format!("`{key}` has more than {} values", limits::FILTER_VALUES);
        return Err(Refusal::field(key, text).with("limit", limits::FILTER_VALUES));
    }
    Ok(())
}

fn flag(key: &str, slot: &mut bool, value: &str) -> Result<(), Refusal> {
    *slot = match value {
        "true" | "1" => true,
        "false" | "0" => false,
        _ => return Err(Refusal::field(key, format!("`{key}` must be true or false"))),
    };
    Ok(())
}

fn within(key: &str, value: Option<usize>, limit: usize) -> Result<(), Refusal> {
    match value {
        Some(0) => Err(Refusal::field(key, format!("`{key}` must be at least 1"))),
        Some(value) if value > limit => {
            Err(Refusal::field(key, format!("`{key}` is {value}, more than the limit of {limit}")).with("limit", limit))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seq(n: u64) -> Seq {
        Seq::new(n).unwrap()
    }

    #[test]
    fn the_larger_cursor_wins() {
        let query = EventQuery::parse(Some("after=5&tail=3"), STREAM).unwrap();
        assert_eq!(query.start(Some("9")).unwrap(), Start::After(seq(9), None));
        assert_eq!(query.start(Some("3")).unwrap(), Start::After(seq(5), None));
        assert_eq!(query.start(Some("")).unwrap(), Start::After(seq(5), None));
        assert_eq!(
            EventQuery::parse(Some("tail=3"), STREAM).unwrap().start(None).unwrap(),
            Start::Tail(3)
        );
        assert_eq!(
            EventQuery::parse(None, STREAM).unwrap().start(None).unwrap(),
            Start::Live
        );
    }

    #[test]
    fn an_error_names_the_parameter() {
        for (query, field) in [
            ("after=-1", "after"),
            ("after=9007199254740992", "after"),
            ("after=1&since=2", "since"),
            ("tail=0", "tail"),
            ("limit=2", "limit"),
            ("type=A", "type"),
            ("agent=", "agent"),
            ("agent=%00", "agent"),
            ("deltas=maybe", "deltas"),
            ("format=xml", "format"),
            ("session=1", "session"),
            ("epoch=1", "epoch"),
        ] {
            let refusal = EventQuery::parse(Some(query), STREAM).unwrap_err();
            assert!(
                format!("{refusal:?}").contains(&format!("\"field\": String(\"{field}\")")),
                "{query}: {refusal:?}"
            );
        }
        assert!(EventQuery::parse(Some("limit=1001"), HISTORY).is_err());
    }

    #[test]
    fn what_is_no_list_is_there_once() {
        let id = "0199e0a2-7c1e-7b6e-9d0f-2f6f3c1d9a10";
        for (known, pairs) in [
            (
                STREAM,
                &["after=1", "since=1", "tail=1", "epoch=", "format=native", "ticket=x"][..],
            ),
            (
                HISTORY,
                &[
                    "before=1",
                    "limit=1",
                    "session_id=a",
                    "deltas=1",
                    "raw=1",
                    "q=a",
                    "ticket=x",
                ],
            ),
            (SESSIONS, &["before=1", "limit=1", "ticket=x"]),
            (STATE, &["limit=1", "ticket=x"]),
            (USAGE, &["window=7d", "by=model", "session_id=a", "ticket=x"]),
            (NONE, &["ticket=x"]),
        ] {
            for pair in pairs {
                let pair = pair.replace("epoch=", &format!("epoch={id}"));
                let (key, _) = pair.split_once('=').unwrap();
                assert!(EventQuery::parse(Some(&pair), known).is_ok(), "{pair}");
                let refusal = EventQuery::parse(Some(&format!("{pair}&{pair}")), known).unwrap_err();
                assert!(
                    format!("{refusal:?}").contains(&format!("`{key}` is there twice")),
                    "{refusal:?}"
                );
            }
        }
        let lists = "agent=a&agent=b&type=a&type=b&source=a&source=b";
        assert_eq!(EventQuery::parse(Some(lists), STREAM).unwrap().what.kinds.len(), 2);
        assert!(EventQuery::parse(Some("x=1"), &[]).is_err());
    }
}
