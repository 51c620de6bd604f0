//! Three times as much as a service can do, in real time, with `ShedLayer` and without it; and how soon a dependency that was dead is
//! used again.
//!
//! `cargo run -p mainstay-benches --release --bin overload`; `--seconds 60` for a shorter run, `--quick` for a smoke run; `--trace` also
//! prints the level and its causes at every second.

#![forbid(unsafe_code)]

mod dead;
mod load;
mod page;
mod server;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use mainstay_benches::machine;
use mainstay_breaker::{HalfOpen, Settings};
use mainstay_core::OpenFor;
use mainstay_degrade::Criticality;
use tokio::task::LocalSet;

use crate::load::{Load, Window};
use crate::page::Page;
use crate::server::Server;

type Failure = Box<dyn Error + Send + Sync>;

/// A service as a careful user builds it: 200 requests a second, and 80 more that wait, which takes 0.4 s at most.
const BOUNDED: Server =
    Server { slots: 20, work: Duration::from_millis(100), queue: 80, timeout: Duration::from_secs(1) };

/// The same with a queue that has no bound, and callers who wait for as long as complex work may take.
const PATIENT: Server = Server { queue: 1_000_000, timeout: Duration::from_secs(10), ..BOUNDED };

/// Three times the capacity.
const SHARES: [(Criticality, f64); 3] =
    [(Criticality::Critical, 0.8), (Criticality::SheddablePlus, 1.1), (Criticality::Sheddable, 1.1)];

/// One run of the load.
struct Run {
    what: &'static str,
    server: Server,
    sheds: bool,
    /// For how long the critical requests alone are sent before.
    calm: Duration,
}

/// They are under way at the same time, each with a service and a manager of its own.
const RUNS: [Run; 5] = [
    Run { what: "with the layer", server: BOUNDED, sheds: true, calm: Duration::ZERO },
    Run { what: "with it, after a calm minute", server: BOUNDED, sheds: true, calm: Duration::from_secs(60) },
    Run { what: "without it", server: BOUNDED, sheds: false, calm: Duration::ZERO },
    Run { what: "with it, no bound", server: PATIENT, sheds: true, calm: Duration::ZERO },
    Run { what: "without it, no bound", server: PATIENT, sheds: false, calm: Duration::ZERO },
];

/// What was asked for on the command line.
#[derive(Clone, Copy, Debug)]
struct Asked {
    seconds: u64,
    quick: bool,
    trace: bool,
}

fn main() -> ExitCode {
    let done = asked().and_then(report);
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("overload: {error}");
            ExitCode::from(2)
        }
    }
}

fn asked() -> Result<Asked, Failure> {
    let mut asked = Asked { seconds: 300, quick: false, trace: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--quick" => (asked.seconds, asked.quick) = (20, true),
            "--trace" => asked.trace = true,
            "--seconds" => {
                asked.seconds = arguments.next().ok_or("--seconds needs a number")?.parse()?;
            }
            _ => return Err("usage: overload [--seconds N | --quick] [--trace]".into()),
        }
    }
    if asked.seconds == 0 {
        return Err("--seconds must be at least 1".into());
    }
    Ok(asked)
}

fn report(asked: Asked) -> Result<bool, Failure> {
    let load_before = machine::load();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let results = LocalSet::new().block_on(&runtime, overload(asked))?;
    let fixed = dead::measure(OpenFor::fixed(Duration::from_secs(30)), HalfOpen::default())?;
    let usual = Settings::default();
    let usual = dead::measure(usual.open_for, usual.half_open)?;

    let mut page = Page::new(asked.seconds, load_before);
    page.overload(&RUNS, &results);
    page.recoveries(&[("30 s, fixed", fixed), ("by default", usual)]);
    print!("{}", page.text());
    Ok(asked.quick || page.held())
}

/// All runs at once.
async fn overload(asked: Asked) -> Result<Vec<Vec<Window>>, Failure> {
    let length = Duration::from_secs(asked.seconds);
    let mut under_way = Vec::new();
    for (index, run) in RUNS.iter().enumerate() {
        let load = Load { shares: SHARES, calm: run.calm, length, seed: 1 };
        let trace = asked.trace && index == 0;
        under_way.push(tokio::task::spawn_local(load::run(run.server, load, run.sheds, trace)));
    }
    let mut results = Vec::new();
    for run in under_way {
        results.push(run.await??);
    }
    Ok(results)
}
