//! What the degradation manager costs: its readers, the traffic's observer, and scatter and gather beside what futures and tokio have.
//!
//! `cargo run -p mainstay-benches --release --bin degrade`; `--quick` for a smoke run.

#![forbid(unsafe_code)]

use std::fmt::Write;
use std::process::ExitCode;

use mainstay_benches::budget::{self, Budget};
use mainstay_benches::call::{Failure, one};
use mainstay_benches::calls::{degrade, gather};
use mainstay_benches::table::{self, Effort, Figures};
use mainstay_benches::{instructions, machine};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["one", name, calls] => calls.parse().map_err(Failure::from).and_then(|calls| {
            one(&[degrade::CALLS.as_slice(), &gather::CALLS].concat(), name, calls).map(|()| true)
        }),
        [] => report(false),
        ["--quick"] => report(true),
        _ => Err("usage: degrade [--quick]".into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("degrade: {error}");
            ExitCode::from(2)
        }
    }
}

fn report(quick: bool) -> Result<bool, Failure> {
    instructions::ready()?;
    let (load, effort) = (machine::load(), Effort::new(quick));
    let readers = table::measure(&degrade::CALLS, "degrade", effort)?;
    let gathers = table::measure(&gather::CALLS, "gather", effort)?;

    let mut page = table::head("Degradation", "degrade", load, quick, &["futures-util", "tokio"]);
    let Effort { rounds, round, .. } = effort;
    let _ = writeln!(
        page,
        "- times are medians of {rounds} interleaved rounds of {round:?}; instructions by callgrind\n"
    );
    page += &table::rows("call", &readers);
    page += "\nParts that are pending once and then succeed, each made, boxed or spawned, and gathered. `Gather` also names them, times \
             them and decides whether they are enough; `join_all` and `JoinSet` only wait.\n\n";
    page += &table::rows("gather", &gathers);
    page += &ratios(&gathers);

    let (level, mode) = (table::find(&readers, degrade::LEVEL), table::find(&readers, degrade::MODE));
    let executed = level.instructions.unwrap_or(f64::NAN);
    let budgets = [
        Budget::new(
            "`level()` ≤ 12 instructions, with those of the loop",
            format!("{executed:.0}, {:.1} ns", level.nanos),
            executed <= 12.0,
        ),
        Budget::new(
            "a mode decision < 20 ns when nothing is degraded",
            format!("{:.1} ns", mode.nanos),
            mode.nanos < 20.0,
        ),
        allocations(&readers),
    ];
    page += &budget::section(&budgets);
    print!("{page}");
    Ok(quick || budget::kept(&budgets))
}

fn allocations(readers: &[Figures]) -> Budget {
    let most = readers.iter().filter_map(|call| call.allocations).fold(0.0, f64::max);
    Budget::new("no question allocates", format!("{most} at most"), most == 0.0)
}

/// Each `Gather` beside the peer that stands before it.
fn ratios(gathers: &[Figures]) -> String {
    let mut text = String::from("\n| | time | a part |\n| --- | ---: | ---: |\n");
    for pair in gathers.chunks(2) {
        let [peer, ours] = pair else { continue };
        let parts = if ours.name.starts_with("10 ") { 10.0 } else { 1_000.0 };
        let _ = writeln!(
            text,
            "| {} beside {} | {:.1}x | {:+.0} ns |",
            ours.name,
            peer.name.split_once(", ").map_or(peer.name, |(_, name)| name),
            ours.nanos / peer.nanos,
            (ours.nanos - peer.nanos) / parts
        );
    }
    text
}
