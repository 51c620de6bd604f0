//! The behaviour, through the public API. One program, because each costs a link; what needs a process of its own (an
//! allocator that counts, a global recorder, a victim to kill) has a file of its own beside this folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod decisions;
mod gather;
mod gather_aggregate;
mod gather_drops;
mod gather_policy;
mod gather_ready;
#[cfg(feature = "http")]
mod layer_decision;
#[cfg(feature = "http")]
mod layer_fallback;
#[cfg(feature = "http")]
mod layer_observe;
#[cfg(feature = "http")]
mod layer_shed;
#[cfg(feature = "http")]
mod layer_shed_http;
#[cfg(feature = "http")]
mod layer_stale;
#[cfg(feature = "http")]
mod layer_stale_model;
#[cfg(feature = "http")]
mod layer_stale_order;
#[cfg(feature = "http")]
mod layer_stale_store;
mod levels;
mod replay;
mod settings;
mod stats;
mod traffic;
