//! A measurement that is not an event.

use std::time::Duration;

/// A measurement, by a name that the program was written with: names that come with data would grow without bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// What was measured, such as `queue_depth`.
    pub name: &'static str,
    /// How much.
    pub value: Value,
}

/// How much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// So many more.
    Add(u64),
    /// So much now. What is not a finite number is passed over.
    Set(f64),
    /// It took so long.
    Took(Duration),
}

impl Metric {
    /// So many more.
    #[must_use]
    pub const fn add(name: &'static str, more: u64) -> Self {
        Self {
            name,
            value: Value::Add(more),
        }
    }

    /// So much now.
    #[must_use]
    pub const fn set(name: &'static str, now: f64) -> Self {
        Self {
            name,
            value: Value::Set(now),
        }
    }

    /// It took so long.
    #[must_use]
    pub const fn took(name: &'static str, time: Duration) -> Self {
        Self {
            name,
            value: Value::Took(time),
        }
    }
}
