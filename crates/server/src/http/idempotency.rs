//! `X-Idempotency-Key`: a request that is sent again under one key is done once, and answered as it was.
//!
//! The answer is kept for a day. Should a server end between writing and keeping it, the events' ids, which are made of the key,
//! keep what is sent again from being written again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::HeaderMap;
use turnwire_proto::{Code, Timestamp, limits};

use super::{App, Refusal, events::Published, ids::Ids};
use crate::auth::{Grant, Publish};

pub(super) const HEADER: &str = "x-idempotency-key";
/// The bucket of answers.
const BUCKET: &str = "idempotency";
/// How long an answer is kept.
const KEPT: Duration = Duration::from_hours(24);

/// Keys whose requests are under way: one that comes meanwhile waits for the first.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl UnderWay {
    fn of<'a>(&'a self, key: &'a str) -> Key<'a> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = map.entry(key.to_owned()).or_default().clone();
        Key { all: self, key, turn }
    }
}

/// One request's interest in a key. When nobody has any, the key is forgotten.
struct Key<'a> {
    all: &'a UnderWay,
    key: &'a str,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Drop for Key<'_> {
    fn drop(&mut self) {
        let mut map = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's and this one.
        if Arc::strong_count(&self.turn) == 2 {
            map.remove(self.key);
        }
    }
}

/// The key that a header has, if it is there.
pub(super) fn key<'a>(headers: &'a HeaderMap, header: &str) -> Result<Option<&'a str>, Refusal> {
    let Some(value) = headers.get(header) else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= limits::NAME => Ok(Some(key)),
        _ => {
            let text = format!("`{header}` has 1 to {} visible characters", limits::NAME);
            Err(Refusal::field(header, text))
        }
    }
}

/// Does `work`, unless its key has an answer already. `work` is given ids for events that have none.
pub(super) async fn once(
    app: &App,
    grant: &Grant<Publish>,
    route: &str,
    key: Option<&str>,
    work: impl AsyncFnOnce(Option<Ids>) -> Result<Published, Refusal>,
) -> Result<Published, Refusal> {
    let Some(given) = key else {
        return work(None).await;
    };
    let mut ids = Ids::of(&["idempotency", grant.principal().id(), route, given]);
    let key = ids.next().to_string();
    let mine = app.under_way().of(&key);
    let _turn = mine.turn.lock().await;
    keep(app, &key, async || work(Some(ids)).await).await
}

async fn keep(
    app: &App,
    key: &str,
    work: impl AsyncFnOnce() -> Result<Published, Refusal>,
) -> Result<Published, Refusal> {
    let kv = app.kv();
    let failed = |error: turnwire_log::StoreError| Refusal::new(Code::StoreUnavailable, error.to_string());
    if let Some(entry) = kv.get(BUCKET, key).await.map_err(failed)?
        && let Ok(published) = serde_json::from_slice(&entry.value)
    {
        return Ok(published);
    }
    let published = work().await?;
    let kept = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
    let expires = Timestamp::from_millis(Timestamp::now().millis().saturating_add(kept));
    let value = serde_json::to_vec(&published).unwrap_or_default();
    // The events are on disk: that their answer is not kept is no reason to say otherwise.
    if let Err(error) = kv.put(BUCKET, key, &value, expires).await {
        tracing::warn!(%error, "an answer could not be kept for its key");
    }
    Ok(published)
}
