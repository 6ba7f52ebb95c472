//! The bounds that both sides of the wire know. Each is a default; a server may be set lower.

/// Bytes of one event's body and raw line together, without what became blobs.
pub const EVENT: usize = 1024 * 1024;
/// The same on its way to a server, before anything becomes a blob: with all else that an event says it is a line of [`BATCH_BYTES`].
pub const INCOMING: usize = BATCH_BYTES - 64 * 1024;
/// Bytes of a string that stays in its event; a longer one becomes a blob.
pub const BLOB: usize = 64 * 1024;
/// Bytes of its head that stay.
pub const PREVIEW: usize = 8 * 1024;
/// Levels of arrays and objects in a body, itself among them, and in a raw line. Common readers give up at 128 (`serde_json`), and a
/// page of history puts three levels round a body; adapters stay far below.
pub const LEVELS: usize = 100;
/// Events in one publish that is not streamed.
pub const BATCH_EVENTS: usize = 10_000;
/// Bytes of one publish that is not streamed.
pub const BATCH_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of one OTLP request, before and after it is unpacked.
pub const OTLP_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of one call of a webhook.
pub const WEBHOOK_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of a name: agent, session, turn, source.
pub const NAME: usize = 256;
/// Bytes of a kind.
pub const KIND: usize = 64;
/// Bytes of one line of a server-sent event stream that a client takes.
pub const SSE_LINE: usize = 256 * 1024;
/// Bytes of one server-sent event that a client takes.
pub const SSE_EVENT: usize = 1024 * 1024;
/// Events in one page of history.
pub const PAGE: usize = 1000;
/// Bytes of a text that is said to an agent, of a command's own arguments, and of its result.
pub const MESSAGE: usize = 64 * 1024;
/// Bytes of a command's arguments as JSON: with what stands round them they are one line of [`SSE_LINE`].
pub const ARGS: usize = 192 * 1024;
/// Bytes of a reason.
pub const REASON: usize = 1024;
/// Capabilities, and sessions, of one agent's report.
pub const REPORTED: usize = 256;
/// Values of one repeated filter in a query.
pub const FILTER_VALUES: usize = 32;
