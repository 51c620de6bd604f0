//! A gateway in front of an upstream and a Redis that fail, with and without a breaker between them; and a drill that
//! measures the difference. `drill` plays everything by itself; `upstream` and `gateway` are its parts, to play with by hand.

#![forbid(unsafe_code)]

mod drill;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A breaker between a gateway and its upstream, and what it is worth
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
    /// Kill, hang and break what a gateway depends on under load, and compare a guarded with an unguarded route
    ///
    /// Exits with 0 if the guarded route was better where it must be, with 1 if it was not, and with 2 if the drill
    /// could not run.
    Drill(drill::Options),
    /// Run the gateway alone
    Gateway(drill::gateway::Options),
    /// Run a load balancer that sends nothing to gateways that are not ready
    Balancer(drill::balancer::Options),
    /// Run the upstream alone
    Upstream(drill::upstream::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Cli::parse().command {
        Command::Up(options) => match up::run(options).await {
            Ok(status) => return ExitCode::from(status),
            Err(error) => Err(error),
        },
        Command::Drill(options) => drill::run(options).await,
        Command::Gateway(options) => drill::gateway::run(options).await.map(|()| true),
        Command::Balancer(options) => drill::balancer::run(options).await.map(|()| true),
        Command::Upstream(options) => drill::upstream::run(options).await.map(|()| true),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("reference-stack: {error:#}");
            ExitCode::from(2)
        }
    }
}
