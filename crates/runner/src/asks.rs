//! Approvals that a program waits for: each is waited for at the gateway, and let go when there is no hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use reqwest::Method;
use tokio::{
    task::{AbortHandle, JoinSet},
    time::sleep,
};
use turnwire_client::{Error, filled, publish::Locate};
use turnwire_proto::{
    Name,
    approval::{Approval, State},
    path,
};

use crate::Verdict;

/// How long one request waits for the decision: below what proxies cut.
const WAIT_MS: &str = "25000";
/// The first wait after a failure, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// What the agent is told when nobody decided.
const LATE: &str = "nobody decided in time";

/// One session's.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    waits: JoinSet<(Name, Verdict)>,
    open: BTreeMap<Name, AbortHandle>,
    /// Decided while the session is held.
    ready: Vec<(Name, Verdict)>,
    /// The gateway has a decision of these, so none of the agent's own is told.
    decided: BTreeSet<String>,
}

impl Asks {
    /// Waits for the decision of `id`, as long as the program does.
    pub(crate) fn wait(&mut self, id: Name, locate: Arc<dyn Locate>) {
        if self.open.contains_key(&id) {
            return;
        }
        let wait = self.waits.spawn(decision(id.clone(), locate));
        self.open.insert(id, wait);
    }

    /// The program does not wait for it any more.
    pub(crate) fn gone(&mut self, id: &Name) {
        if let Some(wait) = self.open.remove(id) {
            wait.abort();
        }
        self.ready.retain(|(ready, _)| ready != id);
    }

    /// Nothing is waited for any more.
    pub(crate) fn clear(&mut self) {
        self.waits.abort_all();
        self.open.clear();
        self.ready.clear();
        self.decided.clear();
    }

    /// The next decision. Waits for ever while nothing is asked. Cancel-safe.
    pub(crate) async fn next(&mut self) -> (Name, Verdict) {
        loop {
            match self.waits.join_next().await {
                Some(Ok((id, verdict))) if self.open.remove(&id).is_some() => {
                    self.decided.insert(id.to_string());
                    return (id, verdict);
                }
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Keeps an approval until the release.
    pub(crate) fn keep(&mut self, id: Name, verdict: Verdict) {
        self.ready.push((id, verdict));
    }

    /// What was kept.
    pub(crate) fn kept(&mut self) -> Vec<(Name, Verdict)> {
        std::mem::take(&mut self.ready)
    }

    /// Whether the gateway has decided it.
    pub(crate) fn has_decided(&self, id: &str) -> bool {
        self.decided.contains(id)
    }
}

/// Asks until it is decided. A gateway that is away, or has not the request yet, is asked again.
async fn decision(id: Name, locate: Arc<dyn Locate>) -> (Name, Verdict) {
    let mut backoff = BACKOFF.0;
    loop {
        match ask(&id, &*locate).await {
            Ok(Some(verdict)) => return (id, verdict),
            Ok(None) => backoff = BACKOFF.0,
            Err(why) => {
                tracing::debug!("approval {id}: {why}");
                sleep(backoff).await;
                backoff = (backoff * 2).min(BACKOFF.1);
            }
        }
    }
}

async fn ask(id: &Name, locate: &dyn Locate) -> Result<Option<Verdict>, String> {
    let endpoint = locate.locate()?;
    let request = endpoint
        .stream(Method::GET, &filled(path::APPROVAL, id.as_str()))
        .timeout(Duration::from_secs(40))
        .query(&[("wait_ms", WAIT_MS)]);
    let approval: Approval = endpoint.json(request).await.map_err(|error: Error| error.to_string())?;
    Ok(verdict(approval))
}

fn verdict(approval: Approval) -> Option<Verdict> {
    let denied = |otherwise: &str| Verdict::Denied {
        message: approval.message.clone().unwrap_or_else(|| otherwise.to_owned()),
    };
    match approval.state {
        State::Pending => None,
        State::Approved => Some(Verdict::Approved {
            arguments: approval.updated_arguments,
        }),
        State::Denied => Some(denied("a person said no")),
        State::Expired => Some(denied(LATE)),
        State::Withdrawn => Some(denied("it is not asked any more")),
    }
}
