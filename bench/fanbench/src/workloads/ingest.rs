//! W4: closed-loop publishers, each with one connection and one outstanding request. Also fills a store.

use super::{Common, KB_PER_MB, prepare};
use crate::payload::now_ns;
use crate::procfs::usage;
use crate::target::Target;
use anyhow::{Result, bail};
use clap::Args;
use hdrhistogram::Histogram;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Args)]
pub struct IngestArgs {
    #[command(flatten)]
    common: Common,
    /// Concurrent publishers, one connection and one outstanding request each.
    #[arg(long, default_value_t = 64)]
    conns: u64,
    #[arg(long, default_value_t = 1)]
    batch: u64,
    #[arg(long, default_value_t = 5.0)]
    secs: f64,
    /// Stop after this many events (to fill a store for `replay`).
    #[arg(long)]
    count: Option<u64>,
}

/// What the publishers share.
struct Work {
    end: Instant,
    count: u64,
    batch: u64,
    /// The number of the next event.
    next: Cell<u64>,
    ack_ns: RefCell<Histogram<u64>>,
}

pub fn run(args: &IngestArgs) -> Result<()> {
    let Common { target, output, pid } = &args.common;
    prepare(target)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let before = usage(pid);
    let started = Instant::now();
    let work = Rc::new(Work {
        end: started + Duration::from_secs_f64(args.secs),
        count: args.count.unwrap_or(u64::MAX),
        batch: args.batch,
        next: Cell::new(0),
        ack_ns: RefCell::new(Histogram::new_with_bounds(1, 120_000_000_000, 3)?),
    });
    let acked = tokio::task::LocalSet::new().block_on(&runtime, publishers(target, args.conns, &work))?;
    let secs = started.elapsed().as_secs_f64();
    let after = usage(pid);
    let ack_ns = work.ack_ns.borrow();
    let mut metrics = vec![
        ("events_per_s", acked as f64 / secs),
        ("events", acked as f64),
        ("seconds", secs),
        ("ack_p50_us", ack_ns.value_at_quantile(0.5) as f64 / 1e3),
        ("ack_p99_us", ack_ns.value_at_quantile(0.99) as f64 / 1e3),
    ];
    if !pid.is_empty() {
        metrics.push((
            "server_cpu_us_per_event",
            (after.cpu_s - before.cpu_s) * 1e6 / acked.max(1) as f64,
        ));
        metrics.push(("peak_rss_mb", after.peak_rss_kb as f64 / KB_PER_MB));
    }
    output.emit("W4", &[("conns", args.conns), ("batch", args.batch)], &metrics)
}

/// Runs them all and returns how many events were acknowledged.
async fn publishers(target: &Target, conns: u64, work: &Rc<Work>) -> Result<u64> {
    let mut running = Vec::new();
    for i in 0..conns {
        let (mut target, work) = (target.clone(), work.clone());
        target.ack_inbox += &i.to_string();
        running.push(tokio::task::spawn_local(async move { publisher(&target, &work).await }));
    }
    let mut acked = 0;
    for publisher in running {
        acked += publisher.await??;
    }
    Ok(acked)
}

async fn publisher(target: &Target, work: &Work) -> Result<u64> {
    let mut stream = tokio::net::TcpStream::connect(target.pub_addr()?).await?;
    stream.set_nodelay(true)?;
    stream.write_all(target.pub_hello().as_bytes()).await?;
    let (mut out, mut inbuf, mut acked) = (Vec::new(), Vec::with_capacity(4096), 0u64);
    while Instant::now() < work.end && work.next.get() < work.count {
        let first = work.next.replace(work.next.get() + work.batch);
        let take = work.batch.min(work.count - first);
        out.clear();
        target.encode(&mut out, first, take, now_ns());
        let sent_at = Instant::now();
        stream.write_all(&out).await?;
        let (mut replies, want) = (0, target.replies_per_request(take));
        while replies < want {
            if stream.read_buf(&mut inbuf).await? == 0 {
                bail!("the server closed a publisher's connection");
            }
            replies += target.take_replies(&mut inbuf)?;
        }
        work.ack_ns
            .borrow_mut()
            .saturating_record(sent_at.elapsed().as_nanos() as u64);
        acked += take;
    }
    Ok(acked)
}
