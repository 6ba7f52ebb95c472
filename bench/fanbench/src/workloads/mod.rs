//! The workloads. Every one is bounded in time and count, and talks to loopback only.

pub mod fanout;
pub mod idle;
pub mod ingest;
pub mod replay;
pub mod resident;
pub mod sessions;

use crate::output::Output;
use crate::procfs::usage;
use crate::subs::{Shared, Totals, subscriber_thread};
use crate::target::Target;
use anyhow::{Result, anyhow, ensure};
use clap::Args;
use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

const KB_PER_MB: f64 = 1024.0;

#[derive(Args)]
pub struct Common {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    output: Output,
    /// The server's process id; its children count too. Repeatable.
    #[arg(long)]
    pid: Vec<u32>,
}

/// Tells the target what has to be there before anyone can publish or subscribe.
fn prepare(target: &Target) -> Result<()> {
    if let Some(setup) = target.setup() {
        let mut stream = std::net::TcpStream::connect(target.pub_addr()?)?;
        stream.write_all(setup.as_bytes())?;
        sleep(Duration::from_millis(500));
    }
    Ok(())
}

/// Subscribers on threads of their own, and what they count.
struct Subscribers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<Totals>>>,
}

impl Subscribers {
    /// Connects `count` of them and waits until each has succeeded or failed.
    fn start(target: &Target, threads: usize, count: usize, source: Option<IpAddr>) -> Self {
        let shared = Arc::new(Shared::default());
        let threads = (0..threads).map(|i| {
            let (first, last) = (count * i / threads, count * (i + 1) / threads);
            let (target, shared) = (target.clone(), shared.clone());
            thread::spawn(move || subscriber_thread(&target, first, last - first, source, shared))
        });
        let threads = threads.collect();
        let deadline = Instant::now() + Duration::from_secs(60);
        while shared.connected.load(Relaxed) + shared.failed.load(Relaxed) < count && Instant::now() < deadline {
            sleep(Duration::from_millis(5));
        }
        Self { shared, threads }
    }

    fn connected(&self) -> u64 {
        self.shared.connected.load(Relaxed) as u64
    }

    fn ensure_connected(&self, want: u64) -> Result<()> {
        let connected = self.connected();
        ensure!(connected == want, "only {connected} of {want} subscribers connected");
        // What a server does after it has answered (waking, folding) is not part of the run.
        sleep(Duration::from_millis(500));
        Ok(())
    }

    /// Waits until `want` deliveries have been made, or none for 2 s, 10 s at most; says when the last one was seen.
    fn drain(&self, want: u64) -> Instant {
        let (mut last, mut last_at, mut progress_at) = (0, Instant::now(), Instant::now());
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end && progress_at.elapsed() < Duration::from_secs(2) {
            let delivered = self.shared.delivered.load(Relaxed);
            if delivered != last {
                (last, last_at, progress_at) = (delivered, Instant::now(), Instant::now());
            }
            if delivered >= want {
                break;
            }
            sleep(Duration::from_millis(1));
        }
        last_at
    }

    fn finish(self) -> Result<Totals> {
        self.shared.stop.store(true, Relaxed);
        let mut totals = Totals::default();
        for thread in self.threads {
            totals.add(&thread.join().map_err(|_| anyhow!("a subscriber thread panicked"))??);
        }
        Ok(totals)
    }
}

/// Waits until the server has used less than a twentieth of a core for two seconds, two minutes at most. Returns
/// how long it worked on.
fn until_quiet(pid: &[u32]) -> Duration {
    const SAMPLE: Duration = Duration::from_millis(500);
    let started = Instant::now();
    let (mut cpu, mut quiet, mut busy_until) = (usage(pid).cpu_s, 0, Duration::ZERO);
    while quiet < 4 && started.elapsed() < Duration::from_secs(120) {
        sleep(SAMPLE);
        let now = usage(pid).cpu_s;
        if now - cpu < 0.05 * SAMPLE.as_secs_f64() {
            quiet += 1;
        } else {
            (quiet, busy_until) = (0, started.elapsed());
        }
        cpu = now;
    }
    busy_until
}
