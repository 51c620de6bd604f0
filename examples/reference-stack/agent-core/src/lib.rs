//! The agents of the reference stack: a gRPC service that answers the same to the same question, and fails when it is told to.
//!
//! Look at `service.rs` for the call, at `agent.rs` for what an agent says, and at `server.rs` for health, reflection and the graceful
//! stop around it. The switches that make it fail are on the admin port; see `stack-faults`.
#![forbid(unsafe_code)]

mod agent;
mod server;
mod service;
mod settings;

pub use agent::{AGENTS, Agent};
pub use server::{Running, StartError, start};
pub use service::{MAX_INPUT, MAX_TASK_ID};
pub use settings::Settings;
