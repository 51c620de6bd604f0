//! The drill: load on the gateway, an upstream that goes through its outages, and at the end the report.

use std::io::{Write, stdout};

use anyhow::Context;
use axum::http::uri::Authority;
use clap::Args;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;

use crate::counts::Counts;
use crate::gateway::{self, TIMEOUT};
use crate::guard;
use crate::load::Load;
use crate::outage::Outage;
use crate::phase::{Kind, Phase};
use crate::report::{Report, Seen, Span};
use crate::timeline::Timeline;

/// As many files as the highest rate needs: each call that waits holds three sockets of this process.
const FILES: u64 = 4_096;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long each of the seven phases takes, in seconds: 3 to 10
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(3..=10))]
    seconds_per_phase: u32,
    /// Calls a second on each of the two routes: 100 to 300
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(100..=300))]
    rate: u32,
    /// Print the report as JSON to standard output, and everything else to standard error
    #[arg(long)]
    json: bool,
}

/// Runs the drill and prints its report. Returns whether the drill passed.
pub(crate) async fn run(options: Options) -> anyhow::Result<bool> {
    raise_file_limit();
    let mut outage = Outage::prepare().await?;
    let breaker = guard::breaker(TIMEOUT)?;
    let sent = Counts::default();
    let upstream = Authority::try_from(outage.address().to_string())?;
    let listener = TcpListener::bind("127.0.0.1:0").await.context("the gateway cannot listen")?;
    let gateway = listener.local_addr()?;
    let router = gateway::router(upstream, breaker.clone(), sent.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });

    let Options { rate, seconds_per_phase: seconds, json } = options;
    let phases = Phase::ALL.len();
    eprintln!("{rate} calls a second on each of two routes, {phases} phases of {seconds} s");
    let timeline = Timeline::follow(&breaker);
    let mut load = Load::new(gateway, rate);
    let mut spans = Vec::new();
    for (index, phase) in Phase::ALL.into_iter().enumerate() {
        if phase.kind() == Kind::Outage {
            // Let the calls of the phase before come home, or they would fail in its name.
            load.settle().await?;
        }
        let touched = load.now();
        outage.enter(phase).await?;
        let begin = load.now();
        let progress = format!("[{}/{phases}] {}: {}", index + 1, phase.name(), phase.story());
        eprintln!("{:>8.3} s  {progress}", begin.as_secs_f64());
        load.run(phase, seconds).await?;
        spans.push(Span { phase, touched, begin, end: load.now() });
    }
    load.settle().await?;

    let report = Report::new(Seen {
        spans: &spans,
        calls: load.calls(),
        events: timeline.events(),
        sent: &sent,
        arrived: &outage.arrived().await?,
    })?;
    if json {
        eprintln!("{report}");
        writeln!(stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        writeln!(stdout(), "{report}")?;
    }
    Ok(report.passed)
}

/// Best effort: where it fails, the drill will say that it ran out of files.
fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(FILES).min(FILES);
    if limit.current.is_some_and(|current| current < wanted) {
        limit.current = Some(wanted);
        let _ = setrlimit(Resource::Nofile, limit);
    }
}
