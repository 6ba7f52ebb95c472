//! What is written while one record is read: its events, their ids, and the record itself as the `raw` of the first.

use std::collections::HashMap;

use prost::Message;
use serde::Serialize;
use sha2::{Digest, Sha256};
use turnwire_proto::{EventId, Json, Kind, Name, NewEvent, Timestamp};

use super::{NOTHING, Origin, Told, attrs::Map, loose::hex};
use crate::{fact, fit, scribe::with};

/// What sets these ids apart from those of other sources.
const DOMAIN: &str = "turnwire otlp";

/// Records of one request, so that two that are alike in every field are still two.
#[derive(Debug, Default)]
pub(super) struct Said(HashMap<[u8; 32], u64>);

impl Said {
    /// What makes a record this one: all that is in it and in what it stands in, the same in either encoding.
    pub(super) fn digest(&mut self, origin: Origin<'_>, record: &impl Message) -> String {
        let mut hash = Sha256::new();
        let mut part = |bytes: Vec<u8>| {
            hash.update(bytes.len().to_le_bytes());
            hash.update(bytes);
        };
        for attribute in origin.resource {
            part(attribute.encode_to_vec());
        }
        if let Some(scope) = origin.scope {
            part(scope.encode_to_vec());
        }
        part(record.encode_to_vec());
        let hash: [u8; 32] = hash.finalize().into();
        let nth = self.0.entry(hash).or_default();
        *nth += 1;
        format!("{} {nth}", hex(&hash))
    }
}

/// The record as it is kept.
pub(super) fn raw(origin: Origin<'_>, what: &'static str, record: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Named<'a> {
        name: &'a str,
        #[serde(skip_serializing_if = "str::is_empty")]
        version: &'a str,
        #[serde(skip_serializing_if = "Map::is_empty")]
        attributes: Map<'a>,
    }
    let scope = origin.scope.map(|scope| Named {
        name: &scope.name,
        version: &scope.version,
        attributes: Map(&scope.attributes),
    });
    let more = [
        (what, Some(Json::of(record))),
        ("scope", scope.map(|scope| Json::of(&scope))),
        ("resource", Some(Json::of(&Map(origin.resource)))),
    ];
    with(&NOTHING, &more).get().to_owned()
}

/// Where the events of one record are written.
pub(super) struct Page<'a> {
    pub(super) source: Name,
    pub(super) agent: Option<Name>,
    pub(super) session: Name,
    pub(super) turn: Option<Name>,
    pub(super) at: Timestamp,
    pub(super) digest: String,
    /// The span that it is, or is in; empty without one.
    pub(super) span: String,
    /// Events so far.
    pub(super) count: u32,
    /// Records that it is made of, until an event stands for them.
    pub(super) records: u64,
    /// The record, until an event has taken it.
    pub(super) raw: Option<String>,
    pub(super) told: &'a mut Told,
}

impl Page<'_> {
    /// Writes an event that is known by its record. The fields are put in beside the body's own.
    pub(super) fn write<T: Serialize>(&mut self, kind: Kind, body: &T, more: &[(&'static str, Option<Json>)]) {
        let id = self.next_id();
        self.write_as(id, kind, body, more);
    }

    /// Writes an event that other records tell, too: known by `key`. It does not take the record.
    pub(super) fn write_keyed<T: Serialize>(
        &mut self,
        kind: Kind,
        key: &[&str],
        body: &T,
        more: &[(&'static str, Option<Json>)],
    ) {
        let id = fact::id(
            key.first().copied().unwrap_or_default(),
            DOMAIN,
            ["", kind.as_str()].into_iter().chain(key.iter().copied()),
        );
        let raw = self.raw.take();
        self.write_as(id, kind, body, more);
        self.raw = raw;
    }

    /// Nothing that anybody watches for, or not understood.
    pub(super) fn keep(&mut self, what: &str, understood: bool) {
        self.told.unknown += u64::from(!understood);
        let more = [
            ("what", Some(Json::of(what))),
            ("unknown", (!understood).then(|| Json::of(&true))),
        ];
        self.write(Kind::RAW, &NOTHING, &more);
    }

    /// A name for what has none in its source: its span's, else its record's.
    pub(super) fn own_name(&self) -> String {
        let (prefix, of) = if self.span.is_empty() {
            ("record", &self.digest)
        } else {
            ("span", &self.span)
        };
        format!("{prefix}-{}", fit::head(of, 16))
    }

    fn next_id(&mut self) -> EventId {
        self.count += 1;
        fact::id(&self.digest, DOMAIN, [&*self.digest, &*self.count.to_string()])
    }

    fn write_as<T: Serialize>(&mut self, id: EventId, kind: Kind, body: &T, more: &[(&'static str, Option<Json>)]) {
        let data = fit::body(with(body, more));
        let raw = self.raw.take().and_then(|text| fit::raw(&text, &data));
        self.told.records_of.push(std::mem::take(&mut self.records));
        self.told.events.push(NewEvent {
            id,
            agent: self.agent.clone(),
            session_id: Some(self.session.clone()),
            turn_id: self.turn.clone(),
            raw,
            ..NewEvent::new(kind, self.source.clone(), self.at, data)
        });
    }
}
