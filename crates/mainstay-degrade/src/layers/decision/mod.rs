//! Tells the service, and whoever asked it, how things are.

mod future;
pub mod headers;
mod layer;
mod service;

pub use future::DecisionFuture;
pub use layer::DecisionLayer;
pub use service::DecisionService;
