//! Routes of the HTTP surface. `docs/protocol.md` owns their meaning; `/openapi.json` serves their shapes.

/// Publish (POST) and stream (GET).
pub const EVENTS: &str = "/api/events";
/// A page of events.
pub const HISTORY: &str = "/api/events/history";
/// The list of sessions.
pub const SESSIONS: &str = "/api/sessions";
/// One session.
pub const SESSION: &str = "/api/sessions/{id}";
/// One session's stream.
pub const SESSION_EVENTS: &str = "/api/sessions/{id}/events";
/// One session's turns.
pub const SESSION_TURNS: &str = "/api/sessions/{id}/turns";
/// One session's tool calls.
pub const SESSION_TOOL_CALLS: &str = "/api/sessions/{id}/tool-calls";
/// Makes (POST) a link by which one session is read, and nothing else.
pub const SESSION_SHARE: &str = "/api/sessions/{id}/share";
/// All events of one session as a file.
pub const SESSION_EXPORT: &str = "/api/sessions/{id}/export";
/// Everything that is at one moment, to be followed from its place.
pub const STATE: &str = "/api/state";
/// What was used within a window.
pub const USAGE: &str = "/api/usage";
/// The list of evaluation runs.
pub const RUNS: &str = "/api/runs";
/// One run: a session's id names it.
pub const RUN: &str = "/api/runs/{id}";
/// First login: a pairing code becomes a token.
pub const PAIR: &str = "/api/pair";
/// Makes a pairing code for another device.
pub const PAIRING_CODES: &str = "/api/pairing-codes";
/// Lists (GET) and makes (POST) tokens.
pub const TOKENS: &str = "/api/tokens";
/// Revokes (DELETE) a token.
pub const TOKEN: &str = "/api/tokens/{id}";
/// Makes a ticket for a URL.
pub const TICKETS: &str = "/api/tickets";
/// Who asks, and what they may.
pub const ME: &str = "/api/me";
/// Ends a cookie's sign-in.
pub const SIGN_OUT: &str = "/api/sign-out";
/// Says something to an agent and waits for its reply.
pub const CHAT: &str = "/api/chat";
/// Makes the one-time ticket of a chat's WebSocket.
pub const CHAT_TICKET: &str = "/api/chat/ticket";
/// A chat's WebSocket.
pub const CHAT_STREAM: &str = "/api/chat/stream";
/// Orders (POST) and lists (GET) commands.
pub const COMMANDS: &str = "/api/commands";
/// One command: seen (GET), withdrawn (DELETE).
pub const COMMAND: &str = "/api/commands/{id}";
/// The list of agents.
pub const AGENTS: &str = "/api/agents";
/// One agent.
pub const AGENT: &str = "/api/agents/{name}";
/// Short for a command `set_model`.
pub const AGENT_MODEL: &str = "/api/agents/{name}/model";
/// Short for a command `new_session`.
pub const AGENT_NEW_SESSION: &str = "/api/agents/{name}/new-session";
/// Short for a command `cancel`.
pub const AGENT_CANCEL: &str = "/api/agents/{name}/cancel";
/// Short for a command `compact`.
pub const AGENT_COMPACT: &str = "/api/agents/{name}/compact";
/// Short for a command `hold`.
pub const AGENT_HOLD: &str = "/api/agents/{name}/hold";
/// Short for a command `release`.
pub const AGENT_RELEASE: &str = "/api/agents/{name}/release";
/// An agent's downlink.
pub const DOWNLINK: &str = "/api/agent/events";
/// The same under the name that agents of other systems know.
pub const DOWNLINK_INTERNAL: &str = "/api/internal/agent/events";
/// The same as a long-poll, for networks that hold streams back.
pub const DOWNLINK_WAKE: &str = "/api/agent/wake";
/// An agent reports all of itself.
pub const DOWNLINK_SYNC: &str = "/api/agent/sync";
/// An agent says what became of a command.
pub const DOWNLINK_COMMAND: &str = "/api/agent/commands/{id}";
/// The list of approvals.
pub const APPROVALS: &str = "/api/approvals";
/// One approval, or a wait until it is decided.
pub const APPROVAL: &str = "/api/approvals/{id}";
/// Decides (POST) one.
pub const APPROVAL_DECISION: &str = "/api/approvals/{id}/decision";
/// Decides (POST) many.
pub const APPROVAL_DECISIONS: &str = "/api/approvals/decisions";
/// One call of a hook of Claude Code.
pub const HOOKS_CLAUDE: &str = "/api/hooks/claude";
/// Log records, as OTLP over HTTP has them.
pub const OTLP_LOGS: &str = "/v1/logs";
/// Spans, likewise.
pub const OTLP_TRACES: &str = "/v1/traces";
/// Metrics, likewise.
pub const OTLP_METRICS: &str = "/v1/metrics";
/// The same of Codex.
pub const HOOKS_CODEX: &str = "/api/hooks/codex";
/// The same of Gemini CLI.
pub const HOOKS_GEMINI: &str = "/api/hooks/gemini";
/// A vendor's own lines, read by an adapter.
pub const INGEST: &str = "/api/ingest/{adapter}";
/// What a service tells, read by the mapping of its section in the configuration.
pub const WEBHOOK: &str = "/api/webhooks/{name}";
/// The contents of one blob.
pub const BLOB: &str = "/api/blobs/{hash}";
/// Whether the process lives.
pub const HEALTHZ: &str = "/healthz";
/// Whether it can serve.
pub const READYZ: &str = "/readyz";
/// Prometheus text.
pub const METRICS: &str = "/metrics";
/// OpenAPI.
pub const OPENAPI: &str = "/openapi.json";
/// The page.
pub const INDEX: &str = "/";
/// The page's parts; `{build}` is the hash of all of them, so that each may be cached for ever.
pub const UI: &str = "/ui/{build}/{*file}";

/// Every route of the API, for the drift test against `openapi.json`.
pub const API: &[&str] = &[
    EVENTS,
    HISTORY,
    SESSIONS,
    SESSION,
    SESSION_EVENTS,
    SESSION_TURNS,
    SESSION_TOOL_CALLS,
    SESSION_SHARE,
    SESSION_EXPORT,
    STATE,
    USAGE,
    RUNS,
    RUN,
    PAIR,
    PAIRING_CODES,
    TOKENS,
    TOKEN,
    TICKETS,
    ME,
    SIGN_OUT,
    CHAT,
    CHAT_TICKET,
    CHAT_STREAM,
    COMMANDS,
    COMMAND,
    AGENTS,
    AGENT,
    AGENT_MODEL,
    AGENT_NEW_SESSION,
    AGENT_CANCEL,
    AGENT_COMPACT,
    AGENT_HOLD,
    AGENT_RELEASE,
    DOWNLINK,
    DOWNLINK_INTERNAL,
    DOWNLINK_WAKE,
    DOWNLINK_SYNC,
    DOWNLINK_COMMAND,
    APPROVALS,
    APPROVAL,
    APPROVAL_DECISION,
    APPROVAL_DECISIONS,
    HOOKS_CLAUDE,
    OTLP_LOGS,
    OTLP_TRACES,
    OTLP_METRICS,
    HOOKS_CODEX,
    HOOKS_GEMINI,
    INGEST,
    WEBHOOK,
    BLOB,
    HEALTHZ,
    READYZ,
    METRICS,
    OPENAPI,
];
