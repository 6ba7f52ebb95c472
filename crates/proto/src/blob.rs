//! Blobs: what is too large for an event, kept beside it in a file that its contents name.

use serde::{Deserialize, Serialize};

/// The field of `data` that lists an event's blobs. The server alone writes it; a producer's of this name is kept as
/// [`BLOBS_RENAMED`].
pub const BLOBS: &str = "turnwire_blobs";
/// What a producer's own field of the name [`BLOBS`] is called when it is read.
pub const BLOBS_RENAMED: &str = "turnwire_blobs_";

/// One string of an event that left it. In its place stands a preview: the head of a text, nothing for an image, its path for a
/// `data:` URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRef {
    /// Where the string stood: a JSON pointer within the event, such as `/data/output`.
    pub at: String,
    /// SHA-256 of the contents, 64 small hexadecimal digits.
    pub hash: String,
    /// How many bytes the contents have.
    pub bytes: u64,
    /// What they are, such as `image/png`.
    pub media_type: String,
    /// How many bytes of the preview are the head of the contents.
    pub preview: u64,
}

/// Whether this is a hash as [`BlobRef`] has it.
#[must_use]
pub fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}
