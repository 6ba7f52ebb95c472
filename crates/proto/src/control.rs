//! Frames of a stream that are not events. They never have an `id:`, or a client would skip what it has not seen.

use serde::{Deserialize, Serialize};

use crate::{Epoch, Seq};

/// Why a range of the log was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// It is no longer kept.
    Trimmed,
    /// Only its deltas are no longer kept.
    DeltasTrimmed,
    /// The cursor is of another log: what it meant is not known.
    OtherEpoch,
    /// The cursor is beyond the newest event: the log went back, from a backup perhaps.
    BeyondHead,
}

/// A frame with an `event:` name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ControlFrame {
    /// The first frame of every stream.
    Hello {
        /// The log's identity.
        epoch: Epoch,
        /// The first place that is kept.
        first: Seq,
        /// The newest place.
        head: Seq,
    },
    /// What could not be sent.
    Gap {
        /// Nothing after this place …
        after: Seq,
        /// … and before this one was sent (for [`GapReason::DeltasTrimmed`]: no deltas).
        next: Seq,
        /// Why.
        reason: GapReason,
    },
    /// The last frame: the server ends the stream.
    Bye {
        /// `shutdown`, `token_expired`, `token_revoked`, `store_unavailable`; of a downlink also `replaced`.
        reason: String,
        /// Come back after this many milliseconds; absent when coming back is of no use.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_ms: Option<u64>,
    },
}

impl ControlFrame {
    /// The name on the `event:` line.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "hello",
            Self::Gap { .. } => "gap",
            Self::Bye { .. } => "bye",
        }
    }

    /// Reads a frame by its name; `None` for an event or an unknown frame.
    #[must_use]
    pub fn parse(name: &str, data: &str) -> Option<Self> {
        let frame: Self = serde_json::from_str(data).ok()?;
        (frame.name() == name).then_some(frame)
    }
}
