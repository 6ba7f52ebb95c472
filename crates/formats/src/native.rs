//! Turnwire's own wire: each event as it is, its place as the frame's id.
//!
//! The server keeps frames of this format ready and writes them as they are; this is the same for whoever has parsed events.

use turnwire_proto::{ControlFrame, Event, sse};

use crate::{Format, Snapshot};

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Native;

impl Format for Native {
    fn open(&mut self, at: &Snapshot, out: &mut Vec<u8>) {
        out.extend_from_slice(sse::COMMENT_CONNECTED);
        let Snapshot { epoch, first, head } = *at;
        self.control(&ControlFrame::Hello { epoch, first, head }, out);
    }

    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        // Invariant: an event is plain data, which serde_json always writes, in one line.
        out.extend_from_slice(&serde_json::to_vec(event).unwrap_or_default());
        sse::frame_end(event.seq, out);
    }

    fn control(&mut self, frame: &ControlFrame, out: &mut Vec<u8>) {
        sse::control(frame, out);
    }
}

#[cfg(test)]
mod tests {
    use turnwire_proto::{Defaults, Incoming, Seq, Timestamp};

    use super::*;

    #[test]
    fn a_parsed_event_gets_the_frame_that_the_log_keeps() {
        let line =
            br#"{"type":"tool_call","agent":"a\"b","session_id":"s","data":{"n": 1.50,"x":"\u0000"},"raw":[1, 2]}"#;
        let new = Incoming::parse(line)
            .unwrap()
            .into_event(&Defaults::new("test", Timestamp::UNIX_EPOCH));
        let seq = Seq::new(1042).unwrap();
        let mut kept = Vec::new();
        sse::frame_head(seq, &mut kept);
        new.encode_body(&mut kept);
        sse::frame_end(seq, &mut kept);
        let event = Event::parse(sse::json_of(&kept)).unwrap();
        let mut out = Vec::new();
        Native.event(&event, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), String::from_utf8(kept).unwrap());
    }
}
