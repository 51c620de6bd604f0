//! Sheds requests by how much they matter, and how bad things are.

mod future;
#[cfg(feature = "http")]
mod http_answer;
mod layer;
mod service;
mod share;
mod tally;

pub use future::ShedFuture;
#[cfg(feature = "http")]
pub use http_answer::ShedHttp;
pub use layer::ShedLayer;
pub use service::{OnShed, PassShed, Shed, ShedError, ShedService, ShedWith};
pub use share::Criticality;
pub use tally::ShedCounts;
