//! W1 and W2: one publisher on one connection, N subscribers, as fast as the window lets through or at a fixed rate.

use super::{Common, KB_PER_MB, Subscribers, prepare};
use crate::procfs::{own_cpu_s, usage};
use crate::publisher::{Plan, publish};
use anyhow::Result;
use clap::Args;
use std::time::Duration;

#[derive(Args)]
pub struct FanoutArgs {
    #[command(flatten)]
    common: Common,
    #[arg(long, default_value_t = 100)]
    subs: u64,
    #[arg(long, default_value_t = 5.0)]
    secs: f64,
    /// Events per second; 0 for as fast as the window lets through.
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// Events per publish request.
    #[arg(long, default_value_t = 1)]
    batch: u64,
    /// Most undelivered events in flight [default: 200000 deliveries' worth, 16 to 1024 events].
    #[arg(long)]
    window: Option<u64>,
    /// Most unanswered publish requests on the one connection.
    #[arg(long, default_value_t = 64)]
    pipeline: u64,
    /// Publish every request on a new connection, for servers without keep-alive.
    #[arg(long)]
    reconnect: bool,
    /// Subscriber threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

impl FanoutArgs {
    fn plan(&self) -> Plan {
        Plan {
            duration: Duration::from_secs_f64(self.secs),
            max_events: u64::MAX / self.subs.max(1) / 2,
            rate: self.rate,
            window: self
                .window
                .unwrap_or((200_000 / self.subs.max(1)).clamp(16, 1024))
                .max(self.batch),
            pipeline: self.pipeline,
            batch: self.batch,
            subscribers: self.subs,
            reconnect: self.reconnect,
        }
    }
}

pub fn run(args: &FanoutArgs) -> Result<()> {
    let Common { target, output, pid } = &args.common;
    prepare(target)?;
    let subscribers = Subscribers::start(target, args.threads, args.subs as usize, None);
    subscribers.ensure_connected(args.subs)?;
    let (before, own_before) = (usage(pid), own_cpu_s());
    let published = publish(target, &args.plan(), &subscribers.shared)?;
    let want = published.events * args.subs;
    let last_at = subscribers.drain(want);
    let secs = (last_at - published.started).as_secs_f64();
    let (after, own_after) = (usage(pid), own_cpu_s());
    let totals = subscribers.finish()?;
    let delivered = totals.received as f64;
    let cpu = after.cpu_s - before.cpu_s;
    let mut metrics = vec![
        ("deliveries_per_s", delivered / secs),
        ("events_per_s", published.events as f64 / secs),
        ("seconds", secs),
        ("p50_us", totals.latency_us(0.5)),
        ("p99_us", totals.latency_us(0.99)),
        ("p999_us", totals.latency_us(0.999)),
        ("max_us", totals.latency_us(1.0)),
        ("gen_cpu_cores", (own_after - own_before) / secs),
        ("lost", want as f64 - delivered),
        ("out_of_order", totals.out_of_order as f64),
        ("closed", totals.closed as f64),
        ("written_off", published.written_off as f64),
    ];
    if !pid.is_empty() {
        metrics.push(("cpu_s_per_million", cpu * 1e6 / delivered));
        metrics.push(("server_cpu_cores", cpu / secs));
        metrics.push(("peak_rss_mb", after.peak_rss_kb as f64 / KB_PER_MB));
    }
    if args.rate > 0 {
        metrics.push(("pub_lag_p99_us", published.lag_ns.value_at_quantile(0.99) as f64 / 1e3));
        output.emit("W2", &[("subs", args.subs), ("rate", args.rate)], &metrics)
    } else {
        output.emit("W1", &[("subs", args.subs), ("batch", args.batch)], &metrics)
    }
}
