//! Connections: taken, counted, and led to the lane or to hyper.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use axum::{Router, body::Body, extract::ConnectInfo, response::Response};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tower::ServiceExt;
use turnwire_proto::{Code, ErrorReply};

use super::{
    Reactor, Ready, Streaming, body, lane, pieces,
    timed::{Timed, Turns},
};
use crate::{config::Limits, observe::Metrics, shutdown::Tasks};

/// How long a connection is given to take its last answer, and then to end.
const LINGER_TIME: std::time::Duration = std::time::Duration::from_secs(2);
/// Bytes that are thrown away of what still comes meanwhile: more than a client has under way when it is refused.
const LINGER_BYTES: usize = 4 * 1024 * 1024;
/// How long accepting pauses when the process has no more files.
const NO_FILES_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// How much later than one that takes nothing a peer is given up that does not even acknowledge.
#[cfg(target_os = "linux")]
const VANISHED: std::time::Duration = std::time::Duration::from_secs(5);

/// What every connection needs.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) router: Router,
    pub(crate) reactor: Arc<Reactor>,
    pub(crate) limits: Limits,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tasks: Tasks,
}

/// One open connection, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct Open {
    metrics: Arc<Metrics>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.metrics.connections.dec();
    }
}

/// Keeps a connection counted beyond its last request: one that has become a WebSocket is hyper's no more.
#[derive(Clone, Debug)]
pub(crate) struct Held(#[expect(dead_code, reason = "only held")] Arc<Open>);

/// Takes connections until the server is told to stop.
pub(crate) async fn serve(front: Arc<Front>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(
        front.limits.connections.clamp(1, Semaphore::MAX_PERMITS),
    ));
    let stopping = front.tasks.stopping().clone();
    loop {
        let accepted = tokio::select! {
            // Both are cancel-safe.
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => return,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of files or memory, or a peer that has gone already: others may come.
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(NO_FILES_PAUSE).await;
                continue;
            }
        };
        // Frames are merged above the socket; waiting for more below it only adds latency.
        let _ = socket.set_nodelay(true);
        #[cfg(target_os = "linux")]
        give_up_late(&socket, front.limits.write_deadline + VANISHED);
        let Ok(permit) = places.clone().try_acquire_owned() else {
            front.metrics.connections_refused.inc();
            front.tasks.spawn("refuse", refuse(socket, front.limits.connections));
            continue;
        };
        front.metrics.connections.inc();
        let open = Open {
            metrics: front.metrics.clone(),
            _permit: permit,
        };
        let front_of_task = front.clone();
        front.tasks.spawn("connection", async move {
            lane::run(front_of_task, socket, peer, open).await
        });
    }
}

/// A peer whose machine is gone says nothing. What it is sent is not acknowledged, and the system gives it up by this time instead
/// of a quarter of an hour.
#[cfg(target_os = "linux")]
fn give_up_late(socket: &TcpStream, after: std::time::Duration) {
    let after = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
    // Without it the peer is found out later.
    let _ = rustix::net::sockopt::set_tcp_user_timeout(socket, after);
}

async fn refuse(mut socket: TcpStream, limit: usize) {
    let reply = ErrorReply::new(
        Code::Overloaded,
        format!("the server has {limit} connections, as many as it takes"),
    );
    let body = serde_json::to_string(&reply.with("field", "connections").with("limit", limit)).unwrap_or_default();
    let head =
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close";
    let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    // Whoever does not take it finds the connection closed.
    let _ = timeout(LINGER_TIME, socket.write_all(answer.as_bytes())).await;
    linger(socket).await;
}

/// Ends a connection so that its last answer arrives: a socket that is closed while there is input that nobody read resets the
/// connection, and a peer that is still sending loses what it was sent. So only our half ends, and what still comes is thrown
/// away, for a bounded time and up to a bounded size.
pub(super) async fn linger(mut socket: TcpStream) {
    let drain = async {
        socket.shutdown().await?;
        let mut rest = [0; 4096];
        let mut left = LINGER_BYTES;
        while left > 0 {
            match socket.read(&mut rest).await? {
                0 => break,
                count => left = left.saturating_sub(count),
            }
        }
        Ok::<_, std::io::Error>(())
    };
    // Whatever ends it, the connection is closed now.
    let _ = timeout(LINGER_TIME, drain).await;
}

/// Leaves the connection to hyper, with the bytes that were read already.
pub(super) async fn hyper(front: Arc<Front>, socket: TcpStream, peer: SocketAddr, read: Vec<u8>, open: Open) {
    let turns = Arc::new(Turns::default());
    if read.starts_with(b"PRI ") {
        turns.no_heads();
    }
    let (input, output) = socket.into_split();
    let input = tokio::io::AsyncReadExt::chain(std::io::Cursor::new(read), input);
    let socket = tokio::io::join(input, output);
    let io = TokioIo::new(Timed::new(socket, turns.clone(), &front.limits, front.metrics.clone()));
    let shared = front.reactor.shared().clone();
    let (router, metrics) = (front.router.clone(), front.metrics.clone());
    let held = Held(Arc::new(open));
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (router, shared, metrics, turns) = (router.clone(), shared.clone(), metrics.clone(), turns.clone());
        let held = held.clone();
        // Here and not when the future is first polled: until the turn has begun, what is read counts as a head.
        let turn = turns.begin();
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(held);
            let mut response: Response = match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            metrics.answered(response.extensions());
            if let Some(ready) = Streaming::take(&mut response) {
                *response.body_mut() = match ready {
                    Ready::Events(events) => body::body(shared, *events),
                    Ready::Pieces(made) => pieces::body(made),
                };
                turns.streaming();
            }
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                turns.no_heads();
                turns.streaming();
            }
            drop(turn);
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // It counts while a connection is idle, too; a head that has begun has a shorter time, which `Timed` keeps.
        .header_read_timeout(front.limits.idle_time)
        .max_buf_size(front.limits.head_bytes.max(8192))
        .half_close(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(front.limits.head_bytes).unwrap_or(u32::MAX));
    let connection = builder.serve_connection_with_upgrades(io, service);
    tokio::pin!(connection);
    let stopping = front.tasks.stopping().clone();
    tokio::select! {
        // The connection is not dropped by the other branch, only told.
        _ = connection.as_mut() => {}
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
