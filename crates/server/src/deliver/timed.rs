//! A socket that hyper has, with two times that hyper does not keep: a head that has begun must become whole, and a peer must
//! take what it is sent.

use std::{
    io::{Error, ErrorKind, IoSlice, Result},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Duration, Instant, Sleep, sleep_until},
};

use crate::{config::Limits, observe::Metrics};

/// What hyper does with a connection, as its service sees it.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Requests whose heads were whole.
    begun: AtomicUsize,
    /// Of these, those that have no answer yet.
    open: AtomicUsize,
    /// Bytes that come are no longer heads of HTTP/1.
    no_heads: AtomicBool,
    /// A stream is or was written.
    streaming: AtomicBool,
}

/// A request that has no answer yet.
pub(super) struct Turn(Arc<Turns>);

impl Turns {
    pub(super) fn begin(self: &Arc<Self>) -> Turn {
        self.begun.fetch_add(1, Relaxed);
        self.open.fetch_add(1, Relaxed);
        Turn(self.clone())
    }

    /// The connection speaks something else than HTTP/1.
    pub(super) fn no_heads(&self) {
        self.no_heads.store(true, Relaxed);
    }

    pub(super) fn streaming(&self) {
        self.streaming.store(true, Relaxed);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// See the module.
pub(super) struct Timed<S> {
    socket: S,
    turns: Arc<Turns>,
    head_time: Duration,
    write_deadline: Duration,
    metrics: Arc<Metrics>,
    /// As many requests had begun when this was last read.
    begun: usize,
    /// Until when the head that has begun to arrive must be whole.
    head: Option<Instant>,
    /// Runs while a read waits in the middle of a head.
    head_timer: Option<Pin<Box<Sleep>>>,
    /// Runs while a write waits.
    write_timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Timed<S> {
    pub(super) fn new(socket: S, turns: Arc<Turns>, limits: &Limits, metrics: Arc<Metrics>) -> Self {
        Self {
            socket,
            turns,
            head_time: limits.head_time,
            write_deadline: limits.write_deadline,
            metrics,
            begun: 0,
            head: None,
            head_timer: None,
            write_timer: None,
        }
    }

    /// What comes while no request waits for its answer is a head, or what is left of a body that nobody wants any more.
    fn came(&mut self, bytes: usize) {
        self.head_timer = None;
        let head = bytes > 0 && self.turns.open.load(Relaxed) == 0 && !self.turns.no_heads.load(Relaxed);
        // It has one deadline however it trickles.
        self.head = head.then(|| self.head.unwrap_or_else(|| Instant::now() + self.head_time));
    }

    /// Ready when the head that has begun should have become whole. With the request begun, it has.
    fn head_is_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let begun = self.turns.begun.load(Relaxed);
        if std::mem::replace(&mut self.begun, begun) != begun || self.turns.no_heads.load(Relaxed) {
            (self.head, self.head_timer) = (None, None);
        }
        let Some(until) = self.head else { return Poll::Pending };
        let timer = self.head_timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        timer.as_mut().poll(cx)
    }

    /// What a write comes to: one that has waited for the deadline fails.
    fn written<T>(&mut self, cx: &mut Context<'_>, write: Poll<Result<T>>) -> Poll<Result<T>> {
        if write.is_ready() {
            self.write_timer = None;
            return write;
        }
        let deadline = self.write_deadline;
        let timer = self
            .write_timer
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + deadline)));
        ready!(timer.as_mut().poll(cx));
        if self.turns.streaming.load(Relaxed) {
            Metrics::count(&self.metrics.ended, "reason", "slow_reader");
        } else {
            self.metrics.connections_slow.inc();
        }
        Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the peer takes nothing")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        // Looked at first: what is read now may belong to the next head.
        let late = this.head_is_late(cx);
        match Pin::new(&mut this.socket).poll_read(cx, buf) {
            Poll::Ready(read) => {
                this.came(buf.filled().len() - before);
                Poll::Ready(read)
            }
            Poll::Pending => {
                ready!(late);
                this.metrics.connections_slow.inc();
                Poll::Ready(Err(Error::new(
                    ErrorKind::TimedOut,
                    "the head of a request did not arrive in time",
                )))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<Result<usize>> {
        let write = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.written(cx, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let write = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.written(cx, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
