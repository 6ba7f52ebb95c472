//! Keeps an agent's program behind a downlink: orders become turns, what the program prints becomes events, what it asks
//! becomes approvals.
//!
//! One task a session, each with its own program; at most so many programs run at once. What outlives the
//! runner is in one state file; what is on its way to the gateway is in one spool. A turn has the id of the order that asked for it.
//!
//! ```no_run
//! use std::{path::PathBuf, sync::Arc};
//!
//! use turnwire_client::{Endpoint, Finder, Place};
//! use turnwire_proto::Name;
//! use turnwire_runner::{Config, Pace, Runner, drivers};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let place = Place::from_env();
//! let config = Config {
//!     agent: Name::new("worker")?,
//!     endpoint: place.endpoint()?,
//!     target: place.target(),
//!     locate: Arc::new(Finder::new(place)),
//!     driver: drivers::by_name("lines").ok_or("no such driver")?,
//!     setup: drivers::Setup {
//!         args: vec!["./answer.sh".into()],
//!         ..Default::default()
//!     },
//!     max_live: 4,
//!     state_dir: PathBuf::from("/var/lib/worker"),
//!     pace: Pace::default(),
//!     tell: Arc::new(|notice| eprintln!("{notice:?}")),
//! };
//! Runner::start(config).await?.run(std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```

mod asks;
mod config;
pub mod driver;
pub mod drivers;
mod login;
mod orders;
mod outbox;
pub mod process;
mod rpc;
mod runner;
mod session;
mod shared;
mod slots;
mod state;
mod supervise;

pub use config::{Config, Pace, Tell as Listener};
pub use driver::{Ask, Driver, Failure, Outcome, Prompt, Signal, Tell, Verdict};
pub use drivers::{DRIVERS, Setup, Spec};
pub use runner::{Error, Runner, Stopped};
pub use shared::Notice;
pub use state::StateError;
pub use supervise::supervise;
