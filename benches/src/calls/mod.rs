//! The calls that are not a breaker's own: what else of the family lies on the way of a request.

pub mod degrade;
#[cfg(feature = "full")]
pub mod gather;
pub mod guards;
pub mod health;
pub mod keyed;
#[cfg(feature = "full")]
pub mod settings;
#[cfg(feature = "full")]
pub mod stack;
