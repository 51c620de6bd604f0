//! What each process holds and says of itself, once a second. Look at [`Pulse`].

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::apart::{Asker, Process, figure};
use crate::drill::changes::Name;
use crate::drill::stack::Stack;
use crate::drill::watch::states;
use crate::service::Service;

const EVERY: Duration = Duration::from_secs(1);
/// How long an admin port may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// A process at a moment.
#[derive(Debug, Clone)]
pub(crate) struct Pulse {
    pub(crate) at: Instant,
    /// `gateway`, `orchestrator 1`
    pub(crate) service: String,
    /// Its number with the system: another one is another process.
    pub(crate) process: u32,
    /// None where the system does not tell.
    pub(crate) held: Option<Held>,
    /// None if it did not answer in time.
    pub(crate) says: Option<Says>,
}

/// What it holds, by the system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    /// KiB of memory.
    pub(crate) memory: u64,
    pub(crate) connections: u64,
    pub(crate) files: u64,
}

/// What it says.
#[derive(Debug, Clone)]
pub(crate) struct Says {
    pub(crate) is_ready: bool,
    /// Tasks of the runtime.
    pub(crate) tasks: u64,
    /// Calls or tasks that are under way.
    pub(crate) busy: u64,
    /// Records that wait in its spool.
    pub(crate) backlog: u64,
    /// The breakers that are not closed.
    pub(crate) breakers: Vec<String>,
    /// None if it is none.
    pub(crate) level: Option<&'static str>,
}

/// Those who ask, until this is dropped.
#[derive(Debug)]
pub(crate) struct Pulses {
    taken: Arc<Mutex<Vec<Pulse>>>,
    patients: Vec<Patient>,
    takers: Vec<JoinHandle<()>>,
}

/// One that is asked.
#[derive(Debug, Clone)]
struct Patient {
    service: String,
    kind: Service,
    process: Arc<AtomicU32>,
    admin: String,
    asker: Asker,
}

// === impl Pulses ===

impl Pulses {
    /// Of all processes of a stack, also of those that are started in their place.
    pub(crate) fn begin(stack: &Stack) -> Self {
        let services = [("agent-core".to_owned(), &stack.agents), ("llm-service".to_owned(), &stack.model)];
        let services = stack.watched().into_iter().chain(services);
        let patients: Vec<_> = services.map(|(name, process)| Patient::new(name, process)).collect();
        let taken = Arc::<Mutex<Vec<Pulse>>>::default();
        let take = |patient: &Patient| tokio::spawn(patient.clone().take(taken.clone()));
        let takers = patients.iter().map(take).collect();
        Self { taken, patients, takers }
    }

    /// All so far, by time.
    pub(crate) fn taken(&self) -> Vec<Pulse> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All processes as they are now.
    pub(crate) async fn now(&self) -> Vec<Pulse> {
        let mut all = Vec::new();
        for patient in &self.patients {
            all.push(patient.pulse().await);
        }
        all
    }
}

impl Drop for Pulses {
    fn drop(&mut self) {
        self.takers.iter().for_each(JoinHandle::abort);
    }
}

// === impl Patient ===

impl Patient {
    fn new(service: String, process: &Process) -> Self {
        Self {
            service,
            kind: process.service(),
            process: process.number(),
            admin: format!("http://{}", process.admin),
            asker: Asker::new(),
        }
    }

    async fn take(self, taken: Arc<Mutex<Vec<Pulse>>>) {
        let mut turns = interval(EVERY);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            let pulse = self.pulse().await;
            taken.lock().unwrap_or_else(PoisonError::into_inner).push(pulse);
        }
    }

    async fn pulse(&self) -> Pulse {
        let process = self.process.load(Ordering::Relaxed);
        let says = self.says().await.ok();
        Pulse { at: Instant::now(), service: self.service.clone(), process, held: Held::by(process), says }
    }

    async fn says(&self) -> anyhow::Result<Says> {
        let ready = self.asker.text(&format!("{}/readyz", self.admin), PATIENCE).await;
        let mut says = match self.kind {
            Service::Gateway | Service::Orchestrator => {
                let metrics = self.asker.text(&format!("{}/metrics", self.admin), PATIENCE).await?;
                let counted = |name| count(figure(&metrics, name).unwrap_or(0.0));
                let (mut breakers, mut level) = (Vec::new(), None);
                for (name, state) in states(&metrics).into_iter().filter(|(name, state)| !name.is_well(state))
                {
                    match name {
                        Name::Level => level = Some(state),
                        Name::Breaker(breaker) => breakers.push(format!("{breaker} is {state}")),
                    }
                }
                Says {
                    is_ready: false,
                    tasks: counted("tokio_alive_tasks"),
                    busy: counted("orchestrator_tasks_running"),
                    backlog: counted("mainstay_spool_backlog_items"),
                    breakers,
                    level,
                }
            }
            Service::AgentCore | Service::LlmService => {
                let counts = self.asker.text(&format!("{}/counts", self.admin), PATIENCE).await?;
                let counts: Value = serde_json::from_str(&counts)?;
                let counted = |name: &str| counts.get(name).and_then(Value::as_u64).unwrap_or_default();
                let (tasks, busy) = (counted("tokio_alive_tasks"), counted("under_way"));
                Says { is_ready: false, tasks, busy, backlog: 0, breakers: Vec::new(), level: None }
            }
        };
        says.is_ready = ready.is_ok();
        Ok(says)
    }
}

// === impl Held ===

impl Held {
    fn by(process: u32) -> Option<Self> {
        let place = Path::new("/proc").join(process.to_string());
        let status = std::fs::read_to_string(place.join("status")).ok()?;
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let memory = memory.trim().trim_end_matches(" kB").parse().ok()?;
        let mut held = Self { memory, connections: 0, files: 0 };
        for file in std::fs::read_dir(place.join("fd")).ok()?.flatten() {
            match std::fs::read_link(file.path()) {
                Ok(to) if to.to_string_lossy().starts_with("socket:") => held.connections += 1,
                Ok(_) => held.files += 1,
                Err(_) => {}
            }
        }
        Some(held)
    }
}

// === impl Says ===

impl Says {
    /// What is wrong with it, if anything is. The level is another matter: the traffic of the last 30 s may hold it.
    pub(crate) fn complaint(&self) -> Option<String> {
        let is_not_ready = (!self.is_ready).then(|| "it is not ready".to_owned());
        let all: Vec<_> = is_not_ready.into_iter().chain(self.breakers.iter().cloned()).collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    /// What keeps it from being at rest, if anything does.
    pub(crate) fn unrest(&self) -> Option<String> {
        let busy = (self.busy > 0).then(|| format!("{} under way", self.busy));
        let backlog = (self.backlog > 0).then(|| format!("{} records wait", self.backlog));
        let level = self.level.map(|level| format!("the level is {level}"));
        let all: Vec<_> = [busy, backlog, level, self.complaint()].into_iter().flatten().collect();
        (!all.is_empty()).then(|| all.join(", "))
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts")]
fn count(figure: f64) -> u64 {
    figure.max(0.0) as u64
}
