//! The orchestrator as its callers see it: through its gRPC, on embedded and on real stores, while what it depends on fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is the point"
)]

mod crash;
mod fake;
mod limits;
mod outages;
mod replicas;
mod resume;
mod rpcs;
mod services;
mod stack;
mod startup;
mod stores;
