//! The drill: load on the gateway, dependencies that go through their outages one after the other, and at the end the
//! report.

pub(crate) mod balancer;
mod cache;
mod counts;
pub(crate) mod gateway;
mod guard;
mod health;
mod load;
mod outage;
mod phase;
mod process;
mod report;
mod table;
mod timeline;
pub(crate) mod upstream;
mod verdict;

use std::io::{Write, stdout};
use std::net::SocketAddr;

use anyhow::{Context, bail};
use axum::http::uri::Authority;
use clap::Args;
use mainstay::breaker::Breaker;
use tokio::net::TcpListener;

use crate::files;
use crate::lab::cache::Cache;
use crate::lab::counts::Counts;
use crate::lab::gateway::{Sent, TIMEOUT};
use crate::lab::load::Load;
use crate::lab::outage::Outage;
use crate::lab::phase::{Dependency, Kind};
use crate::lab::report::{Part, Report, Seen, Span};
use crate::lab::timeline::Timeline;

/// As many files as the highest rate needs: each call that waits holds three sockets of this process.
const FILES: u64 = 4_096;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long each of the phases takes, in seconds: 3 to 10
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
    files::raise_limit(FILES);
    let upstream =
        Subject::prepare(Dependency::Upstream).await?.context("the upstream is part of this program")?;
    let redis = Subject::prepare(Dependency::Redis).await?;
    let cache = match &redis {
        Some(Subject { outage: Outage::Redis(server), breaker, .. }) => {
            Some(Cache::connect(&server.url(), breaker.clone()).await?)
        }
        _ => None,
    };
    let Outage::Upstream(process) = &upstream.outage else { bail!("the upstream is a process") };
    let authority = Authority::try_from(process.address().to_string())?;
    let listener = TcpListener::bind("127.0.0.1:0").await.context("the gateway cannot listen")?;
    let gateway = listener.local_addr()?;
    let sent = Sent::default();
    let router = gateway::router(authority, upstream.breaker.clone(), cache, sent.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });

    let mut parts = vec![upstream.go_through(gateway, &sent.upstream, &options).await?];
    if let Some(redis) = redis {
        parts.push(redis.go_through(gateway, &sent.redis, &options).await?);
    }
    let report = Report::new(parts);
    if options.json {
        eprintln!("{report}");
        writeln!(stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        writeln!(stdout(), "{report}")?;
    }
    Ok(report.passed)
}

/// A dependency that is put through its outages, with the breaker before it.
struct Subject {
    dependency: Dependency,
    outage: Outage,
    breaker: Breaker,
}

// === impl Subject ===

impl Subject {
    /// None where its server is not installed, which is said.
    async fn prepare(dependency: Dependency) -> anyhow::Result<Option<Self>> {
        match Outage::prepare(dependency).await? {
            Ok(outage) => {
                let breaker = guard::breaker(dependency.name(), TIMEOUT)?;
                Ok(Some(Self { dependency, outage, breaker }))
            }
            Err(missing) => {
                eprintln!("the drill goes without {}: {missing}", dependency.name());
                Ok(None)
            }
        }
    }

    /// Load on the gateway while the dependency goes through its phases.
    async fn go_through(
        mut self,
        gateway: SocketAddr,
        sent: &Counts,
        options: &Options,
    ) -> anyhow::Result<Part> {
        let &Options { rate, seconds_per_phase: seconds, .. } = options;
        let phases = self.dependency.phases();
        eprintln!(
            "{}: {rate} calls a second on each of two routes, {} phases of {seconds} s",
            self.dependency.name(),
            phases.len()
        );
        let timeline = Timeline::follow(&self.breaker);
        let mut load = Load::new(gateway, self.dependency.path(), rate);
        let mut spans = Vec::new();
        for (index, &phase) in phases.iter().enumerate() {
            if phase.kind() == Kind::Outage {
                // Let the calls of the phase before come home, or they would fail in its name.
                load.settle().await?;
            }
            let touched = load.now();
            self.outage.enter(phase).await?;
            let begin = load.now();
            let progress = format!("[{}/{}] {}: {}", index + 1, phases.len(), phase.name(), phase.story());
            eprintln!("{:>8.3} s  {progress}", begin.as_secs_f64());
            load.run(phase, seconds).await?;
            spans.push(Span { phase, touched, begin, end: load.now() });
        }
        load.settle().await?;
        let arrived = self.outage.arrived().await?;
        let seen = Seen {
            spans: &spans,
            calls: load.calls(),
            events: timeline.events(),
            sent,
            arrived: arrived.as_ref(),
        };
        Part::new(self.dependency, seen)
    }
}
