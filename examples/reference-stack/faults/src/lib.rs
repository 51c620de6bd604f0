//! Fault switches of the reference stack's services: errors, delays, hangs and broken streams, the same at each run, so that a drill can
//! be repeated.
//!
//! A service lets each call pass by [`Faults::arrive`], and each piece of an answer by [`Call::piece`]. Whoever runs the drill turns the
//! switches on the admin port, where [`Faults::router`] is: `GET`, `PUT` and `DELETE /faults`, and `GET /counts`.
#![forbid(unsafe_code)]

mod counts;
mod faults;
mod routes;
mod switches;

pub use counts::Counts;
pub use faults::{Call, Faults, Injected};
pub use switches::{Mistake, Switches};
