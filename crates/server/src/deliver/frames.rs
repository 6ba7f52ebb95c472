//! The bytes of a stream that are not events.

use std::time::Duration;

use turnwire_proto::{ControlFrame, GapReason, Seq, sse};

use crate::{hub::Subscription, observe::Metrics};

/// What a client waits before it comes back, at the least: a restart takes about as long.
const RETRY_MS: u64 = 1000;
/// By how much that differs from client to client, so that they do not all come at once.
const RETRY_SPREAD_MS: u64 = 2000;

/// A number below `bound` that differs from call to call.
pub(crate) fn jitter(bound: u64) -> u64 {
    let mut bytes = [0; 8];
    // Without randomness all clients wait alike, which is no harm worth an error.
    let _ = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes).checked_rem(bound).unwrap_or(0)
}

/// How many milliseconds a client is to wait before it comes back.
pub(crate) fn retry_ms() -> u64 {
    RETRY_MS + jitter(RETRY_SPREAD_MS)
}

/// What every stream begins with: how long to wait before coming back, and a sign of life.
pub(crate) fn first_bytes() -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    sse::retry(retry_ms(), &mut out);
    out.extend_from_slice(sse::COMMENT_CONNECTED);
    out
}

/// What opens a stream of events: the first bytes, hello, known gaps, the place where it begins.
pub(super) fn opening(subscription: &mut Subscription) -> Vec<u8> {
    let mut out = first_bytes();
    for frame in subscription.opening() {
        sse::control(&frame, &mut out);
    }
    sse::place(subscription.cursor(), &mut out);
    out
}

/// What cannot be had, and, where it is passed, that it is. Each is counted.
pub(super) fn gaps(gaps: &[ControlFrame], metrics: &Metrics) -> Vec<u8> {
    let mut out = Vec::new();
    for gap in gaps {
        sse::control(gap, &mut out);
        let ControlFrame::Gap { next, reason, .. } = gap else {
            continue;
        };
        metrics.gap(*reason);
        if *reason == GapReason::Trimmed {
            sse::place(next.prev(), &mut out);
        }
    }
    out
}

/// A sign of life, and how far the reader is: `cursor` is what has been written to it, all that it asked for up to there.
pub(super) fn heartbeat(cursor: Seq) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    out.extend_from_slice(sse::COMMENT_HEARTBEAT);
    sse::place(cursor, &mut out);
    out
}

/// What ends one: how far the reader is, why, and when to come back if that is of use.
pub(super) fn bye(cursor: Seq, reason: &str, retry: Option<Duration>) -> Vec<u8> {
    let retry_ms = retry.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    let mut out = Vec::new();
    sse::place(cursor, &mut out);
    sse::control(
        &ControlFrame::Bye {
            reason: reason.to_owned(),
            retry_ms,
        },
        &mut out,
    );
    out
}
