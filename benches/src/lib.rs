//! Mainstay's breaker and its peers behind one common shape, so that criterion and the report measure the same calls.
//!
//! A [`Subject`] makes one guarded call; [`catalog::visit`] hands every subject there is to a [`Visitor`], by
//! type, so that each is measured by a loop of its own and nothing is called through a pointer.

#![forbid(unsafe_code)]
#![allow(
    missing_debug_implementations,
    reason = "adapters around peers that have no Debug; nobody prints them"
)]

pub mod catalog;
pub mod floor;
pub mod guard;
pub mod id;
pub mod instructions;
pub mod keys;
pub mod layered;
pub mod machine;
pub mod ours;
pub mod peers;
pub mod period;
pub mod rounds;
pub mod subject;
pub mod work;
pub mod workers;

pub use catalog::Visitor;
pub use id::{Face, Id, Path, Who};
pub use subject::{Answer, Subject};
