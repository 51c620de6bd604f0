//! A stack as processes of its own: one gateway, two orchestrators, agents and a language model. Look at [`Stack::start`].

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;
use uuid::Uuid;

use crate::apart::{Process, Variables};
use crate::drill::servers::Servers;
use crate::service::Service;

const GATEWAY: &str = include_str!("settings/gateway.yaml");
const ORCHESTRATOR: &str = include_str!("settings/orchestrator.yaml");

/// What of the settings the verdicts need.
pub(crate) const RELAX_AFTER: Duration = Duration::from_secs(2);
pub(crate) const OPEN_FOR: Duration = Duration::from_secs(4);

/// One that is killed in an outage, and one that goes on.
pub(crate) const ORCHESTRATORS: usize = 2;
/// So many that nothing that is a user's own fills up.
const USERS: usize = 64;
/// The breakers that the settings name.
const BREAKERS: [&str; 5] = ["REDIS", "DATABASE", "GRPC", "LLM_SERVICE", "LLM_FALLBACK"];

/// A rule that nothing in a drill fulfils.
const NEVER: &str = "[{ consecutive_failures: 1000000 }]";

/// With Mainstay's layers or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layers {
    On,
    Off,
}

#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) layers: Layers,
    pub(crate) gateway: Process,
    pub(crate) orchestrators: Vec<Process>,
    pub(crate) agents: Process,
    pub(crate) model: Process,
    secret: String,
}

// === impl Layers ===

impl Layers {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::On => "with Mainstay",
            Self::Off => "without",
        }
    }
}

// === impl Stack ===

impl Stack {
    /// Starts one on the servers that there are, with everything of its own in a directory.
    pub(crate) async fn start(
        number: usize,
        layers: Layers,
        servers: &Servers,
        place: &Path,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(place)?;
        let secret = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let mut all = variables(&secret, layers);
        all.extend(servers.redis_url(number).map(|url| ("REDIS_URL".to_owned(), url)));
        all.extend(servers.postgres_url(number).map(|url| ("DATABASE_URL".to_owned(), url)));
        let log = |name: &str| place.join(format!("{name}.log"));

        let agents = Process::start(Service::AgentCore, &log("agent-core"), all.clone()).await?;
        let model = Process::start(Service::LlmService, &log("llm-service"), all.clone()).await?;
        set(&mut all, "AGENT_CORE_URL", format!("http://{}", agents.address));
        set(&mut all, "LLM_URL", format!("http://{}/v1", model.address));
        set(&mut all, "LLM_HEALTH_URL", format!("http://{}/health", model.address));

        let mut orchestrators = Vec::new();
        for at in 1..=ORCHESTRATORS {
            let name = format!("orchestrator-{at}");
            let mut own = own(&all, place, &name, ORCHESTRATOR)?;
            set(&mut own, "ORCHESTRATOR_ID", name.clone());
            orchestrators.push(Process::start(Service::Orchestrator, &log(&name), own).await?);
        }
        let urls = orchestrators.iter().map(|orchestrator| format!("http://{}", orchestrator.address));
        set(&mut all, "ORCHESTRATORS", urls.collect::<Vec<_>>().join(","));
        for orchestrator in &orchestrators {
            orchestrator.ready().await?;
        }
        let own = own(&all, place, "gateway", GATEWAY)?;
        let gateway = Process::start(Service::Gateway, &log("gateway"), own).await?;
        gateway.ready().await?;
        Ok(Self { layers, gateway, orchestrators, agents, model, secret })
    }

    pub(crate) fn gateway_url(&self) -> String {
        format!("http://{}", self.gateway.address)
    }

    /// A token of each user, for longer than a drill.
    pub(crate) fn tokens(&self) -> anyhow::Result<Vec<String>> {
        let expires = SystemTime::now().duration_since(UNIX_EPOCH)? + Duration::from_hours(200);
        let key = EncodingKey::from_secret(self.secret.as_bytes());
        let token = |user: usize| {
            let claims = json!({ "sub": format!("user-{user}"), "tier": "max", "exp": expires.as_secs() });
            jsonwebtoken::encode(&Header::default(), &claims, &key).context("a token")
        };
        (0..USERS).map(token).collect()
    }

    /// Those whose breakers and levels are watched, by name.
    pub(crate) fn watched(&self) -> Vec<(String, &Process)> {
        let orchestrators = self.orchestrators.iter().enumerate();
        let orchestrators = orchestrators.map(|(at, process)| (format!("orchestrator {}", at + 1), process));
        std::iter::once(("gateway".to_owned(), &self.gateway)).chain(orchestrators).collect()
    }
}

/// What all services are told.
fn variables(secret: &str, layers: Layers) -> Variables {
    let mut all = Variables::new();
    for service in ["AGENT_CORE", "LLM_SERVICE", "ORCHESTRATOR", "GATEWAY"] {
        set(&mut all, &format!("{service}_LISTEN"), "127.0.0.1:0");
        set(&mut all, &format!("{service}_ADMIN_LISTEN"), "127.0.0.1:0");
    }
    for (name, value) in [
        ("RUST_LOG", "error,mainstay=info"),
        ("JWT_SECRET", secret),
        ("RATE_LIMITS", "max:1000000:10000000:100000000"),
        ("AGENT_TIMEOUT", "500ms"),
        ("LLM_TIMEOUT", "2s"),
        // Shorter than a caller waits: one whose orchestrator is gone is told so.
        ("STREAM_PATIENCE", "6s"),
        ("AGENT_CORE_DRAIN_DELAY", "0s"),
        ("LLM_SERVICE_DRAIN_DELAY", "0s"),
    ] {
        set(&mut all, name, value);
    }
    if layers == Layers::Off {
        set(&mut all, "MAINSTAY__DEGRADATION__ENABLED", "false");
        for breaker in BREAKERS {
            set(&mut all, &format!("MAINSTAY__CIRCUIT_BREAKERS__{breaker}__ENABLED"), "false");
            // Nor does it tell anybody that it would have opened.
            set(&mut all, &format!("MAINSTAY__CIRCUIT_BREAKERS__{breaker}__TRIP"), NEVER);
        }
    }
    all
}

/// What a service with a directory and settings of its own is told.
fn own(all: &Variables, place: &Path, name: &str, settings: &str) -> anyhow::Result<Variables> {
    let place = place.join(name);
    std::fs::create_dir_all(&place)?;
    let file = place.join("mainstay.yaml");
    std::fs::write(&file, settings)?;
    let mut own = all.clone();
    set(&mut own, "DATA_DIR", place.display().to_string());
    set(&mut own, "MAINSTAY_CONFIG", file.display().to_string());
    Ok(own)
}

fn set(variables: &mut Variables, name: &str, value: impl Into<String>) {
    variables.insert(name.to_owned(), value.into());
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_verdicts_go_by_the_times_of_the_settings() {
        for yaml in [GATEWAY, ORCHESTRATOR] {
            let settings: Value = serde_saphyr::from_str(yaml).unwrap();
            let time = |value: &Value| humantime::parse_duration(value.as_str().unwrap()).unwrap();
            assert_eq!(time(&settings["degradation"]["relax_after"]), RELAX_AFTER);
            let breakers = settings["circuit_breakers"].as_object().unwrap();
            assert!(breakers.len() >= 3, "{breakers:?}");
            for (name, breaker) in breakers {
                assert_eq!(time(&breaker["open_for"]["cap"]), OPEN_FOR, "{name}");
                assert!(
                    BREAKERS.contains(&name.to_uppercase().as_str()),
                    "{name} goes on without the layers"
                );
            }
        }
    }
}
