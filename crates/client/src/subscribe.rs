//! Reads a server's events and never misses one: when the connection ends, it comes back to the place where it was.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use bytes::{Buf, Bytes};
use reqwest::Response;
use tokio::time::{Instant, sleep_until, timeout_at};
use turnwire_proto::{ControlFrame, Epoch, Event, GapReason, Kind, Name, Seq, limits, path, sse};

use crate::{
    Endpoint, Error,
    position::{Position, Verdict},
    reconnect::Backoff,
    stream,
};

/// Silence after which a connection is dead: two heartbeats (15 s each) lost, and some.
const LIVENESS: Duration = Duration::from_secs(40);
/// What is left of silence for a caller that did not ask for so long that the time has passed: what has come meanwhile may
/// still have to be handed over by the HTTP client.
const GRACE: Duration = Duration::from_secs(1);
/// Bytes of an event's JSON beside its body and raw line: four names of 256 bytes, each at most doubled by escapes, and
/// 300 bytes of ids and keys; with room for fields that a newer server adds.
const HEAD: usize = 16 * 1024;
/// A server's own events must be readable, up to the largest that it takes; one is one line of data.
const LIMITS: sse::Limits = sse::Limits {
    line: limits::EVENT + HEAD,
    event: limits::EVENT + HEAD,
};

/// What to read. The default: everything that may be seen, live from now on.
#[derive(Clone, Debug)]
pub struct Query {
    /// Everything after this place; from now on when neither this nor `tail` is set.
    pub after: Option<Seq>,
    /// The newest so many events first. Of no effect beside `after`.
    pub tail: Option<u64>,
    /// The log that `after` is a place in, where it is known.
    pub epoch: Option<Epoch>,
    /// Just this session.
    pub session: Option<Name>,
    /// Just these agents; any when empty, as for the other lists.
    pub agents: Vec<Name>,
    /// Just these kinds.
    pub kinds: Vec<Kind>,
    /// Just these sources.
    pub sources: Vec<Name>,
    /// Whether deltas are wanted.
    pub deltas: bool,
    /// Whether the vendors' lines are wanted.
    pub raw: bool,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            after: None,
            tail: None,
            epoch: None,
            session: None,
            agents: Vec::new(),
            kinds: Vec::new(),
            sources: Vec::new(),
            deltas: true,
            raw: false,
        }
    }
}

impl Query {
    fn pairs(&self, position: &Position) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        if let Some(after) = position.after() {
            pairs.push(("after", after.to_string()));
            pairs.extend(position.epoch().map(|epoch| ("epoch", epoch.to_string())));
        } else {
            pairs.extend(self.tail.map(|tail| ("tail", tail.to_string())));
        }
        pairs.extend(self.session.iter().map(|name| ("session_id", name.to_string())));
        pairs.extend(self.agents.iter().map(|name| ("agent", name.to_string())));
        pairs.extend(self.kinds.iter().map(|kind| ("type", kind.to_string())));
        pairs.extend(self.sources.iter().map(|name| ("source", name.to_string())));
        if !self.deltas {
            pairs.push(("deltas", "false".into()));
        }
        if self.raw {
            pairs.push(("raw", "true".into()));
        }
        pairs
    }
}

/// What a [`Subscriber`] has to say.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// The server has answered; its `Hello` follows.
    Connected,
    /// The stream has begun.
    Hello {
        /// The log's identity.
        epoch: Epoch,
        /// The first place that is kept.
        first: Seq,
        /// The newest place.
        head: Seq,
    },
    /// An event, and its JSON as it came.
    Event(Event, String),
    /// Nothing that is after `after` and before `next` will come (for [`GapReason::DeltasTrimmed`]: no deltas).
    Gap {
        /// The last place that is known …
        after: Seq,
        /// … and the next one that can be.
        next: Seq,
        /// Why.
        reason: GapReason,
    },
    /// The server ends the stream.
    Bye {
        /// Why.
        reason: String,
        /// When to come back; never when absent, and then an error follows.
        retry_ms: Option<u64>,
    },
    /// The stream is lost; it will be opened again by itself.
    Reconnecting {
        /// After this long.
        wait: Duration,
        /// Why it was lost.
        why: String,
    },
}

/// A reader of one server's events. Its whole state is a place in the log, so it can be behind, but it cannot lose.
pub struct Subscriber {
    endpoint: Endpoint,
    query: Query,
    liveness: Duration,
    position: Position,
    backoff: Backoff,
    parser: sse::Parser,
    state: State,
    /// What the last step gave beside its item, to be given next.
    held: Option<Result<Item, Error>>,
}

type Opening = Pin<Box<dyn Future<Output = Result<Response, Error>> + Send>>;

/// Everything that a call to [`Subscriber::next`] awaits is kept here, so that a dropped call loses nothing.
enum State {
    Waiting(Instant),
    Opening(Opening, Instant),
    Reading(Box<Reading>),
}

struct Reading {
    response: Response,
    /// What has come and is not parsed yet.
    chunk: Bytes,
    deadline: Instant,
    /// The deadline has passed while nobody asked, and has been moved once.
    graced: bool,
}

impl Subscriber {
    /// A reader that opens its stream at the first call of [`Subscriber::next`].
    #[must_use]
    pub fn new(endpoint: Endpoint, query: Query) -> Self {
        Self {
            endpoint,
            liveness: LIVENESS,
            position: Position::new(query.after, query.epoch, query.tail.is_some()),
            query,
            backoff: Backoff::default(),
            parser: sse::Parser::with_limits(LIMITS),
            state: State::Waiting(Instant::now()),
            held: None,
        }
    }

    /// The same, but a connection is dead after this much silence instead of 40 s.
    #[must_use]
    pub const fn with_liveness(mut self, silence: Duration) -> Self {
        self.liveness = silence;
        self
    }

    /// The place up to which everything has been given, and the log that it is a place in: what a later reader continues
    /// from as `after` and `epoch`. `None` until there is one.
    #[must_use]
    pub const fn position(&self) -> Option<(Seq, Option<Epoch>)> {
        match self.position.after() {
            Some(after) => Some((after, self.position.epoch())),
            None => None,
        }
    }

    /// The next item. Cancel-safe: a call that is dropped loses nothing.
    ///
    /// # Errors
    /// What coming back by itself does not mend: see [`Error::retry`]. A call after an error goes on: after
    /// [`Error::Event`] with the next event, after the others with a new connection, not at once but after a wait.
    pub async fn next(&mut self) -> Result<Item, Error> {
        loop {
            if let Some(held) = self.held.take() {
                return held;
            }
            match &mut self.state {
                State::Waiting(until) => {
                    sleep_until(*until).await;
                    self.state = State::Opening(self.open(), Instant::now() + self.liveness);
                }
                State::Opening(opening, deadline) => {
                    let opened = timeout_at(*deadline, opening).await;
                    match opened.unwrap_or(Err(Error::Silent(self.liveness))) {
                        Ok(response) => {
                            self.begin(response);
                            return Ok(Item::Connected);
                        }
                        Err(error) => return self.lost(error),
                    }
                }
                State::Reading(_) => {
                    if let Some(item) = self.parsed() {
                        return item;
                    }
                    if let Err(error) = self.more().await {
                        return self.lost(error);
                    }
                }
            }
        }
    }

    fn open(&self) -> Opening {
        let endpoint = self.endpoint.clone();
        let pairs = self.query.pairs(&self.position);
        Box::pin(async move { stream::open(endpoint, path::EVENTS, &pairs).await })
    }

    fn begin(&mut self, response: Response) {
        self.parser.reconnect();
        self.position.opened();
        self.state = State::Reading(Box::new(Reading {
            response,
            chunk: Bytes::new(),
            deadline: Instant::now() + self.liveness,
            graced: false,
        }));
    }

    /// The next item of what has come already.
    fn parsed(&mut self) -> Option<Result<Item, Error>> {
        let State::Reading(reading) = &mut self.state else {
            return None;
        };
        loop {
            let mut rest = &reading.chunk[..];
            let parsed = self.parser.next(&mut rest);
            let used = reading.chunk.len() - rest.len();
            reading.chunk.advance(used);
            match parsed {
                Ok(None) => {
                    self.backoff.base(self.parser.retry());
                    return None;
                }
                Ok(Some(sse::Item::Comment)) => self.position.idle(),
                // What is no place is no server's of ours, and moves nothing.
                Ok(Some(sse::Item::Place(id))) => {
                    let _ = id.parse().map(|seq| self.position.reached(seq));
                }
                Ok(Some(sse::Item::Message(message))) if message.kind == "message" => {
                    match event(&mut self.position, &message) {
                        Ok(None) => {}
                        Ok(Some((first, then))) => {
                            self.held = then.map(Ok);
                            return Some(Ok(first));
                        }
                        Err(error) => return Some(Err(error)),
                    }
                }
                Ok(Some(sse::Item::Message(message))) => {
                    // Frames that a newer server may send are passed over.
                    if let Some(frame) = ControlFrame::parse(message.kind, message.data) {
                        return Some(Ok(self.control(frame)));
                    }
                }
                Err(oversize) => return Some(self.lost(oversize.into())),
            }
        }
    }

    fn control(&mut self, frame: ControlFrame) -> Item {
        match frame {
            ControlFrame::Hello { epoch, first, head } => {
                self.position.hello(epoch, head);
                self.backoff.healthy();
                Item::Hello { epoch, first, head }
            }
            ControlFrame::Gap { after, next, reason } => {
                self.position.gap(next, reason);
                Item::Gap { after, next, reason }
            }
            ControlFrame::Bye { reason, retry_ms } => {
                // The server closes now; whether it does is not waited for.
                let error = if retry_ms.is_some() {
                    Error::Ended
                } else {
                    Error::Dismissed(reason.clone())
                };
                self.held = Some(self.lost_for(error, retry_ms.map(Duration::from_millis)));
                Item::Bye { reason, retry_ms }
            }
        }
    }

    /// Waits for more bytes. Cancel-safe: nothing is taken off the body but what is kept in the state at once.
    async fn more(&mut self) -> Result<(), Error> {
        let State::Reading(reading) = &mut self.state else {
            return Ok(());
        };
        let now = Instant::now();
        if now >= reading.deadline && !reading.graced {
            reading.graced = true;
            reading.deadline = now + GRACE;
        }
        match timeout_at(reading.deadline, reading.response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                reading.chunk = chunk;
                reading.deadline = Instant::now() + self.liveness;
                reading.graced = false;
                Ok(())
            }
            Ok(Ok(None)) => Err(Error::Ended),
            Ok(Err(error)) => Err(Error::Unreachable(error)),
            Err(_) => Err(Error::Silent(self.liveness)),
        }
    }

    fn lost(&mut self, error: Error) -> Result<Item, Error> {
        let told = error.refused().and_then(|refused| refused.retry_after);
        self.lost_for(error, told)
    }

    /// Gives up the connection, and says when the next one comes, or that none would help.
    fn lost_for(&mut self, error: Error, told: Option<Duration>) -> Result<Item, Error> {
        self.backoff.base(self.parser.retry());
        let wait = self.backoff.wait(told);
        self.state = State::Waiting(Instant::now() + wait);
        // A local server that was started again wants its new token: the refusal was of the old one.
        let stale =
            error.refused().is_some_and(|refused| refused.status == 401) && self.endpoint.refresh().unwrap_or(false);
        if error.retry() || stale {
            let why = error.to_string();
            Ok(Item::Reconnecting { wait, why })
        } else {
            Err(error)
        }
    }
}

/// What an event's frame comes to: nothing when the reader has had it, else an item and perhaps a second one.
fn event(position: &mut Position, message: &sse::Message<'_>) -> Result<Option<(Item, Option<Item>)>, Error> {
    let parsed = Event::parse(message.data.as_bytes()).map_err(|e| {
        // Passed over for good: asked for again, it would be no better.
        if let Ok(seq) = message.last_event_id.parse() {
            position.event(seq);
        }
        Error::Event {
            last_event_id: message.last_event_id.to_owned(),
            why: e.to_string(),
        }
    })?;
    let seq = parsed.seq;
    let item = Item::Event(parsed, message.data.to_owned());
    match position.event(seq) {
        Verdict::Fresh => Ok(Some((item, None))),
        Verdict::Repeat => Ok(None),
        Verdict::Untold { after } => {
            position.event(seq);
            let gap = Item::Gap {
                after,
                next: seq,
                reason: GapReason::OtherEpoch,
            };
            Ok(Some((gap, Some(item))))
        }
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber")
            .field("endpoint", &self.endpoint)
            .field("query", &self.query)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
