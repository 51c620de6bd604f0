//! The peers, each at its newest version, with settings as close to each other as they allow.
//!
//! Where a peer can choose, it gets what is cheapest for it: no hooks, no metrics, no names.

mod circuitbreaker_rs;
mod failsafe;
mod recloser;
pub mod tower_resilience;

use std::time::Duration;

use crate::catalog::Visitor;

/// Hands over the peers.
pub fn visit(visitor: &mut impl Visitor) {
    recloser::visit(visitor);
    failsafe::visit(visitor);
    tower_resilience::visit(visitor);
    circuitbreaker_rs::visit(visitor);
}

/// What each peer was given, for the reader of the figures.
pub const SETTINGS: [(&str, &str); 4] = [
    ("recloser", recloser::SETTINGS),
    ("failsafe", failsafe::SETTINGS),
    ("tower-resilience-circuitbreaker", tower_resilience::SETTINGS),
    ("circuitbreaker-rs", circuitbreaker_rs::SETTINGS),
];

/// Longer than any run.
const HOUR: Duration = Duration::from_secs(3600);
