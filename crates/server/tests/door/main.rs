//! The door: what is kept out of the log, and what leaves events for files beside it. Over real connections.

#![expect(clippy::unwrap_used, reason = "a promise that is not kept ends its test")]

mod blobs;
mod ingest;
#[expect(dead_code, reason = "shared with another suite, which uses all of it")]
#[path = "../control/line.rs"]
mod line;
mod redaction;
#[expect(dead_code, reason = "shared with another suite, which uses all of it")]
#[path = "../it/stream.rs"]
mod stream;
#[expect(
    dead_code,
    unused_imports,
    reason = "shared with the other suite, which uses all of it"
)]
#[path = "../it/world.rs"]
mod world;
