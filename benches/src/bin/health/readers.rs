use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use mainstay_benches::rounds::{calibrate, median, per_call};
use mainstay_health::{Check, Clock, HealthManager, Report};
use tokio::runtime::Runtime;

use crate::{Budget, Failure};

/// A manager with ten checks that pass, and the runtime that it runs on.
pub(crate) fn manager() -> Result<(Runtime, HealthManager), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut builder = HealthManager::builder("bench").runtime(runtime.handle().clone());
    for index in 0..10 {
        builder = builder.check(Check::exclusive(format!("check-{index}"), || async {}).critical());
    }
    let health = builder.build()?;
    health.start()?;
    runtime.block_on(async {
        let mut changes = health.subscribe();
        while !health.is_ready() {
            changes.changed().await;
        }
    });
    Ok((runtime, health))
}

/// Calls per reader, and how long they took.
type Timed<'a> = (&'static str, Box<dyn FnMut(u64) -> Duration + 'a>);

fn timed<'a, T>(name: &'static str, mut call: impl FnMut() -> T + 'a) -> Timed<'a> {
    let time = move |calls| {
        let begin = Instant::now();
        for _ in 0..calls {
            black_box(call());
        }
        begin.elapsed()
    };
    (name, Box::new(time))
}

pub(crate) fn measure(page: &mut String, rounds: usize, round: Duration) -> Result<Vec<Budget>, Failure> {
    let (_runtime, health) = manager()?;
    let swap: ArcSwap<Arc<Report>> = ArcSwap::from_pointee(health.report());
    let (number, clock) = (AtomicU64::new(u64::MAX), Clock::monotonic());
    let mut readers = [
        timed("an atomic load and the coarse clock", || {
            clock.coarse_nanos() < number.load(Ordering::Acquire)
        }),
        timed("`is_ready()`", || health.is_ready()),
        timed("`is_live()`", || health.is_live()),
        timed("`is_started()`", || health.is_started()),
        timed("`ArcSwap::load`", || swap.load().epoch()),
        timed("`ArcSwap::load_full`", || swap.load_full()),
        timed("`report()`", || health.report()),
    ];
    let calls: Vec<u64> = readers.iter_mut().map(|(_, time)| calibrate(round, time)).collect();
    let mut figures = vec![Vec::with_capacity(rounds); readers.len()];
    for _ in 0..rounds {
        for ((reader, calls), figures) in readers.iter_mut().zip(&calls).zip(&mut figures) {
            figures.push(per_call((reader.1)(*calls), *calls));
        }
    }
    *page += "| reader | ns |\n| --- | ---: |\n";
    let mut medians = Vec::new();
    for ((name, _), figures) in readers.iter().zip(&mut figures) {
        let nanos = median(figures);
        let _ = writeln!(page, "| {name} | {nanos:.1} |");
        medians.push(nanos);
    }
    let figure = |name: &str| {
        let index = readers.iter().position(|(known, _)| *known == name);
        index.and_then(|index| medians.get(index)).copied().unwrap_or(f64::NAN)
    };
    let (ready, report) = (figure("`is_ready()`"), figure("`report()`"));
    let (load, load_full) = (figure("`ArcSwap::load`"), figure("`ArcSwap::load_full`"));
    Ok(vec![
        Budget {
            what: "`is_ready()` ≤ 8 ns".to_owned(),
            figure: format!("{ready:.1} ns"),
            held: Some(ready <= 8.0),
        },
        Budget {
            what: "`report()` ≤ 2 × an `ArcSwap` load (`load_full`: both give an `Arc` to keep)".to_owned(),
            figure: format!("{:.2} × `load_full`, {:.2} × `load`", report / load_full, report / load),
            held: Some(report <= 2.0 * load_full),
        },
    ])
}
