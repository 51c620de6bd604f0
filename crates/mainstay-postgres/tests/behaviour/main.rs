//! The behaviour, through the public API. One program, because each costs a link; what needs a process of its own (an
//! allocator that counts, a global recorder, a victim to kill) has a file of its own beside this folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../ground/mod.rs"]
mod ground;

mod deadlines;
mod everyday;
mod health;
mod network;
mod outage;
mod recovery;
mod shortage;
mod spool_blame;
mod spool_table;
mod spool_transaction;
mod transactions;
mod verdicts;
