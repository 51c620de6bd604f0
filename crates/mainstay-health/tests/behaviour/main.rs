//! The behaviour, through the public API. One program, because each costs a link; what needs a process of its own (an
//! allocator that counts, a global recorder, a victim to kill) has a file of its own beside this folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod asking;
#[path = "../scene/mod.rs"]
mod scene;

mod depends;
mod faults;
mod flips;
mod gates;
mod http;
mod http_details;
mod http_queries;
mod life;
mod probes;
mod refused;
mod schedule;
mod shutdown;
mod watching;
