//! *Mark, read, wait*: what is committed between a read and the wait behind it is delivered, though nothing comes after it.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::watch;
use turnwire_log::{
    AppendError, Appended, Bounds, Limit, Log, Page, ReadError, Retention, StoreError, Trimmed, feed::Sink,
    memory::MemoryLog,
};
use turnwire_proto::{NewEvent, Selector, Seq};

use crate::world::{World, note, within};

/// A log whose answers to reads with vendors' lines, which no cache has, wait at a gate.
#[derive(Debug)]
struct Gated {
    inner: MemoryLog,
    shut: watch::Sender<bool>,
    waiting: watch::Sender<usize>,
}

#[async_trait]
impl Log for Gated {
    async fn append(&self, batch: &[NewEvent]) -> Result<Appended, AppendError> {
        self.inner.append(batch).await
    }

    async fn read(&self, what: &Selector, after: Seq, limit: Limit) -> Result<Page, ReadError> {
        let page = self.inner.read(what, after, limit).await;
        if what.raw {
            self.waiting.send_modify(|waiting| *waiting += 1);
            let _ = self.shut.subscribe().wait_for(|shut| !shut).await;
        }
        page
    }

    async fn read_back(&self, what: &Selector, before: Seq, limit: Limit) -> Result<Page, ReadError> {
        self.inner.read_back(what, before, limit).await
    }

    async fn tail(&self, what: &Selector) -> Result<watch::Receiver<Seq>, ReadError> {
        self.inner.tail(what).await
    }

    async fn bounds(&self) -> Result<Bounds, ReadError> {
        self.inner.bounds().await
    }

    async fn trim(&self, policy: &Retention) -> Result<Trimmed, StoreError> {
        self.inner.trim(policy).await
    }

    fn feed(&self, sink: Arc<dyn Sink>) -> Option<Seq> {
        self.inner.feed(sink)
    }
}

#[tokio::test]
async fn what_is_committed_while_a_reader_has_read_and_does_not_wait_yet_is_delivered() {
    let gate = Arc::new(Gated {
        inner: MemoryLog::new(),
        shut: watch::Sender::new(true),
        waiting: watch::Sender::new(0),
    });
    // No heartbeat makes a reader look again.
    let calm = |config: &mut turnwire_server::Config| config.limits.heartbeat = Duration::from_secs(3600);
    let world = World::over(calm, |_| Some(gate.clone())).await;
    let mut readers = Vec::new();
    for url in ["/api/events?raw=true", "/api/sessions/a/events?raw=true"] {
        readers.push(world.stream(url).await);
        readers.push(world.stream_of_hyper(url).await);
    }
    let mut witness = world.stream("/api/events").await;
    witness.control("hello").await;
    let all = readers.len();
    within("every reader to have read nothing", async {
        let _ = gate.waiting.subscribe().wait_for(|waiting| *waiting == all).await;
    })
    .await;
    world.publish(&note("a", "between")).await;
    // Who has it was woken, and so all were.
    assert_eq!(witness.event().await["seq"], 1);
    gate.shut.send_replace(false);
    for reader in &mut readers {
        assert_eq!(reader.event().await["data"]["text"], "between");
    }
}
