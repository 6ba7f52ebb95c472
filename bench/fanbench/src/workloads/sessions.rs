//! Events at a fixed rate, spread over many sessions with one subscriber each: what a delivery costs must not depend
//! on how many sessions there are.

use super::{Common, KB_PER_MB, Subscribers, prepare, until_quiet};
use crate::procfs::{own_cpu_s, usage};
use crate::publisher::{Plan, publish};
use crate::subs::Shared;
use anyhow::{Result, ensure};
use clap::Args;
use std::time::Duration;

#[derive(Args)]
pub struct SessionsArgs {
    #[command(flatten)]
    common: Common,
    /// Events per second over all sessions.
    #[arg(long, default_value_t = 10_000)]
    rate: u64,
    /// Events per publish request, each of another session: many, so that publishing does not hide what delivery costs.
    #[arg(long, default_value_t = 100)]
    batch: u64,
    #[arg(long, default_value_t = 10.0)]
    secs: f64,
}

impl SessionsArgs {
    fn plan(&self, duration: f64, max_events: u64, rate: u64) -> Plan {
        Plan {
            duration: Duration::from_secs_f64(duration),
            max_events,
            rate,
            window: u64::MAX,
            pipeline: 64,
            batch: self.batch,
            // An event has one subscriber: its session's.
            subscribers: 1,
            reconnect: false,
        }
    }
}

pub fn run(args: &SessionsArgs) -> Result<()> {
    let Common { target, output, pid } = &args.common;
    let sessions = target.sessions;
    ensure!(
        target.item.contains("{s}") && target.sub_url.contains("{s}"),
        "--item and --sub-url must name {{s}}"
    );
    ensure!(
        sessions.is_multiple_of(args.batch),
        "--sessions must be a multiple of --batch"
    );
    prepare(target)?;
    // One event each, before anyone listens: to make a session is not to deliver an event.
    publish(target, &args.plan(60.0, sessions, 0), &Shared::default())?;
    until_quiet(pid);
    let subscribers = Subscribers::start(target, 1, sessions as usize, None);
    subscribers.ensure_connected(sessions)?;
    until_quiet(pid);
    let (before, own_before) = (usage(pid), own_cpu_s());
    let published = publish(target, &args.plan(args.secs, u64::MAX, args.rate), &subscribers.shared)?;
    let last_at = subscribers.drain(published.events);
    let secs = (last_at - published.started).as_secs_f64();
    let (after, own_after) = (usage(pid), own_cpu_s());
    let totals = subscribers.finish()?;
    let delivered = totals.received as f64;
    let mut metrics = vec![
        ("deliveries_per_s", delivered / secs),
        ("seconds", secs),
        ("p50_us", totals.latency_us(0.5)),
        ("p99_us", totals.latency_us(0.99)),
        ("gen_cpu_cores", (own_after - own_before) / secs),
        ("lost", published.events as f64 - delivered),
        ("out_of_order", totals.out_of_order as f64),
        ("strays", totals.strays as f64),
        ("closed", totals.closed as f64),
        ("pub_lag_p99_us", published.lag_ns.value_at_quantile(0.99) as f64 / 1e3),
    ];
    if !pid.is_empty() {
        let cpu = after.cpu_s - before.cpu_s;
        metrics.push(("cpu_s_per_million", cpu * 1e6 / delivered));
        metrics.push(("server_cpu_cores", cpu / secs));
        metrics.push(("peak_rss_mb", after.peak_rss_kb as f64 / KB_PER_MB));
    }
    output.emit(
        "sessions",
        &[("sessions", sessions), ("rate", args.rate), ("batch", args.batch)],
        &metrics,
    )
}
