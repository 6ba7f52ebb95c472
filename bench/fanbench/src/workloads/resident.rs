//! Memory of a server that has come to rest, for instance after a fill or a restart.

use super::{KB_PER_MB, until_quiet};
use crate::output::Output;
use crate::procfs::usage;
use anyhow::{Result, ensure};
use clap::Args;

#[derive(Args)]
pub struct ResidentArgs {
    #[command(flatten)]
    output: Output,
    /// The server's process id; its children count too. Repeatable.
    #[arg(long, required = true)]
    pid: Vec<u32>,
    /// How many events it stores; repeated in the result.
    #[arg(long, default_value_t = 0)]
    count: u64,
    /// Whether it was restarted after they were stored; repeated in the result.
    #[arg(long)]
    restarted: bool,
}

pub fn run(args: &ResidentArgs) -> Result<()> {
    let busy = until_quiet(&args.pid);
    let usage = usage(&args.pid);
    ensure!(usage.rss_kb > 0, "no such process");
    args.output.emit(
        "resident",
        &[("count", args.count), ("restarted", u64::from(args.restarted))],
        &[
            ("rss_mb", usage.rss_kb as f64 / KB_PER_MB),
            ("anon_mb", usage.anon_kb as f64 / KB_PER_MB),
            ("peak_rss_mb", usage.peak_rss_kb as f64 / KB_PER_MB),
            ("busy_s", busy.as_secs_f64()),
        ],
    )
}
