//! W3: memory per subscriber while nothing is sent, then three events to prove that they live.

use super::{Common, KB_PER_MB, Subscribers, prepare};
use crate::procfs::{slab_kb, usage};
use crate::publisher::{Plan, publish};
use crate::subs::Shared;
use crate::target::Target;
use anyhow::{Context, Result};
use clap::Args;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

#[derive(Args)]
pub struct IdleArgs {
    #[command(flatten)]
    common: Common,
    #[arg(long, default_value_t = 10_000)]
    conns: usize,
    /// Connections per generator process (each has its own source address and file limit).
    #[arg(long, default_value_t = 15_000)]
    per_process: usize,
}

#[derive(Args)]
pub struct IdleWorkerArgs {
    #[command(flatten)]
    target: Target,
    #[arg(long)]
    conns: usize,
    #[arg(long)]
    source: IpAddr,
}

/// A generator process that holds connections.
struct Worker {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Worker {
    fn start(target: &Target, conns: usize, index: u8) -> Result<Self> {
        let source = IpAddr::V4(Ipv4Addr::new(127, 0, 1, index + 1));
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("idle-worker")
            .args(["--conns", &conns.to_string(), "--source", &source.to_string()]);
        let proto = format!("{:?}", target.proto).to_lowercase();
        command.args(["--proto", &proto, "--sub-url", &target.sub_url, "--addr", &target.addr]);
        for header in &target.sub_header {
            command.args(["--sub-header", header]);
        }
        if let Some(token) = &target.token {
            command.args(["--token", token]);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let said = BufReader::new(child.stdout.take().context("the worker's output is a pipe")?);
        Ok(Self { child, said })
    }

    fn number(&mut self) -> Result<u64> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        line.trim().parse().with_context(|| format!("a worker said {line:?}"))
    }
}

pub fn run(args: &IdleArgs) -> Result<()> {
    let Common { target, output, pid } = &args.common;
    prepare(target)?;
    let (before, slab_before) = (usage(pid), slab_kb());
    let started = Instant::now();
    let mut workers = Vec::new();
    let mut left = args.conns;
    while left > 0 {
        let take = left.min(args.per_process);
        left -= take;
        workers.push(Worker::start(target, take, u8::try_from(workers.len())?)?);
    }
    let mut connected = 0;
    for worker in &mut workers {
        connected += worker.number()?;
    }
    let connect_secs = started.elapsed().as_secs_f64();
    sleep(Duration::from_secs(3));
    let (after, slab_after) = (usage(pid), slab_kb());
    let (published, delivered) = prove_alive(target, connected, workers)?;
    let each = |kb_after: u64, kb_before: u64| (kb_after as f64 - kb_before as f64) / connected.max(1) as f64;
    output.emit(
        "W3",
        &[("conns", args.conns as u64)],
        &[
            // The server's own memory and the kernel's, the latter for both ends.
            (
                "total_kb_per_conn",
                each(after.pss_kb + slab_after, before.pss_kb + slab_before),
            ),
            ("rss_kb_per_conn", each(after.rss_kb, before.rss_kb)),
            ("pss_kb_per_conn", each(after.pss_kb, before.pss_kb)),
            ("slab_kb_per_conn", each(slab_after, slab_before)),
            ("rss_mb_before", before.rss_kb as f64 / KB_PER_MB),
            ("rss_mb_after", after.rss_kb as f64 / KB_PER_MB),
            ("connected", connected as f64),
            ("connects_per_s", connected as f64 / connect_secs),
            (
                "delivered_fraction",
                delivered as f64 / (published * connected).max(1) as f64,
            ),
        ],
    )
}

/// Publishes three events and returns how many were published and how many deliveries the workers saw.
fn prove_alive(target: &Target, subscribers: u64, workers: Vec<Worker>) -> Result<(u64, u64)> {
    let plan = Plan {
        duration: Duration::from_secs(10),
        max_events: 3,
        rate: 2,
        window: 64,
        pipeline: 64,
        batch: 1,
        subscribers,
        reconnect: true,
    };
    let published = publish(target, &plan, &Shared::default())?;
    sleep(Duration::from_secs(2));
    let mut delivered = 0;
    for mut worker in workers {
        drop(worker.child.stdin.take());
        delivered += worker.number()?;
        worker.child.wait()?;
    }
    Ok((published.events, delivered))
}

/// A generator process of `run`: prints how many connected, and once its input ends, how many events came.
pub fn worker(args: &IdleWorkerArgs) -> Result<()> {
    let subscribers = Subscribers::start(&args.target, 1, args.conns, Some(args.source));
    let mut out = std::io::stdout();
    writeln!(out, "{}", subscribers.connected())?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    writeln!(out, "{}", subscribers.finish()?.received)?;
    Ok(())
}
