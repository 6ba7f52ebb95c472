//! The parts of the gateway's API whose answers are no JSON, or nothing.

use crate::{api::bytes, world::World};

/// A figure that the gateway has of itself.
pub(crate) fn metric(world: &World, name: &str) -> u64 {
    let figures = String::from_utf8(bytes(world, "GET", "/metrics", "")).unwrap();
    let line = figures
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name}: {figures}")).parse().unwrap()
}

/// Lines of a vendor's.
pub(crate) fn ingest(world: &World, path: &str, lines: &str) {
    bytes(world, "POST", path, lines);
}

/// A file of the gateway's.
pub(crate) fn blob(world: &World, hash: &str) -> Vec<u8> {
    bytes(world, "GET", &format!("/api/blobs/{hash}"), "")
}
