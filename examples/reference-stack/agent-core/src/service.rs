use stack_faults::{Faults, Injected};
use stack_protocol::v1::agent_core_server::AgentCore;
use stack_protocol::v1::{ExecuteReply, ExecuteRequest};
use tonic::{Request, Response, Status};

use crate::{AGENTS, Agent};

/// The most bytes of an input.
pub const MAX_INPUT: usize = 256 * 1024;
/// The most bytes of a task's id.
pub const MAX_TASK_ID: usize = 128;

/// The service of the protocol.
#[derive(Debug)]
pub(crate) struct Agents {
    pub(crate) faults: Faults,
}

#[tonic::async_trait]
impl AgentCore for Agents {
    async fn execute(&self, request: Request<ExecuteRequest>) -> Result<Response<ExecuteReply>, Status> {
        let mut call =
            self.faults.arrive().await.map_err(|Injected| Status::unavailable("a fault switch is on"))?;
        let ExecuteRequest { task_id, agent, input } = request.into_inner();
        let agent = checked(&task_id, &agent, &input)?;
        let (output, confidence) = agent.answer(&input);
        if !call.piece().await {
            // As the client's own library says it of a stream that is reset.
            return Err(Status::internal("the answer broke off: a fault switch is on"));
        }
        tracing::debug!(task = task_id, agent = agent.name, "answered");
        Ok(Response::new(ExecuteReply { output, confidence }))
    }
}

fn checked(task_id: &str, agent: &str, input: &str) -> Result<Agent, Status> {
    if task_id.is_empty() || task_id.len() > MAX_TASK_ID {
        let message = format!("task_id has {} bytes, but must have 1 to {MAX_TASK_ID}", task_id.len());
        return Err(Status::invalid_argument(message));
    }
    if input.len() > MAX_INPUT {
        let message = format!("input has {} bytes, but must have at most {MAX_INPUT}", input.len());
        return Err(Status::invalid_argument(message));
    }
    Agent::named(agent).ok_or_else(|| {
        let names = AGENTS.map(|agent| agent.name).join(", ");
        let agent: String = agent.chars().take(40).collect();
        Status::invalid_argument(format!("agent is {agent:?}, but must be one of {names}"))
    })
}
