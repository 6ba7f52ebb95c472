//! What producers send: what is accepted is within its bounds, and encoded it reads back the same.

use turnwire_proto::{Defaults, Event, Incoming, Invalid, NewEvent, Seq, Timestamp, limits, sse};

pub(crate) fn run(body: &[u8]) {
    let one = Incoming::parse(body);
    let many = Incoming::parse_many(body);
    let array = body.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[');
    match (&one, &many) {
        (Ok(_), Ok(events)) => assert!(!array && events.len() == 1),
        (Err(e), Err((0, same))) if !array => assert_eq!(e, same),
        (Err(_), _) => assert!(array, "an object alone and among others are judged alike"),
        (Ok(_), Err((at, e))) => panic!("taken alone, refused among others: {at} {e}"),
    }
    for event in many.into_iter().flatten() {
        accepted(event);
    }
    // As a streamed body is read: each line by itself.
    for line in body.split(|b| *b == b'\n').take(64) {
        match Incoming::parse(line) {
            Ok(event) => accepted(event),
            Err(invalid) => refused(&invalid),
        }
    }
}

/// What the fields are that a producer left out.
fn defaults() -> Defaults {
    Defaults::new("fuzz", Timestamp::UNIX_EPOCH)
}

fn refused(invalid: &Invalid) {
    let text = invalid.to_string();
    assert!(
        text.len() < 4096,
        "an error is short whatever was sent: {} bytes",
        text.len()
    );
    assert!(
        matches!(invalid, Invalid::Json(_)) == invalid.field().is_none(),
        "{text}"
    );
}

fn accepted(event: Incoming) {
    let event = event.into_event(&defaults());
    assert!(event.size() <= limits::EVENT);
    publishable(&event);
}

/// An event that can be published comes back whole from a publisher's line and from a reader's frame.
pub(crate) fn publishable(event: &NewEvent) {
    let mut line = Vec::new();
    event.encode_line(&mut line);
    assert!(!line.contains(&b'\n') && !line.contains(&b'\r'), "one event, one line");
    let again = Incoming::parse_within(&line, limits::INCOMING)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&line)));
    assert_eq!(&again.into_event(&defaults()), event);

    let seq = Seq::new(line.len() as u64).expect("a length is a seq");
    let mut frame = Vec::new();
    sse::frame_head(seq, &mut frame);
    event.encode_body(&mut frame);
    sse::frame_end(seq, &mut frame);
    let mut parser = sse::Parser::with_limits(sse::Limits {
        line: limits::EVENT + 16 * 1024,
        event: limits::EVENT + 16 * 1024,
    });
    let mut rest = frame.as_slice();
    let Ok(Some(sse::Item::Message(message))) = parser.next(&mut rest) else {
        panic!("not one event: {}", String::from_utf8_lossy(&frame));
    };
    assert_eq!(message.data.as_bytes(), sse::json_of(&frame));
    assert_eq!(message.last_event_id.parse(), Ok(seq));
    let read = Event::parse(message.data.as_bytes()).unwrap_or_else(|e| panic!("{e}: {}", message.data));
    let back = NewEvent {
        id: read.id,
        kind: read.kind,
        timestamp: read.timestamp,
        source: read.source,
        agent: read.agent,
        session_id: read.session_id,
        turn_id: read.turn_id,
        data: read.data,
        raw: event.raw.clone(),
    };
    assert_eq!((read.seq, &back), (seq, event));
}
