//! Sheds requests by how much they matter, and how bad things are.

mod future;
mod layer;
mod service;
mod share;
mod tally;

pub use future::ShedFuture;
pub use layer::ShedLayer;
pub use service::{OnShed, PassShed, Shed, ShedError, ShedService, ShedWith};
pub use share::Criticality;
pub use tally::ShedCounts;
