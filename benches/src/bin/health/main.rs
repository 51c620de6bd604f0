//! What the health manager costs: its readers, a `/readyz` request beside a constant handler, and ten thousand checks at rest.
//!
//! `cargo run -p mainstay-benches --release --bin health`; `--quick` for a smoke run.

#![forbid(unsafe_code)]

mod many;
mod readers;
mod readyz;

use std::error::Error;
use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use mainstay_benches::{instructions, machine};

type Failure = Box<dyn Error>;

/// One budget, and what came of it.
struct Budget {
    what: String,
    figure: String,
    held: Option<bool>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["one", key, calls] => readyz::one(key, calls).map(|()| true),
        [] => report(false),
        ["--quick"] => report(true),
        _ => Err("usage: health [--quick]".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("health: {error}");
            ExitCode::from(2)
        }
    }
}

fn report(quick: bool) -> Result<bool, Failure> {
    instructions::ready()?;
    let load = machine::load();
    let (rounds, round) =
        if quick { (11, Duration::from_micros(200)) } else { (101, Duration::from_millis(1)) };
    let mut page = String::from("# Health\n\n");
    page += &machine::describe(load);
    let option = if quick { " -- --quick" } else { "" };
    let _ = writeln!(page, "- command: `cargo run -p mainstay-benches --release --bin health{option}`");
    let _ = writeln!(page, "- axum {}, arc-swap {}", machine::version("axum"), machine::version("arc-swap"));
    let _ = writeln!(page, "- times are medians of {rounds} interleaved rounds of {round:?}\n");

    let mut budgets = readers::measure(&mut page, rounds, round)?;
    budgets.extend(readyz::measure(&mut page)?);
    budgets.extend(many::measure(&mut page, quick)?);

    page += "\n| budget | figure | |\n| --- | --- | --- |\n";
    for Budget { what, figure, held } in &budgets {
        let held = match held {
            Some(true) => "held",
            Some(false) => "MISSED",
            None => "",
        };
        let _ = writeln!(page, "| {what} | {figure} | {held} |");
    }
    print!("{page}");
    Ok(quick || budgets.iter().all(|budget| budget.held != Some(false)))
}
