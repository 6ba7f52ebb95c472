//! The HTTP surface: one file a resource, each with its own `router()`.

mod agents;
pub(crate) mod app;
mod approvals;
mod blobs;
pub mod body;
mod chat;
mod commands;
mod downlink;
mod events;
mod export;
pub mod guard;
mod health;
mod history;
mod hooks;
mod idempotency;
mod ids;
mod ingest;
mod intake;
pub(crate) mod otlp;
pub mod pair;
mod query;
mod refusal;
mod runs;
mod session;
mod sessions;
mod share;
mod state;
pub mod tickets;
pub mod tokens;
mod turns;
pub mod ui;
mod usage;
mod webhooks;

pub(crate) use app::App;
pub(crate) use idempotency::UnderWay;
pub use refusal::Refusal;
