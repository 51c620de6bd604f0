//! What the guarded clients add to a call: the time of each guard around a connection that does nothing, as a share of a
//! real call over loopback.
//!
//! `cargo run -p mainstay-benches --release --bin clients`; `--quick` for a smoke run.

#![forbid(unsafe_code)]

mod grpc;
mod http;
mod postgres;
mod redis;

use std::error::Error;
use std::fmt::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use mainstay_benches::budget::{self, Budget};
use mainstay_benches::machine;
use mainstay_benches::rounds::{calibrate, median, per_call};
use mainstay_breaker::{Breaker, Settings};

type Failure = Box<dyn Error>;

/// How long, and how often, each subject is measured.
#[derive(Clone, Copy)]
struct Effort {
    rounds: usize,
    round: Duration,
    /// Calls over loopback.
    calls: usize,
}

/// One client.
struct Row {
    client: &'static str,
    call: &'static str,
    /// A call of nothing, in nanoseconds: without a guard, and with it.
    bare: f64,
    guarded: f64,
    /// A real call, in nanoseconds; the median.
    real: f64,
    /// The most that the guard may add to it, as a share.
    budget: Option<f64>,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("clients: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, Failure> {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let effort = match quick {
        true => Effort { rounds: 11, round: Duration::from_micros(200), calls: 500 },
        false => Effort { rounds: 101, round: Duration::from_millis(1), calls: 20_000 },
    };
    let load = machine::load();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let rows = [
        redis::row(&runtime, effort)?,
        grpc::row(&runtime, effort)?,
        http::row(&runtime, effort)?,
        postgres::row(&runtime, effort)?,
    ];
    print!("{}", page(&rows, effort, load, quick));
    Ok(quick || budget::kept(&budgets(&rows)))
}

fn page(rows: &[Row], effort: Effort, load: f64, quick: bool) -> String {
    let mut page = String::from("# Guarded clients\n\n");
    page += &machine::describe(load);
    let option = if quick { " -- --quick" } else { "" };
    let _ = writeln!(page, "- command: `cargo run -p mainstay-benches --release --bin clients{option}`");
    for driver in ["redis", "tonic", "hyper-util", "sqlx"] {
        let _ = writeln!(page, "- {driver} {}", machine::version(driver));
    }
    let _ = writeln!(
        page,
        "- *bare*, *guarded*: a call on a connection that answers at its second poll without having done anything, without \
         and with the guard; medians of {} interleaved rounds of {:?}. PostgreSQL: real calls, because its pool takes no other \
         connections\n- *real call*: over loopback to a real server, one at a time, median of {}\n",
        effort.rounds, effort.round, effort.calls
    );
    page +=
        "| client | call | bare, ns | guarded, ns | the guard adds, ns | real call, µs | share | budget |\n";
    page += "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n";
    for row in rows {
        let Row { client, call, bare, guarded, real, budget } = row;
        let budget = budget.map_or(String::new(), |budget| format!("{:.0} %", budget * 100.0));
        let _ = writeln!(
            page,
            "| {client} | {call} | {bare:.0} | {guarded:.0} | {:.0} | {:.1} | {:.2} % | {budget} |",
            guarded - bare,
            real / 1_000.0,
            row.share() * 100.0
        );
    }
    page += &budget::section(&budgets(rows));
    page
}

fn budgets(rows: &[Row]) -> Vec<Budget> {
    let judged = |row: &Row| {
        let (share, most) = (row.share(), row.budget?);
        let promise =
            format!("{}, {}: the guard adds ≤ {:.0} % to a real call", row.client, row.call, most * 100.0);
        Some(Budget::new(promise, format!("{:.2} %", share * 100.0), share <= most))
    };
    rows.iter().filter_map(judged).collect()
}

/// A breaker with a client's default settings.
fn breaker(settings: Settings) -> Result<Breaker, Failure> {
    Ok(Breaker::builder("bench").settings(settings).build()?)
}

/// The median time of a call of two subjects that take turns. Each makes so many calls and says how long they took.
fn beside(
    effort: Effort,
    mut bare: impl FnMut(u64) -> Duration,
    mut guarded: impl FnMut(u64) -> Duration,
) -> (f64, f64) {
    let (bares, guardeds) = (calibrate(effort.round, &mut bare), calibrate(effort.round, &mut guarded));
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        one.push(per_call(bare(bares), bares));
        two.push(per_call(guarded(guardeds), guardeds));
    }
    (median(&mut one), median(&mut two))
}

/// The median time of a real call, in nanoseconds.
async fn typical<T, E>(effort: Effort, mut call: impl AsyncFnMut() -> Result<T, E>) -> Result<f64, E> {
    let mut nanos = Vec::with_capacity(effort.calls);
    for turn in 0..effort.calls + effort.calls / 10 {
        let begin = Instant::now();
        call().await?;
        if turn >= effort.calls / 10 {
            nanos.push(begin.elapsed().as_nanos() as f64);
        }
    }
    Ok(median(&mut nanos))
}

// === impl Row ===

impl Row {
    fn share(&self) -> f64 {
        (self.guarded - self.bare) / self.real
    }
}
