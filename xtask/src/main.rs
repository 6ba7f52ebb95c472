//! The project's chores, as `cargo xtask CHORE`: `test`, `fuzz`, `bench`, `tidy`, `docs-shots`.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for people and CI to read"
)]

mod bench;
mod fuzz;
mod shell;
mod shots;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's chores.")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run every test there is: Rust, documentation, the page's types, the page in a browser. Sets up what is missing.
    Test(test::TestArgs),
    /// Fuzz every parser of foreign bytes, or the targets that are named.
    Fuzz(fuzz::FuzzArgs),
    /// Measure the server beside the limit of the machine and its peers, and print the table.
    Bench(bench::BenchArgs),
    /// Check what no compiler checks: length and opening of files, stray paths, which crate may use which.
    Tidy,
    /// Take the pictures of the page that the documentation shows.
    DocsShots(shots::ShotsArgs),
}

fn main() -> ExitCode {
    let done = match Cli::parse().chore {
        Chore::Test(args) => test::run(&args),
        Chore::Fuzz(args) => fuzz::run(&args),
        Chore::Bench(args) => bench::run(&args),
        Chore::Tidy => tidy::run(),
        Chore::DocsShots(args) => shots::run(&args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
