//! What is drilled: stacks that the drill has started, or one that runs elsewhere; and how a fault is put into it.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use axum::http::Method;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::apart::{Asker, PATIENCE, Process};
use crate::drill::plan::{Break, Fault, Plan, Server, Service};
use crate::drill::servers::Servers;
use crate::drill::stack::{ORCHESTRATORS, Stack};

/// How long a command of the user's own may take.
const COMMAND: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub(crate) enum World {
    /// Stacks and servers of the drill's own. The stacks end first.
    Own { stacks: Vec<Stack>, servers: Box<Servers> },
    /// One that runs elsewhere, with what the drill was told of it.
    Running { agents: Option<String>, model: Option<String> },
}

/// Whether each fault of a plan can be put into a stack: one of the drill's own, or one that runs elsewhere.
pub(crate) fn takes(elsewhere: Option<&World>, plan: &Plan) -> anyhow::Result<()> {
    for (at, phase) in plan.phases.iter().enumerate() {
        for (number, one) in phase.r#break.iter().enumerate() {
            let why = match (elsewhere, one.fault()) {
                (None, Some(Fault::KillOrchestrator(number))) if !(1..=ORCHESTRATORS).contains(&number) => {
                    Some(format!("there are orchestrators 1 to {ORCHESTRATORS}"))
                }
                (None, _) | (_, Some(Fault::Command { .. })) => None,
                (Some(World::Running { agents, model }), Some(Fault::Turn(service, _))) => {
                    let admin = if service == Service::Agents { agents } else { model };
                    admin.is_none().then(|| "the drill was not told its admin port's URL".to_owned())
                }
                _ => Some("the drill has not started it: use `command` and `restore`".to_owned()),
            };
            if let Some(why) = why {
                bail!("phases[{at}].break[{number}] of {:?} cannot be done: {why}", phase.name);
            }
        }
    }
    Ok(())
}

// === impl World ===

impl World {
    /// The plan without the phases that break what is not there.
    pub(crate) fn without_what_is_missing(&self, mut plan: Plan) -> Plan {
        let Self::Own { servers, .. } = self else { return plan };
        let is_there = |one: &Break| {
            let server = one.fault().and_then(|fault| fault.server());
            server.is_none_or(|server| servers.has(server))
        };
        // What comes later in a phase makes no sense without what it begins with.
        plan.phases.retain(|phase| {
            let mut first = phase.r#break.iter().filter(|one| one.after().is_zero());
            phase.r#break.is_empty() || first.any(is_there)
        });
        for phase in &mut plan.phases {
            if !phase.r#break.iter().all(is_there) {
                phase.r#break.retain(is_there);
                phase.story.push_str(" (What is not installed here is left out.)");
            }
        }
        plan
    }

    pub(crate) async fn begin(&mut self, fault: &Fault) -> anyhow::Result<()> {
        match (self, fault) {
            (_, Fault::Command { command, .. }) => run(command).await,
            (Self::Own { stacks, .. }, Fault::KillOrchestrator(number)) => {
                for stack in stacks {
                    orchestrator(stack, *number)?.kill().await?;
                }
                Ok(())
            }
            (world, Fault::Turn(service, switches)) => {
                world.turn(*service, Method::PUT, Some(switches)).await
            }
            (Self::Own { servers, .. }, fault) => servers.begin(fault),
            (Self::Running { .. }, _) => bail!("the drill has not started it"),
        }
    }

    pub(crate) async fn end(&mut self, fault: &Fault) -> anyhow::Result<()> {
        match (self, fault) {
            (_, Fault::Command { restore, .. }) => run(restore).await,
            (Self::Own { stacks, .. }, Fault::KillOrchestrator(number)) => {
                for stack in stacks {
                    orchestrator(stack, *number)?.start_again().await?;
                }
                Ok(())
            }
            (world, Fault::Turn(service, _)) => world.turn(*service, Method::DELETE, None).await,
            (Self::Own { servers, .. }, fault) => servers.end(fault),
            (Self::Running { .. }, _) => bail!("the drill has not started it"),
        }
    }

    async fn turn(&self, service: Service, method: Method, switches: Option<&Value>) -> anyhow::Result<()> {
        let admins: Vec<String> = match self {
            Self::Own { stacks, .. } => {
                let of = |stack: &Stack| match service {
                    Service::Agents => stack.agents.admin,
                    _ => stack.model.admin,
                };
                stacks.iter().map(|stack| format!("http://{}", of(stack))).collect()
            }
            Self::Running { agents, .. } if service == Service::Agents => agents.iter().cloned().collect(),
            Self::Running { model, .. } => model.iter().cloned().collect(),
        };
        for admin in admins {
            let url = format!("{}/faults", admin.trim_end_matches('/'));
            let answer = Asker::new().ask(method.clone(), &url, &[], switches, PATIENCE).await;
            let answer = answer.with_context(|| format!("asking {url}"))?;
            ensure!(answer.status.is_success(), "{url} answers {}", answer.status);
        }
        Ok(())
    }
}

impl Fault {
    /// The server that it is about.
    pub(crate) fn server(&self) -> Option<Server> {
        match self {
            Self::KillServer(server)
            | Self::StopServer(server)
            | Self::CutServer(server)
            | Self::SlowServer(server, _) => Some(*server),
            _ => None,
        }
    }
}

fn orchestrator(stack: &mut Stack, number: usize) -> anyhow::Result<&mut Process> {
    let at = number.checked_sub(1).context("orchestrators are counted from 1")?;
    stack.orchestrators.get_mut(at).context("an orchestrator with this number")
}

/// What it says goes to standard error, so that the report is alone on standard output.
async fn run(command: &str) -> anyhow::Result<()> {
    let mut child = Command::new("/bin/sh");
    let said = child.args(["-c", command]).kill_on_drop(true).output();
    let said = timeout(COMMAND, said).await.with_context(|| format!("{command:?} does not end"))??;
    eprint!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    ensure!(said.status.success(), "{command:?}: {}", said.status);
    Ok(())
}
