//! The task of a downlink: a stream, or a long-poll where streams do not get through, one after the other and never both, on one
//! cursor. So orders come in their order, and changing over loses none and repeats none.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use reqwest::{Method, Response, header};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use turnwire_proto::{ControlFrame, Epoch, Seq, path, sse};

use super::{
    answer::Answer,
    handle::Shared,
    health::Health,
    mirrors::is_of_the_way,
    order::{self, Item},
    seen::Seen,
    state::{Ended, State},
};
use crate::{Endpoint, Error, reconnect::Backoff, stream};

/// So often a token is refused before a person has to sign in: a server that is starting may not know it yet.
const SIGN_INS: u32 = 3;

/// What a server is asked to wait at most: below what proxies commonly allow, and with 15 s for the answer in 40 s of liveness.
const LONGEST_POLL: Duration = Duration::from_secs(25);

/// Where an agent is among its orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Everything up to here is known.
    pub(super) after: Option<Seq>,
    /// The log that `after` is a place in, where it is known.
    pub(super) epoch: Option<Epoch>,
}

/// See the module.
pub(super) struct Link {
    shared: Arc<Shared>,
    items: mpsc::Sender<(Item, Place)>,
    place: Place,
    /// Silence after which a connection is dead, and what an opening may take.
    liveness: Duration,
    seen: Seen,
    health: Health,
    backoff: Backoff,
    /// Refusals of the token in a row.
    unauthorized: u32,
}

/// What becomes of the downlink when a connection is over.
enum Next {
    /// Another one at once.
    Go,
    /// Another one later.
    Wait { why: String, told: Option<Duration> },
    /// None.
    End(Ended),
}

/// What a frame comes to.
enum Frame {
    Item(Item),
    Epoch(Epoch),
    Bye {
        reason: String,
        retry: Option<Duration>,
    },
    /// A heartbeat, a place, or what a newer server sends.
    Nothing,
}

type Asking<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

impl Link {
    pub(super) fn new(
        shared: Arc<Shared>,
        items: mpsc::Sender<(Item, Place)>,
        place: Place,
        liveness: Duration,
        poll_for: Duration,
    ) -> Self {
        Self {
            shared,
            items,
            place,
            liveness,
            seen: Seen::default(),
            // At 40 s of liveness 5 s: heartbeats come every 15 s.
            health: Health::new(liveness / 8, poll_for),
            backoff: Backoff::default(),
            unauthorized: 0,
        }
    }

    pub(super) async fn run(mut self) -> Ended {
        loop {
            let next = if self.health.polls(Instant::now()) {
                self.poll().await
            } else {
                self.stream().await
            };
            match next {
                Next::Go => {}
                Next::Wait { why, told } => {
                    let until = Instant::now() + self.backoff.wait(told);
                    let why = why.into();
                    self.shared.stands(State::Waiting { until, why });
                    sleep_until(until).await;
                }
                Next::End(ended) => return ended,
            }
        }
    }

    async fn stream(&mut self) -> Next {
        self.shared.stands(State::Connecting);
        let pairs = self.pairs();
        let open = move |endpoint| -> Asking<Response> {
            let pairs = pairs.clone();
            Box::pin(async move { stream::open(endpoint, path::DOWNLINK, &pairs).await })
        };
        match self.ask(open).await {
            Ok(response) => {
                self.shared.stands(State::Connected);
                self.read(response).await
            }
            Err(error) if is_held_back(&error) => self.came_to_nothing(error),
            Err(error) => self.lost(error),
        }
    }

    /// Reads a stream to its end.
    async fn read(&mut self, mut response: Response) -> Next {
        let opened = Instant::now();
        let (mut parser, mut epoch, mut healthy) = (sse::Parser::new(), None, false);
        let error = loop {
            let chunk = match timeout(self.liveness, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => break Error::Ended,
                Ok(Err(error)) => break Error::Unreachable(error),
                Err(_) => break Error::Silent(self.liveness),
            };
            self.shared.heard.send_replace(Some(Instant::now()));
            if self.health.came(opened.elapsed()) {
                healthy = true;
                self.backoff.healthy();
            }
            match self.take(&chunk, &mut parser, &mut epoch).await {
                Ok(None) => {}
                Ok(Some(next)) => return next,
                Err(error) => break error,
            }
        };
        // One that was cut after a while got through; one that is silent or cannot be read does not any more.
        if healthy && matches!(error, Error::Ended | Error::Unreachable(_)) {
            self.lost(error)
        } else {
            self.came_to_nothing(error)
        }
    }

    /// What follows a stream that did not get through.
    fn came_to_nothing(&mut self, error: Error) -> Next {
        self.health.unhealthy(Instant::now());
        match self.lost(error) {
            // The other way is open.
            Next::Wait { told: None, .. } if self.health.polls(Instant::now()) => Next::Go,
            next => next,
        }
    }

    /// Takes the frames that a piece of the stream completes, until one ends the stream.
    async fn take(
        &mut self,
        mut chunk: &[u8],
        parser: &mut sse::Parser,
        epoch: &mut Option<Epoch>,
    ) -> Result<Option<Next>, Error> {
        while let Some(item) = parser.next(&mut chunk)? {
            match frame(&item) {
                Frame::Item(item) => {
                    self.stand(parser, *epoch);
                    if let Err(next) = self.give(item, self.place).await {
                        return Ok(Some(next));
                    }
                }
                Frame::Epoch(told) => *epoch = Some(told),
                Frame::Bye { reason, retry } => {
                    self.backoff.base(parser.retry());
                    return Ok(Some(self.dismissed(reason, retry)));
                }
                Frame::Nothing => self.stand(parser, *epoch),
            }
        }
        self.backoff.base(parser.retry());
        Ok(None)
    }

    /// Moves to where the stream says that it is: all before has come.
    fn stand(&mut self, parser: &sse::Parser, epoch: Option<Epoch>) {
        // What is no place is no server's of ours, and moves nothing.
        if let Ok(after) = parser.last_event_id().parse() {
            self.place = Place {
                after: Some(after),
                epoch: epoch.or(self.place.epoch),
            };
        }
    }

    /// Gives out what is new. Waits for whoever takes it: then the server's orders wait in the log.
    async fn give(&mut self, item: Item, place: Place) -> Result<(), Next> {
        if let Item::Order(order) = &item
            && !self.seen.is_new(order.id)
        {
            return Ok(());
        }
        let given = self.items.send((item, place)).await;
        given.map_err(|_| Next::End(Ended::Closed))
    }

    /// Long-polls until it fails, or until a stream is to be tried again.
    async fn poll(&mut self) -> Next {
        self.shared.stands(State::Polling);
        let wait = LONGEST_POLL.min(self.liveness / 8 * 5);
        while self.health.polls(Instant::now()) {
            let (asked, pairs) = (Instant::now(), self.pairs());
            let ask = move |endpoint| -> Asking<Answer> { Box::pin(wake(endpoint, pairs.clone(), wait)) };
            let answer = match self.ask(ask).await {
                Ok(answer) => answer,
                Err(error) => return self.lost(error),
            };
            self.shared.heard.send_replace(Some(Instant::now()));
            if answer.replaced {
                return Next::End(Ended::Replaced);
            }
            match self.answered(answer).await {
                Ok(true) => self.backoff.healthy(),
                Ok(false) if asked.elapsed() >= wait / 2 => self.backoff.healthy(),
                // It must not be asked in a loop.
                Ok(false) => {
                    let why = "the server answered a wait at once, with nothing new".to_owned();
                    return Next::Wait { why, told: None };
                }
                Err(next) => return next,
            }
        }
        Next::Go
    }

    /// Takes what a long-poll brought; whether anything.
    async fn answered(&mut self, answer: Answer) -> Result<bool, Next> {
        // Where the server does not say which log it is, only a cursor that has not moved is of the one that was known.
        let known = self.place.epoch.filter(|_| answer.cursor == self.place.after);
        let epoch = answer.epoch.or(known);
        if let (Some(before), Some(now)) = (self.place.epoch, answer.epoch)
            && before != now
        {
            // Another log: what is open there comes, and what this agent has told the other one is not known there.
            let reason = "cursor_unknown".to_owned();
            self.place = Place::default();
            self.give(Item::Sync { reason }, self.place).await?;
        }
        let mut any = answer.cursor.is_some_and(|cursor| self.place.after != Some(cursor));
        for item in answer.items {
            if let Item::Order(order) = &item {
                any |= !self.seen.has(order.id);
                if order.seq > Seq::ZERO {
                    self.place = Place {
                        after: Some(order.seq),
                        epoch,
                    };
                }
            }
            self.give(item, self.place).await?;
        }
        if let Some(cursor) = answer.cursor {
            self.place = Place {
                after: Some(cursor),
                epoch,
            };
        }
        Ok(any)
    }

    fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = self.shared.agent();
        if let Some(after) = self.place.after {
            pairs.push(("after", after.to_string()));
            pairs.extend(self.place.epoch.map(|epoch| ("epoch", epoch.to_string())));
        }
        pairs
    }

    /// Asks one mirror after the other, each at most once, until one can be reached. The last error is the first one's: whose
    /// turn it is again.
    async fn ask<T>(&mut self, what: impl Fn(Endpoint) -> Asking<T> + Send) -> Result<T, Error> {
        let mut first = None;
        for _ in 0..self.shared.mirrors.len() {
            let (turn, endpoint) = self.shared.mirrors.current();
            let answer = timeout(self.liveness, what(endpoint)).await;
            match answer.unwrap_or(Err(Error::Silent(self.liveness))) {
                Err(error) if is_of_the_way(&error) => {
                    self.shared.mirrors.failed(turn);
                    first.get_or_insert(error);
                }
                Err(error) => return Err(error),
                Ok(answer) => {
                    self.unauthorized = 0;
                    return Ok(answer);
                }
            }
        }
        Err(first.unwrap_or(Error::Ended))
    }

    /// What follows an error.
    fn lost(&mut self, error: Error) -> Next {
        let (why, refused) = (error.to_string(), error.refused());
        let told = refused.and_then(|refused| refused.retry_after);
        match refused {
            Some(refused) if refused.status == 401 => {
                self.unauthorized += 1;
                if self.unauthorized >= SIGN_INS {
                    return Next::End(Ended::Unauthorized(Arc::new(error)));
                }
            }
            Some(refused) if matches!(refused.status, 403 | 410) => {
                return Next::End(Ended::Revoked(Arc::new(error)));
            }
            // A server's own word that nothing mends. What answers in another way (a sign-in page of a network, a proxy while the
            // server is away) goes away by itself.
            Some(refused) if refused.reply.is_some() && !refused.retry() => {
                return Next::End(Ended::Refused(Arc::new(error)));
            }
            _ => {}
        }
        Next::Wait { why, told }
    }

    /// What follows the server's farewell.
    fn dismissed(&mut self, reason: String, retry: Option<Duration>) -> Next {
        // It said so itself, so it got through.
        self.backoff.healthy();
        if let Some(retry) = retry {
            let why = format!("the server ended the stream ({reason})");
            return Next::Wait { why, told: Some(retry) };
        }
        Next::End(match reason.as_str() {
            "replaced" => Ended::Replaced,
            "token_expired" | "token_revoked" => Ended::Revoked(Arc::new(Error::Dismissed(reason))),
            _ => Ended::Refused(Arc::new(Error::Dismissed(reason))),
        })
    }
}

fn frame(item: &sse::Item<'_>) -> Frame {
    let sse::Item::Message(message) = item else {
        return Frame::Nothing;
    };
    match message.kind {
        "command" => Frame::Item(order::order(message.data, message.last_event_id.parse().ok())),
        "sync" => Frame::Item(order::sync(message.data)),
        kind => match ControlFrame::parse(kind, message.data) {
            Some(ControlFrame::Hello { epoch, .. }) => Frame::Epoch(epoch),
            Some(ControlFrame::Bye { reason, retry_ms }) => Frame::Bye {
                reason,
                retry: retry_ms.map(Duration::from_millis),
            },
            _ => Frame::Nothing,
        },
    }
}

/// One long-poll. It is answered within `wait`.
async fn wake(endpoint: Endpoint, mut pairs: Vec<(&'static str, String)>, wait: Duration) -> Result<Answer, Error> {
    endpoint.refresh()?;
    pairs.push(("wait_ms", wait.as_millis().to_string()));
    let request = endpoint
        .stream(Method::GET, path::DOWNLINK_WAKE)
        .query(&pairs)
        .header(header::CACHE_CONTROL, "no-store");
    Answer::read(endpoint.send(request).await?).await
}

/// Whether it is what a network that lets no streams through does: something answered, or took the request, and no stream came.
fn is_held_back(error: &Error) -> bool {
    match error {
        Error::Unreachable(error) => !error.is_connect(),
        Error::Refused(refused) => matches!(refused.status, 408 | 504),
        Error::Silent(_) | Error::NotAStream(_) | Error::Oversize(_) | Error::Ended => true,
        _ => false,
    }
}
