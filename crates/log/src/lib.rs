//! Where events live: the [`Log`] and [`Kv`] traits, their stores, and the suite that every store owes.
//!
//! A store is a [`Log`]: [`memory`], [`sqlite`]. A decorator is a [`Log`] around a [`Log`]: [`cached`] keeps the newest events at
//! hand, [`faulty`] fails on demand. What each must keep is written at the traits and checked by [`conformance`].

pub mod cached;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "conformance")]
pub mod faulty;
pub mod feed;
pub mod kv;
mod log;
pub mod memory;
mod page;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use kv::Kv;
pub use log::{AppendError, Appended, Bounds, Level, Limit, Log, ReadError, Retention, StoreError, Trimmed};
pub use page::{Mark, Page, PageBuilder};
