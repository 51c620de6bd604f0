//! Plays a plan: breaks, waits, restores, watches. Look at [`Conductor::play`].

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

use crate::drill::plan::{Break, Fault, Phase, Plan};
use crate::drill::report::model::Kind;
use crate::drill::world::World;

/// A part of the drill, as it was played.
#[derive(Debug, Clone)]
pub(crate) struct Played {
    pub(crate) name: String,
    pub(crate) story: String,
    pub(crate) kind: Kind,
    /// What the outage began with.
    pub(crate) faults: Vec<Fault>,
    /// Whether a breaker has to open.
    pub(crate) opens: bool,
    pub(crate) from: Instant,
    /// When the first of the faults came.
    pub(crate) broken: Instant,
    pub(crate) to: Instant,
}

/// When the drill began, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Zero {
    pub(crate) instant: Instant,
    pub(crate) wall: SystemTime,
}

/// Knows what is broken, so that it can be restored whatever happens.
#[derive(Debug)]
pub(crate) struct Conductor {
    pub(crate) world: World,
    broken: Vec<Fault>,
    /// All that was done so far.
    pub(crate) deeds: Vec<Deed>,
}

/// Something was broken, or restored.
#[derive(Debug, Clone)]
pub(crate) struct Deed {
    pub(crate) fault: Fault,
    pub(crate) begins: bool,
    pub(crate) from: Instant,
    pub(crate) to: Instant,
}

/// Something to do at a time of a phase.
struct Step {
    at: Duration,
    fault: Fault,
    begins: bool,
}

// === impl Zero ===

impl Zero {
    pub(crate) fn now() -> Self {
        Self { instant: Instant::now(), wall: SystemTime::now() }
    }
}

// === impl Conductor ===

impl Conductor {
    pub(crate) fn new(world: World) -> Self {
        Self { world, broken: Vec::new(), deeds: Vec::new() }
    }

    /// Plays all of it, or as much as goes well.
    pub(crate) async fn play(&mut self, plan: &Plan, zero: Zero) -> (Vec<Played>, anyhow::Result<()>) {
        let mut played = Vec::new();
        for phase in &plan.phases {
            match self.outage(phase, zero).await {
                Ok(outage) => played.push(outage),
                Err(error) => return (played, Err(error.context(format!("playing {:?}", phase.name)))),
            }
            if let Some(then) = phase.then {
                let from = Instant::now();
                let name = phase.name_restored();
                tell(zero, &name, "everything works again");
                sleep_until(from + then.0).await;
                let (faults, opens) = (beginning(phase), phase.opens);
                let (kind, to) = (Kind::Recovery, Instant::now());
                let story = format!("After: {}", phase.story);
                played.push(Played { name, story, kind, faults, opens, from, broken: from, to });
            }
        }
        (played, Ok(()))
    }

    /// Restores everything that is broken, whatever has happened before.
    pub(crate) async fn restore(&mut self) -> anyhow::Result<()> {
        let mut all = Ok(());
        while let Some(fault) = self.broken.pop() {
            let restored = self.end(&fault).await;
            if let Err(error) = &restored {
                eprintln!("{fault:?} cannot be restored: {error:#}");
            }
            all = all.and(restored);
        }
        all
    }

    async fn begin(&mut self, fault: &Fault) -> anyhow::Result<()> {
        let from = Instant::now();
        let begun = self.world.begin(fault).await;
        self.deeds.push(Deed { fault: fault.clone(), begins: true, from, to: Instant::now() });
        begun
    }

    async fn end(&mut self, fault: &Fault) -> anyhow::Result<()> {
        let from = Instant::now();
        let ended = self.world.end(fault).await;
        self.deeds.push(Deed { fault: fault.clone(), begins: false, from, to: Instant::now() });
        ended
    }

    /// Breaks what a phase breaks. Returns when all of it is restored.
    async fn outage(&mut self, phase: &Phase, zero: Zero) -> anyhow::Result<Played> {
        let from = Instant::now();
        tell(zero, &phase.name, &phase.story);
        for step in steps(phase) {
            sleep_until(from + step.at).await;
            if step.begins {
                // What fails half-way is restored as well.
                self.broken.push(step.fault.clone());
                self.begin(&step.fault).await?;
            } else {
                self.end(&step.fault).await?;
                self.broken.retain(|fault| *fault != step.fault);
            }
        }
        sleep_until(from + phase.lasts.0).await;
        self.restore().await?;
        let kind = if phase.r#break.is_empty() { Kind::Healthy } else { Kind::Outage };
        let (name, story, faults) = (phase.name.clone(), phase.story.clone(), beginning(phase));
        let (opens, broken) = (phase.opens, from + phase.begins());
        Ok(Played { name, story, kind, faults, opens, from, broken, to: Instant::now() })
    }
}

fn tell(zero: Zero, name: &str, story: &str) {
    eprintln!("{:>8.1} s  {name}: {story}", zero.instant.elapsed().as_secs_f64());
}

/// The breaks and restorations of a phase, in the order of their times.
fn steps(phase: &Phase) -> Vec<Step> {
    let mut steps = Vec::new();
    for one in &phase.r#break {
        let Some(fault) = one.fault() else { continue };
        if let Some(lasts) = one.lasts() {
            steps.push(Step { at: one.after() + lasts, fault: fault.clone(), begins: false });
        }
        steps.push(Step { at: one.after(), fault, begins: true });
    }
    steps.sort_by_key(|step| step.at);
    steps
}

/// What a phase breaks first.
fn beginning(phase: &Phase) -> Vec<Fault> {
    phase.beginning().filter_map(Break::fault).collect()
}
