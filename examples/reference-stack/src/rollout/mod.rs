//! The rollout drill: new versions of the gateway behind a small balancer, a canary first, good builds and bad ones, and what they cost.

mod balancer;
mod judge;
mod load;
mod report;
mod scene;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;

use crate::apart::{Asker, Stack, Verdict};
use crate::rollout::balancer::{Balancer, SILENCE, Version};
use crate::rollout::judge::{EVIDENCE, Judge};
use crate::rollout::load::Load;
use crate::rollout::report::{Outcome, Report, Rollout};
use crate::rollout::scene::{Build, Site};

/// What is under way when a bad build is noticed, and how far a share of requests can be from its mean.
const SLACK: f64 = 4.0;
/// How much longer than the evidence takes it may take to notice: looks once a second, and a busy machine.
const LOOKS: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Requests a second: 10 to 1000
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(10..=1000))]
    rate: u32,
    /// The canary's share of them, in percent
    #[arg(long, default_value_t = 5.0)]
    share: f64,
    /// Which builds are rolled out, one after the other [default: all of them]
    #[arg(long = "build", value_enum)]
    builds: Vec<Build>,
    /// Write the report as JSON to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

// === impl Options ===

impl Options {
    /// How long a bad canary may go unnoticed: until there are so many requests as the level needs, twice over, each is answered or given up,
    /// and some looks.
    fn noticed_within(&self) -> Duration {
        Duration::from_secs_f64(2.0 * f64::from(EVIDENCE) / (f64::from(self.rate) * self.share / 100.0))
            + SILENCE
            + LOOKS
    }

    /// How long a canary has to show what it is: longer than a bad one goes unnoticed.
    fn canary_for(&self) -> Duration {
        self.noticed_within() + Duration::from_secs(1)
    }
}

/// Runs the drill and prints its report. Returns whether it passed.
pub(crate) async fn run(options: Options) -> anyhow::Result<bool> {
    ensure!((1.0..=50.0).contains(&options.share), "--share is {}, but must be from 1 to 50", options.share);
    let builds = if options.builds.is_empty() { Build::ALL.to_vec() } else { options.builds.clone() };
    let seconds = options.canary_for().as_secs();
    ensure!(seconds <= 120, "a canary would take {seconds} s to judge: --rate or --share must be larger");

    let mut stack = Stack::start(&[], &[]).await?;
    Site::pace(&stack).await?;
    let first = stack.gateway(&[]).await?;
    first.ready().await?;
    // The old version is judged by nobody.
    let judge = Judge::new("v1", Duration::from_secs(3600))?;
    let version = Version::new("v1", &first, first.address, judge)?;
    let (balancer, at) = Balancer::start(version.clone()).await?;
    while !version.is_ready() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let load = Load::start(Asker::with_token(&stack.token("rollout")?)?, at, options.rate);
    let mut site = Site { stack, balancer, at, load, old: (first, version) };

    let mut rollouts = Vec::new();
    for (index, &build) in builds.iter().enumerate() {
        eprintln!("[{}/{}] the build `{}`", index + 1, builds.len(), build.name());
        let rollout;
        (site, rollout) = site.roll_out(build, &options).await?;
        rollouts.push(rollout);
    }
    let verdicts: Vec<_> = rollouts.iter().flat_map(|rollout| judged(rollout, &options)).collect();
    let passed = verdicts.iter().all(|verdict| verdict.holds);
    let report = Report { passed, rate: options.rate, share: options.share / 100.0, rollouts, verdicts };
    print!("{report}");
    if let Some(file) = &options.json {
        let json = serde_json::to_string_pretty(&report)?;
        std::fs::write(file, json).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(passed)
}

/// What had to hold of a rollout.
fn judged(rollout: &Rollout, options: &Options) -> Vec<Verdict> {
    let (name, cost) = (rollout.build.name(), &rollout.cost);
    let elsewhere = cost.failed - cost.failed_by_new;
    let drained = rollout.drained_after_ms;
    let ended = |who: &str| {
        let figure = drained.map_or("it did not end well".to_owned(), |ms| format!("after {ms:.0} ms"));
        Verdict::new(format!("{name}: {who} ends by itself when it is told to"), drained.is_some(), figure)
    };
    if rollout.build == Build::Good {
        let why = rollout.why.clone().unwrap_or("from the canary's share to all requests".to_owned());
        return vec![
            Verdict::new(format!("{name}: it is promoted"), rollout.outcome == Outcome::Promoted, why),
            Verdict::new(
                format!("{name}: no request is lost"),
                cost.failed == 0,
                format!("{} of {}", cost.failed, cost.requests),
            ),
            ended("the old version"),
        ];
    }
    let within = report::millis(options.noticed_within());
    let noticed = rollout.noticed_after_ms;
    let is_back = rollout.outcome == Outcome::RolledBack && noticed.is_some_and(|ms| ms <= within);
    // Only the canary's share was ever at risk, and only until it was noticed.
    let at_risk = noticed.map(|ms| options.share / 100.0 * f64::from(options.rate) * ms / 1e3 + SLACK);
    let paid = cost.failed_by_new + cost.slow;
    vec![
        Verdict::new(
            format!("{name}: it is noticed at the canary's share within {within:.0} ms, and rolled back"),
            is_back,
            noticed.map_or("never".to_owned(), |ms| format!("after {ms:.0} ms")),
        ),
        Verdict::new(
            format!(
                "{name}: it costs no more than the canary's share until then, and {SLACK} for what is under way"
            ),
            at_risk.is_some_and(|most| paid as f64 <= most),
            format!("{paid} requests (at most {:.0})", at_risk.unwrap_or_default()),
        ),
        Verdict::new(
            format!("{name}: it is bad"),
            paid > 0,
            format!("{} failed, {} late", cost.failed_by_new, cost.slow),
        ),
        Verdict::new(
            format!("{name}: no other request is lost"),
            elsewhere == 0,
            format!("{elsewhere} of {}", cost.requests),
        ),
        ended("it"),
    ]
}
