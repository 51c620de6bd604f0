//! Outages for real: each dependency of the gateway is a process that is killed, stopped, made to fail, and healed again.

use anyhow::Context;
use mainstay_testkit::{RedisServer, TestkitError};
use tokio::task::block_in_place;

use crate::lab::counts::Counts;
use crate::lab::phase::{Dependency, Phase};
use crate::lab::process::Process;

/// A dependency that is broken. Dropping it ends its process.
#[derive(Debug)]
pub(crate) enum Outage {
    Upstream(Box<Process>),
    Redis(RedisServer),
}

// === impl Outage ===

impl Outage {
    /// Starts a healthy dependency on a free port. None, with the reason, where its server is not installed.
    pub(crate) async fn prepare(dependency: Dependency) -> anyhow::Result<Result<Self, TestkitError>> {
        match dependency {
            Dependency::Upstream => Ok(Ok(Self::Upstream(Box::new(Process::prepare().await?)))),
            Dependency::Redis => match block_in_place(RedisServer::start) {
                Ok(server) => Ok(Ok(Self::Redis(server))),
                Err(missing @ TestkitError::MissingBinary { .. }) => Ok(Err(missing)),
                Err(error) => Err(error).context("starting redis-server"),
            },
        }
    }

    /// Does to the dependency what the phase asks for, and returns when it is done.
    pub(crate) async fn enter(&mut self, phase: Phase) -> anyhow::Result<()> {
        match self {
            Self::Upstream(process) => process.enter(phase).await,
            Self::Redis(server) => block_in_place(|| match phase {
                Phase::Killed => server.kill(),
                Phase::Restarted => server.restart(),
                Phase::Hanging => server.stop(),
                Phase::Resumed => server.resume(),
                Phase::Healthy | Phase::Erroring | Phase::Repaired => Ok(()),
            })
            .with_context(|| format!("redis-server: {}", phase.name())),
        }
    }

    /// What arrived at the dependency, by its own count, if it keeps one.
    pub(crate) async fn arrived(&self) -> anyhow::Result<Option<Counts>> {
        match self {
            Self::Upstream(process) => process.arrived().await.map(Some),
            Self::Redis(_) => Ok(None),
        }
    }
}
