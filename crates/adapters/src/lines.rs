//! Any program: a line of text is a note, a line of JSON is an event.
//!
//! - A line of text, an empty one too, is a `note` with all of the line (escape sequences and NULs included; what is not
//!   UTF-8 becomes U+FFFD). Its `raw` is left out: it would say the same again.
//! - A JSON object that is an event as a producer may send it (`{"type":"…","data":{…}}`) is that event. What it leaves out
//!   (time, source, agent, session) is filled in; what it says stands.
//! - Another JSON object is a `note` too, with the object as its `raw`: `text` is the first of its fields `message`, `msg`,
//!   `text`, `event`, else the line itself. So the structured logs of most programs read well.
//!
//! Of a program that was given a prompt, the text is its answer: each line is a piece of it (`text_delta`), and the whole is a
//! `message` at the end, which ends the turn by the program's exit code. What it says as JSON is what it is elsewhere.
//!
//! Without a session in its context the events have none, and are public.

use std::borrow::Cow;

use turnwire_proto::{
    Defaults, EventId, Incoming, Json, Kind, Message, Name, NewEvent, Note, Object, TextDelta, Timestamp, TurnEnd,
    TurnStart, limits,
};

use crate::{Adapter, Context, Prompted, fit, view::Obj};

const SOURCE: &str = "lines";
/// Bytes of an answer that become one message; a longer one becomes several. JSON escapes most texts to less than twice this.
const ANSWER: usize = 256 * 1024;

pub(crate) fn make(context: Context) -> Box<dyn Adapter> {
    Box::new(Lines { context, turn: None })
}

#[derive(Debug)]
struct Lines {
    context: Context,
    turn: Option<Turn>,
}

/// What a program answers a prompt with.
#[derive(Debug)]
struct Turn {
    id: Name,
    start: Timestamp,
    answer: String,
    message: String,
}

impl Lines {
    fn tell(&self, kind: Kind, body: Object, at: Timestamp) -> NewEvent {
        NewEvent {
            turn_id: self.turn.as_ref().map(|turn| turn.id.clone()),
            ..event_of(SOURCE, kind, fit::body(body), None, at, &self.context)
        }
    }

    /// The answer so far is whole.
    fn answered(&mut self, at: Timestamp, out: &mut Vec<NewEvent>) {
        let Some(turn) = &mut self.turn else { return };
        let answer = std::mem::take(&mut turn.answer);
        let content = answer.trim_end_matches('\n');
        if content.is_empty() {
            return;
        }
        let body = Message {
            role: "assistant".to_owned(),
            content: content.to_owned(),
            message_id: Some(std::mem::replace(&mut turn.message, EventId::new().to_string())),
            ..Message::default()
        };
        out.push(self.tell(Kind::MESSAGE, Object::of(&body), at));
    }

    fn piece(&mut self, line: &[u8], at: Timestamp, out: &mut Vec<NewEvent>) {
        let Some(turn) = &mut self.turn else { return };
        let mut content = text(line).into_owned();
        content.push('\n');
        turn.answer.push_str(&content);
        let full = turn.answer.len() >= ANSWER;
        let body = TextDelta {
            content,
            message_id: Some(turn.message.clone()),
            ..TextDelta::default()
        };
        out.push(self.tell(Kind::TEXT_DELTA, Object::of(&body), at));
        if full {
            self.answered(at, out);
        }
    }

    fn end_turn(&mut self, ok: bool, note: Option<String>, at: Timestamp, out: &mut Vec<NewEvent>) {
        self.answered(at, out);
        let Some(turn) = &self.turn else { return };
        let body = TurnEnd {
            ok,
            note,
            duration_ms: u64::try_from(at.millis() - turn.start.millis()).ok(),
            ..TurnEnd::default()
        };
        out.push(self.tell(Kind::TURN_END, Object::of(&body), at));
        self.turn = None;
    }
}

impl Adapter for Lines {
    fn line(&mut self, line: &[u8], at: Timestamp, out: &mut Vec<NewEvent>) {
        let turn = self.turn.as_ref().map(|turn| turn.id.clone());
        let said = match event(SOURCE, line, at, &self.context) {
            Some(said) => said,
            None if turn.is_some() && Obj::parse(&text(line)).is_none() => return self.piece(line, at, out),
            None => note(line, at, &self.context),
        };
        out.push(NewEvent {
            turn_id: said.turn_id.clone().or(turn),
            ..said
        });
    }

    fn end(&mut self, exit: Option<i32>, at: Timestamp, out: &mut Vec<NewEvent>) {
        let note = match exit {
            Some(0) => None,
            Some(code @ 129..=192) => Some(format!("killed by signal {}", code - 128)),
            Some(code) => Some(format!("exited with code {code}")),
            None => Some("the output ended before the program had".to_owned()),
        };
        self.end_turn(exit == Some(0), note, at, out);
    }

    fn prompted(&mut self, turn: &Prompted, at: Timestamp, out: &mut Vec<NewEvent>) {
        let before = Some("a new turn began before this one had ended".to_owned());
        self.end_turn(false, before, at, out);
        self.turn = Some(Turn {
            id: turn.turn_id.clone(),
            start: at,
            answer: String::new(),
            message: EventId::new().to_string(),
        });
        let body = TurnStart {
            from: turn.from.clone(),
            body: turn.body.clone(),
            unread: turn.unread,
        };
        out.push(self.tell(Kind::TURN_START, Object::of(&body), at));
    }

    /// Any line is understood.
    fn unknown(&self) -> u64 {
        0
    }
}

fn text(line: &[u8]) -> Cow<'_, str> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8_lossy(line)
}

/// The event that a line is, with what the context knows filled in.
pub(crate) fn event(source: &str, line: &[u8], at: Timestamp, context: &Context) -> Option<NewEvent> {
    let incoming = Incoming::parse_within(line.trim_ascii(), limits::INCOMING).ok()?;
    let mut event = incoming.into_event(&Defaults::new(source, at));
    if !event.fits() {
        return None;
    }
    event.agent = event.agent.or_else(|| context.agent.clone());
    event.session_id = event.session_id.or_else(|| context.session.clone());
    Some(event)
}

fn note(line: &[u8], at: Timestamp, context: &Context) -> NewEvent {
    let text = text(line);
    let object = Obj::parse(&text);
    let shown = object
        .as_ref()
        .and_then(|o| ["message", "msg", "text", "event"].iter().find_map(|key| o.text(key)));
    let body = Note {
        text: shown.unwrap_or_else(|| text.clone().into_owned()),
    };
    let data = fit::body(Object::of(&body));
    let raw = object.and_then(|_| fit::raw(&text, &data));
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

    #[test]
    fn what_a_program_says_to_a_prompt_is_its_answer_in_the_turn_it_was_given() {
        for (exit, ok) in [(Some(0), true), (Some(3), false), (Some(137), false), (None, false)] {
            let mut adapter = make(Context {
                session: Name::new("s").ok(),
                ..Context::default()
            });
            let mut out = Vec::new();
            let turn = Prompted {
                turn_id: Name::new("turn").unwrap(),
                from: "user".to_owned(),
                body: "What is it?".to_owned(),
                unread: 2,
            };
            adapter.prompted(&turn, Timestamp::UNIX_EPOCH, &mut out);
            for line in [&b"one"[..], br#"{"type":"made_up"}"#, br#"{"msg":"log"}"#, b"two"] {
                adapter.line(line, Timestamp::UNIX_EPOCH, &mut out);
            }
            adapter.end(exit, Timestamp::UNIX_EPOCH, &mut out);
            let kinds: Vec<_> = out.iter().map(|event| event.kind.as_str()).collect();
            assert_eq!(
                kinds,
                [
                    "turn_start",
                    "text_delta",
                    "made_up",
                    "note",
                    "text_delta",
                    "message",
                    "turn_end"
                ]
            );
            assert!(out.iter().all(|event| event.turn_id.as_ref() == Some(&turn.turn_id)));
            let start: TurnStart = out[0].data.read().unwrap();
            assert_eq!((start.body.as_str(), start.unread), ("What is it?", 2));
            assert_eq!(out[5].data.read::<Message>().unwrap().content, "one\ntwo");
            let end: TurnEnd = out[6].data.read().unwrap();
            assert_eq!((end.ok, end.note.is_some()), (ok, !ok));
            // Only once.
            adapter.end(exit, Timestamp::UNIX_EPOCH, &mut out);
            assert_eq!(out.len(), 7);
        }
    }
}
