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
/// Everything that is at one moment, to be followed from its place.
pub const STATE: &str = "/api/state";
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
    STATE,
    PAIR,
    PAIRING_CODES,
    TOKENS,
    TOKEN,
    TICKETS,
    ME,
    SIGN_OUT,
    HEALTHZ,
    READYZ,
    METRICS,
    OPENAPI,
];
