//! What the recordings have not: failures, retries, subagents, withdrawn questions, as the vendors' schemas have them.

mod claude;
mod driven;
mod others;

use serde_json::Value;
use turnwire_adapters::{Adapter, Context, by_name};
use turnwire_proto::{NewEvent, Timestamp};

use crate::recordings::run;

/// Feeds lines a second apart, all of one session, and the end.
pub(crate) fn events(
    adapter: &str,
    context: Context,
    lines: &[Value],
    exit: Option<i32>,
) -> (Vec<NewEvent>, Box<dyn Adapter>) {
    let mut adapter = (by_name(adapter).unwrap().make)(context);
    let lines: Vec<Vec<u8>> = lines.iter().map(|line| line.to_string().into_bytes()).collect();
    let at = |n: usize| Timestamp::from_millis(1_795_165_200_000 + i64::try_from(n).unwrap() * 1000).unwrap();
    let timed: Vec<_> = lines.iter().enumerate().map(|(n, line)| (&**line, at(n))).collect();
    let events = run(&mut *adapter, &timed, exit);
    (events, adapter)
}

/// The events as `kind: body`.
pub(crate) fn story(adapter: &str, lines: &[Value], exit: i32) -> Vec<(String, Value)> {
    let (events, adapter) = events(adapter, Context::default(), lines, Some(exit));
    assert_eq!(adapter.unknown(), 0, "all of it is understood");
    let pair = |event: &NewEvent| (event.kind.as_str().to_owned(), event.data.read().unwrap());
    events.iter().map(pair).collect()
}

pub(crate) fn kinds(story: &[(String, Value)]) -> Vec<&str> {
    story.iter().map(|(kind, _)| kind.as_str()).collect()
}

/// The bodies of a kind.
pub(crate) fn of<'a>(story: &'a [(String, Value)], kind: &str) -> Vec<&'a Value> {
    story
        .iter()
        .filter(|(is, _)| is == kind)
        .map(|(_, body)| body)
        .collect()
}
