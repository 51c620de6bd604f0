//! The soak: the stack under load for long while a random schedule of faults is played. What must hold is looked at all the time and after
//! each round: nothing that was accepted is lost or ends twice, nothing gets stuck, nothing grows. Look at [`run`], and at `schedule.rs`.

mod flat;
mod judge;
mod options;
mod pulse;
mod report;
mod schedule;
mod timeline;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::{Instant, sleep};

use self::judge::Mishap;
pub(crate) use self::options::Options;
use self::pulse::Pulses;
use self::report::{Report, Round};
use crate::apart;
use crate::drill::changes::{Event, millis};
use crate::drill::conductor::{Conductor, Played, Zero};
use crate::drill::load::{Load, Sample};
use crate::drill::plan::{Plan, Server};
use crate::drill::report::model::{Class, Kind};
use crate::drill::servers::Servers;
use crate::drill::stack::{Layers, Stack};
use crate::drill::world::{self, World};
use crate::drill::{events_of, ledger};
use crate::files;

/// How long there is load before anything is measured, so that connections are there.
const WARM_UP: Duration = Duration::from_secs(2);
/// Each request that waits holds a socket.
const FILES: u64 = 8_192;

/// A soak under way.
struct Soak<'c> {
    conductor: &'c mut Conductor,
    load: Load,
    database: String,
    pulses: Pulses,
    zero: Zero,
    /// What was played: each outage with its quiet time, if it has one.
    played: Vec<(Played, Option<Played>)>,
    found: Vec<Mishap>,
    /// So many of the accepted tasks were looked for.
    checked: usize,
}

/// Soaks, and prints the report. Returns whether everything held that had to.
pub(crate) async fn run(options: Options) -> anyhow::Result<bool> {
    let plan = options.plan()?;
    if options.prints_plan() {
        print!("{}", plan.to_yaml()?);
        return Ok(true);
    }
    files::raise_limit(FILES);
    world::takes(None, &plan)?;
    let file = options.file()?;
    let scratch = tempfile::tempdir()?;
    let mut conductor = apart::unless_told_to_end(prepare(&plan, scratch.path())).await?;
    let soaked = apart::unless_told_to_end(soak(&mut conductor, &options, plan)).await;
    // Also when it went wrong: nothing stays broken.
    let restored = conductor.restore().await;
    let report = soaked?;
    print!("{report}");
    if let Some(mut file) = file {
        let json = serde_json::to_string_pretty(&report)?;
        file.write_all(json.as_bytes()).context("writing the report")?;
    }
    restored?;
    Ok(report.passed)
}

async fn prepare(plan: &Plan, scratch: &Path) -> anyhow::Result<Conductor> {
    eprintln!("starting a stack on servers of the soak's own");
    let servers = Servers::start(plan)?;
    let are_there = servers.has(Server::Redis) && servers.has(Server::Postgres);
    ensure!(are_there, "the soak needs redis-server and PostgreSQL");
    servers.prepare(1).await?;
    let stack = Stack::start(0, Layers::On, &servers, &scratch.join("stack")).await?;
    Ok(Conductor::new(World::Own { stacks: vec![stack], servers: Box::new(servers) }))
}

async fn soak(conductor: &mut Conductor, options: &Options, plan: Plan) -> anyhow::Result<Report> {
    let World::Own { stacks, servers } = &conductor.world else { anyhow::bail!("a stack of the soak's own") };
    let stack = stacks.first().context("a stack")?;
    let load = Load::new(stack.gateway_url(), stack.tokens()?);
    let database = servers.postgres_directly(0).context("a PostgreSQL")?;
    let pulses = Pulses::begin(stack);
    let (rate, length) = (options.rate, plan.length());
    eprintln!(
        "{}: {rate} requests a second, {} phases, {} s",
        plan.name,
        plan.phases.len(),
        length.as_secs()
    );
    let sending = tokio::spawn(load.clone().run(Instant::now(), rate));
    sleep(WARM_UP).await;
    let (zero, played, found) = (Zero::now(), Vec::new(), Vec::new());
    let mut soak = Soak { conductor, load, database, pulses, zero, played, found, checked: 0 };
    for phase in &plan.phases {
        let one = Plan { name: plan.name.clone(), phases: vec![phase.clone()] };
        let (played, ended) = soak.conductor.play(&one, zero).await;
        ended?;
        soak.look(played).await?;
    }
    let length = zero.instant.elapsed();
    soak.load.end();
    sending.await.context("the callers broke down")?;
    soak.report(options, plan, length).await
}

// === impl Soak ===

impl Soak<'_> {
    /// Looks how things are after a round, and says it.
    async fn look(&mut self, played: Vec<Played>) -> anyhow::Result<()> {
        let mut played = played.into_iter();
        let outage = played.next().context("a phase")?;
        let quiet = played.next();
        let before = self.found.len();
        let samples = self.samples();
        let events = judge::without_traffic(self.events());
        if let Some(quiet) = &quiet {
            judge::ready(&self.pulses.now().await, &mut self.found);
            let accepted = self.load.seen().accepted.clone();
            let until = accepted.partition_point(|task| task.at < quiet.from);
            let fresh = accepted.get(self.checked..until).unwrap_or_default();
            judge::stored(&self.database, fresh, &quiet.name, &mut self.found).await?;
            self.checked = until.max(self.checked);
            let figures = judge::figures_of(quiet, &samples, &events, self.zero);
            judge::well(quiet, &figures, &events, &mut self.found);
        }
        eprintln!("{}", self.round(&outage, quiet.as_ref(), &samples, &events));
        for mishap in self.found.iter().skip(before) {
            eprintln!("           MUST NOT BE: {}", mishap.what);
        }
        self.played.push((outage, quiet));
        Ok(())
    }

    /// All that was measured so far.
    fn samples(&self) -> Vec<Sample> {
        let seen = self.load.seen();
        seen.samples.iter().filter(|sample| sample.due >= self.zero.instant).copied().collect()
    }

    fn events(&self) -> Vec<Event> {
        match &self.conductor.world {
            World::Own { stacks, .. } => {
                stacks.first().map(|stack| events_of(stack, self.zero)).unwrap_or_default()
            }
            World::Running { .. } => Vec::new(),
        }
    }

    fn round(&self, outage: &Played, quiet: Option<&Played>, samples: &[Sample], events: &[Event]) -> Round {
        let to = quiet.map_or(outage.to, |quiet| quiet.to);
        let whole = Played { to, ..outage.clone() };
        let all = judge::figures_of(&whole, samples, events, self.zero).all();
        let well = quiet.and_then(|quiet| {
            let figures = judge::figures_of(quiet, samples, events, self.zero);
            judge::well(quiet, &figures, events, &mut Vec::new())
        });
        Round {
            name: outage.name.clone(),
            story: outage.story.clone(),
            at_ms: millis(outage.from - self.zero.instant),
            outage_ms: if outage.kind == Kind::Healthy { 0 } else { millis(outage.to - outage.from) },
            quiet_ms: millis(quiet.unwrap_or(outage).to - quiet.unwrap_or(outage).from),
            requests: all.requests,
            answered: all.answered,
            refused: all.refused,
            failed: all.failed,
            slowest_ms: all.max_ms,
            well_after_ms: well,
        }
    }

    /// Once nobody asks any more.
    async fn report(mut self, options: &Options, plan: Plan, length: Duration) -> anyhow::Result<Report> {
        eprintln!("{:>8.1} s  comparing with what was accepted", length.as_secs_f64());
        judge::at_rest(&self.pulses, &mut self.found).await;
        let (samples, told, pulses) = (self.samples(), self.events(), self.pulses.taken());
        let events = judge::without_traffic(told.clone());
        let (failures, accepted, late) = {
            let seen = self.load.seen();
            (seen.failures.clone(), seen.accepted.clone(), seen.late)
        };
        let deeds = self.conductor.deeds.clone();
        let failures: Vec<_> =
            failures.into_iter().filter(|failure| failure.sample.due >= self.zero.instant).collect();
        let cut_off = judge::requests(&samples, &failures, &deeds, &mut self.found);
        let tasks = ledger::compare(&self.database, &accepted).await?;
        let (unended, twice) = ledger::odd_ones(&self.database).await?;

        let kept_up = judge::kept_up(late, samples.len());
        let machine_kept_up = kept_up.holds;
        let mut verdicts = vec![kept_up];
        verdicts.extend(judge::verdicts(&self.found, self.zero));
        verdicts.extend(judge::tasks(&tasks, unended, &twice));
        verdicts.push(judge::calm(&self.logs()));
        let mut growth = Vec::new();
        for service in services(&pulses) {
            let of_service = flat::judge(&service, &pulses, &self.quiet_times());
            let mut processes: Vec<_> =
                pulses.iter().filter(|pulse| pulse.service == service).map(|pulse| pulse.process).collect();
            processes.dedup();
            verdicts.extend(judge::flat(&service, &of_service, processes.len() > 1));
            growth.extend(of_service);
        }

        let rounds =
            self.played.iter().map(|(outage, quiet)| self.round(outage, quiet.as_ref(), &samples, &events));
        let rounds = rounds.collect();
        let requests = self.whole(&samples, &events);
        Ok(Report {
            machine_kept_up,
            passed: verdicts.iter().all(|verdict| verdict.holds),
            again: options.again(),
            began: humantime::format_rfc3339_seconds(self.zero.wall).to_string(),
            rate: options.rate,
            length_ms: millis(length),
            rounds,
            requests,
            cut_off,
            tasks,
            growth,
            verdicts,
            changes: told.iter().filter_map(Event::change).collect(),
            timeline: timeline::around(&self.found, &deeds, &told, &failures, self.zero),
            plan,
        })
    }

    /// The times in which nothing is broken.
    fn quiet_times(&self) -> Vec<(Instant, Instant)> {
        let quiet = self.played.iter().filter_map(|(outage, quiet)| {
            let healthy = (outage.kind == Kind::Healthy).then_some(outage);
            healthy.or(quiet.as_ref())
        });
        quiet.map(|time| (time.from, time.to)).collect()
    }

    /// All requests, by class.
    fn whole(&self, samples: &[Sample], events: &[Event]) -> Vec<Class> {
        let Some((first, _)) = self.played.first() else { return Vec::new() };
        let all = Played { from: self.zero.instant, to: Instant::now(), ..first.clone() };
        judge::figures_of(&all, samples, events, self.zero).classes
    }

    fn logs(&self) -> Vec<(String, String)> {
        let World::Own { stacks, .. } = &self.conductor.world else { return Vec::new() };
        let logs = stacks.iter().flat_map(|stack| {
            let others = [("agent-core", &stack.agents), ("llm-service", &stack.model)];
            let others = others.map(|(name, process)| (name.to_owned(), process));
            stack.watched().into_iter().chain(others).map(|(name, process)| (name, process.log()))
        });
        logs.collect()
    }
}

/// The names of those that were looked at, each once.
fn services(pulses: &[pulse::Pulse]) -> Vec<String> {
    let names: BTreeSet<_> = pulses.iter().map(|pulse| pulse.service.clone()).collect();
    names.into_iter().collect()
}
