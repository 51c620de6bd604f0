use std::net::SocketAddr;
use std::time::Duration;

use mainstay::config::{Environment, Secret, Section, SettingErrors};

/// What the language model is told when it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it is served: `LLM_SERVICE_LISTEN`, `0.0.0.0:8000` by default.
    pub listen: SocketAddr,
    /// Where health and the fault switches are served, to whoever asks: `LLM_SERVICE_ADMIN_LISTEN`, `127.0.0.1:8083` by default.
    pub admin_listen: SocketAddr,
    /// What callers must send as a bearer token: `LLM_API_KEY`, at least 8 bytes. Without it anybody may ask.
    pub key: Option<Secret>,
    /// The models there are: `LLM_MODELS`, with commas, `reference,reference-small` by default. They answer alike.
    pub models: Vec<String>,
    /// How long it is served on after readiness failed, so that balancers notice: `LLM_SERVICE_DRAIN_DELAY`, 5 s by default.
    pub drain_delay: Duration,
    /// How long answers that are under way are waited for after that: `LLM_SERVICE_DRAIN_LIMIT`, 50 s by default.
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
        let models = said.text("LLM_MODELS").or("reference,reference-small".to_owned());
        let models: Vec<String> = models.split(',').map(|model| model.trim().to_owned()).collect();
        if models.iter().any(String::is_empty) {
            said.refuse("LLM_MODELS", "names of models with commas between them");
        }
        let settings = Self {
            listen: said.address("LLM_SERVICE_LISTEN").or(SocketAddr::from(([0, 0, 0, 0], 8000))),
            admin_listen: said
                .address("LLM_SERVICE_ADMIN_LISTEN")
                .or(SocketAddr::from(([127, 0, 0, 1], 8083))),
            key: said.secret("LLM_API_KEY", 8).optional(),
            models,
            drain_delay: said.duration("LLM_SERVICE_DRAIN_DELAY").or(Duration::from_secs(5)),
            drain_limit: said.duration("LLM_SERVICE_DRAIN_LIMIT").or(Duration::from_secs(50)),
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
