//! What the log decides when somebody else's decision comes between the inbox's look and its write.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::watch;
use turnwire_log::{
    AppendError, Appended, Bounds, Limit, Log, Page, ReadError, Retention, StoreError, Trimmed, memory::MemoryLog,
};
use turnwire_proto::{
    ApprovalDecision, ApprovalRequest, Code, Kind, NewEvent, Object, Selector, Seq, Timestamp, approval::State,
};

use super::name;
use crate::{
    control::inbox::{Inbox, Wanted},
    observe::Metrics,
    views::Views,
};

/// A log in which another writer is first, once.
struct Overtaken {
    inner: MemoryLog,
    first: Mutex<Option<NewEvent>>,
}

#[async_trait]
impl Log for Overtaken {
    async fn append(&self, batch: &[NewEvent]) -> Result<Appended, AppendError> {
        let first = self.first.lock().unwrap().take();
        if let Some(first) = first {
            self.inner.append(&[first]).await?;
        }
        self.inner.append(batch).await
    }

    async fn read(&self, what: &Selector, after: Seq, limit: Limit) -> Result<Page, ReadError> {
        self.inner.read(what, after, limit).await
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
}

#[tokio::test]
async fn a_decision_that_is_overtaken_between_look_and_write_does_not_count_and_is_told_who_won() {
    let dir = tempfile::tempdir().unwrap();
    let at = Timestamp::from_millis(1_000_000).unwrap();
    let event = |kind, data| NewEvent::new(kind, name("test"), at, data).in_session(name("s"));
    let elsewhere = ApprovalDecision {
        approval_id: "r".into(),
        decision: "denied".into(),
        by: Some("terminal".into()),
        ..ApprovalDecision::default()
    };
    let inner = MemoryLog::new();
    let asked = ApprovalRequest {
        approval_id: "r".into(),
        tool: "Bash".into(),
        ..ApprovalRequest::default()
    };
    inner
        .append(&[event(Kind::APPROVAL_REQUEST, Object::of(&asked))])
        .await
        .unwrap();
    let log: Arc<dyn Log> = Arc::new(Overtaken {
        inner,
        first: Mutex::new(Some(event(Kind::APPROVAL_DECISION, Object::of(&elsewhere)))),
    });
    let (bounds, tail) = (log.bounds().await.unwrap(), log.tail(&Selector::all()).await.unwrap());
    let (views, _folding) = Views::open(dir.path(), log.clone(), bounds.epoch, tail).unwrap();
    let wait = std::time::Duration::from_secs(60);
    let mut inbox = Inbox::new(log.clone(), views, Arc::<Metrics>::default(), wait);
    let wanted = Wanted {
        state: State::Approved,
        by: "phone".into(),
        message: None,
        arguments: None,
        always: false,
    };
    for _ in 0..2 {
        let decided = inbox
            .decide(vec![name("r")], |_| true, wanted.clone(), at)
            .await
            .unwrap();
        let refusal = decided[0].as_ref().unwrap_err();
        assert_eq!(refusal.code(), Code::Conflict);
        let error = refusal.clone().into_reply().error;
        assert_eq!(error.details["approval"]["by"], "terminal");
        assert_eq!(error.details["approval"]["state"], "denied");
    }
    assert_eq!(
        log.bounds().await.unwrap().head.get(),
        3,
        "the second try wrote nothing"
    );
}
