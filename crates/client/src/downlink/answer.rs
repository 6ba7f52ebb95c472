//! Answers that hold orders: of a long-poll and of a report. Bounded, and read as leniently as a stream's frames.

use reqwest::Response;
use serde::Deserialize;
use serde_json::value::RawValue;
use turnwire_proto::{Epoch, Seq};

use super::order::{Item, order};
use crate::Error;

/// Bytes of an answer. A server sends one order more than fits 1 MiB at most.
const LIMIT: usize = 2 * 1024 * 1024;

/// What a long-poll or a report was answered with.
#[derive(Debug)]
pub(super) struct Answer {
    /// What to ask with next.
    pub(super) cursor: Option<Seq>,
    /// The log that the cursor is a place in, where the server says it.
    pub(super) epoch: Option<Epoch>,
    /// Oldest first.
    pub(super) items: Vec<Item>,
    /// Another downlink of the same agent was opened since.
    pub(super) replaced: bool,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(default)]
    cursor: Option<Seq>,
    #[serde(default)]
    epoch: Option<Epoch>,
    #[serde(default)]
    commands: Vec<Box<RawValue>>,
    #[serde(default)]
    replaced: bool,
}

impl Answer {
    pub(super) async fn read(response: Response) -> Result<Self, Error> {
        let body = body(response).await?;
        let wire: Wire = serde_json::from_slice(&body).map_err(|error| Error::Answer(error.to_string()))?;
        Ok(Self {
            cursor: wire.cursor,
            epoch: wire.epoch,
            items: wire.commands.iter().map(|json| order(json.get(), None)).collect(),
            replaced: wire.replaced,
        })
    }
}

/// A body, up to the limit.
pub(super) async fn body(mut response: Response) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(Error::Unreachable)? {
        if body.len() + part.len() > LIMIT {
            return Err(Error::Answer(format!("it is longer than the limit of {LIMIT} bytes")));
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}
