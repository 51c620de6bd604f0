//! The `mainstay` command: checks, shows and compares settings files, and probes endpoints for containers.
//!
//! Each command is a file; it prints to an [`Output`] and returns the exit code.
#![forbid(unsafe_code)]

mod args;
mod check;
mod diff;
mod exit;
mod format;
mod mistake;
mod output;
mod probe;
mod reference;
mod show;
mod sources;

use std::process::ExitCode;

use args::{Args, Command, ConfigCommand};
use output::Output;

fn main() -> ExitCode {
    let args = match Args::read(std::env::args_os()) {
        Ok(args) => args,
        Err(refused) => return refused.tell(),
    };
    let mut output = Output::new(args.color);
    let code = match args.command {
        Command::Config { command: ConfigCommand::Check(check) } => check.run(&mut output),
        Command::Config { command: ConfigCommand::Show(show) } => show.run(&mut output),
        Command::Config { command: ConfigCommand::Diff(diff) } => diff.run(&mut output),
        Command::Config { command: ConfigCommand::Schema { sections } } => {
            reference::schema(&sections, &mut output)
        }
        Command::Config { command: ConfigCommand::Keys } => reference::keys(&mut output),
        Command::Probe { command: probe } => probe.run(&mut output),
        Command::Completions { shell } => reference::completions(shell, &mut output),
    };
    output.finish(code)
}
