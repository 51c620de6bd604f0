//! A page's head, and a table of calls: time, instructions, allocations.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use crate::call::{Call, Failure, time};
use crate::{allocations, instructions, machine};

/// Calls of more nanoseconds are counted fewer times: under callgrind each takes fifty times as long.
const LONG: f64 = 10_000.0;

/// How long, and how often, each call is timed.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Odd, so that the median is one of them.
    pub rounds: usize,
    /// How long a round shall take.
    pub round: Duration,
    /// Whether this is a smoke run.
    pub quick: bool,
}

/// All that was measured of a call.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Its name.
    pub name: &'static str,
    /// The median time, in nanoseconds.
    pub nanos: f64,
    /// Executed.
    pub instructions: Option<f64>,
    /// Made.
    pub allocations: Option<f64>,
}

impl Effort {
    /// For a run that counts, and for a smoke run.
    pub fn new(quick: bool) -> Self {
        match quick {
            true => Self { rounds: 11, round: Duration::from_micros(200), quick },
            false => Self { rounds: 101, round: Duration::from_millis(1), quick },
        }
    }
}

/// The head of the page of one part, which the binary of this name writes.
pub fn head(title: &str, binary: &str, load: f64, quick: bool, packages: &[&str]) -> String {
    let mut page = format!("# {title}\n\n{}", machine::describe(load));
    let option = if quick { " -- --quick" } else { "" };
    let _ = writeln!(page, "- command: `cargo run -p mainstay-benches --release --bin {binary}{option}`");
    let versions: Vec<String> =
        packages.iter().map(|package| format!("{package} {}", machine::version(package))).collect();
    if !versions.is_empty() {
        let _ = writeln!(page, "- {}", versions.join(", "));
    }
    page
}

/// Times all calls, and asks callgrind and the counting binary, which has them in `group`.
///
/// # Errors
///
/// A call cannot be made, or not be counted.
pub fn measure(calls: &[Call], group: &str, effort: Effort) -> Result<Vec<Figures>, Failure> {
    let nanos = time(calls, effort.rounds, effort.round)?;
    let named = |is_long: bool| -> Vec<String> {
        let calls = calls.iter().zip(&nanos).filter(|(_, nanos)| (**nanos > LONG) == is_long);
        calls.map(|(call, _)| call.name.to_owned()).collect()
    };
    let mut executed = instructions::measure(&named(false))?;
    executed.extend(instructions::measure_long(&named(true))?);
    let allocated = allocations::measure(group)?.calls;
    Ok(figures(calls, &nanos, &executed, &allocated))
}

fn figures(
    calls: &[Call],
    nanos: &[f64],
    executed: &HashMap<String, instructions::Executed>,
    allocated: &HashMap<String, f64>,
) -> Vec<Figures> {
    let of = |(call, nanos): (&Call, &f64)| Figures {
        name: call.name,
        nanos: *nanos,
        instructions: executed.get(call.name).map(|executed| executed.instructions),
        allocations: allocated.get(call.name).copied(),
    };
    calls.iter().zip(nanos).map(of).collect()
}

/// The figures of a call; nothing but NaN if there is none of that name.
pub fn find(figures: &[Figures], name: &'static str) -> Figures {
    let none = Figures { name, nanos: f64::NAN, instructions: None, allocations: None };
    figures.iter().find(|figures| figures.name == name).copied().unwrap_or(none)
}

/// A row for each, under a head that says what they are.
pub fn rows(what: &str, figures: &[Figures]) -> String {
    let mut text = format!("| {what} | ns | instructions | allocations |\n| --- | ---: | ---: | ---: |\n");
    for Figures { name, nanos, instructions, allocations } in figures {
        let digits = usize::from(*nanos < 99.95);
        let count = |count: &Option<f64>| {
            count.map_or(String::new(), |count| format!("{}", (count * 100.0).round() / 100.0))
        };
        let executed = instructions.map_or(String::new(), |count| format!("{count:.0}"));
        let _ = writeln!(text, "| {name} | {nanos:.digits$} | {executed} | {} |", count(allocations));
    }
    text
}
