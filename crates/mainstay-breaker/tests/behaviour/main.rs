//! The behaviour, through the public API. One program, because each costs a link; what needs a process of its own (an
//! allocator that counts, a global recorder, a victim to kill) has a file of its own beside this folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod admission;
mod bad_input;
mod blind;
mod clocks;
mod closures;
mod control;
mod half_open;
mod keyed;
mod keyed_eviction;
mod late_results;
mod open_time;
mod panics;
mod permits;
mod public_types;
mod races;
mod ramp;
mod reading;
mod reconfigure;
mod rejections;
mod runtimes;
mod settings_serde;
mod slow_calls;
mod state_source;
mod subscribers;
mod threads;
mod tower_conclude;
mod tower_layer;
mod trip_and_reset;
mod trip_rules;
mod waiting;
mod windows;
