//! Events, turned into the frames of a wire. One file a wire; pure.
//!
//! To add one: write `src/foo.rs` with its golden files, and add a line to [`FORMATS`].

pub mod chat;
mod native;

use turnwire_proto::{ControlFrame, Epoch, Event, Seq};

pub use native::Native;

/// Events in, another system's frames out. May keep the state of one connection: some wires must frame anew what is resumed
/// in the middle.
pub trait Format: Send {
    /// Writes what opens a stream.
    fn open(&mut self, at: &Snapshot, out: &mut Vec<u8>);
    /// Writes an event.
    fn event(&mut self, event: &Event, out: &mut Vec<u8>);
    /// Writes a control frame, or what this wire has for it.
    fn control(&mut self, frame: &ControlFrame, out: &mut Vec<u8>);
}

/// Where a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The log's identity.
    pub epoch: Epoch,
    /// The first place that is kept.
    pub first: Seq,
    /// The newest place.
    pub head: Seq,
}

/// One wire.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// As the query's `format` names it.
    pub name: &'static str,
    /// What it is, for people.
    pub description: &'static str,
    /// Makes one for a connection.
    pub make: fn() -> Box<dyn Format>,
}

/// Every wire.
pub const FORMATS: &[Spec] = &[Spec {
    name: "native",
    description: "Turnwire's own events, one a frame",
    make: || Box::new(Native),
}];

/// The wire of a name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Spec> {
    FORMATS.iter().find(|spec| spec.name == name)
}
