//! W5: one subscriber reads all that is stored from the start.

use super::{Common, KB_PER_MB};
use crate::procfs::usage;
use crate::subs::subscribe;
use crate::target::{Proto, Target};
use anyhow::Result;
use clap::Args;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

#[derive(Args)]
pub struct ReplayArgs {
    #[command(flatten)]
    common: Common,
    /// How many stored events to read.
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    #[arg(long, default_value_t = 20.0)]
    secs: f64,
}

/// What the reader saw.
struct Seen {
    received: Cell<u64>,
    out_of_order: Cell<u64>,
    first_at: Cell<Instant>,
    last_at: Cell<Instant>,
}

pub fn run(args: &ReplayArgs) -> Result<()> {
    let Common { target, output, pid } = &args.common;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let before = usage(pid);
    let started = Instant::now();
    let seen = Seen {
        received: Cell::new(0),
        out_of_order: Cell::new(0),
        first_at: Cell::new(started),
        last_at: Cell::new(started),
    };
    runtime.block_on(read(target, args, &seen))?;
    let secs = (seen.last_at.get() - started).as_secs_f64();
    let after = usage(pid);
    let received = seen.received.get() as f64;
    let mut metrics = vec![
        ("events_per_s", received / secs),
        ("seconds", secs),
        ("first_event_ms", (seen.first_at.get() - started).as_secs_f64() * 1e3),
        ("lost", args.count as f64 - received),
        ("out_of_order", seen.out_of_order.get() as f64),
    ];
    if !pid.is_empty() {
        metrics.push((
            "server_cpu_us_per_event",
            (after.cpu_s - before.cpu_s) * 1e6 / received.max(1.0),
        ));
        metrics.push(("peak_rss_mb", after.peak_rss_kb as f64 / KB_PER_MB));
    }
    output.emit("W5", &[("count", args.count)], &metrics)
}

/// Reads until all are there, the server ends the stream, or time is up.
async fn read(target: &Target, args: &ReplayArgs, seen: &Seen) -> Result<()> {
    let mut subscription = subscribe(target, target.sub_addr()?, None, 0, true).await?;
    let mut next = 0u64;
    let (enough, done) = tokio::sync::oneshot::channel();
    let mut enough = Some(enough);
    let event = |n: u64, _| {
        if seen.received.get() == 0 {
            seen.first_at.set(Instant::now());
        }
        seen.received.set(seen.received.get() + 1);
        seen.out_of_order.set(seen.out_of_order.get() + u64::from(n < next));
        next = next.max(n + 1);
    };
    let batch = || {
        seen.last_at.set(Instant::now());
        if seen.received.get() >= args.count {
            enough.take().map(|enough| enough.send(()));
        }
    };
    let scratch = RefCell::new(vec![0u8; 256 * 1024]);
    let reading = async {
        match target.proto {
            Proto::Redis => subscription.run_redis(event, batch).await,
            _ => subscription.run(&scratch, event, batch).await,
        }
    };
    tokio::select! {
        ended = reading => ended,
        _ = done => Ok(()),
        () = tokio::time::sleep(Duration::from_secs_f64(args.secs)) => Ok(()),
    }
}
