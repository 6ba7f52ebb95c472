//! Moves what was committed from `log.db-wal` into `log.db`, beside the writer instead of within its commits.

use std::{path::Path, thread::JoinHandle, time::Duration};

use rusqlite::Connection;
use tokio::sync::watch;
use turnwire_proto::Seq;

use super::{
    OpenError,
    index::{Open, pause},
};

/// How often the size is looked at while events come.
const EVERY: Duration = Duration::from_millis(100);
/// Size of the WAL from which on it is moved: 64 MiB. Each time, pages that changed often are moved once, and the disk is kept
/// from the commits for a moment; so rarely is better, up to what a reader must look through.
const SIZE: u64 = 64 * 1024 * 1024;
/// Size from which on the writer is made to wait until all is moved, so that the file cannot grow for ever.
pub(super) const HARD_SIZE: u64 = 512 * 1024 * 1024;

/// Starts the thread, which ends when the writer does.
pub(super) fn start(log: &Path, mut head: watch::Receiver<Seq>, mut open: Open) -> Result<JoinHandle<()>, OpenError> {
    let db = Connection::open(log)?;
    db.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA busy_timeout = 2000; PRAGMA cache_size = -256;")?;
    let mut wal = log.as_os_str().to_owned();
    wal.push("-wal");
    let wal = std::path::PathBuf::from(wal);
    let work = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else {
            return;
        };
        while runtime.block_on(head.changed()).is_ok() {
            let size = std::fs::metadata(&wal).map_or(0, |meta| meta.len());
            if size > SIZE {
                run(&db, if size > HARD_SIZE { "TRUNCATE" } else { "PASSIVE" });
            }
            pause(&runtime, &mut open, EVERY);
        }
        run(&db, "TRUNCATE");
    };
    Ok(std::thread::Builder::new().name("log-checkpoint".into()).spawn(work)?)
}

fn run(db: &Connection, mode: &str) {
    // Busy readers only put it off; the next round goes on where this one stopped.
    let done: rusqlite::Result<i64> = db.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(0));
    if let Err(error) = done {
        tracing::warn!(%error, "log.db-wal could not be moved into log.db");
    }
}
