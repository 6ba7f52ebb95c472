//! The words that usage is asked for by.

use std::str::FromStr;

/// How far back it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Window {
    #[default]
    Day,
    Week,
    Month,
}

impl FromStr for Window {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "24h" => Ok(Self::Day),
            "7d" => Ok(Self::Week),
            "30d" => Ok(Self::Month),
            _ => Err("must be one of 24h, 7d, 30d"),
        }
    }
}

/// What a row is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum By {
    #[default]
    Agent,
    Model,
    Session,
}

impl FromStr for By {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "agent" => Ok(Self::Agent),
            "model" => Ok(Self::Model),
            "session" => Ok(Self::Session),
            _ => Err("must be one of agent, model, session"),
        }
    }
}
