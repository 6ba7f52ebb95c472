//! Keeps an agent's program behind a downlink: orders become turns, what the program prints becomes events, what it asks
//! becomes approvals.

pub mod driver;

pub use driver::{Ask, Driver, Failure, Outcome, Prompt, Signal, Tell, Verdict};
