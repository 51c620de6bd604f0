//! Takes notice of requests.

mod future;
mod judge;
mod layer;
mod noted;
mod service;

pub use future::ObserveFuture;
#[cfg(feature = "http")]
pub use judge::JudgeHttp;
pub use judge::{JudgeErrors, JudgeSources, UnlessDegraded};
pub use layer::ObserveLayer;
pub use service::ObserveService;
