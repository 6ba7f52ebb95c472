//! Every store and decorator, alone and stacked, against what they owe.

#![expect(clippy::unwrap_used, reason = "this is all test: what fails ends it")]

use std::sync::Arc;

use tempfile::TempDir;
use turnwire_log::{
    Log,
    cached::Cached,
    conformance::{self, Subject},
    faulty::Faulty,
    memory::MemoryLog,
    sqlite::{Options, SqliteLog},
};

conformance::suite!(memory, || async { Subject::volatile(MemoryLog::new()) });

conformance::suite!(faulty_memory_without_faults, || async {
    Subject::volatile(Faulty::new(MemoryLog::new()).0)
});

// Spurious wake-ups, short pages and empty ones are within the promises: who relies on less of them is wrong.
conformance::suite!(faulty_memory_at_its_worst_behaviour, || async {
    let (log, faults) = Faulty::new(MemoryLog::new());
    faults.nudge_always(true);
    faults.short_pages(Some(3));
    faults.hollow_pages(true);
    Subject::volatile(log)
});

conformance::suite!(sqlite, || async { Subject::kept(directory(), async |dir| sqlite(dir)) });

conformance::suite!(cached_sqlite, || async {
    Subject::kept(directory(), async |dir| cached(sqlite(dir), 1 << 20).await)
});

// So small that readers fall out of it all the time.
conformance::suite!(cached_sqlite_with_little_room, || async {
    Subject::kept(directory(), async |dir| cached(sqlite(dir), 4096).await)
});

conformance::suite!(cached_memory, || async {
    Subject::volatile(cached(MemoryLog::new(), 1 << 20).await)
});

// A faulty log has no feed: the cache follows it by reading.
conformance::suite!(cached_faulty_memory_without_faults, || async {
    Subject::volatile(cached(Faulty::new(MemoryLog::new()).0, 1 << 20).await)
});

conformance::suite!(cached_faulty_memory, || async {
    let (log, faults) = Faulty::new(MemoryLog::new());
    faults.nudge_always(true);
    faults.short_pages(Some(3));
    faults.hollow_pages(true);
    Subject::volatile(cached(log, 1 << 20).await)
});

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn sqlite(dir: &TempDir) -> SqliteLog {
    SqliteLog::open(dir.path(), Options::default()).unwrap()
}

async fn cached(log: impl Log, bytes: usize) -> Cached {
    Cached::new(Arc::new(log), bytes).await.unwrap()
}
