//! What the parser of queries names of the server's views.

#[path = "../../crates/server/src/views/window.rs"]
pub(crate) mod window;
