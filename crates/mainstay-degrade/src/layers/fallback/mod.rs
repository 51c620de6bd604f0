//! Another service answers.

mod future;
mod layer;
mod service;

pub use future::FallbackFuture;
pub use layer::{FallBackOn, FallbackLayer, Instead, Never, OnError};
pub use service::FallbackService;
