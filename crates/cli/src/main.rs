//! `turnwire`: one binary to watch and replay what AI agents do, and never lose an event.

mod args;
mod clean;
mod cmd;
mod config_file;
mod exit;
mod gateway;
mod out;
mod record;
mod render;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What this program is called as before an agent's; not in the help: nobody types it.
const SUPERVISE: &str = "supervise-agent";

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == SUPERVISE) {
        return turnwire_runner::supervise(words.collect());
    }
    let args = Args::try_parse().unwrap_or_else(|error| exit::usage(&error));
    out::start_tracing(args.verbose);
    // Invariant: nothing has installed another one before the first line of the program.
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("the first TLS provider of the process");
    let mut runtime = match args.command {
        Command::Serve(_) | Command::Demo(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    // Delivery and the log's writer have threads of their own: a worker a core would only be in their way.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let result = runtime
        .worker_threads(cores.saturating_sub(1).max(1))
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| {
            let result = runtime.block_on(cmd::dispatch(args.command));
            // A read of standard input may still be blocked; nothing depends on it any more.
            runtime.shutdown_background();
            result
        });
    match result {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    }
}
