//! What following files owes, whatever is done to them. Each step looks once, so that nothing depends on time.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

mod agents;
mod files;
mod live;
mod opencode;
mod opencode_db;
mod world;
