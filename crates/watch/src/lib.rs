//! Follows the files that agents write, and publishes what is in them: nothing twice, nothing skipped.
//!
//! - A [`Source`] is a directory, a pattern and an adapter. Files are found when they appear and read as they grow.
//! - A line is read when it is whole. What comes of it is in the spool before the place in the file is noted, and every event has an
//!   id that says what it tells or where it stands: what is read again after a crash is known already.
//! - A file that is there when its source is first seen is followed from its end; what it is about (its session's start, the turn
//!   that is open) is told with the first new line. One that appears later, also while nobody watched, is read from its start.
//! - A file is known by its device and inode and by its first and last bytes, so that a rotation, a replacement and a truncation
//!   are seen, and a rename is none.
//! - A database of opencode's is followed as files are: each session in it is a file whose lines are its events, in their order.
//! - What an adapter must remember is never written down: it is made anew by reading the file again without telling.
//!
//! One thread does all of it: [`Tailer::run`] waits for the kernel (inotify) or a while, and looks.

mod database;
mod follow;
mod journal;
mod marks;
mod pattern;
mod sink;
mod source;
mod stored;
mod tailer;
mod wake;
mod walk;

use std::path::PathBuf;

pub use sink::Sink;
pub use source::{Known, Source, known};
pub use tailer::{Counts, Options, Tailer};
pub use wake::{Stop, Stopped, stop};

/// Why nothing can be followed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pattern is none.
    #[error("the pattern `{pattern}`: {why}")]
    Pattern {
        /// What was given.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// Where places in files are noted.
    #[error("failed to {doing} {}: {source}", path.display())]
    State {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}
