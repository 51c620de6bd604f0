//! The report of a drill: `model.rs` is what is in it, `terminal.rs` prints it, `html.rs` makes a page of it that needs nothing else, and
//! `command.rs` does both again for a report that was kept as JSON.

pub(crate) mod command;
mod html;
pub(crate) mod model;
mod outline;
mod plots;
mod tables;
mod terminal;
mod words;

pub(crate) use html::html;
pub(crate) use model::Report;
pub(crate) use terminal::terminal;
