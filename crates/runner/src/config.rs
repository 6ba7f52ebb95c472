//! What a runner is told at its start.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use turnwire_client::{Endpoint, publish::Locate};
use turnwire_proto::Name;

use crate::{
    Notice,
    drivers::{Setup, Spec},
};

/// Who is told what happens.
pub type Tell = Arc<dyn Fn(Notice) + Send + Sync>;

/// How a runner is to be.
#[derive(Clone)]
pub struct Config {
    /// The agent's name.
    pub agent: Name,
    /// The gateway, for the downlink.
    pub endpoint: Endpoint,
    /// The gateway, for events: looked for anew for each try.
    pub locate: Arc<dyn Locate>,
    /// What the spool says of where its events go ([`turnwire_client::Place::target`]).
    pub target: String,
    /// What drives the vendor's program.
    pub driver: &'static Spec,
    /// How that is started. Its conversation is the sessions' own, and its model is only the first one.
    pub setup: Setup,
    /// Programs that run at once, at most.
    pub max_live: usize,
    /// Where everything is kept that outlives the runner.
    pub state_dir: PathBuf,
    /// Waits.
    pub pace: Pace,
    /// Who is told what happens.
    pub tell: Tell,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("agent", &self.agent)
            .field("driver", &self.driver)
            .field("state_dir", &self.state_dir)
            .finish_non_exhaustive()
    }
}

/// How long things are waited for.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between tries while nobody is signed in.
    pub login: Duration,
    /// The same, when a message has come since.
    pub login_least: Duration,
    /// A turn is given up after so long without a login.
    pub login_most: Duration,
    /// The first and the longest wait after a rate limit whose end the vendor does not say.
    pub rate: (Duration, Duration),
    /// A turn is given up after so long under rate limits: a server waits a day for a result.
    pub rate_most: Duration,
    /// A program that was told to stop and does not is ended after so long.
    pub interrupt: Duration,
    /// A result waits so long until the events before it are with the gateway.
    pub published: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            login: Duration::from_secs(60),
            login_least: Duration::from_secs(5),
            login_most: Duration::from_secs(3600),
            rate: (Duration::from_secs(30), Duration::from_secs(600)),
            rate_most: Duration::from_secs(20 * 3600),
            interrupt: Duration::from_secs(10),
            published: Duration::from_secs(10),
        }
    }
}
