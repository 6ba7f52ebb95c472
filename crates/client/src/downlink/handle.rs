//! What can be asked and said of a downlink from anywhere: how it stands, acknowledgements, reports, the end.

use std::{fmt, mem, sync::Arc};

use reqwest::{Method, RequestBuilder, Response, Url, header::CONTENT_TYPE};
use serde::Serialize;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use turnwire_proto::{EventId, Json, Name, Object, limits, path};

use super::{
    answer::{self, Answer},
    mirrors::Mirrors,
    order::Item,
    state::{Ended, State},
};
use crate::{Endpoint, Error, filled, reconnect::Backoff};

/// What an agent says of an order.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// It takes it on. Said before it begins: see [`Verdict::Overtaken`].
    Acked,
    /// It is done.
    Done,
    /// It is done, and this came of it.
    DoneWith(Object),
    /// It could not be done, and why. A reason of more than 1 KiB is cut.
    Failed(String),
}

/// What an acknowledgement comes to.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stands, also when it was said before.
    Stands,
    /// Something else became of the order before: it was withdrawn, or it expired. An agent that has not begun must not.
    Overtaken {
        /// What became of it; empty when the server did not say.
        state: String,
    },
}

/// What a downlink's task and its handles share.
pub(super) struct Shared {
    pub(super) mirrors: Mirrors,
    /// Which agent, for a token that may be several.
    pub(super) agent: Option<Name>,
    pub(super) state: watch::Sender<State>,
    /// When something last came.
    pub(super) heard: watch::Sender<Option<Instant>>,
    /// The end is wanted.
    pub(super) closing: watch::Sender<bool>,
}

impl Shared {
    pub(super) fn agent(&self) -> Vec<(&'static str, String)> {
        self.agent.iter().map(|name| ("agent", name.to_string())).collect()
    }

    /// Tells how it stands, where that is another. What has ended stays so, for the first reason.
    pub(super) fn stands(&self, state: State) {
        self.state.send_if_modified(|now| {
            let same = mem::discriminant(now) == mem::discriminant(&state) && !matches!(now, State::Waiting { .. });
            let changes = !same && !matches!(now, State::Ended { .. });
            if changes {
                *now = state;
            }
            changes
        });
    }
}

/// A downlink from the outside. Cheap to clone, and of use in any task, also after the end.
#[derive(Clone)]
pub struct Handle(pub(super) Arc<Shared>);

impl Handle {
    /// How it stands.
    #[must_use]
    pub fn state(&self) -> State {
        self.0.state.borrow().clone()
    }

    /// How it stands, with every change. A reader that is slow sees the newest state only.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<State> {
        self.0.state.subscribe()
    }

    /// When something last came from the server, heartbeats included. Changes with everything that comes.
    #[must_use]
    pub fn heard(&self) -> watch::Receiver<Option<Instant>> {
        self.0.heard.subscribe()
    }

    /// The address that is asked now.
    #[must_use]
    pub fn url(&self) -> Url {
        self.0.mirrors.current().1.url()
    }

    /// Ends the downlink: at once, for good, and however often it is called. Orders that have not been given out yet come
    /// again to the agent's next one.
    pub fn close(&self) {
        self.0.closing.send_replace(true);
    }

    /// Waits for the end. Cancel-safe.
    pub async fn ended(&self) -> Ended {
        let mut states = self.0.state.subscribe();
        loop {
            if let State::Ended { why } = &*states.borrow_and_update() {
                return why.clone();
            }
            if states.changed().await.is_err() {
                // The sender lives in what this handle holds.
                return Ended::Closed;
            }
        }
    }

    /// Says what becomes of an order. While the server cannot be reached it is said again, after growing waits, for as long
    /// as the downlink lives (once more is harmless: said twice, it is once); after its end it is tried once. Cancel-safe.
    ///
    /// # Errors
    /// What saying it again does not mend.
    pub async fn ack(&self, id: EventId, said: Said) -> Result<Verdict, Error> {
        let (path, body) = (filled(path::DOWNLINK_COMMAND, &id.to_string()), said.json());
        let mut backoff = Backoff::default();
        loop {
            let error = match self.post(&path, &body).await {
                Ok(response) => match answer::body(response).await {
                    Ok(_) => return Ok(Verdict::Stands),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if error.refused().is_some_and(|refused| refused.status == 409) {
                return Ok(overtaken(&error));
            }
            if !error.retry() {
                return Err(error);
            }
            let wait = backoff.wait(error.refused().and_then(|refused| refused.retry_after));
            tokio::select! {
                // Both are cancel-safe.
                () = sleep(wait) => {}
                _ = self.ended() => return Err(error),
            }
        }
    }

    /// Reports all of the agent (`version`, `capabilities`, `model`, `state`, `login`, `sessions`: what is left out is not known
    /// any more), and hears of every order that has not come to its end, acknowledged ones among them: what an agent that was
    /// started again may have left. They come beside those of [`Downlink::next`](super::Downlink::next), not instead of them.
    /// Asked once.
    ///
    /// # Errors
    /// As [`Endpoint::send`], and [`Error::Answer`].
    pub async fn sync<R: Serialize + ?Sized>(&self, report: &R) -> Result<Vec<Item>, Error> {
        let report = Json::of(report);
        let response = self.post(path::DOWNLINK_SYNC, report.get()).await?;
        Ok(Answer::read(response).await?.items)
    }

    async fn post(&self, path: &str, json: &str) -> Result<Response, Error> {
        let (_, endpoint) = self.0.mirrors.current();
        endpoint.refresh()?;
        endpoint.send(self.request(&endpoint, path, json)).await
    }

    fn request(&self, endpoint: &Endpoint, path: &str, json: &str) -> RequestBuilder {
        endpoint
            .request(Method::POST, path)
            .query(&self.0.agent())
            .header(CONTENT_TYPE, "application/json")
            .body(json.to_owned())
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("mirrors", &self.0.mirrors)
            .field("agent", &self.0.agent)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl Said {
    fn json(&self) -> String {
        #[derive(Serialize)]
        struct Body<'a> {
            state: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            result: Option<&'a Object>,
        }
        let (state, reason, result) = match self {
            Self::Acked => ("acked", None, None),
            Self::Done => ("done", None, None),
            Self::DoneWith(result) => ("done", None, Some(result)),
            Self::Failed(reason) => (
                "failed",
                Some(&reason[..reason.floor_char_boundary(limits::REASON)]),
                None,
            ),
        };
        Json::of(&Body { state, reason, result }).get().to_owned()
    }
}

fn overtaken(error: &Error) -> Verdict {
    let state = error
        .reply()
        .and_then(|reply| reply.error.details.get("state")?.as_str());
    Verdict::Overtaken {
        state: state.unwrap_or_default().to_owned(),
    }
}
