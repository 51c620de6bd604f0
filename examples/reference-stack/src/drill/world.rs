//! What is drilled: stacks that the drill has started, or one that runs elsewhere; and how a fault is put into it.

use std::process::Stdio;
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
                (None, Some(fault))
                    if fault.orchestrator().is_some_and(|it| !(1..=ORCHESTRATORS).contains(&it)) =>
                {
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
    /// The plan without the phases that break what is not there, which are named.
    pub(crate) fn without_what_is_missing(&self, plan: Plan) -> anyhow::Result<Plan> {
        match self {
            Self::Own { servers, .. } => left_of(plan, |server| servers.has(server)),
            Self::Running { .. } => Ok(plan),
        }
    }

    pub(crate) async fn begin(&mut self, fault: &Fault) -> anyhow::Result<()> {
        match (self, fault) {
            (_, Fault::Command { command, .. }) => run(command).await,
            (Self::Own { stacks, .. }, Fault::KillService(which, number)) => {
                for stack in stacks {
                    process(stack, *which, *number)?.kill().await?;
                }
                Ok(())
            }
            (Self::Own { stacks, .. }, Fault::StopService(which, number)) => {
                stacks.iter_mut().try_for_each(|stack| process(stack, *which, *number)?.stop())
            }
            (Self::Own { stacks, .. }, Fault::EndService(which, number)) => {
                stacks.iter_mut().try_for_each(|stack| process(stack, *which, *number)?.tell_to_end())
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
            (Self::Own { stacks, .. }, Fault::KillService(which, number)) => {
                for stack in stacks {
                    process(stack, *which, *number)?.start_again().await?;
                }
                Ok(())
            }
            (Self::Own { stacks, .. }, Fault::StopService(which, number)) => {
                stacks.iter_mut().try_for_each(|stack| process(stack, *which, *number)?.go_on())
            }
            (Self::Own { stacks, .. }, Fault::EndService(which, number)) => {
                for stack in stacks {
                    let process = process(stack, *which, *number)?;
                    process.ended().await?;
                    process.start_again().await?;
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

/// What is left of a plan where only these servers are there. It must break something still, if it did.
fn left_of(mut plan: Plan, has: impl Fn(Server) -> bool) -> anyhow::Result<Plan> {
    let is_there = |one: &Break| one.fault().and_then(|fault| fault.server()).is_none_or(&has);
    let (phases, left_out): (Vec<_>, Vec<_>) = plan
        .phases
        .into_iter()
        .partition(|phase| phase.r#break.is_empty() || phase.beginning().any(is_there));
    plan.phases = phases;
    if !left_out.is_empty() {
        let names: Vec<_> = left_out.iter().map(|phase| phase.name.as_str()).collect();
        let names = names.join(", ");
        let breaks_something = plan.phases.iter().any(|phase| !phase.r#break.is_empty());
        ensure!(breaks_something, "nothing is left to be broken: no server is installed for {names}");
        eprintln!("left out, since the servers are not installed: {names}");
    }
    for phase in &mut plan.phases {
        if !phase.r#break.iter().all(is_there) {
            phase.r#break.retain(is_there);
            phase.story.push_str(" (What is not installed here is left out.)");
        }
    }
    Ok(plan)
}

fn process(stack: &mut Stack, service: Service, number: usize) -> anyhow::Result<&mut Process> {
    match service {
        Service::Agents => Ok(&mut stack.agents),
        Service::Model => Ok(&mut stack.model),
        Service::Orchestrator => {
            let at = number.checked_sub(1).context("orchestrators are counted from 1")?;
            stack.orchestrators.get_mut(at).context("an orchestrator with this number")
        }
    }
}

/// What it says goes to standard error, so that the report is alone on standard output. What it leaves running in the background is not
/// waited for.
async fn run(command: &str) -> anyhow::Result<()> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(std::io::stderr()).stderr(std::io::stderr());
    let ended = timeout(COMMAND, shell.kill_on_drop(true).status()).await;
    let status = ended.with_context(|| format!("{command:?} does not end"))??;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn names(plan: &Plan) -> Vec<(&str, usize)> {
        plan.phases.iter().map(|phase| (phase.name.as_str(), phase.r#break.len())).collect()
    }

    #[test]
    fn phases_without_their_servers_are_left_out_and_those_that_begin_later_are_not() {
        let plan = Plan::read(
            "name: mine
phases:
  - { name: healthy, story: it, for: 5s }
  - { name: later, story: it, for: 5s, break: [{ server: redis, how: kill, after: 1s }] }
  - name: both
    story: it
    for: 5s
    break: [{ server: postgres, how: kill }, { service: orchestrator, how: kill, after: 1s }, { server: redis, how: kill, after: 2s }]
",
        );
        let plan = plan.unwrap();
        let all = left_of(plan.clone(), |_| true).unwrap();
        assert_eq!(names(&all), [("healthy", 0), ("later", 1), ("both", 3)]);
        let redis = left_of(plan.clone(), |server| server == Server::Redis).unwrap();
        assert_eq!(names(&redis), [("healthy", 0), ("later", 1)]);
        let postgres = left_of(plan.clone(), |server| server == Server::Postgres).unwrap();
        assert_eq!(names(&postgres), [("healthy", 0), ("both", 2)]);
        let why = left_of(plan, |_| false).unwrap_err().to_string();
        assert!(why.contains("later, both"), "{why}");
    }

    #[tokio::test]
    async fn what_a_command_leaves_in_the_background_is_not_waited_for() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("pid").display().to_string();
        let began = Instant::now();
        run(&format!("sleep 60 & echo $! > '{file}'")).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(30));
        run(&format!("kill $(cat '{file}')")).await.unwrap();
        assert!(run("exit 3").await.unwrap_err().to_string().contains("exit status: 3"));
    }
}
