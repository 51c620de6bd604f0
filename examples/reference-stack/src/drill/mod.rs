//! The outage drill: a whole stack under load while what it depends on is killed, stopped and broken, the same without Mainstay's layers
//! beside it, and a report of what that was worth. Look at [`run`], and at `plans/outages.yaml` for what happens.

pub(crate) mod changes;
pub(crate) mod conductor;
pub(crate) mod fault;
pub(crate) mod figures;
pub(crate) mod ledger;
pub(crate) mod load;
mod mistakes;
mod options;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod servers;
pub(crate) mod stack;
pub(crate) mod verdicts;
pub(crate) mod watch;
pub(crate) mod world;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{Instant as TokioInstant, sleep};

use self::changes::{Event, What, millis, of_log};
use self::conductor::{Conductor, Played, Zero};
use self::load::{Accepted, Load, Sample};
pub(crate) use self::options::Options;
use self::plan::Plan;
use self::report::model::{self, Report, Verdict};
use self::servers::Servers;
use self::stack::{Layers, OPEN_FOR, RELAX_AFTER, Stack};
use self::verdicts::Promise;
use self::watch::Watch;
use self::world::World;
use crate::files;

/// How long there is load before anything is measured, so that connections are there.
const WARM_UP: Duration = Duration::from_secs(2);
/// Each request that waits holds a socket.
const FILES: u64 = 8_192;

/// One stack's load, and where its tasks are looked for.
struct Side {
    layers: Layers,
    load: Load,
    database: Option<String>,
}

/// What a drill came to, and why it ended early if it did.
struct Drilled {
    report: Report,
    went_wrong: Option<anyhow::Error>,
}

/// Drills, prints the report and writes it. Returns whether everything held that had to.
pub(crate) async fn run(options: Options) -> anyhow::Result<bool> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    files::raise_limit(FILES);
    let plan = options.plan()?;
    world::takes(options.running().as_ref(), &plan)?;
    let targets = options.targets()?;
    let scratch = tempfile::tempdir()?;
    let mut conductor = tokio::select! {
        prepared = prepare(&options, &plan, scratch.path()) => prepared?,
        _ = terminate.recv() => bail!("interrupted"),
        _ = interrupt.recv() => bail!("interrupted"),
    };
    let drilled = tokio::select! {
        drilled = drill(&mut conductor, &options, plan) => drilled,
        _ = terminate.recv() => Err(anyhow::anyhow!("interrupted")),
        _ = interrupt.recv() => Err(anyhow::anyhow!("interrupted")),
    };
    // Also when it went wrong: nothing stays broken that the drill broke.
    let restored = conductor.restore().await;
    let Drilled { report, went_wrong } = drilled?;
    let told = targets.tell(&report);
    restored.and(told)?;
    match went_wrong {
        None => Ok(report.passed),
        Some(error) => Err(error.context("the report is of what came before")),
    }
}

async fn prepare(options: &Options, plan: &Plan, scratch: &Path) -> anyhow::Result<Conductor> {
    if let Some(running) = options.running() {
        if let Some(database) = options.database() {
            ledger::reach(&database).await.context("the tables of the tasks in --database-url")?;
        }
        if options.admins().is_empty() {
            eprintln!("levels and breakers are not watched: there is no --admin-url");
        }
        return Ok(Conductor::new(running));
    }
    let sides: &[Layers] = if options.compares() { &[Layers::On, Layers::Off] } else { &[Layers::On] };
    eprintln!(
        "starting {} on servers of the drill's own",
        if sides.len() == 1 { "a stack" } else { "two stacks" }
    );
    let servers = Servers::start(plan)?;
    servers.prepare(sides.len()).await?;
    let mut stacks = Vec::new();
    for (number, layers) in sides.iter().enumerate() {
        stacks.push(Stack::start(number, *layers, &servers, &scratch.join(format!("stack-{number}"))).await?);
    }
    Ok(Conductor::new(World::Own { stacks, servers: Box::new(servers) }))
}

async fn drill(conductor: &mut Conductor, options: &Options, plan: Plan) -> anyhow::Result<Drilled> {
    let plan = conductor.world.without_what_is_missing(plan)?;
    let sides = sides(&conductor.world, options)?;
    let watch = Watch::begin(&options.admins());
    let rate = options.rate;
    eprintln!(
        "{}: {rate} requests a second at each, {} phases, {} s",
        plan.name,
        plan.phases.len(),
        plan.length().as_secs()
    );
    let mut loads = JoinSet::new();
    for side in &sides {
        loads.spawn(side.load.clone().run(TokioInstant::now(), rate));
    }
    sleep(WARM_UP).await;
    let (zero, began) = (Zero::now(), Instant::now());
    let (played, ended) = conductor.play(&plan, zero).await;
    sides.iter().for_each(|side| side.load.end());
    if played.is_empty() {
        ended?;
        bail!("nothing was played");
    }
    let length = began.elapsed();
    if ended.is_err() {
        // Or what is compared with is broken still. What cannot be restored is said.
        let _ = conductor.restore().await;
    }
    while loads.join_next().await.is_some() {}
    eprintln!("{:>8.1} s  comparing with what was accepted", began.elapsed().as_secs_f64());

    let events: Vec<Vec<Event>> = match &conductor.world {
        World::Own { stacks, .. } => stacks.iter().map(|stack| events_of(stack, zero)).collect(),
        World::Running { .. } => vec![watch.events(zero.instant)],
    };
    let mut stacks = Vec::new();
    for (number, side) in sides.iter().enumerate() {
        let none = Vec::new();
        let (own, first) = (events.get(number).unwrap_or(&none), events.first().unwrap_or(&none));
        let (samples, accepted) = side.seen(zero);
        let mut stack = figures::stack(side.layers.name(), &samples, own, first, &played, zero);
        stack.tasks = match &side.database {
            Some(database) => {
                let compared = ledger::compare(database, &accepted).await;
                compared
                    .inspect_err(|error| eprintln!("{}: the database cannot be asked: {error:#}", stack.name))
                    .ok()
            }
            None => Some(ledger::ask(&side.load, &accepted).await),
        };
        stacks.push(stack);
    }
    let promise = options.promise(Promise { relax_after: RELAX_AFTER, open_for: OPEN_FOR });
    let first = stacks.first().context("a stack")?;
    let mut verdicts = verdicts::all(first, &played, promise);
    let went_wrong = ended.err();
    if let Some(error) = &went_wrong {
        let (name, figure) = ("the whole plan is played".to_owned(), format!("{error:#}"));
        verdicts.push(Verdict { name, holds: false, figure });
    }
    let report = Report {
        name: plan.name,
        began: humantime::format_rfc3339_seconds(zero.wall).to_string(),
        against: against(&conductor.world, options),
        rate,
        length_ms: millis(length),
        phases: played.iter().map(|phase| phase_of(phase, zero)).collect(),
        stacks,
        passed: verdicts.iter().all(|verdict| verdict.holds),
        verdicts,
    };
    Ok(Drilled { report, went_wrong })
}

fn sides(world: &World, options: &Options) -> anyhow::Result<Vec<Side>> {
    match world {
        World::Own { stacks, servers } => {
            let side = |(number, stack): (usize, &Stack)| {
                let load = Load::new(stack.gateway_url(), stack.tokens()?);
                let database = servers.postgres_directly(number);
                Ok(Side { layers: stack.layers, load, database })
            };
            stacks.iter().enumerate().map(side).collect()
        }
        World::Running { .. } => {
            let load = Load::new(options.gateway()?, options.tokens()?);
            Ok(vec![Side { layers: Layers::On, load, database: options.database() }])
        }
    }
}

// === impl Side ===

impl Side {
    /// What was measured, and everything that was accepted. Why requests failed is said.
    fn seen(&self, zero: Zero) -> (Vec<Sample>, Vec<Accepted>) {
        let seen = self.load.seen();
        for (why, times) in &seen.failings {
            eprintln!("{}: {times} failed: {why}", self.layers.name());
        }
        if seen.late > 0 {
            let (late, of) = (seen.late, seen.samples.len());
            eprintln!(
                "{}: {late} of {of} requests were sent late: this machine is too busy",
                self.layers.name()
            );
        }
        let measured = seen.samples.iter().filter(|sample| sample.due >= zero.instant);
        (measured.copied().collect(), seen.accepted.clone())
    }
}

/// What a stack's services logged. Breakers that only observe decide nothing, and are not told of.
pub(crate) fn events_of(stack: &Stack, zero: Zero) -> Vec<Event> {
    let mut events = Vec::new();
    for (name, process) in stack.watched() {
        events.extend(of_log(&name, &process.log(), zero.wall));
    }
    if stack.layers == Layers::Off {
        events.retain(|event| matches!(event.what, What::Failed(_)));
    }
    events.sort_by_key(|event| event.at);
    events
}

fn phase_of(phase: &Played, zero: Zero) -> model::Phase {
    model::Phase {
        name: phase.name.clone(),
        story: phase.story.clone(),
        kind: phase.kind,
        from_ms: millis(phase.from - zero.instant),
        to_ms: millis(phase.to - zero.instant),
    }
}

fn against(world: &World, options: &Options) -> String {
    match world {
        World::Own { servers, .. } => {
            let there = |server| servers.has(server);
            match (there(plan::Server::Redis), there(plan::Server::Postgres)) {
                (true, true) => "own servers".to_owned(),
                (true, false) => "a Redis of its own; tasks on embedded stores".to_owned(),
                (false, true) => "a PostgreSQL of its own; sessions and limits in memory".to_owned(),
                (false, false) => "embedded stores".to_owned(),
            }
        }
        World::Running { .. } => options.gateway().unwrap_or_default(),
    }
}
