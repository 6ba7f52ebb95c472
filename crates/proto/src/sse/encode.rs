//! Frames that leave. `id:` stands after `data:`: a client that is cut between the two must not skip the event.

use crate::{ControlFrame, Event, Seq, event::decimal};

/// Tells that the stream is open; proxies pass the first bytes on.
pub const COMMENT_CONNECTED: &[u8] = b": connected\n\n";
/// Tells that the stream lives.
pub const COMMENT_HEARTBEAT: &[u8] = b": hb\n\n";

const DATA: &[u8] = b"data: ";

/// Writes the part of an event's frame before its body: `data: {"seq":N`.
pub fn frame_head(seq: Seq, out: &mut Vec<u8>) {
    out.extend_from_slice(DATA);
    Event::head(seq, out);
}

/// Writes the part after its body: the end of the line, `id: N`, the empty line.
pub fn frame_end(seq: Seq, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\nid: ");
    decimal(seq.get(), out);
    out.extend_from_slice(b"\n\n");
}

/// The event's JSON within a frame that [`frame_head`] and [`frame_end`] made.
#[must_use]
pub fn json_of(frame: &[u8]) -> &[u8] {
    let json = frame.strip_prefix(DATA).unwrap_or(frame);
    // The JSON has no line break, so the first one ends it.
    memchr::memchr(b'\n', json).map_or(json, |end| &json[..end])
}

/// Writes a control frame: a name, and no id.
pub fn control(frame: &ControlFrame, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(frame.name().as_bytes());
    out.extend_from_slice(b"\ndata: ");
    // Invariant: a control frame is plain data, which serde_json always writes, without a line break.
    out.extend_from_slice(serde_json::to_string(frame).unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\n\n");
}

/// Writes a frame with a name and a place, as agents' downlinks have them. `data` has no line break.
pub fn named(name: &str, data: &str, seq: Seq, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    out.extend_from_slice(data.as_bytes());
    out.extend_from_slice(b"\nid: ");
    decimal(seq.get(), out);
    out.extend_from_slice(b"\n\n");
}

/// Writes a place alone, `id: N`: nothing is dispatched, but by the standard a client comes back with it. It must not be ahead of
/// what the client was sent.
pub fn place(seq: Seq, out: &mut Vec<u8>) {
    out.extend_from_slice(b"id: ");
    decimal(seq.get(), out);
    out.extend_from_slice(b"\n\n");
}

/// Writes how long a client waits before it comes back.
pub fn retry(ms: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"retry: ");
    decimal(ms, out);
    out.extend_from_slice(b"\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Epoch, GapReason};

    #[test]
    fn an_event_frame_has_its_id_after_its_data() {
        let mut frame = Vec::new();
        frame_head(Seq::new(7).unwrap(), &mut frame);
        frame.extend_from_slice(b",\"data\":{}}");
        frame_end(Seq::new(7).unwrap(), &mut frame);
        assert_eq!(frame, b"data: {\"seq\":7,\"data\":{}}\nid: 7\n\n");
        assert_eq!(json_of(&frame), b"{\"seq\":7,\"data\":{}}");
    }

    #[test]
    fn a_control_frame_has_a_name_and_no_id() {
        let frames = [
            ControlFrame::Hello {
                epoch: Epoch::new(),
                first: Seq::ZERO,
                head: Seq::MAX,
            },
            ControlFrame::Gap {
                after: Seq::ZERO,
                next: Seq::MAX,
                reason: GapReason::Trimmed,
            },
            ControlFrame::Bye {
                reason: "shutdown".into(),
                retry_ms: Some(5),
            },
        ];
        for frame in frames {
            let mut text = Vec::new();
            control(&frame, &mut text);
            let text = String::from_utf8(text).unwrap();
            assert!(
                text.starts_with(&format!("event: {}\ndata: {{", frame.name())),
                "{text}"
            );
            assert!(!text.contains("\nid"), "{text}");
            let data = text.lines().nth(1).unwrap().strip_prefix("data: ").unwrap();
            assert_eq!(ControlFrame::parse(frame.name(), data), Some(frame));
        }
    }
}
