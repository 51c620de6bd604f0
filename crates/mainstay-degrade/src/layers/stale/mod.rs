//! The last good answer again.

mod future;
#[cfg(feature = "http")]
mod http_rules;
mod keeping;
mod kept;
mod layer;
mod service;
mod store;

pub use future::StaleFuture;
#[cfg(feature = "http")]
pub use http_rules::KeepHttp;
pub use keeping::{KeepOk, KeepUnlessDegraded, Keeping, Worth};
pub use layer::StaleLayer;
pub use service::StaleService;
