//! The event: one thing that happened, immutable.

use serde::{Deserialize, Serialize};

use crate::{EventId, Json, Kind, Name, Object, Seq, Subject, Timestamp};

/// An event that the log has not yet given a place.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// The producer's identity of it: the same id is written once.
    pub id: EventId,
    /// Its `type` on the wire.
    pub kind: Kind,
    /// When it happened.
    pub timestamp: Timestamp,
    /// What made it, such as `claude-code`.
    pub source: Name,
    /// The named worker it is about.
    pub agent: Option<Name>,
    /// The conversation it belongs to; it is private to that session's readers.
    pub session_id: Option<Name>,
    /// The prompt that caused it.
    pub turn_id: Option<Name>,
    /// The kind's body.
    pub data: Object,
    /// The vendor's line, on the first event made from it.
    pub raw: Option<Json>,
}

impl NewEvent {
    /// An event of `kind` that happened at `timestamp`, with a fresh id.
    #[must_use]
    pub fn new(kind: Kind, source: Name, timestamp: Timestamp, data: Object) -> Self {
        Self {
            id: EventId::new(),
            kind,
            timestamp,
            source,
            agent: None,
            session_id: None,
            turn_id: None,
            data,
            raw: None,
        }
    }

    /// The same in a session.
    #[must_use]
    pub fn in_session(mut self, session: Name) -> Self {
        self.session_id = Some(session);
        self
    }

    /// The bytes that count against [`crate::limits::EVENT`].
    #[must_use]
    pub fn size(&self) -> usize {
        self.data.get().len() + self.raw.as_ref().map_or(0, |raw| raw.get().len())
    }

    /// Whether a server takes it: see [`crate::room`].
    #[must_use]
    pub fn fits(&self) -> bool {
        crate::room::fits(self.data.get(), self.raw.as_ref().map(Json::get))
    }

    /// What selects it.
    #[must_use]
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            kind: self.kind.as_str(),
            source: self.source.as_str(),
            agent: self.agent.as_ref().map(Name::as_str),
            session: self.session_id.as_ref().map(Name::as_str),
        }
    }

    /// Writes all of the event's JSON that does not depend on its place: `,"id":"…",…,"data":{…}}`.
    ///
    /// With [`Event::head`] before it this is the event on the wire. A store keeps these bytes, so that an event is encoded
    /// once in its life. `raw` is not part of it.
    pub fn encode_body(&self, out: &mut Vec<u8>) {
        out.reserve(200 + self.data.get().len());
        out.extend_from_slice(b",\"id\":\"");
        self.id.encode(out);
        out.extend_from_slice(b"\",\"type\":\"");
        out.extend_from_slice(self.kind.as_str().as_bytes());
        out.extend_from_slice(b"\",\"timestamp\":\"");
        self.timestamp.encode(out);
        out.extend_from_slice(b"\",\"source\":");
        quote(self.source.as_str(), out);
        for (key, name) in [
            (&b",\"agent\":"[..], &self.agent),
            (b",\"session_id\":", &self.session_id),
            (b",\"turn_id\":", &self.turn_id),
        ] {
            if let Some(name) = name {
                out.extend_from_slice(key);
                quote(name.as_str(), out);
            }
        }
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(self.data.get().as_bytes());
        out.push(b'}');
    }

    /// Writes it as one line for publishing, `raw` included, without a line break.
    pub fn encode_line(&self, out: &mut Vec<u8>) {
        let start = out.len();
        self.encode_body(out);
        out[start] = b'{';
        if let Some(raw) = &self.raw {
            out.pop();
            out.extend_from_slice(b",\"raw\":");
            out.extend_from_slice(raw.get().as_bytes());
            out.push(b'}');
        }
    }
}

/// A JSON string. Names have no control characters, so only quotes and backslashes need care.
fn quote(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for part in text.as_bytes().split_inclusive(|b| matches!(b, b'"' | b'\\')) {
        if let Some((last @ (b'"' | b'\\'), rest)) = part.split_last() {
            out.extend_from_slice(rest);
            out.extend_from_slice(&[b'\\', *last]);
        } else {
            out.extend_from_slice(part);
        }
    }
    out.push(b'"');
}

/// An event with its place in the log, as readers get it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its place.
    pub seq: Seq,
    /// The producer's identity of it.
    pub id: EventId,
    /// Its `type` on the wire.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// When it happened.
    pub timestamp: Timestamp,
    /// What made it.
    pub source: Name,
    /// The named worker it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Name>,
    /// The conversation it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<Name>,
    /// The prompt that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn_id: Option<Name>,
    /// The kind's body.
    pub data: Object,
    /// The vendor's line, when it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<Json>,
}

impl Event {
    /// Writes the start of an event's JSON: `{"seq":N`. What [`NewEvent::encode_body`] made follows it.
    pub fn head(seq: Seq, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"seq\":");
        decimal(seq.get(), out);
    }

    /// Reads one event of the wire. Fields that are not known here are passed over (a newer server may add some).
    ///
    /// # Errors
    /// What does not fit.
    pub fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }
}

/// Decimal digits.
pub(crate) fn decimal(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Defaults, Incoming};

    fn event() -> NewEvent {
        NewEvent {
            agent: Some(Name::new("bu\"il\\der").unwrap()),
            turn_id: Some(Name::new("t-7").unwrap()),
            raw: Some(Json::parse(r#"{"type":"x","seq":9}"#).unwrap()),
            ..NewEvent::new(
                Kind::NOTE,
                Name::new("claude-code").unwrap(),
                Timestamp::UNIX_EPOCH,
                Object::new(Json::parse(r#"{"text":"é\u0000","seq":1.50}"#).unwrap()).unwrap(),
            )
        }
        .in_session(Name::new("8c3c…").unwrap())
    }

    #[test]
    fn an_event_reads_back_as_it_was_written_and_its_body_keeps_its_bytes() {
        let new = event();
        let mut text = Vec::new();
        Event::head(Seq::new(1042).unwrap(), &mut text);
        new.encode_body(&mut text);
        let read = Event::parse(&text).unwrap();
        assert_eq!(read.seq.get(), 1042);
        assert_eq!(
            (read.id, &read.kind, &read.agent, &read.session_id),
            (new.id, &new.kind, &new.agent, &new.session_id)
        );
        assert_eq!(read.data.get(), r#"{"text":"é\u0000","seq":1.50}"#);
        assert_eq!(serde_json::to_vec(&read).unwrap(), text);
    }

    #[test]
    fn a_line_for_publishing_is_read_by_the_publisher_whole() {
        let new = event();
        let mut line = Vec::new();
        new.encode_line(&mut line);
        let read = Incoming::parse(&line)
            .unwrap()
            .into_event(&Defaults::new("other", Timestamp::now()));
        assert_eq!(read, new);
    }
}
