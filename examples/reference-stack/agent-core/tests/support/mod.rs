//! Agents on free ports, and how they are asked.

use std::time::{Duration, Instant};

use agent_core::{Running, Settings};
use mainstay::config::Environment;
use serde_json::Value;
use stack_protocol::v1::agent_core_client::AgentCoreClient;
use stack_protocol::v1::{ExecuteReply, ExecuteRequest};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

pub(crate) struct Agents {
    pub(crate) running: Running,
    pub(crate) client: AgentCoreClient<Channel>,
    pub(crate) http: reqwest::Client,
}

pub(crate) async fn started(variables: &[(&str, &str)]) -> Agents {
    let free = [
        ("AGENT_CORE_LISTEN", "127.0.0.1:0"),
        ("AGENT_CORE_ADMIN_LISTEN", "127.0.0.1:0"),
        ("AGENT_CORE_DRAIN_DELAY", "0s"),
    ];
    let variables = free.iter().chain(variables).map(|(name, value)| (name.to_string(), value.to_string()));
    let settings = Settings::load(&Environment::from_iter(variables)).expect("settings");
    let running = agent_core::start(settings).await.expect("they start");
    Agents { client: AgentCoreClient::new(channel(&running).await), running, http: reqwest::Client::new() }
}

pub(crate) async fn channel(running: &Running) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", running.address())).expect("a URL");
    endpoint.connect().await.expect("connected")
}

impl Agents {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.running.address())
    }

    pub(crate) fn admin(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.admin_address())
    }

    /// Turns the switches over the admin port.
    pub(crate) async fn switch(&self, switches: Value) {
        let put = self.http.put(self.admin("/faults")).json(&switches).send().await.expect("sent");
        assert!(put.status().is_success(), "{}", put.text().await.expect("text"));
    }

    pub(crate) async fn ask(&self, agent: &str, input: &str) -> Result<ExecuteReply, Status> {
        self.execute(request(agent, input)).await
    }

    pub(crate) async fn execute(
        &self,
        request: impl tonic::IntoRequest<ExecuteRequest>,
    ) -> Result<ExecuteReply, Status> {
        Ok(self.client.clone().execute(request).await?.into_inner())
    }
}

pub(crate) fn request(agent: &str, input: &str) -> ExecuteRequest {
    ExecuteRequest { task_id: "task-1".to_owned(), agent: agent.to_owned(), input: input.to_owned() }
}

pub(crate) async fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 60 s");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
