//! Reading a log to its end, with every promise about a single page checked on the way.

use turnwire_proto::{Event, NewEvent, Selector, Seq};

use super::event::notes;
use crate::{Appended, Limit, Log, Page};

/// An event at its place, as a reader gets it: its whole frame.
pub(super) type Frame = (Seq, String);

/// Appends what nothing can stand against.
pub(super) async fn append(log: &dyn Log, batch: &[NewEvent]) -> Appended {
    log.append(batch).await.expect("the store takes a plain batch")
}

/// Appends so many notes in one batch and gives them back at their places.
pub(super) async fn fill(log: &dyn Log, count: usize) -> Vec<(Seq, NewEvent)> {
    let events = notes(0..count);
    append(log, &events).await;
    places(log, &events).await
}

/// Where events stand that are all that the log holds.
pub(super) async fn places(log: &dyn Log, events: &[NewEvent]) -> Vec<(Seq, NewEvent)> {
    let all = forward(log, &Selector::all(), Seq::ZERO, Limit::RUN).await;
    let ids: Vec<_> = all.iter().map(|frame| parse(frame).id).collect();
    assert_eq!(
        ids,
        events.iter().map(|event| event.id).collect::<Vec<_>>(),
        "all events, in the order of the appends"
    );
    all.into_iter()
        .map(|(seq, _)| seq)
        .zip(events.iter().cloned())
        .collect()
}

/// The frame that readers of `what` are to get. Not made by [`crate::PageBuilder`], so that it is looked at, too.
pub(super) fn frame(seq: Seq, event: &NewEvent, what: &Selector) -> Frame {
    let raw = event.raw.clone().filter(|_| what.raw);
    let mut line = Vec::new();
    NewEvent { raw, ..event.clone() }.encode_line(&mut line);
    let line = String::from_utf8(line).expect("JSON is UTF-8");
    let rest = line.strip_prefix('{').expect("an event is an object");
    (seq, format!("data: {{\"seq\":{seq},{rest}\nid: {seq}\n\n"))
}

/// The frames that readers of `what` are to get of `events`.
pub(super) fn select<'a>(events: impl IntoIterator<Item = (&'a Seq, &'a NewEvent)>, what: &Selector) -> Vec<Frame> {
    let selected = events.into_iter().filter(|(_, event)| what.selects(&event.subject()));
    selected.map(|(seq, event)| frame(*seq, event, what)).collect()
}

pub(super) fn parse((seq, frame): &Frame) -> Event {
    let event = Event::parse(turnwire_proto::sse::json_of(frame.as_bytes())).expect("a frame holds an event");
    assert_eq!(event.seq, *seq, "the frame tells the place of its mark");
    event
}

pub(super) fn ids(frames: &[Frame]) -> Vec<turnwire_proto::EventId> {
    frames.iter().map(|frame| parse(frame).id).collect()
}

/// All of what `what` selects.
pub(super) async fn all(log: &dyn Log, what: &Selector) -> Vec<Frame> {
    forward(log, what, Seq::ZERO, Limit::RUN).await
}

/// All of what `what` selects after `after`. Nobody may be writing.
pub(super) async fn forward(log: &dyn Log, what: &Selector, mut after: Seq, limit: Limit) -> Vec<Frame> {
    let head = bounds(log).await.head;
    let mut frames = Vec::new();
    while after < head {
        let page = read(log, what, after, limit).await;
        assert!(
            page.cursor > after,
            "a page before the head makes progress: {after} of {head}"
        );
        frames.extend(page_frames(&page));
        after = page.cursor;
    }
    frames
}

/// The same by going back before `before`.
pub(super) async fn backward(log: &dyn Log, what: &Selector, mut before: Seq, limit: Limit) -> Vec<Frame> {
    let first = bounds(log).await.first;
    let mut frames = Vec::new();
    while before > first {
        let page = read_back(log, what, before, limit).await;
        frames.splice(0..0, page_frames(&page));
        before = page.cursor;
    }
    frames
}

pub(super) async fn bounds(log: &dyn Log) -> crate::Bounds {
    let bounds = log.bounds().await.expect("the store knows its bounds");
    assert!(bounds.first >= Seq::ZERO.next(), "the first place is 1");
    assert!(
        bounds.first <= bounds.head.next(),
        "at most the next place is the first kept one: {bounds:?}"
    );
    assert!(
        bounds.first_delta >= bounds.first,
        "no delta is kept before the first event: {bounds:?}"
    );
    bounds
}

/// One page, with its promises.
pub(super) async fn read(log: &dyn Log, what: &Selector, after: Seq, limit: Limit) -> Page {
    let page = log.read(what, after, limit).await.expect("the store can be read");
    let before_last = page.marks.iter().rev().nth(1).map_or(0, |mark| mark.end as usize);
    well_formed(&page, limit, before_last);
    assert!(
        page.marks.first().is_none_or(|mark| mark.seq > after),
        "nothing up to {after} comes again"
    );
    assert!(
        page.marks.last().is_none_or(|mark| mark.seq <= page.cursor),
        "the cursor is not before the last event"
    );
    assert!(
        page.cursor >= after,
        "the cursor does not go back from {after} to {}",
        page.cursor
    );
    page
}

/// One page read backwards, with its promises.
pub(super) async fn read_back(log: &dyn Log, what: &Selector, before: Seq, limit: Limit) -> Page {
    let page = log.read_back(what, before, limit).await.expect("the store can be read");
    let before_last = page.run.len() - page.marks.first().map_or(0, |mark| mark.end as usize);
    well_formed(&page, limit, before_last);
    assert!(
        page.marks.last().is_none_or(|mark| mark.seq < before),
        "nothing from {before} on comes again"
    );
    assert!(
        page.marks.first().is_none_or(|mark| mark.seq >= page.cursor),
        "the cursor is not behind the first event"
    );
    assert!(
        page.cursor <= before,
        "the cursor does not go forward from {before} to {}",
        page.cursor
    );
    assert!(
        before <= page.first || page.cursor < before,
        "a page behind the first place makes progress: {before}"
    );
    page
}

/// `before_last`: how many bytes the page had when its last event was put into it.
fn well_formed(page: &Page, limit: Limit, before_last: usize) {
    assert!(
        page.marks.is_sorted_by(|a, b| a.seq < b.seq && a.end < b.end),
        "places and ends rise: {:?}",
        page.marks
    );
    assert_eq!(
        page.marks.last().map_or(0, |mark| mark.end as usize),
        page.run.len(),
        "the marks cover the run"
    );
    assert!(
        page.len() <= limit.events.max(1),
        "{} events where {} were asked for",
        page.len(),
        limit.events
    );
    assert!(
        page.len() <= 1 || before_last < limit.bytes,
        "the byte bound ends the page: {before_last} bytes"
    );
    assert!(page.first >= Seq::ZERO.next(), "a page tells the first kept place");
    assert!(
        page.first_delta >= page.first,
        "no delta is kept before the first event"
    );
    // Of the same moment as its events: else a reader would not be told of what went between the two.
    assert!(
        page.marks.first().is_none_or(|mark| mark.seq >= page.first),
        "nothing before {} is kept",
        page.first
    );
}

pub(super) fn page_frames(page: &Page) -> Vec<Frame> {
    let text = |frame: &[u8]| String::from_utf8(frame.to_vec()).expect("a frame is UTF-8");
    page.frames().map(|(seq, frame)| (seq, text(frame))).collect()
}
