//! Measures the server beside the limit of the machine and its peers: starts each in turn, lets `fanbench` load it, and
//! judges by ratios taken within one repetition.

mod cases;
mod fanbench;
mod figures;
mod machine;
mod servers;
mod table;

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::shell;
use cases::{CASES, Case};
use fanbench::Bench;
use figures::{Figures, Record};

/// Where result lines and logs are kept; not in git.
const OUT: &str = "bench/out";

/// What `--write` writes.
const RESULTS: &str = "bench/RESULTS.md";

#[derive(Args)]
pub(crate) struct BenchArgs {
    /// Only these workloads: W1, W2, W3, W4, W5, sessions, resident.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Repetitions; the figures are medians.
    #[arg(long, default_value_t = 3)]
    reps: u64,
    /// Seconds of a run [default: 5, W2 and sessions 10].
    #[arg(long)]
    secs: Option<f64>,
    /// Only these servers [default: all that are installed].
    #[arg(long, value_delimiter = ',')]
    targets: Vec<String>,
    /// One short repetition at a tenth of the size: shows that it works, and proves nothing.
    #[arg(long, conflicts_with_all = ["reps", "secs", "write"])]
    quick: bool,
    /// Write bench/RESULTS.md.
    #[arg(long)]
    write: bool,
    /// Measure nothing: print the table of an earlier run's bench/out/*.jsonl.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

impl BenchArgs {
    fn wants(&self, case: &Case) -> bool {
        self.only.is_empty() || self.only.iter().any(|group| group.eq_ignore_ascii_case(case.group))
    }

    fn wants_target(&self, name: &str) -> bool {
        self.targets.is_empty() || self.targets.iter().any(|target| target == name)
    }

    fn check(&self) -> Result<()> {
        for group in &self.only {
            let known = CASES.iter().any(|case| group.eq_ignore_ascii_case(case.group));
            ensure!(known, "no workload {group}: there are W1 to W5, sessions and resident");
        }
        for target in &self.targets {
            let names: Vec<_> = servers::KINDS.iter().map(|kind| kind.name).collect();
            ensure!(
                names.contains(&target.as_str()),
                "no target {target}: there are {}",
                names.join(", ")
            );
        }
        Ok(())
    }

    fn spell(&self) -> String {
        let mut words = vec!["cargo xtask bench".to_owned()];
        for (flag, list) in [("--only", &self.only), ("--targets", &self.targets)] {
            if !list.is_empty() {
                words.push(format!("{flag} {}", list.join(",")));
            }
        }
        words.push(format!("--reps {}", self.reps));
        words.extend(self.secs.map(|secs| format!("--secs {secs}")));
        words.join(" ")
    }
}

pub(crate) fn run(args: &BenchArgs) -> Result<ExitCode> {
    args.check()?;
    let records = match &args.from {
        Some(file) => fs::read_to_string(file)
            .with_context(|| file.display().to_string())?
            .lines()
            .map(Record::parse)
            .collect::<Result<_>>()?,
        None => measure(args)?,
    };
    let figures = Figures::new(records);
    if args.quick {
        println!("A tenth of the size, one second, once: this shows that it works, and measures nothing.\n");
    }
    print!("{}", table::verdicts(&figures));
    println!("{}", table::details(&figures));
    if args.write {
        let machine = machine::describe(&figures)?;
        let text = table::results(&figures, &machine, &args.spell());
        fs::write(shell::root().join(RESULTS), text)?;
        println!("written: {RESULTS}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds, and runs every case against every server, interleaved, so that a change of the machine's mood meets all.
fn measure(args: &BenchArgs) -> Result<Vec<Record>> {
    let out = shell::root().join(OUT);
    fs::create_dir_all(&out)?;
    let kept = out.join("results.jsonl");
    fs::write(&kept, "")?;
    let bench = Bench::build(args.wants_target(cases::OURS), args.quick, args.secs, kept)?;
    let missing: Vec<_> = servers::KINDS
        .iter()
        .filter(|kind| args.wants_target(kind.name))
        .filter_map(|kind| Some((kind.name, servers::missing(kind)?)))
        .collect();
    for (name, what) in &missing {
        println!("{name}: not measured, needs {what}");
    }
    let mut records = Vec::new();
    for rep in 1..=if args.quick { 1 } else { args.reps } {
        for case in CASES.iter().filter(|case| args.wants(case)) {
            for target in case.targets.iter().filter(|target| args.wants_target(target)) {
                if missing.iter().any(|(name, _)| name == target) {
                    continue;
                }
                eprintln!("[{rep}] {}, {target}", case.what);
                match bench.run(case, target, rep) {
                    Ok(record) => records.push(record),
                    Err(error) => eprintln!("{}, {target}: {error:#}", case.what),
                }
            }
        }
    }
    Ok(records)
}
