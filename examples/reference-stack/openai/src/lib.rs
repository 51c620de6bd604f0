//! OpenAI's chat completions as the reference stack speaks them: the gateway serves them, the orchestrator asks for them, the
//! language model answers them.
//!
//! Look at [`ChatRequest::read`] first (what is accepted, and how a refusal reads), then at [`Reply`], which makes an answer whole or in
//! chunks, and at [`sse`], which brings chunks over the wire and back.
#![forbid(unsafe_code)]

mod answer;
mod chunk;
mod error;
mod message;
mod model;
mod reply;
mod request;
pub mod sse;
mod usage;

pub use answer::{Answered, ChatCompletion, Choice, FinishReason};
pub use chunk::{ChatChunk, ChunkChoice, Delta};
pub use error::{ApiError, ErrorBody, ErrorDetail};
pub use message::{ChatMessage, Content, ContentPart, Role};
pub use model::{Model, ModelList};
pub use reply::Reply;
pub use request::{ChatRequest, Stop, StreamOptions};
pub use usage::{Usage, tokens};
