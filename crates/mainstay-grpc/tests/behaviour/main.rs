//! The behaviour, through the public API. One program, because each costs a link; what needs a process of its own (an
//! allocator that counts, a global recorder, a victim to kill) has a file of its own beside this folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod real;
#[path = "../script/mod.rs"]
mod script;

mod calls;
mod connecting;
mod deadlines;
mod endings;
#[cfg(feature = "health")]
mod health;
mod keys;
mod on_a_server;
mod outages;
mod rejections;
mod settings;
