//! The orchestrator of the reference stack: it runs tasks, keeps every one that it has accepted, and answers while what it depends on
//! fails.
//!
//! Begin with `wiring.rs`: which breakers there are, what is checked, what waits on disk. Then `runner.rs`, a task's way from being
//! asked for to its last record; `execute.rs`, how it is done, and with what less; `store`, why repeats are harmless. [`start`] puts it
//! together.
#![forbid(unsafe_code)]

mod admin;
mod agents;
mod execute;
mod find;
mod identity;
mod list;
mod live;
mod llm;
mod refusal;
mod resume;
mod runner;
mod service;
mod session;
mod settings;
mod shortfall;
mod start;
mod store;
mod task;
mod trace;
mod waiting;
mod wiring;

pub use crate::settings::{Provider, Settings};
pub use crate::start::{Running, StartError, start};
