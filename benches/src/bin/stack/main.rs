//! What ours add to a client's stack of tower layers.
//!
//! `cargo run -p mainstay-benches --release --bin stack`; `--quick` for a smoke run.

#![forbid(unsafe_code)]

use std::fmt::Write;
use std::process::ExitCode;

use mainstay_benches::budget::{self, Budget};
use mainstay_benches::call::{Failure, one};
use mainstay_benches::calls::stack::{CALLS, PLAIN, WITH_BREAKER};
use mainstay_benches::table::{self, Effort, Figures};
use mainstay_benches::{instructions, machine};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["one", name, calls] => {
            calls.parse().map_err(Failure::from).and_then(|calls| one(&CALLS, name, calls)).map(|()| true)
        }
        [] => report(false),
        ["--quick"] => report(true),
        _ => Err("usage: stack [--quick]".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("stack: {error}");
            ExitCode::from(2)
        }
    }
}

fn report(quick: bool) -> Result<bool, Failure> {
    instructions::ready()?;
    let (load, effort) = (machine::load(), Effort::new(quick));
    let figures = table::measure(&CALLS, "stack", effort)?;

    let packages = ["tower", "tokio", "tower-resilience-circuitbreaker"];
    let mut page = table::head("A stack of tower layers", "stack", load, quick, &packages);
    let Effort { rounds, round, .. } = effort;
    let _ = writeln!(
        page,
        "- times are medians of {rounds} interleaved rounds of {round:?}; instructions by callgrind, where a clock is a system call and \
         costs less than it does\n\
         - a request of a service that answers at once: `poll_ready`, `call`, and the future polled to its end. Outermost first: tower's \
         time-out, the breaker, tower's retry with a `TpsBudget`, its limit of concurrency, a no-op\n"
    );
    page += &table::rows("stack", &figures);
    let (plain, guarded) = (table::find(&figures, PLAIN), table::find(&figures, WITH_BREAKER));
    page += "\n| more than tower's own | ns | time | instructions | allocations |\n| --- | ---: | ---: | ---: | ---: |\n";
    for Figures { name, nanos, instructions, allocations } in figures.iter().skip(2) {
        let more = |ours: &Option<f64>, theirs: Option<f64>| {
            ours.zip(theirs).map_or(String::new(), |(ours, theirs)| format!("{:+.0}", ours - theirs))
        };
        let _ = writeln!(
            page,
            "| {name} | {:+.1} | {:.2}x | {} | {} |",
            nanos - plain.nanos,
            nanos / plain.nanos,
            more(instructions, plain.instructions),
            more(allocations, plain.allocations)
        );
    }
    let budgets: Vec<Budget> = plain
        .allocations
        .zip(guarded.allocations)
        .map(|(plain, guarded)| {
            let more = guarded - plain;
            Budget::new("`BreakerLayer` adds no allocation to a stack", format!("{more} more"), more <= 0.0)
        })
        .into_iter()
        .collect();
    page += &budget::section(&budgets);
    print!("{page}");
    Ok(quick || budget::kept(&budgets))
}
