//! What the adapters owe, over recordings of the real programs and over broken ones.

#![expect(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

mod every_adapter;
mod files;
mod goldens;
mod hooks;
mod odd_turns;
mod recordings;
