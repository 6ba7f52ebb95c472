//! Whether streams get through, and when to poll instead. Some proxies hold streams back: wholly, or all but the first bytes.

use std::time::Duration;

use tokio::time::Instant;

/// So many streams in a row that came to nothing, and the network does not let streams through.
const LIMIT: u32 = 3;

/// Longer than any process lives; an instant plus the longest duration would overflow.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What streams have come to.
#[derive(Debug)]
pub(super) struct Health {
    /// What comes later than this after a stream has opened was not held back.
    probation: Duration,
    /// How long to poll before a stream is tried again.
    poll_for: Duration,
    /// Unhealthy streams since the last healthy one.
    unhealthy: u32,
    poll_until: Option<Instant>,
}

impl Health {
    pub(super) fn new(probation: Duration, poll_for: Duration) -> Self {
        Self {
            probation,
            poll_for: poll_for.min(FOR_EVER),
            unhealthy: 0,
            poll_until: None,
        }
    }

    /// Something came of a stream that is so old. Whether it is healthy: the first bytes alone prove nothing.
    pub(super) fn came(&mut self, age: Duration) -> bool {
        let healthy = age >= self.probation;
        if healthy {
            self.unhealthy = 0;
        }
        healthy
    }

    /// A stream came to nothing.
    pub(super) fn unhealthy(&mut self, now: Instant) {
        self.unhealthy = self.unhealthy.saturating_add(1);
        if self.unhealthy >= LIMIT {
            self.poll_until = Some(now + self.poll_for);
        }
    }

    /// Whether to poll now.
    pub(super) fn polls(&self, now: Instant) -> bool {
        self.poll_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn three_unhealthy_streams_in_a_row_are_polled_for_a_while_and_then_a_stream_is_tried_again() {
        let start = Instant::now();
        let mut health = Health::new(secs(5), secs(300));
        health.unhealthy(start);
        health.unhealthy(start);
        assert!(!health.polls(start));
        health.unhealthy(start);
        assert!(health.polls(start) && health.polls(start + secs(299)));
        assert!(!health.polls(start + secs(300)));
        // One more is enough, as long as none was healthy.
        health.unhealthy(start + secs(340));
        assert!(health.polls(start + secs(341)));
        assert!(!health.polls(start + secs(640)));
        assert!(health.came(secs(15)));
        health.unhealthy(start + secs(900));
        health.unhealthy(start + secs(900));
        assert!(!health.polls(start + secs(900)), "a healthy one came between");
    }

    #[test]
    fn a_stream_of_which_only_the_first_bytes_come_is_not_healthy() {
        let start = Instant::now();
        let mut health = Health::new(secs(5), secs(300));
        for _ in 0..3 {
            assert!(!health.came(secs(0)) && !health.came(secs(4)));
            health.unhealthy(start);
        }
        assert!(health.polls(start));
    }

    #[test]
    fn the_longest_time_of_polling_is_no_end_of_time() {
        let start = Instant::now();
        let mut health = Health::new(secs(5), Duration::MAX);
        for _ in 0..3 {
            health.unhealthy(start);
        }
        assert!(health.polls(start + secs(86_400)));
    }
}
