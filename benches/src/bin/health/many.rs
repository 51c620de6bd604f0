use std::fmt::Write;
use std::time::{Duration, Instant};

use mainstay_health::{Check, HealthManager};

use mainstay_benches::budget::Budget;
use mainstay_benches::call::Failure;

const CHECKS: u32 = 10_000;

/// Ten thousand checks: how long they take to start, what each holds, and what they cost at rest.
pub(crate) fn measure(page: &mut String, quick: bool) -> Result<Vec<Budget>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let before = memory()?;
        let mut builder = HealthManager::builder("bench");
        for index in 0..CHECKS {
            builder = builder.check(Check::exclusive(format!("check-{index}"), || async {}).critical());
        }
        let begin = Instant::now();
        let health = builder.build()?;
        health.start()?;
        let mut changes = health.subscribe();
        while !health.is_ready() {
            changes.changed().await;
        }
        let started = begin.elapsed();
        drop(changes);

        // One interval passes before it counts, so that what was made at the start is made, and the turns are spread.
        let rest = Duration::from_secs(if quick { 2 } else { 30 });
        if !quick {
            tokio::time::sleep(Duration::from_secs(11)).await;
        }
        let (cpu, begin) = (cpu()?, Instant::now());
        let runs = runs(&health);
        tokio::time::sleep(rest).await;
        let took = begin.elapsed();
        let share = (self::cpu()? - cpu).as_secs_f64() / took.as_secs_f64();
        let runs = self::runs(&health) - runs;
        let bytes = (memory()? - before) / f64::from(CHECKS);

        *page += "\n| 10,000 checks, all critical, every 10 s, that pass at once | |\n| --- | ---: |\n";
        let _ = writeln!(
            page,
            "| built, started and all healthy after | {:.0} ms |",
            started.as_secs_f64() * 1e3
        );
        let _ = writeln!(page, "| resident memory for each | {bytes:.0} bytes |");
        let _ = writeln!(page, "| runs a second | {:.0} |", runs as f64 / took.as_secs_f64());
        let _ = writeln!(page, "| of one core | {:.1} % |", share * 100.0);
        let micros = share * took.as_secs_f64() * 1e6 / runs.max(1) as f64;
        let _ = writeln!(page, "| CPU time of a run, all told | {micros:.1} µs |");
        Ok(vec![Budget::new(
            "10,000 checks start in under a second",
            format!("{:.0} ms", started.as_secs_f64() * 1e3),
            started < Duration::from_secs(1),
        )])
    })
}

fn runs(health: &HealthManager) -> u64 {
    health.report().checks().map(|check| check.runs).sum()
}

/// Resident memory of this process, in bytes.
fn memory() -> Result<f64, Failure> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("VmRSS is missing")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024.0)
}

/// CPU time of all threads of this process.
fn cpu() -> Result<Duration, Failure> {
    let text = std::fs::read_to_string("/proc/self/schedstat")?;
    let mut nanos: u64 = text.split_whitespace().next().ok_or("schedstat is empty")?.parse()?;
    // That file tells of the first thread alone.
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?;
        if task.file_name().to_str() != Some(&std::process::id().to_string()) {
            let text = std::fs::read_to_string(task.path().join("schedstat"))?;
            nanos += text.split_whitespace().next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Ok(Duration::from_nanos(nanos))
}
