//! Fewer deltas: pieces of one text become larger pieces, and pieces whose whole has come are not sent at all.
//!
//! Pure: time is an argument. What holds for each session:
//! - at most 20 deltas a second, save those that must go before an event that is no delta;
//! - nothing but deltas is ever held back, and no delta is overtaken by an event of its session that is no delta, unless
//!   that event is the whole of what the delta is a piece of: then the delta is dropped;
//! - pieces of one text come in order, and their contents put together are the text's, unless they were dropped.
//!
//! A merged delta has the id, the turn and the `raw` of its first piece and the time of its last.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::value::RawValue;
use turnwire_proto::{Json, Kind, Name, NewEvent, Object};

use crate::view::{Obj, string};

/// Deltas a second and session: what an eye can follow.
const PER_SECOND: u32 = 20;
const SPACING: Duration = Duration::from_millis(1000 / PER_SECOND as u64);
/// Bytes of a merged delta: beyond it, it goes at once. A fast model writes a few hundred bytes in [`SPACING`].
const MERGED: usize = 64 * 1024;
/// Texts of one session that grow at once: beyond it, the oldest goes at once.
const TEXTS: usize = 64;

/// The fields whose pieces are put together; of others the last piece's stand.
const GROWING: [&str; 2] = ["content", "arguments_delta"];

/// Merges deltas and drops superseded ones.
#[derive(Debug, Default)]
pub struct Coalescer {
    sessions: BTreeMap<Option<Name>, Session>,
}

#[derive(Debug, Default)]
struct Session {
    /// Oldest first.
    pending: Vec<Pending>,
    /// Before it no delta goes.
    ready: Option<Instant>,
}

/// What makes two deltas pieces of one text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    kind: Kind,
    id: Option<String>,
    parent: Option<String>,
    /// Arguments and output of a call do not mix.
    arguments: bool,
}

#[derive(Debug)]
struct Pending {
    key: Key,
    event: NewEvent,
    /// The pieces of [`GROWING`], put together; empty while there is only one piece.
    grown: Option<[Option<String>; 2]>,
}

impl Coalescer {
    /// With nothing held back.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one event, and gives out what is to be sent now.
    pub fn push(&mut self, event: NewEvent, now: Instant, out: &mut Vec<NewEvent>) {
        let session = self.sessions.entry(event.session_id.clone()).or_default();
        if event.kind.is_delta() {
            session.delta(event, now, out);
            return;
        }
        session.supersede(&event);
        session.flush(now, out);
        out.push(event);
    }

    /// Gives out what is due.
    pub fn poll(&mut self, now: Instant, out: &mut Vec<NewEvent>) {
        self.sessions.retain(|_, session| {
            session.poll(now, out);
            !session.pending.is_empty() || session.ready.is_some_and(|ready| ready > now)
        });
    }

    /// When [`Coalescer::poll`] has something to give.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let waiting = self.sessions.values().filter(|session| !session.pending.is_empty());
        waiting.filter_map(|session| session.ready).min()
    }

    /// Gives out all that is held back.
    pub fn finish(&mut self, out: &mut Vec<NewEvent>) {
        for session in std::mem::take(&mut self.sessions).into_values() {
            out.extend(session.pending.into_iter().map(Pending::done));
        }
    }
}

impl Session {
    fn delta(&mut self, event: NewEvent, now: Instant, out: &mut Vec<NewEvent>) {
        self.poll(now, out);
        let key = Key::of(&event);
        let same = self.pending.iter().position(|pending| pending.key == key);
        match same {
            Some(at) => {
                let full = self.pending[at].bytes() + event.data.get().len() > MERGED;
                let left = if full {
                    Some(event)
                } else {
                    self.pending[at].merge(event)
                };
                if let Some(event) = left {
                    // It cannot be put together with what is there, so that goes first.
                    let before = self.pending.remove(at);
                    self.send(before, now, out);
                    self.pending.push(Pending::new(key, event));
                }
            }
            None if self.pending.is_empty() && self.ready.is_none_or(|ready| ready <= now) => {
                self.send(Pending::new(key, event), now, out);
            }
            None => {
                if self.pending.len() >= TEXTS {
                    let oldest = self.pending.remove(0);
                    self.send(oldest, now, out);
                }
                self.pending.push(Pending::new(key, event));
            }
        }
    }

    fn send(&mut self, pending: Pending, now: Instant, out: &mut Vec<NewEvent>) {
        let from = self.ready.map_or(now, |ready| ready.max(now));
        self.ready = Some(from + SPACING);
        out.push(pending.done());
    }

    fn poll(&mut self, now: Instant, out: &mut Vec<NewEvent>) {
        while !self.pending.is_empty() && self.ready.is_none_or(|ready| ready <= now) {
            let oldest = self.pending.remove(0);
            self.send(oldest, now, out);
        }
    }

    fn flush(&mut self, now: Instant, out: &mut Vec<NewEvent>) {
        for pending in std::mem::take(&mut self.pending) {
            self.send(pending, now, out);
        }
    }

    /// Drops the pieces of what has come whole.
    fn supersede(&mut self, whole: &NewEvent) {
        if self.pending.is_empty() {
            return;
        }
        let (kind, id, arguments) = match whole.kind.as_str() {
            "message" => (Kind::TEXT_DELTA, "message_id", None),
            "reasoning" => (Kind::REASONING_DELTA, "message_id", None),
            "tool_call_start" => (Kind::TOOL_PROGRESS, "tool_call_id", Some(true)),
            "tool_call" => (Kind::TOOL_PROGRESS, "tool_call_id", None),
            _ => return,
        };
        let Some(body) = Obj::parse(whole.data.get()) else {
            return;
        };
        let (id, parent) = (body.text(id), body.text("parent_tool_call_id"));
        // A progress of a call does not say whose subagent's call it is: its id is enough.
        let by_call = kind == Kind::TOOL_PROGRESS;
        self.pending.retain(|pending| {
            let key = &pending.key;
            let same = key.kind == kind && key.id == id && (by_call || key.parent == parent);
            !(same && arguments.is_none_or(|arguments| key.arguments == arguments))
        });
    }
}

impl Key {
    fn of(event: &NewEvent) -> Self {
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

impl Pending {
    const fn new(key: Key, event: NewEvent) -> Self {
        Self {
            key,
            event,
            grown: None,
        }
    }

    fn bytes(&self) -> usize {
        let grown = self
            .grown
            .as_ref()
            .map(|grown| grown.iter().flatten().map(String::len).sum());
        grown.unwrap_or_else(|| self.event.data.get().len())
    }

    /// Adds a piece, or gives it back when its texts are not texts or it is of another turn.
    fn merge(&mut self, piece: NewEvent) -> Option<NewEvent> {
        if piece.turn_id != self.event.turn_id || piece.source != self.event.source || piece.agent != self.event.agent {
            return Some(piece);
        }
        let grown = match self.grown.take() {
            Some(grown) => Some(grown),
            None => texts(&self.event.data),
        };
        let (Some(mut grown), Some(more)) = (grown, texts(&piece.data)) else {
            return Some(piece);
        };
        for (grown, more) in grown.iter_mut().zip(more) {
            match (grown, more) {
                (Some(grown), Some(more)) => grown.push_str(&more),
                (grown, more) => *grown = grown.take().or(more),
            }
        }
        self.grown = Some(grown);
        self.event.timestamp = piece.timestamp;
        self.event.data = piece.data;
        None
    }

    /// The event that stands for all of its pieces.
    fn done(mut self) -> NewEvent {
        let Some(grown) = self.grown else { return self.event };
        let Some(last) = Obj::parse(self.event.data.get()) else {
            return self.event;
        };
        // In the order of the last piece's fields; a field that only an earlier piece had comes at the end.
        let of = |key: &str| {
            GROWING
                .iter()
                .position(|name| *name == key)
                .and_then(|at| grown[at].as_ref())
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
        if let Some(body) = body.ok().and_then(Object::new) {
            self.event.data = body;
        }
        self.event
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use turnwire_proto::Timestamp;

    use super::*;

    fn event(kind: &Kind, session: &str, data: &serde_json::Value) -> NewEvent {
        let source = Name::new("x").unwrap();
        NewEvent::new(kind.clone(), source, Timestamp::UNIX_EPOCH, Object::of(data))
            .in_session(Name::new(session).unwrap())
    }

    fn text(n: usize) -> NewEvent {
        event(
            &Kind::TEXT_DELTA,
            "s",
            &json!({"content": format!("{n},"), "message_id": "m"}),
        )
    }

    fn content(event: &NewEvent) -> String {
        event.data.read::<turnwire_proto::TextDelta>().unwrap().content
    }

    /// Drives it as a runner does: polls at the deadline.
    fn run(events: Vec<(u64, NewEvent)>) -> Vec<(u64, NewEvent)> {
        let start = Instant::now();
        let (mut coalescer, mut sent, mut out) = (Coalescer::new(), Vec::new(), Vec::new());
        for (at, event) in events {
            let now = start + Duration::from_millis(at);
            while let Some(due) = coalescer.deadline().filter(|due| *due <= now) {
                coalescer.poll(due, &mut out);
                let at = u64::try_from((due - start).as_millis()).unwrap();
                sent.extend(out.drain(..).map(|event| (at, event)));
            }
            coalescer.push(event, now, &mut out);
            sent.extend(out.drain(..).map(|event| (at, event)));
        }
        coalescer.finish(&mut out);
        sent.extend(out.drain(..).map(|event| (u64::MAX, event)));
        sent
    }

    #[test]
    fn a_fast_text_becomes_at_most_twenty_pieces_a_second_and_stays_whole() {
        let sent = run((0..3000).map(|n| (n, text(usize::try_from(n).unwrap()))).collect());
        let during = sent.iter().filter(|(at, _)| *at < 1000).count();
        assert_eq!(during, 20);
        let whole: String = sent.iter().map(|(_, event)| content(event)).collect();
        assert_eq!(whole, (0..3000).map(|n| format!("{n},")).collect::<String>());
        assert_eq!(sent[0].0, 0, "the first piece does not wait");
    }

    #[test]
    fn a_slow_text_is_not_held_back() {
        let sent = run((0..5).map(|n| (n * 100, text(0))).collect());
        assert_eq!(
            sent.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
            [0, 100, 200, 300, 400]
        );
    }

    #[test]
    fn the_whole_message_drops_the_pieces_that_wait_and_no_others() {
        let other = event(&Kind::TEXT_DELTA, "s", &json!({"content": "b", "message_id": "other"}));
        let whole = event(
            &Kind::MESSAGE,
            "s",
            &json!({"role": "assistant", "content": "0,1,2,", "message_id": "m"}),
        );
        let sent = run(vec![
            (0, text(0)),
            (1, text(1)),
            (2, other.clone()),
            (3, text(2)),
            (4, whole.clone()),
        ]);
        let sent: Vec<_> = sent.into_iter().map(|(_, event)| event).collect();
        assert_eq!(sent, [text_like(&sent[0]), other, whole]);
    }

    fn text_like(event: &NewEvent) -> NewEvent {
        assert_eq!(content(event), "0,");
        event.clone()
    }

    #[test]
    fn the_start_of_a_call_drops_its_arguments_pieces_and_its_end_the_rest() {
        let piece = |key: &str| event(&Kind::TOOL_PROGRESS, "s", &json!({"tool_call_id": "c", key: "x"}));
        let start = event(&Kind::TOOL_CALL_START, "s", &json!({"tool": "t", "tool_call_id": "c"}));
        let end = event(
            &Kind::TOOL_CALL,
            "s",
            &json!({"tool": "t", "tool_call_id": "c", "success": true}),
        );
        let kinds = |events| {
            run(events)
                .iter()
                .map(|(_, event)| event.kind.as_str().to_owned())
                .collect::<Vec<_>>()
        };
        let args = || piece("arguments_delta");
        assert_eq!(
            kinds(vec![(0, args()), (1, args()), (2, start)]),
            ["tool_progress", "tool_call_start"]
        );
        let out = || piece("content");
        assert_eq!(
            kinds(vec![(0, out()), (1, out()), (2, end)]),
            ["tool_progress", "tool_call"]
        );
    }

    #[test]
    fn a_merged_piece_has_the_texts_joined_the_last_ones_other_fields_and_the_first_ones_raw() {
        let piece = |text: &str, ms: u64| {
            event(
                &Kind::TOOL_PROGRESS,
                "s",
                &json!({"tool_call_id": "c", "content": text, "elapsed_ms": ms}),
            )
        };
        let mut pieces = vec![(0, piece("a", 1)), (1, piece("b", 2)), (2, piece("c", 3))];
        for (at, piece) in &mut pieces {
            piece.raw = Some(Json::of(at));
        }
        let sent = run(pieces);
        let body: serde_json::Value = sent[1].1.data.read().unwrap();
        assert_eq!(body, json!({"tool_call_id": "c", "content": "bc", "elapsed_ms": 3}));
        assert_eq!(sent[1].1.raw, Some(Json::of(&1)), "the first one's line stays");
    }

    #[test]
    fn what_cannot_be_merged_is_sent_as_it_is() {
        let odd = |n: u64| event(&Kind::TEXT_DELTA, "s", &json!({"content": n, "message_id": "m"}));
        let sent = run(vec![(0, odd(0)), (1, odd(1)), (2, odd(2)), (3, text(3)), (4, text(4))]);
        assert_eq!(sent.len(), 4, "{sent:?}");
        let big = || {
            event(
                &Kind::TEXT_DELTA,
                "s",
                &json!({"content": "x".repeat(MERGED), "message_id": "m"}),
            )
        };
        let sent = run((0..4).map(|n| (n, big())).collect());
        assert!(sent.len() == 4 && sent.iter().all(|(_, event)| event.size() < 2 * MERGED));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_reordered_but_superseded_pieces(
            script in proptest::collection::vec((0..40_u64, 0..3_usize, 0..3_usize, 0..5_usize), 0..120)
        ) {
            let (mut at, mut events) = (0, Vec::new());
            for (n, (gap, session, message, what)) in script.into_iter().enumerate() {
                at += gap;
                let (session, message) = (["a", "b", "c"][session], ["x", "y", "z"][message]);
                let event = match what {
                    0 => event(&Kind::NOTE, session, &json!({"text": n})),
                    1 => event(&Kind::MESSAGE, session, &json!({"content": "", "role": "assistant", "message_id": message})),
                    _ => event(&Kind::TEXT_DELTA, session, &json!({"content": format!("{n},"), "message_id": message})),
                };
                events.push((at, event));
            }
            let sent = run(events.clone());
            let solid = |events: &[(u64, NewEvent)]| -> Vec<NewEvent> {
                events.iter().filter(|(_, e)| !e.kind.is_delta()).map(|(_, e)| e.clone()).collect()
            };
            prop_assert_eq!(solid(&sent), solid(&events), "only deltas are touched");
            for (_, event) in sent.iter().filter(|(_, event)| !event.kind.is_delta()) {
                let given = events.iter().find(|(_, given)| given.id == event.id).unwrap().0;
                prop_assert!(sent.iter().any(|(at, e)| e.id == event.id && *at == given), "none is held back");
            }
            // Between two events that are no deltas, a text's pieces are the same text, or are dropped by its whole.
            for session in ["a", "b", "c"] {
                let of = |events: &[(u64, NewEvent)]| -> Vec<NewEvent> {
                    events.iter().map(|(_, e)| e).filter(|e| e.session_id.as_ref().unwrap().as_str() == session).cloned().collect()
                };
                let (given, sent) = (of(&events), of(&sent));
                let runs = |events: &[NewEvent], message: &str| -> Vec<String> {
                    events.split(|e| !e.kind.is_delta()).map(|run| {
                        run.iter().filter(|e| Key::of(e).id.as_deref() == Some(message)).map(content).collect()
                    }).collect()
                };
                let ends: Vec<_> = given.iter().filter(|e| !e.kind.is_delta()).cloned().collect();
                for message in ["x", "y", "z"] {
                    let pairs = runs(&given, message).into_iter().zip(runs(&sent, message));
                    for (n, (given, sent)) in pairs.enumerate() {
                        let whole = ends.get(n).is_some_and(|e| e.kind == Kind::MESSAGE && Key::of(e).id.as_deref() == Some(message));
                        prop_assert!(given == sent || (whole && given.starts_with(&sent)), "{given:?} {sent:?}");
                    }
                }
            }
        }
    }
}
