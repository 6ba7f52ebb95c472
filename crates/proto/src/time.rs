//! Moments: RFC 3339 with milliseconds on the wire, milliseconds since 1970 inside.

use std::{fmt, str::FromStr, time::SystemTime};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment in UTC to the millisecond, from year 0 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Not RFC 3339, or outside years 0 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a timestamp is RFC 3339 with an offset, such as 2026-11-20T08:25:00.123Z")]
pub struct InvalidTimestamp;

impl Timestamp {
    /// 1970-01-01T00:00:00.000Z.
    pub const UNIX_EPOCH: Self = Self(0);
    /// 0000-01-01T00:00:00.000Z.
    const MIN: i64 = -62_167_219_200_000;
    /// 9999-12-30T22:00:00Z, the end of what every offset can still show with four digits.
    const MAX: i64 = 253_402_207_200_000;

    /// The clock's time.
    #[must_use]
    pub fn now() -> Self {
        let ms = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        };
        Self(ms.clamp(Self::MIN, Self::MAX))
    }

    /// `None` outside years 0 to 9999.
    #[must_use]
    pub fn from_millis(ms: i64) -> Option<Self> {
        (Self::MIN..=Self::MAX).contains(&ms).then_some(Self(ms))
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Writes the 24 bytes of `2026-11-20T08:25:00.123Z`.
    pub fn encode(self, out: &mut Vec<u8>) {
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let (year, month, day) = civil(days);
        let digits = |out: &mut Vec<u8>, value: i64, width: u32| {
            for place in (0..width).rev() {
                out.push(b'0' + u8::try_from(value / 10_i64.pow(place) % 10).unwrap_or(0));
            }
        };
        for (value, width, end) in [
            (year, 4, b'-'),
            (month, 2, b'-'),
            (day, 2, b'T'),
            (ms / 3_600_000, 2, b':'),
            (ms / 60_000 % 60, 2, b':'),
            (ms / 1000 % 60, 2, b'.'),
            (ms % 1000, 3, b'Z'),
        ] {
            digits(out, value, width);
            out.push(end);
        }
    }
}

/// Days since 1970 to a date of the proleptic Gregorian calendar: Howard Hinnant's `civil_from_days`,
/// <https://howardhinnant.github.io/date_algorithms.html>. On the hot path: once an event.
const fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, doy - (153 * mp + 2) / 5 + 1)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(24);
        self.encode(&mut text);
        f.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        // jiff also takes forms that RFC 3339 has not (a bracketed zone, a space, a comma); the wire has one form.
        let plain = text.len() >= 20
            && text.is_ascii()
            && !text.contains(['[', ',', ' '])
            && text.as_bytes()[10].eq_ignore_ascii_case(&b'T');
        if !plain {
            return Err(InvalidTimestamp);
        }
        let moment: jiff::Timestamp = text.parse().map_err(|_| InvalidTimestamp)?;
        Self::from_millis(moment.as_millisecond()).ok_or(InvalidTimestamp)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn offsets_and_fractions_become_utc_milliseconds() {
        for (given, want) in [
            ("2026-11-20T08:25:00.123Z", "2026-11-20T08:25:00.123Z"),
            ("2026-11-20T08:25:00Z", "2026-11-20T08:25:00.000Z"),
            ("2026-11-20T10:25:00.123999999+02:00", "2026-11-20T08:25:00.123Z"),
            ("2024-02-29T23:59:60Z", "2024-02-29T23:59:59.000Z"),
        ] {
            assert_eq!(given.parse::<Timestamp>().unwrap().to_string(), want);
        }
        for bad in [
            "",
            "2026-11-20",
            "2026-11-20T08:25:00",
            "2026-11-20 08:25:00Z",
            "20261120T082500Z",
            "2026-11-20T08:25:00Z[UTC]",
            "-2026-11-20T08:25:00Z",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ms in Timestamp::MIN..=Timestamp::MAX) {
            let at = Timestamp::from_millis(ms).unwrap();
            prop_assert_eq!(at.to_string().parse::<Timestamp>(), Ok(at));
            let jiff = jiff::Timestamp::from_millisecond(ms).unwrap();
            prop_assert_eq!(at.to_string(), format!("{jiff:.3}"));
        }
    }
}
