//! OpenTelemetry's own SDKs, in Python, Node and Rust, report to a gateway, told by nothing but the variables that `turnwire connect`
//! prints.
//!
//! `cargo xtask test` installs them and names their directory in `TURNWIRE_SDKS`.

#[cfg(test)]
#[path = "../it/api.rs"]
#[expect(dead_code, reason = "what the other tests need of it")]
mod api;
#[cfg(test)]
mod clients;
#[cfg(test)]
#[path = "../it/world.rs"]
#[expect(dead_code, reason = "what the other tests need of it")]
mod world;
