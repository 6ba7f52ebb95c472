//! What agents print: every adapter keeps its promises (see `turnwire_adapters`) whatever comes.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use turnwire_adapters::{Adapter, Context, Detecting, Spec};
use turnwire_proto::{Kind, NewEvent, Timestamp};

use crate::publish::publishable;

/// Those that pass on what any program says: its sessions and turns are its own.
const PASSING: [&str; 3] = ["lines", "mapped", "native"];

/// Output that one adapter reads.
pub(crate) fn named(spec: &'static Spec, output: &[u8]) {
    let events = read((spec.make)(Context::default()), output);
    if !PASSING.contains(&spec.name) {
        promises_of_agents(output, &events);
    }
}

/// Output whose adapter is found by its first lines.
pub(crate) fn detected(output: &[u8]) {
    read(Box::new(Detecting::new(Context::default())), output);
}

/// What the adapter makes of it, every event of which can be published.
fn read(mut adapter: Box<dyn Adapter>, output: &[u8]) -> Vec<NewEvent> {
    let mut events = Vec::new();
    let mut lines = 0_u64;
    let mut at = Timestamp::UNIX_EPOCH;
    for line in output.split(|b| *b == b'\n') {
        adapter.line(line, at, &mut events);
        lines += 1;
        at = Timestamp::from_millis(at.millis() + 250).expect("a fuzz input is no million years long");
        if lines.is_multiple_of(7) {
            adapter.idle(at, &mut events);
        }
    }
    // A line may be an array of objects, each of which counts.
    assert!(adapter.unknown() <= output.len() as u64 + 1);
    // The exit code that the last byte says, so that an input is all that a finding needs.
    let exit = output.last().map(|byte| i32::from(byte % 3));
    adapter.end(exit, at, &mut events);
    events.iter().for_each(publishable);
    events
}

fn promises_of_agents(output: &[u8], events: &[NewEvent]) {
    let session = events.iter().all(|event| event.session_id.is_some());
    assert!(session, "nothing that a vendor prints is public");
    kept(output, events);
    closed(events, &Kind::TURN_START, &Kind::TURN_END, |event| {
        event.turn_id.as_ref().map(|id| id.as_str().to_owned())
    });
    closed(events, &Kind::TOOL_CALL_START, &Kind::TOOL_CALL, |event| {
        let body: serde_json::Value = event.data.read().ok()?;
        Some(body.get("tool_call_id")?.as_str()?.to_owned())
    });
}

/// What every line says is in the `raw` of an event: alone, or with the lines or beside the items of one value. Line breaks
/// between tokens have become spaces there.
fn kept(output: &[u8], events: &[NewEvent]) {
    let mut all = String::new();
    for raw in events.iter().filter_map(|event| event.raw.as_ref()) {
        for text in [raw.get().to_owned(), raw.read().unwrap_or_default()] {
            all += &text.replace('\r', " ");
            all.push('\n');
        }
    }
    for line in output.split(|b| *b == b'\n') {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_matches(['\u{feff}', ' ', '\t', '\r']);
        let items: Vec<&RawValue> = serde_json::from_str(line).unwrap_or_default();
        let has = |text: &str| all.contains(&text.replace('\r', " "));
        let by_item = !items.is_empty() && items.iter().all(|item| has(item.get()));
        assert!(by_item || has(line), "lost: {line:?}");
    }
}

/// What has begun has ended once.
fn closed(events: &[NewEvent], start: &Kind, end: &Kind, key: impl Fn(&NewEvent) -> Option<String>) {
    let mut open: BTreeMap<Option<String>, i64> = BTreeMap::new();
    for event in events {
        if event.kind == *start {
            *open.entry(key(event)).or_default() += 1;
        } else if event.kind == *end {
            *open.entry(key(event)).or_default() -= 1;
        }
    }
    open.retain(|_, left| *left > 0);
    assert!(open.is_empty(), "{start} without {end}: {open:?}");
}
