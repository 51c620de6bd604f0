use std::net::SocketAddr;
use std::time::Duration;

use mainstay::config::{Environment, Section, SettingErrors};

/// What the agents are told when they start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where gRPC is served: `AGENT_CORE_LISTEN`, `0.0.0.0:50051` by default.
    pub listen: SocketAddr,
    /// Where health and the fault switches are served, to whoever asks: `AGENT_CORE_ADMIN_LISTEN`, `127.0.0.1:8082` by default.
    pub admin_listen: SocketAddr,
    /// How long it is served on after readiness failed, so that balancers notice: `AGENT_CORE_DRAIN_DELAY`, 5 s by default.
    pub drain_delay: Duration,
    /// How long calls that are under way are waited for after that: `AGENT_CORE_DRAIN_LIMIT`, 50 s by default.
    pub drain_limit: Duration,
    /// Whether SIGTERM and SIGINT end it, a second one at once: what a program of its own wants.
    pub ends_at_signals: bool,
}

impl Settings {
    /// Reads the variables.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, at once.
    pub fn load(environment: &Environment) -> Result<Self, SettingErrors> {
        let mut said = Section::of_environment(environment);
        let settings = Self {
            listen: said.address("AGENT_CORE_LISTEN").or(SocketAddr::from(([0, 0, 0, 0], 50051))),
            admin_listen: said
                .address("AGENT_CORE_ADMIN_LISTEN")
                .or(SocketAddr::from(([127, 0, 0, 1], 8082))),
            drain_delay: said.duration("AGENT_CORE_DRAIN_DELAY").or(Duration::from_secs(5)),
            drain_limit: said.duration("AGENT_CORE_DRAIN_LIMIT").or(Duration::from_secs(50)),
            ends_at_signals: false,
        };
        said.finish()?;
        Ok(settings)
    }

    /// Ends at SIGTERM and SIGINT.
    #[must_use]
    pub fn with_signals(mut self) -> Self {
        self.ends_at_signals = true;
        self
    }
}
