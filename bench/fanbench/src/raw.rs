//! Storage limits without a network: append + fdatasync, and SQLite in WAL mode, group-committed.

use crate::output::Output;
use crate::payload::{now_ns, write_event};
use anyhow::Result;
use clap::{Args, ValueEnum};
use hdrhistogram::Histogram;
use rusqlite::Connection;
use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum Mode {
    /// write(2) + fdatasync per group.
    Append,
    /// The same into a file written beforehand, so that a commit changes no file size or extent.
    Prealloc,
    /// WAL, synchronous=NORMAL: no fsync per commit.
    SqliteNormal,
    /// WAL, synchronous=FULL: one fsync per commit.
    SqliteFull,
}

#[derive(Args)]
pub struct RawArgs {
    #[arg(long, value_enum)]
    mode: Mode,
    /// Events per commit.
    #[arg(long, default_value_t = 64)]
    group: u64,
    #[arg(long, default_value_t = 5.0)]
    secs: f64,
    /// Directory for the scratch file, which is removed at the end.
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    #[command(flatten)]
    output: Output,
}

/// Written over again from the start when full.
pub const PREALLOC_MB: u64 = 256;

pub const INSERT: &str = "INSERT INTO events (data) VALUES (?)";

/// Writes zeros, since space that is only reserved still costs a metadata commit on its first use.
pub fn preallocate(file: &mut File) -> Result<()> {
    let zeros = vec![0u8; 1 << 20];
    for _ in 0..PREALLOC_MB {
        file.write_all(&zeros)?;
    }
    file.sync_all()?;
    Ok(file.rewind()?)
}

pub fn open_sqlite(path: &Path, synchronous: &str) -> Result<Connection> {
    let db = Connection::open(path)?;
    db.execute_batch(&format!(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous={synchronous};
         CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY, data TEXT NOT NULL);"
    ))?;
    Ok(db)
}

pub fn run(args: &RawArgs) -> Result<()> {
    let path = args.dir.join(format!("fanbench-raw.{}", std::process::id()));
    let mut commit_ns = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3)?;
    let done = match args.mode {
        Mode::Append | Mode::Prealloc => append(args, &path, &mut commit_ns),
        Mode::SqliteNormal => sqlite(args, &path, "NORMAL", &mut commit_ns),
        Mode::SqliteFull => sqlite(args, &path, "FULL", &mut commit_ns),
    };
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
    }
    let secs = done?.as_secs_f64();
    let commits = commit_ns.len();
    args.output.emit(
        "raw",
        &[("group", args.group)],
        &[
            ("events_per_s", (commits * args.group) as f64 / secs),
            ("commits_per_s", commits as f64 / secs),
            ("commit_p50_us", commit_ns.value_at_quantile(0.5) as f64 / 1e3),
            ("commit_p99_us", commit_ns.value_at_quantile(0.99) as f64 / 1e3),
        ],
    )
}

/// Commits to a plain file until time is up, and says how long that took.
fn append(args: &RawArgs, path: &Path, commit_ns: &mut Histogram<u64>) -> Result<Duration> {
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
    let prealloc = args.mode == Mode::Prealloc;
    if prealloc {
        preallocate(&mut file)?;
    }
    let started = Instant::now();
    let mut events = 0u64;
    let mut group = Vec::new();
    while started.elapsed().as_secs_f64() < args.secs {
        let t = Instant::now();
        group.clear();
        for _ in 0..args.group {
            write_event(&mut group, events, now_ns());
            group.push(b'\n');
            events += 1;
        }
        if prealloc && file.stream_position()? + group.len() as u64 > PREALLOC_MB << 20 {
            file.rewind()?;
        }
        file.write_all(&group)?;
        file.sync_data()?;
        commit_ns.saturating_record(t.elapsed().as_nanos() as u64);
    }
    Ok(started.elapsed())
}

/// The same to SQLite.
fn sqlite(args: &RawArgs, path: &Path, synchronous: &str, commit_ns: &mut Histogram<u64>) -> Result<Duration> {
    let mut db = open_sqlite(path, synchronous)?;
    let started = Instant::now();
    let mut events = 0u64;
    let mut event = Vec::new();
    while started.elapsed().as_secs_f64() < args.secs {
        let t = Instant::now();
        let tx = db.transaction()?;
        {
            let mut insert = tx.prepare_cached(INSERT)?;
            for _ in 0..args.group {
                event.clear();
                write_event(&mut event, events, now_ns());
                insert.execute([std::str::from_utf8(&event)?])?;
                events += 1;
            }
        }
        tx.commit()?;
        commit_ns.saturating_record(t.elapsed().as_nanos() as u64);
    }
    Ok(started.elapsed())
}
