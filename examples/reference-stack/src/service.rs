//! A service of the stack as a process of its own: what its own binary does, from this one, so that a drill needs no other.

use std::error::Error;
use std::io::Read;
use std::time::Duration;

use clap::ValueEnum;
use mainstay::config::{EX_CONFIG, Environment, SettingErrors};
use mainstay::health::Shutdown;
use tracing_subscriber::EnvFilter;

/// The services, by the names of their crates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(clippy::enum_variant_names, reason = "one crate is called so")]
pub(crate) enum Service {
    AgentCore,
    LlmService,
    Orchestrator,
    Gateway,
}

// === impl Service ===

impl Service {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AgentCore => "agent-core",
            Self::LlmService => "llm-service",
            Self::Orchestrator => "orchestrator",
            Self::Gateway => "gateway",
        }
    }

    /// Serves until a signal ends it, or at once when standard input closes, if that is asked for. Returns the exit status.
    pub(crate) async fn run(self, until_stdin_closes: bool) -> anyhow::Result<u8> {
        if until_stdin_closes {
            std::thread::spawn(orphaned);
        }
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
        tracing_subscriber::fmt().json().with_writer(std::io::stderr).with_env_filter(filter).init();
        match self.serve().await {
            Ok(()) => Ok(0),
            Err(error) => match error.downcast::<SettingErrors>() {
                Ok(errors) => {
                    eprintln!("{errors}");
                    Ok(EX_CONFIG)
                }
                Err(error) => Err(anyhow::anyhow!("{}: {error}", self.name())),
            },
        }
    }

    async fn serve(self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let variables = Environment::from_process();
        let say = |address, admin| {
            println!("{} listens on http://{address}", self.name());
            println!("{} admin on http://{admin}", self.name());
        };
        match self {
            Self::AgentCore => {
                let running =
                    agent_core::start(agent_core::Settings::load(&variables)?.with_signals()).await?;
                say(running.address(), running.admin_address());
                running.ended().await;
            }
            Self::LlmService => {
                let running =
                    llm_service::start(llm_service::Settings::load(&variables)?.with_signals()).await?;
                say(running.address(), running.admin_address());
                running.ended().await;
            }
            Self::Orchestrator => {
                let mut settings = orchestrator::Settings::load(&variables)?.with_signals();
                if let Some(metrics) = gateway::record_metrics() {
                    settings = settings.with_metrics(metrics.clone());
                    tokio::spawn(async move {
                        loop {
                            tokio::time::sleep(Duration::from_secs(5)).await;
                            metrics.run_upkeep();
                        }
                    });
                }
                let running = orchestrator::start(settings).await?;
                say(running.address(), running.admin_address());
                running.ended().await;
            }
            Self::Gateway => {
                let settings = gateway::Settings::load(&variables)?;
                let running = gateway::start_until(settings, Shutdown::on_signals).await?;
                say(running.addr, running.admin_addr);
                running.ended().await;
            }
        }
        Ok(())
    }
}

/// Ends the process when the one that started it is gone.
fn orphaned() {
    let mut ignored = [0; 64];
    while std::io::stdin().read(&mut ignored).is_ok_and(|read| read > 0) {}
    std::process::exit(0);
}
