//! A stream as its reader has it: frame by frame, each checked for the rules that every frame keeps.

use serde_json::Value;

use crate::world::{Reply, Wire};

/// One frame of a stream, checked for the rules that every frame keeps.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Frame {
    Retry(u64),
    Comment(String),
    /// An `id:` alone.
    Place(u64),
    Control(String, Value),
    Event(Value),
}

impl Frame {
    fn parse(text: &str) -> Self {
        let lines: Vec<_> = text.split('\n').collect();
        if let ["", ..] = *lines {
            panic!("an empty frame");
        }
        match *lines {
            [one] if one.starts_with("retry: ") => Self::Retry(one[7..].parse().unwrap()),
            [one] if one.starts_with("id: ") => Self::Place(one[4..].parse().unwrap()),
            [one] if one.starts_with(':') => Self::Comment(one[1..].trim().to_owned()),
            [event, data] if event.starts_with("event: ") => {
                let data = data.strip_prefix("data: ").unwrap_or_else(|| panic!("{text}"));
                Self::Control(event[7..].to_owned(), serde_json::from_str(data).unwrap())
            }
            [data, id] if data.starts_with("data: ") => {
                let event: Value = serde_json::from_str(&data[6..]).unwrap();
                let id = id.strip_prefix("id: ").unwrap_or_else(|| panic!("{text}"));
                assert_eq!(event["seq"].to_string(), id, "the id is the place");
                Self::Event(event)
            }
            _ => panic!("not a frame: {text}"),
        }
    }
}

/// An open stream.
pub(crate) struct Stream {
    pub(crate) wire: Wire,
    pub(crate) head: Reply,
    text: Vec<u8>,
    /// Up to here there is no frame's end in the text.
    looked: usize,
    /// The place of the last event: they only go up.
    pub(crate) last: u64,
    /// What an `EventSource` comes back with: the newest `id:`, of an event or alone.
    pub(crate) last_event_id: Option<u64>,
}

impl Stream {
    /// Reads the head of an answer that is a stream.
    pub(crate) async fn open(mut wire: Wire) -> Self {
        let head = wire.reply_head().await.expect("an answer");
        assert_eq!(head.status, 200, "{head:?}");
        Self {
            wire,
            head,
            text: Vec::new(),
            looked: 0,
            last: 0,
            last_event_id: None,
        }
    }

    /// The next frame; `None` when the stream has ended.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        let frame = loop {
            let found = memchr::memmem::find(&self.text[self.looked..], b"\n\n");
            if let Some(end) = found.map(|end| self.looked + end) {
                let frame: Vec<u8> = self.text.drain(..end + 2).collect();
                self.looked = 0;
                break Frame::parse(std::str::from_utf8(&frame[..end]).unwrap());
            }
            self.looked = self.text.len().saturating_sub(1);
            if !self.more().await {
                return None;
            }
        };
        if let Frame::Event(event) = &frame {
            let seq = event["seq"].as_u64().unwrap();
            assert!(
                Some(seq) > self.last_event_id,
                "{seq} comes after {:?}",
                self.last_event_id
            );
            (self.last, self.last_event_id) = (seq, Some(seq));
        }
        if let Frame::Place(place) = &frame {
            assert!(
                Some(*place) >= self.last_event_id,
                "{place} after {:?}",
                self.last_event_id
            );
            self.last_event_id = Some(*place);
        }
        Some(frame)
    }

    async fn more(&mut self) -> bool {
        if self.head.headers.contains_key("transfer-encoding") {
            let Some(chunk) = self.wire.chunk().await else {
                return false;
            };
            self.text.extend(chunk);
            return true;
        }
        let more = !self.wire.input.is_empty() || self.wire.fill().await;
        self.text.append(&mut self.wire.input);
        more
    }

    /// Frames up to the first that is neither `retry:` nor a comment nor a place.
    async fn said(&mut self) -> Option<Frame> {
        loop {
            match self.frame().await? {
                Frame::Retry(_) | Frame::Comment(_) | Frame::Place(_) => {}
                frame => return Some(frame),
            }
        }
    }

    /// The next event; what is said between is hello alone.
    pub(crate) async fn event(&mut self) -> Value {
        loop {
            match self.said().await {
                Some(Frame::Event(event)) => return event,
                Some(Frame::Control(name, _)) if name == "hello" => {}
                other => panic!("an event was to come, not {other:?}"),
            }
        }
    }

    pub(crate) async fn events(&mut self, count: usize) -> Vec<Value> {
        let mut events = Vec::with_capacity(count);
        while events.len() < count {
            events.push(self.event().await);
        }
        events
    }

    /// All events up to this place.
    pub(crate) async fn until(&mut self, seq: u64) -> Vec<Value> {
        let mut events = Vec::new();
        while self.last < seq {
            events.push(self.event().await);
        }
        assert_eq!(self.last, seq);
        events
    }

    /// The next control frame of this name; before it comes nothing but hello.
    pub(crate) async fn control(&mut self, wanted: &str) -> Value {
        loop {
            match self.said().await {
                Some(Frame::Control(name, data)) if name == wanted => return data,
                Some(Frame::Control(name, _)) if name == "hello" => {}
                other => panic!("`{wanted}` was to come, not {other:?}"),
            }
        }
    }

    /// The last frame, and the end of the connection.
    pub(crate) async fn bye(&mut self) -> Value {
        let bye = self.control("bye").await;
        assert_eq!(self.frame().await, None, "after bye comes nothing");
        bye
    }

    /// What came whole before the connection ended, however it ended.
    pub(crate) async fn remains(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(frame) = self.said().await {
            if let Frame::Event(event) = frame {
                events.push(event);
            }
        }
        events
    }
}
