//! How long to wait before coming back: what the server asked for, never less than a floor, longer after each failure,
//! and spread, so that readers of a restarted server do not come all at once.

use std::time::Duration;

/// Never sooner, whatever the server says: a server that fails at once must not be asked in a loop.
const FLOOR: Duration = Duration::from_millis(100);
/// Until the server says another: the standard wants "a few seconds"; ours says its own in its first bytes.
const BASE: Duration = Duration::from_secs(1);
/// Where doubling stops: a server that is back is found within half a minute.
const CEILING: Duration = Duration::from_secs(30);
/// The longest wait that a server can ask for; beyond it the request is a mistake.
const LONGEST: Duration = Duration::from_secs(3600);

/// The waits of one reader.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    /// The server's `retry:`.
    base: Option<Duration>,
    /// Connections in a row that came to nothing.
    failures: u32,
}

impl Backoff {
    /// Takes the server's `retry:`.
    pub(crate) const fn base(&mut self, retry: Option<Duration>) {
        if retry.is_some() {
            self.base = retry;
        }
    }

    /// A connection was good: the next wait is a short one.
    pub(crate) const fn healthy(&mut self) {
        self.failures = 0;
    }

    /// The next wait. `told` is what the server asked for this once (`Retry-After`, the farewell's `retry_ms`).
    pub(crate) fn wait(&mut self, told: Option<Duration>) -> Duration {
        let wait = spread(self.base.unwrap_or(BASE), told, self.failures, roll());
        self.failures = self.failures.saturating_add(1);
        wait
    }
}

/// Between what was asked for and, growing with failures, the ceiling; `roll` from 0 to 1 says where.
fn spread(base: Duration, told: Option<Duration>, failures: u32, roll: f64) -> Duration {
    let low = told.unwrap_or(base).clamp(FLOOR, LONGEST);
    let grown = base
        .clamp(FLOOR, LONGEST)
        .saturating_mul(2_u32.saturating_pow(failures))
        .min(CEILING);
    // At least a tenth of spread, also where the server has asked for more than the ceiling.
    let high = grown.max(low + low / 10);
    low + (high - low).mul_f64(roll)
}

/// A random number from 0 to 1, from the source that makes ids.
fn roll() -> f64 {
    let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
    // The upper 32 bits of a v4 UUID are all random.
    f64::from(u32::try_from(high >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_wait_is_never_shorter_than_the_floor_nor_than_what_the_server_asked_for() {
        for failures in 0..40 {
            for roll in [0.0, 0.5, 1.0] {
                assert!(spread(ms(0), None, failures, roll) >= FLOOR);
                assert!(spread(ms(0), Some(ms(0)), failures, roll) >= FLOOR);
                assert!(spread(ms(2000), None, failures, roll) >= ms(2000));
                assert!(spread(ms(1000), Some(ms(60_000)), failures, roll) >= ms(60_000));
                assert!(spread(ms(1000), Some(ms(60_000)), failures, roll) <= ms(66_000));
            }
        }
        assert!(spread(ms(u64::MAX), Some(ms(u64::MAX)), u32::MAX, 1.0) <= LONGEST * 2);
    }

    #[test]
    fn waits_grow_with_failures_up_to_the_ceiling_and_are_spread() {
        let longest: Vec<_> = (0..7).map(|n| spread(ms(1000), None, n, 1.0).as_millis()).collect();
        assert_eq!(longest, [1100, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
        assert_eq!(spread(ms(1000), None, 6, 0.0), ms(1000));
        let rolls: Vec<f64> = (0..64).map(|_| roll()).collect();
        assert!(rolls.iter().all(|roll| (0.0..=1.0).contains(roll)));
        assert!(rolls.iter().any(|roll| *roll < 0.5) && rolls.iter().any(|roll| *roll > 0.5));
    }

    #[test]
    fn a_good_connection_makes_the_next_wait_short_again() {
        let mut backoff = Backoff::default();
        backoff.base(Some(ms(200)));
        backoff.base(None);
        for _ in 0..20 {
            backoff.wait(None);
        }
        backoff.healthy();
        assert!((ms(200)..=ms(220)).contains(&backoff.wait(None)));
    }
}
