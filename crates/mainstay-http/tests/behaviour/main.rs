//! The behaviour, through the public API. One program, because each costs a link; what needs a process of its own (an
//! allocator that counts, a global recorder, a victim to kill) has a file of its own beside this folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod says;
mod scripted;

mod axum_layer;
mod axum_server;
mod bodies;
mod health;
mod health_probe;
mod hosts;
mod hyper_client;
mod outages;
mod reqwest_client;
mod retry_after;
mod verdicts;
