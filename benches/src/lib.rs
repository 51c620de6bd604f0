//! Mainstay measured: its breaker and the peers behind one common shape, and whatever else lies on the way of a request.
//!
//! A [`Subject`] makes one guarded call; [`catalog::visit`] hands every subject there is to a [`Visitor`], by
//! type, so that each is measured by a loop of its own and nothing is called through a pointer. All else is a [`call::Call`], of
//! which [`calls`] has lists. Without the feature `full` there is what the guard counts, and nothing that others wrote to be
//! compared with.

#![forbid(unsafe_code)]
#![allow(
    missing_debug_implementations,
    reason = "adapters around peers that have no Debug; nobody prints them"
)]

#[cfg(feature = "full")]
pub mod allocations;
#[cfg(feature = "full")]
pub mod budget;
pub mod call;
pub mod calls;
pub mod catalog;
pub mod floor;
pub mod guard;
pub mod id;
pub mod instructions;
#[cfg(feature = "full")]
pub mod keys;
pub mod layered;
pub mod limits;
pub mod machine;
pub mod ours;
#[cfg(feature = "full")]
pub mod peers;
pub mod pending;
pub mod period;
pub mod rounds;
pub mod subject;
#[cfg(feature = "full")]
pub mod table;
pub mod work;
#[cfg(feature = "full")]
pub mod workers;

pub use catalog::Visitor;
pub use id::{Face, Id, Path, Who};
pub use subject::{Answer, Subject};
