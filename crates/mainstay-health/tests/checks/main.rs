//! The ready-made checks, each through a running manager.
#![cfg(all(feature = "system", feature = "tcp", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod ask;
mod disk;
mod lookup;
mod memory;
mod runtime;
mod tcp;
