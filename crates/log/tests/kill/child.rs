//! The process that is killed. It says on its standard output what it tries and what was answered.

use std::{
    io::{BufRead, Write},
    sync::Arc,
};

use futures_util::future::{join, poll_immediate};
use turnwire_log::{Appended, Log};

use crate::work::{Batch, TASKS};

/// The environment variable that makes a child of the test binary; the data directory.
pub(crate) const DIR: &str = "TURNWIRE_KILL_DIR";
/// Which child it is.
pub(crate) const RUN: &str = "TURNWIRE_KILL_RUN";

/// Appends until it is killed: first what earlier children were not answered to, then without end.
#[tokio::main(flavor = "multi_thread", worker_threads = 3)]
pub(crate) async fn run<L: Log>(open: impl FnOnce() -> L) {
    // The test harness may have begun a line.
    say("");
    let run = std::env::var(RUN).unwrap().parse().unwrap();
    let pending: Vec<Batch> = std::io::stdin()
        .lock()
        .lines()
        .map(|line| line.unwrap().parse().unwrap())
        .collect();
    let log = Arc::new(open());
    for batch in pending {
        answered(batch, &append(&*log, batch).await);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let log = log.clone();
        tasks.spawn(async move {
            for number in 0.. {
                one(&*log, Batch { run, task, number }).await;
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

/// One batch, in one of the ways in which producers behave.
async fn one(log: &impl Log, batch: Batch) {
    say(&format!("try {batch}"));
    let size = usize::from(batch.size());
    match batch.random(u16::MAX - 1).below(10) {
        // Goes away before the answer.
        0 => drop(poll_immediate(Box::pin(append(log, batch))).await),
        // Asks again, as if the answer had been lost.
        1 => {
            let first = append(log, batch).await;
            answered(batch, &first);
            let again = append(log, batch).await;
            same(batch, &first, &again);
            assert_eq!(
                (again.written, again.duplicates),
                (0, size),
                "{batch} was written twice"
            );
        }
        // Asks twice at once.
        2 => {
            let (one, other) = join(append(log, batch), append(log, batch)).await;
            same(batch, &one, &other);
            assert_eq!(one.written + other.written, size, "{batch} was written twice");
            answered(batch, &one);
        }
        _ => answered(batch, &append(log, batch).await),
    }
}

async fn append(log: &impl Log, batch: Batch) -> Appended {
    log.append(&batch.events()).await.unwrap()
}

fn same(batch: Batch, one: &Appended, other: &Appended) {
    assert_eq!(
        (one.first, one.last),
        (other.first, other.last),
        "{batch} has two places"
    );
}

fn answered(batch: Batch, done: &Appended) {
    assert_eq!(done.written + done.duplicates, usize::from(batch.size()), "{batch}");
    say(&format!("ack {batch} {} {}", done.first, done.last));
}

/// One write a line: below `PIPE_BUF` (4096 bytes) the kernel takes it whole. Not `println!`, which the harness may keep back.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    if out
        .write_all(format!("{line}\n").as_bytes())
        .and_then(|()| out.flush())
        .is_err()
    {
        // Whoever listened is gone.
        std::process::exit(1);
    }
}
