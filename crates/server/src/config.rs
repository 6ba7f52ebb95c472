//! What a server is told when it starts. Plain data: every field has a default, `docs/config.md` has the table.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use turnwire_proto::limits;

pub use turnwire_redact::OwnPattern;

pub use crate::auth::{Encoding, InvalidProof, Proof, Signing};
pub use crate::notify::{InvalidTarget, NotifyConfig, Token};
pub use crate::webhook::{InvalidWebhook, Webhook, WebhookConfig};

/// All of it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the log, the tokens and the views are.
    pub data_dir: PathBuf,
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The address to listen on for OTLP over gRPC; without one it is not taken. Over HTTP it always is.
    pub otlp_grpc: Option<SocketAddr>,
    /// Whether these may be beyond loopback.
    pub allow_remote: bool,
    /// Whether tokens are asked for. Without, only loopback is listened on.
    pub auth: bool,
    /// Names that a `Host` header may have beside loopback's.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may use it beside its own.
    pub allowed_origins: Vec<String>,
    /// What is kept.
    pub retention: RetentionConfig,
    /// What is a secret beside what everybody knows as one.
    pub redact: Vec<OwnPattern>,
    /// Who is told that an agent waits.
    pub notify: NotifyConfig,
    /// What services may call.
    pub webhooks: Vec<WebhookConfig>,
    /// Bounds on everything that comes from outside.
    pub limits: Limits,
}

impl Config {
    /// The defaults for a data directory.
    #[must_use]
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            data_dir,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8876)),
            otlp_grpc: None,
            allow_remote: false,
            auth: true,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            retention: RetentionConfig::default(),
            redact: Vec::new(),
            notify: NotifyConfig::default(),
            webhooks: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// What is kept, by age and size. `None` keeps it for ever.
#[derive(Clone, Copy, Debug)]
pub struct RetentionConfig {
    /// Deltas.
    pub deltas: Option<Duration>,
    /// Vendors' lines.
    pub raw: Option<Duration>,
    /// All events.
    pub events: Option<Duration>,
    /// Bytes of bodies.
    pub max_bytes: Option<u64>,
    /// Sessions, the latest active ones.
    pub sessions: Option<u64>,
    /// Sessions, from their last sign of life on.
    pub session_age: Option<Duration>,
    /// How old a blob must be that is removed because no event names it.
    pub blobs: Duration,
    /// How often it is looked.
    pub every: Duration,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        let two_weeks = Some(Duration::from_hours(14 * 24));
        Self {
            deltas: two_weeks,
            raw: two_weeks,
            events: None,
            max_bytes: None,
            sessions: None,
            session_age: None,
            blobs: Duration::from_hours(1),
            every: Duration::from_hours(1),
        }
    }
}

/// Bounds. Each has a metric or an error that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once; one more is answered 503.
    pub connections: usize,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// How long a head may take to arrive.
    pub head_time: Duration,
    /// How long a body may stand still.
    pub body_time: Duration,
    /// How long a connection may be idle between requests.
    pub idle_time: Duration,
    /// Events of a publish that is one batch.
    pub batch_events: usize,
    /// Bytes of a publish that is one batch.
    pub batch_bytes: usize,
    /// How often a silent stream says that it lives.
    pub heartbeat: Duration,
    /// How long a reader may take none of what it was sent.
    pub write_deadline: Duration,
    /// How long streams have to end at shutdown.
    pub shutdown_grace: Duration,
    /// Bytes of ready frames that are kept in memory.
    pub ring_bytes: usize,
    /// Appends that may wait for the log's writer.
    pub append_queue: usize,
    /// Commands that may be open for one agent; one more is answered 429.
    pub agent_queue: usize,
    /// How long an agent is silent before it is said to be offline.
    pub agent_silence: Duration,
    /// How long a session that works on a turn is silent before it is said to be stalled.
    pub stalled_after: Duration,
    /// How long before its turn is closed.
    pub lost_after: Duration,
    /// How long a chat may wait for its reply.
    pub reply_wait: Duration,
    /// How often a chat's WebSocket is pinged.
    pub socket_ping: Duration,
    /// How long a chat's WebSocket may be silent before it is cut.
    pub socket_silence: Duration,
    /// How long an approval waits whose request does not say until when.
    pub approval_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16_384,
            head_bytes: 32 * 1024,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(120),
            batch_events: limits::BATCH_EVENTS,
            batch_bytes: limits::BATCH_BYTES,
            heartbeat: Duration::from_secs(15),
            write_deadline: Duration::from_secs(30),
            shutdown_grace: Duration::from_secs(10),
            ring_bytes: turnwire_log::cached::DEFAULT_BYTES,
            append_queue: 4096,
            agent_queue: 256,
            agent_silence: Duration::from_secs(40),
            stalled_after: Duration::from_mins(10),
            lost_after: Duration::from_hours(24),
            reply_wait: Duration::from_secs(120),
            socket_ping: Duration::from_secs(20),
            socket_silence: Duration::from_secs(60),
            approval_wait: Duration::from_mins(10),
        }
    }
}
