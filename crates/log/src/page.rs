//! A page of events: their frames one after another, as they go on the wire.

use std::sync::Arc;

use bytes::Bytes;
use turnwire_proto::{Event, Seq, sse};

/// Where one event's frame ends in its page's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The event's place.
    pub seq: Seq,
    /// The byte after its frame.
    pub end: u32,
}

/// Events that were read together. Cheap to clone: one shared run of bytes, and shared marks.
#[derive(Clone, Debug)]
pub struct Page {
    /// All frames, ready to be written to a reader.
    pub run: Bytes,
    /// One for each frame, in order of `seq`.
    pub marks: Arc<[Mark]>,
    /// Everything up to here was considered (for a page read backwards: everything from here on).
    pub cursor: Seq,
    /// The first place that was kept when the page was read. A reader whose cursor was before it has missed something.
    pub first: Seq,
    /// Deltas before this place were not kept when the page was read, as far as the page is concerned: never below `first`, and
    /// no higher than it for a page that has all its deltas.
    pub first_delta: Seq,
}

impl Page {
    /// A page without events.
    #[must_use]
    pub fn empty(cursor: Seq, first: Seq) -> Self {
        Self {
            run: Bytes::new(),
            marks: Arc::new([]),
            cursor,
            first,
            first_delta: first,
        }
    }

    /// The same page, of a log that does not keep deltas before this place.
    #[must_use]
    pub fn with_first_delta(self, first_delta: Seq) -> Self {
        Self {
            first_delta: first_delta.max(self.first),
            ..self
        }
    }

    /// How many events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Each event's place and frame.
    pub fn frames(&self) -> impl Iterator<Item = (Seq, &[u8])> {
        let starts = std::iter::once(0).chain(self.marks.iter().map(|mark| mark.end as usize));
        self.marks
            .iter()
            .zip(starts)
            .map(|(mark, start)| (mark.seq, &self.run[start..mark.end as usize]))
    }

    /// Each event's place and JSON.
    pub fn jsons(&self) -> impl Iterator<Item = (Seq, &[u8])> {
        self.frames().map(|(seq, frame)| (seq, sse::json_of(frame)))
    }

    /// Each event, parsed.
    ///
    /// # Errors
    /// A frame that is not an event: the store was damaged.
    pub fn events(&self) -> impl Iterator<Item = Result<Event, serde_json::Error>> {
        self.jsons().map(|(_, json)| Event::parse(json))
    }
}

/// Puts a page together.
#[derive(Debug, Default)]
pub struct PageBuilder {
    run: Vec<u8>,
    marks: Vec<Mark>,
}

impl PageBuilder {
    /// An empty one with room for so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            run: Vec::with_capacity(bytes),
            marks: Vec::new(),
        }
    }

    /// An empty one with room for so many events, whose bodies have so many bytes together.
    #[must_use]
    pub fn for_events(events: usize, bytes: usize) -> Self {
        // `data: {"seq":`, `id: `, line ends and twice a place of up to sixteen digits; mostly less.
        const FRAME: usize = 48;
        Self {
            run: Vec::with_capacity(bytes + events * FRAME),
            marks: Vec::with_capacity(events),
        }
    }

    /// Adds an event by its place and the body that [`turnwire_proto::NewEvent::encode_body`] made, with its raw line when
    /// that was asked for.
    pub fn push(&mut self, seq: Seq, body: &[u8], raw: Option<&[u8]>) {
        sse::frame_head(seq, &mut self.run);
        match raw {
            None => self.run.extend_from_slice(body),
            Some(raw) => {
                self.run.extend_from_slice(body.strip_suffix(b"}").unwrap_or(body));
                self.run.extend_from_slice(b",\"raw\":");
                self.run.extend_from_slice(raw);
                self.run.push(b'}');
            }
        }
        sse::frame_end(seq, &mut self.run);
        self.mark(seq);
    }

    /// Adds an event by its ready frame.
    pub fn push_frame(&mut self, seq: Seq, frame: &[u8]) {
        self.run.extend_from_slice(frame);
        self.mark(seq);
    }

    fn mark(&mut self, seq: Seq) {
        // Invariant: a page is bounded far below 4 GiB by its limit and the bound of one event.
        self.marks.push(Mark {
            seq,
            end: u32::try_from(self.run.len()).unwrap_or(u32::MAX),
        });
    }

    /// Bytes so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.run.len()
    }

    /// Events so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Whether `limit` is reached.
    #[must_use]
    pub fn is_full(&self, limit: crate::Limit) -> bool {
        self.len() >= limit.events.max(1) || (self.bytes() >= limit.bytes && !self.is_empty())
    }

    /// The page.
    #[must_use]
    pub fn finish(self, cursor: Seq, first: Seq) -> Page {
        Page {
            run: self.run.into(),
            marks: self.marks.into(),
            cursor,
            first,
            first_delta: first,
        }
    }

    /// The page of events that were pushed newest first, turned round.
    #[must_use]
    pub fn finish_reversed(self, cursor: Seq, first: Seq) -> Page {
        let backwards = self.finish(cursor, first);
        let mut forwards = Self::with_capacity(backwards.run.len());
        let frames: Vec<_> = backwards.frames().collect();
        for (seq, frame) in frames.into_iter().rev() {
            forwards.push_frame(seq, frame);
        }
        forwards.finish(cursor, first)
    }
}
