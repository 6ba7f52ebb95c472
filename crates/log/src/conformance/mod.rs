//! What every [`Log`] owes, store or decorator: one test a promise, named by it.
//!
//! [`suite!`](crate::conformance::suite) makes the tests of one log from a name and a closure that makes a [`Subject`]: empty
//! data of its own and the way to open them. A new store is one line in `tests/conformance.rs`:
//!
//! ```no_run
//! # // `suite!` makes `#[test]`s, which are not run here.
//! use turnwire_log::{conformance::{self, Subject}, faulty::Faulty, memory::MemoryLog};
//!
//! // A store whose data end with it. Promises about a restart are not asked of it.
//! conformance::suite!(memory, || async { Subject::volatile(MemoryLog::new()) });
//! // A decorator, around it.
//! conformance::suite!(faulty_memory, || async { Subject::volatile(Faulty::new(MemoryLog::new()).0) });
//! # struct Store;
//! # impl Store { fn open(_: &std::path::Path) -> std::io::Result<MemoryLog> { Ok(MemoryLog::new()) } }
//! # fn tempdir() -> std::io::Result<std::path::PathBuf> { Ok(std::path::PathBuf::new()) }
//! // A store whose data outlive it: what they are kept in, and how they are opened, at first and again.
//! conformance::suite!(store, || async {
//!     Subject::kept(tempdir().unwrap(), async |dir| Store::open(dir.as_ref()).unwrap())
//! });
//! # fn main() {}
//! ```
//!
//! Every promise runs on a runtime of its own with several threads. [`PATIENCE`] bounds it, so that a log that hangs fails.

pub mod append;
mod check;
mod event;
pub mod feed;
pub mod model;
pub mod page;
pub mod restart;
pub mod select;
pub mod tail;
pub mod trim;

use std::{cell::RefCell, pin::Pin, rc::Rc, sync::Arc, time::Duration};

use crate::Log;

/// How long one promise may take: many times what the slowest store needs on a busy machine. Running into it is a failure.
pub const PATIENCE: Duration = Duration::from_secs(300);

type Local<T> = Pin<Box<dyn Future<Output = T>>>;

/// The data of one log and the way to open them.
pub struct Subject {
    open: Box<dyn Fn() -> Local<Arc<dyn Log>>>,
    kept: bool,
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject")
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}

impl Subject {
    /// A log whose data end with it: it is opened once.
    pub fn volatile(log: impl Log) -> Self {
        let log: RefCell<Option<Arc<dyn Log>>> = RefCell::new(Some(Arc::new(log)));
        Self {
            open: Box::new(move || {
                let log = log.take().expect("a volatile log is opened once");
                Box::pin(async { log })
            }),
            kept: false,
        }
    }

    /// A log whose data outlive it. `open` is called again when the last log that it gave was dropped, and must be able to
    /// open the same data at once; `state` (a directory) lives as long as the subject.
    pub fn kept<S: 'static, L: Log>(state: S, open: impl AsyncFn(&S) -> L + 'static) -> Self {
        let both = Rc::new((state, open));
        Self {
            open: Box::new(move || {
                let both = both.clone();
                Box::pin(async move { Arc::new((both.1)(&both.0).await) as Arc<dyn Log> })
            }),
            kept: true,
        }
    }

    /// Opens it for the first time.
    async fn open(&self) -> Arc<dyn Log> {
        (self.open)().await
    }

    /// Opens it again, when its data outlive the log.
    async fn reopen(&self, log: Arc<dyn Log>) -> Arc<dyn Log> {
        assert_eq!(Arc::strong_count(&log), 1, "the promise still holds the log");
        drop(log);
        (self.open)().await
    }

    /// Whether promises about a restart can be asked of it; says so when not.
    #[expect(
        clippy::print_stderr,
        reason = "whoever reads the test's output is to see what was not tested"
    )]
    fn outlives_its_log(&self) -> bool {
        if !self.kept {
            eprintln!("not asked: the data of this log end with it");
        }
        self.kept
    }
}

/// Makes subjects, each with empty data of its own.
pub struct Subjects {
    make: Box<dyn Fn() -> Local<Subject>>,
}

impl std::fmt::Debug for Subjects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Subjects")
    }
}

impl Subjects {
    /// By calling `make`.
    pub fn new<F: Future<Output = Subject> + 'static>(make: impl Fn() -> F + 'static) -> Self {
        Self {
            make: Box::new(move || Box::pin(make())),
        }
    }

    /// Another one.
    async fn subject(&self) -> Subject {
        (self.make)().await
    }
}

/// Asks for one promise: `promise` panics when it is broken.
///
/// # Panics
/// When the promise is broken, or not kept within [`PATIENCE`].
pub fn ask(subjects: &Subjects, promise: impl AsyncFnOnce(&Subjects)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a test may start threads");
    let kept = runtime.block_on(async { tokio::time::timeout(PATIENCE, promise(subjects)).await });
    assert!(
        kept.is_ok(),
        "not kept within {PATIENCE:?}: the log hangs, or a wake-up was missed"
    );
}

/// Makes a module of tests, one a promise. See the [module](crate::conformance).
#[macro_export]
#[doc(hidden)]
macro_rules! conformance_suite {
    ($name:ident, $make:expr $(,)?) => {
        mod $name {
            use super::*;

            $crate::conformance_suite! { @tests $make;
                append::what_is_appended_is_read_in_order_and_byte_for_byte
                append::an_empty_batch_writes_nothing
                append::an_id_that_stands_twice_in_a_batch_is_written_once
                append::an_id_of_an_earlier_batch_is_not_written_again
                append::copies_of_a_batch_that_arrive_together_are_written_once
                append::batches_of_concurrent_writers_stand_in_one_piece
                append::calls_are_appended_in_the_order_of_their_first_poll
                append::a_dropped_append_has_written_all_of_its_batch_or_none
                append::a_refused_append_has_written_nothing
                append::the_largest_batch_and_the_largest_event_are_taken
                page::a_fresh_log_is_empty
                page::every_small_limit_covers_exactly_the_set_forwards
                page::every_small_limit_covers_exactly_the_set_backwards
                page::an_event_larger_than_the_byte_bound_comes_alone
                page::an_empty_page_has_looked_as_far_as_its_cursor
                page::at_the_head_and_beyond_it_there_is_nothing_yet
                page::a_cursor_may_be_any_place
                page::reading_on_while_others_write_misses_nothing
                select::a_selector_gives_what_filtering_everything_gives
                select::a_private_session_is_read_only_by_whom_it_was_granted
                select::vendors_lines_come_verbatim_and_only_when_asked_for
                select::deltas_can_be_left_out
                tail::a_tail_comes_to_know_what_was_there_before_it
                tail::a_tail_wakes_for_what_it_selects
                tail::a_tail_is_never_ahead_of_what_can_be_read
                tail::no_reader_misses_an_event_or_gets_it_twice
                feed::a_feed_has_what_is_committed_before_its_append_returns
                feed::a_feed_is_told_of_what_goes
                trim::the_default_keeps_everything
                trim::events_go_from_the_start_up_to_the_first_newer_one
                trim::an_event_dated_in_the_future_is_as_old_as_its_arrival
                trim::an_id_is_known_as_long_as_its_event_is_kept
                trim::deltas_go_and_leave_the_rest
                trim::deltas_go_at_least_up_to_the_first_newer_event
                trim::vendors_lines_go_and_leave_their_events
                trim::the_start_goes_until_the_bodies_fit
                trim::a_session_goes_on_every_path
                trim::a_log_that_was_emptied_remembers_its_head
                trim::a_place_is_never_given_again
                trim::what_is_kept_is_read_while_the_start_goes
                restart::everything_is_there_after_a_restart
                restart::an_id_is_known_after_a_restart
                restart::a_place_is_not_given_again_after_a_restart
                restart::the_horizons_stay_after_a_restart
                restart::the_identity_stays_as_long_as_the_data
                model::it_does_what_a_sorted_map_does
            }
        }
    };
    (@tests $make:expr; $($part:ident::$promise:ident)*) => {
        $(
            #[test]
            fn $promise() {
                let subjects = $crate::conformance::Subjects::new($make);
                $crate::conformance::ask(&subjects, $crate::conformance::$part::$promise);
            }
        )*
    };
}

pub use crate::conformance_suite as suite;
