//! Publish to and read from a Turnwire gateway: spool, resume by cursor, gaps told.
//!
//! ```no_run
//! use turnwire_client::{Endpoint, Item, Query, Subscriber};
//!
//! # async fn follow() -> Result<(), turnwire_client::Error> {
//! let endpoint = Endpoint::new("http://127.0.0.1:8876", Some("the token"))?;
//! let mut subscriber = Subscriber::new(endpoint, Query::default());
//! loop {
//!     match subscriber.next().await? {
//!         Item::Event(event, _json) => println!("{} {}", event.seq, event.kind),
//!         Item::Gap { after, next, .. } => eprintln!("nothing is kept between {after} and {next}"),
//!         _ => {}
//!     }
//! }
//! # }
//! ```
//!
//! An agent hears what it is told over a [`downlink`].

pub mod downlink;
mod endpoint;
mod error;
mod locate;
pub mod observe;
mod position;
pub mod publish;
mod reconnect;
pub mod spool;
mod stream;
mod subscribe;

pub use endpoint::{Endpoint, Running, filled};
pub use error::{Error, Refused};
pub use locate::{Finder, NOWHERE, Place};
pub use subscribe::{Item, Query, Subscriber};
/// Where a text that is published in pieces may be cut: a server sees each event alone, and a secret only where one holds all of it.
pub use turnwire_redact::boundary;
