//! The reference stack: `up` runs it as one process, `service` one of its services alone. `lab` is smaller: one gateway, one upstream, one
//! breaker between them, and what it is worth.

#![forbid(unsafe_code)]

mod apart;
mod drill;
mod files;
mod lab;
mod restore;
mod rollout;
mod service;
mod soak;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A gateway, an orchestrator, agents and a language model; and drills that break them, roll new builds out and restore what is lost
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole stack as one process: gateway, orchestrator, agents and language model
    ///
    /// Without `REDIS_URL` and `DATABASE_URL` it keeps everything in memory and in files. Exits with 78 if its settings are wrong.
    Up(up::Options),
    /// Run one of the services of the stack
    ///
    /// It reads the variables that its own binary reads. Exits with 78 if they are wrong.
    Service {
        /// Which one
        name: service::Service,
        /// Exit when standard input closes, which it does when the process that started this one is gone
        #[arg(long, hide = true)]
        until_stdin_closes: bool,
    },
    /// Kill, stop and break everything that the stack depends on, under load, and measure what becomes of it
    ///
    /// Starts everything itself, and runs a stack without Mainstay's layers beside it. Exits with 0 if everything held that had to, with 1 if
    /// it did not, and with 2 if the drill could not run.
    Drill(drill::Options),
    /// Show the report of a drill that was kept as JSON: in the terminal, and as a page
    Report(drill::report::command::Options),
    /// Roll new builds of the gateway out behind a small balancer, good and bad ones, and tell what they cost
    ///
    /// Exits with 0 if the good one was promoted without a lost request and the bad ones were rolled back in time, with 1 if not, and with 2
    /// if the drill could not run.
    Rollout(rollout::Options),
    /// Lose PostgreSQL and Redis under load, restore them, and tell how long it took and what is lost
    ///
    /// Needs `redis-server` and PostgreSQL. Exits with 0 if the targets are met, with 1 if not, and with 2 if the drill could not run.
    Restore(restore::Options),
    /// Load for long while a random schedule of faults is played: nothing is lost, nothing gets stuck, nothing grows
    ///
    /// Needs `redis-server` and PostgreSQL. The same seed plays the same faults. Exits with 0 if everything held that had to, with 1 if it did
    /// not, and with 2 if the soak could not run.
    Soak(soak::Options),
    /// One breaker between a gateway and its upstream: what it is worth, and the parts to play with by hand
    #[command(subcommand)]
    Lab(Lab),
}

#[derive(Debug, Subcommand)]
enum Lab {
    /// Kill, hang and break what a gateway depends on under load, and compare a guarded with an unguarded route
    ///
    /// Exits with 0 if the guarded route was better where it must be, with 1 if it was not, and with 2 if the drill
    /// could not run.
    Drill(lab::Options),
    /// Run the gateway alone
    Gateway(lab::gateway::Options),
    /// Run a load balancer that sends nothing to gateways that are not ready
    Balancer(lab::balancer::Options),
    /// Run the upstream alone
    Upstream(lab::upstream::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Up(options) => up::run(options).await.map(ExitCode::from),
        Command::Service { name, until_stdin_closes } => {
            name.run(until_stdin_closes).await.map(ExitCode::from)
        }
        Command::Drill(options) => drill::run(options).await.map(status),
        Command::Report(options) => drill::report::command::run(options).map(|()| ExitCode::SUCCESS),
        Command::Restore(options) => apart::unless_told_to_end(restore::run(options)).await.map(status),
        Command::Rollout(options) => apart::unless_told_to_end(rollout::run(options)).await.map(status),
        Command::Soak(options) => soak::run(options).await.map(status),
        Command::Lab(Lab::Drill(options)) => lab::run(options).await.map(status),
        Command::Lab(Lab::Gateway(options)) => lab::gateway::run(options).await.map(|()| ExitCode::SUCCESS),
        Command::Lab(Lab::Balancer(options)) => lab::balancer::run(options).await.map(|()| ExitCode::SUCCESS),
        Command::Lab(Lab::Upstream(options)) => lab::upstream::run(options).await.map(|()| ExitCode::SUCCESS),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("reference-stack: {error:#}");
        ExitCode::from(2)
    })
}

/// Of a drill that ran.
fn status(passed: bool) -> ExitCode {
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
