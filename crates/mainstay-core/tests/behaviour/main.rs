//! The behaviour, through the public API. One program, because each costs a link; what needs a process of its own (an
//! allocator that counts, a global recorder, a victim to kill) has a file of its own beside this folder.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod clock;
mod humane;
mod name;
mod not_asked;
mod open_for;
mod registry;
mod sleepers;
mod source;
mod stripes;
mod verdict;
