//! What the degradation manager costs: its readers, and the traffic's observer.
//!
//! `cargo run -p mainstay-benches --release --bin degrade`; `--quick` for a smoke run.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt::Write;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use mainstay_benches::rounds::{calibrate, median, per_call};
use mainstay_benches::{instructions, machine};
use mainstay_core::Verdict;
use mainstay_degrade::{DegradationManager, ExecutionMode, Level};

type Failure = Box<dyn Error>;

/// The subjects: key, and whether the manager is degraded.
const SUBJECTS: [(&str, bool); 9] = [
    ("an atomic load", false),
    ("`level()`", false),
    ("`mode(Complex)`, nothing degraded", false),
    ("`mode(Complex)`, minor", true),
    ("`behavior(known)`, nothing degraded", false),
    ("`behavior(known)`, minor", true),
    ("`partial(known).decide(..)`, nothing degraded", false),
    ("`partial(known).decide(..)`, minor", true),
    ("`observe(Success, 5 ms)`", false),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["one", key, calls] => one(key, calls).map(|()| true),
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

fn manager(degraded: bool) -> Result<DegradationManager, Failure> {
    let degrade = DegradationManager::builder().build()?;
    if degraded {
        degrade.pin(Level::Minor, Duration::from_secs(3_600))?;
    }
    Ok(degrade)
}

/// Makes so many calls of one subject, and says how long they took.
fn time(key: &str, degrade: &DegradationManager, load: &AtomicU8, calls: u64) -> Duration {
    macro_rules! timed {
        ($call:expr) => {{
            let begin = Instant::now();
            for _ in 0..calls {
                black_box($call);
            }
            begin.elapsed()
        }};
    }
    match key {
        "an atomic load" => timed!(load.load(Ordering::Acquire)),
        "`level()`" => timed!(degrade.level()),
        key if key.starts_with("`mode") => timed!(degrade.mode(black_box(ExecutionMode::Complex))),
        key if key.starts_with("`behavior") => timed!(degrade.behavior(black_box("llm_generation"))),
        key if key.starts_with("`partial") => timed!(degrade.partial(black_box("agent_dag")).decide(3, 5)),
        _ => timed!(degrade.observe(Verdict::Success, black_box(Duration::from_millis(5)))),
    }
}

/// For callgrind to count.
fn one(key: &str, calls: &str) -> Result<(), Failure> {
    let degraded = SUBJECTS.iter().find(|(known, _)| *known == key).ok_or("there is no such subject")?.1;
    let (degrade, load) = (manager(degraded)?, AtomicU8::new(0));
    time(key, &degrade, &load, calls.parse()?);
    Ok(())
}

fn report(quick: bool) -> Result<bool, Failure> {
    instructions::ready()?;
    let load_before = machine::load();
    let (rounds, round) =
        if quick { (11, Duration::from_micros(200)) } else { (101, Duration::from_millis(1)) };
    let (well, degraded, load) = (manager(false)?, manager(true)?, AtomicU8::new(0));
    let manager_of = |is_degraded: bool| if is_degraded { &degraded } else { &well };
    let calls = SUBJECTS
        .map(|(key, is_degraded)| calibrate(round, |calls| time(key, manager_of(is_degraded), &load, calls)));
    let mut figures = SUBJECTS.map(|_| Vec::with_capacity(rounds));
    for _ in 0..rounds {
        for (((key, is_degraded), calls), figures) in SUBJECTS.into_iter().zip(calls).zip(&mut figures) {
            figures.push(per_call(time(key, manager_of(is_degraded), &load, calls), calls));
        }
    }
    let executed = instructions::measure(&SUBJECTS.map(|(key, _)| key.to_owned()))?;

    let mut page = String::from("# Degradation\n\n");
    page += &machine::describe(load_before);
    let option = if quick { " -- --quick" } else { "" };
    let _ = writeln!(page, "- command: `cargo run -p mainstay-benches --release --bin degrade{option}`");
    let _ = writeln!(
        page,
        "- times are medians of {rounds} interleaved rounds of {round:?}; instructions by callgrind\n"
    );
    page += "| call | ns | instructions |\n| --- | ---: | ---: |\n";
    let (mut level, mut mode) = ((f64::NAN, f64::NAN), f64::NAN);
    for ((key, _), figures) in SUBJECTS.iter().zip(&mut figures) {
        let nanos = median(figures);
        let count = executed.get(*key).map_or(f64::NAN, |executed| executed.instructions);
        let _ = writeln!(page, "| {key} | {nanos:.1} | {count:.0} |");
        match *key {
            "`level()`" => level = (nanos, count),
            "`mode(Complex)`, nothing degraded" => mode = nanos,
            _ => {}
        }
    }
    let held = |held: bool| if held { "held" } else { "MISSED" };
    let (level_held, mode_held) = (level.1 <= 12.0, mode < 20.0);
    page += "\n| budget | figure | |\n| --- | --- | --- |\n";
    let _ = writeln!(
        page,
        "| `level()` ≤ 12 instructions, with those of the loop | {:.0}, {:.1} ns | {} |",
        level.1,
        level.0,
        held(level_held)
    );
    let _ = writeln!(
        page,
        "| a mode decision < 20 ns when nothing is degraded | {mode:.1} ns | {} |",
        held(mode_held)
    );
    print!("{page}");
    Ok(quick || level_held && mode_held)
}
