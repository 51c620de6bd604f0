//! One rollout from its begin to its end: some traffic on the old version alone, the canary, and then all or nothing.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::ensure;
use axum::http::Method;
use clap::ValueEnum;
use mainstay_testkit::{Fault, FaultProxy};
use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::apart::{Asker, Process, Stack};
use crate::rollout::Options;
use crate::rollout::balancer::{Balancer, SILENCE, Version};
use crate::rollout::judge::{EVIDENCE, Judge};
use crate::rollout::load::Load;
use crate::rollout::report::{Cost, Outcome, Rollout, Side, Stage, latencies, millis};

/// How long the old version has all of the traffic before, and who is left at the end.
const BEFORE: Duration = Duration::from_secs(2);
const AFTER: Duration = Duration::from_secs(1);
/// How long the new version has all of the traffic while the old one could still take it back: longer than silence is believed.
const HOLD: Duration = Duration::from_secs(SILENCE.as_secs() + 1);
/// How long the language model takes, so that there is something to be in time for.
const MODEL: &str = "120ms";
/// The limit for 95 of 100 answers of the new version: so many times what the old one takes, between these.
const TIMES_SLOWER: u32 = 4;
const LEAST_LIMIT: Duration = Duration::from_millis(500);
const MOST_LIMIT: Duration = Duration::from_secs(5);

/// What is wrong with a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Build {
    /// Nothing
    Good,
    /// A time-out with the wrong unit: it answers some requests with 504
    Errors,
    /// Its connections are cut in the middle of answers
    Cuts,
    /// Its way to the orchestrator is a long one
    Slow,
    /// Nobody answers where it listens
    Hangs,
}

/// The gateway that serves, and what stands before it.
pub(crate) struct Site {
    pub(crate) stack: Stack,
    pub(crate) balancer: Balancer,
    /// Where the balancer is.
    pub(crate) at: SocketAddr,
    pub(crate) load: Load,
    /// The version that has the traffic.
    pub(crate) old: (Process, Version),
}

/// A new version, and the proxy that makes it bad.
struct Canary {
    process: Process,
    version: Version,
    _proxy: Option<FaultProxy>,
}

// === impl Build ===

impl Build {
    pub(crate) const ALL: [Self; 5] = [Self::Good, Self::Errors, Self::Cuts, Self::Slow, Self::Hangs];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Errors => "errors",
            Self::Cuts => "cuts",
            Self::Slow => "slow",
            Self::Hangs => "hangs",
        }
    }

    const fn story(self) -> &'static str {
        match self {
            Self::Good => "nothing is wrong with it",
            Self::Errors => {
                "REQUEST_TIMEOUT is 90ms and was meant to be 90s; it is ready, and chats that wait for the model get 504"
            }
            Self::Cuts => {
                "it is ready, and each of its connections is cut after 2,000 bytes of answers, as by a crash of a worker"
            }
            Self::Slow => {
                "it is ready, and its way to the orchestrator is a detour that takes longer than the limit"
            }
            Self::Hangs => {
                "it is ready on its admin port, and takes connections on the other and answers nothing, as with a policy that drops its packets"
            }
        }
    }
}

// === impl Site ===

impl Site {
    /// Makes the language model take its time.
    pub(crate) async fn pace(stack: &Stack) -> anyhow::Result<()> {
        let url = format!("http://{}/faults", stack.model.admin);
        let switches = json!({ "delay": MODEL });
        let turned =
            Asker::new().ask(Method::PUT, &url, &[], Some(&switches), Duration::from_secs(5)).await?;
        ensure!(turned.status.is_success(), "the language model's switches: {}", turned.status);
        Ok(())
    }

    /// Rolls a build out, and leaves the site with the version that has the traffic then.
    pub(crate) async fn roll_out(
        mut self,
        build: Build,
        options: &Options,
    ) -> anyhow::Result<(Self, Rollout)> {
        let begin = Instant::now();
        sleep(BEFORE).await;
        let limit = self.limit(begin)?;
        let number = self.old.1.name.trim_start_matches('v').parse::<u32>().unwrap_or(0) + 1;
        let canary = self.canary(build, &format!("v{number}"), limit).await?;
        let mut marks = vec![("before", begin, Instant::now())];

        let version = canary.version.clone();
        let given = Instant::now();
        self.balancer.share(&version, options.share / 100.0);
        let mut why = tokio::select! {
            why = version.judge.worse() => Some(why),
            () = sleep(options.canary_for()) => None,
        };
        let judged = version.judge.judged();
        if why.is_none() && judged < u64::from(EVIDENCE) {
            let sent = version.sent();
            why = Some(format!(
                "{judged} of the {sent} requests that it got say something, too few to judge it by"
            ));
        }
        marks.push(("canary", given, Instant::now()));
        if why.is_none() {
            let given = Instant::now();
            self.balancer.share(&version, 1.0);
            why = tokio::select! {
                why = version.judge.worse() => Some(why),
                () = sleep(HOLD) => None,
            };
            marks.push(("all", given, Instant::now()));
        }

        let settled = Instant::now();
        let (outcome, noticed, rolled_back, drained) = match &why {
            None => {
                self.balancer.promote(version.clone());
                let drained = drain(&mut self.old.0).await?;
                self.old = (canary.process, version.clone());
                (Outcome::Promoted, None, None, drained)
            }
            Some(_) => {
                self.balancer.take_back();
                version.is_idle().await;
                let rolled_back = settled.elapsed();
                let mut process = canary.process;
                let drained = drain(&mut process).await?;
                (Outcome::RolledBack, Some(settled - given), Some(rolled_back), drained)
            }
        };
        sleep(AFTER).await;
        marks.push(("after", settled, Instant::now()));

        // The next ones come to the same callers, so their end is awaited each time.
        let asker = Asker::with_token(&self.stack.token("rollout")?)?;
        let next = Load::start(asker, self.at, options.rate);
        let calls = std::mem::replace(&mut self.load, next).end().await?;
        let mut stages = Vec::new();
        for (name, from, to) in marks {
            let of = |new: bool| {
                let calls = calls.iter().filter(move |call| (from..to).contains(&call.due));
                Side::of(calls.filter(|call| (call.by.as_deref() == Some(&version.name)) == new))
            };
            stages.push(Stage { name, seconds: (to - from).as_secs_f64(), old: of(false)?, new: of(true)? });
        }
        let rollout = Rollout {
            build,
            story: build.story().to_owned(),
            outcome,
            stages,
            why,
            noticed_after_ms: noticed.map(millis),
            rolled_back_after_ms: rolled_back.map(millis),
            drained_after_ms: drained.map(millis),
            limit_ms: millis(limit),
            cost: Cost::of(&calls, &version.name, limit),
        };
        Ok((self, rollout))
    }

    /// By what the old version takes.
    fn limit(&self, from: Instant) -> anyhow::Result<Duration> {
        let seen = latencies(self.load.since(from).iter().map(|call| call.latency))?;
        let usual = Duration::from_micros(seen.value_at_quantile(0.95));
        Ok((usual * TIMES_SLOWER).clamp(LEAST_LIMIT, MOST_LIMIT))
    }

    async fn canary(&mut self, build: Build, name: &str, limit: Duration) -> anyhow::Result<Canary> {
        // One that is slow is ready all the same.
        let mut own = vec![("MAINSTAY__HEALTH__CHECKS__ORCHESTRATOR__TIMEOUT", "9s".to_owned())];
        let mut proxy = None;
        match build {
            Build::Good | Build::Cuts | Build::Hangs => {}
            Build::Errors => own.push(("REQUEST_TIMEOUT", "90ms".to_owned())),
            Build::Slow => {
                let detour = FaultProxy::start(self.stack.orchestrator.address)?;
                // Each way; an answer takes two questions there.
                detour.set(Fault::Delay(limit.mul_f64(0.4)));
                own.push(("ORCHESTRATORS", format!("http://{}", detour.addr())));
                proxy = Some(detour);
            }
        }
        let process = self.stack.gateway(&own).await?;
        process.ready().await?;
        let mut at = process.address;
        let fault = match build {
            Build::Cuts => Some(Fault::CutAfter { bytes: 2_000 }),
            Build::Hangs => Some(Fault::BlackHole),
            Build::Good | Build::Errors | Build::Slow => None,
        };
        if let Some(fault) = fault {
            let before = FaultProxy::start(process.address)?;
            before.set(fault);
            at = before.addr();
            proxy = Some(before);
        }
        let judge = Judge::new(name, limit)?;
        judge.start()?;
        let version = Version::new(name, &process, at, judge)?;
        // The balancer has seen it, too.
        let deadline = Instant::now() + Duration::from_secs(30);
        while !version.is_ready() {
            ensure!(Instant::now() < deadline, "the balancer does not find {name} ready");
            sleep(Duration::from_millis(20)).await;
        }
        Ok(Canary { process, version, _proxy: proxy })
    }
}

/// Ends a version. How long it took, if it ended well.
async fn drain(process: &mut Process) -> anyhow::Result<Option<Duration>> {
    let begin = Instant::now();
    let status = process.end().await?;
    Ok(status.success().then(|| begin.elapsed()))
}
