//! One reader on a bare socket: write the head, then *mark, read, write, wait*.
//!
//! Between two writes a reader is a cursor, a socket and a timer: about a kilobyte. Keep what lives across an await small.

use std::{
    future::poll_fn,
    io::ErrorKind,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, Sleep, sleep_until, timeout},
};
use turnwire_log::{Limit, Page};

use super::{Events, accept::Open, frames, reactor::Shared};
use crate::{auth::Standing, hub::Subscription, observe::Metrics};

/// What is read ahead while a page is written. A page of this size says that there is much to catch up on.
const AHEAD: Limit = Limit {
    bytes: 128 * 1024,
    ..Limit::RUN
};

/// Why a stream ended.
pub(super) enum End {
    /// The reader has gone.
    Gone,
    /// The reader takes nothing.
    Slow,
    /// The server says so; the reader may come back after this long.
    Bye(&'static str, Option<Duration>),
}

struct Stream {
    shared: Arc<Shared>,
    socket: TcpStream,
    subscription: Subscription,
    standing: Standing,
    control: watch::Receiver<u64>,
    /// When something was last written: the heartbeat counts from here.
    written: Instant,
    /// What was read while the page before it was written.
    ahead: Option<Box<(Page, bool)>>,
}

/// Writes a stream until it ends.
pub(super) async fn run(shared: Arc<Shared>, socket: std::net::TcpStream, head: Vec<u8>, ready: Events, guard: Open) {
    let Ok(socket) = TcpStream::from_std(socket) else {
        return;
    };
    let control = shared.control.subscribe();
    let metrics = shared.metrics.clone();
    metrics.streams.inc();
    let Events { subscription, standing } = ready;
    let mut stream = Stream {
        shared,
        socket,
        subscription,
        standing,
        control,
        written: Instant::now(),
        ahead: None,
    };
    let end = stream.go(head).await;
    Box::pin(stream.finish(end)).await;
    metrics.streams.dec();
    drop(guard);
}

impl Stream {
    async fn go(&mut self, mut head: Vec<u8>) -> End {
        head.extend(frames::opening(&mut self.subscription));
        if let Err(end) = self.write(&head).await {
            return end;
        }
        drop(head);
        let timer = sleep_until(self.written + self.shared.limits.heartbeat);
        tokio::pin!(timer);
        loop {
            // Both marks come before what they are about is looked at.
            self.control.mark_unchanged();
            self.subscription.mark();
            if let Some((reason, retry)) = self.shared.must_end(&self.standing) {
                if reason == "shutdown" {
                    return Box::pin(self.last_while(retry)).await;
                }
                return End::Bye(reason, retry);
            }
            match self.page().await {
                Ok(true) => {}
                Ok(false) => match self.wait(timer.as_mut()).await {
                    Ok(()) => {}
                    Err(end) => return end,
                },
                Err(end) => return end,
            }
        }
    }

    /// Reads and writes one page. Whether there may be more at once.
    async fn page(&mut self) -> Result<bool, End> {
        let read = match self.ahead.take() {
            Some(ahead) => Ok(*ahead),
            None => self.subscription.read(Limit::RUN).await,
        };
        let (page, more) = match read {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(%error, "a stream could not be read");
                self.shared.metrics.read_errors.inc();
                return Err(End::Bye("store_unavailable", Some(Duration::from_secs(2))));
            }
        };
        let gaps = self.subscription.advance(&page);
        if !gaps.is_empty() {
            self.write(&frames::gaps(&gaps, &self.shared.metrics)).await?;
        }
        if !page.is_empty() {
            if page.run.len() >= AHEAD.bytes {
                Box::pin(self.write_and_read_ahead(&page)).await?;
            } else {
                self.write(&page.run).await?;
            }
            self.shared.metrics.delivered_pages.inc();
            self.shared.metrics.delivered_bytes.inc_by(page.run.len() as u64);
        }
        Ok(more)
    }

    /// A reader far behind has the store and the socket work at the same time. What is read before a mark is only a page
    /// with events; all else is read again behind the mark.
    async fn write_and_read_ahead(&mut self, page: &Page) -> Result<(), End> {
        let Self {
            shared,
            socket,
            subscription,
            written,
            ahead,
            ..
        } = self;
        let writing = write(socket, shared, &page.run);
        // An error of the store is met again by the next read, which says so.
        let (wrote, read) = tokio::join!(writing, subscription.read(AHEAD));
        wrote?;
        *written = Instant::now();
        if let Ok((page, more)) = read
            && !page.is_empty()
        {
            *ahead = Some(Box::new((page, more)));
        }
        Ok(())
    }

    /// Waits for an event, for something to look at, or for the time of a heartbeat, which it writes.
    async fn wait(&mut self, mut timer: std::pin::Pin<&mut Sleep>) -> Result<(), End> {
        tokio::select! {
            // Each branch is cancel-safe: a mark that was not reached is reached by the next wait.
            woken = self.subscription.woken() => if woken { Ok(()) } else { Err(End::Bye("shutdown", Some(Duration::from_secs(1)))) },
            // Its sender lives as long as `shared`.
            _ = self.control.changed() => Ok(()),
            () = timer.as_mut() => {
                let due = self.written + self.shared.limits.heartbeat;
                if due <= Instant::now() {
                    // What was read is written before anything is waited for, so the cursor is what the reader has.
                    self.write(&frames::heartbeat(self.subscription.cursor())).await?;
                }
                timer.reset(self.written + self.shared.limits.heartbeat);
                Ok(())
            }
            () = gone(&self.socket) => Err(End::Gone),
        }
    }

    /// After the order to stop: goes on for a while of its own length, so that readers leave one by one.
    async fn last_while(&mut self, retry: Option<Duration>) -> End {
        let until = Instant::now() + self.shared.spread();
        loop {
            if let Some(reason) = self.standing.is_ended() {
                return End::Bye(reason, None);
            }
            // Also in the middle of a replay: the reader goes on where it is when it comes back.
            if until <= Instant::now() {
                return End::Bye("shutdown", retry);
            }
            self.subscription.mark();
            match self.page().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(end) => return end,
            }
            tokio::select! {
                // Cancel-safe, as above.
                woken = self.subscription.woken() => if !woken { return End::Bye("shutdown", retry) },
                () = sleep_until(until) => return End::Bye("shutdown", retry),
                () = gone(&self.socket) => return End::Gone,
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        write(&self.socket, &self.shared, bytes).await?;
        self.written = Instant::now();
        Ok(())
    }

    async fn finish(mut self, end: End) {
        let metrics = self.shared.metrics.clone();
        match end {
            End::Gone => {}
            End::Slow => {
                Metrics::count(&metrics.ended, "reason", "slow_reader");
                tracing::info!(cursor = %self.subscription.cursor(), "a reader was cut: it took nothing for the write deadline");
            }
            End::Bye(reason, retry) => {
                Metrics::count(&metrics.ended, "reason", reason);
                // A reader that does not take its last frame has missed only that.
                let _ = self
                    .write(&frames::bye(self.subscription.cursor(), reason, retry))
                    .await;
                let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Write);
            }
        }
    }
}

/// Writes all of `bytes`. A reader that takes nothing for the write deadline is cut.
pub(super) async fn write(socket: &TcpStream, shared: &Shared, bytes: &[u8]) -> Result<(), End> {
    let mut rest = bytes;
    loop {
        match socket.try_write(rest) {
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return Err(End::Gone),
        }
        if rest.is_empty() {
            return Ok(());
        }
        let ready = poll_fn(|cx| socket.poll_write_ready(cx));
        // Boxed: few writes wait, and the timer would be in every reader's kilobyte.
        match Box::pin(timeout(shared.limits.write_deadline, ready)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(End::Gone),
            Err(_) => return Err(End::Slow),
        }
    }
}

/// Becomes ready when the reader has closed its side. What it sends meanwhile is of no use and thrown away.
pub(super) async fn gone(socket: &TcpStream) {
    poll_fn(|cx: &mut Context<'_>| {
        let mut waste = [0; 256];
        loop {
            match socket.poll_read_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {}
            }
            match socket.try_read(&mut waste) {
                Ok(0) => return Poll::Ready(()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(()),
            }
        }
    })
    .await;
}
