//! The agents, over gRPC, behind the breaker `grpc`.

use std::time::Duration;

use mainstay::breaker::{Breaker, BreakerService, One};
use mainstay::health::Probe;
use mainstay_grpc::{AsStatus, Calls, GrpcLayer, health, rejected};
use stack_protocol::v1::agent_core_client::AgentCoreClient;
use stack_protocol::v1::{ExecuteReply, ExecuteRequest};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tower::Layer;
use uuid::Uuid;

use crate::trace::Trace;

/// Those of a complex task. A standard one has the first.
pub(crate) const AGENTS: [&str; 5] = ["researcher", "planner", "critic", "writer", "reviewer"];

#[derive(Clone)]
pub(crate) struct Agents {
    endpoint: Endpoint,
    breaker: Breaker,
    client: AgentCoreClient<BreakerService<Channel, Calls, AsStatus, One>>,
    within: Duration,
}

impl Agents {
    /// They need not be up.
    pub(crate) fn connect(
        url: String,
        within: Duration,
        breaker: Breaker,
    ) -> Result<Self, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(url)?
            .connect_timeout(Duration::from_secs(2))
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(2))
            .keep_alive_while_idle(true);
        let guard = GrpcLayer::client(breaker.clone()).timeout(within).reject_with_status();
        let client = AgentCoreClient::new(guard.layer(endpoint.connect_lazy()));
        Ok(Self { endpoint, breaker, client, within })
    }

    /// Asks over a connection of its own, so that it finds the agents well as soon as they are.
    pub(crate) fn check(&self) -> Probe {
        health::check_endpoint(self.endpoint.clone(), "", self.breaker.clone())
    }

    /// What an agent makes of an input.
    pub(crate) async fn execute(
        &self,
        agent: &str,
        task: Uuid,
        input: &str,
        trace: Option<&Trace>,
    ) -> Result<ExecuteReply, Failed> {
        let request =
            ExecuteRequest { task_id: task.to_string(), agent: agent.to_owned(), input: input.to_owned() };
        let mut request = Request::new(request);
        request.set_timeout(self.within);
        for (name, value) in trace.into_iter().flat_map(Trace::headers) {
            if let Ok(value) = value.parse() {
                request.metadata_mut().insert(name, value);
            }
        }
        let reply = self.client.clone().execute(request).await;
        reply.map(tonic::Response::into_inner).map_err(|status| Failed::of(&status))
    }
}

/// Why an agent gave no answer, in words for anybody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed(pub(crate) &'static str);

impl Failed {
    fn of(status: &Status) -> Self {
        if rejected(status).is_some() {
            return Self("was not asked: its breaker is open");
        }
        Self(match status.code() {
            Code::Unavailable => "is not available",
            Code::DeadlineExceeded | Code::Cancelled => "did not answer in time",
            Code::InvalidArgument => "did not take the input",
            _ => "failed",
        })
    }
}
