//! Where a server has what an agent asks.

/// The stream of orders.
pub(super) const EVENTS: &str = "/api/agent/events";
/// The same as a long-poll.
pub(super) const WAKE: &str = "/api/agent/wake";
/// Takes reports.
pub(super) const SYNC: &str = "/api/agent/sync";
/// Takes what became of an order.
pub(super) const COMMAND: &str = "/api/agent/commands/{id}";
