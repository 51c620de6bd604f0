//! Every way in which a few threads can fall together on a breaker.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p mainstay-breaker --release --no-default-features --test loom
//! ```
//!
//! Most models are a few threads of operations; whatever happens, the result must be that of some order of the
//! operations, one after another (see `explore`). With two threads all runs are explored, unless the model says how
//! many interruptions of a thread it is content with; with three there is always such a bound.
#![cfg(loom)]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics fails, as it should"
)]

mod explore;

mod compact;
mod epochs;
mod keyed;
mod operator;
mod probes;
mod readers;
mod windows;
