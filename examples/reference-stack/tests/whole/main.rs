//! The whole stack as real processes, on embedded stores and on real servers, through the clients that people use.
#![allow(unreachable_pub, reason = "modules of one program")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed expectation is the point"
)]

#[path = "../support/mod.rs"]
mod support;

mod balance;
mod browser;
mod curl;
mod grpc;
mod hostile;
mod idempotency;
mod limits;
mod openai;
mod rolling;
mod schema;
mod soak;
mod sse;
mod stack;
mod tools;
