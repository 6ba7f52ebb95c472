//! The server as its clients meet it: over real connections, byte for byte.

#![expect(clippy::unwrap_used, reason = "a promise that is not kept ends its test")]

mod bodies;
mod cursors;
mod doing;
mod endings;
mod framing;
mod history;
mod joined;
mod joined_own;
mod joined_unnamed;
mod managed;
mod metrics;
mod observer;
mod opening;
mod otlp;
mod otlp_grpc;
mod over;
mod places;
mod pruned;
mod publish;
mod recorded;
mod refusals;
mod replay;
mod runs;
mod search;
mod settings;
mod shared;
mod sse;
mod state;
mod store;
mod stream;
mod surface;
mod trimmed;
mod turns;
mod usage;
mod visibility;
mod wakes;
mod world;
