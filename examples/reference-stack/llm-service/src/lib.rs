//! The language model of the reference stack: OpenAI's chat completions, answered the same each time, and failing when told to. Any
//! provider with that API can take its place.
//!
//! Look at `chat.rs` for the route, whole and in chunks, at `answer.rs` for what is answered, and at `server.rs` for health and the
//! graceful stop around it. The switches that make it fail are on the admin port; see `stack-faults`.
#![forbid(unsafe_code)]

mod answer;
mod chat;
mod key;
mod models;
mod server;
mod settings;

pub use answer::Answer;
pub use chat::MAX_BODY;
pub use server::{Running, StartError, start};
pub use settings::Settings;
