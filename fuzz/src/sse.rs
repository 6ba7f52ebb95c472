//! The parser of event streams: what every split gives is what the letter of the standard gives, within its bounds.

use turnwire_proto::sse::{Item, Limits, Oversize, Parser};

#[path = "../../crates/proto/src/sse/parse/letter.rs"]
mod letter;
use letter::Seen;

pub(crate) fn run(stream: &[u8]) {
    let whole = parse([stream], Limits::default());
    if stream.len() <= Limits::default().line {
        let (items, last_event_id, retry) = letter::read(stream);
        assert_eq!(whole, (items, None, last_event_id, retry), "the letter of the standard");
    }
    let tight = Limits { line: 24, event: 40 };
    for limits in [Limits::default(), tight] {
        let whole = parse([stream], limits);
        assert_eq!(parse(stream.chunks(1), limits), whole, "a byte a piece, {limits:?}");
        assert_eq!(parse(pieces(stream), limits), whole, "pieces, {limits:?}");
        if let (items, None, ..) = whole {
            let size = |item: &Seen| item.as_ref().map_or(0, |(_, data, _)| data.len());
            assert!(items.iter().all(|item| size(item) <= limits.event));
        }
    }
}

type Outcome = (Vec<Seen>, Option<Oversize>, String, Option<std::time::Duration>);

fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: Limits) -> Outcome {
    let mut parser = Parser::with_limits(limits);
    let mut items = Vec::new();
    let mut failed = None;
    'pieces: for mut piece in pieces {
        loop {
            match parser.next(&mut piece) {
                Ok(Some(Item::Place(_))) => {}
                Ok(Some(Item::Comment)) => items.push(None),
                Ok(Some(Item::Message(m))) => {
                    items.push(Some((m.kind.into(), m.data.into(), m.last_event_id.into())));
                }
                Ok(None) => break,
                Err(oversize) => {
                    failed = Some(oversize);
                    break 'pieces;
                }
            }
        }
        assert!(piece.is_empty(), "all is taken when there is no item");
    }
    (items, failed, parser.last_event_id().to_owned(), parser.retry())
}

/// Pieces of 0 to 15 bytes, their sizes taken from the bytes themselves, so that an input is all that a finding needs.
fn pieces(mut stream: &[u8]) -> Vec<&[u8]> {
    let mut state = stream.len() as u32;
    let mut pieces = Vec::new();
    while !stream.is_empty() {
        state = state
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223 + u32::from(stream[0]));
        let (piece, rest) = stream.split_at(stream.len().min((state >> 28) as usize));
        pieces.push(piece);
        stream = rest;
    }
    pieces
}
