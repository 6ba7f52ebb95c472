//! The standard's examples, every rule by a case, and a plain reading of the standard that the parser must agree with.

use super::letter::{self, Seen};
use super::*;
use crate::{ControlFrame, Epoch, Event, NewEvent, Seq, sse};
use proptest::prelude::*;

fn message(kind: &str, data: &str, id: &str) -> Seen {
    Some((kind.into(), data.into(), id.into()))
}

fn parse<'a>(parser: &mut Parser, pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Seen>, Oversize> {
    let mut items = Vec::new();
    for mut piece in pieces {
        while let Some(item) = parser.next(&mut piece)? {
            items.push(match item {
                Item::Place(_) => continue,
                Item::Comment => None,
                Item::Message(m) => message(m.kind, m.data, m.last_event_id),
            });
        }
        assert!(piece.is_empty(), "all is taken when there is no item");
    }
    Ok(items)
}

fn whole(stream: impl AsRef<[u8]>) -> Vec<Seen> {
    parse(&mut Parser::new(), [stream.as_ref()]).unwrap()
}

#[test]
fn the_examples_of_the_standard_give_what_it_says() {
    assert_eq!(
        whole("data: YHOO\ndata: +2\ndata: 10\n\n"),
        [message("message", "YHOO\n+2\n10", "")]
    );
    assert_eq!(
        whole(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"),
        [
            None,
            message("message", "first event", "1"),
            message("message", "second event", ""),
            message("message", " third event", ""),
        ]
    );
    assert_eq!(
        whole("data\n\ndata\ndata\n\ndata:"),
        [message("message", "", ""), message("message", "\n", "")]
    );
    assert_eq!(
        whole("data:test\n\ndata: test\n\n"),
        [message("message", "test", ""), message("message", "test", "")]
    );
    assert_eq!(
        whole("event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\n"),
        [message("add", "73857293", ""), message("remove", "2153", "")]
    );
}

#[test]
fn an_id_alone_is_no_event_and_is_what_the_client_comes_back_with() {
    let stream = b"id: 7\n\n: hb\n\nid: 9\n\ndata: x\nid: 12\n\nevent: e\n\nid: 13\0\n\nid: 14\n";
    for size in 1..=stream.len() {
        let mut parser = Parser::new();
        let mut places = Vec::new();
        for mut piece in stream.chunks(size) {
            while let Some(item) = parser.next(&mut piece).unwrap() {
                if let Item::Place(place) = item {
                    places.push(place.to_owned());
                }
            }
        }
        assert_eq!(places, ["7", "9"]);
        assert_eq!(parser.last_event_id(), "12");
    }
}

#[test]
fn each_rule_holds() {
    let m = |data| message("message", data, "");
    for (stream, items) in [
        ("\u{feff}data: bom\n\n", vec![m("bom")]),
        ("\u{feff}\u{feff}data: two boms\n\n", vec![]),
        ("\n\u{feff}data: late bom\n\n", vec![]),
        (
            "data: lf\n\ndata: cr\r\rdata: crlf\r\n\r\n",
            vec![m("lf"), m("cr"), m("crlf")],
        ),
        ("data: mixed\r\n\n", vec![m("mixed")]),
        ("data: a\n\r", vec![m("a")]),
        ("data: no empty line\n", vec![]),
        ("data: x\n\ndata: cut", vec![m("x")]),
        ("event: nothing\n\ndata: x\n\n", vec![m("x")]),
        ("event: a\nevent: b\ndata: x\n\n", vec![message("b", "x", "")]),
        ("event: a\nevent\ndata: x\n\n", vec![m("x")]),
        ("unknown: y\ndata: x\nDATA: z\n data: z\n\n", vec![m("x")]),
        ("data : x\n\n", vec![]),
        ("data:a:b: c\n\n", vec![m("a:b: c")]),
        ("data:  two spaces\ndata:\ttab\n\n", vec![m(" two spaces\n\ttab")]),
        (
            "data: \u{0}\u{b}\u{c}\u{85}\u{2028}\n\n",
            vec![m("\u{0}\u{b}\u{c}\u{85}\u{2028}")],
        ),
        ("data: x\n:c\ndata: y\n\n", vec![None, m("x\ny")]),
        (":\n: c\n:: d\n", vec![None, None, None]),
        ("", vec![]),
        ("\n\n\r\n", vec![]),
    ] {
        assert_eq!(whole(stream), items, "{stream:?}");
        assert_eq!(letter::read(stream.as_bytes()).0, items, "{stream:?}");
    }
    assert_eq!(whole(b"data: \xff\xe2\x82z\n\n"), [m("\u{fffd}\u{fffd}z")]);
}

#[test]
fn the_last_event_id_stays_until_another_comes() {
    assert_eq!(
        whole("id: 1\ndata: a\n\ndata: b\n\nid: 2\n\ndata: c\n\nid: x\0y\ndata: d\n\nid\ndata: e\n\n"),
        [
            message("message", "a", "1"),
            message("message", "b", "1"),
            message("message", "c", "2"), // The event of id 2 had no data, and set the id all the same.
            message("message", "d", "2"), // An id with NUL is not one.
            message("message", "e", ""),
        ]
    );
}

#[test]
fn a_client_that_is_cut_between_data_and_id_or_before_the_end_does_not_skip_the_event() {
    let stream = b"data: one\nid: 1\n\ndata: two\nid: 2\n\n";
    for cut in 0..stream.len() {
        let mut parser = Parser::new();
        let seen = parse(&mut parser, [&stream[..cut]]).unwrap().len();
        assert_eq!(
            parser.last_event_id(),
            ["", "1", "2"][seen],
            "what is told to have come is what came, cut at {cut}"
        );
        parser.reconnect();
        assert_eq!(parser.last_event_id(), ["", "1", "2"][seen]);
        let after = parse(&mut parser, [&b"\xef\xbb\xbfdata: x\n\n"[..]]).unwrap();
        assert_eq!(
            after,
            [message("message", "x", ["", "1", "2"][seen])],
            "nothing of the unfinished event is left"
        );
    }
}

#[test]
fn retry_is_taken_at_once_and_only_from_digits() {
    let mut parser = Parser::new();
    for (line, retry) in [
        ("retry: 2000\n", 2000),
        ("retry: 1.5\n", 2000),
        ("retry: -1\n", 2000),
        ("retry:  7\n", 2000),
        ("retry\n", 2000),
        ("retry:\n", 2000),
        ("retry: ٣\n", 2000),
        ("retry:0\n", 0),
        ("retry:007\n", 7),
        ("retry: 99999999999999999999999\n", u64::MAX),
    ] {
        parse(&mut parser, [line.as_bytes()]).unwrap();
        assert_eq!(parser.retry(), Some(Duration::from_millis(retry)), "{line:?}");
    }
    parser.reconnect();
    assert_eq!(parser.retry(), Some(Duration::from_millis(u64::MAX)));
}

#[test]
fn an_event_is_there_as_soon_as_its_empty_line_is_whatever_ends_it() {
    for stream in ["data: x\n\n", "data: x\r\r", "data: x\r\n\r\n"] {
        let mut parser = Parser::new();
        // Not even the line feed of a CRLF is waited for.
        let enough = stream.trim_end_matches('\n').len().max("data: x".len() + 2);
        assert_eq!(
            parse(&mut parser, [&stream.as_bytes()[..enough]]).unwrap(),
            [message("message", "x", "")],
            "{stream:?}"
        );
        assert_eq!(parse(&mut parser, [&stream.as_bytes()[enough..]]).unwrap(), []);
    }
}

#[test]
fn the_default_bounds_are_256_kib_a_line_and_1_mib_an_event() {
    let line = "x".repeat(256 * 1024 - "data:".len());
    assert_eq!(whole(format!("data:{line}\r\n\r\n")).len(), 1);
    let error = parse(&mut Parser::new(), [format!("data:{line}y\n\n").as_bytes()]).unwrap_err();
    assert_eq!(error, Oversize::Line { limit: 256 * 1024 });
    assert_eq!(
        error.to_string(),
        "a line of the event stream is longer than the limit of 262144 bytes"
    );

    let quarter = "x".repeat(256 * 1024 - 6);
    let event = format!("data:{quarter}\ndata:{quarter}\ndata:{quarter}\ndata:{quarter}\n");
    let left = 1024 * 1024 - 4 * (quarter.len() + 1);
    let full = format!("{event}data:{}\n\n", "x".repeat(left));
    let items = whole(&full);
    assert_eq!(items[0].as_ref().unwrap().1.len(), 1024 * 1024);
    let error = parse(
        &mut Parser::new(),
        [format!("{event}data:{}\n\n", "x".repeat(left + 1)).as_bytes()],
    )
    .unwrap_err();
    assert_eq!(error, Oversize::Event { limit: 1024 * 1024 });
    assert_eq!(
        error.to_string(),
        "an event of the stream has more data than the limit of 1048576 bytes"
    );
}

#[test]
fn an_endless_line_is_refused_before_it_ends_and_nothing_follows_an_error() {
    let mut parser = Parser::with_limits(Limits { line: 8, event: 100 });
    assert_eq!(parse(&mut parser, [&b"data: a\n\n"[..], b"12345678"]).unwrap().len(), 1);
    let oversize = Err(Oversize::Line { limit: 8 });
    assert_eq!(parse(&mut parser, [&b"9"[..]]), oversize);
    assert_eq!(parse(&mut parser, [&b"\n\ndata: b\n\n"[..]]), oversize);
    assert!(parser.line.capacity() == 0, "what was held is let go");
    parser.reconnect();
    assert_eq!(parse(&mut parser, [&b"data: b\n\n"[..]]).unwrap().len(), 1);
}

#[test]
fn what_is_encoded_is_parsed_back() {
    let new = NewEvent::new(
        crate::Kind::NOTE,
        crate::Name::new("é\"\\ x").unwrap(),
        crate::Timestamp::UNIX_EPOCH,
        crate::Object::new(crate::Json::parse("{\"a\":\r\n[1]}").unwrap()).unwrap(),
    );
    let control = ControlFrame::Hello {
        epoch: Epoch::new(),
        first: Seq::ZERO,
        head: Seq::MAX,
    };
    let mut stream = Vec::new();
    sse::retry(1500, &mut stream);
    stream.extend_from_slice(sse::COMMENT_CONNECTED);
    sse::control(&control, &mut stream);
    for seq in 1..=2 {
        sse::frame_head(Seq::new(seq).unwrap(), &mut stream);
        new.encode_body(&mut stream);
        sse::frame_end(Seq::new(seq).unwrap(), &mut stream);
    }
    stream.extend_from_slice(sse::COMMENT_HEARTBEAT);

    let mut parser = Parser::new();
    let items = parse(&mut parser, [stream.as_slice()]).unwrap();
    assert_eq!(parser.retry(), Some(Duration::from_millis(1500)));
    let [None, Some(hello), Some(one), Some(two), None] = items.as_slice() else {
        panic!("{items:?}");
    };
    assert_eq!(ControlFrame::parse(&hello.0, &hello.1), Some(control));
    assert_eq!(hello.2, "", "a control frame has no id");
    for (seq, (kind, data, id)) in [(1, one), (2, two)] {
        let event = Event::parse(data.as_bytes()).unwrap();
        assert_eq!((kind.as_str(), id.parse()), ("message", Ok(event.seq)));
        assert_eq!((event.seq.get(), event.id, &event.data), (seq, new.id, &new.data));
    }
}

/// Streams made of what matters to the parser, so that odd neighbours are common.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let parts: &[&[u8]] = &[
        b"\n",
        b"\n",
        b"\r",
        b"\r\n",
        b":",
        b" ",
        b"data",
        b"data:",
        b"data: x",
        b"event: e",
        b"id: 1",
        b"id: \0",
        b"id",
        b"retry: 12",
        b"retry",
        b"other: x",
        b"\xef\xbb\xbf",
        b"\xef",
        b"\xbb",
        b"\xe2\x82",
        b"\xac",
        b"\xff",
        b"\0",
    ];
    prop::collection::vec(prop::sample::select(parts), 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn every_split_gives_what_the_letter_of_the_standard_gives(
        stream in streams(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let mut parser = Parser::new();
        let items = parse(&mut parser, cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]])).unwrap();
        prop_assert_eq!((items, parser.last_event_id().to_owned(), parser.retry()), letter::read(&stream));
    }

    #[test]
    fn every_split_gives_the_same_under_tight_limits(stream in streams(), line in 0..20_usize, event in 0..20_usize) {
        let limits = Limits { line, event };
        let mut one = Parser::with_limits(limits);
        let mut each = Parser::with_limits(limits);
        let mut at_once = Vec::new();
        let mut input = stream.as_slice();
        let end = loop {
            match one.next(&mut input) {
                Ok(Some(item)) => at_once.push(format!("{item:?}")),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        let mut by_byte = Vec::new();
        let mut end_by_byte = None;
        'bytes: for byte in stream.chunks(1) {
            let mut byte = byte;
            loop {
                match each.next(&mut byte) {
                    Ok(Some(item)) => by_byte.push(format!("{item:?}")),
                    Ok(None) => break,
                    Err(error) => {
                        end_by_byte = Some(error);
                        break 'bytes;
                    }
                }
            }
            prop_assert!(each.line.len() <= line && each.data.len() <= event + 1);
        }
        prop_assert_eq!((at_once, end), (by_byte, end_by_byte));
    }
}
