//! What the health manager costs: its readers, a `/readyz` request beside a constant handler, and ten thousand checks at rest.
//!
//! `cargo run -p mainstay-benches --release --bin health`; `--quick` for a smoke run.

#![forbid(unsafe_code)]

mod many;
mod readers;
mod readyz;

use std::fmt::Write;
use std::process::ExitCode;

use mainstay_benches::budget;
use mainstay_benches::call::{self, Failure};
use mainstay_benches::table::{self, Effort};
use mainstay_benches::{instructions, machine};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["one", key, calls] => one(key, calls).map(|()| true),
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

fn one(key: &str, calls: &str) -> Result<(), Failure> {
    let readers = readers::calls();
    match readers.iter().any(|reader| reader.name == key) {
        true => call::one(&readers, key, calls.parse()?),
        false => readyz::one(key, calls),
    }
}

fn report(quick: bool) -> Result<bool, Failure> {
    instructions::ready()?;
    let (load, effort) = (machine::load(), Effort::new(quick));
    let mut page = table::head("Health", "health", load, quick, &["axum", "arc-swap"]);
    let Effort { rounds, round, .. } = effort;
    let _ = writeln!(page, "- times are medians of {rounds} interleaved rounds of {round:?}\n");

    let mut budgets = readers::measure(&mut page, effort)?;
    budgets.extend(readyz::measure(&mut page)?);
    budgets.extend(many::measure(&mut page, quick)?);
    page += &budget::section(&budgets);
    page += "\n";
    page += include_str!("notes.md");
    print!("{page}");
    Ok(quick || budget::kept(&budgets))
}
