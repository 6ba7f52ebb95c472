//! Load generator for a durable event gateway, its peers, and the limit of the machine.

mod limit;
mod output;
mod payload;
mod procfs;
mod publisher;
mod raw;
mod subs;
mod target;
mod workloads;

use clap::{Parser, Subcommand};
use workloads::{fanout, idle, ingest, replay, resident, sessions};

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// W1 and W2: one publisher, N subscribers, as fast as possible or paced (--rate).
    Fanout(fanout::FanoutArgs),
    /// W3: memory of idle subscribers.
    Idle(idle::IdleArgs),
    /// Holds connections for `idle`; prints what it saw when its input ends.
    #[command(hide = true)]
    IdleWorker(idle::IdleWorkerArgs),
    /// W4: closed-loop publishers, each waiting for the acknowledgement.
    Ingest(ingest::IngestArgs),
    /// W5: one subscriber reads stored events from the start.
    Replay(replay::ReplayArgs),
    /// Events spread over many sessions with one subscriber each.
    Sessions(sessions::SessionsArgs),
    /// Memory of a server that has come to rest.
    Resident(resident::ResidentArgs),
    /// Storage limits: append + fdatasync, SQLite WAL.
    Raw(raw::RawArgs),
    /// The limit server.
    Limit(limit::LimitArgs),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Fanout(args) => fanout::run(&args),
        Command::Idle(args) => idle::run(&args),
        Command::IdleWorker(args) => idle::worker(&args),
        Command::Ingest(args) => ingest::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Sessions(args) => sessions::run(&args),
        Command::Resident(args) => resident::run(&args),
        Command::Raw(args) => raw::run(&args),
        Command::Limit(args) => limit::serve(&args),
    }
}
