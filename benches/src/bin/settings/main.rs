//! What it costs to read settings again and to put them in force.
//!
//! `cargo run -p mainstay-benches --release --bin settings`; `--quick` for a smoke run.

#![forbid(unsafe_code)]

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;

use mainstay_benches::call::{Failure, time};
use mainstay_benches::calls::settings::{BREAKERS, CALLS, FLOOR, file};
use mainstay_benches::table::{self, Effort};
use mainstay_benches::{allocations, machine};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => report(false),
        ["--quick"] => report(true),
        _ => Err("usage: settings [--quick]".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("settings: {error}");
            ExitCode::from(2)
        }
    }
}

fn report(quick: bool) -> Result<(), Failure> {
    let load = machine::load();
    let Effort { rounds, .. } = Effort::new(quick);
    // A reload takes a while.
    let round = if quick { Duration::from_millis(2) } else { Duration::from_millis(10) };
    let nanos = time(&CALLS, rounds, round)?;
    let allocated = allocations::measure("settings")?.calls;

    let mut page =
        table::head("Settings", "settings", load, quick, &["saphyr-parser", "serde-saphyr", "serde_json"]);
    let _ = writeln!(
        page,
        "- a file of {} bytes with {BREAKERS} breakers and five settings for each; medians of {rounds} interleaved rounds of {round:?}\n\
         - a reload reads the file, parses it, checks every key, takes the variables and the defaults to it, compares it with what is in \
         force, and gives each breaker and both managers what is theirs; the floor only parses it\n",
        file(0).len()
    );
    page += "| | µs | x floor | allocations |\n| --- | ---: | ---: | ---: |\n";
    let floor = CALLS.iter().position(|call| call.name == FLOOR).and_then(|at| nanos.get(at)).copied();
    for (call, nanos) in CALLS.iter().zip(&nanos) {
        let allocated = allocated.get(call.name).map_or(String::new(), |count| format!("{count:.0}"));
        let times = floor.map_or(f64::NAN, |floor| nanos / floor);
        let _ = writeln!(page, "| {} | {:.0} | {times:.1}x | {allocated} |", call.name, nanos / 1e3);
    }
    print!("{page}");
    Ok(())
}
