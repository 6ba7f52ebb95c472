//! Any program: a line of text is a note, a line of JSON is an event.
//!
//! - A line of text, an empty one too, is a `note` with all of the line (escape sequences and NULs included; what is not
//!   UTF-8 becomes U+FFFD). Its `raw` is left out: it would say the same again.
//! - A JSON object that is an event as a producer may send it (`{"type":"…","data":{…}}`) is that event. What it leaves out
//!   (time, source, agent, session) is filled in; what it says stands.
//! - Another JSON object is a `note` too, with the object as its `raw`: `text` is the first of its fields `message`, `msg`,
//!   `text`, `event`, else the line itself. So the structured logs of most programs read well.
//!
//! Without a session in its context the events have none, and are public.

use turnwire_proto::{Defaults, Incoming, Json, Kind, NewEvent, Note, Object, Timestamp};

use crate::{Adapter, Context, fit, view::Obj};

const SOURCE: &str = "lines";

pub(crate) fn make(context: Context) -> Box<dyn Adapter> {
    Box::new(Lines { context })
}

#[derive(Debug)]
struct Lines {
    context: Context,
}

impl Adapter for Lines {
    fn line(&mut self, line: &[u8], at: Timestamp, out: &mut Vec<NewEvent>) {
        out.push(event(SOURCE, line, at, &self.context).unwrap_or_else(|| note(line, at, &self.context)));
    }

    fn end(&mut self, _exit: Option<i32>, _at: Timestamp, _out: &mut Vec<NewEvent>) {}

    /// Any line is understood.
    fn unknown(&self) -> u64 {
        0
    }
}

/// The event that a line is, with what the context knows filled in.
pub(crate) fn event(source: &str, line: &[u8], at: Timestamp, context: &Context) -> Option<NewEvent> {
    let incoming = Incoming::parse(line.trim_ascii()).ok()?;
    let mut event = incoming.into_event(&Defaults::new(source, at));
    event.agent = event.agent.or_else(|| context.agent.clone());
    event.session_id = event.session_id.or_else(|| context.session.clone());
    Some(event)
}

fn note(line: &[u8], at: Timestamp, context: &Context) -> NewEvent {
    let text = String::from_utf8_lossy(line);
    let text = text.strip_suffix('\r').unwrap_or(&text);
    let object = Obj::parse(text);
    let shown = object
        .as_ref()
        .and_then(|o| ["message", "msg", "text", "event"].iter().find_map(|key| o.text(key)));
    let body = Note {
        text: shown.unwrap_or_else(|| text.to_owned()),
    };
    let data = fit::body(Object::of(&body));
    let raw = object.and_then(|_| fit::raw(text, data.get().len()));
    event_of(SOURCE, Kind::NOTE, data, raw, at, context)
}

/// An event of an adapter's own making, about what the context names.
pub(crate) fn event_of(
    source: &str,
    kind: Kind,
    data: Object,
    raw: Option<Json>,
    at: Timestamp,
    context: &Context,
) -> NewEvent {
    NewEvent {
        agent: context.agent.clone(),
        session_id: context.session.clone(),
        raw,
        ..NewEvent::new(kind, Defaults::new(source, at).source, at, data)
    }
}

#[cfg(test)]
mod tests {
    use turnwire_proto::Name;

    use super::*;

    fn read(line: &[u8]) -> NewEvent {
        let session = Name::new("s").ok();
        let mut out = Vec::new();
        make(Context {
            session,
            ..Context::default()
        })
        .line(line, Timestamp::UNIX_EPOCH, &mut out);
        assert_eq!(out.len(), 1);
        out.remove(0)
    }

    fn text(event: &NewEvent) -> String {
        assert_eq!(event.kind, Kind::NOTE);
        event.data.read::<Note>().unwrap().text
    }

    #[test]
    fn a_line_of_text_is_a_note_of_all_of_it() {
        for (line, want) in [
            (&b"hello\r"[..], "hello"),
            (b"", ""),
            (b"  two  words ", "  two  words "),
            (b"\x1b[31mred\0", "\x1b[31mred\0"),
            (b"\xff", "\u{fffd}"),
            ("a\u{2028}b".as_bytes(), "a\u{2028}b"),
            (b"{\"cut\":", "{\"cut\":"),
            (b"[1]", "[1]"),
        ] {
            let event = read(line);
            assert_eq!(text(&event), want);
            assert!(event.raw.is_none() && event.session_id.is_some());
        }
    }

    #[test]
    fn a_line_that_is_an_event_is_that_event() {
        let event = read(br#"{"type":"made_up","session_id":"mine","data":{"x":1}}"#);
        assert_eq!(
            (event.kind.as_str(), event.session_id.unwrap().as_str()),
            ("made_up", "mine")
        );
        assert_eq!(event.data.get(), r#"{"x":1}"#);
        assert_eq!(read(br#"{"type":"made_up"}"#).session_id.unwrap().as_str(), "s");
    }

    #[test]
    fn another_object_is_a_note_that_keeps_it() {
        let event = read(br#"{"level":"info","msg":"started","n":1}"#);
        assert_eq!(text(&event), "started");
        assert_eq!(event.raw.unwrap().get(), r#"{"level":"info","msg":"started","n":1}"#);
        assert_eq!(text(&read(br#"{"n":1}"#)), r#"{"n":1}"#);
    }
}
