//! Everything of Turnwire that listens: hub, authentication, HTTP surface, delivery, views, the page.

pub mod auth;
pub mod config;
mod control;
mod deliver;
mod door;
pub mod http;
mod hub;
mod notify;
mod observe;
mod retention;
mod server;
mod shutdown;
mod views;
mod webhook;

pub use config::Config;
pub use door::{DoorError, known_markers_key};
pub use hub::{Hub, Start, Subscription};
pub use observe::Metrics;
pub use server::{Ready, Server, StartError};
pub use turnwire_log::sqlite::{OpenError, check};
