//! The commands: one file each.

mod agent;
mod agents;
mod approvals;
mod completions;
mod demo;
mod doctor;
mod hook;
mod hooks;
mod man;
mod order;
mod pair;
mod publish;
mod run;
mod send;
mod serve;
mod sessions;
mod show;
mod tail;
mod token;
mod watch;

use std::process::ExitCode;

use crate::args::Command;

/// Does what was asked for.
pub(crate) async fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => run::run(args).await,
        Command::Agent(args) => agent::agent(args).await,
        Command::Publish(args) => publish::publish(args).await,
        Command::Watch(args) => watch::watch(args).await,
        Command::Hook(args) => hook::hook(args).await,
        Command::Hooks(args) => hooks::hooks(args),
        Command::Tail(args) => tail::tail(args).await,
        Command::Sessions(args) => sessions::sessions(args).await,
        Command::Show(args) => show::show(args).await,
        Command::Send(args) => send::send(args).await,
        Command::Approvals(args) => approvals::approvals(args).await,
        Command::Agents(args) => agents::agents(args).await,
        Command::Order(args) => order::order(args).await,
        Command::Pair(args) => pair::pair(args).await,
        Command::Doctor(args) => doctor::doctor(args).await,
        Command::Completions(args) => completions::completions(&args),
        Command::Man(args) => man::man(&args),
        Command::Serve(args) => serve::serve(*args).await,
        Command::Demo(args) => demo::demo(args).await,
        Command::Token(args) => token::token(args).await,
    }
}
