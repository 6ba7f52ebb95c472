//! The lane: the first requests of a connection, as long as they are plain publishes and streams.
//!
//! A publisher that sends on without waiting has its requests answered together: they are begun in their order, so their
//! events are logged in their order, by as few commits as there is time for, and their answers leave in one write. Anything
//! else goes to hyper with the bytes that were read, and stays there.

use std::{
    collections::VecDeque, convert::Infallible, future::poll_fn, net::SocketAddr, sync::Arc, task::Poll,
    time::SystemTime,
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, future::BoxFuture};
use http::Request;
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::coop::unconstrained,
    time::{Instant, timeout, timeout_at},
};
use tower::ServiceExt;
use turnwire_proto::Code;

use super::{
    Ready, Streaming,
    accept::{Front, Open, hyper, linger},
    head::{Head, Parts, parse},
};
use crate::{http::Refusal, hub::Queued};

/// Requests of one connection that are under way at once.
const PIPELINE: usize = 64;
/// Bytes that are read ahead of the requests under way.
const READ_AHEAD: usize = 64 * 1024;

/// What becomes of a connection.
enum Outcome {
    Closed,
    Hyper,
    Stream(Vec<u8>, Ready),
}

type Answer = BoxFuture<'static, Response<Bytes>>;

struct Lane {
    front: Arc<Front>,
    socket: TcpStream,
    peer: SocketAddr,
    input: BytesMut,
    output: Vec<u8>,
    /// Requests under way, oldest first. Only the oldest is polled: each one has given its events to the log before the next
    /// was begun, so that none needs more than to wait for its answer.
    pending: VecDeque<Answer>,
    /// A request under way may not yet have given its events to the log: the next one waits until all are answered.
    held: bool,
    /// Nothing more is read: the peer has ended, or an answer said that the connection does.
    ended: bool,
    /// Bytes that have to be there before it is worth looking at them again.
    need: usize,
    /// Until when the request that has begun to arrive must be whole.
    deadline: Option<Instant>,
}

/// Serves a connection to its end.
pub(super) async fn run(front: Arc<Front>, socket: TcpStream, peer: SocketAddr, open: Open) {
    let mut lane = Lane {
        front,
        socket,
        peer,
        input: BytesMut::with_capacity(2048),
        output: Vec::new(),
        pending: VecDeque::new(),
        held: false,
        ended: false,
        need: 0,
        deadline: None,
    };
    // An error is the peer's end of the connection: there is nobody to tell.
    let Ok(outcome) = lane.go().await else { return };
    let Lane {
        front,
        socket,
        input,
        ended,
        ..
    } = lane;
    match outcome {
        // One that was idle has nothing under way to be lost.
        Outcome::Closed if ended => Box::pin(linger(socket)).await,
        Outcome::Closed => {}
        Outcome::Hyper => Box::pin(hyper(front, socket, peer, input.to_vec(), open)).await,
        Outcome::Stream(head, ready) => {
            if let Ok(socket) = socket.into_std() {
                front.reactor.adopt(socket, head, ready, open);
            }
        }
    }
}

impl Lane {
    async fn go(&mut self) -> std::io::Result<Outcome> {
        loop {
            if let Some(outcome) = self.take_requests().await {
                return Ok(outcome);
            }
            if self.pending.is_empty() {
                if std::mem::take(&mut self.held) {
                    continue;
                }
                if self.ended || !self.read_on().await? {
                    return Ok(Outcome::Closed);
                }
                continue;
            }
            let room = !self.ended && self.pending.len() < PIPELINE && self.input.len() < self.need.max(READ_AHEAD);
            tokio::select! {
                // Cancel-safe: an answer that is not ready stays where it is, `read_buf` has read nothing when it is dropped.
                answer = next_answer(&mut self.pending) => self.answer(answer).await?,
                read = self.socket.read_buf(&mut self.input), if room => self.ended |= read? == 0,
            }
        }
    }

    /// Begins all requests that have arrived. Answers what becomes of the connection when that is decided.
    async fn take_requests(&mut self) -> Option<Outcome> {
        while !self.ended && !self.held && self.pending.len() < PIPELINE && self.input.len() >= self.need.max(1) {
            match parse(&self.input, self.front.limits.head_bytes) {
                Head::Partial => break,
                Head::Publish { head, body, .. } if self.input.len() < head + body => {
                    self.need = head + body;
                    break;
                }
                Head::Publish { parts, head, body } => {
                    self.arrived();
                    let _ = self.input.split_to(head);
                    let body = self.input.split_to(body).freeze();
                    self.ended |= parts.close;
                    let request = self.request(parts, Body::from(body));
                    self.begin(request).await;
                }
                // What is under way is answered first.
                Head::Stream { .. } | Head::Other if !self.pending.is_empty() => break,
                Head::Stream { parts, head } => {
                    self.arrived();
                    let _ = self.input.split_to(head);
                    if let Some(outcome) = self.stream(parts).await {
                        return Some(outcome);
                    }
                }
                Head::Other => return Some(Outcome::Hyper),
                Head::Bad(refusal) => self.refuse(refusal),
            }
        }
        None
    }

    fn arrived(&mut self) {
        (self.need, self.deadline) = (0, None);
    }

    fn request(&self, parts: Parts, body: Body) -> Request<Body> {
        let mut request = Request::new(body);
        *request.method_mut() = parts.method;
        *request.uri_mut() = parts.uri;
        *request.headers_mut() = parts.headers;
        request.extensions_mut().insert(ConnectInfo(self.peer));
        request
    }

    /// Begins a publish: by the time this returns its events stand in the log's queue, before those of the next one.
    async fn begin(&mut self, mut request: Request<Body>) {
        let queued = Queued::default();
        request.extensions_mut().insert(queued.clone());
        let mut answer: Answer = Box::pin(call(self.front.router.clone(), request));
        // Unconstrained, or the runtime would now and then make it wait for no reason.
        let first = unconstrained(poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx)))).await;
        self.held |= first.is_pending() && !queued.is_set();
        self.pending.push_back(match first {
            Poll::Ready(answer) => Box::pin(std::future::ready(answer)),
            Poll::Pending => answer,
        });
    }

    /// Asks for a stream like anything else is asked for; a refusal is answered like any other.
    async fn stream(&mut self, parts: Parts) -> Option<Outcome> {
        self.ended |= parts.close;
        let request = self.request(parts, Body::empty());
        let mut response = respond(self.front.router.clone(), request).await;
        if let Some(ready) = Streaming::take(&mut response) {
            let (parts, _) = response.into_parts();
            let mut head = Vec::with_capacity(256);
            head_of(&parts, None, true, &mut head);
            return Some(Outcome::Stream(head, ready));
        }
        self.pending.push_back(Box::pin(whole(response)));
        None
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.ended = true;
        self.pending.push_back(Box::pin(whole(refusal.into_response())));
    }

    /// Writes an answer, and with it all that have become ready behind it.
    async fn answer(&mut self, first: Response<Bytes>) -> std::io::Result<()> {
        self.output.clear();
        let mut next = Some(first);
        while let Some(answer) = next {
            let (parts, body) = answer.into_parts();
            self.front.metrics.answered(&parts.extensions);
            let last = self.ended && self.pending.is_empty();
            head_of(&parts, Some(body.len()), last, &mut self.output);
            self.output.extend_from_slice(&body);
            next = next_answer(&mut self.pending).now_or_never();
        }
        let write = self.socket.write_all(&self.output);
        match timeout(self.front.limits.write_deadline, write).await {
            Ok(written) => written,
            Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
        }
    }

    /// Waits for bytes when nothing is under way. `false`: there will be none.
    async fn read_on(&mut self) -> std::io::Result<bool> {
        let limits = &self.front.limits;
        let begun = !self.input.is_empty();
        let wait = match (begun, self.need > 0) {
            (false, _) => limits.idle_time,
            (true, false) => limits.head_time,
            (true, true) => limits.body_time,
        };
        // A head has one deadline however it trickles; a body must only not stand still.
        let deadline = if begun && self.need == 0 {
            *self.deadline.get_or_insert_with(|| Instant::now() + wait)
        } else {
            Instant::now() + wait
        };
        let stopping = self.front.tasks.stopping().clone();
        let read = tokio::select! {
            // Cancel-safe: a read that is dropped has read nothing.
            read = timeout_at(deadline, self.socket.read_buf(&mut self.input)) => read,
            () = stopping.cancelled(), if !begun => return Ok(false),
        };
        match read {
            Ok(read) => Ok(read? > 0),
            Err(_) if !begun => Ok(false),
            Err(_) => {
                self.front.metrics.connections_slow.inc();
                let what = if self.need > 0 { "body" } else { "head" };
                let text = format!("the {what} of the request did not arrive within {} s", wait.as_secs());
                let limit = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                self.refuse(
                    Refusal::new(Code::Timeout, text)
                        .with("field", what)
                        .with("limit_ms", limit),
                );
                Ok(true)
            }
        }
    }
}

/// The answer of the oldest request, taken off; never ready while there is none.
async fn next_answer(pending: &mut VecDeque<Answer>) -> Response<Bytes> {
    let answer = match pending.front_mut() {
        Some(oldest) => oldest.await,
        None => std::future::pending().await,
    };
    pending.pop_front();
    answer
}

async fn respond(router: Router, request: Request<Body>) -> Response {
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => {
            let never: Infallible = never;
            match never {}
        }
    }
}

async fn call(router: Router, request: Request<Body>) -> Response<Bytes> {
    whole(respond(router, request).await).await
}

/// The response with all of its body, which the lane's routes make in memory.
async fn whole(response: Response) -> Response<Bytes> {
    let (parts, body) = response.into_parts();
    match body.collect().await {
        Ok(body) => Response::from_parts(parts, body.to_bytes()),
        Err(error) => {
            tracing::error!(%error, "an answer could not be made");
            Response::from_parts(parts, Bytes::new())
        }
    }
}

fn head_of(parts: &http::response::Parts, length: Option<usize>, last: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(parts.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(parts.status.canonical_reason().unwrap_or("-").as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in parts
        .headers
        .iter()
        .filter(|(name, _)| *name != http::header::CONTENT_LENGTH)
    {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if let Some(length) = length {
        out.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
    }
    if last {
        out.extend_from_slice(b"connection: close\r\n");
    }
    out.extend_from_slice(format!("date: {}\r\n\r\n", httpdate::fmt_http_date(SystemTime::now())).as_bytes());
}
