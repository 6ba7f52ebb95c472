//! Stands in for the server's hub where the server's query parser names it; see `query.rs`.

use turnwire_proto::{Epoch, Seq};

/// As the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Live,
    Tail(usize),
    After(Seq, Option<Epoch>),
}
