//! The event every workload sends, and the scanner that finds it again inside any framing.

use memchr::memmem;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

pub fn now_ns() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970")
        .as_nanos() as u64
}

/// About 250 bytes of JSON, typical of an agent's tool call. `n` and `t_ns` come last so that a
/// scanner can drop the tail of a read; nothing else in the event starts with `"n`.
pub fn write_event(out: &mut Vec<u8>, n: u64, t_ns: u64) {
    write!(
        out,
        concat!(
            r#"{{"type":"tool_call","session_id":"ses_01HZX3V7K9Q4","agent_id":"agt_7f3a91","#,
            r#""run_id":"run_01HZX3V8Q2","call_id":"call_5d1e8c","tool":"web_search","#,
            r#""args":{{"query":"durable event gateway","limit":5}},"status":"started","#,
            r#""n":{},"t_ns":{}}}"#
        ),
        n, t_ns
    )
    .expect("a Vec takes all bytes");
}

/// Finds `n` and `t_ns` in a byte stream, whatever the server wrapped around the event (SSE, a JSON
/// array, an escaped JSON string, NATS or RESP frames). Needs `n` before `t_ns`, which holds both
/// for relayed bytes and for JSON re-serialised with sorted keys.
#[derive(Default)]
pub struct Scanner {
    carry: Vec<u8>,
}

impl Scanner {
    pub fn feed(&mut self, bytes: &[u8], mut event: impl FnMut(u64, u64)) {
        if self.carry.is_empty() {
            let used = scan(bytes, &mut event);
            self.keep(&bytes[used..]);
        } else {
            self.carry.extend_from_slice(bytes);
            let carry = std::mem::take(&mut self.carry);
            let used = scan(&carry, &mut event);
            self.keep(&carry[used..]);
        }
    }

    /// A tail without a quote cannot hold the start of an event's fields.
    fn keep(&mut self, tail: &[u8]) {
        if memchr::memchr(b'"', tail).is_some() {
            self.carry = tail.to_vec();
        }
    }
}

/// Reports every complete event and returns how many bytes they used up.
fn scan(buf: &[u8], event: &mut impl FnMut(u64, u64)) -> usize {
    let mut used = 0;
    for at in memmem::find_iter(buf, b"t_ns") {
        let Some((t_ns, end)) = number(buf, at + 4) else { break };
        let n = memmem::rfind(&buf[used..at], b"\"n").and_then(|p| number(buf, used + p + 2));
        if let Some((n, _)) = n {
            event(n, t_ns);
        }
        used = end;
    }
    used
}

/// The digits after at most a few separators (`":`, `\": `); None until a non-digit ends them.
fn number(buf: &[u8], mut at: usize) -> Option<(u64, usize)> {
    let limit = at + 6;
    while at < limit && !buf.get(at)?.is_ascii_digit() {
        at += 1;
    }
    let mut value = 0u64;
    while buf.get(at)?.is_ascii_digit() {
        value = value.wrapping_mul(10).wrapping_add((buf[at] - b'0') as u64);
        at += 1;
    }
    Some((value, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(pieces: &[&[u8]]) -> Vec<(u64, u64)> {
        let mut scanner = Scanner::default();
        let mut seen = Vec::new();
        for piece in pieces {
            scanner.feed(piece, |n, t| seen.push((n, t)));
        }
        seen
    }

    #[test]
    fn finds_events_however_they_are_split() {
        let mut stream = b"id: 1\ndata: ".to_vec();
        write_event(&mut stream, 7, 1234567890123456789);
        stream.extend_from_slice(b"\n\nid: 2\ndata: ");
        write_event(&mut stream, 8, 1234567890123456790);
        stream.extend_from_slice(b"\n\n");
        let want = vec![(7, 1234567890123456789), (8, 1234567890123456790)];
        assert_eq!(collect(&[&stream]), want);
        for cut in 0..stream.len() {
            assert_eq!(collect(&[&stream[..cut], &stream[cut..]]), want, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(collect(&bytes), want);
    }

    #[test]
    fn finds_escaped_and_reordered_events() {
        assert_eq!(collect(&[br#"{"content":"{\"n\":3,\"t_ns\":44}"}"#]), vec![(3, 44)]);
        assert_eq!(
            collect(&[br#"[{"a":1,"n": 5,"run":"x","t_ns": 6,"type":"y"}]"#]),
            vec![(5, 6)]
        );
    }

    #[test]
    fn event_is_about_250_bytes() {
        let mut event = Vec::new();
        write_event(&mut event, 123456, now_ns());
        assert!((240..280).contains(&event.len()), "{}", event.len());
        serde_json::from_slice::<serde_json::Value>(&event).unwrap();
    }
}
