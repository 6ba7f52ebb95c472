//! Agents behind a real gateway, their programs small shell scripts.

#![expect(clippy::unwrap_used, reason = "a promise that is not kept ends its test")]

mod faults;
mod orders;
mod protocols;
mod restart;
mod turns;
mod vendor;
mod world;
