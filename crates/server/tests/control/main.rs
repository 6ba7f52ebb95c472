//! Commands, agents and their downlinks as their clients meet them: over real connections.

#![expect(clippy::unwrap_used, reason = "a promise that is not kept ends its test")]

mod agents;
mod approvals;
mod approvals_end;
mod approvals_kept;
mod approvals_keys;
mod client;
mod closing;
mod commands;
mod downlink;
mod hooks;
mod keys;
mod line;
mod notify;
mod restart;
#[expect(dead_code, reason = "shared with the other suite, which uses all of it")]
#[path = "../it/stream.rs"]
mod stream;
mod traps;
mod wake;
#[expect(
    dead_code,
    unused_imports,
    reason = "shared with the other suite, which uses all of it"
)]
#[path = "../it/world.rs"]
mod world;
