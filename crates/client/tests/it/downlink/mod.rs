//! The promises of `Downlink`, each against a server that says exactly what the promise is about. Time stands still and is
//! moved on by hand, so that minutes of waiting cost nothing and nothing depends on how fast the machine is.

mod end;
mod example;
mod failover;
mod orders;
mod polling;
mod said;

use std::{sync::mpsc, time::Duration};

use tokio::time::{Instant, advance};
use turnwire_client::{
    Endpoint,
    downlink::{Builder, Downlink, Handle, Item, State},
};
use turnwire_proto::{EventId, Seq};

const EPOCH: &str = "0199e0a2-7c1e-4b6e-9d0f-2f6f3c1d9a10";
/// Without a `retry:` of a second, so that the server's word is seen to count.
const PREAMBLE: &str = "retry: 2000\n\n: connected\n\n";

/// Keeps tokio's paused clock where it is while nothing can be done: otherwise it would jump to the next deadline while the
/// server is answering.
struct Still {
    _release: mpsc::Sender<()>,
}

fn still() -> Still {
    let (release, held) = mpsc::channel::<()>();
    // Of no use but to be there: the clock does not move by itself while a blocking task runs.
    drop(tokio::task::spawn_blocking(move || held.recv()));
    Still { _release: release }
}

/// Lets the downlink do all that it can with what has come.
async fn settled() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

fn seq(n: u64) -> Seq {
    Seq::new(n).unwrap()
}

fn id(n: u64) -> EventId {
    format!("0199e0a2-7c1e-7b6e-9d0f-{n:012}").parse().unwrap()
}

fn hello(epoch: &str) -> String {
    format!("{PREAMBLE}event: hello\ndata: {{\"epoch\":\"{epoch}\",\"first\":1,\"head\":9}}\n\n")
}

fn sync(n: u64, reason: &str) -> String {
    format!("event: sync\ndata: {{\"reason\":\"{reason}\"}}\nid: {n}\n\n")
}

fn json(n: u64) -> String {
    format!(
        "{{\"seq\":{n},\"id\":\"{}\",\"agent\":\"a\",\"action\":\"message\",\"args\":{{\"content\":\"{n}\"}},\"actor\":\"me\",\
         \"issued\":\"2026-11-20T08:25:00.123Z\",\"expires\":\"2026-11-20T09:25:00.123Z\",\"state\":\"delivered\"}}",
        id(n)
    )
}

fn command(n: u64) -> String {
    format!("event: command\ndata: {}\nid: {n}\n\n", json(n))
}

fn commands(these: impl IntoIterator<Item = u64>) -> String {
    these.into_iter().map(command).collect()
}

fn endpoint(url: &str) -> Endpoint {
    Endpoint::new(url, Some("secret")).unwrap()
}

fn builder(url: &str) -> Builder {
    Downlink::builder(endpoint(url))
}

async fn advance_to(until: Instant) {
    // Tokio's timers round up to a whole millisecond.
    advance(until - Instant::now() + Duration::from_millis(1)).await;
}

/// Waits until it stands as `wanted`, moving the clock on over every wait for the next try.
async fn until(handle: &Handle, wanted: impl Fn(&State) -> bool) -> State {
    let mut states = handle.states();
    loop {
        let state = states.borrow_and_update().clone();
        if wanted(&state) {
            return state;
        }
        if let State::Waiting { until, .. } = state {
            advance_to(until).await;
        }
        states.changed().await.unwrap();
    }
}

async fn until_waiting(handle: &Handle) -> (Duration, String) {
    let waiting = |state: &State| matches!(state, State::Waiting { .. });
    match until(handle, waiting).await {
        State::Waiting { until, why } => (until - Instant::now(), why.to_string()),
        other => panic!("{other:?}"),
    }
}

/// Waits for the wait after this one, or for what comes instead of one.
async fn pass(handle: &Handle) {
    if let State::Waiting { until, .. } = handle.state() {
        let mut states = handle.states();
        states.mark_unchanged();
        advance_to(until).await;
        states.changed().await.unwrap();
    }
}

/// The next item, moving the clock on over every wait for the next try.
async fn next(link: &mut Downlink) -> Option<Item> {
    let handle = link.handle();
    tokio::select! {
        item = link.next() => return item,
        _ = until(&handle, |state| matches!(state, State::Ended { .. })) => {}
    }
    link.next().await
}

/// The places of the next `n` orders.
async fn orders(link: &mut Downlink, n: usize) -> Vec<u64> {
    let mut found = Vec::new();
    while found.len() < n {
        match next(link).await {
            Some(Item::Order(order)) => found.push(order.seq.get()),
            Some(_) => {}
            None => panic!("it ended after {found:?}: {}", link.ended().await),
        }
    }
    found
}

/// The first line of a request.
fn line(request: &str) -> &str {
    request.lines().next().unwrap()
}
