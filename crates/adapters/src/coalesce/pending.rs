//! One text that grows: what of it may go, and what is held back.

use serde_json::value::RawValue;
use turnwire_proto::{EventId, Json, Kind, NewEvent, Object};
use turnwire_redact::{boundary, may_end};

use crate::view::{Obj, string};

/// The fields whose pieces are put together; of others the last piece's stand.
const GROWING: [&str; 2] = ["content", "arguments_delta"];

/// What makes two deltas pieces of one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) kind: Kind,
    pub(super) id: Option<String>,
    pub(super) parent: Option<String>,
    /// Arguments and output of a call do not mix.
    pub(super) arguments: bool,
}

impl Key {
    pub(super) fn of(event: &NewEvent) -> Self {
        let body = Obj::parse(event.data.get()).unwrap_or_default();
        Self {
            kind: event.kind.clone(),
            id: body.text(if event.kind == Kind::TOOL_PROGRESS {
                "tool_call_id"
            } else {
                "message_id"
            }),
            parent: body.text("parent_tool_call_id"),
            arguments: body.get("arguments_delta").is_some(),
        }
    }
}

/// A field that grows.
#[derive(Debug, Default)]
struct Text {
    all: String,
    /// Where it may be cut: no secret goes on behind it.
    cut: usize,
}

impl Text {
    fn new(all: String) -> Self {
        let cut = boundary(&all);
        Self { all, cut }
    }

    fn push(&mut self, piece: &str) {
        self.all.push_str(piece);
        if may_end(piece) {
            self.cut += boundary(&self.all[self.cut..]);
        }
    }

    /// Takes what may go.
    fn take(&mut self) -> Self {
        let all = self.all.drain(..self.cut).collect();
        let cut = std::mem::take(&mut self.cut);
        Self { all, cut }
    }
}

type Texts = [Option<Text>; 2];

/// Pieces of one text that wait.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) key: Key,
    event: NewEvent,
    /// `None`: what should be a text is none.
    grown: Option<Texts>,
    /// The event's data are one piece's, as it came.
    as_it_came: bool,
    /// All of it was held back of an event that has gone with its id.
    rest: bool,
}

impl Pending {
    pub(super) fn new(key: Key, event: NewEvent) -> Self {
        let grown = texts(&event.data).map(|texts| texts.map(|text| text.map(Text::new)));
        Self {
            key,
            event,
            grown,
            as_it_came: true,
            rest: false,
        }
    }

    fn texts(&self) -> impl Iterator<Item = &Text> {
        self.grown.iter().flatten().flatten()
    }

    pub(super) fn bytes(&self) -> usize {
        match &self.grown {
            Some(_) => self.texts().map(|text| text.all.len()).sum(),
            None => self.event.data.get().len(),
        }
    }

    /// Nothing waits: all of it has been taken.
    pub(super) fn is_empty(&self) -> bool {
        self.texts().all(|text| text.all.is_empty())
    }

    /// Whether something of it may go.
    pub(super) fn is_due(&self) -> bool {
        self.is_empty() || self.texts().any(|text| text.cut > 0)
    }

    /// Adds a piece, or gives it back when its texts are not texts or it is of another turn.
    pub(super) fn merge(&mut self, piece: NewEvent) -> Option<NewEvent> {
        if piece.turn_id != self.event.turn_id || piece.source != self.event.source || piece.agent != self.event.agent {
            return Some(piece);
        }
        let (Some(grown), Some(more)) = (&mut self.grown, texts(&piece.data)) else {
            return Some(piece);
        };
        for (grown, more) in grown.iter_mut().zip(more) {
            match (grown, more) {
                (Some(grown), Some(more)) => grown.push(&more),
                (grown @ None, Some(more)) => *grown = Some(Text::new(more)),
                (_, None) => {}
            }
        }
        if std::mem::take(&mut self.rest) {
            self.event.id = piece.id;
        }
        self.as_it_came = false;
        self.event.timestamp = piece.timestamp;
        self.event.data = piece.data;
        None
    }

    /// The event that stands for what may go of its pieces; what is left waits on.
    pub(super) fn take(&mut self) -> NewEvent {
        let all = self.texts().all(|text| text.cut == text.all.len());
        let taken = self
            .grown
            .as_mut()
            .map(|texts| texts.each_mut().map(|text| text.as_mut().map(Text::take)));
        let event = self.told(taken, self.as_it_came && all);
        (self.as_it_came, self.rest) = (false, true);
        event
    }

    /// The event that stands for all of its pieces.
    pub(super) fn whole(mut self) -> NewEvent {
        let taken = self.grown.take();
        self.told(taken, self.as_it_came)
    }

    fn told(&self, texts: Option<Texts>, as_it_came: bool) -> NewEvent {
        let mut event = self.event.clone();
        if self.rest {
            event.id = EventId::new();
        }
        if as_it_came {
            return event;
        }
        event.raw = None;
        if let Some(data) = texts.and_then(|texts| with(&event.data, &texts)) {
            event.data = data;
        }
        event
    }
}

/// A delta's fields with other texts: in their order; a field that it does not have comes at the end.
fn with(data: &Object, texts: &Texts) -> Option<Object> {
    let last = Obj::parse(data.get())?;
    let of = |key: &str| {
        let at = GROWING.iter().position(|name| *name == key)?;
        texts[at].as_ref().map(|text| text.all.as_str())
    };
    let mut fields: Vec<String> = Vec::new();
    let field = |key: &str, value: Json| format!("{}:{}", Json::of(key).get(), value.get());
    for (key, value) in last.entries() {
        fields.push(field(key, of(key).map_or_else(|| Json::from_raw(value), Json::of)));
    }
    for key in GROWING.into_iter().filter(|key| last.get(key).is_none()) {
        fields.extend(of(key).map(|text| field(key, Json::of(text))));
    }
    let body = Json::parse(&format!("{{{}}}", fields.join(",")));
    body.ok().and_then(Object::new)
}

/// A delta's growing fields; `None` when one is there and no text.
fn texts(data: &Object) -> Option<[Option<String>; 2]> {
    let body = Obj::parse(data.get())?;
    let mut texts = [None, None];
    for (text, key) in texts.iter_mut().zip(GROWING) {
        if let Some(value) = body.get(key) {
            let value: &RawValue = value;
            *text = Some(string(value)?.into_owned());
        }
    }
    Some(texts)
}
