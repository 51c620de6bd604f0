use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;
use tempfile::TempDir;

use crate::apart::{Process, Variables};
use crate::service::Service;

/// Agents, a language model and an orchestrator; gateways are started as they are needed.
#[derive(Debug)]
pub(crate) struct Stack {
    _agents: Process,
    pub(crate) model: Process,
    pub(crate) orchestrator: Process,
    /// What gateways are told.
    variables: Variables,
    secret: String,
    started: usize,
    data: TempDir,
}

// === impl Stack ===

impl Stack {
    /// Starts it, with these variables for orchestrator and gateways, and `own` for the orchestrator alone.
    pub(crate) async fn start(more: &[(&str, String)], own: &[(&str, String)]) -> anyhow::Result<Self> {
        let data = tempfile::tempdir()?;
        let secret = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        let mut variables = Variables::new();
        for service in ["AGENT_CORE", "LLM_SERVICE", "ORCHESTRATOR", "GATEWAY"] {
            variables.insert(format!("{service}_LISTEN"), "127.0.0.1:0".to_owned());
            variables.insert(format!("{service}_ADMIN_LISTEN"), "127.0.0.1:0".to_owned());
        }
        for (name, value) in [
            ("AGENT_CORE_DRAIN_DELAY", "0s"),
            ("LLM_SERVICE_DRAIN_DELAY", "0s"),
            ("RATE_LIMITS", "max:1000000:10000000:100000000"),
            ("JWT_SECRET", &secret),
        ] {
            variables.insert(name.to_owned(), value.to_owned());
        }
        let log = |name: &str| data.path().join(format!("{name}.log"));
        let agents = Process::start(Service::AgentCore, &log("agent-core"), variables.clone()).await?;
        let model = Process::start(Service::LlmService, &log("llm-service"), variables.clone()).await?;
        variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));

        let mut told = variables.clone();
        for (name, value) in [
            ("AGENT_CORE_URL", format!("http://{}", agents.address)),
            ("LLM_URL", format!("http://{}/v1", model.address)),
            ("LLM_HEALTH_URL", format!("http://{}/health", model.address)),
            ("DATA_DIR", data.path().join("orchestrator").display().to_string()),
            ("MAINSTAY__HEALTH__DRAIN_DELAY", "0s".to_owned()),
        ] {
            told.insert(name.to_owned(), value);
        }
        told.extend(own.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let orchestrator = Process::start(Service::Orchestrator, &log("orchestrator"), told).await?;
        orchestrator.ready().await?;
        variables.insert("ORCHESTRATORS".to_owned(), format!("http://{}", orchestrator.address));
        Ok(Self { _agents: agents, model, orchestrator, variables, secret, started: 0, data })
    }

    /// One more gateway, with these variables of its own; not necessarily ready.
    pub(crate) async fn gateway(&mut self, own: &[(&str, String)]) -> anyhow::Result<Process> {
        self.started += 1;
        let name = format!("gateway-{}", self.started);
        let mut told = self.variables.clone();
        let place = self.data.path().join(&name);
        std::fs::create_dir_all(&place)?;
        told.insert("DATA_DIR".to_owned(), place.display().to_string());
        told.extend(own.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        Process::start(Service::Gateway, &self.data.path().join(format!("{name}.log")), told).await
    }

    /// A token of a user with plenty of room, for an hour.
    pub(crate) fn token(&self, user: &str) -> anyhow::Result<String> {
        let expires = SystemTime::now().duration_since(UNIX_EPOCH)? + Duration::from_hours(1);
        let claims = json!({ "sub": user, "tier": "max", "exp": expires.as_secs() });
        let key = EncodingKey::from_secret(self.secret.as_bytes());
        Ok(jsonwebtoken::encode(&Header::default(), &claims, &key)?)
    }
}
