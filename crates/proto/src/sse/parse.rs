//! Streams that arrive: the WHATWG HTML standard's "interpreting an event stream", bytes in any pieces, bounded.

use std::time::Duration;

use crate::limits;

const BOM: &[u8] = b"\xef\xbb\xbf";
/// What an event is called whose stream names it not.
const MESSAGE: &str = "message";

/// How much of a stream a [`Parser`] holds at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one line, without its end.
    pub line: usize,
    /// Bytes of one event's data, with the line feeds between its lines.
    pub event: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: limits::SSE_LINE,
            event: limits::SSE_EVENT,
        }
    }
}

/// The stream holds more at once than the [`Limits`] allow. What it would have been is not known, so the stream is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Oversize {
    /// In one line.
    #[error("a line of the event stream is longer than the limit of {limit} bytes")]
    Line {
        /// Bytes allowed.
        limit: usize,
    },
    /// In one event's data.
    #[error("an event of the stream has more data than the limit of {limit} bytes")]
    Event {
        /// Bytes allowed.
        limit: usize,
    },
}

/// What a stream brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// An event to dispatch.
    Message(Message<'a>),
    /// A line that begins with a colon: no event, but the stream lives.
    Comment,
    /// An `id:` without data. The standard dispatches nothing, and tells this id from now on when it comes back: all that the
    /// reader asked for up to there has been sent.
    Place(&'a str),
}

/// An event as the standard dispatches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its `event:`, or `message`.
    pub kind: &'a str,
    /// Its `data:` lines, joined by line feeds.
    pub data: &'a str,
    /// The newest `id:` of the stream, be it this event's or an earlier one's; empty when there was none.
    pub last_event_id: &'a str,
}

/// Makes events of a stream's bytes, whatever pieces they come in.
///
/// It holds at most one line and one event, and copies a byte once, or twice where a line is cut by the end of a piece.
///
/// ```
/// use turnwire_proto::sse::{Item, Parser};
///
/// let mut parser = Parser::new();
/// let mut data = Vec::new();
/// for mut piece in [&b"data: on"[..], b"e\nid: 7\n", b"\n"] {
///     while let Some(item) = parser.next(&mut piece)? {
///         if let Item::Message(message) = item {
///             data.push((message.data.to_owned(), message.last_event_id.to_owned()));
///         }
///     }
/// }
/// assert_eq!(data, [("one".to_owned(), "7".to_owned())]);
/// # Ok::<(), turnwire_proto::sse::Oversize>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Parser {
    limits: Limits,
    /// The start of a line whose end has not come.
    line: Vec<u8>,
    /// The standard's data buffer: each line of data with a line feed after it.
    data: String,
    /// The standard's event type buffer.
    kind: String,
    /// The standard's last event ID buffer.
    id: String,
    /// The standard's last event ID string: the buffer as it was when an event ended. A reconnection tells this one.
    last_event_id: String,
    retry: Option<Duration>,
    /// The event under way has an `id:`.
    placed: bool,
    /// Some line has ended, so there can be no byte order mark any more.
    begun: bool,
    /// The last line ended in CR: a line feed next belongs to it.
    after_cr: bool,
    /// The item given out last has been taken, so its buffers can go.
    given: bool,
    failed: Option<Oversize>,
}

/// What one line came to.
enum Step {
    Nothing,
    Comment,
    Place,
    Message,
}

impl Parser {
    /// A parser with the default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A parser with these limits.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// The next item of the stream: takes bytes off `input` until there is one, and all of them when there is none (`None`).
    ///
    /// # Errors
    /// [`Oversize`], and then for ever, until [`Parser::reconnect`].
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Item<'_>>, Oversize> {
        if let Some(failed) = self.failed {
            return Err(failed);
        }
        if std::mem::take(&mut self.given) {
            self.clear_event();
        }
        match self.step(input) {
            Ok(Step::Nothing) => Ok(None),
            Ok(Step::Comment) => Ok(Some(Item::Comment)),
            Ok(Step::Place) => Ok(Some(Item::Place(&self.last_event_id))),
            Ok(Step::Message) => {
                self.given = true;
                Ok(Some(Item::Message(self.message())))
            }
            Err(oversize) => {
                self.failed = Some(oversize);
                self.clear_event();
                self.line = Vec::new();
                Err(oversize)
            }
        }
    }

    /// What a reconnection sends as `Last-Event-ID`; empty for none. An event that was cut before its empty line, though
    /// after its `id:`, does not count: it was not dispatched.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// The newest `retry:`.
    #[must_use]
    pub const fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Makes ready for the stream of a new connection: an unfinished event is dropped; the last event id (as browsers keep
    /// it) and the retry time stay.
    pub fn reconnect(&mut self) {
        self.clear_event();
        self.line.clear();
        self.id.clone_from(&self.last_event_id);
        self.begun = false;
        self.after_cr = false;
        self.given = false;
        self.failed = None;
    }

    fn clear_event(&mut self) {
        self.data.clear();
        self.kind.clear();
        self.placed = false;
    }

    fn message(&self) -> Message<'_> {
        Message {
            kind: if self.kind.is_empty() { MESSAGE } else { &self.kind },
            data: self.data.strip_suffix('\n').unwrap_or(&self.data),
            last_event_id: &self.last_event_id,
        }
    }

    fn step(&mut self, input: &mut &[u8]) -> Result<Step, Oversize> {
        loop {
            if let [first, rest @ ..] = *input
                && std::mem::take(&mut self.after_cr)
                && *first == b'\n'
            {
                *input = rest;
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', input) else {
                self.keep(std::mem::take(input))?;
                return Ok(Step::Nothing);
            };
            let (part, rest) = input.split_at(end);
            self.after_cr = rest[0] == b'\r';
            *input = &rest[1..];
            let step = if self.line.is_empty() {
                self.check_line(part.len())?;
                self.end_of_line(part)?
            } else {
                self.keep(part)?;
                let mut line = std::mem::take(&mut self.line);
                let step = self.end_of_line(&line)?;
                line.clear();
                self.line = line;
                step
            };
            if !matches!(step, Step::Nothing) {
                return Ok(step);
            }
        }
    }

    fn check_line(&self, len: usize) -> Result<(), Oversize> {
        let limit = self.limits.line;
        if len > limit {
            return Err(Oversize::Line { limit });
        }
        Ok(())
    }

    fn keep(&mut self, part: &[u8]) -> Result<(), Oversize> {
        self.check_line(self.line.len() + part.len())?;
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn end_of_line(&mut self, mut line: &[u8]) -> Result<Step, Oversize> {
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix(BOM).unwrap_or(line);
        }
        if line.is_empty() {
            return Ok(self.end_of_event());
        }
        let (field, value) = match memchr::memchr(b':', line) {
            Some(0) => return Ok(Step::Comment),
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        self.field(field, value.strip_prefix(b" ").unwrap_or(value))?;
        Ok(Step::Nothing)
    }

    fn field(&mut self, field: &[u8], value: &[u8]) -> Result<(), Oversize> {
        // Line ends, colons and spaces are ASCII, which no UTF-8 sequence contains: each value can be decoded by itself.
        match field {
            b"data" => {
                let limit = self.limits.event;
                let value = String::from_utf8_lossy(value);
                if self.data.len() + value.len() > limit {
                    return Err(Oversize::Event { limit });
                }
                self.data.push_str(&value);
                self.data.push('\n');
            }
            b"event" => {
                self.kind.clear();
                self.kind.push_str(&String::from_utf8_lossy(value));
            }
            b"id" if memchr::memchr(0, value).is_none() => {
                self.id.clear();
                self.id.push_str(&String::from_utf8_lossy(value));
                self.placed = true;
            }
            b"retry" if !value.is_empty() && value.iter().all(u8::is_ascii_digit) => {
                self.retry = Some(Duration::from_millis(saturating_decimal(value)));
            }
            _ => {}
        }
        Ok(())
    }

    fn end_of_event(&mut self) -> Step {
        if self.last_event_id != self.id {
            self.last_event_id.clone_from(&self.id);
        }
        if self.data.is_empty() {
            let placed = self.placed;
            self.clear_event();
            return if placed { Step::Place } else { Step::Nothing };
        }
        Step::Message
    }
}

fn saturating_decimal(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |value: u64, digit| {
        value.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod letter;
#[cfg(test)]
mod tests;
